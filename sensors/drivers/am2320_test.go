package drivers

import (
	"errors"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
)

// The answer of the datasheet's section 8.2.3: 50.0 %RH, 25.0 °C.
var am2320Example = []byte{0x03, 0x04, 0x01, 0xf4, 0x00, 0xfa, 0x31, 0xa5}

// am2320Answer is an answer with these registers.
func am2320Answer(humidity, temperature uint16) []byte {
	b := []byte{0x03, 0x04, byte(humidity >> 8), byte(humidity), byte(temperature >> 8), byte(temperature)}
	crc := am2320CRC(b)
	return append(b, byte(crc), byte(crc>>8))
}

// am2320Ops are readings with these answers.
func am2320Ops(answers ...[]byte) []i2ctest.IO {
	var ops []i2ctest.IO
	for _, a := range answers {
		ops = append(ops, i2ctest.IO{Addr: 0x5c, W: []byte{0x00}}, i2ctest.IO{Addr: 0x5c, W: []byte{0x03, 0x00, 0x04}}, i2ctest.IO{Addr: 0x5c, R: a})
	}
	return ops
}

func TestAM2320(t *testing.T) {
	old := am2320Answer(999, 400)
	for _, x := range []struct {
		name   string
		answer []byte
		want   string
	}{
		{"the example of section 8.2.3", am2320Example, "temperature=25.0 humidity=50.0"},
		{"the example of figure 17", []byte{0x03, 0x04, 0x03, 0x39, 0x01, 0x15, 0xe1, 0xfe}, "temperature=27.7 humidity=82.5"},
		{"the example of section 8.3.2", am2320Answer(0x0292, 0x010d), "temperature=26.9 humidity=65.8"},
		{"its example below zero", am2320Answer(0x0292, 0x8065), "temperature=-10.1 humidity=65.8"},
		{"just below zero", am2320Answer(700, 0x8001), "temperature=-0.1 humidity=70.0"},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { recorded(t, "am2320", nil, am2320Ops(old, x.answer), x.want) })
		})
	}
}

// TestAM2320Age never gives a measurement from before the interval.
func TestAM2320Age(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{i2c: am2320Ops(am2320Answer(1, 1), am2320Answer(2, 2), am2320Answer(3, 3), am2320Answer(4, 4), am2320Answer(5, 5), am2320Answer(6, 6))}
		s, err := attach(t, b, "am2320", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range []struct {
			before, least time.Duration
			want          string
		}{
			{0, 2 * time.Second, "temperature=0.2 humidity=0.2"}, // after one that is old
			{3 * time.Second, 0, "temperature=0.3 humidity=0.3"},
			{time.Second, time.Second, "temperature=0.4 humidity=0.4"}, // still measuring
			{10 * time.Second, 2 * time.Second, "temperature=0.6 humidity=0.6"},
		} {
			time.Sleep(x.before)
			begun := time.Now()
			got, err := take(t.Context(), s)
			// The pauses of the protocol are 4 ms for each of at most two readings.
			if took := time.Since(begun); err != nil || got != x.want || took < x.least-8*time.Millisecond || took > x.least+8*time.Millisecond {
				t.Errorf("reading %d: %q, %v after %v; want %q after %v", i, got, err, took, x.want, x.least)
			}
		}
	})
}

// am2320Asleep acknowledges no waking up, and the first commands as often as
// deaf says.
type am2320Asleep struct {
	i2c.BusCloser
	deaf *int
}

func (b am2320Asleep) Tx(addr uint16, w, r []byte) error {
	if slices.Equal(w, []byte{0}) {
		return errNAK
	}
	if *b.deaf > 0 {
		*b.deaf--
		return errNAK
	}
	return b.BusCloser.Tx(addr, w, r)
}

type am2320AsleepBench struct {
	*bench
	deaf *int
}

func (b am2320AsleepBench) I2C(bus string) (i2c.BusCloser, error) {
	c, err := b.bench.I2C(bus)
	return am2320Asleep{c, b.deaf}, err
}

func TestAM2320Asleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ops := slices.DeleteFunc(am2320Ops(am2320Example, am2320Example), func(op i2ctest.IO) bool { return slices.Equal(op.W, []byte{0}) })
		for deaf := range 4 {
			n := deaf
			got, err := measure(t, am2320AsleepBench{&bench{i2c: ops}, &n}, "am2320", nil)
			if (deaf < 3) != (err == nil && got == "temperature=25.0 humidity=50.0") || deaf == 3 && !errors.Is(err, errNAK) {
				t.Errorf("%d commands not heard: %q, %v", deaf, got, err)
			}
		}
	})
}

func TestAM2320Faults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unanswered(t, "am2320", nil)
		whole := am2320Ops(am2320Example, am2320Example)
		for n := range whole {
			refused(t, "am2320", nil, whole[:n], "unexpected Tx")
		}
		for _, x := range []struct {
			answer []byte
			want   string
		}{
			{[]byte{0x03, 0x04, 0x01, 0xf4, 0x00, 0xfa, 0x31, 0xa4}, "checksum is 0xa431, not 0xa531"},
			{[]byte{0x03, 0x04, 0x01, 0xf4, 0x00, 0xfb, 0x31, 0xa5}, "checksum"},
			{[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "only ones"},
			{make([]byte, 8), "begins with 0x0000"},
			{[]byte{0x83, 0x80, 0, 0, 0, 0, 0, 0}, "begins with 0x8380"},
			{[]byte{0x03, 0x02, 0x01, 0xf4, 0x00, 0xfa, 0x31, 0xa5}, "begins with 0x0302"},
			{am2320Answer(0, 0), "not measured yet"},
			{am2320Answer(500, 801), "80.1 °C is outside"},
			{am2320Answer(500, 0x8000|401), "-40.1 °C is outside"},
			{am2320Answer(1001, 250), "100.1 % is outside"},
			{am2320Answer(0xffff, 0xffff), "outside"},
		} {
			refused(t, "am2320", nil, am2320Ops(am2320Example, x.answer), x.want)
		}
		refused(t, "am2320", nil, am2320Ops([]byte{0x03, 0x04, 0x01, 0xf4, 0x00, 0xfa, 0x31, 0xa4}), "checksum")
	})
}

func FuzzAM2320(f *testing.F) {
	f.Add(am2320Example)
	f.Add([]byte{0x03, 0x04, 0xff, 0xff, 0xff, 0xff, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != 8 {
			return
		}
		if err := am2320Frame(b); err == nil && am2320CRC(b[:6]) != uint16(b[6])|uint16(b[7])<<8 {
			t.Errorf("% x passes", b)
		}
		temperature, humidity, err := am2320Decode(b)
		if err == nil && (math.IsNaN(temperature+humidity) || temperature < -40 || temperature > 80 || humidity < 0 || humidity > 100) {
			t.Errorf("% x: %v °C, %v %%", b, temperature, humidity)
		}
	})
}
