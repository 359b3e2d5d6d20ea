package sx126x

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"periph.io/x/conn/v3/physic"

	"fieldgate/radio"
	"fieldgate/radio/chip"
)

// Config says how a chip is wired and what it listens to. Lines that are "" are
// not wired.
type Config struct {
	Name string // of the radio
	Bus  string // such as "spi:0.0"
	// ChipSelect is the GPIO line of NSS where it is none of the bus's own; "": the
	// bus's own.
	ChipSelect string
	Reset      string // NRESET
	IRQ        string // DIO1; "": the chip is polled
	// Busy is the line BUSY; "": the longest times of the datasheet are waited for.
	Busy string
	// TXEnable and RXEnable are high while the chip sends, or receives.
	TXEnable, RXEnable string
	// Enable are lines that are high as long as the chip is used.
	Enable []string

	DIO2Switch bool // DIO2 moves the antenna switch
	// TCXO is the voltage that DIO3 gives to the oscillator: 1.6, 1.7, 1.8, 2.2, 2.4,
	// 2.7, 3.0 or 3.3; 0: the module has a crystal.
	TCXO float64
	// Model is SX1261, SX1262 or SX1268; "": SX1262.
	Model string

	Tuning radio.Tuning
	// InvertIQ: receive inverted frames, as LoRaWAN's downlinks are.
	InvertIQ bool
	// MaxPower in dBm is the most that the chip puts out: -9 to 22, an SX1261 -17 to
	// 15, below 400 MHz 14; 0: all. A transmission with more is sent with this.
	MaxPower int8
	// AntennaGain in dBi, cable and amplifier included, is taken off the power of a
	// transmission.
	AntennaGain float64
	// Speed of the bus; 0: 2 MHz. The chip takes up to 16 MHz.
	Speed physic.Frequency
	Board radio.Board
	Log   *slog.Logger // nil: no log
}

// Models of the chip.
const (
	SX1261 = "SX1261"
	SX1262 = "SX1262"
	SX1268 = "SX1268"
)

// Radio implements radio.Radio for one chip.
type Radio struct{ *chip.Radio }

var _ radio.Radio = Radio{}

// New checks c. The chip is not touched before Run. In a testing/synctest bubble,
// call it inside the bubble.
func New(c Config) (Radio, error) {
	d, err := newDevice(c)
	if err != nil {
		return Radio{}, err
	}
	return Radio{chip.New(chip.Config{Name: c.Name, Driver: "sx126x", Chip: d, Tuning: d.c.Tuning, Log: c.Log})}, nil
}

// newDevice checks c and fills in what it leaves open.
func newDevice(c Config) (*device, error) {
	if c.Speed == 0 {
		c.Speed = 2 * physic.MegaHertz
	}
	if c.Model == "" {
		c.Model = SX1262
	}
	low, high := powersAt(c.Model, c.Tuning.Frequency)
	if c.MaxPower == 0 {
		c.MaxPower = high
	}
	if c.Tuning.Preamble == 0 {
		c.Tuning.Preamble = 8
	}
	if c.Tuning.CodingRate == 0 {
		c.Tuning.CodingRate = 5
	}
	var err error
	_, volts := tcxoCode(c.TCXO)
	switch {
	case c.Board == nil || c.Bus == "":
		err = errors.New("no board or bus")
	case c.Model != SX1261 && c.Model != SX1262 && c.Model != SX1268:
		err = fmt.Errorf("model %q: there are SX1261, SX1262 and SX1268", c.Model)
	case checkFrequency(c.Model, c.Tuning.Frequency) != nil:
		err = checkFrequency(c.Model, c.Tuning.Frequency)
	case checkModulation(c.Tuning.Modulation) != nil:
		err = checkModulation(c.Tuning.Modulation)
	case checkPreamble(c.Tuning.Preamble) != nil:
		err = checkPreamble(c.Tuning.Preamble)
	case c.TCXO != 0 && !volts:
		err = fmt.Errorf("a TCXO at %g V: DIO3 gives 1.6, 1.7, 1.8, 2.2, 2.4, 2.7, 3.0 or 3.3 V", c.TCXO)
	case c.MaxPower < low || c.MaxPower > high:
		err = fmt.Errorf("%d dBm: an %s has %d to %d dBm: %w", c.MaxPower, c.Model, low, high, radio.ErrPower)
	case !(math.Abs(c.AntennaGain) <= 50): // NaN too
		err = fmt.Errorf("an antenna gain of %g dBi", c.AntennaGain)
	case c.Speed < 10*physic.KiloHertz || c.Speed > 16*physic.MegaHertz:
		err = fmt.Errorf("a clock of %v: 10 kHz to 16 MHz", c.Speed)
	}
	if err != nil {
		return nil, fmt.Errorf("sx126x: %s: %w", c.Name, err)
	}
	return &device{c: c}, nil
}

// device is the chip with the lines that it is reached by.
type device struct {
	c Config
	lines
	bus
	tuned    tuned
	power    int8          // output in dBm
	limit    time.Duration // of the transmission that was prepared
	standby  bool          // the reception was ended
	coming   time.Time     // since then a frame is on the way
	received uint16        // frames that were read since the chip counts them
}

var _ chip.Chip = (*device)(nil)

// chipPower is the output in dBm for a transmission with so much EIRP.
func (d *device) chipPower(eirp int8, hz uint32) (int8, error) {
	low, high := powersAt(d.c.Model, hz)
	p := math.Floor(float64(eirp) - d.c.AntennaGain)
	if p < float64(low) {
		return 0, fmt.Errorf("%w: %d dBm EIRP with an antenna of %g dBi, and the chip has at least %d dBm", radio.ErrPower, eirp, d.c.AntennaGain, low)
	}
	return int8(min(p, float64(min(high, d.c.MaxPower)))), nil
}

// Check implements chip.Chip.
func (d *device) Check(t *radio.Transmission) error {
	if err := checkFrequency(d.c.Model, t.Frequency); err != nil {
		return err
	}
	if err := checkModulation(t.Modulation); err != nil {
		return fmt.Errorf("%w: %w", radio.ErrRefused, err)
	}
	if len(t.Payload) == 0 || len(t.Payload) > radio.MaxPayload {
		return fmt.Errorf("%w: a payload of %d bytes: it has 1 to %d", radio.ErrRefused, len(t.Payload), radio.MaxPayload)
	}
	if err := checkPreamble(t.Preamble); err != nil {
		return fmt.Errorf("%w: %w", radio.ErrRefused, err)
	}
	_, err := d.chipPower(t.Power, t.Frequency)
	return err
}
