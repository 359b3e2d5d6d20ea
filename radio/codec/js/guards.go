package js

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/dop251/goja"
)

// Limits of what one call of a built-in function may make or work through: goja
// cannot be stopped inside.
const (
	maxText     = 1 << 20  // characters of a text
	maxElements = 1 << 16  // of an array, or an object that is used as one
	maxBuffer   = 1 << 20  // bytes of an ArrayBuffer, elements of a typed array
	maxParsed   = 64 << 10 // characters that JSON.parse reads
	maxObjects  = 200      // how deep what is made text may be nested
	maxPlaces   = 16 << 20 // characters that replace may at worst give
	hugeInteger = 20_000   // digits of a BigInt
)

// brake is looked up in place of array elements that are not there, since it is
// the prototype of Array.prototype: so built-ins that walk through holes can be
// stopped. It has no properties.
type brake struct{ r *realm }

func (b brake) Get(string) goja.Value       { b.r.check(); return nil }
func (b brake) Has(string) bool             { b.r.check(); return false }
func (b brake) Set(string, goja.Value) bool { return false }
func (b brake) Delete(string) bool          { return true }
func (b brake) Keys() []string              { return nil }

// guard makes the bounds hold for built-in functions.
func (r *realm) guard() {
	list := r.rt.NewArray()
	arrays := list.Prototype()
	if err := arrays.SetPrototype(r.rt.NewDynamicObject(brake{r})); err != nil {
		panic(fmt.Sprintf("js: goja took no prototype: %v", err))
	}
	for _, name := range []string{"map", "sort", "toSorted"} {
		r.before(arrays, name, func(this goja.Value, _ []goja.Value) { r.fewElements(this) })
	}
	r.before(arrays, "join", func(this goja.Value, args []goja.Value) {
		between := 1
		if len(args) > 0 {
			between = r.length(args[0])
		}
		r.fits(this, between, false)
	})
	for _, name := range []string{"flat", "toLocaleString"} {
		r.before(arrays, name, func(this goja.Value, _ []goja.Value) { r.fits(this, 1, false) })
	}
	if array, ok := arrays.Get("constructor").(*goja.Object); ok {
		r.before(array, "from", func(_ goja.Value, args []goja.Value) { r.fewElements(argument(args, 0)) })
	}
	r.guardTexts()
	r.guardCalls()
	for _, name := range r.c.needs.globals {
		r.guardGlobal(name)
	}
}

// guardTexts does so for functions that make texts.
func (r *realm) guardTexts() {
	texts := r.rt.ToValue("").ToObject(r.rt).Prototype()
	r.before(texts, "repeat", func(this goja.Value, args []goja.Value) {
		r.atMost(float64(r.length(this))*argument(args, 0).ToFloat(), maxText, "characters")
	})
	for _, name := range []string{"padStart", "padEnd"} {
		r.before(texts, name, func(_ goja.Value, args []goja.Value) {
			r.atMost(argument(args, 0).ToFloat(), maxText, "characters")
		})
	}
	r.before(texts, "concat", func(this goja.Value, args []goja.Value) {
		n := r.length(this)
		for _, a := range args {
			n += r.length(a)
		}
		r.atMost(float64(n), maxText, "characters")
	})
	for _, name := range []string{"replace", "replaceAll"} {
		r.before(texts, name, func(this goja.Value, args []goja.Value) {
			with := argument(args, 1)
			if _, called := goja.AssertFunction(with); called {
				return
			}
			text := with.String()
			worst := float64(r.length(this)+1) * float64(len(text))
			if strings.Contains(text, "$") {
				worst *= float64(r.length(this) + 1)
			}
			r.atMost(worst, maxPlaces, "characters")
		})
	}
	if text, ok := texts.Get("constructor").(*goja.Object); ok {
		r.before(text, "raw", func(_ goja.Value, args []goja.Value) {
			if strs, ok := argument(args, 0).(*goja.Object); ok {
				r.fewElements(strs.Get("raw"))
			}
		})
	}
}

// guardCalls does so for functions that take their arguments from an array, or
// that let methods of arrays work on other objects, and takes away what makes
// code of texts.
func (r *realm) guardCalls() {
	functions := r.rt.ToValue(func(goja.FunctionCall) goja.Value { return nil }).ToObject(r.rt).Prototype()
	r.before(functions, "call", func(_ goja.Value, args []goja.Value) { r.claims(argument(args, 0)) })
	r.before(functions, "apply", func(_ goja.Value, args []goja.Value) {
		r.claims(argument(args, 0))
		r.fewElements(argument(args, 1))
	})
	makers := []*goja.Object{functions}
	if r.c.needs.makers { // the others are dear, and out of reach
		v, err := r.rt.RunProgram(codeMakers)
		if err != nil {
			panic(fmt.Sprintf("js: %v", err))
		}
		for i := range 2 {
			makers = append(makers, v.(*goja.Object).Get(strconv.Itoa(i)).(*goja.Object))
		}
	}
	for _, proto := range makers {
		_ = proto.DefineDataProperty("constructor", r.noCode(proto), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}
}

// codeMakers gives the prototypes of functions whose constructors compile texts,
// but for that of plain ones.
var codeMakers = goja.MustCompile("makers", `[function*(){}, async function(){}].map(Object.getPrototypeOf)`, false)

// noCode stands for a function that would compile a text. It has the prototype,
// for instanceof.
func (r *realm) noCode(prototype *goja.Object) *goja.Object {
	f := r.rt.ToValue(func(goja.ConstructorCall) *goja.Object {
		panic(r.rt.NewTypeError("code cannot be made of texts here"))
	}).(*goja.Object)
	if prototype != nil {
		_ = f.DefineDataProperty("prototype", prototype, goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE)
	}
	return f
}

// guardGlobal does so for what a global name stands for.
func (r *realm) guardGlobal(name string) {
	global := r.rt.GlobalObject()
	o, ok := global.Get(name).(*goja.Object)
	if !ok && name != "no BigInt" {
		return
	}
	switch name {
	case "eval":
		_ = global.Set(name, r.noCode(nil))
	case "Function":
		_ = global.Set(name, o.Get("prototype").(*goja.Object).Get("constructor"))
	case "JSON":
		r.before(o, "parse", func(_ goja.Value, args []goja.Value) {
			r.atMost(float64(r.length(argument(args, 0))), maxParsed, "characters")
		})
		r.before(o, "stringify", func(_ goja.Value, args []goja.Value) { r.fits(argument(args, 0), 1, true) })
	case "Reflect":
		r.before(o, "apply", func(_ goja.Value, args []goja.Value) {
			r.claims(argument(args, 1))
			r.fewElements(argument(args, 2))
		})
		r.before(o, "construct", func(_ goja.Value, args []goja.Value) { r.fewElements(argument(args, 1)) })
	case "BigInt":
		r.guardBigInt(o)
	case "no BigInt":
		for _, n := range []string{"BigInt", "BigInt64Array", "BigUint64Array"} {
			_ = global.Delete(n)
		}
	case "DataView":
		if r.c.needs.bigInt {
			return
		}
		for _, n := range []string{"getBigInt64", "getBigUint64"} {
			_ = o.Get("prototype").(*goja.Object).Delete(n)
		}
	default:
		r.guardBuffer(global, name, o)
	}
}

// guardBuffer does so for ArrayBuffer and the typed arrays.
func (r *realm) guardBuffer(global *goja.Object, name string, class *goja.Object) {
	construct, ok := goja.AssertConstructor(class)
	proto, isObject := class.Get("prototype").(*goja.Object)
	if !ok || !isObject {
		return
	}
	// A proxy would do but for instanceof, which goja refuses for proxies.
	f := r.rt.ToValue(func(call goja.ConstructorCall) *goja.Object {
		if of, ok := call.Argument(0).(*goja.Object); ok {
			r.fewElements(of)
		} else {
			r.atMost(call.Argument(0).ToFloat(), maxBuffer, "elements")
		}
		o, err := construct(call.NewTarget, call.Arguments...)
		if err != nil {
			panic(err)
		}
		return o
	}).(*goja.Object)
	_ = f.SetPrototype(class) // for from, of and BYTES_PER_ELEMENT
	_ = f.DefineDataProperty("name", r.rt.ToValue(name), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	_ = f.DefineDataProperty("prototype", proto, goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE)
	_ = global.Set(name, f)
	_ = proto.DefineDataProperty("constructor", f, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
}

// before has check look at the arguments before a function of holder runs;
// check throws what is too much.
func (r *realm) before(holder *goja.Object, name string, check func(this goja.Value, args []goja.Value)) {
	class, ok := holder.Get(name).(*goja.Object)
	if !ok {
		return // goja does not have it
	}
	f, ok := goja.AssertFunction(class)
	if !ok {
		return
	}
	proxy := r.rt.NewProxy(class, &goja.ProxyTrapConfig{
		Apply: func(_ *goja.Object, this goja.Value, args []goja.Value) goja.Value {
			check(this, args)
			v, err := f(this, args...)
			if err != nil {
				panic(err)
			}
			return v
		},
	})
	_ = holder.DefineDataProperty(name, r.rt.ToValue(proxy), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
}

// argument is an argument, or undefined.
func argument(args []goja.Value, i int) goja.Value {
	if i < len(args) {
		return args[i]
	}
	return goja.Undefined()
}

// atMost throws a RangeError if n is too large.
func (r *realm) atMost(n float64, limit int, what string) {
	if n > float64(limit) {
		message := fmt.Sprintf("%.0f %s are too many here: at most %d", n, what, limit)
		if o, err := r.rt.New(r.rt.Get("RangeError"), r.rt.ToValue(message)); err == nil {
			panic(o)
		}
		panic(r.rt.NewTypeError(message))
	}
}

// length is how many characters a value has that becomes a text; those of
// objects come from functions that have bounds of their own.
func (r *realm) length(v goja.Value) int {
	switch v := v.(type) {
	case goja.String:
		return v.Length()
	case *goja.Object:
		return len(v.String())
	}
	return 24
}

// size is what an object says its length is; 0 if it has none.
func size(v goja.Value) float64 {
	o, ok := v.(*goja.Object)
	if !ok {
		return 0
	}
	n := o.Get("length")
	if n == nil {
		return 0
	}
	return n.ToFloat()
}

// fewElements throws if an object has too many elements for a walk.
func (r *realm) fewElements(v goja.Value) { r.atMost(size(v), maxElements, "elements") }

// claims throws if an object that is no array says that it is a long one: the
// brake works for arrays only.
func (r *realm) claims(v goja.Value) {
	if o, ok := v.(*goja.Object); ok && o.ClassName() != "Array" {
		r.fewElements(v)
	}
}

// fits throws if the text that an array, or with objects an object too, becomes
// is too long, or too deep.
func (r *realm) fits(v goja.Value, between int, objects bool) {
	left := maxText
	r.spend(v, &left, between, objects, nil)
}

func (r *realm) spend(v goja.Value, left *int, between int, objects bool, above []*goja.Object) {
	r.check()
	o, ok := v.(*goja.Object)
	if !ok {
		n := 8
		if v != nil {
			n = r.lengthOfPrimitive(v)
		}
		if *left -= n; *left < 0 {
			r.atMost(maxText+1, maxText, "characters")
		}
		return
	}
	for _, a := range above {
		if a == o {
			return // goja's own functions see to circles
		}
	}
	r.atMost(float64(len(above)), maxObjects, "levels")
	if o.ClassName() == "Array" {
		n := size(o)
		r.atMost(n*float64(max(between, 1)), max(*left, 0), "characters")
		for i := range int(n) {
			*left -= between
			r.spend(o.Get(strconv.Itoa(i)), left, between, objects, append(above, o))
		}
		return
	}
	*left -= 16
	if !objects {
		return
	}
	for _, key := range o.Keys() {
		*left -= len(key) + 4
		r.spend(o.Get(key), left, between, objects, append(above, o))
	}
}

func (r *realm) lengthOfPrimitive(v goja.Value) int {
	if s, ok := v.(goja.String); ok {
		return s.Length()
	}
	return 8
}
