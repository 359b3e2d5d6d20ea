package drivers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/devices/v3/ina219"

	"fieldgate/sensors"
)

// Texas Instruments INA219: voltage, current and power.
//
// Datasheet: TI SBOS448G (December 2015): programming and calibration in section
// 8.5, registers in section 8.6, the worked example in section 9.2 (table 8).
//
// Limits: bus voltage 0 to 26 V in steps of 4 mV, shunt voltage up to ±0.32 V in
// steps of 10 µV. The voltage is that on the load's side of the shunt; current
// from IN+ to IN- is positive, and so is its power.
//
// Periph's ina219 reads the registers. What is avoided of it:
//   - it starts continuous measurements and reads whatever is there, which is
//     zero for 140 ms after it has set the chip up: each sample starts one
//     measurement and waits for the bit CNVR;
//   - it sets the 16 V range, so that 16 to 26 V read as 16 V;
//   - it takes any chip: the register values after a reset are checked;
//   - a chip that lost its calibration gives a current and power of zero: the
//     current is compared with the shunt voltage;
//   - a clipped shunt voltage passes for a measurement;
//   - a calibration value that is too small becomes zero: Check keeps shunt and
//     max_current to what the chip can do;
//   - the errors of the bus are replaced by texts;
//   - power has no sign: it is voltage times current here.
func init() {
	sensors.Register(sensors.Driver{
		Name: "ina219",
		Doc:  "Texas Instruments INA219: voltage 0 to 26 V, current through a shunt, power, ±0.5 %; I2C",
		Bus:  sensors.I2C,
		Options: []sensors.Option{
			addressOption(0x40, 0x40, 0x4f),
			{Name: "shunt", Doc: "resistance of the shunt in ohm", Kind: sensors.Decimal, Default: "0.1", Min: 0.0001, Max: 100},
			{Name: "max_current", Doc: "highest current in A, either way", Kind: sensors.Decimal, Default: "3.2", Min: 0.001, Max: 2000},
			{Name: "samples", Doc: "samples that make one value, 1.1 ms each: more are less noise", Kind: sensors.Text, Default: "32",
				Choices: []string{"1", "2", "4", "8", "16", "32", "64", "128"}},
		},
		Check:    ina219Check,
		Channels: ina219Channels,
		Open:     openINA219,
	})
}

// The calibration register is ina219Scale over the step of the current register
// in ampere and the shunt in ohm (section 8.5.1).
const (
	ina219Scale          = 0.04096
	ina219MaxCalibration = 1<<16 - 2
	ina219MaxShunt       = 0.32 // volts, the widest range
)

func ina219Check(o sensors.Options) []sensors.OptionError {
	r, i := o.Decimal("shunt"), o.Decimal("max_current")
	v := r * i
	step := math.Floor(i*1e9/(1<<15)) / 1e9 // of the current register, in the whole nanoamperes that periph's driver has
	if v <= ina219MaxShunt*(1+1e-9) && ina219Scale/(step*r) <= ina219MaxCalibration {
		return nil
	}
	return []sensors.OptionError{{Option: "max_current",
		Problem: fmt.Sprintf("%g A through %g ohm are %.3g V at the shunt", i, r, v),
		Remedy:  fmt.Sprintf("from 0.021 to 0.32 V, which is %.3g to %.3g A with this shunt", 0.021/r, ina219MaxShunt/r)}}
}

// ina219Channels are voltage in steps of 4 mV, and current and power with the
// decimals of the current: one step is 10 µV at the shunt.
func ina219Channels(o sensors.Options) []sensors.Channel {
	d := stepDecimals(10e-6 / max(o.Decimal("shunt"), 1e-4))
	return append(voltageChannels(4e-3),
		sensors.Channel{Suffix: "current", Kind: "CurrentSensor", Quantity: "ElectricCurrent", Unit: "Ampere", Decimals: d},
		sensors.Channel{Suffix: "power", Kind: "OtherSensor", Quantity: "Power", Unit: "Watt", Decimals: d})
}

// Registers (section 8.6).
const (
	ina219Config    = 0x00
	ina219Bus       = 0x02
	ina219AfterBoot = 0x399f // configuration after a reset
)

// ina219Chip is an opened chip.
type ina219Chip struct {
	*i2cChip
	link    periphLink
	dev     *ina219.Dev
	o       sensors.Options
	start   [3]byte // write that starts a measurement
	length  time.Duration
	maximum float64 // shunt voltage where it clips
}

func openINA219(ctx context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
	c, err := openI2C(env, o, "ina219")
	if err != nil {
		return nil, err
	}
	n := &ina219Chip{i2cChip: c, o: o}
	n.link.tx = n.look
	n.prepare()
	return c.sampler(n.ready(ctx), n.measure)
}

// prepare makes the configuration of one triggered measurement: 32 V range, the
// narrowest shunt range that holds max_current, averaging (section 8.6.2.1).
func (n *ina219Chip) prepare() {
	volts := n.o.Decimal("shunt") * n.o.Decimal("max_current")
	gain := uint16(0)
	for n.maximum = 0.04; n.maximum < volts*(1-1e-9) && gain < 3; gain++ {
		n.maximum *= 2
	}
	average, samples := uint16(8), 1 // 8: one sample of 12 bits
	for n.o.Text("samples") != strconv.Itoa(samples) && average < 15 {
		average, samples = average+1, samples*2
	}
	config := 1<<13 | gain<<11 | average<<7 | average<<3 | 3
	n.start[0] = ina219Config
	binary.BigEndian.PutUint16(n.start[1:], config)
	n.length = time.Duration(2*samples) * 586 * time.Microsecond // the longest (section 7.5)
}

// ready resets the chip, looks whether it is an INA219 and has periph's driver
// calibrate it.
func (n *ina219Chip) ready(ctx context.Context) error {
	if err := n.write(ina219Config, 0x80, 0); err != nil {
		return err
	}
	if err := n.identify(ina219Config, ina219AfterBoot, 0xffff); err != nil {
		return fmt.Errorf("after a reset: %w", err)
	}
	return n.link.do(ctx, func() (err error) {
		n.dev, err = ina219.New(&n.link, &ina219.Opts{
			Address:       int(n.addr),
			SenseResistor: physic.ElectricResistance(math.Round(n.o.Decimal("shunt") * float64(physic.Ohm))),
			MaxCurrent:    physic.ElectricCurrent(math.Round(n.o.Decimal("max_current") * float64(physic.Ampere))),
		})
		return err
	})
}

// look makes a transaction of periph's driver.
func (n *ina219Chip) look(_ context.Context, w, r []byte) error {
	if err := n.tx(w, r); err != nil {
		return err
	}
	if w[0] == ina219Bus && allOnes(r) { // the other registers may have only ones
		return errAllOnes
	}
	return nil
}

// converted waits until the measurement has ended.
func (n *ina219Chip) converted(ctx context.Context) error {
	if err := pause(ctx, n.length); err != nil {
		return err
	}
	for range 20 {
		var b [2]byte
		if err := n.look(ctx, []byte{ina219Bus}, b[:]); err != nil {
			return err
		}
		if b[1]&0x02 != 0 { // CNVR
			return n.overflow(b[1])
		}
		if err := pause(ctx, max(n.length/10, time.Millisecond)); err != nil {
			return err
		}
	}
	return errors.New("the measurement does not end")
}

// overflow checks the flag OVF in the lower byte of the bus voltage.
func (n *ina219Chip) overflow(low byte) error {
	if low&0x01 != 0 {
		return n.above()
	}
	return nil
}

func (n *ina219Chip) above() error {
	return fmt.Errorf("overflow: the current is above max_current, %g A", n.o.Decimal("max_current"))
}

// measure measures once.
func (n *ina219Chip) measure(ctx context.Context) ([]sensors.Sample, error) {
	if err := n.write(n.start[:]...); err != nil {
		return nil, err
	}
	if err := n.converted(ctx); err != nil {
		return nil, err
	}
	var pm ina219.PowerMonitor
	err := n.link.do(ctx, func() (err error) {
		pm, err = n.dev.Sense()
		return err
	})
	if err != nil {
		return nil, err
	}
	return n.samples(float64(pm.Voltage)/float64(physic.Volt), float64(pm.Current)/float64(physic.Ampere),
		float64(pm.Shunt)/float64(physic.Volt))
}

// samples checks bus voltage, current and shunt voltage, and makes samples of
// them.
func (n *ina219Chip) samples(volts, amperes, shunt float64) ([]sensors.Sample, error) {
	if math.Abs(shunt) >= n.maximum-5e-6 {
		return nil, n.above()
	}
	if err := within("voltage", volts, 0, 26, "V"); err != nil {
		return nil, err
	}
	// The current register is the shunt voltage times the calibration. Rounding
	// of both makes less than 0.1 % and two steps.
	want := shunt / n.o.Decimal("shunt")
	step := max(10e-6/n.o.Decimal("shunt"), n.o.Decimal("max_current")/(1<<15))
	if d := math.Abs(amperes - want); d > math.Abs(want)/100+3*step {
		return nil, fmt.Errorf("the chip lost its calibration: %g A, but the shunt voltage means %g A", amperes, want)
	}
	return samplesOf(ina219Channels(n.o), volts, amperes, volts*amperes)
}
