package config

import (
	"slices"

	"fieldgate/sensors"
)

// Hardware lists the buses and the GPIO lines that the configuration uses, each
// once; those of the simulated board are left out.
func (c *Config) Hardware() (buses, pins []string) {
	add := func(list []string, name string) []string {
		if name == "" || simulated(name) || slices.Contains(list, name) {
			return list
		}
		return append(list, name)
	}
	lines := func(options []sensors.Option, o sensors.Options) {
		for _, opt := range options {
			if opt.Kind == sensors.Pin {
				pins = add(pins, o.Text(opt.Name))
			}
		}
	}
	for i := range c.Sensors {
		it := &c.Sensors[i]
		buses = add(buses, it.Bus)
		if d, ok := sensors.Builtin().Lookup(it.Driver); ok {
			lines(d.Options, it.Options)
		}
	}
	for i := range c.Actuators {
		it := &c.Actuators[i]
		if d, ok := sensors.Builtin().LookupOutput(it.Driver); ok {
			lines(d.Options, it.Options)
		}
	}
	for i := range c.Radios {
		r := &c.Radios[i]
		if !r.OnSPI() {
			continue
		}
		buses = add(buses, r.Bus)
		for _, pin := range append([]string{r.ChipSelect, r.Reset, r.IRQ, r.Busy, r.TXEnable, r.RXEnable}, r.Enable...) {
			pins = add(pins, pin)
		}
	}
	return buses, pins
}

// simulated reports whether a bus or a line is one of the simulated board.
func simulated(name string) bool {
	return slices.Contains([]string{"i2c:" + sensors.Simulated, "spi:" + sensors.Simulated, "w1:" + sensors.Simulated}, name) ||
		len(name) > len(sensors.Simulated) && name[:len(sensors.Simulated)+1] == sensors.Simulated+":"
}
