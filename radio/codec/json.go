package codec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// JSON (RFC 8259): an object of values by name, {"temperature": 21.5, "door":
// true}. A value may be an object with its value and its time, {"value": 21.5,
// "time": "2030-01-02T03:04:05Z"}, or an array of those. The time is called time
// or timestamp and is RFC 3339, or Unix seconds or milliseconds; kind, quantity
// and unit may stand beside it. An array of objects is read one by one; those with
// a name or id and a value are one value each. Anything else is one value that is
// called value. Names that cannot be those of sensors are made so: temp/in becomes
// temp_in.
//
// A command is an object of its values by the actuators' names.
func init() { Register("json", func() Codec { return jsonCodec{} }) }

type jsonCodec struct{}

func (jsonCodec) Decode(_ context.Context, u *Uplink) (Decoded, error) {
	if err := short(u); err != nil {
		return Decoded{}, fmt.Errorf("codec: json: %w", err)
	}
	if len(u.Bytes) == 0 {
		return Decoded{}, nil
	}
	if err := checkJSON(u.Bytes); err != nil {
		return Decoded{}, fmt.Errorf("codec: json: %w: %w", ErrPayload, err)
	}
	r := jsonReader{received: u.Received}
	if err := r.document(u.Bytes); err != nil {
		return r.Decoded, fmt.Errorf("codec: json: %w", err)
	}
	return r.Decoded, nil
}

func (jsonCodec) Encode(_ context.Context, c *Command) (Encoded, error) {
	names, err := c.names()
	if err != nil {
		return Encoded{}, fmt.Errorf("codec: json: %w", err)
	}
	var b bytes.Buffer
	for i, name := range names {
		b.WriteByte("{,"[min(i, 1)])
		b.Write(quoted(name))
		b.WriteByte(':')
		if err := json.Compact(&b, c.Values[name]); err != nil {
			return Encoded{}, fmt.Errorf("codec: json: %w: %s: %w", ErrCommand, name, err)
		}
	}
	b.WriteByte('}')
	out, err := fits(b.Bytes())
	if err != nil {
		return Encoded{}, fmt.Errorf("codec: json: %w", err)
	}
	return out, nil
}

// checkJSON reports why b is not one JSON value in UTF-8, of numbers that a
// float64 can be, and at most maxDepth arrays and objects in each other.
func checkJSON(b []byte) error {
	if !utf8.Valid(b) {
		return errors.New("it is not UTF-8")
	}
	if !json.Valid(b) {
		return errors.New("it is not JSON")
	}
	// Most are a single value, and no decoder's buffers are needed for it.
	if one := bytes.TrimSpace(b); one[0] == '-' || one[0] >= '0' && one[0] <= '9' {
		return inRange(string(one))
	} else if one[0] != '{' && one[0] != '[' {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	for depth := 0; ; {
		t, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case json.Delim:
			if t == '[' || t == '{' {
				depth++
			} else {
				depth--
			}
			if depth > maxDepth {
				return fmt.Errorf("more than %d arrays and objects in each other", maxDepth)
			}
		case json.Number:
			if err := inRange(string(t)); err != nil {
				return err
			}
		}
	}
}

func inRange(number string) error {
	if _, err := strconv.ParseFloat(number, 64); err != nil {
		return fmt.Errorf("the number %.40s is too large", number)
	}
	return nil
}

// jsonReader takes the values out of a document that checkJSON has passed.
type jsonReader struct {
	values
	received time.Time
}

func (r *jsonReader) document(raw json.RawMessage) error {
	if object, ok := jsonObject(raw); ok {
		return r.object(object)
	}
	list, ok := jsonObjects(raw)
	if !ok {
		return r.value("value", raw)
	}
	for _, object := range list {
		name, named := "", false
		for _, key := range []string{"name", "id"} {
			if !named {
				name, named = jsonText(object[key])
			}
		}
		var err error
		if _, ok := object["value"]; ok && named {
			err = r.reading(name, object)
		} else {
			err = r.object(object)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// object takes the values of an object, in the order of their names.
func (r *jsonReader) object(object map[string]json.RawMessage) error {
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if err := r.value(name, object[name]); err != nil {
			return err
		}
	}
	return nil
}

// value takes what stands under a name.
func (r *jsonReader) value(name string, raw json.RawMessage) error {
	if object, ok := jsonObject(raw); ok && object["value"] != nil {
		return r.reading(name, object)
	}
	list, ok := jsonObjects(raw)
	for _, object := range list {
		ok = ok && object["value"] != nil
	}
	if !ok {
		return r.take(Value{Name: name, Value: raw})
	}
	for _, object := range list {
		if err := r.reading(name, object); err != nil {
			return err
		}
	}
	return nil
}

// reading takes an object with a value and perhaps a time.
func (r *jsonReader) reading(name string, object map[string]json.RawMessage) error {
	x := Value{Name: name, Value: object["value"]}
	for key, to := range map[string]*string{"kind": &x.Kind, "quantity": &x.Quantity, "unit": &x.Unit} {
		if s, ok := jsonText(object[key]); ok && len(s) <= 64 && !strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) }) {
			*to = s
		}
	}
	for _, key := range []string{"timestamp", "time"} {
		raw, ok := object[key]
		if !ok || string(raw) == "null" {
			continue
		}
		at, err := jsonTime(raw)
		if err != nil {
			return fmt.Errorf("%w: the %s of %.64q: %w", ErrPayload, key, name, err)
		}
		if r.received.IsZero() {
			r.warn("%.64s: measured at %s, but the clock is not set", sensible(name), at.UTC().Format(time.RFC3339))
			break
		}
		x.Age = max(r.received.Sub(at), 0)
		break
	}
	return r.take(x)
}

func (r *jsonReader) take(x Value) error {
	var b bytes.Buffer
	if err := json.Compact(&b, x.Value); err != nil {
		return fmt.Errorf("%w: %w", ErrPayload, err)
	}
	x.Name, x.Value = sensible(x.Name), b.Bytes()
	return r.add(x)
}

// jsonTime reads RFC 3339, or Unix seconds, or milliseconds (from 1e11, which as
// seconds would be the year 5138).
func jsonTime(raw json.RawMessage) (time.Time, error) {
	if s, ok := jsonText(raw); ok {
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return t, fmt.Errorf("%.40q is not as in RFC 3339", s)
		}
		return t, nil
	}
	if ms, ok := steps(string(raw), 1000); ok && ms >= 0 {
		if ms >= 1e14 {
			ms /= 1000
		}
		if ms < 1e14 {
			return time.UnixMilli(ms), nil
		}
	}
	return time.Time{}, fmt.Errorf("%.40s is no time", raw)
}

// jsonObject gives the members of an object.
func jsonObject(raw json.RawMessage) (map[string]json.RawMessage, bool) {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	var object map[string]json.RawMessage
	if len(raw) == 0 || raw[0] != '{' || json.Unmarshal(raw, &object) != nil {
		return nil, false
	}
	return object, true
}

// jsonObjects gives the elements of an array that has some, all of them objects.
func jsonObjects(raw json.RawMessage) ([]map[string]json.RawMessage, bool) {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	var list []json.RawMessage
	if len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return nil, false
	}
	objects := make([]map[string]json.RawMessage, len(list))
	for i, x := range list {
		var ok bool
		if objects[i], ok = jsonObject(x); !ok {
			return nil, false
		}
	}
	return objects, true
}

// jsonText gives a string that is not empty.
func jsonText(raw json.RawMessage) (string, bool) {
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil || s == "" {
		return "", false
	}
	return s, true
}
