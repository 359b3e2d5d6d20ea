package preset

// LoRasPI of C.-H. Hallard.
// Pins: hallard/RadioHead examples/raspi/RasPiBoards.h (BOARD_LORASPI).
func init() {
	Register(Preset{
		Name: "loraspi", Title: "LoRasPI", Driver: SX127x, Chip: "SX1276",
		Bus: "spi:0.0", Reset: "GPIO22", IRQ: "GPIO25", PABoost: true,
		Notes:  "its LED is on GPIO23",
		Source: "hallard/RadioHead examples/raspi/RasPiBoards.h",
	})
}
