package config

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"fieldgate/gateway"
	"fieldgate/sensors"
	_ "fieldgate/sensors/drivers" // the drivers register themselves
)

// sensors decodes the attached sensors and adds what they measure to their
// devices.
func (c *Config) sensors(v value, taken *claims) {
	for _, t := range v.tables() {
		c.sensor(t, taken)
	}
}

func (c *Config) sensor(t *table, taken *claims) {
	it := sensors.Item{}
	driver := lookup(t.get("driver"), &it.Driver, sensors.Builtin().Names(), sensors.Builtin().Lookup)
	device := c.deviceOf(t.get("device"), &it.Device)
	sensor := t.get("sensor")
	if sensor.text(&it.Sensor) {
		if err := gateway.CheckID(it.Sensor); err != nil {
			sensor.mistake(reason(err), "a name such as TC1")
			device = nil
		}
	}
	it.Every = sensors.DefaultEvery
	if driver != nil && driver.Every > 0 {
		it.Every = driver.Every
	}
	t.get("every").duration(&it.Every, sensors.MinEvery, sensors.MaxEvery)
	if driver == nil {
		return // whose options these are nobody can tell
	}
	before := len(t.r.mistakes)
	kind := t.bus(driver, &it.Bus)
	t.common()
	options, ok := t.options(driver.Name, driver.Options, driver.Parse)
	if !ok {
		return
	}
	it.Options = options
	channels := driver.Channels(options)
	it.Alone = len(channels) == 1
	var names []channelNames
	it.Rules, names = t.rules(channels)
	taken.sensor(t, driver, kind, &it)
	if device == nil || len(t.r.mistakes) > before {
		return
	}
	for i, ch := range channels {
		id := it.SensorID(ch.Suffix)
		for _, id := range published(id, it.Rules[ch.Suffix]) {
			addSensor(t, device, id, ch, names[i], taken)
		}
	}
	c.Sensors = append(c.Sensors, it)
}

// published lists the ids that a channel's values go out as.
func published(id string, r sensors.Rules) []string {
	if r.Publish.Extremes > 0 {
		return []string{id + sensors.LowestSuffix, id + sensors.HighestSuffix}
	}
	return []string{id}
}

// lookup finds a driver by its name in the file.
func lookup[D any](name value, dst *string, known []string, find func(string) (*D, bool)) *D {
	if !name.present() {
		name.missing("one of " + strings.Join(known, ", "))
		return nil
	}
	if !name.text(dst) {
		return nil
	}
	d, ok := find(*dst)
	if !ok {
		remedy := "one of " + strings.Join(known, ", ")
		if near := nearest(*dst, known); near != "" {
			remedy = "did you mean " + near + "? Or " + remedy
		}
		name.mistake(fmt.Sprintf("there is no driver %.40q", *dst), remedy)
		return nil
	}
	return d
}

// bus reads the bus that a sensor is attached by, and gives its kind.
func (t *table) bus(d *sensors.Driver, dst *string) sensors.BusKind {
	if d.Bus == 0 {
		return 0
	}
	*dst = d.Bus.Default()
	v := t.get("bus")
	var written string
	if !v.text(&written) {
		kind, _, _ := sensors.ParseBus(*dst)
		return kind
	}
	kind, name, err := sensors.ParseBus(written)
	switch {
	case err != nil:
		v.mistake(fmt.Sprintf("%.40q is no bus", written), d.Name+" is attached by "+d.Bus.String()+": "+d.Bus.Example())
	case kind&d.Bus == 0:
		v.mistake(name+" is "+kind.String(), d.Name+" is attached by "+d.Bus.String()+": "+d.Bus.Example())
	default:
		*dst = name
	}
	return kind
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

// options has a driver check the keys that are left.
func (t *table) options(driver string, options []sensors.Option, parse func(map[string]string) (sensors.Options, []sensors.OptionError)) (sensors.Options, bool) {
	before := len(t.r.mistakes)
	written := map[string]string{}
	files := map[string]value{}
	for _, o := range options {
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
		t.unknown(key, "driver "+driver+" has "+strings.Join(t.asked, ", "))
	}
	out, wrong := parse(written)
	for _, e := range wrong {
		t.get(e.Option).mistake(e.Problem, e.Remedy)
	}
	for path, v := range files {
		t.r.readable(v, path)
	}
	return out, len(t.r.mistakes) == before
}

// addSensor makes sure that the device has the sensor a channel is published
// as.
func addSensor(t *table, d *gateway.Device, id string, ch sensors.Channel, names channelNames, taken *claims) {
	at := t.get("sensor")
	if err := gateway.CheckID(id); err != nil {
		at.mistake(fmt.Sprintf("%.80q: %s", id, reason(err)), "a shorter name")
		return
	}
	if line, twice := taken.published[d.ID+"/"+id]; twice {
		at.mistake(fmt.Sprintf("the sensor in line %d is published as %s of %s already", line, id, d.ID), "set sensor to another name")
		return
	}
	taken.published[d.ID+"/"+id] = t.at.Line
	s, ok := d.Sensor(id)
	if !ok {
		d.Sensors = append(d.Sensors, gateway.Sensor{ID: id})
		s = &d.Sensors[len(d.Sensors)-1]
	}
	// What stands under devices counts most, the driver's word least.
	s.Name = cmp.Or(s.Name, names.name)
	s.Kind = cmp.Or(s.Kind, names.kind, ch.Kind)
	s.Quantity = cmp.Or(s.Quantity, names.quantity, ch.Quantity)
	s.Unit = cmp.Or(s.Unit, names.unit, ch.Unit)
}

// claims is who has which part of the hardware, and which ids are taken.
type claims struct {
	parts     map[string][]claim
	published map[string]int // "device/sensor" to its line
	actuators map[string]int // "device/actuator" to its line
}

type claim struct {
	line         int
	what         string // "sensor" or "actuator"
	family, part string // family is "" for what nobody can share
}

func newClaims() *claims {
	return &claims{parts: map[string][]claim{}, published: map[string]int{}, actuators: map[string]int{}}
}

// take notes a claim, and reports the one that it collides with.
func (c *claims) take(at value, key string, n claim) {
	for _, old := range c.parts[key] {
		if n.family != "" && n.family == old.family && n.part != old.part {
			continue
		}
		of := ""
		if n.part != "" && n.family == old.family {
			of = ", " + n.part
		}
		at.mistake(fmt.Sprintf("%s%s belongs to the %s in line %d", key, of, old.what, old.line), "each has its own")
		return
	}
	c.parts[key] = append(c.parts[key], n)
}

// sensor notes the chip and the lines that a sensor needs.
func (c *claims) sensor(t *table, d *sensors.Driver, kind sensors.BusKind, it *sensors.Item) {
	c.pins(t, d.Options, it.Options, "sensor")
	if kind == 0 {
		return
	}
	n := claim{line: t.at.Line, what: "sensor"}
	if d.Part != nil {
		if n.family, n.part = d.Family, d.Part(it.Options); n.family == "" {
			n.family = d.Name
		}
	}
	at, key := t.get("bus"), it.Bus
	if kind == sensors.I2C {
		for _, name := range []string{"address", "bridge"} {
			if a, ok := it.Options[name].(int64); ok {
				key += " address 0x" + strconv.FormatInt(a, 16)
				if v := t.get(name); v.present() || !at.present() {
					at = v
				}
				break
			}
		}
	}
	c.take(at, key, n)
}

// pins notes the GPIO lines among options.
func (c *claims) pins(t *table, options []sensors.Option, o sensors.Options, what string) {
	for _, opt := range options {
		if pin := o.Text(opt.Name); opt.Kind == sensors.Pin && pin != "" {
			c.take(t.get(opt.Name), "the line "+pin, claim{line: t.at.Line, what: what})
		}
	}
}
