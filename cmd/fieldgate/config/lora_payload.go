package config

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio/codec"
	"fieldgate/radio/codec/js"
	"fieldgate/sensors"
)

// payload decodes how a device's payloads are read, whether it has LoRaWAN or
// not.
func (t *table) payload(s *LoRaSettings) {
	t.codec(&s.Codec)
	t.get("expires").duration(&s.Expires, time.Second, 366*24*time.Hour)
	t.get("create").boolean(&s.Create)
	if v := t.get("variables"); v.present() {
		s.Variables = map[string]string{}
		vars := v.table()
		for _, key := range vars.order {
			var text string
			if x, ok := vars.get(key).scalar("a single value"); ok {
				text = x
			}
			s.Variables[key] = text
		}
	}
	if v := t.get("sensors"); v.present() {
		s.Sensors = mappings(v, "temperature_1", (*Mapping).sensor)
	}
	if v := t.get("actuators"); v.present() {
		s.Actuators = mappings(v, "digital_out_1", (*Mapping).actuator)
	}
}

// codec reads a codec's name or the path of a script, which is tried.
func (t *table) codec(dst *Codec) {
	v := t.get("codec")
	var name string
	if !v.text(&name) {
		return
	}
	if _, err := codec.Open(name); err == nil {
		*dst = Codec{Name: name}
		return
	}
	if !strings.HasSuffix(name, ".js") {
		remedy := "one of " + strings.Join(codec.Names(), ", ") + ", or the path of a script, such as sensor.js"
		if near := nearest(name, codec.Names()); near != "" {
			remedy = "did you mean " + near + "? It is " + remedy
		}
		v.mistake(fmt.Sprintf("there is no codec %.40q", name), remedy)
		return
	}
	*dst = Codec{Name: t.r.path(name), Script: true}
	if !t.r.files {
		return
	}
	source, err := os.ReadFile(dst.Name)
	if err != nil {
		v.mistake(fmt.Sprintf("%.80q cannot be read (%s)", dst.Name, cause(err)), "the path of a script, from the folder of this file")
		return
	}
	if len(source) > MaxScript {
		v.mistake(fmt.Sprintf("%.80q is larger than %s", dst.Name, formatSize(MaxScript)), "a script with one device's functions")
		return
	}
	dst.Source = string(source)
	script, err := js.New(dst.Name, dst.Source, js.Options{})
	if err != nil {
		v.mistake(strings.TrimPrefix(err.Error(), "js: "), "a script with decodeUplink, as for The Things Stack or ChirpStack")
		return
	}
	dst.Mute = !slices.ContainsFunc(script.Functions(), func(f string) bool { return strings.HasPrefix(strings.ToLower(f), "encode") })
}

// MaxScript is the largest script, in bytes.
const MaxScript = 256 << 10

// mappings reads which sensor or actuator a name of the codec is: a list of
// {from, id} and what else rest reads.
func mappings(v value, example string, rest func(*Mapping, *table)) (out []Mapping) {
	seen := map[string]int{}
	for _, t := range v.tables() {
		var m Mapping
		from := t.get("from")
		if !from.present() {
			from.missing("the name that the codec has for it, such as " + example)
		} else if from.text(&m.From) {
			unique(from, "mapping of", m.From, seen)
		}
		checkedID(t, &m.ID)
		rest(&m, t)
		t.close()
		out = append(out, m)
	}
	return out
}

// sensor reads what a sensor is where the codec does not know.
func (m *Mapping) sensor(t *table) {
	t.get("name").text(&m.Name)
	t.get("sensor_kind").text(&m.Kind)
	if v := t.get("quantity"); v.text(&m.Quantity) && !sensors.KnownQuantity(m.Quantity) {
		v.warn(short(m.Quantity)+" is no quantity that Waziup knows", "a word such as AirTemperature")
	}
	if v := t.get("unit"); v.text(&m.Unit) && !sensors.KnownUnit(m.Unit) {
		v.warn(short(m.Unit)+" is no unit that Waziup knows", "a word such as DegreeCelsius")
	}
}

// actuator reads the priority of its commands.
func (m *Mapping) actuator(t *table) {
	var n int
	if t.get("priority").integer(&n, MinPriority, MaxPriority) {
		m.Priority = &n
	}
}

// described reports whether a mapping says more than the id.
func (m *Mapping) described() bool {
	return m.Name != "" || m.Kind != "" || m.Quantity != "" || m.Unit != ""
}

// mapped gives a device the sensors and actuators that its mappings name, but for
// sensors that the codec is to create, because it knows more of them.
func (c *Config) mapped(t *table, d *gateway.Device, s *LoRaSettings) {
	if d == nil {
		return
	}
	for _, m := range s.Sensors {
		if _, ok := d.Sensor(m.ID); !ok && m.ID != "" && (m.described() || !s.Create) {
			d.Sensors = append(d.Sensors, gateway.Sensor{ID: m.ID, Name: m.Name, Kind: m.Kind, Quantity: m.Quantity, Unit: m.Unit})
		}
	}
	for _, m := range s.Actuators {
		if _, ok := d.Actuator(m.ID); !ok && m.ID != "" {
			d.Actuators = append(d.Actuators, gateway.Actuator{ID: m.ID})
		}
	}
	c.commands(t, d, s)
}

// trials are values of every sort that a codec has for an actuator.
var trials = []json.RawMessage{json.RawMessage("true"), json.RawMessage("1"), json.RawMessage(`"00"`), json.RawMessage(`"#000000"`),
	json.RawMessage("null"), json.RawMessage("[]"), json.RawMessage("{}"), json.RawMessage(`{"x":0,"y":0,"z":0}`),
	json.RawMessage(`{"latitude":0,"longitude":0,"altitude":0}`)}

// commands warns of actuators that the device's codec cannot set, because it has
// no such name. Those on lines of this machine need no codec.
func (c *Config) commands(t *table, d *gateway.Device, s *LoRaSettings) {
	for i := range d.Actuators {
		id := d.Actuators[i].ID
		if slices.ContainsFunc(c.Actuators, func(o sensors.OutputItem) bool { return o.Device == d.ID && o.Actuator == id }) {
			continue
		}
		name := id
		if i := slices.IndexFunc(s.Actuators, func(m Mapping) bool { return m.ID == id }); i >= 0 {
			name = s.Actuators[i].From
		}
		at := t.get("device")
		switch {
		case s.Codec.Script && s.Codec.Mute:
			at.warn(fmt.Sprintf("the script of %s has no encodeDownlink: its actuator %s cannot be set", short(d.ID), short(id)), "a script that has, or no actuators")
		case !s.Codec.Script && !speaks(s, name):
			from := "digital_out_1"
			if s.Codec.Name == "hex" {
				from = "payload"
			}
			at.warn(fmt.Sprintf("the codec %s has no name %s: the actuator %s of %s cannot be set", s.Codec.Name, short(name), short(id), short(d.ID)),
				fmt.Sprintf("say which it is, such as actuators: [{from: %s, id: %s}]", from, short(id)))
		}
	}
}

// speaks reports whether a built-in codec can set what it calls name.
func speaks(s *LoRaSettings, name string) bool {
	made, err := codec.Open(s.Codec.Name)
	if err != nil {
		return true // of which it is said what is wrong
	}
	return slices.ContainsFunc(trials, func(v json.RawMessage) bool {
		_, err := made.Encode(context.Background(), &codec.Command{Values: map[string]json.RawMessage{name: v}, Variables: s.Variables})
		return err == nil
	})
}
