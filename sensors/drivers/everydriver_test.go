package drivers

import (
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/sensors"
	"fieldgate/sensors/sim"
)

// What is tested here holds for each driver of the program. A new one is tested
// without being named here.

// written are options for drivers whose required ones cannot be guessed.
var written = map[string]map[string]string{
	"hwmon": {"chip": "hwmon0", "input": "temp1"},
	"iio":   {"chip": "iio:device0", "input": "in_temp"},
}

// settings gives a driver's options in several ways: the defaults first, then each
// option with each of its choices, and at the ends of its range.
func settings(t *testing.T, d *sensors.Driver) []map[string]string {
	t.Helper()
	base := map[string]string{}
	for i, o := range d.Options {
		if !o.Required {
			continue
		}
		switch o.Kind {
		case sensors.Pin:
			base[o.Name] = fmt.Sprintf("GPIO%d", i+5)
		case sensors.Decimal, sensors.Integer:
			base[o.Name] = fmt.Sprint(math.Floor(o.Min + (o.Max-o.Min)*float64(i+1)/float64(len(d.Options)+1)))
		case sensors.File:
			base[o.Name] = filepath.Join(t.TempDir(), o.Name)
			if err := os.WriteFile(base[o.Name], []byte("0,1\n1,2\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		default:
			base[o.Name] = o.Placeholder()
		}
	}
	maps.Copy(base, written[d.Name])
	if _, wrong := d.Parse(base); len(wrong) > 0 {
		t.Fatalf("no options for it: %v; say which in written", wrong)
	}
	out := []map[string]string{base}
	for _, o := range d.Options {
		values := slices.Clone(o.Choices)
		switch {
		case o.Kind == sensors.Switch:
			values = []string{"true", "false"}
		case o.Kind == sensors.Span && o.Max > 0:
			values = []string{fmt.Sprint(o.Min, "s"), fmt.Sprint(o.Max, "s")}
		case (o.Kind == sensors.Decimal || o.Kind == sensors.Integer) && (o.Min != 0 || o.Max != 0):
			values = []string{strconv.FormatFloat(o.Min, 'f', -1, 64), strconv.FormatFloat(o.Max, 'f', -1, 64)}
		}
		for _, v := range values {
			one := maps.Clone(base)
			one[o.Name] = v
			if _, wrong := d.Parse(one); len(wrong) == 0 && v != o.Default {
				out = append(out, one)
			}
		}
	}
	return out
}

// each runs f for each driver of the program.
func each(t *testing.T, f func(*testing.T, *sensors.Driver)) {
	for _, name := range sensors.Builtin().Names() {
		d, _ := sensors.Builtin().Lookup(name)
		t.Run(name, func(t *testing.T) { f(t, d) })
	}
}

// random is a source of random numbers for the n-th run of something.
func random(what string, n int) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(what))
	return rand.New(rand.NewPCG(h.Sum64(), uint64(n)))
}

// TestEveryDriverOnHostileBuses: whatever a bus does, a driver gives an error that
// says where, or values that can be; it comes back, and lets go of the bus.
func TestEveryDriverOnHostileBuses(t *testing.T) {
	each(t, func(t *testing.T, d *sensors.Driver) {
		if d.Bus == 0 && !slices.ContainsFunc(d.Options, func(o sensors.Option) bool { return o.Kind == sensors.Pin }) {
			return // it is attached by nothing
		}
		for i, written := range settings(t, d) {
			for _, s := range subjects(t, d, written) {
				for _, name := range slices.Sorted(maps.Keys(behaviours)) {
					synctest.Test(t, func(t *testing.T) {
						s.t = t
						runs := 300
						if i > 0 || slices.Contains([]string{"nak", "zeros", "ones", "echo", "memory"}, name) {
							runs = 10
						}
						for n := range runs {
							x := random(d.Name+name, n)
							h := &hostile{answer: behaviours[name](x), there: -1}
							s.limit = sensors.Timeout
							switch n % 10 { // now and then little time, or a slow bus
							case 8:
								s.limit = time.Duration(x.IntN(2000)) * time.Millisecond
							case 9:
								h.delay = 50 * time.Millisecond
							}
							samples, err := s.provoke(h)
							if refused := errors.Is(err, errNAK) || n%10 == 8; name == "nak" && h.count > 0 && (err == nil || !refused || len(samples) > 0 && d.Bus != 0) {
								s.errorf("nobody answers: %v, %v", samples, err)
							}
							if t.Failed() {
								t.Fatalf("%s, run %d", name, n)
							}
						}
					})
				}
			}
		}
	})
}

// TestEveryDriverWithoutHardware: what is not there is an error that says so.
func TestEveryDriverWithoutHardware(t *testing.T) {
	each(t, func(t *testing.T, d *sensors.Driver) {
		for _, s := range subjects(t, d, settings(t, d)[0]) {
			synctest.Test(t, func(t *testing.T) {
				s.t = t
				for there := range max(len(s.pins()), 1) {
					h := &hostile{answer: behaviours["zeros"](nil), there: there, root: t.TempDir()}
					samples, err := s.provoke(h)
					switch {
					case !h.touched && err != nil:
						s.errorf("it needs no hardware, but: %v", err)
					case h.touched && (err == nil || len(samples) > 0):
						s.errorf("%v, %v", samples, err)
					case h.touched && (d.Bus != 0 || len(s.pins()) > 0) && !errors.Is(err, sensors.ErrAbsent):
						s.errorf("the error hides that there is none: %v", err)
					}
				}
			})
		}
	})
}

// TestEveryDriverOnSimulatedChips: on the simulated board, which has some of the
// chips, with each fault after each number of transactions. A driver for another
// chip must refuse what is at its address, or give values that can be.
func TestEveryDriverOnSimulatedChips(t *testing.T) {
	buses := map[sensors.BusKind]sim.Part{sensors.I2C: sim.BusI2C, sensors.SPI: sim.BusSPI, sensors.OneWire: sim.BusOneWire}
	measured := map[string]bool{}
	each(t, func(t *testing.T, d *sensors.Driver) {
		for _, written := range settings(t, d) {
			for kind, part := range buses {
				if d.Bus&kind == 0 {
					continue
				}
				for _, written := range simulatedAt(d, kind, written) {
					o, wrong := d.Parse(written)
					if len(wrong) > 0 {
						continue
					}
					name, _, _ := strings.Cut(kind.Default(), ":")
					s := newSubject(t, d, o, name+":"+sensors.Simulated)
					synctest.Test(t, func(t *testing.T) {
						s.t = t
						b := sim.New(nil, time.Now)
						samples, err := s.use(b)
						if err == nil && len(samples) > 0 {
							measured[d.Name] = true
						}
						for after := range min(b.Transactions(part), 60) {
							for _, f := range []sim.Fault{sim.NAK, sim.AllOnes, sim.AllZeros, sim.BitFlip, sim.NeverReady} {
								b := sim.New(nil, time.Now)
								b.SetFaultAfter(part, f, after)
								s.use(b)
							}
						}
					})
				}
			}
		}
	})
	for _, name := range []string{"ads1115", "bme280", "ds18b20", "lm75", "mcp3008", "sht3x"} {
		if !measured[name] {
			t.Errorf("%s measures nothing there", name)
		}
	}
}

// simulatedAt gives options with each of the simulated addresses.
func simulatedAt(d *sensors.Driver, kind sensors.BusKind, written map[string]string) []map[string]string {
	var out []map[string]string
	with := func(key, value string) {
		one := maps.Clone(written)
		one[key] = value
		out = append(out, one)
	}
	has := func(name string) bool {
		return slices.ContainsFunc(d.Options, func(o sensors.Option) bool { return o.Name == name })
	}
	switch {
	case kind == sensors.OneWire && has("rom"):
		with("rom", romName(sim.SoilProbe))
	case kind == sensors.I2C && has("address"):
		for _, a := range []uint16{sim.AddressSHT31, sim.AddressADS1115, sim.AddressTMP105, sim.AddressBME280} {
			with("address", strconv.Itoa(int(a)))
		}
	default:
		out = append(out, written)
	}
	return out
}
