package drivers

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"periph.io/x/conn/v3/i2c/i2ctest"

	"fieldgate/sensors"
)

func inaIO(w []byte, r ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x40, W: w, R: r} }

// inaOpened is the traffic of opening a chip: calibration is what is written to
// that register.
func inaOpened(calibration uint16) []i2ctest.IO {
	return []i2ctest.IO{
		inaIO([]byte{0x00, 0x80, 0x00}),
		inaIO([]byte{0x00}, 0x39, 0x9f),
		inaIO([]byte{0x05, byte(calibration >> 8), byte(calibration)}),
		inaIO([]byte{0x00, 0x1f, 0xff}),
	}
}

// inaMeasured is one measurement with the registers that it ends with.
func inaMeasured(config, shunt, bus, current, power uint16) []i2ctest.IO {
	read := func(reg byte, v uint16) i2ctest.IO { return inaIO([]byte{reg}, byte(v>>8), byte(v)) }
	return []i2ctest.IO{
		inaIO([]byte{0x00, byte(config >> 8), byte(config)}),
		read(2, bus), read(1, shunt), read(2, bus), read(4, current), read(3, power),
	}
}

// inaExample is what the worked example (section 9.2, table 8) has: a shunt of
// 2 mOhm and a step of 1 mA. The calibration is 20480.
var inaExample = map[string]string{"shunt": "0.002", "max_current": "32.768"}

func TestINA219(t *testing.T) {
	usual := inaOpened(4194) // 0.04096 over 97.656 µA times 0.1 ohm
	for _, c := range []struct {
		name    string
		written map[string]string
		ops     []i2ctest.IO
		want    string
	}{
		{"worked example", inaExample, slices.Concat(inaOpened(20480), inaMeasured(0x2eeb, 2000, 0x5d9a, 10000, 5990)),
			"voltage=11.980 current=10.000 power=119.800"},
		{"usual", nil, slices.Concat(usual, inaMeasured(0x3eeb, 1000, 3000<<3|2, 1024, 615)), "voltage=12.000 current=0.1000 power=1.2000"},
		{"charging", nil, slices.Concat(usual, inaMeasured(0x3eeb, 0xfc18, 3000<<3|2, 0xfc00, 615)), "voltage=12.000 current=-0.1000 power=-1.2000"},
		{"26 V, nothing flows", nil, slices.Concat(usual, inaMeasured(0x3eeb, 0, 6500<<3|2, 0, 0)), "voltage=26.000 current=0.0000 power=0.0000"},
		{"noise", nil, slices.Concat(usual, inaMeasured(0x3eeb, 0xffff, 2, 0xffff, 0)), "voltage=0.000 current=-0.0001 power=0.0000"},
		{"one sample", map[string]string{"samples": "1"}, slices.Concat(usual, inaMeasured(0x3c43, 0, 2, 0, 0)), "voltage=0.000 current=0.0000 power=0.0000"},
		{"128 samples", map[string]string{"samples": "128"}, slices.Concat(usual, inaMeasured(0x3ffb, 0, 2, 0, 0)), "voltage=0.000 current=0.0000 power=0.0000"},
		{"40 mV", map[string]string{"max_current": "0.4"}, slices.Concat(inaOpened(33554), inaMeasured(0x26eb, 2000, 2, 16383, 0)), "voltage=0.000 current=0.2000 power=0.0000"},
		{"not ready at once", nil, slices.Concat(usual, []i2ctest.IO{inaIO([]byte{0x00, 0x3e, 0xeb}), inaIO([]byte{2}, 0, 0), inaIO([]byte{2}, 0, 0)},
			inaMeasured(0x3eeb, 0, 6500<<3|2, 0, 0)[1:]), "voltage=26.000 current=0.0000 power=0.0000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { recorded(t, "ina219", c.written, c.ops, c.want) })
		})
	}
}

func TestINA219Refused(t *testing.T) {
	all := slices.Concat(inaOpened(4194), inaMeasured(0x3eeb, 1000, 3000<<3|2, 1024, 615))
	with := func(shunt, bus, current uint16) []i2ctest.IO {
		return slices.Concat(all[:4], inaMeasured(0x3eeb, shunt, bus, current, 0))
	}
	busy := slices.Clone(all[:5])
	for range 20 {
		busy = append(busy, inaIO([]byte{2}, 0x5d, 0xc0))
	}
	for _, c := range []struct {
		name string
		ops  []i2ctest.IO
		want string
	}{
		{"an INA226", answer(all, 1, 0x41, 0x27), "0x4127, not 0x399f: another chip"},
		{"all zeros", answer(all, 1, 0, 0), "another chip"},
		{"all ones", answer(all, 1, 0xff, 0xff), errAllOnes.Error()},
		{"all ones later", answer(all, 5, 0xff, 0xff), errAllOnes.Error()},
		{"all ones at last", answer(all, 7, 0xff, 0xff), errAllOnes.Error()},
		{"not ready", busy, "the measurement does not end"},
		{"overflow", answer(all, 5, 0x5d, 0xc3), "overflow: the current is above max_current, 3.2 A"},
		{"overflow at last", answer(all, 7, 0x5d, 0xc3), "overflow"},
		{"shunt clipped", with(32000, 2, 32767), "overflow"},
		{"shunt clipped below", with(0x8300, 2, 0x8001), "overflow"},
		{"impossible voltage", with(0, 8001<<3|2, 0), "32.004 V is outside"},
		{"calibration lost", with(1000, 2, 0), "lost its calibration"},
		{"current of ones", with(1000, 2, 0xffff), "lost its calibration"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { refused(t, "ina219", nil, c.ops, c.want) })
		})
	}
	for i := range all {
		synctest.Test(t, func(t *testing.T) { refused(t, "ina219", nil, all[:i], "unexpected Tx") }) // NAK
	}
	synctest.Test(t, func(t *testing.T) { unanswered(t, "ina219", nil) })
}

// TestINA219Check checks shunt and current together, and that what is let
// through can be opened.
func TestINA219Check(t *testing.T) {
	d, _ := sensors.Builtin().Lookup("ina219")
	for _, c := range []struct {
		shunt, current string
		ok             bool
	}{
		{"0.1", "3.2", true}, {"0.1", "0.21", true}, {"0.01", "32", true}, {"100", "0.001", true}, {"100", "0.0032", true}, {"0.0001", "300", true},
		{"0.1", "3.21", false}, {"0.1", "0.2", false}, {"1", "10", false}, {"0.001", "3.2", false}, {"0.0001", "200", false},
	} {
		o, wrong := d.Parse(map[string]string{"shunt": c.shunt, "max_current": c.current})
		if (len(wrong) == 0) != c.ok {
			t.Errorf("%s ohm, %s A: %v", c.shunt, c.current, wrong)
		}
		for _, w := range wrong {
			if w.Option != "max_current" || !strings.Contains(w.Remedy, "A with this shunt") {
				t.Error(w)
			}
		}
		if !c.ok {
			continue
		}
		chip := registers{at: func(_ byte, r []byte) { r[0], r[1] = 0x39, 0x9f }}
		if _, err := d.Open(t.Context(), sensors.Env{Bus: "i2c:1", Board: registerBench{&bench{}, chip}}, o); err != nil {
			t.Errorf("%s ohm, %s A: %v", c.shunt, c.current, err)
		}
	}
}

// FuzzINA219 has the chip answer anything after it was opened.
func FuzzINA219(f *testing.F) {
	f.Add(uint16(1000), uint16(3000<<3|2), uint16(1024), uint16(615))
	f.Add(uint16(0xffff), uint16(0xffff), uint16(0xffff), uint16(0xffff))
	f.Add(uint16(0x7d00), uint16(2), uint16(0x7fff), uint16(0))
	f.Fuzz(func(t *testing.T, shunt, bus, current, power uint16) {
		synctest.Test(t, func(t *testing.T) {
			b := &bench{i2c: slices.Concat(inaOpened(4194), inaMeasured(0x3eeb, shunt, bus, current, power))}
			s, err := attach(t, b, "ina219", nil)
			if err != nil {
				t.Fatal(err)
			}
			samples, _ := s.Sample(t.Context())
			for _, x := range samples {
				plausible(t, x, map[string][2]float64{"voltage": {0, 32}, "current": {-3.25, 3.25}, "power": {-104, 104}})
			}
		})
	})
}
