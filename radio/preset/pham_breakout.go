package preset

// The boards of the low-cost LoRa gateway of C. Pham: a breakout with an RFM95W
// whose DIO0 is not wired, and the wiring for SX126x modules.
// Pins: CongducPham/LowCostLoRaGw gw_full_latest/SX127X_lora_gateway.h and
// SX126X_lora_gateway.h, in the numbers of an Arduino that arduPi translates.
func init() {
	Register(Preset{
		Name: "pham-breakout", Title: "RFM95W breakout of the low-cost LoRa gateway (C. Pham)", Driver: SX127x, Chip: "SX1276",
		Bus: "spi:0.0", Reset: "GPIO4", PABoost: true,
		Notes:  "newer ones wire DIO0 to GPIO18",
		Source: "CongducPham/LowCostLoRaGw gw_full_latest/SX127X_lora_gateway.h",
	})
	Register(Preset{
		Name: "pham-sx126x", Title: "SX126x module of the low-cost LoRa gateway (C. Pham)", Driver: SX126x, Chip: "SX1262",
		Bus: "spi:0.0", Reset: "GPIO4", IRQ: "GPIO18", Busy: "GPIO25",
		Notes:  "set tcxo, and the lines of the antenna switch, as the module needs",
		Source: "CongducPham/LowCostLoRaGw gw_full_latest/SX126X_lora_gateway.h",
	})
}
