package preset

// NebraHat with 1 W and with 2 W, boards of W. Hooper for the case of a Nebra
// hotspot.
// Pins: meshtastic/firmware bin/config.d/lora-NebraHat_1W.yaml and
// lora-NebraHat_2W.yaml, which limits the chip.
func init() {
	Register(Preset{
		Name: "nebrahat-1w", Title: "NebraHat 1 W", Driver: SX126x, Chip: "SX1262",
		Bus: "spi:0.0", Reset: "GPIO18", IRQ: "GPIO22", Busy: "GPIO4", RXEnable: "GPIO25", DIO2Switch: true, TCXO: 1.8, Gain: 8,
		Notes:  "30 dBm: more than most regions allow, mind the gain",
		Source: "meshtastic/firmware bin/config.d/lora-NebraHat_1W.yaml",
	})
	Register(Preset{
		Name: "nebrahat-2w", Title: "NebraHat 2 W", Driver: SX126x, Chip: "SX1262",
		Bus: "spi:0.0", Reset: "GPIO18", IRQ: "GPIO22", Busy: "GPIO4", RXEnable: "GPIO25", DIO2Switch: true, TCXO: 1.8,
		MaxPower: 8, Gain: 25,
		Notes:  "33 dBm: more than most regions allow, mind the gain",
		Source: "meshtastic/firmware bin/config.d/lora-NebraHat_2W.yaml",
	})
}
