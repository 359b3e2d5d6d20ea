package preset

// Dragino LoRa/GPS HAT v1.3 and v1.4. Its NSS is on no chip select of the bus.
// Pins: hallard/RadioHead examples/raspi/RasPiBoards.h (BOARD_DRAGINO_PIHAT).
func init() {
	Register(Preset{
		Name: "dragino-hat", Title: "Dragino LoRa/GPS HAT", Driver: SX127x, Chip: "SX1276",
		Bus: "spi:0.0", ChipSelect: "GPIO25", Reset: "GPIO17", IRQ: "GPIO4", PABoost: true,
		Notes:  "GPIO4 is also the usual line of 1-Wire: `dtoverlay=w1-gpio` needs another one",
		Source: "hallard/RadioHead examples/raspi/RasPiBoards.h",
	})
}
