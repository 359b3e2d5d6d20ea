package preset

// MeshAdv-Pi HAT with an Ebyte E22-900M30S.
// Pins: meshtastic/firmware bin/config.d/lora-MeshAdv-900M30S.yaml.
func init() {
	Register(Preset{
		Name: "meshadv-900m30s", Title: "MeshAdv-Pi HAT, Ebyte E22-900M30S", Driver: SX126x, Chip: "SX1262",
		Bus: "spi:0.0", ChipSelect: "GPIO21", Reset: "GPIO18", IRQ: "GPIO16", Busy: "GPIO20", TXEnable: "GPIO13", RXEnable: "GPIO12",
		TCXO: 1.8, Gain: 8,
		Notes:  "30 dBm: more than most regions allow, mind the gain",
		Source: "meshtastic/firmware bin/config.d/lora-MeshAdv-900M30S.yaml",
	})
}
