package sim

import (
	"encoding/binary"
	"sort"
	"time"
)

// Registers of the BME280 (datasheet BST-BME280-DS002 section 5.3).
const (
	bme280Calib00  = 0x88
	bme280ID       = 0xd0
	bme280Reset    = 0xe0
	bme280Calib26  = 0xe1
	bme280CtrlHum  = 0xf2
	bme280Status   = 0xf3
	bme280CtrlMeas = 0xf4
	bme280Config   = 0xf5
	bme280Data     = 0xf7

	bme280Measuring = 1 << 3
	bme280ImUpdate  = 1 << 0
	bme280StartUp   = 2 * time.Millisecond

	// What the data registers have if a quantity was not measured (section 5.4.7).
	bme280Skipped         = 0x80000
	bme280SkippedHumidity = 0x8000
)

// bme280Words is the calibration of the simulated chip. Temperature and pressure
// are those of Bosch's worked example, in which 519888 is 25.08 °C and with that
// 415148 is 100653 Pa; humidity is that of a common chip.
var bme280Words = bme280Calibration{
	t: [3]int{27504, 26435, -1000},
	p: [9]int{36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000},
	h: [6]int{75, 362, 0, 313, 50, 30},
}

// bme280 is Bosch's sensor of temperature, humidity and pressure.
type bme280 struct {
	world   *World
	image   [256]byte // calibration and id
	pointer byte
	started time.Time // the calibration is there

	hum, humLatched, meas, config byte
	delayed                       *byte // written to ctrl_meas during a measurement

	began, done time.Time // of the measurement in forced mode, of the cycle in normal mode
	pending     bme280Raw
	data        bme280Raw
}

// bme280Raw is the content of the data registers.
type bme280Raw struct{ t, p, h int }

func newBME280(w *World, t time.Time) *bme280 {
	c := &bme280{world: w}
	k := &bme280Words
	at := bme280Calib00
	for _, x := range append(k.t[:], k.p[:]...) {
		binary.LittleEndian.PutUint16(c.image[at:], uint16(x))
		at += 2
	}
	c.image[0xa1] = byte(k.h[0])
	h := c.image[bme280Calib26:]
	binary.LittleEndian.PutUint16(h, uint16(k.h[1]))
	h[2] = byte(k.h[2])
	h[3] = byte(k.h[3] >> 4) // the two of 12 bits share a byte (section 4.2.2)
	h[4] = byte(k.h[3]&0x0f) | byte(k.h[4]&0x0f)<<4
	h[5] = byte(k.h[4] >> 4)
	h[6] = byte(k.h[5])
	c.image[bme280ID] = 0x60
	c.powerUp(t.Add(-bme280StartUp))
	return c
}

// powerUp is a reset at t.
func (c *bme280) powerUp(t time.Time) {
	c.started = t.Add(bme280StartUp)
	c.hum, c.humLatched, c.meas, c.config, c.delayed, c.pointer = 0, 0, 0, 0, nil, 0
	c.data = bme280Raw{bme280Skipped, bme280Skipped, bme280SkippedHumidity}
}

// reset implements i2cChip: there is no general call reset.
func (c *bme280) reset(time.Time) bool { return false }

// write implements i2cChip: pairs of register and value (section 6.2.1). A last
// byte alone, or the first, is where reading begins.
func (c *bme280) write(t time.Time, f Fault, w []byte) bool {
	c.advance(t, f)
	for ; len(w) >= 2; w = w[2:] {
		c.pointer = w[0]
		c.set(t, f, w[0], w[1])
	}
	if len(w) == 1 {
		c.pointer = w[0]
	}
	return true
}

func (c *bme280) set(t time.Time, f Fault, register, x byte) {
	switch register {
	case bme280Reset:
		if x == 0xb6 {
			c.powerUp(t)
		}
	case bme280CtrlHum:
		c.hum = x & 7
	case bme280Config:
		if c.mode() != 3 { // in normal mode writes may be ignored (section 5.4.6)
			c.config = x
		}
	case bme280CtrlMeas:
		switch {
		case !c.measuring(t, f):
			c.apply(t, f, x)
		case c.delayed == nil: // obeyed after the measurement, and nothing more until then (section 3.3.1)
			c.delayed = &x
		}
	}
}

// apply is what a write to ctrl_meas does.
func (c *bme280) apply(t time.Time, f Fault, x byte) {
	c.meas, c.humLatched, c.delayed = x, c.hum, nil
	if c.mode() != 0 {
		c.begin(t, f)
	}
}

// mode is 0 for sleep, 1 or 2 for forced, 3 for normal.
func (c *bme280) mode() byte { return c.meas & 3 }

// begin starts a measurement at t.
func (c *bme280) begin(t time.Time, f Fault) {
	c.began, c.done = t, t.Add(c.duration(f))
	c.pending = c.convert(t)
}

// measuring reports whether a measurement runs at t.
func (c *bme280) measuring(t time.Time, f Fault) bool {
	return c.mode() != 0 && !t.Before(c.began) && (f == NeverReady || t.Before(c.done))
}

// read implements i2cChip.
func (c *bme280) read(t time.Time, f Fault, r []byte) bool {
	c.advance(t, f)
	for i := range r {
		r[i] = c.register(t, f, c.pointer)
		c.pointer++
	}
	return true
}

func (c *bme280) register(t time.Time, f Fault, n byte) byte {
	switch n {
	case bme280ID:
		if f == WrongID {
			return 0x61 // that of a BME680
		}
	case bme280CtrlHum:
		return c.hum
	case bme280Status:
		s := byte(0)
		if c.measuring(t, f) {
			s |= bme280Measuring
		}
		if t.Before(c.started) {
			s |= bme280ImUpdate
		}
		return s
	case bme280CtrlMeas:
		return c.meas
	case bme280Config:
		return c.config
	case bme280Data:
		return byte(c.data.p >> 12)
	case bme280Data + 1:
		return byte(c.data.p >> 4)
	case bme280Data + 2:
		return byte(c.data.p << 4)
	case bme280Data + 3:
		return byte(c.data.t >> 12)
	case bme280Data + 4:
		return byte(c.data.t >> 4)
	case bme280Data + 5:
		return byte(c.data.t << 4)
	case bme280Data + 6:
		return byte(c.data.h >> 8)
	case bme280Data + 7:
		return byte(c.data.h)
	default:
		if t.Before(c.started) {
			return 0 // the calibration is not copied yet
		}
	}
	return c.image[n]
}

// maxCycles is how many cycles of normal mode are looked at one by one. Before
// that, even the slowest filter has forgotten.
const maxCycles = 256

// advance does what happened until t.
func (c *bme280) advance(t time.Time, f Fault) {
	if c.mode() == 3 && f != NeverReady && c.delayed == nil {
		if late := t.Sub(c.done); late > maxCycles*c.cycle(f) {
			c.begin(c.began.Add(late.Truncate(c.cycle(f))-maxCycles*c.cycle(f)), f)
		}
	}
	for c.mode() != 0 && f != NeverReady && !t.Before(c.done) {
		c.store(c.pending)
		switch {
		case c.delayed != nil:
			c.apply(c.done, f, *c.delayed)
		case c.mode() == 3:
			c.begin(c.began.Add(c.cycle(f)), f)
		default:
			c.meas &^= 3 // forced mode ends by itself
		}
	}
}

// store puts a result into the data registers, through the filter (section
// 3.4.4), which humidity does not have.
func (c *bme280) store(r bme280Raw) {
	c.data = bme280Raw{c.smooth(c.data.t, r.t), c.smooth(c.data.p, r.p), r.h}
}

// smooth is the filter for one quantity, which starts from the first value that
// was measured.
func (c *bme280) smooth(last, raw int) int {
	if n := c.filter(); last != bme280Skipped && raw != bme280Skipped {
		return (last*(n-1) + raw) / n
	}
	return raw
}

// filter is the coefficient, 1 for off.
func (c *bme280) filter() int { return [8]int{1, 2, 4, 8, 16, 16, 16, 16}[c.config>>2&7] }

// bme280Oversampling is how often a quantity is measured, by its setting.
func bme280Oversampling(x byte) int { return [8]int{0, 1, 2, 4, 8, 16, 16, 16}[x&7] }

func (c *bme280) oversampling() (t, p, h int) {
	return bme280Oversampling(c.meas >> 5), bme280Oversampling(c.meas >> 2), bme280Oversampling(c.humLatched)
}

// duration of a measurement (section 9.1).
func (c *bme280) duration(f Fault) time.Duration {
	t, p, h := c.oversampling()
	base, each, extra := 1000, 2000, 500 // µs
	if f == Slow {
		base, each, extra = 1250, 2300, 575
	}
	us := base + each*(t+p+h)
	if p > 0 {
		us += extra
	}
	if h > 0 {
		us += extra
	}
	return time.Duration(us) * time.Microsecond
}

// cycle is from one measurement to the next in normal mode (section 5.4.6).
func (c *bme280) cycle(f Fault) time.Duration {
	us := [8]int{500, 62500, 125000, 250000, 500000, 1000000, 10000, 20000}[c.config>>5]
	return c.duration(f) + time.Duration(us)*time.Microsecond
}

// convert measures the world at t: it gives the raw values from which the
// compensation makes what the world has. Without the filter, oversampling decides
// how many of the 20 bits there are: 16 and one more with each doubling (section
// 3.4).
func (c *bme280) convert(t time.Time) bme280Raw {
	r := bme280Raw{bme280Skipped, bme280Skipped, bme280SkippedHumidity}
	ot, op, oh := c.oversampling()
	k := &bme280Words
	if ot > 0 {
		want := c.world.at(AirTemperature, t)
		r.t = nearest(20, c.step(ot), func(raw int) bool { return k.temperature(raw) < want }, func(raw int) float64 { return k.temperature(raw) - want })
	}
	fine := k.fine(r.t)
	if op > 0 {
		want := 100 * c.world.at(AirPressure, t)
		r.p = nearest(20, c.step(op), func(raw int) bool { return k.pressure(raw, fine) > want }, func(raw int) float64 { return k.pressure(raw, fine) - want })
	}
	if oh > 0 {
		want := c.world.at(AirHumidity, t)
		r.h = nearest(16, 1, func(raw int) bool { return k.humidity(raw, fine) < want }, func(raw int) float64 { return k.humidity(raw, fine) - want })
	}
	return r
}

// step is the distance of two raw values.
func (c *bme280) step(oversampling int) int {
	if c.filter() > 1 {
		return 1
	}
	return 16 / oversampling
}

// nearest finds the raw value of the given bits, in whole steps, whose error is
// smallest. Short reports that a raw value is still before the one looked for.
func nearest(bits, step int, short func(raw int) bool, off func(raw int) float64) int {
	n := sort.Search(1<<bits/step-1, func(i int) bool { return !short(i * step) })
	if n > 0 && abs(off((n-1)*step)) < abs(off(n*step)) {
		n--
	}
	return n * step
}

func abs(x float64) float64 { return max(x, -x) }
