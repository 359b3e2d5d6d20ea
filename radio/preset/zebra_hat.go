package preset

// ZebraHAT with 1 W and with 2 W; PiTastic 1W is wired as the first.
// Pins: meshtastic/firmware bin/config.d/lora-ZebraHat_1W.yaml,
// lora-ZebraHat_2W.yaml and lora-PiTastic-1W.yaml, which limit the chip.
func init() {
	Register(Preset{
		Name: "zebrahat-1w", Title: "ZebraHAT 1 W, PiTastic 1W", Driver: SX126x, Chip: "SX1262",
		Bus: "spi:0.0", ChipSelect: "GPIO24", Reset: "GPIO17", IRQ: "GPIO22", Busy: "GPIO27", DIO2Switch: true, TCXO: 1.8,
		MaxPower: 18, Gain: 12,
		Notes:  "30 dBm: more than most regions allow, mind the gain",
		Source: "meshtastic/firmware bin/config.d/lora-ZebraHat_1W.yaml",
	})
	Register(Preset{
		Name: "zebrahat-2w", Title: "ZebraHAT 2 W", Driver: SX126x, Chip: "SX1262",
		Bus: "spi:0.0", ChipSelect: "GPIO24", Reset: "GPIO17", IRQ: "GPIO22", Busy: "GPIO27", RXEnable: "GPIO25", DIO2Switch: true, TCXO: 1.8,
		MaxPower: 8, Gain: 25,
		Notes:  "33 dBm: more than most regions allow, mind the gain",
		Source: "meshtastic/firmware bin/config.d/lora-ZebraHat_2W.yaml",
	})
}
