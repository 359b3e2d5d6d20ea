package region

import (
	"testing"
	"time"

	"fieldgate/radio"
)

// all calls fn with each region.
func all(t *testing.T, fn func(t *testing.T, r *Region)) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) { fn(t, get(t, name)) })
	}
}

// TestAnswerable: whatever a device may send on any channel, the gateway may
// answer in RX1 and RX2, within the sub-band and its power, and short enough
// where dwell time of downlinks can be limited: not where they have 500 kHz.
func TestAnswerable(t *testing.T) {
	all(t, func(t *testing.T, r *Region) {
		check := func(freq uint32, dr int, limited bool) {
			m, ok := r.DataRate(dr)
			if !ok || !r.Downlink(dr) {
				t.Fatalf("%d Hz: DR%d is no downlink", freq, dr)
			}
			if !r.Contains(freq) || m.LoRa() && !r.Fits(freq, m.Bandwidth) {
				t.Errorf("%d Hz, %s: outside", freq, m.DataRate())
			}
			n := r.MaxPayloadDwell(dr, limited)
			if n <= 0 {
				t.Errorf("DR%d has no room, dwell time %v", dr, limited)
			}
			if d := radio.Airtime(m, 5+macHeader+n, radio.AirtimeOptions{NoCRC: true}); limited && d > DwellTime {
				t.Errorf("DR%d: %d bytes take %v", dr, n, d)
			}
		}
		for i, c := range r.Channels() {
			if got, ok := r.ChannelAt(c.Frequency); !ok || got != i {
				t.Errorf("channel %d is at %d", i, got)
			}
			for dr := c.MinDR; dr <= c.MaxDR; dr++ {
				for offset := 0; offset <= r.MaxRX1Offset(); offset++ {
					for _, limited := range []bool{false, true} {
						freq, down, err := r.RX1Dwell(c.Frequency, dr, offset, limited)
						if err != nil {
							t.Fatal(err)
						}
						_, dwells := r.Dwell()
						check(freq, down, limited && !r.Fixed() && (dwells || r.HasTxParamSetup()))
					}
				}
			}
		}
		freq, dr := r.RX2()
		check(freq, dr, false)
	})
}

// TestUplinks: what devices send keeps to dwell time where a device takes it to be
// limited, and ADR and join requests to what channels have.
func TestUplinks(t *testing.T) {
	all(t, func(t *testing.T, r *Region) {
		limited, _ := r.Dwell()
		low, high := r.ADRDataRates(limited)
		if !r.Uplink(low) || !r.Uplink(high) || low > high {
			t.Errorf("ADR DR%d to DR%d", low, high)
		}
		for dr := range 16 {
			n := r.MaxPayloadDwell(dr, true)
			if !r.Uplink(dr) || !limited || n == 0 {
				continue
			}
			m, _ := r.DataRate(dr)
			if d := radio.Airtime(m, 5+macHeader+n, radio.AirtimeOptions{}); d > DwellTime {
				t.Errorf("DR%d: %d bytes take %v", dr, n, d)
			}
		}
		join := r.JoinChannels()
		if len(join) != len(r.Channels()) {
			t.Fatal(len(join))
		}
		for i, c := range r.Channels() {
			if join[i].Frequency != c.Frequency || join[i].MinDR < c.MinDR || join[i].MaxDR > c.MaxDR || join[i].MinDR > join[i].MaxDR {
				t.Errorf("join channel %d: %+v of %+v", i, join[i], c)
			}
			if !r.Fits(c.Frequency, 125000) {
				t.Errorf("channel %d Hz is outside", c.Frequency)
			}
		}
	})
}

// TestDataRateRoundTrip: each data rate is found again by its modulation, of
// either coding rate.
func TestDataRateRoundTrip(t *testing.T) {
	all(t, func(t *testing.T, r *Region) {
		found := 0
		for dr := -1; dr < 20; dr++ {
			m, ok := r.DataRate(dr)
			if !ok {
				continue
			}
			found++
			for _, cr := range []uint8{m.CodingRate, 0, 8} {
				m.CodingRate = cr
				if got, ok := r.DataRateOf(m, true); r.Uplink(dr) && (!ok || got != dr) {
					t.Errorf("DR%d up is DR%d", dr, got)
				}
				if got, ok := r.DataRateOf(m, false); r.Downlink(dr) && (!ok || got != dr) {
					t.Errorf("DR%d down is DR%d", dr, got)
				}
			}
		}
		if found < 6 {
			t.Error(found)
		}
	})
}

// TestBandsInOrder: no frequency is in two sub-bands, and devices have no more
// power than a gateway may have there.
func TestBandsInOrder(t *testing.T) {
	all(t, func(t *testing.T, r *Region) {
		var last uint32
		names := map[string]bool{}
		for _, b := range r.SubBands() {
			if b.Low < last || b.High <= b.Low || b.Permille < 1 || b.Permille > 1000 || names[b.Name] || b.MaxEIRP < 0 || b.MaxEIRP > 36 {
				t.Errorf("%+v", b)
			}
			last, names[b.Name] = b.High, true
			if r.MaxEIRP(b.Low) != b.MaxEIRP {
				t.Errorf("%+v", b)
			}
		}
		for _, c := range r.Channels() {
			// US915: devices that hop over 50 channels may send with more than the
			// gateway, which does not.
			if p, _ := r.TXPower(0); p > r.MaxEIRP(c.Frequency) && r.Name() != "US915" {
				t.Errorf("%d Hz: devices have %d dBm", c.Frequency, p)
			}
		}
	})
}

// TestCopies: what a region hands out is the caller's.
func TestCopies(t *testing.T) {
	r := get(t, "EU868")
	r.Channels()[0].Frequency = 1
	r.JoinChannels()[0].Frequency = 1
	r.SubBands()[0].Low = 1
	if r.Channels()[0].Frequency != 868100000 || r.JoinChannels()[0].Frequency != 868100000 || r.SubBands()[0].Low != 863000000 {
		t.Error("a region was changed")
	}
}

// TestDelays are the recommended ones (section 2.3).
func TestDelays(t *testing.T) {
	if RxDelay != time.Second || JoinDelay1 != 5*time.Second || JoinDelay2 != 6*time.Second {
		t.Error("delays")
	}
}
