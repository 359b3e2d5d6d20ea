package drivers

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
	"periph.io/x/devices/v3/bmxx80"

	"fieldgate/sensors"
)

// Bosch Sensortec BMP280: temperature and pressure of the air.
//
// Datasheet: BST-BMP280-DS001 revision 1.26: registers in section 4.3,
// compensation and its worked example in sections 3.11.3 and 3.12, measuring times
// in section 3.8.1.
//
// Limits: forced mode only: the chip sleeps between measurements.
//
// Periph's bmxx80 measures. What is avoided of it:
//   - it takes any of BMP180, BMP280 and BME280 for the one that was asked for:
//     the id is checked on its way;
//   - it waits for the end of a measurement in a loop without a pause and
//     without an end, which a bus of only ones never leaves;
//   - it reads the calibration while the chip may still load it after power-on;
//   - it looks for neither skipped values, all ones, empty calibration nor values
//     outside of the chip's range;
//   - Filter works in its continuous mode only: the filter is set after it;
//   - SenseContinuous has a goroutine that logs an error and goes away.
func init() {
	sensors.Register(sensors.Driver{
		Name:    "bmp280",
		Doc:     "Bosch BMP280: temperature -40 to 85 °C, ±1 °C, pressure 300 to 1100 hPa, ±1 hPa; I2C or SPI",
		Bus:     sensors.I2C | sensors.SPI,
		Options: bmx280Options(),
		Channels: func(o sensors.Options) []sensors.Channel {
			return bmxx80Channels(o, false, 2)
		},
		Open: func(ctx context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			return openBMx280(ctx, env, o, "bmp280", false)
		},
	})
}

// Registers of BMP280 and BME280 (BME280 section 5.3).
const (
	bmx280CalibrationTP = 0x88
	bmx280CalibrationH  = 0xe1
	bmx280CtrlHum       = 0xf2
	bmx280Status        = 0xf3
	bmx280Config        = 0xf5
	bmx280Data          = 0xf7
)

// bmx280 is a BMP280 or BME280, on I2C or SPI.
type bmx280 struct {
	model    string
	bus      func(w, r []byte) error
	spi      bool
	link     periphLink
	dev      *bmxx80.Dev
	o        sensors.Options
	opts     bmxx80.Opts
	tp, h    []byte  // calibration as it is in the chip
	data     [8]byte // of the last measurement
	waits    int     // how often the chip was asked in vain whether it is done
	humidity bool
}

// bmx280Options are the options of both models.
func bmx280Options(more ...sensors.Option) []sensors.Option {
	out := []sensors.Option{addressOption(0x76, 0x76, 0x77),
		bmxx80Oversampling("oversampling_temperature", "temperature", "16"),
		bmxx80Oversampling("oversampling_pressure", "pressure", "16")}
	return append(append(out, more...),
		sensors.Option{Name: "filter", Doc: "the chip's filter of temperature and pressure: how many measurements it takes to follow a step; off: none",
			Kind: sensors.Text, Default: "off", Choices: []string{"off", "2", "4", "8", "16"}},
		bmxx80Altitude())
}

// openBMx280 readies a BMP280 or, with humidity, a BME280.
func openBMx280(ctx context.Context, env sensors.Env, o sensors.Options, model string, humidity bool) (sensors.Sampler, error) {
	b := &bmx280{model: model, humidity: humidity, o: o, opts: bmxx80.Opts{
		Temperature: bmxx80Setting(o.Text("oversampling_temperature")),
		Pressure:    bmxx80Setting(o.Text("oversampling_pressure")),
	}}
	if humidity {
		b.opts.Humidity = bmxx80Setting(o.Text("oversampling_humidity"))
	}
	b.link.tx = b.tx
	if strings.HasPrefix(env.Bus, "spi:") {
		c, err := openSPI(env, model, physic.MegaHertz, spi.Mode0)
		if err != nil {
			return nil, err
		}
		b.bus, b.spi = c.conn.Tx, true
		return c.sampler(b.ready(ctx, 0), b.measure)
	}
	c, err := openI2C(env, o, model)
	if err != nil {
		return nil, err
	}
	b.bus = c.tx
	return c.sampler(b.ready(ctx, c.addr), b.measure)
}

// ready has periph's driver set the chip up, and sets the filter, which that
// does for continuous measurements only.
func (b *bmx280) ready(ctx context.Context, addr uint16) error {
	err := b.link.do(ctx, func() (err error) {
		if b.spi {
			b.dev, err = bmxx80.NewSPI(periphPort{&b.link}, &b.opts)
		} else {
			b.dev, err = bmxx80.NewI2C(&b.link, addr, &b.opts)
		}
		return err
	})
	if err != nil || b.o.Text("filter") == "off" {
		return err
	}
	config := []byte{bmx280Config, byte(bmxx80Setting(b.o.Text("filter"))-1) << 2} // 2: 1 to 16: 4
	if b.spi {
		config[0] &^= 0x80 // a write (BME280 section 6.3.1)
	}
	return b.bus(config, nil)
}

// read reads registers.
func (b *bmx280) read(reg byte, into []byte) error {
	if !b.spi {
		return b.bus([]byte{reg}, into)
	}
	w, r := make([]byte, len(into)+1), make([]byte, len(into)+1)
	w[0] = reg
	err := b.bus(w, r)
	copy(into, r[1:])
	return err
}

// tx is a transaction of periph's driver. It writes registers and their values,
// or reads from one register on.
func (b *bmx280) tx(ctx context.Context, w, r []byte) error {
	if len(r) == 0 || len(w) == 0 {
		return b.bus(w, r)
	}
	if w[0] == bmx280CalibrationTP {
		if err := b.loaded(ctx); err != nil {
			return err
		}
	}
	if err := b.bus(w, r); err != nil {
		return err
	}
	if b.spi {
		r = r[1:]
	}
	return b.look(ctx, w[0], r)
}

// look checks what was read from a register on.
func (b *bmx280) look(ctx context.Context, reg byte, r []byte) error {
	switch {
	case reg == bmxx80ID:
		return bmxx80Identity(b.model, r[0])
	case allOnes(r):
		return errAllOnes
	case reg == bmx280CalibrationTP:
		b.tp = append([]byte(nil), r...)
		if binary.LittleEndian.Uint16(r) == 0 || binary.LittleEndian.Uint16(r[6:]) == 0 { // dig_T1, dig_P1
			return errors.New("the calibration is empty")
		}
	case reg == bmx280CalibrationH:
		b.h = append([]byte(nil), r...)
		if binary.LittleEndian.Uint16(r) == 0 { // dig_H2
			return errors.New("the calibration of the humidity is empty")
		}
	case reg == bmx280Status && r[0]&0x08 != 0:
		if b.waits++; b.waits > 100 {
			return errors.New("the measurement does not end")
		}
		return pause(ctx, time.Millisecond)
	case reg == bmx280Data:
		copy(b.data[:], r)
		return b.skipped()
	}
	return nil
}

// loaded waits until the chip has got its calibration out of its memory, which
// it does within 2 ms after power came (BME280 section 5.4.4, bit im_update).
func (b *bmx280) loaded(ctx context.Context) error {
	for range 20 {
		var status [1]byte
		if err := b.read(bmx280Status, status[:]); err != nil {
			return err
		}
		if status[0]&0x01 == 0 || allOnes(status[:]) { // then the calibration is all ones as well
			return nil
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("the calibration does not get ready")
}

// skipped checks for the values that stand for "not measured": 0x80000, for
// humidity 0x8000 (BME280 sections 5.4.3 and 5.4.5). Each is a possible value too, so one
// alone counts only if the chip lost its settings, as after a short loss of
// power.
func (b *bmx280) skipped() error {
	p, t := b.raw()
	h := b.humidity && b.data[6] == 0x80 && b.data[7] == 0
	if p != 0x80000 && t != 0x80000 && !h {
		return nil
	}
	none := errors.New("the chip measured nothing: it lost its settings")
	if p == t {
		return none
	}
	var ctrl [3]byte // ctrl_hum, status, ctrl_meas
	if err := b.read(bmx280CtrlHum, ctrl[:]); err != nil {
		return err
	}
	if b.humidity && ctrl[0]&0x07 != byte(b.opts.Humidity) || ctrl[2]>>2 != byte(b.opts.Temperature)<<3|byte(b.opts.Pressure) {
		return none
	}
	return nil
}

// raw gives pressure and temperature as the converter measured them, 20 bits.
func (b *bmx280) raw() (pressure, temperature uint32) {
	d := b.data
	return uint32(d[0])<<12 | uint32(d[1])<<4 | uint32(d[2])>>4, uint32(d[3])<<12 | uint32(d[4])<<4 | uint32(d[5])>>4
}

// measure measures once.
func (b *bmx280) measure(ctx context.Context) ([]sensors.Sample, error) {
	b.waits = 0
	var e physic.Env
	if err := b.link.do(ctx, func() error { return b.dev.Sense(&e) }); err != nil {
		return nil, err
	}
	var humidity *float64
	if b.humidity {
		_, t := b.raw()
		h, err := bme280Humidity(b.tp, b.h, t, binary.BigEndian.Uint16(b.data[6:]))
		if err != nil {
			return nil, err
		}
		humidity = &h
	}
	return bmxx80Samples(b.o, e, humidity, 2)
}
