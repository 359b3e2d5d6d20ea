package sim

import (
	"bytes"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio"
)

// ear is a receiver.
type ear struct {
	mu      sync.Mutex
	l       Listening
	headers int
	heard   []Reception
}

func (e *ear) Listening() (Listening, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.l, e.l.SF != 0
}

func (e *ear) HearHeader(Reception) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.headers++
}

func (e *ear) Hear(r Reception) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, r)
}

// tune has it listen from now on.
func (e *ear) tune(t radio.Tuning) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.l = Listening{Tuning: t, Since: time.Now()}
}

// take gives what was heard, and forgets it.
func (e *ear) take() []Reception {
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	h := e.heard
	e.heard, e.headers = nil, 0
	return h
}

var channel = radio.Tuning{Frequency: 868100000, Modulation: radio.Modulation{SF: 7, Bandwidth: 125000, CodingRate: 5}, SyncWord: radio.SyncPublic}

// on is a frame with a payload on a channel.
func on(t radio.Tuning, payload string, power float64) Emission {
	return Emission{Payload: []byte(payload), Frequency: t.Frequency, Modulation: t.Modulation, SyncWord: t.SyncWord, CRC: true, Power: power}
}

func TestAirtimeAndLevels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		air := NewAir(AirOptions{})
		e := &ear{}
		air.Attach("ear", e)
		tx := air.Attach("tx", nil)
		e.tune(channel)
		start := time.Now()
		end := tx.Send(on(channel, "hello", 14))
		if d := end.Sub(start); d != 30976*time.Microsecond { // 8 + 4.25 + 18 symbols of 1.024 ms
			t.Errorf("5 bytes take %v", d)
		}
		time.Sleep(time.Until(end))
		got := e.take()
		if len(got) != 1 || string(got[0].Payload) != "hello" || got[0].Corrupt || !got[0].End.Equal(end) || !got[0].Start.Equal(start) {
			t.Fatalf("%+v", got)
		}
		// The noise floor is -174 + 10 log 125000 + 6 = -117.03 dBm.
		if r := got[0]; r.RSSI != -86 || math.Abs(r.SNR-31.03) > 0.01 || r.FrequencyError != 0 {
			t.Errorf("%v dBm, %v dB", r.RSSI, r.SNR)
		}
		if s := air.Emissions(); len(s) != 1 || s[0].From != "tx" || !s[0].Start.Equal(start) {
			t.Errorf("%+v", s)
		}
	})
}

// TestSensitivity has the sensitivities of the datasheet (table 10, with a noise
// figure of 6 dB) as limits.
func TestSensitivity(t *testing.T) {
	for _, c := range []struct {
		sf   uint8
		bw   uint32
		want float64
	}{{7, 125000, -124.5}, {8, 125000, -127}, {9, 125000, -129.5}, {10, 125000, -132}, {11, 125000, -134.5}, {12, 125000, -137}, {7, 500000, -118.5}, {12, 7800, -149}} {
		synctest.Test(t, func(t *testing.T) {
			loss := 0.0
			air := NewAir(AirOptions{Loss: func(from, to string) float64 { return loss }})
			tuning := channel
			tuning.SF, tuning.Bandwidth = c.sf, c.bw
			if s := air.Sensitivity(tuning.Modulation); math.Abs(s-c.want) > 0.6 {
				t.Errorf("SF%d, %d Hz: %v dBm", c.sf, c.bw, s)
			}
			e := &ear{}
			air.Attach("ear", e)
			e.tune(tuning)
			tx := air.Attach("tx", nil)
			for _, above := range []float64{-0.1, 0.1} {
				loss = 14 - air.Sensitivity(tuning.Modulation) - above
				time.Sleep(time.Until(tx.Send(on(tuning, "x", 14))))
				if heard := len(e.take()) == 1; heard != (above > 0) {
					t.Errorf("SF%d: %v dB above the limit: heard %v", c.sf, above, heard)
				}
			}
		})
	}
}

// TestTuning has receivers that listen to something else, or since too late.
func TestTuning(t *testing.T) {
	for _, c := range []struct {
		name  string
		tune  func(*radio.Tuning)
		late  int // symbols
		heard bool
	}{
		{"right", func(*radio.Tuning) {}, 0, true},
		{"3 symbols late", func(*radio.Tuning) {}, 3, true},
		{"4 symbols late", func(*radio.Tuning) {}, 4, false},
		{"30 kHz off", func(t *radio.Tuning) { t.Frequency += 30000 }, 0, true},
		{"32 kHz off", func(t *radio.Tuning) { t.Frequency -= 32000 }, 0, false},
		{"SF8", func(t *radio.Tuning) { t.SF = 8 }, 0, false},
		{"250 kHz", func(t *radio.Tuning) { t.Bandwidth = 250000 }, 0, false},
		{"sync word", func(t *radio.Tuning) { t.SyncWord = 0x12 }, 0, false},
		{"coding rate", func(t *radio.Tuning) { t.CodingRate = 8 }, 0, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			air := NewAir(AirOptions{})
			e := &ear{}
			air.Attach("ear", e)
			tx := air.Attach("tx", nil)
			end := tx.Send(on(channel, "x", 14))
			time.Sleep(time.Duration(c.late) * channel.Symbol())
			tuning := channel
			c.tune(&tuning)
			e.tune(tuning)
			time.Sleep(time.Until(end))
			if got := e.take(); (len(got) == 1) != c.heard {
				t.Errorf("%s: %d frames heard", c.name, len(got))
			} else if c.heard && got[0].FrequencyError != int32(channel.Frequency)-int32(tuning.Frequency) {
				t.Errorf("%s: error of %d Hz", c.name, got[0].FrequencyError)
			}
		})
	}
}

// TestCollisions has two frames at once. The second one begins after a number of
// symbols and is stronger by some dB.
func TestCollisions(t *testing.T) {
	const first, second = "the first frame", "the second frame"
	for _, c := range []struct {
		name     string
		after    int
		stronger float64
		change   func(*Emission)
		want     string // heard whole, in order: f, s; F, S corrupted
	}{
		{"together", 0, 0, nil, "F"},
		{"later", 20, 0, nil, "F"},
		{"later and 7 dB below", 20, -7, nil, "f"},
		{"later and 5 dB below", 20, -5, nil, "F"},
		{"later and 7 dB above", 20, 7, nil, "F"},
		{"captures in the preamble", 2, 7, nil, "s"},
		{"does not capture", 2, 5, nil, "F"},
		{"another spreading factor", 5, 0, func(e *Emission) { e.SF = 9 }, "f"},
		{"another channel", 5, 0, func(e *Emission) { e.Frequency += 200000 }, "f"},
		{"half a channel", 5, 0, func(e *Emission) { e.Frequency += 100000 }, "F"},
		{"inverted", 5, 0, func(e *Emission) { e.InvertIQ = true }, "f"},
		{"another network", 20, 0, func(e *Emission) { e.SyncWord = 0x12 }, "F"},
		{"chirps rise as fast", 5, 0, func(e *Emission) { e.SF, e.Bandwidth = 9, 250000 }, "F"},
		{"FSK", 5, 0, func(e *Emission) { e.Modulation = radio.Modulation{BitRate: 50000} }, "f"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				air := NewAir(AirOptions{})
				e := &ear{}
				air.Attach("ear", e)
				e.tune(channel)
				a, b := air.Attach("a", nil), air.Attach("b", nil)
				a.Send(on(channel, first, 0))
				time.Sleep(time.Duration(c.after) * channel.Symbol())
				f := on(channel, second, c.stronger)
				if c.change != nil {
					c.change(&f)
				}
				b.Send(f)
				time.Sleep(time.Second)
				got := ""
				for _, r := range e.take() {
					l := "f"
					if len(r.Payload) == len(second) {
						l = "s"
					}
					if whole := bytes.Equal(r.Payload, []byte(first)) || bytes.Equal(r.Payload, []byte(second)); whole == r.Corrupt {
						t.Errorf("corrupt %v: %q", r.Corrupt, r.Payload)
					}
					if r.Corrupt {
						l = map[string]string{"f": "F", "s": "S"}[l]
					}
					got += l
				}
				if got != c.want {
					t.Errorf("heard %q, want %q", got, c.want)
				}
			})
		})
	}
}

// TestSequence has frames without a pause: none is lost to the one before.
func TestSequence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		air := NewAir(AirOptions{})
		e := &ear{}
		air.Attach("ear", e)
		e.tune(channel)
		tx := []*Antenna{air.Attach("a", nil), air.Attach("b", nil)}
		for i := range 50 {
			time.Sleep(time.Until(tx[i%2].Send(on(channel, "hello", 0))))
		}
		if got := e.take(); len(got) != 50 || got[25].Corrupt {
			t.Errorf("%d frames", len(got))
		}
		if n := len(air.frames); n > 3 {
			t.Errorf("%d frames are kept", n)
		}
	})
}

// TestStopped cuts frames off: by Stop, by the next frame, and by Detach.
func TestStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		air := NewAir(AirOptions{})
		e := &ear{}
		n := air.Attach("ear", e)
		e.tune(channel)
		tx := air.Attach("tx", nil)
		tx.Send(on(channel, "one", 0))
		time.Sleep(10 * time.Millisecond)
		tx.Stop()
		time.Sleep(time.Second)
		tx.Send(on(channel, "two", 0))
		time.Sleep(time.Millisecond)
		tx.Send(on(channel, "three", 0))
		time.Sleep(time.Second)
		tx.Send(on(channel, "four", 0))
		tx.Detach()
		time.Sleep(time.Second)
		if got := e.take(); len(got) != 1 || string(got[0].Payload) != "three" {
			t.Errorf("%+v", got)
		}
		tx = air.Attach("tx", nil)
		n.Detach()
		time.Sleep(time.Until(tx.Send(on(channel, "five", 0))))
		if len(e.take()) != 0 {
			t.Error("heard without an antenna")
		}
	})
}

func TestActivity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		air := NewAir(AirOptions{Crystal: func(name string) float64 { return map[string]float64{"tx": 2}[name] }})
		e := &ear{}
		n := air.Attach("ear", e)
		e.tune(channel)
		l, _ := e.Listening()
		quiet := n.Activity(l)
		if quiet.Detected || quiet.Receiving || quiet.Preamble || math.Abs(quiet.Power+117) > 0.1 {
			t.Errorf("%+v", quiet)
		}
		tx := air.Attach("tx", nil)
		end := tx.Send(on(channel, "hello", 14))
		time.Sleep(time.Millisecond)
		if a := n.Activity(l); !a.Detected || !a.Preamble || !a.Receiving || math.Abs(a.Power+86) > 0.1 {
			t.Errorf("%+v", a)
		}
		time.Sleep(20 * time.Millisecond)
		if a := n.Activity(l); !a.Detected || a.Preamble || !a.Receiving {
			t.Errorf("%+v", a)
		}
		l.Since = time.Now()
		if a := n.Activity(l); !a.Detected || a.Receiving {
			t.Errorf("%+v", a)
		}
		l.SF = 9
		if a := n.Activity(l); a.Detected || math.Abs(a.Power+86) > 0.1 {
			t.Errorf("%+v", a)
		}
		time.Sleep(time.Until(end))
		if a := n.Activity(l); a != quiet {
			t.Errorf("%+v", a)
		}
		if got := e.take(); len(got) != 1 || got[0].FrequencyError != 1736 { // 2 ppm of 868.1 MHz
			t.Errorf("%+v", got)
		}
	})
}

// TestSeed has the same collision twice.
func TestSeed(t *testing.T) {
	corrupted := func(seed uint64) (out []byte) {
		synctest.Test(t, func(t *testing.T) {
			air := NewAir(AirOptions{Seed: seed})
			e := &ear{}
			air.Attach("ear", e)
			e.tune(channel)
			a, b := air.Attach("a", nil), air.Attach("b", nil)
			a.Send(on(channel, "a frame that is corrupted", 0))
			b.Send(on(channel, "another one", 0))
			time.Sleep(time.Second)
			out = e.take()[0].Payload
		})
		return out
	}
	if !bytes.Equal(corrupted(1), corrupted(1)) || bytes.Equal(corrupted(1), corrupted(2)) {
		t.Error("not as the seed says")
	}
}
