package sx127x

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"periph.io/x/conn/v3/physic"

	"fieldgate/radio"
)

// Config says how a chip is wired and what it listens to.
type Config struct {
	Name string // of the radio
	Bus  string // such as "spi:0.0"
	// ChipSelect is the GPIO line of NSS where it is none of the bus's own; "": the
	// bus's own.
	ChipSelect string
	Reset      string // GPIO line of NRESET; "": not wired
	IRQ        string // GPIO line of DIO0; "": not wired, the chip is polled
	Tuning     radio.Tuning
	// InvertIQ: receive inverted frames, as LoRaWAN's downlinks are.
	InvertIQ bool
	// MaxPower in dBm is the most that the chip puts out: 2 to 20, with RFO -4 to
	// 15; 0: 17, with RFO 14. A transmission with more is sent with this.
	MaxPower int8
	// RFO: the antenna is at the pin RFO. At RFM95 to RFM98, and so on all known
	// boards, it is at PA_BOOST.
	RFO bool
	// AntennaGain in dBi, cable included, is taken off the power of a transmission.
	AntennaGain float64
	// Speed of the bus; 0: 1 MHz. The chip takes up to 10 MHz.
	Speed physic.Frequency
	Board radio.Board
	Log   *slog.Logger // nil: no log
}

// The times of the driver.
const (
	// lead is how long before its time a transmission is prepared.
	lead = 20 * time.Millisecond
	// tooLate is how far ahead a transmission has to come at least.
	tooLate = 10 * time.Millisecond
	// tooEarly is how far ahead it may be at most: what a packet forwarder allows.
	tooEarly = 128 * time.Second
	// checkEvery is how often the chip's settings are read back.
	checkEvery = 10 * time.Second
	// txMargin is how long after its end a frame may not have been reported.
	txMargin = 100 * time.Millisecond
	// maxPause is the longest time between two attempts to set the chip up.
	maxPause = time.Minute
)

// Radio implements radio.Radio for one chip.
type Radio struct {
	c       Config
	rx      air
	lf      bool
	counter radio.Counter
	queue   queue

	mu     sync.Mutex
	status radio.Status
}

var _ radio.Radio = (*Radio)(nil)

// New checks c. The chip is not touched before Run. In a testing/synctest bubble,
// call it inside the bubble.
func New(c Config) (*Radio, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Speed == 0 {
		c.Speed = physic.MegaHertz
	}
	low, high, usual := int8(minBoost), int8(maxBoost), int8(17)
	if c.RFO {
		low, high, usual = minRFO, maxRFO, 14
	}
	if c.MaxPower == 0 {
		c.MaxPower = usual
	}
	t := c.Tuning
	lf, known := bandOf(t.Frequency)
	err := checkModulation(t.Modulation)
	switch {
	case c.Board == nil || c.Bus == "":
		err = errors.New("no board or bus")
	case err != nil:
	case !known:
		err = fmt.Errorf("%d Hz: the chip has 137-175, 410-525 and 862-1020 MHz: %w", t.Frequency, radio.ErrFrequency)
	case t.Preamble != 0 && t.Preamble < 6:
		err = fmt.Errorf("a preamble of %d symbols: it has at least 6", t.Preamble)
	case c.MaxPower < low || c.MaxPower > high:
		err = fmt.Errorf("%d dBm: the pin has %d to %d dBm: %w", c.MaxPower, low, high, radio.ErrPower)
	case !(math.Abs(c.AntennaGain) <= 50): // NaN too
		err = fmt.Errorf("an antenna gain of %g dBi", c.AntennaGain)
	case c.Speed < 10*physic.KiloHertz || c.Speed > 10*physic.MegaHertz:
		err = fmt.Errorf("a clock of %v: 10 kHz to 10 MHz", c.Speed)
	}
	if err != nil {
		return nil, fmt.Errorf("sx127x: %s: %w", c.Name, err)
	}
	r := &Radio{c: c, lf: lf, counter: radio.NewCounter()}
	r.rx = air{frequency: t.Frequency, Modulation: t.Modulation, syncWord: t.SyncWord, preamble: t.Preamble, invertIQ: c.InvertIQ, crc: true}
	if r.rx.preamble == 0 {
		r.rx.preamble = 8
	}
	r.status = radio.Status{Radio: c.Name, Since: time.Now()}
	r.queue.init()
	return r, nil
}

// Counter is the radio's count of microseconds at a time.
func (r *Radio) Counter(at time.Time) uint32 { return r.counter.At(at) }

// Status implements radio.Radio.
func (r *Radio) Status() []radio.Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return []radio.Status{r.status}
}

// note changes the status.
func (r *Radio) note(change func(*radio.Status)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.status)
}
