package config

import (
	"fmt"
	"strings"

	"fieldgate/gateway"
	"fieldgate/sensors"
)

// sensors decodes the attached sensors and adds what they measure to their
// devices.
func (c *Config) sensors(v value) {
	taken := map[string]int{}
	for _, t := range v.tables() {
		c.sensor(t, taken)
	}
}

func (c *Config) sensor(t *table, taken map[string]int) {
	it := sensors.Item{Every: sensors.DefaultEvery}
	known := sensors.Builtin().Names()
	name := t.get("driver")
	var driver *sensors.Driver
	if !name.present() {
		name.missing("one of " + strings.Join(known, ", "))
	} else if name.text(&it.Driver) {
		var ok bool
		if driver, ok = sensors.Builtin().Lookup(it.Driver); !ok {
			remedy := "one of " + strings.Join(known, ", ")
			if near := nearest(it.Driver, known); near != "" {
				remedy = "did you mean " + near + "? Or " + remedy
			}
			name.mistake(fmt.Sprintf("there is no driver %.40q", it.Driver), remedy)
		}
	}
	device := c.deviceOf(t.get("device"), &it.Device)
	sensor := t.get("sensor")
	if sensor.text(&it.Sensor) {
		if err := gateway.CheckID(it.Sensor); err != nil {
			sensor.mistake(reason(err), "a name such as TC1")
			device = nil
		}
	}
	t.get("every").duration(&it.Every, sensors.MinEvery, sensors.MaxEvery)
	if driver == nil {
		return // whose options these are nobody can tell
	}
	if driver.Bus {
		t.get("bus").text(&it.Bus)
	}
	if !t.options(driver, &it) || device == nil {
		return
	}
	for _, ch := range driver.Channels(it.Options) {
		addSensor(t, device, &it, ch, taken)
	}
	c.Sensors = append(c.Sensors, it)
}

// deviceOf reads the name of a declared device.
func (c *Config) deviceOf(v value, dst *string) *gateway.Device {
	if !v.present() {
		v.missing("the id of a device under devices")
		return nil
	}
	if !v.text(dst) {
		return nil
	}
	ids := make([]string, len(c.Devices))
	for i := range c.Devices {
		if ids[i] = c.Devices[i].ID; ids[i] == *dst {
			return &c.Devices[i]
		}
	}
	remedy := "add it to devices"
	if near := nearest(*dst, ids); near != "" {
		remedy = "did you mean " + near + "? Or " + remedy
	}
	v.mistake(fmt.Sprintf("there is no device %.40q", *dst), remedy)
	return nil
}

// options has the driver check the keys that are left.
func (t *table) options(d *sensors.Driver, it *sensors.Item) bool {
	before := len(t.r.mistakes)
	written := map[string]string{}
	files := map[string]value{}
	for _, o := range d.Options {
		v := t.get(o.Name)
		s, ok := v.scalar("a single value")
		if !ok {
			continue
		}
		if o.Kind == sensors.File {
			s = t.r.path(s)
			files[s] = v
		}
		written[o.Name] = s
	}
	for _, key := range t.rest() {
		t.unknown(key, "driver "+d.Name+" has "+strings.Join(t.asked, ", "))
	}
	options, wrong := d.Parse(written)
	for _, e := range wrong {
		t.get(e.Option).mistake(e.Problem, e.Remedy)
	}
	for path, v := range files {
		t.r.readable(v, path)
	}
	it.Options = options
	return len(t.r.mistakes) == before
}

// addSensor makes sure that the device has the sensor a channel is published
// as.
func addSensor(t *table, d *gateway.Device, it *sensors.Item, ch sensors.Channel, taken map[string]int) {
	id := it.SensorID(ch.Suffix)
	at := t.get("sensor")
	if err := gateway.CheckID(id); err != nil {
		at.mistake(fmt.Sprintf("%.80q: %s", id, reason(err)), "a shorter name")
		return
	}
	key := d.ID + "/" + id
	if line, twice := taken[key]; twice {
		at.mistake(fmt.Sprintf("the sensor in line %d is published as %s of %s already", line, id, d.ID), "set sensor to another name")
		return
	}
	taken[key] = t.at.Line
	s, ok := d.Sensor(id)
	if !ok {
		d.Sensors = append(d.Sensors, gateway.Sensor{ID: id})
		s = &d.Sensors[len(d.Sensors)-1]
	}
	if s.Quantity == "" {
		s.Quantity = ch.Quantity
	}
	if s.Unit == "" {
		s.Unit = ch.Unit
	}
}
