package sim

import (
	"math"
	"sync"
	"time"
)

// Quantity is something of the World that chips measure.
type Quantity uint8

// The quantities.
const (
	AirTemperature   Quantity = iota // °C; BME280, SHT31
	AirHumidity                      // percent, relative; BME280, SHT31
	AirPressure                      // hPa; BME280
	BoxTemperature                   // °C; TMP105
	SoilTemperature                  // °C; the DS18B20 SoilProbe
	WaterTemperature                 // °C; the DS18B20 WaterProbe
	firstInput                       // V; Input(0) and following
	quantities       = firstInput + 4 + 8
)

// Input is the voltage at AINn of the ADS1115 against ground, n from 0 to 3, in
// volts.
func Input(n int) Quantity { return firstInput + Quantity(n&3) }

// SPIInput is the voltage at CHn of the MCP3008 against ground, n from 0 to 7, in
// volts.
func SPIInput(n int) Quantity { return firstInput + 4 + Quantity(n&7) }

// World has the physical quantities around the simulated board. Its methods may
// be called from any goroutine.
type World struct {
	now func() time.Time

	mu     sync.RWMutex
	waves  [quantities]func(time.Time) float64
	before [quantities]past
}

// past is what a quantity followed until it was set the last time: a chip that
// measures by itself is asked only later what it measured.
type past struct {
	wave  func(time.Time) float64
	until time.Time
}

// newWorld makes a mild day: temperature and humidity against each other, with
// small waves of minutes on top, so that something moves while one looks at it.
func newWorld(now func() time.Time) *World {
	const day = 24 * time.Hour
	w := &World{now: now}
	w.waves = [quantities]func(time.Time) float64{
		AirTemperature:   wave(21, 4, day, 0.4, 10*time.Minute),
		AirHumidity:      wave(56, -14, day, 2, 7*time.Minute),
		AirPressure:      wave(1013, 7, 5*day, 0.2, 20*time.Minute),
		BoxTemperature:   wave(31, 5, day, 0.8, 15*time.Minute),
		SoilTemperature:  wave(14, 1.5, day, 0.1, 30*time.Minute),
		WaterTemperature: wave(11, 2, 3*day, 0.2, 25*time.Minute),
	}
	w.waves[Input(0)] = wave(1.9, 0.6, 6*time.Hour, 0.02, 10*time.Minute) // a soil moisture probe
	w.waves[Input(1)] = wave(2.45, 0.2, day, 0.02, 15*time.Minute)        // a battery behind a divider
	w.waves[Input(2)] = wave(1.6, 1.3, day, 0.1, 5*time.Minute)           // a light sensor
	w.waves[Input(3)] = wave(0, 0, day, 0, day)                           // to ground
	for n := range 8 {
		w.waves[SPIInput(n)] = wave(0.3+0.35*float64(n), 0.2, time.Hour, 0.02, time.Duration(n+3)*time.Minute)
	}
	return w
}

// wave is a slow sine with a quick one on top, by the wall clock.
func wave(mean, slow float64, slowPeriod time.Duration, quick float64, quickPeriod time.Duration) func(time.Time) float64 {
	return func(t time.Time) float64 {
		return mean + slow*phase(t, slowPeriod) + quick*phase(t, quickPeriod)
	}
}

func phase(t time.Time, period time.Duration) float64 {
	part := t.UnixNano() % int64(period) // in integers: the whole would lose digits
	return math.Sin(2 * math.Pi * float64(part) / float64(period))
}

// SetFunc has q follow f from now on. F may be called from any goroutine.
func (w *World) SetFunc(q Quantity, f func(time.Time) float64) {
	t := w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before[q] = past{w.waves[q], t}
	w.waves[q] = f
}

// Set holds q at v.
func (w *World) Set(q Quantity, v float64) { w.SetFunc(q, func(time.Time) float64 { return v }) }

// SetTemperature holds the temperature of the air, in °C.
func (w *World) SetTemperature(c float64) { w.Set(AirTemperature, c) }

// SetHumidity holds the relative humidity of the air, in percent.
func (w *World) SetHumidity(percent float64) { w.Set(AirHumidity, percent) }

// SetPressure holds the pressure of the air, in hPa.
func (w *World) SetPressure(hPa float64) { w.Set(AirPressure, hPa) }

// SetVoltage holds AINn of the ADS1115 at v volts, n from 0 to 3.
func (w *World) SetVoltage(n int, v float64) { w.Set(Input(n), v) }

// Value is q now, in the unit of the quantity.
func (w *World) Value(q Quantity) float64 { return w.at(q, w.now()) }

// at is q at t.
func (w *World) at(q Quantity, t time.Time) float64 {
	now := w.now()
	w.mu.RLock()
	f := w.waves[q]
	if p := w.before[q]; t.Before(p.until) && !now.Before(p.until) { // unless the clock was set back
		f = p.wave
	}
	w.mu.RUnlock()
	return f(t)
}

// quantize is v in whole steps of step, within lo and hi steps. NaN gives lo.
func quantize(v, step float64, lo, hi int) int {
	n := math.Round(v / step)
	switch {
	case n >= float64(hi):
		return hi
	case n > float64(lo):
		return int(n)
	}
	return lo
}
