package drivers

import (
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"

	"periph.io/x/conn/v3/conntest"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"fieldgate/sensors"
)

// soilADS is a bus with an ADS1115 whose inputs read the same code.
type soilADS struct {
	addr   uint16
	code   uint16
	config uint16
	fail   error
	closed *bool
}

func (a *soilADS) Tx(addr uint16, w, r []byte) error {
	var v uint16
	switch {
	case a.fail != nil || addr != a.addr:
		return errors.Join(a.fail, errNAK)
	case len(w) == 3 && w[0] == 1:
		a.config = uint16(w[1])<<8 | uint16(w[2])
	case len(w) == 1 && w[0] == 1:
		v = a.config | 0x8000
	case len(w) == 1 && w[0] == 0:
		v = a.code
	}
	if len(r) == 2 {
		r[0], r[1] = byte(v>>8), byte(v)
	}
	return nil
}
func (a *soilADS) SetSpeed(physic.Frequency) error { return nil }
func (a *soilADS) String() string                  { return "soil" }
func (a *soilADS) Close() error                    { *a.closed = true; return nil }

// soilBench is a board with one converter on I2C.
type soilBench struct {
	*bench
	bus *soilADS
}

func (b soilBench) I2C(string) (i2c.BusCloser, error) { return b.bus, nil }

// 2.0 V is code 16000 in the range of 4.096 V.
func TestSoilMoistureI2C(t *testing.T) {
	for _, c := range []struct {
		name        string
		dry, wet    string
		code        uint16
		want, wrong string
	}{
		{"capacitive", "2.8", "1.2", 16000, "moisture=50.0", ""},
		{"resistive", "0.4", "3.2", 16000, "moisture=57.1", ""},
		{"drier than dry", "1.9", "0.9", 16000, "moisture=0.0", ""},
		{"wetter than wet", "3.0", "2.1", 16000, "moisture=100.0", ""},
		{"unplugged", "1.8", "0.9", 16000, "", "2.000 V is far outside dry (1.8 V) and wet (0.9 V)"},
		{"short circuit", "2.8", "1.2", 0, "", "0.000 V is far outside"},
		{"clipped", "2.8", "1.2", 0x7fff, "", "above the range"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bus := &soilADS{addr: 0x49, code: c.code, closed: new(bool)}
				got, err := measure(t, soilBench{&bench{}, bus}, "soil-moisture", map[string]string{"dry": c.dry, "wet": c.wet, "channel": "2", "address": "0x49"})
				if got != c.want || (err != nil) != (c.wrong != "") || err != nil && !(strings.Contains(err.Error(), c.wrong) && strings.Contains(err.Error(), "i2c:1")) {
					t.Errorf("%q, %v; want %q, %q", got, err, c.want, c.wrong)
				}
				if !*bus.closed {
					t.Error("the bus is not closed")
				}
				if mux := bus.config >> 12 & 7; mux != 6 {
					t.Errorf("input %d was measured, not 2 against ground", mux)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		for _, written := range []map[string]string{{}, {"adc": "ads1015"}, {"channel": "4"}} {
			written["dry"], written["wet"] = "2.8", "1.2"
			bus := &soilADS{addr: 0x48, closed: new(bool)}
			if written["channel"] == "" {
				bus.fail = errNAK
			}
			got, err := measure(t, soilBench{&bench{}, bus}, "soil-moisture", written)
			if got != "" || err == nil || !strings.Contains(err.Error(), "i2c:1, address 0x48") || !*bus.closed {
				t.Errorf("%v: %q, %v, closed %v", written, got, err, *bus.closed)
			}
		}
	})
}

func TestSoilMoistureSPI(t *testing.T) {
	written := map[string]string{"bus": "spi:0.1", "dry": "2.8", "wet": "1.2", "channel": "5", "vref": "3.3"}
	for _, c := range []struct {
		ops         []conntest.IO
		want, wrong string
	}{
		{[]conntest.IO{mcp3008IO(13, 0x02, 0x20)}, "moisture=65.4", ""}, // 1.753 V
		{[]conntest.IO{mcp3008IO(13, 0x03, 0xff)}, "", "channel 5 of mcp3008 at spi:0.1: 3.297 V is far outside"},
		{[]conntest.IO{mcp3008Raw(13, 0xff, 0xff, 0xff, 0xff, 0xff)}, "", errAllOnes.Error()},
		{mcp3008Others(5, 0, 1, 2, 3, 4, 6, 7), "", "mcp3008 at spi:0.1: only zeros"},
		{nil, "", "unexpected Tx"},
	} {
		p := &mcp3008Port{ops: c.ops}
		got, err := measure(t, mcp3008Bench{&bench{}, p}, "soil-moisture", written)
		if got != c.want || (err != nil) != (c.wrong != "") || err != nil && !(strings.Contains(err.Error(), c.wrong) && strings.Contains(err.Error(), "spi:0.1")) {
			t.Errorf("%q, %v; want %q, %q", got, err, c.want, c.wrong)
		}
		if !p.closed {
			t.Error("the bus is not closed")
		}
	}
}

func TestSoilMoistureOptions(t *testing.T) {
	d, _ := sensors.Builtin().Lookup("soil-moisture")
	for _, c := range []struct {
		written map[string]string
		wrong   string // options
	}{
		{map[string]string{"dry": "2.8", "wet": "1.2"}, ""},
		{map[string]string{"dry": "2.8", "wet": "1.2", "rate": "8"}, ""},
		{map[string]string{"dry": "2.8", "wet": "1.2", "rate": "3300", "adc": "ads1015"}, ""},
		{map[string]string{}, "dry wet"},
		{map[string]string{"dry": "2.8"}, "wet"},
		{map[string]string{"dry": "2.8", "wet": "2.79"}, "wet"},
		{map[string]string{"dry": "2.8", "wet": "7"}, "wet"},
		{map[string]string{"dry": "2.8", "wet": "1.2", "rate": "3300"}, "rate"},
		{map[string]string{"dry": "2.8", "wet": "1.2", "rate": "8", "adc": "ads1015"}, "rate"},
		{map[string]string{"dry": "2.8", "wet": "1.2", "margin": "-1"}, "margin"},
		{map[string]string{"dry": "2.8", "wet": "1.2", "channel": "8"}, "channel"},
	} {
		_, wrong := d.Parse(c.written)
		var got []string
		for _, w := range wrong {
			got = append(got, w.Option)
		}
		if strings.Join(got, " ") != c.wrong {
			t.Errorf("%v: %v", c.written, wrong)
		}
	}
}

func TestSoilMoisturePercent(t *testing.T) {
	p := soilProbe{dry: 3, wet: 1, margin: 20}
	for volts, want := range map[float64]float64{3: 0, 1: 100, 2: 50, 2.5: 25, 3.39: 0, 0.61: 100} {
		if got, err := p.percent(volts); err != nil || math.Abs(got-want) > 1e-9 {
			t.Errorf("%v V: %v, %v", volts, got, err)
		}
	}
	for _, volts := range []float64{3.41, 0.59, 0, -1, math.NaN(), math.Inf(1)} {
		if got, err := p.percent(volts); err == nil {
			t.Errorf("%v V: %v", volts, got)
		}
	}
}
