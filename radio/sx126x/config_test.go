package sx126x

import (
	"errors"
	"math"
	"strings"
	"testing"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"fieldgate/radio"
)

// noBoard is a board that is not asked for anything.
type noBoard struct{}

func (noBoard) SPI(string) (spi.PortCloser, error)        { return nil, errors.ErrUnsupported }
func (noBoard) Output(string, bool) (radio.Output, error) { return nil, errors.ErrUnsupported }
func (noBoard) Input(string, bool) (radio.Input, error)   { return nil, errors.ErrUnsupported }

func TestConfig(t *testing.T) {
	for want, spoil := range map[string]func(*Config){
		"":                                func(*Config) {},
		"no board or bus":                 func(c *Config) { c.Board = nil },
		"sx126x: lora0: no board":         func(c *Config) { c.Bus = "" },
		`model "SX1280"`:                  func(c *Config) { c.Model = "SX1280" },
		"an SX1262 has 150 to 960 MHz":    func(c *Config) { c.Tuning.Frequency = 2400000000 },
		"an SX1268 has 410 to 810 MHz":    func(c *Config) { c.Model = SX1268 },
		"spreading factor 0":              func(c *Config) { c.Tuning.SF = 0 },
		"spreading factor 13":             func(c *Config) { c.Tuning.SF = 13 },
		"a bandwidth of 100000 Hz":        func(c *Config) { c.Tuning.Bandwidth = 100000 },
		"coding rate 4/9":                 func(c *Config) { c.Tuning.CodingRate = 9 },
		"a preamble of 3 symbols":         func(c *Config) { c.Tuning.Preamble = 3 },
		"a TCXO at 5 V":                   func(c *Config) { c.TCXO = 5 },
		"23 dBm: an SX1262 has -9":        func(c *Config) { c.MaxPower = 23 },
		"15 dBm: an SX1261 has -17 to 14": func(c *Config) { c.Model, c.MaxPower, c.Tuning.Frequency = SX1261, 15, 169400000 },
		"16 dBm: an SX1261 has -17":       func(c *Config) { c.Model, c.MaxPower = SX1261, 16 },
		"an antenna gain of NaN dBi":      func(c *Config) { c.AntennaGain = math.NaN() },
		"an antenna gain of 60 dBi":       func(c *Config) { c.AntennaGain = 60 },
		"a clock of 20MHz":                func(c *Config) { c.Speed = 20 * physic.MegaHertz },
	} {
		c := wiring
		c.Board = noBoard{}
		spoil(&c)
		_, err := New(c)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestBelow400 has an SX1261 with all its power, and less where it must be less.
func TestBelow400(t *testing.T) {
	c := wiring
	c.Board, c.Model = noBoard{}, SX1261
	d, err := newDevice(c)
	if err != nil {
		t.Fatal(err)
	}
	for hz, want := range map[uint32]int8{868100000: 15, 433175000: 15, 169400000: 14} {
		if got, err := d.chipPower(20, hz); err != nil || got != want {
			t.Errorf("%d Hz: %d dBm, %v", hz, got, err)
		}
	}
}

// TestCheck has what Send refuses at once.
func TestCheck(t *testing.T) {
	c := wiring
	c.Board = noBoard{}
	d, err := newDevice(c)
	if err != nil {
		t.Fatal(err)
	}
	good := radio.Transmission{Payload: make([]byte, 255), Frequency: 869525000, Modulation: radio.Modulation{SF: 12, Bandwidth: 125000}, Power: 14}
	if err := d.Check(&good); err != nil {
		t.Error(err)
	}
	for _, w := range []struct {
		want  error
		spoil func(*radio.Transmission)
	}{
		{radio.ErrFrequency, func(x *radio.Transmission) { x.Frequency = 100e6 }},
		{radio.ErrFrequency, func(x *radio.Transmission) { x.Frequency = 0 }},
		{radio.ErrPower, func(x *radio.Transmission) { x.Power = -20 }},
		{radio.ErrRefused, func(x *radio.Transmission) { x.Payload = make([]byte, 256) }},
		{radio.ErrRefused, func(x *radio.Transmission) { x.Payload = nil }},
		{radio.ErrRefused, func(x *radio.Transmission) { x.Preamble = 5 }},
		{radio.ErrRefused, func(x *radio.Transmission) { x.Modulation = radio.Modulation{BitRate: 50000} }},
		{radio.ErrRefused, func(x *radio.Transmission) { x.CodingRate = 4 }},
	} {
		x := good
		w.spoil(&x)
		if err := d.Check(&x); !errors.Is(err, w.want) {
			t.Errorf("%+v: %v, want %v", x, err, w.want)
		}
	}
}
