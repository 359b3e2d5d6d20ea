package sx127x

import (
	"errors"
	"fmt"
	"log/slog"
	"math"

	"periph.io/x/conn/v3/physic"

	"fieldgate/radio"
	"fieldgate/radio/chip"
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

// Radio implements radio.Radio for one chip.
type Radio struct{ *chip.Radio }

var _ radio.Radio = (*Radio)(nil)

// New checks c. The chip is not touched before Run. In a testing/synctest bubble,
// call it inside the bubble.
func New(c Config) (*Radio, error) {
	d, err := newDevice(c)
	if err != nil {
		return nil, err
	}
	return &Radio{chip.New(chip.Config{Name: c.Name, Driver: "sx127x", Chip: d, Tuning: d.c.Tuning, Log: c.Log})}, nil
}

// newDevice checks c and fills in what it leaves open.
func newDevice(c Config) (*device, error) {
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
	t := &c.Tuning
	lf, known := bandOf(t.Frequency)
	err := checkModulation(t.Modulation)
	switch {
	case c.Board == nil || c.Bus == "":
		err = errors.New("no board or bus")
	case err != nil:
	case !known:
		err = fmt.Errorf("%d Hz: the chip has 137-175, 410-525 and 862-1020 MHz: %w", t.Frequency, radio.ErrFrequency)
	case checkBandwidth(t.Frequency, t.Bandwidth) != nil:
		err = checkBandwidth(t.Frequency, t.Bandwidth)
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
	if t.Preamble == 0 {
		t.Preamble = 8
	}
	rx := air{frequency: t.Frequency, Modulation: t.Modulation, syncWord: t.SyncWord, preamble: t.Preamble, invertIQ: c.InvertIQ, crc: true}
	return &device{c: c, rx: rx, lf: lf}, nil
}

// Check implements chip.Chip. The errors of package radio: ErrRefused for another
// modulation or length than the chip has, ErrFrequency for a frequency that is not
// one of the chip's, or is on its other port, ErrPower for less than the chip can go
// down to. With more than it may put out it is sent with what it may.
func (d *device) Check(t *radio.Transmission) error {
	if err := checkModulation(t.Modulation); err != nil {
		return fmt.Errorf("%w: %w", radio.ErrRefused, err)
	}
	switch lf, known := bandOf(t.Frequency); {
	case len(t.Payload) == 0 || len(t.Payload) > radio.MaxPayload:
		return fmt.Errorf("%w: a payload of %d bytes: it has 1 to %d", radio.ErrRefused, len(t.Payload), radio.MaxPayload)
	case t.Preamble != 0 && t.Preamble < 6:
		return fmt.Errorf("%w: a preamble of %d symbols: it has at least 6", radio.ErrRefused, t.Preamble)
	case !known || lf != d.lf:
		return fmt.Errorf("%w: %d Hz", radio.ErrFrequency, t.Frequency)
	}
	if err := checkBandwidth(t.Frequency, t.Bandwidth); err != nil {
		return fmt.Errorf("%w: %w", radio.ErrRefused, err)
	}
	_, err := d.chipPower(t.Power)
	return err
}

// chipPower is the output in dBm for a transmission with so much EIRP.
func (d *device) chipPower(eirp int8) (int, error) {
	lowest := minBoost
	if d.c.RFO {
		lowest = minRFO
	}
	p := int(math.Floor(float64(eirp) - d.c.AntennaGain))
	if p < lowest {
		return 0, fmt.Errorf("%w: %d dBm EIRP are %d dBm at the chip, which goes down to %d dBm", radio.ErrPower, eirp, p, lowest)
	}
	return min(p, int(d.c.MaxPower)), nil
}
