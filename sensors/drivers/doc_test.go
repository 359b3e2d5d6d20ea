package drivers

import (
	"context"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c/i2ctest"

	"fieldgate/sensors"
)

// registerExample registers the driver that the documentation of this package
// shows.
func registerExample(r *sensors.Registry) {
	r.Register(sensors.Driver{
		Name:     "tmp117",
		Doc:      "Texas Instruments TMP117: temperature -55 to 150 °C, ±0.3 °C; I2C",
		Bus:      sensors.I2C,
		Options:  []sensors.Option{addressOption(0x48, 0x48, 0x4b)},
		Channels: func(sensors.Options) []sensors.Channel { return thermometerChannels(12) },
		Open: func(_ context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			c, err := openI2C(env, o, "tmp117")
			if err != nil {
				return nil, err
			}
			return c.sampler(c.identify(0x0f, 0x0117, 0x0fff), func(context.Context) ([]sensors.Sample, error) {
				raw, err := c.readWord(0x00)
				if err == nil && raw == 0xffff {
					err = errAllOnes // rather than -0.0078 °C
				}
				if err != nil {
					return nil, err
				}
				v := float64(int16(raw)) / 128 // -256 before the first conversion
				if err := within("temperature", v, -55, 150, "°C"); err != nil {
					return nil, err
				}
				return samplesOf(thermometerChannels(12), v)
			})
		},
	})
}

// TestDocumentedDriver: the driver in the documentation is the one above, which
// works.
func TestDocumentedDriver(t *testing.T) {
	between := func(file, first, last, indent string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for line := range strings.Lines(string(text)) {
			line = strings.TrimPrefix(line, indent)
			if len(out) > 0 || strings.HasPrefix(line, first) {
				out = append(out, line)
			}
			if len(out) > 0 && strings.HasPrefix(line, last) {
				return strings.Join(out[1:], "")
			}
		}
		t.Fatalf("%s has no example", file)
		return ""
	}
	if shown, tried := between("doc.go", "\tsensors.Register(", "\t})", "//\t"), between("doc_test.go", "\tr.Register(", "\t})", ""); shown != tried {
		t.Errorf("documented is\n%s\nand tried is\n%s", shown, tried)
	}
	var r sensors.Registry
	registerExample(&r)
	d, _ := r.Lookup("tmp117")
	s := subjects(t, d, nil)[0]
	synctest.Test(t, func(t *testing.T) {
		s.t = t
		id := i2ctest.IO{Addr: 0x48, W: []byte{0x0f}, R: []byte{0x11, 0x17}}
		read := func(hi, lo byte) i2ctest.IO { return i2ctest.IO{Addr: 0x48, W: []byte{0}, R: []byte{hi, lo}} }
		samples, err := s.use(&bench{i2c: []i2ctest.IO{id, read(0x0c, 0x80), read(0xff, 0xfe), read(0x80, 0x00)}})
		if got := shown(samples); got != "temperature=25.00 temperature=-0.02" || err == nil || !strings.Contains(err.Error(), "-256 °C is outside") {
			t.Errorf("%q, %v", got, err)
		}
		for name, behave := range behaviours {
			for n := range 20 {
				s.limit = time.Second
				s.provoke(&hostile{answer: behave(random(name, n)), there: -1})
			}
		}
	})
}
