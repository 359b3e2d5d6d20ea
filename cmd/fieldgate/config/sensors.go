package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
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
	r := sensors.Builtin()
	driver := lookup(t.get("driver"), &it.Driver, r.Names(), r.Lookup, r.OutputNames(), "actuators")
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
	kind := t.bus(driver, &it.Bus)
	t.common()
	options, sure := t.options(driver.Name, driver.Options, driver.Parse)
	it.Options = options
	// What else is wrong is told in the same run, as far as it can be known.
	channels := driver.Channels(sensors.Complete(driver.Options, options))
	it.Alone = len(channels) == 1
	var names []channelNames
	it.Rules, names = t.rules(channels, sure)
	taken.sensor(t, driver, kind, &it)
	if device == nil || !sure {
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

// lookup finds a driver by its name in the file. Others are the names of the
// drivers that belong into another section.
func lookup[D any](name value, dst *string, known []string, find func(string) (*D, bool), others []string, section string) *D {
	if !name.present() {
		name.missing("one of " + strings.Join(known, ", "))
		return nil
	}
	if !name.text(dst) {
		return nil
	}
	d, ok := find(*dst)
	if ok {
		return d
	}
	remedy := "one of " + strings.Join(known, ", ")
	if near := nearest(*dst, known); near != "" {
		remedy = "did you mean " + near + "? Or " + remedy
	}
	problem := fmt.Sprintf("there is no driver %.40q", *dst)
	if slices.Contains(others, *dst) {
		problem, remedy = *dst+" is not for this list", "it belongs under "+section
	}
	name.mistake(problem, remedy)
	return nil
}

// bus reads the bus that a sensor is attached by, and gives its kind; 0 if it
// cannot be told.
func (t *table) bus(d *sensors.Driver, dst *string) sensors.BusKind {
	if d.Bus == 0 {
		return 0
	}
	*dst = d.Bus.Default()
	v := t.get("bus")
	if !v.present() {
		kind, _, _ := sensors.ParseBus(*dst)
		return kind
	}
	var written string
	if !v.text(&written) {
		return 0
	}
	kind, name, err := sensors.ParseBus(written)
	remedy := d.Name + " is attached by " + d.Bus.String() + ": " + d.Bus.Example()
	switch {
	case err != nil:
		if meant := meantBus(written, d.Bus); meant != "" {
			remedy = "did you mean " + meant + "? " + remedy
		}
		v.mistake(fmt.Sprintf("%.40q is no bus", written), remedy)
	case kind&d.Bus == 0:
		v.mistake(name+" is "+kind.String(), remedy)
	default:
		*dst = name
		return kind
	}
	return 0
}

var looseBus = regexp.MustCompile(`^(?:/dev/)?(i2c|spi|spidev|w1|)[-_:. ]?([0-9.]+)$`)

// meantBus is the bus of one of these kinds that is meant by what is no bus's
// name, such as 1 or i2c-1; "" if that is not clear.
func meantBus(written string, kinds sensors.BusKind) string {
	m := looseBus.FindStringSubmatch(strings.ToLower(strings.TrimSpace(written)))
	if m == nil {
		return ""
	}
	prefixes := []string{strings.TrimSuffix(m[1], "dev")}
	if m[1] == "" {
		prefixes = []string{"i2c", "spi", "w1"}
	}
	for _, p := range prefixes {
		if kind, name, err := sensors.ParseBus(p + ":" + m[2]); err == nil && kind&kinds != 0 {
			return name
		}
	}
	return ""
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

// options has a driver check the keys that are left. It gives those that are
// right, and whether all are.
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
		switch o.Kind {
		case sensors.File:
			s = t.r.path(s)
			files[s] = v
		case sensors.Switch:
			if v.node.ShortTag() == "!!bool" { // True and TRUE too
				s = strings.ToLower(s)
			}
		case sensors.Span:
			if d, err := parseDuration(s); err == nil { // days too
				s = d.String()
			}
		}
		written[o.Name] = s
	}
	for _, key := range t.rest() {
		if key == "bus" {
			value{r: t.r, at: t.keys[key], path: join(t.path, key)}.mistake(driver+" is attached by no bus", "remove it")
			continue
		}
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
	lines     map[string]claim // GPIO lines by their number alone
	published map[string]int   // "device/sensor" to its line
	actuators map[string]int   // "device/actuator" to its line
}

type claim struct {
	line         int
	what         string // "sensor" or "actuator"
	family, part string // family is "" for what nobody can share
}

func newClaims() *claims {
	return &claims{parts: map[string][]claim{}, lines: map[string]claim{}, published: map[string]int{}, actuators: map[string]int{}}
}

// take notes a claim, and reports the one that it collides with.
func (c *claims) take(at value, key string, n claim) {
	for _, old := range c.parts[key] {
		if n.family != "" && n.family == old.family && n.part != old.part && n.part != "" && old.part != "" {
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

// sensor notes the chip and the lines that a sensor needs, as far as its options
// are right.
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
		if n.part != d.Part(sensors.Complete(d.Options, it.Options)) {
			return // which part it is was not said right
		}
	}
	at, key := t.get("bus"), it.Bus
	if kind == sensors.I2C {
		for _, o := range d.Options {
			if o.Name != "address" && o.Name != "bridge" {
				continue
			}
			a, ok := it.Options[o.Name].(int64)
			if !ok {
				return
			}
			key += " address 0x" + strconv.FormatInt(a, 16)
			if v := t.get(o.Name); v.present() || !at.present() {
				at = v
			}
			break
		}
	}
	c.take(at, key, n)
}

// faulty reports whether something is said to be wrong with v already.
func (v value) faulty() bool {
	return slices.ContainsFunc(v.r.mistakes, func(m Mistake) bool { return m.Key == v.path })
}

// lineNumber is a line by its number: GPIO17, or gpiochip0:17.
var lineNumber = regexp.MustCompile(`^(?:GPIO|(gpiochip)[0-9]+:)([0-9]+)$`)

// pins notes the GPIO lines among options.
func (c *claims) pins(t *table, options []sensors.Option, o sensors.Options, what string) {
	for _, opt := range options {
		if pin := o.Text(opt.Name); opt.Kind == sensors.Pin && pin != "" {
			c.pin(t.get(opt.Name), pin, t.at.Line, what)
		}
	}
}

// pin notes a GPIO line for the item in a line of the file. On most boards, but
// not on all, gpiochip0:17 is GPIO17.
func (c *claims) pin(at value, pin string, line int, what string) {
	if at.faulty() {
		return
	}
	n := claim{line: line, what: what}
	c.take(at, "the line "+pin, n)
	if m := lineNumber.FindStringSubmatch(pin); m != nil {
		if old, ok := c.lines[m[2]]; ok && old.part != m[1] {
			at.warn(fmt.Sprintf("%s may be the line of the %s in line %d by another name", pin, old.what, old.line), "`fieldgate scan` shows the names of the lines")
		}
		n.part = m[1]
		c.lines[m[2]] = n
	}
}
