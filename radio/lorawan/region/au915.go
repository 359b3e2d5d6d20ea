package region

// AU915-928, section 2.8. Law: Radiocommunications (Low Interference Potential
// Devices) Class Licence, 1 W EIRP; duty cycle is not limited. Devices take uplink
// dwell time to be limited until TxParamSetupReq tells them otherwise; downlinks
// have 500 kHz and are not.
func init() {
	channels := append(every(64, 915200000, 200000, 0, 5), every(8, 915900000, 1600000, 6, 6)...)
	join := append(every(64, 915200000, 200000, 2, 2), every(8, 915900000, 1600000, 6, 6)...)
	register(&Region{
		name: "AU915",
		rates: []rate{
			0:  lora(12, 125000, up, 59, 0),
			1:  lora(11, 125000, up, 59, 0),
			2:  lora(10, 125000, up, 59, 19),
			3:  lora(9, 125000, up, 123, 61),
			4:  lora(8, 125000, up, 250, 133),
			5:  lora(7, 125000, up, 250, 250),
			6:  lora(8, 500000, up, 250, 250),
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
		rx1: [][]int{ // table of section 2.8.7
			{8, 8, 8, 8, 8, 8},
			{9, 8, 8, 8, 8, 8},
			{10, 9, 8, 8, 8, 8},
			{11, 10, 9, 8, 8, 8},
			{12, 11, 10, 9, 8, 8},
			{13, 12, 11, 10, 9, 8},
			{13, 13, 12, 11, 10, 9},
		},
		rx2: 923300000, rx2DR: 8,
		power: 30, powers: 15,
		adrMin: 0, adrMax: 5, adrDwell: 2,
		txParamSetup: true,
		dwellUp:      true,
		bands:        []SubBand{{"915-928", 915000000, 928000000, 1000, 30}},
		cfListType:   1,
		banks:        5,
	})
}
