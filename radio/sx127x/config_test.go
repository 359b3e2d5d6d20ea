package sx127x

import (
	"math"
	"testing"

	"periph.io/x/conn/v3/physic"

	"fieldgate/radio"
	"fieldgate/radio/sim"
)

func TestNew(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		want   string // "": it is right
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { c.Board = nil }, "no board"},
		{func(c *Config) { c.Bus = "" }, "no board or bus"},
		{func(c *Config) { c.Tuning.Frequency = 600e6 }, "600000000 Hz: the chip has"},
		{func(c *Config) { c.Tuning.SF = 6 }, "SF6 is not supported"},
		{func(c *Config) { c.Tuning.SF = 13 }, "SF13 is not supported"},
		{func(c *Config) { c.Tuning.Modulation = radio.Modulation{BitRate: 50000} }, "FSK is not supported"},
		{func(c *Config) { c.Tuning.Bandwidth = 203000 }, "bandwidth of 203000 Hz"},
		{func(c *Config) { c.Tuning.CodingRate = 3 }, "coding rate of 4/3"},
		{func(c *Config) { c.Tuning.CodingRate = 0 }, ""},
		{func(c *Config) { c.Tuning.Preamble = 5 }, "preamble of 5"},
		{func(c *Config) { c.Tuning.Frequency, c.Tuning.Bandwidth = 169400000, 250000 }, "bandwidth of 250000 Hz below 410 MHz"},
		{func(c *Config) { c.Tuning.Frequency = 169400000 }, ""},
		{func(c *Config) { c.MaxPower = 20 }, ""},
		{func(c *Config) { c.MaxPower = 21 }, "21 dBm: the pin has 2 to 20"},
		{func(c *Config) { c.MaxPower = 1 }, "1 dBm"},
		{func(c *Config) { c.RFO, c.MaxPower = true, 16 }, "the pin has -4 to 15"},
		{func(c *Config) { c.RFO, c.MaxPower = true, -4 }, ""},
		{func(c *Config) { c.AntennaGain = math.NaN() }, "antenna gain of NaN"},
		{func(c *Config) { c.AntennaGain = 60 }, "antenna gain of 60"},
		{func(c *Config) { c.Speed = 20 * physic.MegaHertz }, "clock of 20MHz"},
		{func(c *Config) { c.Speed = physic.Hertz }, "clock of 1Hz"},
	} {
		cfg := Config{Name: "gw", Bus: "spi:0.0", Tuning: channel, Board: sim.NewBoard(sim.NewAir(sim.AirOptions{}))}
		c.change(&cfg)
		r, err := New(cfg)
		if c.want == "" {
			if err != nil || r.Status()[0].State != radio.Waiting || r.Status()[0].Radio != "gw" {
				t.Errorf("%v", err)
			}
			continue
		}
		contains(t, err, "sx127x: gw", c.want)
	}
}
