package drivers

import (
	"slices"
	"testing"
	"testing/synctest"

	"periph.io/x/conn/v3/i2c/i2ctest"
)

func mcpIO(w []byte, r ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x18, W: w, R: r} }

// mcpOpened is the traffic of opening a chip with a resolution.
func mcpOpened(resolution byte) []i2ctest.IO {
	return []i2ctest.IO{
		mcpIO([]byte{6}, 0x00, 0x54), mcpIO([]byte{7}, 0x04, 0x00),
		mcpIO([]byte{8, resolution}), mcpIO([]byte{1, 0x00, 0x00}),
		mcpIO([]byte{1}, 0x00, 0x00), mcpIO([]byte{8}, resolution),
	}
}

func TestMCP9808(t *testing.T) {
	for _, c := range []struct {
		name, resolution string
		ops              []i2ctest.IO
		want             string
	}{
		// The timing diagram in section 5.1.3 reads 25.25 °C, with two flags set.
		{"worked example", "12", slices.Concat(mcpOpened(3), []i2ctest.IO{mcpIO([]byte{5}, 0xc1, 0x94)}), "temperature=25.25"},
		{"below zero", "12", slices.Concat(mcpOpened(3), []i2ctest.IO{mcpIO([]byte{5}, 0x3f, 0xff)}), "temperature=-0.06"},
		{"lowest", "9", slices.Concat(mcpOpened(0), []i2ctest.IO{mcpIO([]byte{5}, 0x3d, 0x80)}), "temperature=-40.0"},
		{"highest", "10", slices.Concat(mcpOpened(1), []i2ctest.IO{mcpIO([]byte{5}, 0xc7, 0xd0)}), "temperature=125.00"},
		{"zero with a flag", "11", slices.Concat(mcpOpened(2), []i2ctest.IO{mcpIO([]byte{5}, 0x80, 0x00)}), "temperature=0.00"},
		{"zero looked at again", "12", slices.Concat(mcpOpened(3), []i2ctest.IO{mcpIO([]byte{5}, 0, 0), mcpIO([]byte{6}, 0x00, 0x54), mcpIO([]byte{5}, 0, 0)}), "temperature=0.00"},
		{"just switched on", "12", slices.Concat(mcpOpened(3), []i2ctest.IO{mcpIO([]byte{5}, 0, 0), mcpIO([]byte{6}, 0x00, 0x54), mcpIO([]byte{5}, 0xc1, 0x94)}), "temperature=25.25"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				recorded(t, "mcp9808", map[string]string{"resolution": c.resolution}, c.ops, c.want)
			})
		})
	}
}

func TestMCP9808Refused(t *testing.T) {
	all := slices.Concat(mcpOpened(3), []i2ctest.IO{mcpIO([]byte{5}, 0xc1, 0x94)})
	short := append(answer(all, 6, 0, 0), mcpIO([]byte{6}, 0, 0))
	for _, c := range []struct {
		name string
		ops  []i2ctest.IO
		want string
	}{
		{"another maker", answer(all, 0, 0x01, 0x90), "register 0x06 is 0x0190"},
		{"another chip", answer(all, 1, 0x02, 0x00), "register 0x07 is 0x0200"},
		{"all zeros", answer(all, 0, 0, 0), "register 0x06 is 0x0000"},
		{"all ones", answer(all, 0, 0xff, 0xff), errAllOnes.Error()},
		{"still shut down", append(answer(all, 4, 0x01, 0x00), all[5]), "does not take its settings"},
		{"other resolution", answer(all, 5, 0x00), "does not take its settings"},
		{"temperature all ones", answer(all, 6, 0xff, 0xff), errAllOnes.Error()},
		{"data line shorted", short, "register 0x06 is 0x0000"},
		{"too hot", answer(all, 6, 0xc7, 0xe0), "temperature of 126 °C is outside"},
		{"too cold", answer(all, 6, 0x3d, 0x70), "temperature of -41 °C is outside"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { refused(t, "mcp9808", nil, c.ops, c.want) })
		})
	}
	for i := range all {
		synctest.Test(t, func(t *testing.T) { refused(t, "mcp9808", nil, all[:i], "unexpected Tx") }) // NAK
	}
	synctest.Test(t, func(t *testing.T) { unanswered(t, "mcp9808", map[string]string{"address": "0x1f"}) })
}

// FuzzMCP9808 has the chip give any temperature register.
func FuzzMCP9808(f *testing.F) {
	for _, raw := range []uint16{0, 0xc194, 0x1fff, 0x1000, 0x0fff, 0xffff} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw uint16) {
		hi, lo := byte(raw>>8), byte(raw)
		synctest.Test(t, func(t *testing.T) {
			s, err := attach(t, &bench{i2c: slices.Concat(mcpOpened(3), []i2ctest.IO{mcpIO([]byte{5}, hi, lo),
				mcpIO([]byte{6}, 0x00, 0x54), mcpIO([]byte{5}, hi, lo)})}, "mcp9808", nil)
			if err != nil {
				t.Fatal(err)
			}
			samples, err := s.Sample(t.Context())
			for _, x := range samples {
				plausible(t, x, map[string][2]float64{"temperature": {-40, 125}})
			}
			if celsius := float64(int16(raw<<3)>>3) / 16; err == nil != (celsius >= -40 && celsius <= 125 && raw != 0xffff) {
				t.Errorf("0x%04x: %v, %v", raw, samples, err)
			}
		})
	})
}
