package region

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"fieldgate/radio"
)

// published is a region as RP002-1.0.4 prints it, by its tables.
type published struct {
	name     string
	channels []uint32 // of the channels table, where devices are told the others
	rates    []string // data rate table; "" reserved, "down" behind those that only gateways use
	n        []int    // maximum payload table (not repeater compatible), N
	nDwell   []int    // the same with limited dwell time; nil: the same
	rx1      [][]int  // RX1 table
	rx1Dwell [][]int  // the same with limited downlink dwell time; nil: the same
	rx2      uint32
	rx2DR    int
	powers   []int8
	lowest   int // ADR
	highest  int
}

// Tables that several regions share.
var (
	euRates   = []string{"SF12BW125", "SF11BW125", "SF10BW125", "SF9BW125", "SF8BW125", "SF7BW125", "SF7BW250", "50000"}
	euSizes   = []int{51, 51, 51, 115, 242, 242, 242, 242}
	euOffsets = [][]int{ // Regional Parameters 1.0.3, table 33, prints it so for EU433
		{0, 0, 0, 0, 0, 0},
		{1, 0, 0, 0, 0, 0},
		{2, 1, 0, 0, 0, 0},
		{3, 2, 1, 0, 0, 0},
		{4, 3, 2, 1, 0, 0},
		{5, 4, 3, 2, 1, 0},
		{6, 5, 4, 3, 2, 1},
		{7, 6, 5, 4, 3, 2},
	}
	asSizes   = []int{51, 51, 115, 115, 242, 242, 242, 242} // RP002-1.0.5 table 73 prints it so too
	asDwell   = []int{0, 0, 11, 53, 125, 242, 242, 242}
	asOffsets = [][]int{
		{0, 0, 0, 0, 0, 0, 1, 2},
		{1, 0, 0, 0, 0, 0, 2, 3},
		{2, 1, 0, 0, 0, 0, 3, 4},
		{3, 2, 1, 0, 0, 0, 4, 5},
		{4, 3, 2, 1, 0, 0, 5, 6},
		{5, 4, 3, 2, 1, 0, 6, 7},
		{6, 5, 4, 3, 2, 1, 7, 7},
		{7, 6, 5, 4, 3, 2, 7, 7},
	}
	asOffsetsDwell = [][]int{
		{2, 2, 2, 2, 2, 2, 2, 2},
		{2, 2, 2, 2, 2, 2, 2, 3},
		{2, 2, 2, 2, 2, 2, 3, 4},
		{3, 2, 2, 2, 2, 2, 4, 5},
		{4, 3, 2, 2, 2, 2, 5, 6},
		{5, 4, 3, 2, 2, 2, 6, 7},
		{6, 5, 4, 3, 2, 2, 7, 7},
		{7, 6, 5, 4, 3, 2, 7, 7},
	}
	to14 = []int8{16, 14, 12, 10, 8, 6, 4, 2}
	to28 = []int8{30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2}
)

var tables = []published{
	{ // section 2.4
		"EU868", []uint32{868100000, 868300000, 868500000}, euRates, euSizes, nil, euOffsets, nil,
		869525000, 0, to14, 0, 5,
	},
	{ // section 2.7
		"EU433", []uint32{433175000, 433375000, 433575000}, euRates, euSizes, nil, euOffsets, nil,
		434665000, 0, []int8{12, 10, 8, 6, 4, 2}, 0, 5,
	},
	{ // section 2.5
		"US915", nil,
		[]string{"SF10BW125", "SF9BW125", "SF8BW125", "SF7BW125", "SF8BW500", "", "", "",
			"SF12BW500 down", "SF11BW500 down", "SF10BW500 down", "SF9BW500 down", "SF8BW500 down", "SF7BW500 down"},
		[]int{11, 53, 125, 242, 242, 0, 0, 0, 53, 129, 242, 242, 242, 242}, nil,
		[][]int{{10, 9, 8, 8}, {11, 10, 9, 8}, {12, 11, 10, 9}, {13, 12, 11, 10}, {13, 13, 12, 11}}, nil,
		923300000, 8, to28, 0, 3,
	},
	{ // section 2.8
		"AU915", nil,
		[]string{"SF12BW125", "SF11BW125", "SF10BW125", "SF9BW125", "SF8BW125", "SF7BW125", "SF8BW500", "",
			"SF12BW500 down", "SF11BW500 down", "SF10BW500 down", "SF9BW500 down", "SF8BW500 down", "SF7BW500 down"},
		[]int{51, 51, 51, 115, 242, 242, 242, 0, 53, 129, 242, 242, 242, 242},
		[]int{0, 0, 11, 53, 125, 242, 242, 0, 53, 129, 242, 242, 242, 242},
		[][]int{{8, 8, 8, 8, 8, 8}, {9, 8, 8, 8, 8, 8}, {10, 9, 8, 8, 8, 8}, {11, 10, 9, 8, 8, 8}, {12, 11, 10, 9, 8, 8}, {13, 12, 11, 10, 9, 8}, {13, 13, 12, 11, 10, 9}}, nil,
		923300000, 8, to28, 0, 5,
	},
	{ // section 2.10
		"AS923-1", []uint32{923200000, 923400000}, euRates, asSizes, asDwell, asOffsets, asOffsetsDwell,
		923200000, 2, to14, 0, 5,
	},
	{"AS923-2", []uint32{921400000, 921600000}, euRates, asSizes, asDwell, asOffsets, asOffsetsDwell, 921400000, 2, to14, 0, 5},
	{"AS923-3", []uint32{916600000, 916800000}, euRates, asSizes, asDwell, asOffsets, asOffsetsDwell, 916600000, 2, to14, 0, 5},
	{"AS923-4", []uint32{917300000, 917500000}, euRates, asSizes, asDwell, asOffsets, asOffsetsDwell, 917300000, 2, to14, 0, 5},
	{ // section 2.11
		"KR920", []uint32{922100000, 922300000, 922500000}, euRates[:6], euSizes[:6], nil, euOffsets[:6], nil,
		921900000, 0, []int8{14, 12, 10, 8, 6, 4, 2, 0}, 0, 5,
	},
	{ // section 2.12
		"IN865", []uint32{865062500, 865402500, 865985000},
		[]string{"SF12BW125", "SF11BW125", "SF10BW125", "SF9BW125", "SF8BW125", "SF7BW125", "", "50000"},
		[]int{51, 51, 51, 115, 242, 242, 0, 242}, nil,
		[][]int{{0, 0, 0, 0, 0, 0, 1, 2}, {1, 0, 0, 0, 0, 0, 2, 3}, {2, 1, 0, 0, 0, 0, 3, 4}, {3, 2, 1, 0, 0, 0, 4, 5},
			{4, 3, 2, 1, 0, 0, 5, 5}, {5, 4, 3, 2, 1, 0, 5, 7}, nil, {7, 5, 5, 4, 3, 2, 7, 7}}, nil,
		866550000, 2, []int8{30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10}, 0, 5,
	},
}

// get is Get for tests.
func get(t testing.TB, name string) *Region {
	t.Helper()
	r, err := Get(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestTables compares each region with its published tables, beyond their ends too.
func TestTables(t *testing.T) {
	var names []string
	for _, c := range tables {
		names = append(names, c.name)
		t.Run(c.name, func(t *testing.T) {
			r := get(t, c.name)
			if r.Name() != c.name {
				t.Error(r.Name())
			}
			for dr := -1; dr < 17; dr++ {
				checkRate(t, r, c, dr)
			}
			for i := -1; i < 17; i++ {
				dBm, ok := r.TXPower(i)
				if want := i >= 0 && i < len(c.powers); ok != want || want && dBm != c.powers[i] {
					t.Errorf("TXPower %d: %d dBm, %v", i, dBm, ok)
				}
			}
			if r.MaxTXPower() != len(c.powers)-1 {
				t.Error("MaxTXPower", r.MaxTXPower())
			}
			if f, dr := r.RX2(); f != c.rx2 || dr != c.rx2DR {
				t.Errorf("RX2 %d Hz DR%d", f, dr)
			}
			if low, high := r.ADRDataRates(false); low != c.lowest || high != c.highest || r.MaxADRDataRate() != high {
				t.Errorf("ADR %d to %d", low, high)
			}
			if c.channels != nil {
				var f []uint32
				for _, ch := range r.Channels() {
					f = append(f, ch.Frequency)
					if ch.MinDR != 0 || ch.MaxDR != 5 {
						t.Errorf("%+v", ch)
					}
				}
				if !slices.Equal(f, c.channels) || r.Fixed() || r.MaxChannels() != 16 {
					t.Errorf("channels %v", f)
				}
			}
		})
	}
	if got := Names(); len(got) != len(names) {
		t.Errorf("%v have tables, %v are registered", names, got)
	}
}

// checkRate compares one data rate with its tables.
func checkRate(t *testing.T, r *Region, c published, dr int) {
	want, downOnly := "", false
	if dr >= 0 && dr < len(c.rates) {
		want, downOnly = strings.CutSuffix(c.rates[dr], " down")
	}
	m, ok := r.DataRate(dr)
	if ok != (want != "") || ok && m.DataRate() != want || ok && m.LoRa() && m.CodingRate != 5 {
		t.Errorf("DR%d: %+v %v, not %q", dr, m, ok, want)
	}
	downlink := downOnly || ok && !r.Fixed()
	if r.Uplink(dr) != (ok && !downOnly) || r.Downlink(dr) != downlink {
		t.Errorf("DR%d: uplink %v downlink %v", dr, r.Uplink(dr), r.Downlink(dr))
	}
	n, limited := 0, 0
	if ok {
		n, limited = c.n[dr], c.n[dr]
		if c.nDwell != nil {
			limited = c.nDwell[dr]
		}
	}
	if r.MaxPayload(dr) != n || r.MaxPayloadDwell(dr, true) != limited {
		t.Errorf("DR%d: at most %d and %d bytes, not %d and %d", dr, r.MaxPayload(dr), r.MaxPayloadDwell(dr, true), n, limited)
	}
	freq := r.Channels()[0].Frequency
	for offset := -1; offset < 9; offset++ {
		for _, dwell := range []bool{false, true} {
			rows := c.rx1
			if dwell && c.rx1Dwell != nil {
				rows = c.rx1Dwell
			}
			_, down, err := r.RX1Dwell(freq, dr, offset, dwell)
			valid := dr >= 0 && dr < len(rows) && offset >= 0 && offset < len(rows[dr])
			if (err == nil) != valid || valid && down != rows[dr][offset] {
				t.Errorf("RX1 of DR%d, offset %d, dwell time %v: DR%d, %v", dr, offset, dwell, down, err)
			}
		}
	}
}

// TestNames: AS923 is the first group, and what is unknown is told with what is
// known.
func TestNames(t *testing.T) {
	if get(t, "AS923") != get(t, "AS923-1") {
		t.Error("AS923 is not AS923-1")
	}
	_, err := Get("EU686")
	if !errors.Is(err, ErrUnknown) {
		t.Fatal(err)
	}
	want := `region: no such region: "EU686"; there are AS923-1, AS923-2, AS923-3, AS923-4, AU915, EU433, EU868, IN865, KR920, US915`
	if err.Error() != want {
		t.Error(err)
	}
}

// TestFixed checks the channels of US915 (section 2.5.2) and AU915 (2.8.2), and on
// which of the eight downlink channels RX1 is.
func TestFixed(t *testing.T) {
	for _, c := range []struct {
		name                        string
		first, wide                 uint32
		narrowMax, wideDR, joinRate int
	}{
		{"US915", 902300000, 903000000, 3, 4, 0},
		{"AU915", 915200000, 915900000, 5, 6, 2},
	} {
		r := get(t, c.name)
		channels, join := r.Channels(), r.JoinChannels()
		if len(channels) != 72 || len(join) != 72 || !r.Fixed() || r.MaxChannels() != 72 {
			t.Fatal(c.name, len(channels))
		}
		for i, ch := range channels {
			want := Channel{c.first + uint32(i)*200000, 0, c.narrowMax}
			asks := Channel{want.Frequency, c.joinRate, c.joinRate}
			if i >= 64 {
				want = Channel{c.wide + uint32(i-64)*1600000, c.wideDR, c.wideDR}
				asks = want
			}
			if ch != want || join[i] != asks {
				t.Errorf("%s channel %d: %+v, join %+v", c.name, i, ch, join[i])
			}
			freq, _, err := r.RX1(ch.Frequency, ch.MinDR, 0)
			if down := 923300000 + uint32(i%8)*600000; err != nil || freq != down {
				t.Errorf("%s channel %d: RX1 at %d, %v", c.name, i, freq, err)
			}
		}
		if _, _, err := r.RX1(channels[0].Frequency+50000, 0, 0); !errors.Is(err, ErrChannel) {
			t.Error(err)
		}
	}
}

// TestErrors is for the errors of RX1 in a region whose devices are told channels.
func TestErrors(t *testing.T) {
	r := get(t, "EU868")
	for _, c := range []struct {
		freq       uint32
		dr, offset int
		want       error
	}{
		{867100000, 0, 0, nil}, {868650000, 0, 0, ErrChannel}, {0, 0, 0, ErrChannel}, {915000000, 0, 0, ErrChannel},
		{868100000, 8, 0, ErrDataRate}, {868100000, -1, 0, ErrDataRate}, {868100000, 0, 6, ErrOffset}, {868100000, 0, -1, ErrOffset},
	} {
		freq, _, err := r.RX1(c.freq, c.dr, c.offset)
		if !errors.Is(err, c.want) || c.want == nil && freq != c.freq {
			t.Errorf("%+v: %d, %v", c, freq, err)
		}
	}
	if _, _, err := get(t, "US915").RX1(902300000, 8, 0); !errors.Is(err, ErrDataRate) {
		t.Error("a downlink data rate as uplink:", err)
	}
	if freq, _, err := r.RX1(868100031, 0, 0); err != nil || freq != 868100000 {
		t.Errorf("rounded by a chip: %d, %v", freq, err)
	}
}

// TestEuropeanSubBands has each edge of ETSI EN 300 220-2 annex B.
func TestEuropeanSubBands(t *testing.T) {
	for _, c := range []struct {
		freq     uint32
		name     string // "": none
		permille int
		eirp     int8
	}{
		{862999999, "", 0, NoEIRP},
		{863000000, "863.0-865.0", 1, 16}, {864999999, "863.0-865.0", 1, 16},
		{865000000, "865.0-868.0", 10, 16}, {867999999, "865.0-868.0", 10, 16},
		{868000000, "868.0-868.6", 10, 16}, {868600000, "868.0-868.6", 10, 16},
		{868600001, "", 0, NoEIRP}, {868699999, "", 0, NoEIRP},
		{868700000, "868.7-869.2", 1, 16}, {869200000, "868.7-869.2", 1, 16},
		{869200001, "", 0, NoEIRP}, {869300000, "", 0, NoEIRP},
		{869400000, "869.4-869.65", 100, 29}, {869525000, "869.4-869.65", 100, 29}, {869650000, "869.4-869.65", 100, 29},
		{869675000, "", 0, NoEIRP},
		{869700000, "869.7-870.0", 10, 16}, {870000000, "869.7-870.0", 10, 16},
		{870000001, "", 0, NoEIRP},
	} {
		r := get(t, "EU868")
		b, ok := r.SubBand(c.freq)
		if ok != (c.name != "") || b.Name != c.name || b.Permille != c.permille || r.MaxEIRP(c.freq) != c.eirp || r.Contains(c.freq) != ok {
			t.Errorf("%d: %+v %v, %d dBm", c.freq, b, ok, r.MaxEIRP(c.freq))
		}
		if ok && b.Share() != float64(c.permille)/1000 {
			t.Error(b.Share())
		}
	}
	r := get(t, "EU868")
	for _, c := range []struct {
		freq, bandwidth uint32
		want            bool
	}{
		{868100000, 125000, true}, {868300000, 250000, true}, {868062500, 125000, true}, {868062499, 125000, false},
		{868000000, 125000, false}, {869525000, 250000, true}, {869525000, 250002, false}, {868650000, 7800, false},
	} {
		if r.Fits(c.freq, c.bandwidth) != c.want {
			t.Errorf("%+v", c)
		}
	}
}

// TestLimits are those of the other regions.
func TestLimits(t *testing.T) {
	for _, c := range []struct {
		region   string
		freq     uint32
		permille int // 0: not limited
		eirp     int8
		inside   bool
	}{
		{"EU433", 433175000, 100, 12, true}, {"EU433", 434665000, 100, 12, true}, {"EU433", 434800000, 0, NoEIRP, false},
		{"AS923-1", 923200000, 10, 16, true}, {"AS923-1", 929000000, 0, NoEIRP, false},
		{"AS923-2", 921400000, 10, 16, true}, {"AS923-2", 919000000, 0, NoEIRP, false},
		{"AS923-3", 916600000, 10, 16, true}, {"AS923-4", 917300000, 10, 16, true}, {"AS923-4", 921000000, 0, NoEIRP, false},
		{"KR920", 922100000, 0, 23, true}, {"KR920", 921900000, 0, 23, true}, {"KR920", 924000000, 0, NoEIRP, false},
		{"IN865", 865062500, 0, 30, true}, {"IN865", 868100000, 0, NoEIRP, false},
		{"US915", 923300000, 0, 26, true}, {"US915", 868100000, 0, NoEIRP, false},
		{"AU915", 923300000, 0, 30, true}, {"AU915", 902300000, 0, NoEIRP, false},
	} {
		r := get(t, c.region)
		b, ok := r.SubBand(c.freq)
		if ok != (c.permille > 0) || b.Permille != c.permille || r.MaxEIRP(c.freq) != c.eirp || r.Contains(c.freq) != c.inside {
			t.Errorf("%+v: %+v %v", c, b, ok)
		}
	}
	for name, want := range map[string][4]bool{ // TxParamSetup, dwell up, dwell down, lowest ADR rate is DR2 then
		"EU868": {}, "EU433": {}, "KR920": {}, "IN865": {}, "US915": {false, true, false, false},
		"AU915": {true, true, false, true}, "AS923-1": {true, true, false, true}, "AS923-4": {true, true, false, true},
	} {
		r := get(t, name)
		up, down := r.Dwell()
		low, _ := r.ADRDataRates(true)
		if got := [4]bool{r.HasTxParamSetup(), up, down, low == 2}; got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestDataRateOf has what is no data rate, and what has another number downward.
func TestDataRateOf(t *testing.T) {
	us, eu := get(t, "US915"), get(t, "EU868")
	sf8 := radio.Modulation{SF: 8, Bandwidth: 500000}
	if dr, ok := us.DataRateOf(sf8, true); !ok || dr != 4 {
		t.Error(dr, ok)
	}
	if dr, ok := us.DataRateOf(sf8, false); !ok || dr != 12 {
		t.Error(dr, ok)
	}
	for _, m := range []radio.Modulation{{}, {BitRate: 4800}, {SF: 7, Bandwidth: 500000}, {SF: 6, Bandwidth: 125000}, {SF: 12, Bandwidth: 250000}} {
		if dr, ok := eu.DataRateOf(m, true); ok {
			t.Errorf("%+v is DR%d", m, dr)
		}
	}
	if _, ok := us.DataRateOf(radio.Modulation{SF: 10, Bandwidth: 125000}, false); ok {
		t.Error("US915 has no such downlink")
	}
}

// TestEIRP has the codes of TxParamSetupReq (LoRaWAN 1.0.4 section 5.9) both ways.
func TestEIRP(t *testing.T) {
	for code, dBm := range []int8{8, 10, 12, 13, 14, 16, 18, 20, 21, 24, 26, 27, 29, 30, 33, 36} {
		if EIRP(uint8(code)) != dBm || EIRP(uint8(code)|0xf0) != dBm || EIRPCode(dBm) != uint8(code) {
			t.Errorf("code %d", code)
		}
	}
	for dBm, code := range map[int8]uint8{-5: 0, 7: 0, 9: 0, 11: 1, 15: 4, 17: 5, 35: 14, 100: 15} {
		if EIRPCode(dBm) != code {
			t.Errorf("%d dBm: %d", dBm, EIRPCode(dBm))
		}
	}
}
