package radio

import (
	"math/big"
	"testing"
	"time"
)

// symbols is how many symbols a frame has by the formulas of the datasheets, in
// rational numbers and the way they are printed there (SX1276 section 4.1.1.7,
// SX1261/2 section 6.1.4), without regard to the code under test. De is 1 with low
// data rate optimisation.
func symbols(sf, de, cr, length, preamble int64, implicit, crc, sx126x bool) *big.Rat {
	one := func(b bool) int64 {
		if b {
			return 1
		}
		return 0
	}
	var extra, numerator *big.Rat
	if sx126x && sf < 7 {
		header := 20 * one(!implicit)
		numerator = big.NewRat(8*length+16*one(crc)-4*sf+header, 1)
		extra = big.NewRat(625, 100)
	} else {
		numerator = big.NewRat(8*length-4*sf+28+16*one(crc)-20*one(implicit), 1)
		extra = big.NewRat(425, 100)
	}
	blocks := ceil(new(big.Rat).Quo(numerator, big.NewRat(4*(sf-2*de), 1)))
	blocks.Mul(blocks, big.NewRat(cr, 1))
	if blocks.Sign() < 0 {
		blocks = new(big.Rat)
	}
	sum := new(big.Rat).Add(big.NewRat(preamble, 1), extra)
	sum.Add(sum, big.NewRat(8, 1))
	return sum.Add(sum, blocks)
}

// ceil is the least integer that is not below r.
func ceil(r *big.Rat) *big.Rat {
	q, m := new(big.Int).DivMod(r.Num(), r.Denom(), new(big.Int)) // Euclidean: m is not negative
	if m.Sign() > 0 {
		q.Add(q, big.NewInt(1))
	}
	return new(big.Rat).SetInt(q)
}

// TestAirtimeFormula compares every spreading factor, bandwidth and length with
// the formula; coding rate, header, CRC and preamble in all combinations.
func TestAirtimeFormula(t *testing.T) {
	type key struct {
		sf, cr, length, preamble int64
		implicit, crc, sx126x    bool
	}
	count := 0
	check := func(k key) {
		var sums [2]*big.Rat
		for _, bw := range Bandwidths {
			count++
			ts := big.NewRat(1<<k.sf, int64(bw))
			de := int64(0)
			if ts.Cmp(big.NewRat(16, 1000)) > 0 {
				de = 1
			}
			if sums[de] == nil {
				sums[de] = symbols(k.sf, de, k.cr, k.length, k.preamble, k.implicit, k.crc, k.sx126x)
				sums[de].Mul(sums[de], big.NewRat(1e9, 1))
			}
			want := ceil(ts.Mul(ts, sums[de]))
			got := Airtime(Modulation{SF: uint8(k.sf), Bandwidth: bw, CodingRate: uint8(k.cr)}, int(k.length),
				AirtimeOptions{Preamble: int(k.preamble), Implicit: k.implicit, NoCRC: !k.crc, SX127x: !k.sx126x})
			if !want.Num().IsInt64() || want.Num().Int64() != int64(got) {
				t.Fatalf("%d Hz, %+v: %d ns, by the formula %s", bw, k, got, want.FloatString(0))
			}
		}
	}
	for sf := int64(5); sf <= 12; sf++ {
		for length := range int64(MaxPayload + 1) {
			for combination := range int64(16) {
				k := key{sf, 5 + combination/4, length, 8, combination&1 != 0, combination&2 != 0, true}
				check(k)
				if sf == 6 {
					k.sx126x = false
					check(k)
				}
			}
		}
		for _, preamble := range []int64{1, 6, 10, 65535} {
			check(key{sf, 8, 255, preamble, false, true, true})
		}
	}
	if count < 8*10*256*16 {
		t.Fatalf("only %d cases", count)
	}
	t.Logf("%d cases", count)
}

// TestAirtimeRound checks the rounding where a nanosecond does not divide.
func TestAirtimeRound(t *testing.T) {
	// 8+4.25+8+5*ceil((8*30-28+44)/28) = 70.25 symbols of 128/41700 s: 215635491.007 ns
	got := Airtime(Modulation{SF: 7, Bandwidth: 41700, CodingRate: 5}, 30, AirtimeOptions{})
	if got != 215635492 {
		t.Errorf("%d ns", got)
	}
}

// TestAirtimePublished has airtimes that others have published: 13 bytes at SF9 of
// the spreadsheet to Semtech's AN1200.13 that The Things Network's forum hands on
// (164.864 ms), the usual examples of LoRaWAN calculators (61.7, 1482.8, 2793.5,
// 185.3, 370.7 and 28.3 ms), and FSK by hand.
func TestAirtimePublished(t *testing.T) {
	for _, c := range []struct {
		m      Modulation
		length int
		o      AirtimeOptions
		want   time.Duration
	}{
		{Modulation{SF: 9, Bandwidth: 125000, CodingRate: 5}, 13, AirtimeOptions{}, 164864 * time.Microsecond},
		{Modulation{SF: 12, Bandwidth: 125000, CodingRate: 5}, 23, AirtimeOptions{}, 1482752 * time.Microsecond},
		{Modulation{SF: 7, Bandwidth: 125000, CodingRate: 5}, 23, AirtimeOptions{}, 61696 * time.Microsecond},
		{Modulation{SF: 12, Bandwidth: 125000, CodingRate: 5}, 64, AirtimeOptions{}, 2793472 * time.Microsecond},
		{Modulation{SF: 9, Bandwidth: 125000, CodingRate: 5}, 20, AirtimeOptions{}, 185344 * time.Microsecond},
		{Modulation{SF: 10, Bandwidth: 125000, CodingRate: 5}, 20, AirtimeOptions{}, 370688 * time.Microsecond},
		{Modulation{SF: 7, Bandwidth: 250000, CodingRate: 5}, 20, AirtimeOptions{}, 28288 * time.Microsecond},
		{Modulation{SF: 12, Bandwidth: 125000}, 33, AirtimeOptions{NoCRC: true}, 1810432 * time.Microsecond}, // a join accept with CFList
		// 5 preamble, 3 sync word, 1 length, 20 payload, 2 CRC at 50 kbit/s
		{Modulation{BitRate: 50000}, 20, AirtimeOptions{}, 4960 * time.Microsecond},
		{Modulation{BitRate: 50000}, 20, AirtimeOptions{Preamble: 8, Implicit: true, NoCRC: true}, 4960 * time.Microsecond},
	} {
		if got := Airtime(c.m, c.length, c.o); got != c.want {
			t.Errorf("%s, %d bytes: %v, not %v", c.m.DataRate(), c.length, got, c.want)
		}
	}
}

// TestAirtimeNone is for what has no airtime.
func TestAirtimeNone(t *testing.T) {
	for _, m := range []Modulation{
		{}, {SF: 7}, {SF: 4, Bandwidth: 125000}, {SF: 13, Bandwidth: 125000}, {SF: 255, Bandwidth: 1},
		{SF: 7, Bandwidth: 125000, CodingRate: 1}, {SF: 7, Bandwidth: 125000, CodingRate: 9},
	} {
		if got := Airtime(m, 20, AirtimeOptions{}); got != 0 {
			t.Errorf("%+v: %v", m, got)
		}
	}
	m := Modulation{SF: 7, Bandwidth: 125000, CodingRate: 5}
	if Airtime(m, -1, AirtimeOptions{Preamble: -1}) != Airtime(m, 0, AirtimeOptions{Preamble: 8}) {
		t.Error("lengths below 0 do not count as 0")
	}
	if Airtime(m, 1<<30, AirtimeOptions{Preamble: 1 << 30}) != Airtime(m, 255, AirtimeOptions{Preamble: 65535}) {
		t.Error("lengths are not bounded")
	}
	if got := Airtime(Modulation{SF: 12, Bandwidth: 1, CodingRate: 8}, 255, AirtimeOptions{Preamble: 65535}); got <= 0 {
		t.Errorf("overflow: %v", got)
	}
}

// TestLowDataRate has the cases at the limit: 16.384 ms is above it.
func TestLowDataRate(t *testing.T) {
	for _, c := range []struct {
		sf   uint8
		bw   uint32
		want bool
	}{
		{12, 125000, true}, {11, 125000, true}, {10, 125000, false}, {12, 250000, true}, {11, 250000, false}, {12, 500000, false},
		{10, 62500, true}, {9, 62500, false}, {9, 31250, true}, {8, 31250, false}, {7, 7800, true}, {6, 7800, false},
		{8, 15600, true}, {7, 15600, false}, {0, 125000, false},
	} {
		if got := (Modulation{SF: c.sf, Bandwidth: c.bw}).LowDataRate(); got != c.want {
			t.Errorf("SF%d, %d Hz: %v", c.sf, c.bw, got)
		}
	}
}
