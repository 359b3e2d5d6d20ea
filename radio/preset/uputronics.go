package preset

// Uputronics Raspberry Pi LoRa expansion boards: the full-size board has a
// module at either chip select; that for the Pi Zero has one. Reset is not wired.
// Pins: blog.devmobile.co.nz tag/434mhz (CE0 with GPIO25, CE1 with GPIO16) and
// 2018/09/09 (no reset).
func init() {
	Register(Preset{
		Name: "uputronics-ce0", Title: "Uputronics LoRa expansion board, module at CE0", Driver: SX127x, Chip: "SX1276",
		Bus: "spi:0.0", IRQ: "GPIO25", PABoost: true,
		Notes:  "reset is not wired: a chip that hangs needs the supply cut",
		Source: "blog.devmobile.co.nz tag/434mhz",
	})
	Register(Preset{
		Name: "uputronics-ce1", Title: "Uputronics LoRa expansion board, module at CE1", Driver: SX127x, Chip: "SX1276",
		Bus: "spi:0.1", IRQ: "GPIO16", PABoost: true,
		Notes:  "reset is not wired: a chip that hangs needs the supply cut",
		Source: "blog.devmobile.co.nz tag/434mhz",
	})
}
