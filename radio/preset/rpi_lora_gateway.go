package preset

// RPI-Lora-Gateway of C.-H. Hallard, a board for several RFM9x modules.
// Pins: hallard/RadioHead examples/raspi/RasPiBoards.h (BOARD_PI_LORA_GATEWAY).
func init() {
	Register(Preset{
		Name: "rpi-lora-gateway-1", Title: "RPI-Lora-Gateway, module 1", Driver: SX127x, Chip: "SX1276",
		Bus: "spi:0.0", Reset: "GPIO5", IRQ: "GPIO25", PABoost: true,
		Source: "hallard/RadioHead examples/raspi/RasPiBoards.h",
	})
	Register(Preset{
		Name: "rpi-lora-gateway-2", Title: "RPI-Lora-Gateway, module 2", Driver: SX127x, Chip: "SX1276",
		Bus: "spi:0.1", Reset: "GPIO6", IRQ: "GPIO16", PABoost: true,
		Source: "hallard/RadioHead examples/raspi/RasPiBoards.h",
	})
}
