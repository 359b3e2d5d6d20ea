package drivers

import (
	"math"
	"strings"
	"testing"
	"testing/synctest"

	"periph.io/x/conn/v3/i2c/i2ctest"

	"fieldgate/sensors"
)

// bh1750Ops are a start with these codes and a reading of these bytes.
func bh1750Ops(codes []byte, read ...byte) []i2ctest.IO {
	ops := []i2ctest.IO{{Addr: 0x23, W: []byte{0x01}}}
	for _, c := range codes {
		ops = append(ops, i2ctest.IO{Addr: 0x23, W: []byte{c}})
	}
	if len(read) > 0 {
		ops = append(ops, i2ctest.IO{Addr: 0x23, R: read})
	}
	return ops
}

// bh1750Usual starts a measurement in H-resolution mode with a time of 69.
var bh1750Usual = []byte{0x01, 0x42, 0x65, 0x20}

func TestBH1750(t *testing.T) {
	for _, x := range []struct {
		name  string
		set   map[string]string
		codes []byte
		read  []byte
		want  string
	}{
		// Technical note p. 10: 1000_0011 1001_0000 is about 28067 lx.
		{"the example of the datasheet", nil, bh1750Usual, []byte{0x83, 0x90}, "illuminance=28066.7"},
		{"dark", nil, bh1750Usual, []byte{0, 0}, "illuminance=0.0"},
		{"one below full scale", nil, bh1750Usual, []byte{0xff, 0xfe}, "illuminance=54611.7"},
		{"half lux", map[string]string{"resolution": "0.5"}, []byte{0x01, 0x42, 0x65, 0x21}, []byte{0x83, 0x90}, "illuminance=14033.3"},
		{"low resolution", map[string]string{"resolution": "4"}, []byte{0x01, 0x42, 0x65, 0x23}, []byte{0, 12}, "illuminance=10.0"},
		// p. 11: at a time of 138, twice the usual one, a count is worth half as much.
		{"twice as sensitive", map[string]string{"sensitivity": "2"}, []byte{0x01, 0x44, 0x6a, 0x20}, []byte{0x83, 0x90}, "illuminance=14033.3"},
		{"for sunlight", map[string]string{"sensitivity": "0.45"}, []byte{0x01, 0x40, 0x7f, 0x20}, []byte{0x83, 0x90}, "illuminance=62471.0"},
		{"as sensitive as can be", map[string]string{"sensitivity": "3.68"}, []byte{0x01, 0x47, 0x7e, 0x20}, []byte{0, 100}, "illuminance=22.6"},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { recorded(t, "bh1750", x.set, bh1750Ops(x.codes, x.read...), x.want) })
		})
	}
}

func TestBH1750Faults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unanswered(t, "bh1750", nil)
		refused(t, "bh1750", nil, bh1750Ops(bh1750Usual, 0xff, 0xff), "end of the scale")
		for n := range bh1750Usual {
			refused(t, "bh1750", nil, bh1750Ops(bh1750Usual[:n]), "unexpected Tx")
		}
		refused(t, "bh1750", nil, bh1750Ops(bh1750Usual), "unexpected Tx") // NAK when it is read
	})
}

// TestBH1750Waits holds the pause against the longest measurement, p. 2 and 11.
func TestBH1750Waits(t *testing.T) {
	for _, x := range []struct {
		resolution, sensitivity, want string
	}{{"1", "1", "180ms"}, {"0.5", "1", "180ms"}, {"4", "1", "24ms"}, {"1", "3.68", "662.608695ms"}} {
		if got := bh1750ModeOf(bh1750Options(t, x.resolution, x.sensitivity)).wait; got.String() != x.want {
			t.Errorf("resolution %s, sensitivity %s: waits %v, want %v", x.resolution, x.sensitivity, got, x.want)
		}
	}
}

func bh1750Options(t *testing.T, resolution, sensitivity string) sensors.Options {
	t.Helper()
	d, _ := sensors.Builtin().Lookup("bh1750")
	o, wrong := d.Parse(map[string]string{"resolution": resolution, "sensitivity": sensitivity})
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	return o
}

func TestBH1750Address(t *testing.T) {
	d, _ := sensors.Builtin().Lookup("bh1750")
	for address, want := range map[string]string{"0x23": "", "0x5c": "", "0x24": "0x24 is not possible", "0x5d": "is not possible"} {
		_, wrong := d.Parse(map[string]string{"address": address})
		if (want == "") != (len(wrong) == 0) || want != "" && !strings.Contains(wrong[0].Error(), want) {
			t.Errorf("address %s: %v, want %q", address, wrong, want)
		}
	}
}

func FuzzBH1750(f *testing.F) {
	f.Add(uint16(0x8390), byte(69))
	f.Add(uint16(0xffff), byte(31))
	f.Fuzz(func(t *testing.T, raw uint16, sensitivity byte) {
		s := 0.45 + float64(sensitivity)/255*(3.68-0.45)
		for _, resolution := range []string{"0.5", "1", "4"} {
			m := bh1750ModeOf(sensors.Options{"resolution": resolution, "sensitivity": s})
			v, err := m.lux(raw)
			if err == nil && (math.IsNaN(v) || v < 0 || v > 122000) {
				t.Errorf("%d counts at resolution %s, sensitivity %v: %v lx", raw, resolution, s, v)
			}
		}
	})
}
