package sim

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"fieldgate/radio"
)

// capture is by how many dB a frame must be above another one to be heard all
// the same.
const capture = 6

// strength is the power in dBm with which f arrives.
func (n *Antenna) strength(f *frame) float64 {
	return f.Power - n.air.o.Loss(f.from.name, n.name)
}

// offset is how far f is above the frequency that is listened to, in Hz.
func (n *Antenna) offset(f *frame, frequency uint32) float64 {
	crystal := n.air.o.Crystal
	return float64(f.Frequency)*(1+crystal(f.from.name)*1e-6) - float64(frequency)*(1+crystal(n.name)*1e-6)
}

// detects reports whether a radio that listens to l finds the preamble of f, if
// nothing disturbs it. A chip follows a carrier that is a quarter of the
// bandwidth off (SX1276 datasheet, section 4.1.1.3).
func (n *Antenna) detects(f *frame, l Listening) bool {
	return f.from != n && f.LoRa() && f.SF == l.SF && f.Bandwidth == l.Bandwidth && f.InvertIQ == l.InvertIQ &&
		math.Abs(n.offset(f, l.Frequency)) <= float64(l.Bandwidth)/4 &&
		n.strength(f) >= n.air.Sensitivity(f.Modulation)
}

// hears is detects for a radio that began early enough and knows the sync word.
func (n *Antenna) hears(f *frame, l Listening) bool {
	return f.SyncWord == l.SyncWord && !l.Since.After(f.lockBy) && n.detects(f, l)
}

// byStart has the frames that a radio that listens to l can hear in their order.
func (n *Antenna) byStart(frames []*frame, l Listening) []*frame {
	var heard []*frame
	for _, f := range frames {
		if n.hears(f, l) {
			heard = append(heard, f)
		}
	}
	slices.SortStableFunc(heard, func(x, y *frame) int {
		if c := x.start.Compare(y.start); c != 0 {
			return c
		}
		return int(int64(x.number - y.number))
	})
	return heard
}

// held gives the frames that the radio follows, one after the other. A
// demodulator follows one at a time: the first whose preamble it finds, unless a
// stronger one comes in that preamble.
func (n *Antenna) held(frames []*frame, l Listening) []*frame {
	var held []*frame
	for _, f := range n.byStart(frames, l) {
		if len(held) > 0 {
			last := held[len(held)-1]
			if f.lockBy.Before(last.end) {
				if f.start.After(last.lockBy) || n.strength(f)-n.strength(last) < capture {
					continue
				}
				held = held[:len(held)-1]
			}
		}
		held = append(held, f)
	}
	return held
}

// reception is f as it arrives among the others.
func (n *Antenna) reception(f *frame, frames []*frame, l Listening) Reception {
	r := Reception{
		Emission:       f.Emission,
		RSSI:           n.strength(f),
		FrequencyError: int32(math.Round(n.offset(f, l.Frequency))),
		Start:          f.start,
		End:            f.end,
	}
	r.SNR = r.RSSI - n.air.NoiseFloor(f.Bandwidth)
	r.Payload = slices.Clone(f.Payload)
	for _, o := range frames {
		if o != f && o.from != n && collide(f, o) && r.RSSI-n.strength(o) < capture {
			r.Corrupt = true
		}
	}
	if r.Corrupt && len(r.Payload) > 0 {
		rng := rand.New(rand.NewPCG(n.air.o.Seed, f.number))
		for range 1 + len(r.Payload)/4 {
			r.Payload[rng.IntN(len(r.Payload))] ^= byte(1 + rng.IntN(255))
		}
	}
	return r
}

// collide reports whether o can disturb f: they overlap in time (the part of the
// preamble that f can do without does not count) and in frequency, and their
// chirps rise equally fast the same way. Other spreading factors are orthogonal.
func collide(f, o *frame) bool {
	if !f.LoRa() || !o.LoRa() || f.InvertIQ != o.InvertIQ || slope(f.Modulation) != slope(o.Modulation) {
		return false
	}
	apart := math.Abs(float64(f.Frequency) - float64(o.Frequency))
	return apart < float64(f.Bandwidth+o.Bandwidth)/2 && o.start.Before(f.end) && o.end.After(f.lockBy)
}

// slope is how fast a chirp of m rises, in Hz per second.
func slope(m radio.Modulation) uint64 {
	return uint64(m.Bandwidth) * uint64(m.Bandwidth) >> m.SF
}

// Activity is what is in the air at an antenna.
type Activity struct {
	// Power in dBm, noise included, in the bandwidth that is listened to: what a
	// chip gives as its current RSSI.
	Power float64
	// Detected says that a frame with the spreading factor, bandwidth and IQ that
	// is listened to is in the air, strong enough to be demodulated.
	Detected bool
	// Preamble says that one of them is in its preamble.
	Preamble bool
	// Receiving says that one is being received, and would be heard at its end.
	Receiving bool
}

// Activity tells what is in the air now for a radio that listens to l.
func (n *Antenna) Activity(l Listening) Activity {
	a := n.air
	now := time.Now()
	a.mu.Lock()
	var frames []*frame
	for _, f := range a.frames {
		if !f.stopped && !f.start.After(now) && f.end.After(now) {
			frames = append(frames, f)
		}
	}
	a.mu.Unlock()
	var act Activity
	milliwatts := math.Pow(10, a.NoiseFloor(l.Bandwidth)/10)
	for _, f := range frames {
		if f.from == n {
			continue
		}
		if apart := math.Abs(float64(f.Frequency) - float64(l.Frequency)); apart < float64(f.Bandwidth+l.Bandwidth)/2 {
			milliwatts += math.Pow(10, n.strength(f)/10)
		}
		if n.detects(f, l) {
			act.Detected = true
			act.Preamble = act.Preamble || now.Before(f.locked)
		}
	}
	act.Power = 10 * math.Log10(milliwatts)
	act.Receiving = len(n.held(frames, l)) > 0
	return act
}
