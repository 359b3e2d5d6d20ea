package sim

import (
	"math"
	"slices"
	"sync"
	"time"

	"fieldgate/radio"
)

// AirOptions say what the air does to signals.
type AirOptions struct {
	// Loss is what a signal loses between two antennas, in dB; nil: 100 dB
	// everywhere. It may change while the air is used and is called from any
	// goroutine.
	Loss func(from, to string) float64
	// NoiseFigure of the receivers in dB; 0: 6 dB.
	NoiseFigure float64
	// Crystal is how far an antenna's radio is off its frequency in ppm; nil: 0.
	Crystal func(name string) float64
	// Seed decides what a collision makes of a payload.
	Seed uint64
}

// Air is what antennas share. It carries LoRa frames as a receiver sees them:
// whole, corrupted, or not at all. All of it may be used from any goroutine.
type Air struct {
	o AirOptions

	mu       sync.Mutex
	antennas []*Antenna
	frames   []*frame // under way, and those that ended but overlap one
	sent     []Sent   // the last ones
	count    uint64
	watchers []func(e Emission, from string, start time.Time)
}

// keptSent is how many frames Emissions gives at most.
const keptSent = 1024

// NewAir gives an air without antennas.
func NewAir(o AirOptions) *Air {
	if o.Loss == nil {
		o.Loss = func(string, string) float64 { return 100 }
	}
	if o.Crystal == nil {
		o.Crystal = func(string) float64 { return 0 }
	}
	if o.NoiseFigure == 0 {
		o.NoiseFigure = 6
	}
	return &Air{o: o}
}

// Receiver is a radio as the air sees it. The air calls it without a lock of its
// own, from one goroutine per frame; the methods must not block.
type Receiver interface {
	// Listening says what the radio listens to, and whether it does.
	Listening() (Listening, bool)
	// Hear is called at the end of each frame that the radio hears.
	Hear(Reception)
}

// HeaderReceiver is a Receiver that wants to know at the end of a frame's header
// that it is on the way: Payload is what will come, unless it is corrupted later.
type HeaderReceiver interface {
	Receiver
	HearHeader(Reception)
}

// Listening is what a radio listens to.
type Listening struct {
	radio.Tuning // SyncWord in the form of an SX127x
	InvertIQ     bool
	Since        time.Time // it has not been interrupted since then
}

// Emission is a frame as it is sent.
type Emission struct {
	Payload   []byte
	Frequency uint32 // Hz
	radio.Modulation
	SyncWord byte
	InvertIQ bool
	CRC      bool
	Implicit bool    // without a header
	SX127x   bool    // sent by one, which makes a difference for SF6
	Preamble uint16  // symbols; 0: 8
	Power    float64 // dBm
}

// preamble is the number of its symbols, without the 4.25 that chips add.
func (e *Emission) preamble() int {
	if e.Preamble == 0 {
		return 8
	}
	return int(e.Preamble)
}

// Airtime is how long e takes.
func (e *Emission) Airtime() time.Duration {
	return radio.Airtime(e.Modulation, len(e.Payload), radio.AirtimeOptions{Preamble: e.preamble(), Implicit: e.Implicit, NoCRC: !e.CRC, SX127x: e.SX127x})
}

// Reception is a frame as it is heard.
type Reception struct {
	Emission
	RSSI, SNR      float64 // dBm, dB
	FrequencyError int32   // Hz, the sender above the receiver
	// Corrupt says that a collision destroyed it: Payload has wrong bytes.
	Corrupt bool
	Start   time.Time
	End     time.Time
}

// Sent is a frame that somebody sent.
type Sent struct {
	Emission
	From  string
	Start time.Time
}

// Antenna is a place from which one radio sends and hears.
type Antenna struct {
	air  *Air
	name string
	rx   Receiver // nil: it only sends
}

// Attach puts up an antenna. R may be nil for a radio that only sends.
func (a *Air) Attach(name string, r Receiver) *Antenna {
	n := &Antenna{air: a, name: name, rx: r}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.antennas = append(a.antennas, n)
	return n
}

// Detach takes the antenna down: it hears no frame any more, and its own one
// that is under way is cut off.
func (n *Antenna) Detach() {
	n.Stop()
	a := n.air
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, other := range a.antennas {
		if other == n {
			a.antennas = append(a.antennas[:i:i], a.antennas[i+1:]...)
			return
		}
	}
}

// Watch has f called at the beginning of each frame, whoever sends it. F must
// neither block nor use a chip: the one that sends is locked meanwhile.
func (a *Air) Watch(f func(e Emission, from string, start time.Time)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watchers = append(a.watchers, f)
}

// Emissions gives the frames that were sent, the oldest first: the last 1024.
func (a *Air) Emissions() []Sent {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Sent(nil), a.sent...)
}

// frame is an emission under way.
type frame struct {
	Emission
	from    *Antenna
	number  uint64
	start   time.Time
	lockBy  time.Time // who listens from then on only has missed too much of the preamble
	locked  time.Time // end of the preamble
	header  time.Time // end of the header
	end     time.Time
	stopped bool
	done    bool // it was delivered
	timers  [2]*time.Timer
}

// The symbols of a preamble that a receiver needs to lock on it (SX1276
// datasheet, section 4.1.1.6 has 6 as the shortest preamble).
const neededSymbols = 5

// Send begins a frame now and says when it ends. A frame of the same antenna
// that is under way is cut off.
func (n *Antenna) Send(e Emission) (end time.Time) {
	n.Stop()
	a := n.air
	e.Payload = append([]byte(nil), e.Payload...)
	symbol := e.Symbol()
	f := &frame{Emission: e, from: n, start: time.Now()}
	f.lockBy = f.start.Add(symbol * time.Duration(max(e.preamble()-neededSymbols, 0)))
	f.locked = f.start.Add(symbol*time.Duration(e.preamble()) + symbol*17/4)
	f.header = f.locked.Add(8 * symbol)
	f.end = f.start.Add(e.Airtime())

	a.mu.Lock()
	f.number = a.count
	a.count++
	a.prune(f.start)
	a.frames = append(a.frames, f)
	a.sent = append(a.sent, Sent{e, n.name, f.start})
	if len(a.sent) > keptSent {
		a.sent = append(a.sent[:0], a.sent[len(a.sent)-keptSent:]...)
	}
	watchers := a.watchers
	if e.LoRa() && !e.Implicit && f.header.Before(f.end) {
		f.timers[0] = time.AfterFunc(f.header.Sub(f.start), func() { a.deliver(f, true) })
	}
	f.timers[1] = time.AfterFunc(f.end.Sub(f.start), func() { a.deliver(f, false) })
	a.mu.Unlock()
	for _, w := range watchers {
		w(e, n.name, f.start)
	}
	return f.end
}

// Stop cuts off the antenna's frame, if one is under way: nobody will hear it,
// though it disturbed others until now.
func (n *Antenna) Stop() {
	a := n.air
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for _, f := range a.frames {
		if f.from == n && !f.stopped && now.Before(f.end) {
			f.stopped, f.end = true, now
			for _, t := range f.timers {
				if t != nil {
					t.Stop()
				}
			}
		}
	}
}

// prune forgets frames that can disturb none that is still under way.
func (a *Air) prune(now time.Time) {
	oldest := now
	for _, f := range a.frames {
		if !f.done && !f.stopped && f.start.Before(oldest) {
			oldest = f.start
		}
	}
	kept := a.frames[:0]
	for _, f := range a.frames {
		// The timer of one that ended may be late.
		if !f.done && !f.stopped || f.end.After(oldest) {
			kept = append(kept, f)
		}
	}
	clear(a.frames[len(kept):])
	a.frames = kept
}

// deliver hands f, or its header, to all that hear it.
func (a *Air) deliver(f *frame, header bool) {
	a.mu.Lock()
	if f.stopped {
		a.mu.Unlock()
		return
	}
	frames := append([]*frame(nil), a.frames...)
	antennas := append([]*Antenna(nil), a.antennas...)
	f.done = !header
	a.mu.Unlock()
	for _, n := range antennas {
		if n == f.from || n.rx == nil {
			continue
		}
		hr, wants := n.rx.(HeaderReceiver)
		if header && !wants {
			continue
		}
		l, on := n.rx.Listening()
		if !on || !slices.Contains(n.held(frames, l), f) {
			continue
		}
		r := n.reception(f, frames, l)
		if header || wants && f.timers[0] == nil && !f.Implicit { // all of it fits into the header's symbols
			hr.HearHeader(r)
		}
		if !header {
			n.rx.Hear(r)
		}
	}
}

// NoiseFloor of a receiver in dBm, for a bandwidth in Hz.
func (a *Air) NoiseFloor(bandwidth uint32) float64 {
	return -174 + 10*math.Log10(float64(max(bandwidth, 1))) + a.o.NoiseFigure
}

// SNRFloor is the worst ratio of signal to noise in dB at which frames are
// demodulated (SX1276 datasheet, table 13).
func SNRFloor(sf uint8) float64 { return -7.5 - 2.5*(float64(sf)-7) }

// Sensitivity is the weakest signal in dBm that is heard with m.
func (a *Air) Sensitivity(m radio.Modulation) float64 {
	return a.NoiseFloor(m.Bandwidth) + SNRFloor(m.SF)
}
