package preset

// Adafruit LoRa Radio Bonnet with OLED, RFM95W and RFM96W.
// Pins: meshtastic/firmware bin/config.d/lora-Adafruit-RFM9x.yaml; NSS is CE1.
func init() {
	Register(Preset{
		Name: "adafruit-bonnet", Title: "Adafruit LoRa Radio Bonnet (RFM95W, RFM96W)", Driver: SX127x, Chip: "SX1276",
		Bus: "spi:0.1", Reset: "GPIO25", IRQ: "GPIO22", PABoost: true,
		Notes:  "its buttons are on GPIO5, GPIO6 and GPIO12",
		Source: "meshtastic/firmware bin/config.d/lora-Adafruit-RFM9x.yaml",
	})
}
