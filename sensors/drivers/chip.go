package drivers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"fieldgate/sensors"
)

// errAllOnes is what a bus reads where nothing drives it.
var errAllOnes = errors.New("only ones: nothing answers, or the data line is broken")

// label says in errors what they are about: the driver, and where its chip is,
// such as "bme280 at i2c:1, address 0x76".
type label string

// wrap says what err is about; nil stays nil.
func (l label) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sensors: %s: %w", string(l), err)
}

// attached is an open bus with the label of the chip on it. Within a driver
// errors are plain: the sampler, Close and sampler's caller get them with the
// label, once.
type attached struct {
	label
	bus io.Closer
}

// sampler is what Open of a driver returns: a sensors.Sampler that measures by
// sample; or, if the chip did not get ready, the reason, and the bus is closed.
func (a attached) sampler(ready error, sample func(context.Context) ([]sensors.Sample, error)) (sensors.Sampler, error) {
	if ready != nil {
		_ = a.bus.Close() // what went wrong first is what counts
		return nil, a.wrap(ready)
	}
	return &sampler{a, sample}, nil
}

// Close lets go of the bus.
func (a attached) Close() error { return a.wrap(a.bus.Close()) }

// sampler is a chip that is ready.
type sampler struct {
	attached
	sample func(context.Context) ([]sensors.Sample, error)
}

// Sample implements sensors.Sampler.
func (s *sampler) Sample(ctx context.Context) ([]sensors.Sample, error) {
	samples, err := s.sample(ctx)
	if err != nil {
		return nil, s.wrap(err)
	}
	return samples, nil
}

// i2cChip is a chip on an I2C bus.
type i2cChip struct {
	attached
	addr uint16
	i2c  i2c.Bus
}

// addressOption is the I2C address of a chip: usual, and those it can be set to
// by its pins.
func addressOption(usual, lowest, highest uint16) sensors.Option {
	return sensors.Option{Name: "address", Doc: "I2C address", Kind: sensors.Integer,
		Default: fmt.Sprintf("0x%02x", usual), Min: float64(lowest), Max: float64(highest)}
}

// openI2C opens the bus that a chip is on, with the address in the options. It
// does not talk to the chip. Name is for errors: the driver's.
func openI2C(env sensors.Env, o sensors.Options, name string) (*i2cChip, error) {
	addr := uint16(o.Integer("address"))
	return openI2CAt(env, addr, label(fmt.Sprintf("%s at %s, address 0x%02x", name, env.Bus, addr)))
}

// openI2CAt is openI2C with another address and label.
func openI2CAt(env sensors.Env, addr uint16, l label) (*i2cChip, error) {
	b, err := env.Board.I2C(env.Bus)
	if err != nil {
		return nil, l.wrap(err)
	}
	return &i2cChip{attached{l, b}, addr, b}, nil
}

// tx writes w to the chip and then reads r, in one transaction. Either may be
// empty.
func (c *i2cChip) tx(w, r []byte) error { return c.i2c.Tx(c.addr, w, r) }

// write is tx without reading.
func (c *i2cChip) write(w ...byte) error { return c.tx(w, nil) }

// readByte reads a register.
func (c *i2cChip) readByte(register byte) (byte, error) {
	var b [1]byte
	err := c.tx([]byte{register}, b[:])
	return b[0], err
}

// readWord reads a register of two bytes, of which the higher one comes first.
func (c *i2cChip) readWord(register byte) (uint16, error) {
	var b [2]byte
	err := c.tx([]byte{register}, b[:])
	return binary.BigEndian.Uint16(b[:]), err
}

// identify checks the id that a chip has in a register of two bytes; what mask
// leaves out, such as its revision, does not matter.
func (c *i2cChip) identify(register byte, id, mask uint16) error {
	is, err := c.readWord(register)
	switch {
	case err != nil:
		return err
	case is == 0xffff:
		return errAllOnes
	case is&mask != id:
		return fmt.Errorf("register 0x%02x is 0x%04x, not 0x%04x: another chip", register, is, id)
	}
	return nil
}

// send writes a command and gives the chip its time.
func (c *i2cChip) send(ctx context.Context, command []byte, wait time.Duration) error {
	if err := c.tx(command, nil); err != nil {
		return err
	}
	return pause(ctx, wait)
}

// ask sends a command and reads its answer, n words with their checksums.
func (c *i2cChip) ask(ctx context.Context, command []byte, wait time.Duration, n int) ([]uint16, error) {
	if err := c.send(ctx, command, wait); err != nil {
		return nil, err
	}
	b := make([]byte, 3*n)
	if err := c.tx(nil, b); err != nil {
		return nil, err
	}
	return checkedWords(b)
}

// spiChip is a chip on an SPI bus.
type spiChip struct {
	attached
	conn spi.Conn
}

// openSPI opens the chip select that a chip is on, with the given clock, mode
// and 8 bits a word. Name is for errors: the driver's.
func openSPI(env sensors.Env, name string, clock physic.Frequency, mode spi.Mode) (*spiChip, error) {
	l := label(name + " at " + env.Bus)
	p, err := env.Board.SPI(env.Bus)
	if err != nil {
		return nil, l.wrap(err)
	}
	conn, err := p.Connect(clock, mode, 8)
	if err != nil {
		_ = p.Close()
		return nil, l.wrap(err)
	}
	return &spiChip{attached{l, p}, conn}, nil
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
// by the checksum of crc8, as Sensirion and Texas Instruments send them. Neither
// only ones nor only zeros pass.
func checkedWords(b []byte) ([]uint16, error) {
	var words []uint16
	for ; len(b) >= 3; b = b[3:] {
		if allOnes(b[:3]) {
			return nil, errAllOnes
		}
		if crc := crc8(b[:2]); crc != b[2] {
			return nil, fmt.Errorf("checksum of word %d (0x%02x%02x) is 0x%02x, not 0x%02x", len(words)+1, b[0], b[1], b[2], crc)
		}
		words = append(words, binary.BigEndian.Uint16(b))
	}
	return words, nil
}

// within says that a chip cannot have measured v. Low and high are the ends of
// its range, in the unit of v.
func within(quantity string, v, low, high float64, unit string) error {
	if v >= low && v <= high { // not NaN
		return nil
	}
	return fmt.Errorf("%s of %.5g %s is outside the chip's range of %g to %g", quantity, v, unit, low, high)
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
