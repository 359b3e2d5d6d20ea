package preset

// RAK6421 WisBlock Pi HAT with a RAK13300 in slot 1 or 2.
// Pins: meshtastic/firmware bin/config.d/lora-RAK6421-13300-slot1.yaml and
// lora-RAK6421-13300-slot2.yaml.
func init() {
	Register(Preset{
		Name: "rak6421-slot1", Title: "RAK6421 with RAK13300 in slot 1", Driver: SX126x, Chip: "SX1262",
		Bus: "spi:0.0", Reset: "GPIO16", IRQ: "GPIO22", Busy: "GPIO24", Enable: []string{"GPIO12", "GPIO13"}, DIO2Switch: true, TCXO: 1.8,
		Source: "meshtastic/firmware bin/config.d/lora-RAK6421-13300-slot1.yaml",
	})
	Register(Preset{
		Name: "rak6421-slot2", Title: "RAK6421 with RAK13300 in slot 2", Driver: SX126x, Chip: "SX1262",
		Bus: "spi:0.1", Reset: "GPIO24", IRQ: "GPIO18", Busy: "GPIO19", Enable: []string{"GPIO23"}, DIO2Switch: true, TCXO: 1.8,
		Source: "meshtastic/firmware bin/config.d/lora-RAK6421-13300-slot2.yaml",
	})
}
