package drivers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"fieldgate/sensors"
)

// errAllOnes is what a bus reads where nothing drives it.
var errAllOnes = errors.New("only ones: nothing answers, or the data line is broken")

// addressOption is the I2C address of a chip: usual, and those it can be set to
// by its pins.
func addressOption(usual, lowest, highest uint16) sensors.Option {
	return sensors.Option{Name: "address", Doc: "I2C address", Kind: sensors.Integer,
		Default: fmt.Sprintf("0x%02x", usual), Min: float64(lowest), Max: float64(highest)}
}

// i2cChip is a chip on an I2C bus. It is an i2c.Bus too, so that periph's
// drivers can be given it: what they send to the chip's address goes through it,
// and the errors of the bus, which they wrap as text only, are kept.
type i2cChip struct {
	name string // of the driver
	bus  string
	addr uint16
	open i2c.BusCloser
}

// openI2C opens the bus that the chip is on. It does not talk to the chip.
func openI2C(env sensors.Env, o sensors.Options, driver string) (*i2cChip, error) {
	c := &i2cChip{name: driver, bus: env.Bus, addr: uint16(o.Integer("address"))}
	b, err := env.Board.I2C(env.Bus)
	if err != nil {
		return nil, c.wrap(err)
	}
	c.open = b
	return c, nil
}

// String names the chip in errors: "bme280 at i2c:1, address 0x76".
func (c *i2cChip) String() string {
	return c.name + " at " + c.bus + ", address 0x" + strconv.FormatUint(uint64(c.addr), 16)
}

// wrap says which chip err is about; nil stays nil.
func (c *i2cChip) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sensors: %s: %w", c, err)
}

// errorf makes an error that names the chip.
func (c *i2cChip) errorf(format string, args ...any) error {
	return c.wrap(fmt.Errorf(format, args...))
}

// tx writes w to the chip and then reads r, in one transaction. Either may be
// empty. The error names the chip.
func (c *i2cChip) tx(w, r []byte) error { return c.wrap(c.open.Tx(c.addr, w, r)) }

// Tx implements i2c.Bus for periph's drivers.
func (c *i2cChip) Tx(addr uint16, w, r []byte) error { return c.open.Tx(addr, w, r) }

// SetSpeed implements i2c.Bus.
func (c *i2cChip) SetSpeed(physic.Frequency) error { return nil }

// abandon closes the bus after Open failed with err, and names the chip.
func (c *i2cChip) abandon(err error) error {
	_ = c.open.Close() // what went wrong first is what counts
	return c.wrap(err)
}

// Close lets go of the bus.
func (c *i2cChip) Close() error { return c.wrap(c.open.Close()) }

// spiChip is a chip on an SPI bus.
type spiChip struct {
	name, bus string
	open      spi.PortCloser
	conn      spi.Conn
}

// openSPI opens the chip select that the chip is on, with the given clock, mode
// and 8 bits a word.
func openSPI(env sensors.Env, driver string, clock physic.Frequency, mode spi.Mode) (*spiChip, error) {
	c := &spiChip{name: driver, bus: env.Bus}
	p, err := env.Board.SPI(env.Bus)
	if err != nil {
		return nil, c.wrap(err)
	}
	if c.conn, err = p.Connect(clock, mode, 8); err != nil {
		return nil, errors.Join(c.wrap(err), p.Close())
	}
	c.open = p
	return c, nil
}

// String names the chip in errors: "mcp3008 at spi:0.0".
func (c *spiChip) String() string { return c.name + " at " + c.bus }

func (c *spiChip) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sensors: %s: %w", c, err)
}

func (c *spiChip) errorf(format string, args ...any) error {
	return c.wrap(fmt.Errorf(format, args...))
}

// tx exchanges len(w) bytes.
func (c *spiChip) tx(w, r []byte) error { return c.wrap(c.conn.Tx(w, r)) }

// abandon closes the bus after Open failed with err, and names the chip.
func (c *spiChip) abandon(err error) error {
	_ = c.open.Close()
	return c.wrap(err)
}

// Close lets go of the bus.
func (c *spiChip) Close() error { return c.wrap(c.open.Close()) }

// sampler makes a sensors.Sampler of a chip and a function.
type sampler struct {
	chip   interface{ Close() error }
	sample func(ctx context.Context) ([]sensors.Sample, error)
}

// Sample implements sensors.Sampler.
func (s sampler) Sample(ctx context.Context) ([]sensors.Sample, error) { return s.sample(ctx) }

// Close implements sensors.Sampler.
func (s sampler) Close() error { return s.chip.Close() }

// one is the result of a chip that measures one quantity.
func one(suffix string, v float64, decimals int) ([]sensors.Sample, error) {
	s, err := sensors.Measured(suffix, v, decimals)
	if err != nil {
		return nil, err
	}
	return []sensors.Sample{s}, nil
}

// pause waits for a conversion, or returns the error of ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// allOnes reports whether b is what an undriven bus reads.
func allOnes(b []byte) bool {
	for _, x := range b {
		if x != 0xff {
			return false
		}
	}
	return len(b) > 0
}

// crc8 is the checksum of Sensirion and others: polynomial x^8+x^5+x^4+1,
// initial value 0xff, not reflected (SHT3x datasheet section 4.12).
func crc8(b []byte) byte {
	crc := byte(0xff)
	for _, x := range b {
		crc ^= x
		for range 8 {
			if crc&0x80 != 0 {
				crc = crc<<1 ^ 0x31
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}

// checkedWords splits b, a multiple of 3 bytes, into words that are each followed
// by the checksum of crc8, as Sensirion and Texas Instruments send them.
func checkedWords(b []byte) ([]uint16, error) {
	if allOnes(b) {
		return nil, errAllOnes
	}
	var words []uint16
	for ; len(b) >= 3; b = b[3:] {
		if crc := crc8(b[:2]); crc != b[2] {
			return nil, fmt.Errorf("checksum of word %d (0x%02x%02x) is 0x%02x, not 0x%02x", len(words)+1, b[0], b[1], b[2], crc)
		}
		words = append(words, uint16(b[0])<<8|uint16(b[1]))
	}
	return words, nil
}

// samplesOf makes a sample of each value, in the order of the channels.
func samplesOf(channels []sensors.Channel, values ...float64) ([]sensors.Sample, error) {
	var samples []sensors.Sample
	for i, v := range values {
		s, err := sensors.Measured(channels[i].Suffix, v, channels[i].Decimals)
		if err != nil {
			return nil, err
		}
		samples = append(samples, s)
	}
	return samples, nil
}

// climateChannels are those of a chip for temperature and humidity of the air,
// temperature first.
func climateChannels(decimals int) []sensors.Channel {
	return []sensors.Channel{
		{Suffix: "temperature", Kind: "AirThermometer", Quantity: "AirTemperature", Unit: "DegreeCelsius", Decimals: decimals},
		{Suffix: "humidity", Kind: "HumiditySensor", Quantity: "AirHumidity", Unit: "Percent", Decimals: decimals},
	}
}
