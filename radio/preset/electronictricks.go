package preset

// LoRa/LoRaWAN shield for Pi Zero and Pi 3 of Electronic Tricks.
// Pins: blog.devmobile.co.nz, tag tindie.
func init() {
	Register(Preset{
		Name: "electronictricks", Title: "Electronic Tricks LoRa/LoRaWAN shield", Driver: SX127x, Chip: "SX1276",
		Bus: "spi:0.0", Reset: "GPIO5", IRQ: "GPIO25", PABoost: true,
		Source: "blog.devmobile.co.nz tag/tindie",
	})
}
