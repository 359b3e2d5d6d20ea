package codec

import (
	"math"
	"strconv"
	"testing"
)

func TestDecimal(t *testing.T) {
	for _, c := range []struct {
		n, scale int64
		want     string
	}{
		{272, 10, "27.2"}, {-41, 10, "-4.1"}, {255, 10, "25.5"}, {250, 10, "25"}, {0, 1000, "0"}, {-1, 10000, "-0.0001"},
		{1, 100, "0.01"}, {100, 100, "1"}, {-879094, 10000, "-87.9094"}, {1, 2, "0.5"}, {199, 2, "99.5"}, {2, 2, "1"}, {4294967295, 1, "4294967295"},
	} {
		if got := string(appendSteps(nil, c.n, c.scale)); got != c.want {
			t.Errorf("%d/%d: %s, want %s", c.n, c.scale, got, c.want)
		}
	}
}

func TestSteps(t *testing.T) {
	for _, c := range []struct {
		number string
		scale  int64
		want   int64
	}{
		{"27.2", 10, 272}, {"-4.1", 10, -41}, {"1.005", 100, 101}, {"2.675", 100, 268}, {"-2.675", 100, -268}, {"0.285", 100, 29},
		{"27.349", 10, 273}, {"27.35", 10, 274}, {"-33.8688", 10000, -338688}, {"49.65", 2, 99}, {"0.25", 2, 1}, {"0.24", 2, 0},
		{"1e2", 10, 1000}, {"1e-400", 10, 0}, {"-0", 10, 0}, {"9007199254740993", 1, 9007199254740993}, {"5.0", 1, 5},
	} {
		if got, ok := steps(c.number, c.scale); !ok || got != c.want {
			t.Errorf("%s*%d: %d, %v, want %d", c.number, c.scale, got, ok, c.want)
		}
	}
	for _, s := range []string{"", "x", `"1"`, "1e19", "-1e19", "1e400", "9223372036854775807", "-9223372036854775808", "9223372036854775808"} {
		if n, ok := steps(s, 10); ok {
			t.Errorf("%s: %d", s, n)
		}
	}
}

func TestFloat(t *testing.T) {
	for f, want := range map[float64]string{
		float64(float32(27.2)): "27.2", 27.2: "27.2", 0.1: "0.1", 0: "0", 1e21: "1e+21", 1e20: "100000000000000000000", 1e-7: "1e-07",
		math.MaxFloat64: "1.7976931348623157e+308", math.Inf(1): "null", math.Inf(-1): "null", -2.5: "-2.5",
	} {
		if got := string(appendFloat(nil, f)); got != want {
			t.Errorf("%g: %s, want %s", f, got, want)
		}
	}
	if got := string(appendFloat(nil, math.NaN())); got != "null" {
		t.Errorf("NaN: %s", got)
	}
}

// FuzzSteps checks that what is written is read again.
func FuzzSteps(f *testing.F) {
	f.Add(int64(272), uint8(1))
	f.Add(int64(math.MinInt32), uint8(4))
	f.Fuzz(func(t *testing.T, n int64, which uint8) {
		scale := []int64{1, 2, 10, 100, 1000, 10000}[which%6]
		n %= 1 << 53 / scale // beyond, a float64 has not all digits
		s := string(appendSteps(nil, n, scale))
		if got, ok := steps(s, scale); !ok || got != n {
			t.Errorf("%d/%d: %s: %d, %v", n, scale, s, got, ok)
		}
		v, err := strconv.ParseFloat(s, 64)
		if err != nil || strconv.FormatFloat(v, 'f', -1, 64) != s {
			t.Errorf("%d/%d: %s is not the shortest: %g", n, scale, s, v)
		}
	})
}
