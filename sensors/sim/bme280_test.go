package sim

import (
	"math"
	"testing"
	"time"
)

// Bosch's worked example (BMP280 datasheet BST-BMP280-DS001 section 3.12).
func TestBME280Compensation(t *testing.T) {
	k := &bme280Words
	fine := k.fine(519888)
	near(t, "fine temperature", fine, 128422, 1)
	near(t, "temperature", k.temperature(519888), 25.08, 0.005)
	near(t, "pressure", k.pressure(415148, fine), 100653.27, 0.01)
}

func TestBME280ExampleByWorld(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		b.SetTemperature(bme280Words.temperature(519888))
		b.SetPressure(bme280Words.pressure(415148, bme280Words.fine(519888)) / 100)
		w := wire(t, b, AddressBME280)
		w.write(0xf4, 5<<5|5<<2|1)
		time.Sleep(200 * time.Millisecond)
		w.want([]byte{0xf7}, 0x65, 0x5a, 0xc0, 0x7e, 0xed, 0x00, 0x80, 0x00)
	})
}

func TestBME280Registers(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		w := wire(t, b, AddressBME280)
		w.want([]byte{0xd0}, 0x60)
		w.want([]byte{0xf2}, 0, 0, 0, 0, 0, 0x80, 0, 0, 0x80, 0, 0, 0x80, 0) // section 5.3: reset states
		w.want([]byte{0x88}, 0x70, 0x6b, 0x43, 0x67, 0x18, 0xfc)             // T1 to T3
		w.want(nil, 0x7d, 0x8e)                                              // and on with P1
		w.want([]byte{0xa0}, 0, 75)
		w.want([]byte{0xe1}, 0x6a, 0x01, 0, 0x13, 0x29, 0x03, 30)

		// Humidity's setting counts from the next write to ctrl_meas.
		w.write(0xf2, 1)
		w.write(0xf4, 1<<5|1)
		w.want([]byte{0xf3}, 8, 1<<5|1)
		time.Sleep(5499 * time.Microsecond) // 1 + 2 + 2.5 ms, section 9.1
		w.want([]byte{0xf3}, 8)
		w.want([]byte{0xf7}, 0x80, 0, 0, 0x80, 0, 0, 0x80, 0) // the old values
		time.Sleep(time.Microsecond)
		w.want([]byte{0xf3}, 0, 1<<5) // asleep again
		r := wire(t, b, AddressBME280).bus
		data := make([]byte, 8)
		if err := r.Tx(AddressBME280, []byte{0xf7}, data); err != nil {
			t.Fatal(err)
		}
		if data[0] != 0x80 || data[3] == 0x80 || data[6] == 0x80 {
			t.Errorf("% x: want pressure skipped, temperature and humidity measured", data)
		}

		// Values stay until the next measurement.
		b.SetTemperature(-5)
		w.want([]byte{0xf7}, data...)
		for range 16 {
			b.SetTemperature(b.Value(AirTemperature) + 0.0003)
			w.write(0xf4, 1<<5|1)
			time.Sleep(10 * time.Millisecond)
			w.want([]byte{0xfc}, 0) // 16 bits
		}

		// A mode during a measurement is taken up after it, and only one.
		w.write(0xf4, 1<<5|1)
		w.write(0xf4, 2<<5, 0xf4, 3<<5|3)
		w.want([]byte{0xf4}, 1<<5|1)
		time.Sleep(10 * time.Millisecond)
		w.want([]byte{0xf4}, 2<<5)

		// Reset: calibration is being copied for a while.
		w.write(0xe0, 0xb6)
		w.want([]byte{0xf3}, 1, 0)
		w.want([]byte{0x88}, 0, 0)
		time.Sleep(2 * time.Millisecond)
		w.want([]byte{0xf3}, 0)
		w.want([]byte{0x88}, 0x70, 0x6b)
		w.want([]byte{0xfa}, 0x80, 0, 0)
		w.write(0xe0, 0x17) // no other value resets
		w.want([]byte{0xf3}, 0)
	})
}

func TestBME280Slow(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		w := wire(t, b, AddressBME280)
		b.SetFault(ChipBME280, Slow)
		w.write(0xf2, 5, 0xf4, 5<<5|5<<2|1)
		time.Sleep(112799 * time.Microsecond) // 1.25 + 3 * 36.8 + 2 * 0.575 ms
		w.want([]byte{0xf3}, 8)
		time.Sleep(time.Microsecond)
		w.want([]byte{0xf3}, 0)
	})
}

func TestBME280Normal(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		w := wire(t, b, AddressBME280)
		read := func() float64 {
			t.Helper()
			w.write(0xfa)
			r := w.read(3)
			return bme280Words.temperature(int(r[0])<<12 | int(r[1])<<4 | int(r[2])>>4)
		}
		start := time.Now()
		b.SetFunc(AirTemperature, func(t time.Time) float64 { return t.Sub(start).Seconds() / 20 })
		w.write(0xf5, 5<<5, 0xf4, 5<<5|3) // every second and 33 ms: 16 samples of 2 ms, and 1 ms
		for _, s := range []float64{0.5, 1.5, 2.5, 777.7, 1000} {
			time.Sleep(time.Duration(s*1e9) - time.Since(start))
			cycles := math.Floor((s - 0.033) / 1.033)
			near(t, "temperature", read(), cycles*1.033/20, 0.003)
		}
		w.write(0xf2, 1) // not before the next write to ctrl_meas
		time.Sleep(3 * time.Second)
		w.want([]byte{0xfd}, 0x80, 0)
		b.SetHumidity(0)
		w.write(0xf4, 5<<5|3)
		time.Sleep(40 * time.Millisecond)
		w.write(0xfd)
		if w.read(1)[0] == 0x80 {
			t.Error("humidity is not measured")
		}
		w.write(0xf5, 0) // ignored
		w.want([]byte{0xf5}, 5<<5)
		w.want([]byte{0xf3}, 0)
		time.Sleep(40 * time.Millisecond)
		w.write(0xf4, 0)
		last := read()
		time.Sleep(time.Minute)
		near(t, "temperature asleep", read(), last, 0)
	})
}

func TestNearest(t *testing.T) {
	for want, x := range map[int]float64{0: -3, 16: 23, 32: 25, 112: 1e9} {
		off := func(raw int) float64 { return float64(raw) - x }
		if got := nearest(7, 16, func(raw int) bool { return off(raw) < 0 }, off); got != want {
			t.Errorf("nearest to %v is %d, want %d", x, got, want)
		}
	}
}

func TestBME280Extremes(t *testing.T) {
	k := &bme280Words
	for _, c := range []float64{-40, 0, 25, 85} {
		var raw int
		for raw < 1<<20 && k.temperature(raw) < c {
			raw += 16
		}
		fine := k.fine(raw)
		for x := 16; x < 1<<20; x += 16 {
			if k.temperature(x) <= k.temperature(x-16) || k.pressure(x, fine) >= k.pressure(x-16, fine) {
				t.Fatalf("not monotone at %d, %v °C", x, c)
			}
		}
		for x := 1; x < 1<<16; x++ {
			if k.humidity(x, fine) <= k.humidity(x-1, fine) {
				t.Fatalf("humidity is not monotone at %d, %v °C", x, c)
			}
		}
	}
	powered(t, func(t *testing.T, b *Board) {
		w := wire(t, b, AddressBME280)
		for _, v := range []float64{math.Inf(1), math.Inf(-1), math.NaN()} {
			b.SetTemperature(v)
			b.SetHumidity(v)
			b.SetPressure(v)
			w.write(0xf2, 1, 0xf4, 1<<5|1<<2|1)
			time.Sleep(time.Second)
			w.want([]byte{0xf3}, 0)
		}
	})
}
