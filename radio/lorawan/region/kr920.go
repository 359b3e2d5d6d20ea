package region

// KR920-923, section 2.11. Gateways have 23 dBm EIRP in all channels, the middles
// of which are 920.9 to 923.3 MHz; devices 14 dBm, below 922 MHz 10 dBm whatever
// TXPower says. Duty cycle is not limited, but everybody is to listen before
// talking, which a gateway has to do in its radio.
func init() {
	rates := []rate{
		lora(12, 125000, both, 59, 59),
		lora(11, 125000, both, 59, 59),
		lora(10, 125000, both, 59, 59),
		lora(9, 125000, both, 123, 123),
		lora(8, 125000, both, 250, 250),
		lora(7, 125000, both, 250, 250),
	}
	register(&Region{
		name:     "KR920",
		rates:    rates,
		channels: at(0, 5, 922100000, 922300000, 922500000),
		join:     at(0, 5, 922100000, 922300000, 922500000),
		rx1:      rx1Table(rates, 0, 0, 1, 2, 3, 4, 5),
		rx2:      921900000, rx2DR: 0,
		power: 14, powers: 8,
		adrMin: 0, adrMax: 5,
		bands: []SubBand{{"920.8-923.4", 920800000, 923400000, 1000, 23}},
		banks: 1,
	})
}
