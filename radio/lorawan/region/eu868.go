package region

// EU863-870, section 2.4.
//
// Sub-bands: ETSI EN 300 220-2 V3.2.1 annex B by their letters there, powers given
// as ERP, to which 2.15 dB are added and the sum rounded down. K 863-865 and N
// 868.7-869.2 have a budget of 0.1 % each, L 865-868 and M 868.0-868.6 of 1 % each:
// L ends where M begins, so that 868.0 MHz is in M and no frequency in both. P
// 869.4-869.65 is the one with 500 mW and 10 %. 869.7-870 may be used as Q (5 mW,
// always) or R (25 mW, 1 %); gateways use R. What lies between is left to alarm
// systems (ERC Recommendation 70-03): a gateway does not send there.
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
		name:     "EU868",
		rates:    rates,
		channels: at(0, 5, 868100000, 868300000, 868500000),
		join:     at(0, 5, 868100000, 868300000, 868500000),
		rx1:      rx1Table(rates, 0, 0, 1, 2, 3, 4, 5),
		rx2:      869525000, rx2DR: 0,
		power: 16, powers: 8,
		adrMin: 0, adrMax: 5,
		bands: []SubBand{
			{"863.0-865.0", 863000000, 865000000, 1, 16},
			{"865.0-868.0", 865000000, 868000000, 10, 16},
			{"868.0-868.6", 868000000, 868600000, 10, 16},
			{"868.7-869.2", 868700000, 869200000, 1, 16},
			{"869.4-869.65", 869400000, 869650000, 100, 29},
			{"869.7-870.0", 869700000, 870000000, 10, 16},
		},
		banks: 1,
	})
}
