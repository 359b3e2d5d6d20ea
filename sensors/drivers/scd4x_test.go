package drivers

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"

	"fieldgate/sensors"
)

// Traffic from the examples of the datasheet.
var (
	scd4xExample = []byte{0x01, 0xf4, 0x33, 0x66, 0x67, 0xa2, 0x5e, 0xb9, 0x3c} // section 3.5.2: 500 ppm, 25 °C, 37 %RH
	scd4xNot     = []byte{0x80, 0x00, 0xa2}                                     // section 3.8.2: not ready
	scd4xIs      = []byte{0x80, 0x06, 0x04}                                     // ready
)

func scd4xSay(w ...byte) i2ctest.IO  { return i2ctest.IO{Addr: 0x62, W: w} }
func scd4xHear(r ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x62, R: r} }

// scd4xBegin is how a chip is opened, up to its settings; the serial number is
// the example of section 3.9.2.
func scd4xBegin() []i2ctest.IO {
	return []i2ctest.IO{
		scd4xSay(0x36, 0xf6), scd4xSay(0x3f, 0x86),
		scd4xSay(0x36, 0x82), scd4xHear(0xf8, 0x96, 0x31, 0x9f, 0x07, 0xc2, 0x3b, 0xbe, 0x89),
	}
}

// scd4xStatus asks for data ready and hears r.
func scd4xStatus(r []byte) []i2ctest.IO { return []i2ctest.IO{scd4xSay(0xe4, 0xb8), scd4xHear(r...)} }

// scd4xReading asks for the measurement and hears r.
func scd4xReading(r []byte) []i2ctest.IO {
	return []i2ctest.IO{scd4xSay(0xec, 0x05), scd4xHear(r...)}
}

const scd4xWant = "co2=500 temperature=25.00 humidity=37.0"

var scd4xSingle = map[string]string{"variant": "scd41"}

func TestSCD4x(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, shot := []i2ctest.IO{scd4xSay(0x21, 0xb1)}, []i2ctest.IO{scd4xSay(0x21, 0x9d)}
		recorded(t, "scd4x", nil, slices.Concat(scd4xBegin(), start, scd4xStatus(scd4xIs), scd4xReading(scd4xExample)), scd4xWant)
		recorded(t, "scd4x", scd4xSingle, slices.Concat(scd4xBegin(), shot, scd4xStatus(scd4xIs), scd4xReading(scd4xExample)), scd4xWant)
		// Settings: the examples of sections 3.6.1 (5.4 °C), 3.6.3 (1950 m) and 3.6.5
		// (98700 Pa).
		recorded(t, "scd4x", map[string]string{"temperature_offset": "5.4", "altitude": "1950", "self_calibration": "false"},
			slices.Concat(scd4xBegin(), []i2ctest.IO{
				scd4xSay(0x24, 0x1d, 0x07, 0xe6, 0x48), scd4xSay(0x24, 0x27, 0x07, 0x9e, 0x09), scd4xSay(0x24, 0x16, 0x00, 0x00, 0x81),
			}, start, scd4xStatus(scd4xIs), scd4xReading(scd4xExample)), scd4xWant)
		recorded(t, "scd4x", map[string]string{"pressure": "987", "self_calibration": "true", "temperature_offset": "0"},
			slices.Concat(scd4xBegin(), []i2ctest.IO{
				scd4xSay(0x24, 0x1d, 0x00, 0x00, 0x81), scd4xSay(0xe0, 0x00, 0x03, 0xdb, 0x42), scd4xSay(0x24, 0x16, 0x00, 0x01, 0xb0),
			}, start, scd4xStatus(scd4xIs), scd4xReading(scd4xExample)), scd4xWant)
	})
}

// TestSCD4xFirst waits for the first measurement and no later one.
func TestSCD4xFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ops := append(scd4xBegin(), scd4xSay(0x21, 0xb1))
		for range 20 {
			ops = append(ops, scd4xStatus(scd4xNot)...)
		}
		ops = slices.Concat(ops, scd4xStatus(scd4xIs), scd4xReading(scd4xExample), scd4xStatus(scd4xNot), scd4xStatus(scd4xNot))
		s, err := attach(t, &bench{i2c: ops}, "scd4x", nil)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if got, err := take(t.Context(), s); err != nil || got != scd4xWant || time.Since(begun) < 5*time.Second {
			t.Errorf("the first: %q, %v after %v", got, err, time.Since(begun))
		}
		if got, err := take(t.Context(), s); err != nil || got != "" {
			t.Errorf("at once again: %q, %v", got, err)
		}
		// A chip that lost its supply measures no more, without a sign.
		time.Sleep(scd4xLate)
		if got, err := take(t.Context(), s); !errors.Is(err, errSCD4xNotReady) {
			t.Errorf("late: %q, %v", got, err)
		}
	})
}

// scd4xAwake is a chip that refuses to be woken up, as those that are awake do.
type scd4xAwake struct{ i2c.BusCloser }

func (b scd4xAwake) Tx(addr uint16, w, r []byte) error {
	if slices.Equal(w, []byte{0x36, 0xf6}) {
		return errNAK
	}
	return b.BusCloser.Tx(addr, w, r)
}

type scd4xAwakeBench struct{ *bench }

func (b scd4xAwakeBench) I2C(bus string) (i2c.BusCloser, error) {
	c, err := b.bench.I2C(bus)
	return scd4xAwake{c}, err
}

func TestSCD4xAwake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ops := slices.Concat(scd4xBegin()[1:], []i2ctest.IO{scd4xSay(0x21, 0xb1)}, scd4xStatus(scd4xIs), scd4xReading(scd4xExample))
		if got, err := measure(t, scd4xAwakeBench{&bench{i2c: ops}}, "scd4x", nil); err != nil || got != scd4xWant {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestSCD4xFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unanswered(t, "scd4x", nil)
		unanswered(t, "scd4x", scd4xSingle)
		for _, x := range []struct {
			serial []byte
			want   string
		}{
			{[]byte{0xf8, 0x96, 0x30, 0x9f, 0x07, 0xc2, 0x3b, 0xbe, 0x89}, "checksum of word 1"},
			{[]byte{0xf8, 0x96, 0x31, 0x9f, 0x07, 0xc2, 0x3b, 0xbe, 0x88}, "checksum of word 3"},
			{[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "only ones"},
			{[]byte{0, 0, 0, 0, 0, 0, 0, 0, 0}, "checksum"},
			{[]byte{0, 0, 0x81, 0, 0, 0x81, 0, 0, 0x81}, "serial number is 0"},
		} {
			refused(t, "scd4x", nil, append(scd4xBegin()[:3], scd4xHear(x.serial...)), "serial number", x.want)
		}
		shot := append(scd4xBegin(), scd4xSay(0x21, 0x9d))
		for _, x := range []struct {
			read []byte
			want string
		}{
			{[]byte{0x01, 0xf4, 0x34, 0x66, 0x67, 0xa2, 0x5e, 0xb9, 0x3c}, "checksum of word 1"},
			{[]byte{0x01, 0xf4, 0x33, 0x66, 0x66, 0xa2, 0x5e, 0xb9, 0x3c}, "checksum of word 2"},
			{[]byte{0x01, 0xf4, 0x33, 0x66, 0x67, 0xa2, 0x5e, 0xb9, 0x00}, "checksum of word 3"},
			{[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "only ones"},
			{[]byte{0xff, 0xff, 0xac, 0xff, 0xff, 0xac, 0xff, 0xff, 0xac}, "65535 ppm"},
			{[]byte{0, 0, 0x81, 0x66, 0x67, 0xa2, 0x5e, 0xb9, 0x3c}, "0 ppm"},
			{[]byte{0x01, 0xf4, 0x33, 0, 0, 0x81, 0x5e, 0xb9, 0x3c}, "outside the chip's range"},
		} {
			refused(t, "scd4x", scd4xSingle, slices.Concat(shot, scd4xStatus(scd4xIs), scd4xReading(x.read)), x.want)
		}
		refused(t, "scd4x", scd4xSingle, append(slices.Clone(shot), scd4xStatus(scd4xNot)...), "no new measurement")
		refused(t, "scd4x", scd4xSingle, append(slices.Clone(shot), scd4xStatus([]byte{0x80, 0x06, 0x05})...), "checksum")
		// NAK in each place.
		whole := slices.Concat(scd4xBegin(), []i2ctest.IO{scd4xSay(0x24, 0x27, 0, 0, 0x81), scd4xSay(0x21, 0x9d)}, scd4xStatus(scd4xIs), scd4xReading(scd4xExample))
		for n := range whole {
			refused(t, "scd4x", map[string]string{"variant": "scd41", "altitude": "0"}, whole[:n], "unexpected Tx")
		}
		// Never ready after it was started.
		never := append(scd4xBegin(), scd4xSay(0x21, 0xb1))
		for range 25 {
			never = append(never, scd4xStatus(scd4xNot)...)
		}
		refused(t, "scd4x", nil, never, "no new measurement")
	})
}

// TestSCD4xCancelled holds no bus for a gateway that stops.
func TestSCD4xCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := attach(t, &bench{i2c: append(scd4xBegin(), scd4xSay(0x21, 0x9d))}, "scd4x", scd4xSingle)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if got, err := take(ctx, s); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > time.Second {
			t.Errorf("%q, %v after %v", got, err, time.Since(begun))
		}
	})
}

func TestSCD4xCheck(t *testing.T) {
	d, _ := sensors.Builtin().Lookup("scd4x")
	if _, wrong := d.Parse(map[string]string{"pressure": "1000", "altitude": "10"}); len(wrong) != 1 || !strings.Contains(wrong[0].Error(), "altitude is set too") {
		t.Errorf("pressure and altitude: %v", wrong)
	}
	for word, want := range map[float64]uint16{0: 0, 4: 1498, 5.4: 0x07e6, 20: 7490} {
		if got := scd4xOffset(word); got != want {
			t.Errorf("offset of %v °C is %d, want %d", word, got, want)
		}
	}
}

func TestSCD4xWords(t *testing.T) {
	// The example of the checksum, section 3.11.
	if w, err := checkedWords([]byte{0xbe, 0xef, 0x92}); err != nil || !slices.Equal(w, []uint16{0xbeef}) {
		t.Errorf("0xbeef: %x, %v", w, err)
	}
}

func FuzzSCD4x(f *testing.F) {
	f.Add(scd4xExample)
	f.Add([]byte{0, 0, 0x81, 0, 0, 0x81, 0, 0, 0x81})
	f.Add([]byte{0xff, 0xff, 0xac, 0xff, 0xff, 0xac, 0xff, 0xff, 0xac})
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := checkedWords(b)
		if err != nil || len(w) < 3 {
			return
		}
		co2, temperature, humidity, err := scd4xDecode(w)
		if err == nil && (math.IsNaN(co2+temperature+humidity) || co2 < 1 || co2 > 40000 || temperature < -40 || temperature > 70 || humidity < 0 || humidity > 100) {
			t.Errorf("% x: %v ppm, %v °C, %v %%", b, co2, temperature, humidity)
		}
	})
}
