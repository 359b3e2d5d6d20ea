package region

// AS923, section 2.10, in four groups that differ by where their frequencies lie.
//
// Sources differ in two points. The longest payload of DR2 without dwell time is
// 115 bytes here as in RP002 and LoRaMac-node; up to Regional Parameters 1.0.3 it
// was 51, which old devices may still keep to. Offsets 6 and 7, which make RX1
// faster than the uplink, go up to DR7 as in RP002; up to 1.0.3 they ended at DR5.
//
// Duty cycle: 1 % over each group as a whole, which is what section 2.10.2 asks of
// devices; some countries have other rules (Japan: listen before talk, 4 s, ARIB
// STD-T108), none of them less strict for a gateway that does not listen first.
// Power: 16 dBm, the default of section 2.10.3.
func init() {
	as923("AS923-1", 923200000, 915000000, 928000000, "915-928")
	as923("AS923-2", 921400000, 920000000, 923000000, "920-923") // -1.80 MHz
	as923("AS923-3", 916600000, 915000000, 921000000, "915-921") // -6.60 MHz
	as923("AS923-4", 917300000, 917000000, 920000000, "917-920") // -5.90 MHz
}

// as923 registers a group by its lowest default channel and its range in Hz.
func as923(name string, first, low, high uint32, band string) {
	rates := []rate{
		lora(12, 125000, both, 59, 0),
		lora(11, 125000, both, 59, 0),
		lora(10, 125000, both, 123, 19),
		lora(9, 125000, both, 123, 61),
		lora(8, 125000, both, 250, 133),
		lora(7, 125000, both, 250, 250),
		lora(7, 250000, both, 250, 250),
		fsk(),
	}
	register(&Region{
		name:     name,
		rates:    rates,
		channels: at(0, 5, first, first+200000),
		join:     at(2, 5, first, first+200000),
		rx1:      rx1Table(rates, 0, 0, 1, 2, 3, 4, 5, -1, -2),
		rx1Dwell: rx1Table(rates, 2, 0, 1, 2, 3, 4, 5, -1, -2),
		rx2:      first, rx2DR: 2,
		power: 16, powers: 8,
		adrMin: 0, adrMax: 5, adrDwell: 2,
		txParamSetup: true,
		dwellUp:      true,
		bands:        []SubBand{{band, low, high, 10, 16}},
		banks:        1,
	})
}
