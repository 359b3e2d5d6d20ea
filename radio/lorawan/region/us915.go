package region

// US902-928, section 2.5.
//
// Devices hop over 64 channels of 125 kHz, where FCC 15.247 gives them 400 ms a
// hop (the sizes of DR0 to DR3 see to that), and 8 of 500 kHz. Gateways answer
// with 500 kHz. For that width devices are limited to 26 dBm at the antenna's plug;
// a gateway is here too, but as EIRP, so that no antenna makes it too much. Duty
// cycle is not limited.
//
// TXPower goes to 14 (to 10 before RP002; such a device refuses more).
func init() {
	channels := append(every(64, 902300000, 200000, 0, 3), every(8, 903000000, 1600000, 4, 4)...)
	join := append(every(64, 902300000, 200000, 0, 0), every(8, 903000000, 1600000, 4, 4)...)
	register(&Region{
		name: "US915",
		rates: []rate{
			0:  lora(10, 125000, up, 19, 19),
			1:  lora(9, 125000, up, 61, 61),
			2:  lora(8, 125000, up, 133, 133),
			3:  lora(7, 125000, up, 250, 250),
			4:  lora(8, 500000, up, 250, 250),
			8:  lora(12, 500000, down, 61, 61),
			9:  lora(11, 500000, down, 137, 137),
			10: lora(10, 500000, down, 250, 250),
			11: lora(9, 500000, down, 250, 250),
			12: lora(8, 500000, down, 250, 250),
			13: lora(7, 500000, down, 250, 250),
		},
		channels:  channels,
		join:      join,
		downlinks: []uint32{923300000, 923900000, 924500000, 925100000, 925700000, 926300000, 926900000, 927500000},
		rx1: [][]int{ // table of section 2.5.7
			{10, 9, 8, 8},
			{11, 10, 9, 8},
			{12, 11, 10, 9},
			{13, 12, 11, 10},
			{13, 13, 12, 11},
		},
		rx2: 923300000, rx2DR: 8,
		power: 30, powers: 15,
		adrMin: 0, adrMax: 3,
		dwellUp:    true,
		bands:      []SubBand{{"902-928", 902000000, 928000000, 1000, 26}},
		cfListType: 1,
		banks:      5,
	})
}
