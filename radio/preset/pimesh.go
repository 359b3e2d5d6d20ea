package preset

// PiMesh-1W, version 1 with an Ebyte E22-900M30S and version 2 with an E22P.
// Pins: meshtastic/firmware bin/config.d/lora-pimesh-1w-v1.yaml and
// lora-pimesh-1w-v2.yaml, where GPIO26 has to be high.
func init() {
	Register(Preset{
		Name: "pimesh-1w-v1", Title: "PiMesh-1W version 1", Driver: SX126x, Chip: "SX1262",
		Bus: "spi:0.0", ChipSelect: "GPIO21", Reset: "GPIO18", IRQ: "GPIO16", Busy: "GPIO20", TXEnable: "GPIO13", RXEnable: "GPIO12",
		TCXO: 1.8, Gain: 8,
		Notes:  "30 dBm: more than most regions allow, mind the gain",
		Source: "meshtastic/firmware bin/config.d/lora-pimesh-1w-v1.yaml",
	})
	Register(Preset{
		Name: "pimesh-1w-v2", Title: "PiMesh-1W version 2", Driver: SX126x, Chip: "SX1262",
		Bus: "spi:0.0", Reset: "GPIO18", IRQ: "GPIO6", Busy: "GPIO5", Enable: []string{"GPIO26"}, DIO2Switch: true, TCXO: 1.8, Gain: 8,
		Notes:  "30 dBm: more than most regions allow, mind the gain",
		Source: "meshtastic/firmware bin/config.d/lora-pimesh-1w-v2.yaml",
	})
}
