package drivers

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"fieldgate/sensors"
)

// STMicroelectronics VL53L0X: distance by the time of flight of infrared light.
//
// Datasheet DS11555 revision 4: table 5 (identity), section 2 (what is measured).
// The registers are documented by ST's API STSW-IMG005 alone (user manual
// UM2039); their addresses, the tuning values and the order of the steps of
// DataInit, StaticInit and PerformRefCalibration are from there. The number of
// reference SPADs and the map of the good ones are those that ST programmed into
// the chip; a cover glass would want them measured anew, and its crosstalk
// corrected, which this driver does not do. The estimate of the standard
// deviation, which ST's API makes on the host, is not made; a weak signal is
// refused by its rate instead.
//
// Limits: about 30 mm to 1.2 m, to 2 m with range: long in the dark.
//
// Nothing but range status 11 is a distance. Without a target the chip gives 8190
// or 8191 mm and another status. Before each measurement a register that was set
// at opening is read back, since a chip whose supply failed would measure
// untuned.
func init() {
	sensors.Register(sensors.Driver{
		Name: "vl53l0x",
		Doc:  "ST VL53L0X: distance 0 to 2500 mm by laser, certain from 30 to 1200 mm, ±3 to 10 %; I2C",
		Bus:  sensors.I2C,
		Options: []sensors.Option{
			addressOption(0x29, 0x29, 0x29),
			{Name: "budget", Doc: "time of one measurement; the longer the steadier, 200ms halves the noise of the default and more", Kind: sensors.Span,
				Default: "33ms", Min: 0.02, Max: 1},
			{Name: "range", Doc: "normal, or long: to 2 m, but only where there is no sunlight", Kind: sensors.Text,
				Default: "normal", Choices: []string{"normal", "long"}},
		},
		Channels: vl53l0xChannels,
		Open: func(ctx context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			c, err := openI2C(env, o, "vl53l0x")
			if err != nil {
				return nil, err
			}
			v := &vl53l0x{i2cChip: c, budget: o.Span("budget"), mode: vl53l0xModeOf(o)}
			return c.sampler(v.ready(ctx), v.measure)
		},
	})
}

func vl53l0xChannels(sensors.Options) []sensors.Channel {
	return []sensors.Channel{{Suffix: "distance", Kind: "DistanceSensor", Quantity: "Distance", Unit: "Millimetre"}}
}

// Registers of page 0 that have names in ST's API. Register 0xff selects the page.
const (
	vl53l0xStart          = 0x00 // SYSRANGE_START
	vl53l0xSequence       = 0x01 // SYSTEM_SEQUENCE_CONFIG
	vl53l0xInterrupt      = 0x0a // SYSTEM_INTERRUPT_CONFIG_GPIO
	vl53l0xClear          = 0x0b // SYSTEM_INTERRUPT_CLEAR
	vl53l0xReady          = 0x13 // RESULT_INTERRUPT_STATUS
	vl53l0xResult         = 0x14 // RESULT_RANGE_STATUS and what follows
	vl53l0xSignalLimit    = 0x44 // FINAL_RANGE_CONFIG_MIN_COUNT_RATE_RTN_LIMIT
	vl53l0xMSRCTime       = 0x46 // MSRC_CONFIG_TIMEOUT_MACROP
	vl53l0xPreRangeTime   = 0x51 // PRE_RANGE_CONFIG_TIMEOUT_MACROP_HI
	vl53l0xFinalRangeTime = 0x71 // FINAL_RANGE_CONFIG_TIMEOUT_MACROP_HI
	vl53l0xPolarity       = 0x84 // GPIO_HV_MUX_ACTIVE_HIGH
	vl53l0xSupply         = 0x89 // VHV_CONFIG_PAD_SCL_SDA__EXTSUP_HV
	vl53l0xSPADMap        = 0xb0 // GLOBAL_CONFIG_SPAD_ENABLES_REF_0 to 5
	vl53l0xSPADStart      = 0xb6 // GLOBAL_CONFIG_REF_EN_START_SELECT
	vl53l0xIdentity       = 0xc0 // IDENTIFICATION_MODEL_ID, and 0xaa after it
	vl53l0xPage           = 0xff
)

// vl53l0xSteps are the steps of a measurement that are done: DSS, pre-range and
// final range.
const vl53l0xSteps = 0xe8

// vl53l0xTuning are ST's DefaultTuningSettings, register and value.
var vl53l0xTuning = [...][2]byte{
	{0xff, 0x01}, {0x00, 0x00},
	{0xff, 0x00}, {0x09, 0x00}, {0x10, 0x00}, {0x11, 0x00}, {0x24, 0x01}, {0x25, 0xff}, {0x75, 0x00},
	{0xff, 0x01}, {0x4e, 0x2c}, {0x48, 0x00}, {0x30, 0x20},
	{0xff, 0x00}, {0x30, 0x09}, {0x54, 0x00}, {0x31, 0x04}, {0x32, 0x03}, {0x40, 0x83}, {0x46, 0x25}, {0x60, 0x00},
	{0x27, 0x00}, {0x50, 0x06}, {0x51, 0x00}, {0x52, 0x96}, {0x56, 0x08}, {0x57, 0x30}, {0x61, 0x00}, {0x62, 0x00},
	{0x64, 0x00}, {0x65, 0x00}, {0x66, 0xa0},
	{0xff, 0x01}, {0x22, 0x32}, {0x47, 0x14}, {0x49, 0xff}, {0x4a, 0x00},
	{0xff, 0x00}, {0x7a, 0x0a}, {0x7b, 0x00}, {0x78, 0x21},
	{0xff, 0x01}, {0x23, 0x34}, {0x42, 0x00}, {0x44, 0xff}, {0x45, 0x26}, {0x46, 0x05}, {0x40, 0x40}, {0x0e, 0x06},
	{0x20, 0x1a}, {0x43, 0x40},
	{0xff, 0x00}, {0x34, 0x03}, {0x35, 0x44},
	{0xff, 0x01}, {0x31, 0x04}, {0x4b, 0x09}, {0x4c, 0x05}, {0x4d, 0x04},
	{0xff, 0x00}, {0x44, 0x00}, {0x45, 0x20}, {0x47, 0x08}, {0x48, 0x28}, {0x67, 0x00}, {0x70, 0x04}, {0x71, 0x01},
	{0x72, 0xfe}, {0x76, 0x00}, {0x77, 0x00},
	{0xff, 0x01}, {0x0d, 0x01},
	{0xff, 0x00}, {0x80, 0x01}, {0x01, 0xf8},
	{0xff, 0x01}, {0x8e, 0x01}, {0x00, 0x01},
	{0xff, 0x00}, {0x80, 0x00},
}

// vl53l0xLong are the settings for the long range where they differ from the
// tuning: laser pulse periods of 18 and 14 clocks with their limits of phase.
var vl53l0xLong = [...][2]byte{
	{0x56, 0x08}, {0x57, 0x50}, {0x50, 0x08}, // pre-range
	{0x47, 0x08}, {0x48, 0x48}, {0x70, 0x06}, // final range
	{0x32, 0x03}, {0x30, 0x07}, {0xff, 0x01}, {0x30, 0x20}, {0xff, 0x00}, // width and calibration of phase
}

// vl53l0xMode is what differs between the ranges.
type vl53l0xMode struct {
	pre, final int    // periods of the laser's pulses, clocks
	limit      uint16 // lowest signal rate, 1/128 million counts a second
	long       bool
}

func vl53l0xModeOf(o sensors.Options) vl53l0xMode {
	if o.Text("range") == "long" {
		return vl53l0xMode{pre: 18, final: 14, limit: 12, long: true} // 0.1 Mcps
	}
	return vl53l0xMode{pre: 14, final: 10, limit: 32} // 0.25 Mcps
}

// vl53l0x is an opened chip.
type vl53l0x struct {
	*i2cChip
	budget time.Duration
	mode   vl53l0xMode
	stop   byte // to be written before each measurement
}

// measure measures once.
func (v *vl53l0x) measure(ctx context.Context) ([]sensors.Sample, error) {
	b, err := v.result(ctx)
	if err != nil {
		return nil, err
	}
	mm, err := vl53l0xDecode(b, v.mode.limit)
	if err != nil {
		return nil, err
	}
	return samplesOf(vl53l0xChannels(nil), float64(mm))
}

// result has the chip measure and reads the twelve registers of the result.
func (v *vl53l0x) result(ctx context.Context) (b [12]byte, err error) {
	steps, err := v.readByte(vl53l0xSequence)
	if err == nil && steps != vl53l0xSteps {
		err = fmt.Errorf("steps are 0x%02x, not 0x%02x as was set: its supply failed", steps, vl53l0xSteps)
	}
	if err != nil {
		return b, err
	}
	if err := v.set([][2]byte{{0x80, 1}, {vl53l0xPage, 1}, {0x00, 0}, {0x91, v.stop}, {0x00, 1}, {vl53l0xPage, 0}, {0x80, 0},
		{vl53l0xStart, 0x01}}); err != nil {
		return b, err
	}
	if err := pause(ctx, v.budget); err != nil {
		return b, err
	}
	if err := v.await(ctx, "measurement", v.measured); err != nil {
		return b, err
	}
	if err := v.tx([]byte{vl53l0xResult}, b[:]); err != nil {
		return b, err
	}
	return b, v.set([][2]byte{{vl53l0xClear, 0x01}})
}

// vl53l0xFaults are the range statuses of ST's API. Number 11, a complete range,
// is none.
var vl53l0xFaults = [16]string{"no status", "laser is not connected", "laser watchdog", "no reference voltage", "no target",
	"too noisy", "phase out of range", "spread too large", "target not in the centre", "phase not consistent",
	"too near", "", "underflow", "overflow", "below the threshold", "unknown status"}

// vl53l0xFarthest is the largest distance in mm that is believed, with some room
// above the range.
const vl53l0xFarthest = 2500

// vl53l0xDecode gives the distance in mm of the twelve registers of the result:
// status, ..., rates of signal and ambient light, distance.
func vl53l0xDecode(b [12]byte, limit uint16) (int, error) {
	if allOnes(b[:]) {
		return 0, errAllOnes
	}
	signal := uint16(b[6])<<8 | uint16(b[7])
	mm := int(b[10])<<8 | int(b[11])
	switch status := b[0] >> 3 & 0x0f; {
	case status != 11:
		return 0, fmt.Errorf("no distance: %s (range status %d)", vl53l0xFaults[status], status)
	case signal < limit:
		return 0, fmt.Errorf("no distance: signal of %.2f Mcps is too weak", float64(signal)/128)
	case mm > vl53l0xFarthest:
		return 0, fmt.Errorf("no distance: %d mm is out of range", mm)
	}
	return mm, nil
}

// ready sets the chip up.
func (v *vl53l0x) ready(ctx context.Context) error {
	// An earlier setting up may have been cut short on another page.
	if err := v.set([][2]byte{{vl53l0xPage, 0}, {0x80, 0}}); err != nil {
		return err
	}
	var id [2]byte
	if err := v.tx([]byte{vl53l0xIdentity}, id[:]); err != nil {
		return err
	}
	switch {
	case allOnes(id[:]):
		return errAllOnes
	case id != [2]byte{0xee, 0xaa}:
		return fmt.Errorf("identity is % x, not ee aa: no VL53L0X", id)
	}
	// Levels of I2C are those of the supply, as on all modules; standard mode.
	if err := v.change(vl53l0xSupply, 0xff, 0x01); err != nil {
		return err
	}
	if err := v.set([][2]byte{{0x88, 0}, {0x80, 1}, {vl53l0xPage, 1}, {0x00, 0}}); err != nil {
		return err
	}
	var err error
	if v.stop, err = v.readByte(0x91); err != nil {
		return err
	}
	if err := v.set([][2]byte{{0x00, 1}, {vl53l0xPage, 0}, {0x80, 0}, {vl53l0xSequence, 0xff}}); err != nil {
		return err
	}
	if err := v.selectSPADs(ctx); err != nil {
		return err
	}
	if err := v.configure(); err != nil {
		return err
	}
	return v.calibrate(ctx)
}

// configure writes the tuning, the times, and that a measurement that is complete
// sets vl53l0xReady.
func (v *vl53l0x) configure() error {
	if err := v.set(vl53l0xTuning[:]); err != nil {
		return err
	}
	if v.mode.long {
		if err := v.set(vl53l0xLong[:]); err != nil {
			return err
		}
	}
	if err := v.set([][2]byte{{vl53l0xInterrupt, 0x04}}); err != nil {
		return err
	}
	if err := v.change(vl53l0xPolarity, 0xef, 0); err != nil {
		return err
	}
	times := vl53l0xTimesFor(v.mode, v.budget)
	if err := v.set([][2]byte{{vl53l0xClear, 1}, {vl53l0xSequence, vl53l0xSteps}, {vl53l0xMSRCTime, byte(times.msrc - 1)}}); err != nil {
		return err
	}
	for _, w := range [][2]uint16{{vl53l0xSignalLimit, v.mode.limit}, {vl53l0xPreRangeTime, vl53l0xEncode(times.pre)},
		{vl53l0xFinalRangeTime, vl53l0xEncode(times.final)}} {
		if err := v.write(byte(w[0]), byte(w[1]>>8), byte(w[1])); err != nil {
			return err
		}
	}
	return nil
}

// calibrate has the chip find its reference voltage and its phase.
func (v *vl53l0x) calibrate(ctx context.Context) error {
	for _, c := range []struct{ step, start byte }{{0x01, 0x41}, {0x02, 0x01}} {
		if err := v.set([][2]byte{{vl53l0xSequence, c.step}, {vl53l0xStart, c.start}}); err != nil {
			return err
		}
		if err := v.await(ctx, "calibration", v.measured); err != nil {
			return err
		}
		if err := v.set([][2]byte{{vl53l0xClear, 1}, {vl53l0xStart, 0}}); err != nil {
			return err
		}
	}
	return v.set([][2]byte{{vl53l0xSequence, vl53l0xSteps}})
}

// selectSPADs switches on the reference SPADs, the detectors of single photons,
// of which the chip's memory says how many and which kind.
func (v *vl53l0x) selectSPADs(ctx context.Context) error {
	if err := v.set([][2]byte{{0x80, 1}, {vl53l0xPage, 1}, {0x00, 0}, {vl53l0xPage, 6}}); err != nil {
		return err
	}
	if err := v.change(0x83, 0xff, 0x04); err != nil {
		return err
	}
	if err := v.set([][2]byte{{vl53l0xPage, 7}, {0x81, 1}, {0x80, 1}, {0x94, 0x6b}, {0x83, 0}}); err != nil {
		return err
	}
	if err := v.await(ctx, "memory", func() (bool, error) { b, err := v.readByte(0x83); return b != 0, err }); err != nil {
		return err
	}
	if err := v.set([][2]byte{{0x83, 1}}); err != nil {
		return err
	}
	info, err := v.readByte(0x92)
	if err != nil {
		return err
	}
	if err := v.set([][2]byte{{0x81, 0}, {vl53l0xPage, 6}}); err != nil {
		return err
	}
	if err := v.change(0x83, 0xfb, 0); err != nil {
		return err
	}
	if err := v.set([][2]byte{{vl53l0xPage, 1}, {0x00, 1}, {vl53l0xPage, 0}, {0x80, 0}}); err != nil {
		return err
	}
	var good [6]byte
	if err := v.tx([]byte{vl53l0xSPADMap}, good[:]); err != nil {
		return err
	}
	use, err := vl53l0xSPADs(good, info)
	if err != nil {
		return err
	}
	if err := v.set([][2]byte{{vl53l0xPage, 1}, {0x4f, 0}, {0x4e, 0x2c}, {vl53l0xPage, 0}, {vl53l0xSPADStart, 0xb4}}); err != nil {
		return err
	}
	return v.tx(append([]byte{vl53l0xSPADMap}, use[:]...), nil)
}

// vl53l0xSPADs picks as many of the good SPADs as info says in its lower seven
// bits, from number 12 on if bit 7 says that they are those behind an aperture.
func vl53l0xSPADs(good [6]byte, info byte) (use [6]byte, err error) {
	count, first, most := int(info&0x7f), 0, 12
	if info&0x80 != 0 {
		first, most = 12, 32
	}
	if count == 0 || count > most {
		return use, fmt.Errorf("memory says 0x%02x of the reference SPADs: it is not programmed, or no VL53L0X", info)
	}
	for n := first; n < 8*len(good) && count > 0; n++ {
		if bit := byte(1) << (n % 8); good[n/8]&bit != 0 {
			use[n/8] |= bit
			count--
		}
	}
	if count > 0 {
		return use, errors.New("too few reference SPADs are good")
	}
	return use, nil
}

// vl53l0xTimes are the longest times of the steps in macro periods; final
// includes pre.
type vl53l0xTimes struct{ msrc, pre, final int }

// vl53l0xTimesFor divides the budget: what the other steps and the chip's own
// work, as ST's API has them, leave over is for the final range.
func vl53l0xTimesFor(m vl53l0xMode, budget time.Duration) vl53l0xTimes {
	const overhead = 1910 + 960 + 2*690 + 660 + 550 // µs: start, end, twice DSS, pre-range, final range
	macro := func(clocks int) time.Duration { return time.Duration(clocks*2304*1655/1000) * time.Nanosecond }
	// The tuning has 38 and 151 periods of 14 clocks; the times stay the same.
	msrc, pre := 38*macro(14), 151*macro(14)
	left := max(budget-overhead*time.Microsecond-2*msrc-pre, 0)
	t := vl53l0xTimes{msrc: int((msrc + macro(m.pre)/2) / macro(m.pre)), pre: int((pre + macro(m.pre)/2) / macro(m.pre))}
	t.final = t.pre + int(left/macro(m.final))
	return t
}

// vl53l0xEncode writes a number of periods as the registers have it: low byte
// times two to the power of the high byte, plus one.
func vl53l0xEncode(periods int) uint16 {
	n := uint32(max(periods-1, 0))
	shift := max(bits.Len32(n)-8, 0)
	return uint16(shift)<<8 | uint16(n>>shift)
}

func (v *vl53l0x) measured() (bool, error) {
	b, err := v.readByte(vl53l0xReady)
	if b == 0xff {
		return false, errAllOnes
	}
	return b&0x07 != 0, err
}

// await asks every other millisecond until the chip is ready, for half a second.
func (v *vl53l0x) await(ctx context.Context, what string, ready func() (bool, error)) error {
	for range 250 {
		if done, err := ready(); done || err != nil {
			return err
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New(what + " does not come to an end")
}

// set writes registers, each with its value.
func (v *vl53l0x) set(registers [][2]byte) error {
	for _, r := range registers {
		if err := v.tx(r[:], nil); err != nil {
			return err
		}
	}
	return nil
}

// change keeps the bits of a register that keep has, and sets others.
func (v *vl53l0x) change(register, keep, set byte) error {
	b, err := v.readByte(register)
	if err != nil {
		return err
	}
	return v.set([][2]byte{{register, b&keep | set}})
}
