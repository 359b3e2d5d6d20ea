package preset

// Waveshare SX1262 868M/915M LoRaWAN/GNSS HAT, which has SPI. Not the HATs of
// Waveshare with a similar name that have a UART only.
// Pins: meshtastic/firmware bin/config.d/lora-waveshare-sxxx.yaml.
func init() {
	Register(Preset{
		Name: "waveshare-sx1262", Title: "Waveshare SX1262 LoRaWAN/GNSS HAT (the one with SPI)", Driver: SX126x, Chip: "SX1262",
		Bus: "spi:0.0", ChipSelect: "GPIO21", Reset: "GPIO18", IRQ: "GPIO16", Busy: "GPIO20", TXEnable: "GPIO6", DIO2Switch: true,
		Notes:  "uses lines of SPI1 and of I2S audio: both stay off",
		Source: "meshtastic/firmware bin/config.d/lora-waveshare-sxxx.yaml",
	})
}
