package preset

// WaziHat of the WaziGate: DIO0 is not wired.
// Pins: Waziup/single_chan_pkt_fwd. Its versions name GPIO17, GPIO6 and GPIO23 for
// reset; the first is that of the WaziHat.
func init() {
	Register(Preset{
		Name: "wazihat", Title: "Waziup WaziHat", Driver: SX127x, Chip: "SX1276",
		Bus: "spi:0.0", Reset: "GPIO17", PABoost: true,
		Notes:  "if reset has another line on your version of it, leave reset away",
		Source: "Waziup/single_chan_pkt_fwd",
	})
}
