package drivers

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"

	"fieldgate/sensors"
)

func sgp30Say(w ...byte) i2ctest.IO  { return i2ctest.IO{Addr: 0x58, W: w} }
func sgp30Hear(r ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x58, R: r} }

// sgp30Begin is how a chip of version 0x22 is opened.
func sgp30Begin() []i2ctest.IO {
	return []i2ctest.IO{sgp30Say(0x20, 0x2f), sgp30Hear(0x00, 0x22, 0x65), sgp30Say(0x20, 0x03)}
}

// sgp30Answer are these two words with their checksums.
func sgp30Answer(eco2, tvoc uint16) []byte {
	e, v := []byte{byte(eco2 >> 8), byte(eco2)}, []byte{byte(tvoc >> 8), byte(tvoc)}
	return slices.Concat(e, []byte{crc8(e)}, v, []byte{crc8(v)})
}

// sgp30Measured are measurements with these answers.
func sgp30Measured(answers ...[]byte) []i2ctest.IO {
	var ops []i2ctest.IO
	for _, a := range answers {
		ops = append(ops, sgp30Say(0x20, 0x08), sgp30Hear(a...))
	}
	return ops
}

// The answer during the first 15 s, with its checksums: 400 ppm, 0 ppb.
var sgp30Constant = []byte{0x01, 0x90, 0x4c, 0x00, 0x00, 0x81}

// TestSGP30 gives nothing while the chip warms up, and measures by itself where
// nobody watches.
func TestSGP30(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{i2c: slices.Concat(sgp30Begin(), sgp30Measured(sgp30Constant, sgp30Constant, sgp30Answer(612, 87), sgp30Constant))}
		s, err := attach(t, b, "sgp30", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range []struct {
			before time.Duration
			want   string
		}{
			{0, ""},
			{15 * time.Second, ""},
			{2 * time.Second, "eco2=612 tvoc=87"},
			{2 * time.Second, "eco2=400 tvoc=0"}, // clean air
		} {
			time.Sleep(x.before)
			if got, err := take(t.Context(), s); err != nil || got != x.want {
				t.Errorf("reading %d: %q, %v; want %q", i, got, err, x.want)
			}
		}
		if err := s.Close(); err != nil || b.opened.Count != len(b.i2c) {
			t.Errorf("%d of %d transactions; close: %v", b.opened.Count, len(b.i2c), err)
		}
	})
}

// sgp30Chip answers as a chip does, with as many ppb as it was measured, until
// dead.
type sgp30Chip struct {
	i2c.Bus
	mu       sync.Mutex
	measured uint16
	dead     bool
	spoiled  int // answers yet to come with a wrong checksum
}

// set changes what the chip does.
func (c *sgp30Chip) set(dead bool, spoiled int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead, c.spoiled = dead, spoiled
}

func (c *sgp30Chip) Tx(_ uint16, w, r []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return errNAK
	}
	if slices.Equal(w, []byte{0x20, 0x08}) {
		c.measured++
	}
	switch {
	case len(r) == 3:
		copy(r, []byte{0x00, 0x22, 0x65})
	case len(r) == 6:
		copy(r, sgp30Answer(500, c.measured))
		if c.spoiled > 0 {
			c.spoiled--
			r[5]++
		}
	}
	return nil
}

func (c *sgp30Chip) Close() error { return nil }

type sgp30Bench struct {
	*bench
	chip *sgp30Chip
}

func (b sgp30Bench) I2C(string) (i2c.BusCloser, error) { return b.chip, nil }

// sgp30Watched opens chip and watches it until the test ends. The channel gives
// Watch's error.
func sgp30Watched(t *testing.T, chip *sgp30Chip) (sensors.Sampler, chan error) {
	t.Helper()
	s, err := attach(t, sgp30Bench{&bench{}, chip}, "sgp30", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	done := make(chan error, 1)
	go func() {
		done <- s.(sensors.Watcher).Watch(ctx, func([]sensors.Sample) { t.Error("Watch emits") })
	}()
	return s, done
}

// TestSGP30Watch measures each second, however seldom the chip is read, and
// reading costs no measurement.
func TestSGP30Watch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chip := &sgp30Chip{}
		s, _ := sgp30Watched(t, chip)
		for _, x := range []struct {
			before time.Duration
			want   string
		}{{10500 * time.Millisecond, ""}, {50 * time.Second, "eco2=500 tvoc=60"}, {time.Second, "eco2=500 tvoc=61"}, {time.Minute, "eco2=500 tvoc=121"}} {
			time.Sleep(x.before)
			if got, err := take(t.Context(), s); err != nil || got != x.want {
				t.Errorf("%q, %v; want %q", got, err, x.want)
			}
		}
	})
}

// TestSGP30Patience keeps what the chip has learned through a bad moment, but
// gives no value from before it.
func TestSGP30Patience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chip := &sgp30Chip{}
		s, done := sgp30Watched(t, chip)
		time.Sleep(30500 * time.Millisecond)
		chip.set(false, 2)
		time.Sleep(time.Second)
		if got, err := take(t.Context(), s); err != nil || got != "eco2=500 tvoc=33" {
			t.Errorf("after two wrong checksums: %q, %v", got, err)
		}
		chip.set(true, 0)
		time.Sleep(time.Second)
		if got, err := take(t.Context(), s); !errors.Is(err, errNAK) {
			t.Errorf("unplugged: %q, %v", got, err)
		}
		select {
		case err := <-done:
			t.Fatalf("gives up at once: %v", err)
		default:
		}
		got := <-done
		namesChip(t, "sgp30", "", got, errNAK.Error())
	})
}

func TestSGP30Cancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := attach(t, sgp30Bench{&bench{}, &sgp30Chip{}}, "sgp30", nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := s.(sensors.Watcher).Watch(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestSGP30Faults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unanswered(t, "sgp30", nil)
		whole := slices.Concat(sgp30Begin(), sgp30Measured(sgp30Answer(500, 10)))
		for n := range whole {
			refused(t, "sgp30", nil, whole[:n], "unexpected Tx")
		}
		for _, x := range []struct {
			id   []byte
			want string
		}{
			{[]byte{0x00, 0x22, 0x66}, "checksum"},
			{[]byte{0xff, 0xff, 0xff}, "only ones"},
			{[]byte{0, 0, 0}, "checksum"},
			{[]byte{0, 0, 0x81}, "is 0x0000: no SGP30"},
			{[]byte{0x10, 0x05, crc8([]byte{0x10, 0x05})}, "is 0x1005: no SGP30"}, // SGPC3
		} {
			ops := sgp30Begin()[:2]
			ops[1].R = x.id
			refused(t, "sgp30", nil, ops, "feature set", x.want)
		}
		for _, x := range []struct {
			answer []byte
			want   string
		}{
			{[]byte{0x01, 0x90, 0x4d, 0x00, 0x00, 0x81}, "checksum of word 1"},
			{[]byte{0x01, 0x90, 0x4c, 0x00, 0x01, 0x81}, "checksum of word 2"},
			{[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "only ones"},
			{make([]byte, 6), "checksum"},
			{sgp30Answer(0, 0), "0 ppm is outside"},
			{sgp30Answer(399, 0), "399 ppm is outside"},
			{sgp30Answer(60000, 60000), "60000 ppm is outside"},
			{sgp30Answer(500, 60000), "60000 ppb is outside"},
			{sgp30Answer(0xffff, 0xffff), "outside"},
		} {
			refused(t, "sgp30", nil, slices.Concat(sgp30Begin(), sgp30Measured(x.answer, x.answer, x.answer)), x.want)
		}
	})
}

func FuzzSGP30(f *testing.F) {
	f.Add(sgp30Constant)
	f.Add([]byte{0xff, 0xff, 0xac, 0xff, 0xff, 0xac})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 6 {
			b = sgp30Answer(uint16(b[0])<<8|uint16(b[1]), uint16(b[3])<<8|uint16(b[4]))
		}
		w, err := checkedWords(b)
		if err != nil || len(w) < 2 {
			return
		}
		eco2, tvoc, err := sgp30Decode(w)
		if err == nil && (eco2 < 400 || eco2 > 60000 || tvoc < 0 || tvoc > 60000) {
			t.Errorf("% x: %v ppm, %v ppb", b, eco2, tvoc)
		}
	})
}
