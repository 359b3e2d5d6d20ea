package drivers

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"fieldgate/sensors"
)

// ROHM BH1750FVI ambient light sensor (modules GY-30, GY-302).
//
// Datasheet: ROHM technical note BH1750FVI, 2009.04 rev. B: electrical
// characteristics (p. 2), instruction set (p. 5), write and read format with an
// example (p. 10), measurement time (p. 11).
//
// Limits: the chips differ by -20 to +20 % from each other. The chip has neither
// identity nor checksum, so another chip at its address is not told from it,
// unless it refuses what is sent. The end of the scale is an error, since it is
// both too much light and what an undriven bus reads.
//
// Periph's bh1750 is not used. Its SetMode sends the reset code instead of the
// mode; it sends the start code once more in the transaction that reads, which
// begins another measurement; it waits 140 ms where one takes up to 180, so that
// it reads the one before; it ignores that mode 2 counts half lux, so that its
// values are twice too high; and it cuts off what is below 1 lx.
func init() {
	sensors.Register(sensors.Driver{
		Name: "bh1750",
		Doc:  "ROHM BH1750FVI: illuminance 0 to 121557 lx (54612 at the usual sensitivity), ±20 %; I2C",
		Bus:  sensors.I2C,
		Options: []sensors.Option{
			addressOption(0x23, 0x23, 0x5c),
			{Name: "resolution", Doc: "in lx, at sensitivity 1: 1 (up to 0.18 s each), 0.5 (as long, to 27306 lx) or 4 (24 ms)", Kind: sensors.Text,
				Default: "1", Choices: []string{"0.5", "1", "4"}},
			{Name: "sensitivity", Doc: "times the usual one: more for a dark window before the chip, less for sunlight; resolution, range and duration go with it",
				Kind: sensors.Decimal, Default: "1", Min: 0.45, Max: 3.68},
		},
		Check: func(o sensors.Options) []sensors.OptionError {
			if a := o.Integer("address"); a != 0x23 && a != 0x5c {
				return []sensors.OptionError{{Option: "address", Problem: fmt.Sprintf("0x%02x is not possible", a), Remedy: "0x23 (pin ADDR low) or 0x5c (high)"}}
			}
			return nil
		},
		Channels: bh1750Channels,
		Open: func(_ context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			c, err := openI2C(env, o, "bh1750")
			if err != nil {
				return nil, err
			}
			m := bh1750ModeOf(o)
			return c.sampler(c.write(bh1750PowerOn), func(ctx context.Context) ([]sensors.Sample, error) {
				raw, err := m.measure(ctx, c)
				if err != nil {
					return nil, err
				}
				v, err := m.lux(raw)
				if err != nil {
					return nil, err
				}
				return samplesOf(bh1750Channels(o), v)
			})
		},
	})
}

func bh1750Channels(sensors.Options) []sensors.Channel {
	return []sensors.Channel{{Suffix: "illuminance", Kind: "LightSensor", Quantity: "Illuminance", Unit: "Lux", Decimals: 1}}
}

// Codes of the instruction set.
const (
	bh1750PowerOn    = 0x01
	bh1750OneTime    = 0x20 // H-resolution mode
	bh1750OneTime2   = 0x21 // H-resolution mode 2
	bh1750OneTimeLow = 0x23 // L-resolution mode
	bh1750TimeHigh   = 0x40 // with the upper 3 bits of the measurement time
	bh1750TimeLow    = 0x60 // with the lower 5
)

// bh1750UsualTime is the measurement time register after power-up.
const bh1750UsualTime = 69

// bh1750Mode is how the chip measures.
type bh1750Mode struct {
	code  byte
	time  byte          // the measurement time register, 31 to 254
	wait  time.Duration // the longest that a measurement takes
	count float64       // lux of one count
}

func bh1750ModeOf(o sensors.Options) bh1750Mode {
	m := bh1750Mode{code: bh1750OneTime, wait: 180 * time.Millisecond, count: 1 / 1.2}
	switch o.Text("resolution") {
	case "0.5":
		m.code, m.count = bh1750OneTime2, m.count/2
	case "4":
		m.code, m.wait = bh1750OneTimeLow, 24*time.Millisecond
	}
	m.time = byte(math.Round(bh1750UsualTime * o.Decimal("sensitivity")))
	m.wait = m.wait * time.Duration(m.time) / bh1750UsualTime
	m.count *= bh1750UsualTime / float64(m.time)
	return m
}

// measure starts one measurement and gives its counts. The chip powers down by
// itself afterwards. The time is sent each time, because a chip that lost its
// supply in between would count with the usual one.
func (m bh1750Mode) measure(ctx context.Context, c *i2cChip) (uint16, error) {
	// One code in a transaction: the chip takes no more (p. 10).
	for _, code := range []byte{bh1750PowerOn, bh1750TimeHigh | m.time>>5, bh1750TimeLow | m.time&0x1f, m.code} {
		if err := c.write(code); err != nil {
			return 0, err
		}
	}
	if err := pause(ctx, m.wait); err != nil {
		return 0, err
	}
	var b [2]byte
	if err := c.tx(nil, b[:]); err != nil {
		return 0, err
	}
	return uint16(b[0])<<8 | uint16(b[1]), nil
}

var errBH1750Full = errors.New("65535 counts, the end of the scale: too bright for this sensitivity, or nothing drives the data line")

// lux converts counts.
func (m bh1750Mode) lux(raw uint16) (float64, error) {
	if raw == 0xffff {
		return 0, errBH1750Full
	}
	return float64(raw) * m.count, nil
}
