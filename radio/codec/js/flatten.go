package js

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dop251/goja"

	"fieldgate/gateway"
	"fieldgate/radio/codec"
)

// collector makes values of data.
type collector struct {
	r        *realm
	received time.Time
	names    map[string]bool // of sensors, and of actuators with a NUL in front
	values   []codec.Value
	room     int // bytes left of codec.MaxResult
	// Of measurements of TTN's schema: the words by name, and the age of those
	// that have none of their own.
	words map[string]words
	usual time.Duration
}

func newCollector(r *realm, received time.Time) *collector {
	return &collector{r: r, received: received, names: map[string]bool{}, room: codec.MaxResult}
}

// errTooMuch: a result has too many values or bytes.
var errTooMuch = fmt.Errorf("%w: more than %d values or %d bytes", ErrScript, codec.MaxValues, codec.MaxResult)

// data adds the values of what decodeUplink gave.
func (c *collector) data(v goja.Value) error {
	v, k := c.r.look(v)
	switch k {
	case absent, null:
		return nil
	case compound:
		if o := v.(*goja.Object); !isPlace(o) {
			return c.object("", o, 0)
		}
	}
	return c.one(codec.Value{Name: "value"}, v, k)
}

// object adds the values of an object; prefix is the name that it has itself.
func (c *collector) object(prefix string, o *goja.Object, level int) error {
	for _, key := range o.Keys() {
		v := o.Get(key)
		if level == 0 && prefix == "" && key == "actuators" {
			if a, ok := v.(*goja.Object); ok && a.ClassName() == "Object" {
				if err := c.actuators(a); err != nil {
					return err
				}
				continue
			}
		}
		name := key
		if prefix != "" {
			name = prefix + "_" + key
		}
		if err := c.add(name, v, level); err != nil {
			return err
		}
	}
	return nil
}

// add adds the value or the values that v is.
func (c *collector) add(name string, v goja.Value, level int) error {
	v, k := c.r.look(v)
	switch k {
	case absent:
		c.r.warn("%s: %s is no value", name, c.r.describe(v))
		return nil
	case null:
		return nil
	case compound:
		o := v.(*goja.Object)
		switch {
		case isWorded(o):
			return c.worded(codec.Value{Name: name}, o)
		case isPlace(o):
			return c.one(codec.Value{Name: name, Quantity: "Position"}, v, k)
		case level >= maxLevels:
			c.r.warn("%s: nested too deep", name)
			return nil
		}
		return c.object(name, o, level+1)
	}
	return c.one(codec.Value{Name: name}, v, k)
}

// actuators adds the states of actuators; those that are objects are kept as
// they are.
func (c *collector) actuators(o *goja.Object) error {
	for _, key := range o.Keys() {
		v, k := c.r.look(o.Get(key))
		value := codec.Value{Name: key, Actuator: true}
		var err error
		switch inner, _ := v.(*goja.Object); {
		case k == absent:
			c.r.warn("actuator %s: %s is no value", key, c.r.describe(v))
		case k == null:
		case k == compound && isWorded(inner):
			err = c.worded(value, inner)
		default:
			err = c.one(value, v, k)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wordKeys are the keys of an object that is one value with its words.
var wordKeys = []string{"value", "kind", "quantity", "unit", "time", "actuator", "displayName", "name", "label", "description"}

// isWorded reports whether an object is one value with its words.
func isWorded(o *goja.Object) bool {
	keys := o.Keys()
	if len(keys) > len(wordKeys) || !slices.Contains(keys, "value") {
		return false
	}
	return !slices.ContainsFunc(keys, func(k string) bool { return !slices.Contains(wordKeys, k) })
}

// isPlace reports whether an object is a geographic position.
func isPlace(o *goja.Object) bool {
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool {
			v := o.Get(n)
			return v != nil && !goja.IsNull(v) && !goja.IsUndefined(v)
		})
	}
	return has("latitude", "lat") && has("longitude", "lon", "lng", "long")
}

// worded adds a value with its words.
func (c *collector) worded(value codec.Value, o *goja.Object) error {
	v, k := c.r.look(o.Get("value"))
	if k == absent {
		c.r.warn("%s: %s is no value", value.Name, c.r.describe(v))
		return nil
	}
	if k == null {
		return nil
	}
	word := func(key string) string {
		s, ok := o.Get(key).(goja.String)
		if !ok {
			return ""
		}
		return cleanWord(s.String())
	}
	value.Kind, value.Quantity, value.Unit = word("kind"), word("quantity"), unitWord(word("unit"))
	if a := o.Get("actuator"); a != nil && a.ToBoolean() {
		value.Actuator = true
	}
	if t := o.Get("time"); t != nil {
		value.Age = c.age(value.Name, t)
	}
	return c.one(value, v, k)
}

// age is how long before the uplink a time was: a Date, RFC 3339, or
// milliseconds since 1970.
func (c *collector) age(name string, v goja.Value) time.Duration {
	v, _ = c.r.look(v)
	var at time.Time
	if s, ok := v.(goja.String); ok {
		var err error
		if at, err = time.Parse(time.RFC3339Nano, s.String()); err != nil {
			c.r.warn("%s: time %s is not of RFC 3339", name, c.r.describe(v))
			return 0
		}
	} else if ms := v.ToFloat(); ms > 0 && ms < 1e14 {
		at = time.UnixMilli(int64(ms))
	} else {
		return 0
	}
	if c.received.IsZero() {
		c.r.warn("%s: its time is not used: the clock of the gateway is unset", name)
		return 0
	}
	return max(c.received.Sub(at), 0)
}

// one adds one value, which was looked at and is written as JSON.
func (c *collector) one(value codec.Value, v goja.Value, k kind) error {
	value.Name = cleanName(value.Name)
	if w, ok := c.words[value.Name]; ok {
		value.Kind, value.Quantity, value.Unit = w.kind, w.quantity, w.unit
	}
	if value.Age == 0 {
		value.Age = c.usual
	}
	seen := value.Name
	if value.Actuator {
		seen = "\x00" + seen
	}
	if value.Age > 0 { // measurements of several times have the same names
		seen = fmt.Sprint(seen, "\x00", value.Age)
	}
	if c.names[seen] {
		c.r.warn("%s: there are several of this name", value.Name)
		return nil
	}
	p := printer{r: c.r, room: c.room - len(value.Name)}
	if len(c.values) == codec.MaxValues || !p.put(v, k, 0) {
		return errTooMuch
	}
	c.names[seen] = true
	c.room = p.room
	value.Value = json.RawMessage(p.out)
	c.values = append(c.values, value)
	return nil
}

// cleanName makes an id of a key.
func cleanName(key string) string {
	name := strings.Map(func(c rune) rune {
		if c == '/' || c == '+' || c == '#' || unicode.IsControl(c) || unicode.IsSpace(c) {
			return '_'
		}
		return c
	}, strings.ToValidUTF8(key, "\ufffd"))
	switch {
	case name == "":
		return "_"
	case len(name) <= gateway.MaxID:
		return name
	}
	h := fnv.New32a()
	h.Write([]byte(key))
	end := fmt.Sprintf("_%08x", h.Sum32())
	cut := gateway.MaxID - len(end)
	for !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut] + end
}

// cleanWord is a word of a script, "" if it cannot be one.
func cleanWord(s string) string {
	if len(s) > gateway.MaxID || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return ""
	}
	return strings.TrimSpace(s)
}
