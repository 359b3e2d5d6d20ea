package board

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"fieldgate/sensors"
	_ "fieldgate/sensors/drivers"
)

// TestBuiltinLines: each chip of the program's drivers has its line, which the
// driver itself takes.
func TestBuiltinLines(t *testing.T) {
	all := map[uint16]map[byte][]byte{}
	for a := uint16(firstAddress); a <= lastAddress; a++ {
		all[a] = map[byte][]byte{0xd0: {0x60}}
	}
	delete(all, 0x10) // a bus where all answer is broken
	bus := fakeBoard{buses: map[string]*fakeBus{"i2c:1": {chips: all}}}
	r := scan(t, plant(t, pi5()), ScanOptions{Board: bus, Drivers: sensors.Builtin(), ReadOnly: true})
	found := map[string]bool{}
	for _, c := range r.I2C[0].Chips {
		for _, l := range c.Drivers {
			found[l.Driver] = true
		}
	}
	for _, name := range sensors.Builtin().Names() {
		d, _ := sensors.Builtin().Lookup(name)
		// What has to be measured first, as the voltages of a probe, is no line to paste.
		measured := slices.ContainsFunc(d.Options, func(o sensors.Option) bool { return o.Required && o.Kind == sensors.Decimal })
		if d.Bus&sensors.I2C != 0 && !found[name] && !measured {
			t.Errorf("%s is at no address", name)
		}
	}
	text := written(t, r)
	for _, want := range []string{
		"driver: w1, rom: 28-0316a2795cff", "driver: ds18b20, bus: \"w1:1\", rom: 28-0316a2795cff",
		"driver: iio, chip: dht11, input: in_temp", "driver: hwmon, chip: rp1_adc, input: in1", "driver: thermal, zone: 0",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	for _, id := range identities {
		d, ok := sensors.Builtin().Lookup(id.driver)
		if !ok {
			continue // known by its id only
		}
		o, _ := addressOf(d)
		if _, wrong := d.Parse(map[string]string{o.Name: fmt.Sprint(id.high)}); len(wrong) > 0 {
			t.Errorf("%s at 0x%02x: %v", id.driver, id.high, wrong)
		}
	}
}
