package drivers

import (
	"slices"
	"testing"
	"testing/synctest"

	"periph.io/x/conn/v3/i2c/i2ctest"
)

// bmp180Example is the calibration of the worked example (BMP180 section 3.5,
// figure 4): AC1 = 408, AC2 = -72, AC3 = -14383, AC4 = 32741, AC5 = 32757,
// AC6 = 23153, B1 = 6190, B2 = 4, MB = -32768, MC = -8711, MD = 2868.
var bmp180Example = []byte{0x01, 0x98, 0xff, 0xb8, 0xc7, 0xd1, 0x7f, 0xe5, 0x7f, 0xf5, 0x5a, 0x71,
	0x18, 0x2e, 0x00, 0x04, 0x80, 0x00, 0xdd, 0xf9, 0x0b, 0x34}

func bmp180IO(w []byte, r ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x77, W: w, R: r} }

func bmp180Opened(calibration []byte) []i2ctest.IO {
	return []i2ctest.IO{bmp180IO([]byte{0xd0}, 0x55), bmp180IO([]byte{0xaa}, calibration...)}
}

// bmp180Measured is one measurement; start is the command for the pressure.
func bmp180Measured(start byte, temperature, pressure []byte) []i2ctest.IO {
	return []i2ctest.IO{
		bmp180IO([]byte{0xf4, 0x2e}), bmp180IO([]byte{0xf4}, 0x0e), bmp180IO([]byte{0xf6}, temperature...),
		bmp180IO([]byte{0xf4, start}), bmp180IO([]byte{0xf4}, start&^0x20), bmp180IO([]byte{0xf6}, pressure...),
	}
}

func TestBMP180(t *testing.T) {
	ut := []byte{0x6c, 0xfa}       // 27898
	up := []byte{0x5d, 0x23, 0x00} // 23843 with one sample
	all := slices.Concat(bmp180Opened(bmp180Example), bmp180Measured(0x34, ut, up))
	for _, c := range []struct {
		name    string
		written map[string]string
		ops     []i2ctest.IO
		want    string
	}{
		{"worked example", nil, all, "temperature=15.0 pressure=699.64"},
		{"8 samples, altitude", map[string]string{"oversampling": "8", "altitude": "3000"},
			slices.Concat(bmp180Opened(bmp180Example), bmp180Measured(0xf4, ut, up)), "temperature=15.0 pressure=699.63 sea-level-pressure=1011.09"},
		{"not ready at once", nil, slices.Concat(all[:3], []i2ctest.IO{bmp180IO([]byte{0xf4}, 0x2e), bmp180IO([]byte{0xf4}, 0x2e)}, all[3:]),
			"temperature=15.0 pressure=699.64"},
		{"a value like after a reset", nil, slices.Concat(bmp180Opened(bmp180Example), bmp180Measured(0x34, []byte{0x80, 0x00}, up)),
			"temperature=51.1 pressure=756.48"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { recorded(t, "bmp180", c.written, c.ops, c.want) })
		})
	}
}

func TestBMP180Refused(t *testing.T) {
	all := slices.Concat(bmp180Opened(bmp180Example), bmp180Measured(0x34, []byte{0x6c, 0xfa}, []byte{0x5d, 0x23, 0x00}))
	busy := slices.Clone(all[:3])
	for range 50 {
		busy = append(busy, bmp180IO([]byte{0xf4}, 0x2e))
	}
	reset := append(answer(all, 3, 0x00), bmp180IO([]byte{0xf6}, 0x80, 0x00))
	gap := slices.Clone(bmp180Example)
	copy(gap[8:], []byte{0, 0})
	// X1 + MD is zero: AC5 = 0x8000 makes X1 the difference of UT and AC6, 4745.
	zero := slices.Clone(bmp180Example)
	copy(zero[8:], []byte{0x80, 0x00})
	copy(zero[20:], []byte{0xed, 0x77}) // MD = -4745
	for _, c := range []struct {
		name string
		ops  []i2ctest.IO
		want string
	}{
		{"a bmp280", answer(all, 0, 0x58), "this is a bmp280, not a bmp180"},
		{"a bme280", answer(all, 0, 0x60), "this is a bme280, not a bmp180"},
		{"id all ones", answer(all, 0, 0xff), errAllOnes.Error()},
		{"calibration all ones", answer(all, 1, ones(22)...), errAllOnes.Error()},
		{"calibration all zeros", answer(all, 1, make([]byte, 22)...), "the calibration is empty"},
		{"calibration with a gap", answer(all, 1, gap...), "the calibration is empty"},
		{"control all ones", answer(all, 3, 0xff), errAllOnes.Error()},
		{"always measuring", busy, "the measurement does not end"},
		{"reset", reset, "it was reset"},
		{"temperature all ones", answer(all, 4, 0xff, 0xff), errAllOnes.Error()},
		{"pressure all ones", answer(all, 7, ones(3)...), errAllOnes.Error()},
		{"division by zero", slices.Concat(bmp180Opened(zero), bmp180Measured(0x34, []byte{0x6c, 0xfa}, []byte{0x5d, 0x23, 0x00})), "impossible values"},
		{"impossible temperature", slices.Concat(bmp180Opened(bmp180Example), bmp180Measured(0x34, []byte{0xf0, 0x00}, []byte{0x5d, 0x23, 0x00})), "temperature of"},
		{"impossible pressure", answer(all, 7, 0xf0, 0x00, 0x00), "pressure of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { refused(t, "bmp180", nil, c.ops, c.want) })
		})
	}
	for i := range all {
		synctest.Test(t, func(t *testing.T) { refused(t, "bmp180", nil, all[:i], "unexpected Tx") }) // NAK
	}
	synctest.Test(t, func(t *testing.T) { unanswered(t, "bmp180", nil) })
}

// FuzzBMP180 has the chip answer anything.
func FuzzBMP180(f *testing.F) {
	f.Add(bmp180Example, []byte{0x6c, 0xfa, 0x00})
	f.Add(ones(22), ones(3))
	f.Add([]byte{1, 2, 3}, []byte{0x80})
	f.Fuzz(func(t *testing.T, calibration, data []byte) {
		chip := registers{at: func(reg byte, r []byte) {
			switch reg {
			case 0xd0:
				r[0] = 0x55
			case 0xaa:
				copy(r, calibration)
			case 0xf6:
				copy(r, data)
			}
		}}
		synctest.Test(t, func(t *testing.T) {
			s, err := attach(t, registerBench{&bench{}, chip}, "bmp180", nil)
			if err != nil {
				return
			}
			samples, _ := s.Sample(t.Context())
			for _, x := range samples {
				plausible(t, x, map[string][2]float64{"temperature": {-40, 85}, "pressure": {300, 1100}})
			}
		})
	})
}
