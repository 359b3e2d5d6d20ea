package sim

import (
	"math"
	"testing"
	"time"
)

func TestWorldIsSensible(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w := newWorld(func() time.Time { return at })
	lo, hi := [quantities]float64{}, [quantities]float64{}
	for q := range lo {
		lo[q], hi[q] = math.Inf(1), math.Inf(-1)
	}
	for range 10 * 24 * 60 {
		at = at.Add(time.Minute)
		for q := range quantities {
			v := w.Value(q)
			lo[q], hi[q] = min(lo[q], v), max(hi[q], v)
		}
	}
	for _, x := range []struct {
		q        Quantity
		min, max float64
	}{
		{AirTemperature, 10, 30}, {AirHumidity, 20, 90}, {AirPressure, 980, 1050}, {BoxTemperature, 15, 50},
		{SoilTemperature, 5, 25}, {WaterTemperature, 3, 25}, {Input(0), 0.5, 3.3}, {Input(1), 0, 3.3}, {Input(2), 0, 3.3},
		{SPIInput(0), 0, Reference}, {SPIInput(7), 0, Reference},
	} {
		if lo[x.q] < x.min || hi[x.q] > x.max || hi[x.q]-lo[x.q] < 0.1 {
			t.Errorf("quantity %d is %v to %v, want within %v to %v", x.q, lo[x.q], hi[x.q], x.min, x.max)
		}
	}
	if lo[Input(3)] != 0 || hi[Input(3)] != 0 {
		t.Errorf("the grounded input is %v to %v", lo[Input(3)], hi[Input(3)])
	}
}

func TestWorldSet(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w := newWorld(func() time.Time { return at })
	w.SetTemperature(1)
	at = at.Add(time.Second)
	w.SetTemperature(2)
	if v := w.at(AirTemperature, at.Add(-time.Nanosecond)); v != 1 {
		t.Errorf("before it was set it is %v, want 1", v)
	}
	if v := w.Value(AirTemperature); v != 2 {
		t.Errorf("it is %v, want 2", v)
	}
	at = at.Add(-time.Hour) // the clock is set back
	if v := w.Value(AirTemperature); v != 2 {
		t.Errorf("it is %v, want 2", v)
	}
	w.SetHumidity(3)
	w.SetPressure(4)
	w.SetVoltage(2, 5)
	if w.Value(AirHumidity) != 3 || w.Value(AirPressure) != 4 || w.Value(Input(2)) != 5 {
		t.Error("humidity, pressure or voltage is not what was set")
	}
}
