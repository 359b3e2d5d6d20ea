package preset

// MeshAdv Mini with an Ebyte E22-900M22S.
// Pins: meshtastic/firmware bin/config.d/lora-MeshAdv-Mini-900M22S.yaml.
func init() {
	Register(Preset{
		Name: "meshadv-mini", Title: "MeshAdv Mini, Ebyte E22-900M22S", Driver: SX126x, Chip: "SX1262",
		Bus: "spi:0.0", Reset: "GPIO24", IRQ: "GPIO16", Busy: "GPIO20", RXEnable: "GPIO12", DIO2Switch: true, TCXO: 1.8,
		Source: "meshtastic/firmware bin/config.d/lora-MeshAdv-Mini-900M22S.yaml",
	})
}
