package preset

// Waveshare Pico-LoRa-SX1262 on the adapter from Pico to Raspberry Pi.
// Pins: meshtastic/firmware
// bin/config.d/lora-ws-raspberry-pi-pico-to-rpi-adapter.yaml.
func init() {
	Register(Preset{
		Name: "waveshare-pico-sx1262", Title: "Waveshare Pico-LoRa-SX1262 on a Pico-to-HAT adapter", Driver: SX126x, Chip: "SX1262",
		Bus: "spi:0.0", ChipSelect: "GPIO21", Reset: "GPIO18", IRQ: "GPIO16", Busy: "GPIO20", DIO2Switch: true, TCXO: 1.8,
		Notes:  "uses lines of SPI1 and of I2S audio: both stay off",
		Source: "meshtastic/firmware bin/config.d/lora-ws-raspberry-pi-pico-to-rpi-adapter.yaml",
	})
}
