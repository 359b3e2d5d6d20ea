package region

// EU433, section 2.7: 12.15 dBm EIRP, which is 10 mW ERP, and a duty cycle of 10 %
// in all of 433.05-434.79 MHz (ETSI EN 300 220-2 annex B). Channels have their
// middle at 433.175 MHz or above, at 434.665 MHz or below.
func init() {
	rates := []rate{
		lora(12, 125000, both, 59, 59),
		lora(11, 125000, both, 59, 59),
		lora(10, 125000, both, 59, 59),
		lora(9, 125000, both, 123, 123),
		lora(8, 125000, both, 250, 250),
		lora(7, 125000, both, 250, 250),
		lora(7, 250000, both, 250, 250),
		fsk(),
	}
	register(&Region{
		name:     "EU433",
		rates:    rates,
		channels: at(0, 5, 433175000, 433375000, 433575000),
		join:     at(0, 5, 433175000, 433375000, 433575000),
		rx1:      rx1Table(rates, 0, 0, 1, 2, 3, 4, 5),
		rx2:      434665000, rx2DR: 0,
		power: 12, powers: 6,
		adrMin: 0, adrMax: 5,
		bands: []SubBand{{"433.05-434.79", 433050000, 434790000, 100, 12}},
		banks: 1,
	})
}
