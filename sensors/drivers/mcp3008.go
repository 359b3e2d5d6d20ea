package drivers

import (
	"context"
	"errors"
	"fmt"
	"math/bits"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"fieldgate/sensors"
)

// Microchip MCP3008 and MCP3004: eight or four inputs, 10 bits, 0 V to the
// voltage at the pin VREF.
//
// Datasheet: MCP3004/3008 DS21295 revision D: section 1 (clock at most 1.35 MHz at
// 2.7 V, 3.6 MHz at 5 V; VREF from 0.25 V), equation 4-2 (code is 1024 VIN/VREF),
// table 5-2 (control bits), section 6.1 (in bytes), figures 5-1 and 5-2 (the code
// comes a second time, lowest bit first, if the clock goes on).
//
// The chip has neither an identity nor a checksum. What stands in for them is the
// second time of the code, which must be the first one backwards, so that noise
// and a line that floats are no measurement; and the null bit before the code,
// from which on the chip drives its data line: one that is pulled up and driven by
// nobody reads as 1 there. A line that is pulled down, as MISO of a Raspberry Pi is
// by itself, reads like 0 V. A code of 0 is therefore believed if the bits before
// the null bit are not all 0 (then the line is pulled up, and the chip pulled it
// down), or if another input of the chip is not at 0; otherwise it is an error.
// Where all inputs may be at ground, MISO needs a pull-up (on a Pi `gpio=9=pu` in
// config.txt).
//
// A voltage above VREF reads as the highest code, one below 0 V (of a pair: the
// second input above the first) as 0; the chip does not tell.
func init() {
	sensors.Register(sensors.Driver{
		Name: "mcp3008",
		Doc:  "Microchip MCP3008, MCP3004: voltage, 8 or 4 inputs, 10 bits, 0 V to VREF; SPI",
		Bus:  sensors.SPI,
		Options: []sensors.Option{
			{Name: "channel", Doc: "input 0 to 7, or a pair as in 0-1: the first against the second", Kind: sensors.Text, Default: "0",
				Choices: mcp3008Channels[:]},
			mcp3008VRef(),
			{Name: "model", Doc: "mcp3008 has 8 inputs, mcp3004 has 4", Kind: sensors.Text, Default: "mcp3008", Choices: []string{"mcp3008", "mcp3004"}},
		},
		Check: func(o sensors.Options) []sensors.OptionError {
			if o.Text("model") == "mcp3004" && o.Text("channel") >= "4" {
				return []sensors.OptionError{{Option: "channel", Problem: "an mcp3004 has no input " + o.Text("channel"), Remedy: "0 to 3, or a pair of these"}}
			}
			return nil
		},
		Part:     func(o sensors.Options) string { return o.Text("channel") },
		Family:   adcFamily,
		Channels: func(o sensors.Options) []sensors.Channel { return voltageChannels(o.Decimal("vref") / 1024) },
		Open: func(_ context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			m, err := openMCP3008(env, o, "mcp3008")
			if err != nil {
				return nil, err
			}
			return m.sampler(nil, func(context.Context) ([]sensors.Sample, error) {
				v, err := m.volts()
				if err != nil {
					return nil, err
				}
				return samplesOf(voltageChannels(m.vref/1024), v)
			})
		},
	})
}

// mcp3008VRef is the option for the reference voltage.
func mcp3008VRef() sensors.Option {
	return sensors.Option{Name: "vref", Doc: "voltage at the pin VREF of an MCP3008 in V", Kind: sensors.Decimal, Default: "3.3", Min: 0.25, Max: 5.5}
}

// mcp3008Clock is allowed at every supply voltage.
const mcp3008Clock = physic.MegaHertz

// mcp3008 is one input, or a pair, of an opened chip.
type mcp3008 struct {
	*spiChip
	control byte // start bit aside: single-ended, D2, D1, D0
	inputs  byte // that the chip has
	vref    float64
}

// openMCP3008 opens the input of a converter that the options `channel` and
// `vref` name, and `model` if there is one. It does not talk to the chip. Name is
// for errors.
func openMCP3008(env sensors.Env, o sensors.Options, name string) (*mcp3008, error) {
	c, err := openSPI(env, name, mcp3008Clock, spi.Mode0)
	if err != nil {
		return nil, err
	}
	m := &mcp3008{spiChip: c, control: mcp3008Control(o.Text("channel")), inputs: 8, vref: o.Decimal("vref")}
	if o.Text("model") == "mcp3004" {
		m.inputs = 4
	}
	return m, nil
}

// mcp3008Single is the control bit for an input against ground.
const mcp3008Single = 0x8

// mcp3008Channels are the inputs, and the pairs of inputs.
var mcp3008Channels = [...]string{"0", "1", "2", "3", "4", "5", "6", "7", "0-1", "1-0", "2-3", "3-2", "4-5", "5-4", "6-7", "7-6"}

// mcp3008Control gives the control bits (datasheet table 5-2) of one of the
// channels: of a pair they are the first input of it.
func mcp3008Control(channel string) byte {
	n := channel[0] - '0'
	if len(channel) == 1 {
		n |= mcp3008Single
	}
	return n
}

// volts measures once.
func (m *mcp3008) volts() (float64, error) {
	code, sure, err := m.convert(m.control)
	if err != nil {
		return 0, err
	}
	if !sure {
		if err := m.alive(); err != nil {
			return 0, err
		}
	}
	return float64(code) * m.vref / 1024, nil
}

// convert measures one input. Unless sure, the chip may not be there.
func (m *mcp3008) convert(control byte) (code uint16, sure bool, err error) {
	var r [5]byte
	if err := m.conn.Tx([]byte{0x01, control << 4, 0, 0, 0}, r[:]); err != nil {
		return 0, false, err
	}
	return mcp3008Decode(r)
}

// mcp3008Decode gives the code, 0 to 1023, and whether a chip must have sent it.
// In r are, from the null bit on, B9 to B0, then B1 to B9, and zeros.
func mcp3008Decode(r [5]byte) (code uint16, sure bool, err error) {
	switch {
	case allOnes(r[1:]):
		return 0, false, errAllOnes
	case r[1]&0x04 != 0:
		return 0, false, fmt.Errorf("the null bit is 1 (% x): no MCP3008 answers", r)
	}
	code = uint16(r[1]&0x03)<<8 | uint16(r[2])
	if again := uint16(r[3])<<1 | uint16(r[4])>>7; bits.Reverse16(again)>>7 != code>>1 || r[4]&0x7f != 0 {
		return 0, false, fmt.Errorf("the second time of the code differs from the first (% x): noise, or no MCP3008", r)
	}
	return code, code != 0 || r[0] != 0 || r[1]&0xf8 != 0, nil
}

// alive looks for an input that is not at 0.
func (m *mcp3008) alive() error {
	for n := range m.inputs {
		if control := mcp3008Single | n; control != m.control {
			if _, sure, err := m.convert(control); err != nil || sure {
				return err
			}
		}
	}
	return errors.New("only zeros from all inputs: nothing answers, or all are at ground (then pull MISO up)")
}
