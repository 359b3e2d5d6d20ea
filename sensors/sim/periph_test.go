package sim

import (
	"testing"
	"time"

	"periph.io/x/conn/v3/onewire"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/devices/v3/ads1x15"
	"periph.io/x/devices/v3/bmxx80"
	maxim "periph.io/x/devices/v3/ds18b20"
)

// Drivers that others wrote for the real chips read what the world has.

func TestPeriphBME280(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		d, err := bmxx80.NewI2C(wire(t, b, AddressBME280).bus, AddressBME280, &bmxx80.Opts{Temperature: bmxx80.O16x, Pressure: bmxx80.O16x, Humidity: bmxx80.O16x})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []struct{ c, rh, hPa float64 }{
			{25.08, 46.3, 1006.53}, {-39.5, 12, 350}, {0, 0.5, 1013.25}, {21, 50, 1000}, {60, 99.5, 1090}, {84.5, 5, 700},
		} {
			b.SetTemperature(x.c)
			b.SetHumidity(x.rh)
			b.SetPressure(x.hPa)
			var e physic.Env
			if err := d.Sense(&e); err != nil {
				t.Fatal(err)
			}
			near(t, "temperature", e.Temperature.Celsius(), x.c, 0.011)
			near(t, "humidity", float64(e.Humidity)/float64(physic.PercentRH), x.rh, 0.03)
			near(t, "pressure", float64(e.Pressure)/float64(physic.Pascal)/100, x.hPa, 0.02)
		}
		// The waves, for some days.
		for _, q := range []Quantity{AirTemperature, AirHumidity, AirPressure} {
			b.SetFunc(q, newWorld(time.Now).waves[q])
		}
		for range 500 {
			time.Sleep(17 * time.Minute)
			c, rh, hPa := b.Value(AirTemperature), b.Value(AirHumidity), b.Value(AirPressure)
			var e physic.Env
			if err := d.Sense(&e); err != nil {
				t.Fatal(err)
			}
			near(t, "temperature", e.Temperature.Celsius(), c, 0.011)
			near(t, "humidity", float64(e.Humidity)/float64(physic.PercentRH), rh, 0.03)
			near(t, "pressure", float64(e.Pressure)/float64(physic.Pascal)/100, hPa, 0.02)
		}
	})
}

func TestPeriphBME280Normal(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		d, err := bmxx80.NewI2C(wire(t, b, AddressBME280).bus, AddressBME280, &bmxx80.Opts{Temperature: bmxx80.O1x, Pressure: bmxx80.O1x, Humidity: bmxx80.O1x,
			Filter: bmxx80.F4, Standby: 62500 * time.Microsecond})
		if err != nil {
			t.Fatal(err)
		}
		b.SetTemperature(10)
		time.Sleep(time.Second)
		b.SetTemperature(20)
		time.Sleep(100 * time.Millisecond)
		var e physic.Env
		if err := d.Sense(&e); err != nil {
			t.Fatal(err)
		}
		if c := e.Temperature.Celsius(); c < 11 || c > 19 {
			t.Errorf("%v °C one cycle after a step: the filter is off", c)
		}
		time.Sleep(time.Hour)
		if err := d.Sense(&e); err != nil {
			t.Fatal(err)
		}
		near(t, "temperature", e.Temperature.Celsius(), 20, 0.05)
	})
}

func TestPeriphADS1115(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		d, err := ads1x15.NewADS1115(wire(t, b, AddressADS1115).bus, &ads1x15.DefaultOpts)
		if err != nil {
			t.Fatal(err)
		}
		for n, v := range []float64{0.1234, 3.2999, -0.05, 1.0} {
			b.SetVoltage(n, v)
		}
		for _, x := range []struct {
			c         ads1x15.Channel
			full, hz  float64
			want, lsb float64
		}{
			{ads1x15.Channel0, 0.256, 8, 0.1234, 0.256 / 32768},
			{ads1x15.Channel1, 4.096, 860, 3.2999, 4.096 / 32768},
			{ads1x15.Channel1, 6.144, 100, 3.2999, 6.144 / 32768},
			{ads1x15.Channel1, 2.048, 100, 2.048, 2.048 / 32768}, // full scale
			{ads1x15.Channel2, 0.512, 100, -0.05, 0.512 / 32768},
			{ads1x15.Channel3, 1.024, 100, 1, 1.024 / 32768},
			{ads1x15.Channel0Minus1, 4.096, 100, -3.1765, 4.096 / 32768},
			{ads1x15.Channel0Minus1, 0.256, 100, -0.256, 0},
			{ads1x15.Channel0Minus3, 1.024, 100, -0.8766, 1.024 / 32768},
			{ads1x15.Channel1Minus3, 4.096, 100, 2.2999, 4.096 / 32768},
			{ads1x15.Channel2Minus3, 2.048, 100, -1.05, 2.048 / 32768},
		} {
			p, err := d.PinForChannel(x.c, physic.ElectricPotential(x.full*float64(physic.Volt)), physic.Frequency(x.hz)*physic.Hertz, ads1x15.BestQuality)
			if err != nil {
				t.Fatal(err)
			}
			s, err := p.Read()
			if err != nil {
				t.Fatal(err)
			}
			near(t, x.c.String(), float64(s.V)/float64(physic.Volt), x.want, x.lsb+1e-9)
		}
	})
}

func TestPeriphDS18B20(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		bus, err := b.OneWire("w1:sim")
		if err != nil {
			t.Fatal(err)
		}
		found, err := bus.Search(false)
		if err != nil || len(found) != 2 {
			t.Fatal(found, err)
		}
		for i, x := range []struct {
			q       Quantity
			address onewire.Address
		}{{SoilTemperature, SoilProbe}, {WaterTemperature, WaterProbe}} {
			if found[i] != x.address {
				t.Errorf("found %x, want %x", found[i], x.address)
			}
			for bits := 9; bits <= 12; bits++ {
				d, err := maxim.New(bus, x.address, bits)
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range []float64{-55, -10.125, -0.5, 0, 10.125, 25.0625, 84.3, 125} {
					b.Set(x.q, c)
					var e physic.Env
					if err := d.Sense(&e); err != nil {
						t.Fatal(err)
					}
					near(t, "temperature", e.Temperature.Celsius(), c, 0.501/float64(int(2)<<(bits-9))+0.0001)
				}
			}
		}
		// Both at once.
		b.Set(SoilTemperature, 3)
		b.Set(WaterTemperature, 4)
		if err := maxim.ConvertAll(bus, 12); err != nil {
			t.Fatal(err)
		}
		for i, a := range found {
			d, err := maxim.New(bus, a, 12)
			if err != nil {
				t.Fatal(err)
			}
			c, err := d.LastTemp()
			if err != nil {
				t.Fatal(err)
			}
			near(t, "temperature", c.Celsius(), float64(3+i), 0.0001)
		}
	})
}
