package drivers

import (
	"context"
	"errors"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/devices/v3/bmxx80"

	"fieldgate/sensors"
)

// Bosch Sensortec BMP180, and the BMP085, which has the same id: temperature and
// pressure of the air.
//
// Datasheet: BST-BMP180-DS000 revision 2.5: measuring and the worked example in
// section 3.5 (figure 4), registers in section 4.
//
// Limits: the address cannot be changed, so there is one on a bus.
//
// Periph's bmxx80 measures. What is avoided of it:
//   - it takes a BMP280 or BME280 as well: the id is checked on its way;
//   - it reads the result after a fixed time without asking whether the
//     conversion has ended;
//   - a chip that was reset answers with the reset value, 0x8000, which comes
//     out as some 50 °C;
//   - it divides by sums of what it read, and panics if one is zero;
//   - it does not look whether temperature and pressure are possible.
func init() {
	sensors.Register(sensors.Driver{
		Name:    "bmp180",
		Doc:     "Bosch BMP180, BMP085: temperature -40 to 85 °C, ±2 °C, pressure 300 to 1100 hPa, ±1 hPa; I2C",
		Bus:     sensors.I2C,
		Options: []sensors.Option{addressOption(0x77, 0x77, 0x77), bmxx80Oversampling("oversampling", "pressure", "8"), bmxx80Altitude()},
		Channels: func(o sensors.Options) []sensors.Channel {
			return bmxx80Channels(o, false, 1)
		},
		Open: openBMP180,
	})
}

// Registers (section 4).
const (
	bmp180Calibration = 0xaa
	bmp180Control     = 0xf4
	bmp180Result      = 0xf6
)

// bmp180 is an opened chip.
type bmp180 struct {
	*i2cChip
	link periphLink
	dev  *bmxx80.Dev
	o    sensors.Options
}

func openBMP180(ctx context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
	c, err := openI2C(env, o, "bmp180")
	if err != nil {
		return nil, err
	}
	b := &bmp180{i2cChip: c, o: o}
	b.link.tx = b.look
	err = b.link.do(ctx, func() (err error) {
		b.dev, err = bmxx80.NewI2C(&b.link, c.addr, &bmxx80.Opts{Pressure: bmxx80Setting(o.Text("oversampling"))})
		return err
	})
	return c.sampler(err, b.measure)
}

// look makes a transaction of periph's driver and checks what was read.
func (b *bmp180) look(ctx context.Context, w, r []byte) error {
	reading := len(w) == 1 && len(r) > 0
	var control byte
	if reading && w[0] == bmp180Result {
		var err error
		if control, err = b.converted(ctx); err != nil {
			return err
		}
	}
	err := b.tx(w, r)
	switch {
	case err != nil || !reading:
		return err
	case w[0] == bmxx80ID:
		return bmxx80Identity("bmp180", r[0])
	case allOnes(r):
		return errAllOnes
	case w[0] == bmp180Calibration && bmp180Empty(r):
		return errors.New("the calibration is empty")
	case w[0] == bmp180Result && control&0x0f == 0 && r[0] == 0x80 && r[1] == 0:
		return errors.New("the chip measured nothing: it was reset")
	}
	return nil
}

// bmp180Empty reports whether one of the calibration's words is 0 or 0xffff,
// which no chip has (section 3.4).
func bmp180Empty(b []byte) bool {
	for i := 0; i+1 < len(b); i += 2 {
		if b[i] == b[i+1] && (b[i] == 0 || b[i] == 0xff) {
			return true
		}
	}
	return false
}

// converted waits until the bit Sco of the control register says that the
// conversion has ended, and gives that register.
func (b *bmp180) converted(ctx context.Context) (byte, error) {
	for range 50 {
		control, err := b.readByte(bmp180Control)
		switch {
		case err != nil:
			return 0, err
		case control == 0xff:
			return 0, errAllOnes
		case control&0x20 == 0:
			return control, nil
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return 0, err
		}
	}
	return 0, errors.New("the measurement does not end")
}

// measure measures once.
func (b *bmp180) measure(ctx context.Context) ([]sensors.Sample, error) {
	var e physic.Env
	if err := b.link.do(ctx, func() error { return b.dev.Sense(&e) }); err != nil {
		return nil, err
	}
	return bmxx80Samples(b.o, e, nil, 1)
}
