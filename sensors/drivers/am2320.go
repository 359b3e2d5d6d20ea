package drivers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fieldgate/sensors"
)

// Aosong AM2320 (and AM2321, AM2322): temperature and humidity.
//
// Datasheet: Aosong AM2320 product manual, section 8.2: 8.2.3 (frames, checksum),
// 8.2.4 (register table, reading in three steps, figures 14 to 17), 8.3.2 (sign
// of the temperature), 8.3.3 (each reading gives the measurement before).
//
// Peculiarities: the chip sleeps; the address that wakes it up is never
// acknowledged. Each reading starts a measurement and gives the one that the
// reading before has started, however long ago. So it is read twice, 2 s apart,
// and the second counts; meanwhile the other sensors of the bus wait, which is why
// its usual interval is half a minute. Readings at an interval of 2 to 5 s need no
// second one. The address cannot be changed.
// The bus must not be faster than 100 kHz.
//
// Periph's am2320 is not used. It gives the old measurement; it reads
// temperatures below zero as two's complement where the chip has a sign bit
// (-10.1 °C becomes -3266.7); it tries for 20.5 s without a way to cancel that,
// so that an absent chip stops its bus; and it sends the command and reads the
// answer in one transaction, where the datasheet wants a pause of 1.5 ms.
func init() {
	sensors.Register(sensors.Driver{
		Name:     "am2320",
		Doc:      "Aosong AM2320, AM2321, AM2322: temperature -40 to 80 °C, ±0.5 °C, humidity 0 to 99.9 %, ±3 %; takes 2 s; I2C up to 100 kHz",
		Bus:      sensors.I2C,
		Every:    30 * time.Second,
		Options:  []sensors.Option{addressOption(0x5c, 0x5c, 0x5c)},
		Channels: func(sensors.Options) []sensors.Channel { return climateChannels(1) },
		Open: func(_ context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			c, err := openI2C(env, o, "am2320")
			if err != nil {
				return nil, err
			}
			a := &am2320{i2cChip: c, now: env.Now}
			return c.sampler(nil, a.measure)
		},
	})
}

const (
	am2320Read     = 0x03 // function code
	am2320Humidity = 0x00 // first of the four registers

	am2320WakeTime   = 2 * time.Millisecond // 0.8 to 3
	am2320AnswerTime = 2 * time.Millisecond // 1.5 at least
	am2320Measures   = 2 * time.Second
	am2320Fresh      = 5 * time.Second // up to which age a measurement is one of now

	// am2320Tries are made to reach the chip: it may be on its way to sleep. No
	// measurement begins before it has sent one, so that trying again makes none
	// older.
	am2320Tries = 3
	am2320Again = 100 * time.Millisecond
)

// am2320 is an opened chip.
type am2320 struct {
	*i2cChip
	now   func() time.Time
	begun time.Time // when the chip began its last measurement; zero: unknown
}

// measure reads a measurement that is no older than am2320Fresh.
func (a *am2320) measure(ctx context.Context) ([]sensors.Sample, error) {
	age := a.now().Sub(a.begun)
	if a.begun.IsZero() || age > am2320Fresh {
		if _, err := a.read(ctx); err != nil { // the old one
			return nil, err
		}
		age = 0
	}
	if err := pause(ctx, max(am2320Measures-age, 0)); err != nil {
		return nil, err
	}
	answer, err := a.read(ctx)
	if err != nil {
		return nil, err
	}
	temperature, humidity, err := am2320Decode(answer)
	if err != nil {
		return nil, err
	}
	return samplesOf(climateChannels(1), temperature, humidity)
}

// read wakes the chip up and reads its registers: the answer as sent.
func (a *am2320) read(ctx context.Context) ([]byte, error) {
	var err error
	for try := range am2320Tries {
		if try > 0 {
			if err := pause(ctx, am2320Again); err != nil {
				return nil, err
			}
		}
		// Nobody acknowledges this. Whether the chip is there shows in what follows.
		_ = a.write(0)
		if err := pause(ctx, am2320WakeTime); err != nil {
			return nil, err
		}
		if err = a.write(am2320Read, am2320Humidity, 4); err != nil {
			continue
		}
		if err := pause(ctx, am2320AnswerTime); err != nil {
			return nil, err
		}
		b := make([]byte, 8)
		if err = a.tx(nil, b); err != nil {
			continue
		}
		if err := am2320Frame(b); err != nil {
			return nil, err
		}
		a.begun = a.now()
		return b, nil
	}
	return nil, err
}

// am2320Frame checks an answer: function code, count, four registers, checksum.
func am2320Frame(b []byte) error {
	switch crc := am2320CRC(b[:6]); {
	case allOnes(b):
		return errAllOnes
	case b[0] != am2320Read || b[1] != 4:
		return fmt.Errorf("answer begins with 0x%02x%02x, not 0x0304: it refuses the command, or is another chip", b[0], b[1])
	case b[6] != byte(crc) || b[7] != byte(crc>>8):
		return fmt.Errorf("checksum is 0x%02x%02x, not 0x%02x%02x", b[7], b[6], byte(crc>>8), byte(crc))
	}
	return nil
}

// am2320Decode gives °C and % of an answer of 8 bytes that am2320Frame has
// passed. Both are in tenths, the temperature with a sign bit.
func am2320Decode(b []byte) (temperature, humidity float64, err error) {
	h := uint16(b[2])<<8 | uint16(b[3])
	t := uint16(b[4])<<8 | uint16(b[5])
	humidity = float64(h) / 10
	temperature = float64(t&0x7fff) / 10
	if t&0x8000 != 0 {
		temperature = -temperature
	}
	if h == 0 && t == 0 {
		return 0, 0, errors.New("0 °C and 0 %: it has not measured yet")
	}
	return temperature, humidity, errors.Join(within("temperature", temperature, -40, 80, "°C"), within("humidity", humidity, 0, 100, "%"))
}

// am2320CRC is the checksum of Modbus: polynomial x^16+x^15+x^2+1, reflected,
// initial value 0xffff; sent low byte first (section 8.2.3).
func am2320CRC(b []byte) uint16 {
	crc := uint16(0xffff)
	for _, x := range b {
		crc ^= uint16(x)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0xa001
			} else {
				crc >>= 1
			}
		}
	}
	return crc
}
