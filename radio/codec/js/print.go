package js

import (
	"encoding/json"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"

	"github.com/dop251/goja"
)

// kind is what a value is for the results of a codec.
type kind uint8

const (
	absent   kind = iota // undefined, function, symbol, NaN, an infinity
	null                 // no value on purpose
	scalar               // boolean, number, string, BigInt
	array                // Array or typed array
	compound             // any other object
)

// maxLevels is how deep a result may be nested.
const maxLevels = 16

// look says what v is, after its toJSON if it has one. Objects that stand for
// primitives come back as those.
func (r *realm) look(v goja.Value) (goja.Value, kind) {
	r.check()
	o, ok := v.(*goja.Object)
	if ok {
		if call, has := goja.AssertFunction(o.Get("toJSON")); has {
			got, err := call(o, r.rt.ToValue(""))
			if err != nil {
				panic(err)
			}
			v = got
			o, ok = v.(*goja.Object)
		}
	}
	if ok {
		switch o.ClassName() {
		case "Function":
			return v, absent
		case "Array":
			return v, array
		case "Number":
			v = o.ToNumber()
		case "String":
			v = o.ToString()
		case "Boolean":
			v = r.rt.ToValue(o.String() == "true")
		default:
			if t := o.ExportType(); t.Kind() == reflect.Slice && t.Elem().Kind() >= reflect.Int && t.Elem().Kind() <= reflect.Float64 {
				return v, array
			}
			return v, compound
		}
	}
	switch v := v.(type) {
	case nil, *goja.Symbol:
		return v, absent
	case goja.String:
		return v, scalar
	}
	switch {
	case goja.IsUndefined(v), goja.IsNaN(v), goja.IsInfinity(v):
		return v, absent
	case goja.IsNull(v):
		return v, null
	}
	return v, scalar
}

// printer writes values as JSON, as JSON.stringify does, into a bounded space.
type printer struct {
	r    *realm
	out  []byte
	room int // bytes that may be written
}

// print writes v; false if it does not fit or is too deep. What is absent is
// written as null, as in arrays.
func (p *printer) print(v goja.Value, level int) bool {
	v, k := p.r.look(v)
	return p.put(v, k, level)
}

// put writes v, which was looked at.
func (p *printer) put(v goja.Value, k kind, level int) bool {
	switch k {
	case absent, null:
		return p.write("null")
	case scalar:
		return p.scalar(v)
	case array:
		return p.array(v.(*goja.Object), level)
	}
	return p.object(v.(*goja.Object), level)
}

func (p *printer) write(s string) bool {
	if p.room -= len(s); p.room < 0 {
		return false
	}
	p.out = append(p.out, s...)
	return true
}

func (p *printer) text(s string) bool {
	if len(s) > p.room {
		return false
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return false
	}
	return p.write(strings.TrimSuffix(b.String(), "\n"))
}

func (p *printer) scalar(v goja.Value) bool {
	switch v.ExportType().Kind() {
	case reflect.String:
		return p.text(v.String())
	case reflect.Float64:
		if f := v.ToFloat(); f == 0 || math.IsNaN(f) || math.IsInf(f, 0) { // -0 is "0"
			return p.write("0")
		}
	case reflect.Pointer: // BigInt
		if n, ok := v.Export().(*big.Int); ok && n.BitLen() > maxBits {
			return false
		}
	}
	return p.write(v.String())
}

func (p *printer) array(o *goja.Object, level int) bool {
	if level >= maxLevels || !p.write("[") {
		return false
	}
	n := size(o)
	for i := 0; float64(i) < n; i++ {
		if i > 0 && !p.write(",") || !p.print(o.Get(strconv.Itoa(i)), level+1) {
			return false
		}
	}
	return p.write("]")
}

func (p *printer) object(o *goja.Object, level int) bool {
	if level >= maxLevels || !p.write("{") {
		return false
	}
	first := true
	for _, key := range o.Keys() {
		v, k := p.r.look(o.Get(key))
		if k == absent && !isNumber(v) {
			continue // as JSON.stringify does
		}
		if !first && !p.write(",") {
			return false
		}
		first = false
		if !p.text(key) || !p.write(":") || !p.put(v, k, level+1) {
			return false
		}
	}
	return p.write("}")
}

// isNumber tells NaN and the infinities, which JSON.stringify writes as null,
// from what it leaves out.
func isNumber(v goja.Value) bool { return goja.IsNaN(v) || goja.IsInfinity(v) }
