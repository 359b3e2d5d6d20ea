package js

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/dop251/goja"

	"fieldgate/radio/codec"
)

// Limits of commands and payloads.
const (
	maxPayload = 255      // bytes
	maxCommand = 64 << 10 // bytes of JSON
)

// decode calls the script's function for uplinks and gives its values.
func (r *realm) decode(u *codec.Uplink) (codec.Decoded, error) {
	f, err := r.function(r.c.up)
	if err != nil {
		return codec.Decoded{}, err
	}
	list := r.bytes(u.Bytes)
	port := r.rt.ToValue(int(u.FPort))
	var args []goja.Value
	switch r.c.up.name {
	case "Decode":
		args = []goja.Value{port, list, r.variables(u.Variables)}
	case "Decoder":
		args = []goja.Value{list, port}
	default:
		in := r.rt.NewObject()
		in.Set("bytes", list)
		in.Set("fPort", port)
		in.Set("variables", r.variables(u.Variables))
		if r.c.needs.recvTime {
			at := goja.NaN()
			if !u.Received.IsZero() {
				at = r.rt.ToValue(u.Received.UnixMilli())
			}
			date, err := r.rt.New(r.rt.Get("Date"), at)
			if err != nil {
				return codec.Decoded{}, r.thrown(err)
			}
			in.Set("recvTime", date)
		}
		args = []goja.Value{in}
	}
	data, err := r.call(r.c.up.name, f, args...)
	if err != nil {
		return codec.Decoded{Warnings: r.warnings}, err
	}
	var said error
	if r.c.up.name == "decodeUplink" {
		if data, said = r.answer(r.c.up.name, data, "data"); said != nil && data == nil {
			return codec.Decoded{Warnings: r.warnings}, said
		}
	}
	values, err := r.values(u, data)
	if said == nil {
		said = err
	}
	return codec.Decoded{Values: values, Warnings: r.warnings}, said
}

// values gives the values of data, and the measurements of normalizeUplink.
func (r *realm) values(u *codec.Uplink, data goja.Value) ([]codec.Value, error) {
	c := newCollector(r, u.Received)
	if err := c.data(data); err != nil {
		return c.values, err
	}
	if r.c.normalize == nil || r.c.o.Normalized == NormalizedNever {
		return c.values, nil
	}
	n := newCollector(r, u.Received)
	n.words, n.room = schema, c.room
	if err := r.normalize(n, data); err != nil {
		if errors.Is(err, errStopped) {
			return c.values, err
		}
		r.warn("normalizeUplink: %v", err)
		return c.values, nil
	}
	values := merge(c.values, n.values, r.c.o.Normalized)
	if len(values) > codec.MaxValues {
		return values[:codec.MaxValues], errTooMuch
	}
	return values, nil
}

// normalize collects the measurements of normalizeUplink.
func (r *realm) normalize(c *collector, data goja.Value) error {
	f, err := r.find(r.c.normalize)
	if err != nil {
		return err
	}
	in := r.rt.NewObject()
	in.Set("data", data)
	got, err := r.call(r.c.normalize.name, f, in)
	if err != nil {
		return err
	}
	if got, err = r.answer(r.c.normalize.name, got, "data"); err != nil {
		return err
	}
	return c.normalized(got)
}

// answer takes an answer {key, warnings, errors} apart. Its errors come with
// what is there of key.
func (r *realm) answer(function string, v goja.Value, key string) (goja.Value, error) {
	o, ok := v.(*goja.Object)
	if !ok {
		return nil, fmt.Errorf("%w: %s returned %s, not an object with %s", ErrScript, function, r.describe(v), key)
	}
	for _, w := range r.notes(o.Get("warnings")) {
		r.warn("%s", w)
	}
	got := o.Get(key)
	if list := r.notes(o.Get("errors")); len(list) > 0 {
		return got, errors.New(strings.Join(list, "; "))
	}
	if got == nil {
		return nil, fmt.Errorf("%w: %s returned an object without %s", ErrScript, function, key)
	}
	return got, nil
}

// notes are the texts of a list of warnings or errors; one that is no list is
// one of them.
func (r *realm) notes(v goja.Value) []string {
	if v == nil || goja.IsUndefined(v) || goja.IsNull(v) {
		return nil
	}
	o, ok := v.(*goja.Object)
	if !ok || o.ClassName() != "Array" {
		if text := r.describe(v); text != "" && text != "false" {
			return []string{text}
		}
		return nil
	}
	var list []string
	for i := range int(min(size(o), maxWarnings)) {
		list = append(list, r.describe(o.Get(strconv.Itoa(i))))
	}
	return list
}

// encode calls the script's function for downlinks.
func (r *realm) encode(data string, variables map[string]string) (codec.Encoded, error) {
	f, err := r.function(r.c.down)
	if err != nil {
		return codec.Encoded{}, err
	}
	value, err := r.parse(data)
	if err != nil {
		return codec.Encoded{}, err
	}
	port := r.rt.ToValue(int(r.c.o.FPort))
	var args []goja.Value
	switch r.c.down.name {
	case "Encode":
		args = []goja.Value{port, value, r.variables(variables)}
	case "Encoder":
		args = []goja.Value{value, port}
	default:
		in := r.rt.NewObject()
		in.Set("data", value)
		in.Set("variables", r.variables(variables))
		in.Set("fPort", port)
		args = []goja.Value{in}
	}
	got, err := r.call(r.c.down.name, f, args...)
	if err != nil {
		return codec.Encoded{}, err
	}
	e, err := r.encoded(got)
	for _, w := range r.warnings {
		if r.c.o.Log != nil {
			r.c.o.Log.Debug("warning of a downlink", "script", r.c.name, "warning", w)
		}
	}
	return e, err
}

// encoded is the payload that a function for downlinks returned.
func (r *realm) encoded(got goja.Value) (e codec.Encoded, err error) {
	list := got
	if r.c.down.name == "encodeDownlink" {
		if list, err = r.answer(r.c.down.name, got, "bytes"); err != nil {
			return e, err
		}
		port := got.(*goja.Object).Get("fPort")
		if port != nil && !goja.IsUndefined(port) && !goja.IsNull(port) {
			n, isNumber := number(port)
			if !isNumber || n < 0 || n > 223 || n != math.Trunc(n) {
				return e, fmt.Errorf("%w: %s returned fPort %s; 1 to 223 are possible, or none", ErrScript, r.c.down.name, r.describe(port))
			}
			e.FPort = uint8(n)
		}
	}
	list, k := r.look(list)
	if k != array {
		return e, fmt.Errorf("%w: %s returned %s, not an array of bytes", ErrScript, r.c.down.name, r.describe(list))
	}
	n := size(list)
	switch {
	case n == 0:
		return e, fmt.Errorf("%w: %s returned no bytes for this command%s", ErrScript, r.c.down.name, after(r.warnings))
	case n > maxPayload:
		return e, fmt.Errorf("%w: %s returned %.0f bytes; at most %d are possible", ErrScript, r.c.down.name, n, maxPayload)
	}
	for i := range int(n) {
		v := orUndefined(list.(*goja.Object).Get(strconv.Itoa(i)))
		b, isNumber := number(v)
		// Scripts write (n >> 8) for the upper byte of a negative number.
		if !isNumber || b < -128 || b > 255 || b != math.Trunc(b) {
			return e, fmt.Errorf("%w: %s returned %s as byte %d; 0 to 255 are possible, or -128 to -1", ErrScript, r.c.down.name, r.describe(v), i)
		}
		e.Bytes = append(e.Bytes, byte(int(b)))
	}
	return e, nil
}

// after is a list of warnings for the end of a sentence.
func after(warnings []string) string {
	if len(warnings) == 0 {
		return ""
	}
	return ": " + strings.Join(warnings, "; ")
}

// decodeDownlink calls the script's function of that name.
func (r *realm) decodeDownlink(e codec.Encoded, variables map[string]string) (json.RawMessage, error) {
	f, err := r.function(r.c.back)
	if err != nil {
		return nil, err
	}
	in := r.rt.NewObject()
	in.Set("bytes", r.bytes(e.Bytes))
	in.Set("fPort", int(e.FPort))
	in.Set("variables", r.variables(variables))
	got, err := r.call(r.c.back.name, f, in)
	if err != nil {
		return nil, err
	}
	if got, err = r.answer(r.c.back.name, got, "data"); err != nil {
		return nil, err
	}
	p := printer{r: r, room: codec.MaxResult}
	if !p.print(got, 0) {
		return nil, errTooMuch
	}
	return p.out, nil
}

// bytes makes an Array.
func (r *realm) bytes(b []byte) goja.Value {
	items := make([]any, len(b))
	for i, v := range b {
		items[i] = int(v)
	}
	return r.rt.NewArray(items...)
}

// variables makes an object.
func (r *realm) variables(m map[string]string) goja.Value {
	o := r.rt.NewObject()
	for k, v := range m {
		o.Set(k, v)
	}
	return o
}

// parse makes a value of JSON.
func (r *realm) parse(data string) (goja.Value, error) {
	parse, ok := goja.AssertFunction(r.rt.Get("JSON").ToObject(r.rt).Get("parse"))
	if !ok {
		return nil, fmt.Errorf("%w: JSON.parse is not there", ErrScript)
	}
	v, err := parse(goja.Undefined(), r.rt.ToValue(data))
	if err != nil {
		return nil, r.thrown(err)
	}
	return v, nil
}

// commandJSON is the data of a command: an object of the actuators' values.
func commandJSON(c *codec.Command) (string, error) {
	if len(c.Values) == 0 {
		return "", fmt.Errorf("%w: no value", codec.ErrCommand)
	}
	b, err := json.Marshal(c.Values)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: the value is no JSON: %w", codec.ErrCommand, err)
	case len(b) > maxCommand:
		return "", fmt.Errorf("%w: %d bytes; at most %d are possible", codec.ErrCommand, len(b), maxCommand)
	}
	return string(b), nil
}

// number is the number that v is.
func number(v goja.Value) (float64, bool) {
	if t := v.ExportType(); t == nil || t.Kind() != reflect.Int64 && t.Kind() != reflect.Float64 {
		return 0, false
	}
	f := v.ToFloat()
	return f, !math.IsNaN(f)
}

func orUndefined(v goja.Value) goja.Value {
	if v == nil {
		return goja.Undefined()
	}
	return v
}
