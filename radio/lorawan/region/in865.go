package region

// IN865-867, section 2.12. Law: GSR 564(E) of 2005, 1 W and 4 W ERP; the default of
// section 2.12.3, 30 dBm EIRP, is kept to. Duty cycle is not limited.
//
// There is no DR6. In the table for RX1 sources differ where the sum of data rate
// and offset would be 6: it is DR5 here as in RP002 (section 2.12.7), some network
// servers send DR6 of EU868, which no device listens to.
func init() {
	register(&Region{
		name: "IN865",
		rates: []rate{
			0: lora(12, 125000, both, 59, 59),
			1: lora(11, 125000, both, 59, 59),
			2: lora(10, 125000, both, 59, 59),
			3: lora(9, 125000, both, 123, 123),
			4: lora(8, 125000, both, 250, 250),
			5: lora(7, 125000, both, 250, 250),
			7: fsk(),
		},
		channels: at(0, 5, 865062500, 865402500, 865985000),
		join:     at(0, 5, 865062500, 865402500, 865985000),
		rx1: [][]int{
			0: {0, 0, 0, 0, 0, 0, 1, 2},
			1: {1, 0, 0, 0, 0, 0, 2, 3},
			2: {2, 1, 0, 0, 0, 0, 3, 4},
			3: {3, 2, 1, 0, 0, 0, 4, 5},
			4: {4, 3, 2, 1, 0, 0, 5, 5},
			5: {5, 4, 3, 2, 1, 0, 5, 7},
			7: {7, 5, 5, 4, 3, 2, 7, 7},
		},
		rx2: 866550000, rx2DR: 2,
		power: 30, powers: 11,
		adrMin: 0, adrMax: 5,
		bands: []SubBand{{"865-867", 865000000, 867000000, 1000, 30}},
		banks: 1,
	})
}
