package js

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio/codec"
)

// Scripts that would hold up the gateway or eat its memory. Each ends with the
// error that is given, and the codec can be called again. nil: any outcome but
// ErrStuck.
var hostile = []struct {
	name, body string
	want       error
}{
	{"endless loop", `for (;;);`, ErrTimeout},
	{"loop that catches", `for (;;) try { for (;;); } catch (e) {} finally { for (;;); }`, ErrTimeout},
	{"generator", `function* g() { for (;;) yield 1; } var n = 0; for (const x of g()) n += x;`, ErrTimeout},
	{"endless generator in an array", `function* g() { for (;;) yield 1; } return {data: [...g()]};`, nil},
	{"jobs", `function f() { return Promise.resolve().then(f); } f(); return {data: 1};`, ErrTimeout},
	{"async loop", `return (async function () { for (;;) await 1; })();`, ErrTimeout},
	{"recursion", `function f() { return f() + 1; } return {data: f()};`, errTooDeep},
	{"recursion through toString", `var o = {toString: function () { return "" + o; }}; return {data: "" + o};`, errTooDeep},
	{"recursion through a getter", `var o = {get a() { return this.a; }}; return {data: o.a};`, errTooDeep},
	{"recursion through map", `function f(x) { return [x].map(f); } return {data: f(1)};`, errTooDeep},
	{"array that grows", `var a = []; for (;;) a.push([1, 2, 3]);`, nil},
	{"text that grows", `var s = "x"; for (;;) s += s;`, nil},
	{"objects", `var a = {}; for (var i = 0; ; i++) a["k" + i] = {i: i};`, nil},
	{"map of many", `var m = new Map(); for (var i = 0; ; i++) m.set(i, "x" + i);`, nil},
	{"repeat", `return {data: "x".repeat(1e9)};`, ErrScript},
	{"repeat under another name", `return {data: "x"["re" + "peat"](1e9)};`, ErrScript},
	{"repeat by call", `return {data: String.prototype.repeat.call("x", 1e9)};`, ErrScript},
	{"padStart", `return {data: "x".padStart(1e9)};`, ErrScript},
	{"padEnd", `return {data: "x".padEnd(2e9, "ab")};`, ErrScript},
	{"concat of texts", `var s = "x".repeat(1e6); return {data: s.concat.apply(s, Array(1000).fill(s))};`, ErrScript},
	{"replace", `var s = "a".repeat(65536); return {data: s.replace(/a/g, s)};`, ErrScript},
	{"replaceAll", `var s = "a".repeat(65536); return {data: s.replaceAll("a", s)};`, ErrScript},
	{"replace with $", "var s = 'a'.repeat(65536); return {data: s.replace(/a/g, '$`$`$`')};", ErrScript},
	{"join of long ones", `return {data: Array(65536).fill("x".repeat(65536)).join("")};`, ErrScript},
	{"join with a long one", `return {data: Array(65536).join("x".repeat(65536))};`, ErrScript},
	{"join of holes", `return {data: Array(1e9).join("x")};`, ErrScript},
	{"text of an array", `return {data: "" + Array(1e9)};`, ErrScript},
	{"fill", `return {data: Array(1e9).fill(0)};`, nil},
	{"spread of holes", `return {data: [...Array(4e9)]};`, nil},
	{"spread as arguments", `return {data: Math.max(...Array(4e9))};`, nil},
	{"set of holes", `var a = []; a.length = 4e9; return {data: new Set(a).size};`, nil},
	{"destructured holes", `var [...a] = Array(4e9); return {data: a.length};`, nil},
	{"forEach over holes", `Array(4e9).forEach(function () {});`, ErrTimeout},
	{"map over holes", `return {data: Array(4e9).map(Number)};`, ErrScript},
	{"sort of holes", `return {data: Array(4e9).sort()};`, ErrScript},
	{"toSorted", `return {data: Array(4e9).toSorted()};`, ErrScript},
	{"reverse", `return {data: Array(4e9).reverse()};`, ErrTimeout},
	{"indexOf", `return {data: Array(4e9).indexOf(1)};`, ErrTimeout},
	{"concat", `return {data: Array(4e9).concat(Array(4e9))};`, ErrTimeout},
	{"one far element", `var a = []; a[4e9] = 1; return {data: a.map(Number)};`, ErrScript},
	{"far element as data", `var a = []; a[4e9] = 1; return {data: {a: a}};`, ErrScript},
	{"flat of doubled arrays", `var a = [1]; for (var i = 0; i < 40; i++) a = [a, a]; return {data: a.flat(Infinity)};`, ErrScript},
	{"text of doubled arrays", `var a = [1]; for (var i = 0; i < 40; i++) a = [a, a]; return {data: String(a)};`, ErrScript},
	{"JSON of doubled arrays", `var a = [1]; for (var i = 0; i < 40; i++) a = [a, a]; return {data: JSON.stringify(a)};`, ErrScript},
	{"JSON of doubled objects", `var a = {}; for (var i = 0; i < 40; i++) a = {a: a, b: a}; return {data: JSON.stringify(a)};`, nil},
	{"doubled arrays as data", `var a = [1]; for (var i = 0; i < 40; i++) a = [a, a]; return {data: {a: a}};`, ErrScript},
	{"doubled objects as data", `var a = {x: 1}; for (var i = 0; i < 15; i++) a = {a: a, b: a}; return {data: a};`, ErrScript},
	{"deep array to JSON", `var a = []; for (var i = 0; i < 1e4; i++) a = [a]; return {data: JSON.stringify(a)};`, ErrScript},
	{"deep array as data", `var a = []; for (var i = 0; i < 1e4; i++) a = [a]; return {data: {a: a}};`, ErrScript},
	{"deep JSON", `return {data: JSON.parse("[".repeat(1e6))};`, ErrScript},
	{"circular data", `var a = {}; a.a = a; return {data: a};`, nil},
	{"circular array", `var a = []; a.push(a); return {data: {a: a}};`, ErrScript},
	{"Array.from", `return {data: Array.from({length: 4e9})};`, ErrScript},
	{"Array.from under another name", `return {data: [].constructor["fr" + "om"]({length: 4e9})};`, ErrScript},
	{"apply", `return {data: Math.max.apply(null, {length: 4e9})};`, ErrScript},
	{"apply with holes", `return {data: Math.max.apply(null, Array(4e8))};`, ErrScript},
	{"Reflect.apply", `return {data: Reflect.apply(Math.max, null, {length: 4e9})};`, ErrScript},
	{"Reflect.construct", `return {data: Reflect.construct(Date, {length: 4e9})};`, ErrScript},
	{"call on a claimed length", `Array.prototype.forEach.call({length: 1e15}, function () {});`, ErrScript},
	{"String.raw", `return {data: String.raw({raw: {length: 4e9}})};`, ErrScript},
	{"ArrayBuffer", `return {data: new ArrayBuffer(1e9).byteLength};`, ErrScript},
	{"Uint8Array", `return {data: new Uint8Array(1e9).length};`, ErrScript},
	{"Uint8Array under another name", `return {data: new (globalThis["Uint8" + "Array"])(1e9).length};`, ErrScript},
	{"Uint8Array of a constructor", `return {data: new (new Uint8Array(1).constructor)(1e9).length};`, ErrScript},
	{"Float64Array of a claimed length", `return {data: new Float64Array({length: 1e9}).length};`, ErrScript},
	{"Float64Array.from", `return {data: Float64Array.from({length: 1e9}).length};`, ErrScript},
	{"class of Uint8Array", `class A extends Uint8Array {} return {data: new A(1e9).length};`, ErrScript},
	{"Uint8Array with an escape", "return {data: new Uint8\\u0041rray(1e9).length};", ErrScript},
	{"Uint8Array in shorthand", `var {A} = {A: {Uint8Array}}; return {data: new A.Uint8Array(1e9).length};`, ErrScript},
	{"global object in a class", `class A { static f() { return (function () { return this; })(); } } return {data: new (A.f()["Uint8" + "Array"])(1e9).length};`, ErrScript},
	{"global object in a key", `var g; class A { [(g = (function () { return this; })(), "f")]() {} } return {data: new (g["Uint8" + "Array"])(1e9).length};`, ErrScript},
	{"global object in an arrow", `var g = (() => { return (function () { return this; })(); })(); return {data: new (g["Uint8" + "Array"])(1e9).length};`, ErrScript},
	{"BigInt shift", `return {data: 1n << 8000000000n};`, ErrScript},
	{"BigInt shift back", `return {data: 1n >> -8000000000n};`, ErrScript},
	{"BigInt shift assigned", `var n = 1n; n <<= 8000000000n; return {data: n};`, ErrScript},
	{"BigInt power", `return {data: 3n ** 100000000n};`, ErrScript},
	{"BigInt power assigned", `var n = 3n; n **= 100000000n; return {data: n};`, ErrScript},
	{"BigInt powers", `var n = 3n; for (;;) n = n ** 64n;`, ErrScript},
	{"BigInt of a text", `return {data: BigInt("9".repeat(1e6))};`, ErrScript},
	{"BigInt hidden", `var b = this["Big" + "Int"](1); return {data: b};`, ErrScript},
	{"asUintN", `return {data: BigInt.asUintN(1e9, 1n)};`, ErrScript},
	{"proxy", `return {data: new Proxy({}, {ownKeys: function () { for (;;); }})};`, ErrTimeout},
	{"proxy of proxies", `var p = {}; for (var i = 0; i < 20000; i++) p = new Proxy(p, {}); return {data: {x: p.x}};`, nil},
	{"getter", `return {data: {get a() { for (;;); }}};`, ErrTimeout},
	{"toJSON", `return {data: {a: {toJSON: function () { for (;;); }}}};`, ErrTimeout},
	{"toJSON that gives more of itself", `var o = {toJSON: function () { return {o: o}; }}; return {data: {o: o}};`, nil},
	{"errors that take long", `return {errors: [{get a() { for (;;); }}]};`, ErrTimeout},
	{"many values", `var d = {}; for (var i = 0; i < 300; i++) d["v" + i] = i; return {data: d};`, ErrScript},
	{"long value", `return {data: {a: "x".repeat(70000)}};`, ErrScript},
	{"many warnings", `return {data: {}, warnings: Array(60000).fill("x".repeat(1000))};`, nil},
	{"eval", `return {data: eval("1")};`, ErrScript},
	{"eval hidden", `return {data: this["ev" + "al"]("1")};`, ErrScript},
	{"Function", `return {data: new Function("return 1")()};`, ErrScript},
	{"Function of a constructor", `return {data: (function () {}).constructor("return 1")()};`, ErrScript},
	{"GeneratorFunction", `return {data: (function* () {}).constructor("yield 1")().next()};`, ErrScript},
	{"AsyncFunction", `return {data: (async () => 1).constructor("return 1")()};`, ErrScript},
}

func TestHostileScripts(t *testing.T) {
	for _, test := range hostile {
		t.Run(test.name, func(t *testing.T) {
			timeout := 50 * time.Millisecond
			if test.want == ErrScript || test.want == errTooDeep {
				timeout = MaxTimeout // the guards are what is tested
			}
			c := mustNew(t, "function decodeUplink(input) { if (input.bytes.length === 0) return {data: {fine: true}}; "+test.body+" }",
				Options{Timeout: timeout})
			d, err := c.Decode(t.Context(), uplink(1))
			// What goes on for ever and makes garbage meets either bound first.
			garbage := test.want == ErrTimeout && errors.Is(err, ErrMemory)
			if errors.Is(err, ErrStuck) || test.want != nil && !errors.Is(err, test.want) && !garbage {
				t.Errorf("%s, %.300v", lines(d), err)
			}
			checkValues(t, d)
			if err != nil && len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			if d, err := c.Decode(t.Context(), uplink()); err != nil || lines(d) != "fine=true" {
				t.Errorf("afterwards: %s, %v", lines(d), err)
			}
		})
	}
}

// TestBacktrackingEnds: goja gives what Go's regular expressions cannot do, such
// as a look-ahead, to regexp2. Its match ends, and the result "no match" is not
// used.
func TestBacktrackingEnds(t *testing.T) {
	for _, test := range []string{`/^(?=(a+)+$)/.test(s)`, `/^(a+)+\1$/.test(s)`, `s.replace(/(?=(a+)+$)/g, "")`, `new RegExp("^(?=(a+)+$)").exec(s)`, `s.split(/(?=(a+)+$)/)`, `s.match(/(?=(a+)+$)/g)`, `s.search(/(?=(a+)+$)/)`, `s.replaceAll(/(?=(a+)+$)/g, "")`, `s.replace(/(?=(a+)+$)/gy, "")`} {
		c := mustNew(t, `function Decoder(bytes) { var s = "a".repeat(bytes[0]) + "c"; return {a: String(`+test+`)}; }`, Options{})
		if d, err := c.Decode(t.Context(), uplink(3)); err != nil || len(d.Values) != 1 {
			t.Errorf("%s: %s, %v", test, lines(d), err)
		}
		if _, err := c.Decode(t.Context(), uplink(60)); !errors.Is(err, ErrTimeout) || errors.Is(err, ErrStuck) {
			t.Errorf("%s: %v", test, err)
		}
	}
}

// TestHostileSources: what is wrong at the top level shows when the codec is
// made.
func TestHostileSources(t *testing.T) {
	for _, test := range []struct {
		source string
		want   string
	}{
		{`for (;;);`, "took too long"},
		{`var a = []; for (;;) a.push("x".repeat(1000) + a.length);`, "took too"},
		{strings.Repeat("(", 1000), "nested 1000 deep"},
		{strings.Repeat("x", MaxSource+1), "at most"},
		{`throw {toString: function () { throw 1; }, get a() { throw 2; }}`, "throws when it is looked at"},
		{`throw undefined`, "undefined"},
		{`throw Symbol("odd")`, "odd"},
		{`throw null`, "null"},
		{`module = {get exports() { throw 5; }}`, "5"},
		{"//# sourceMappingURL=file:///etc/passwd\nfunction Decoder() { throw 1 }", ""},
	} {
		_, err := New("test.js", test.source, Options{Timeout: 50 * time.Millisecond})
		if test.want == "" && err == nil {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || test.want == "" || len(err.Error()) > 500 {
			t.Errorf("%.60s: %v", test.source, err)
		}
	}
}

// TestThrownOddThings: whatever is thrown becomes an error with a short text.
func TestThrownOddThings(t *testing.T) {
	for _, what := range []string{`undefined`, `null`, `5`, `-0`, `"text"`, `Symbol("s")`, `{a: 1}`, `[1, [2]]`, `function () {}`, `new Proxy({}, {get: function () { throw 1; }})`,
		`new Error("x".repeat(1e5))`, `{get name() { throw 1; }}`, `Object.create(null)`, `new (class extends Error { get message() { throw 1; } })()`, `new Date(NaN)`, `Promise.reject(1)`, `new Map()`, `new Uint8Array(4)`} {
		c := mustNew(t, "function Decoder() { throw "+what+"; }", Options{})
		_, err := c.Decode(t.Context(), uplink())
		if !errors.Is(err, ErrScript) || !errors.Is(err, codec.ErrPayload) || len(err.Error()) > 400 {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestEndlessScriptDoesNotHoldUpOthers: another codec answers while one hangs.
func TestEndlessScriptDoesNotHoldUpOthers(t *testing.T) {
	bad := mustNew(t, `function Decoder() { for (;;); }`, Options{Timeout: MaxTimeout})
	good := mustNew(t, `function Decoder(bytes) { return {a: bytes[0]}; }`, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := bad.Decode(ctx, uplink())
		ended <- err
	}()
	for i := range 20 {
		d, err := good.Decode(t.Context(), uplink(byte(i)))
		if want := fmt.Sprintf("a=%d", i); err != nil || lines(d) != want {
			t.Errorf("%s, %v", lines(d), err)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) && !errors.Is(err, ErrTimeout) {
		t.Error(err)
	}
}

// TestStuckCallsAreGivenUp: work that does not stop holds up its caller for a
// while, and the codec until it has ended.
func TestStuckCallsAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := mustNew(t, `function Decoder() { return {a: 1}; }`, Options{})
		release := make(chan bool)
		begin := time.Now()
		_, err := run(t.Context(), c, func(r *realm) (bool, error) { return <-release, nil })
		took := time.Since(begin)
		if !errors.Is(err, ErrStuck) || !errors.Is(err, ErrTimeout) || took < DefaultTimeout+patience || took > DefaultTimeout+patience+2*watchEvery {
			t.Errorf("%v after %v", err, took)
		}
		if _, err := c.Decode(t.Context(), uplink()); !errors.Is(err, ErrStuck) {
			t.Errorf("while it is stuck: %v", err)
		}
		release <- true
		synctest.Wait()
		if d, err := c.Decode(t.Context(), uplink()); err != nil || lines(d) != "a=1" {
			t.Errorf("afterwards: %s, %v", lines(d), err)
		}
	})
}

// TestCallsThatWaitForAStuckOneGiveUp too, later.
func TestCallsThatWaitForAStuckOneGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := mustNew(t, `function Decoder() { return {a: 1}; }`, Options{})
		c.turn <- struct{}{}
		if _, err := c.Decode(t.Context(), uplink()); !errors.Is(err, ErrStuck) {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := c.Decode(ctx, uplink()); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// TestMemoryIsBounded: what a script keeps is seen before its time is over.
func TestMemoryIsBounded(t *testing.T) {
	c := mustNew(t, `function Decoder() { var a = []; for (;;) a.push("x".repeat(50000) + a.length); }`, Options{Timeout: MaxTimeout, Memory: 4 << 20})
	if _, err := c.Decode(t.Context(), uplink()); !errors.Is(err, ErrMemory) || errors.Is(err, codec.ErrPayload) {
		t.Error(err)
	}
}

func TestScriptsThatTimeOutArePaused(t *testing.T) {
	c := mustNew(t, `function Decoder(bytes) { if (bytes.length) for (;;); return {a: 1}; }`, Options{Timeout: 30 * time.Millisecond})
	bad := func() error {
		_, err := c.Decode(t.Context(), uplink(1))
		return err
	}
	for range pauseAfter - 1 {
		if err := bad(); !errors.Is(err, ErrTimeout) || errors.Is(err, ErrPaused) {
			t.Fatal(err)
		}
	}
	if _, err := c.Decode(t.Context(), uplink()); err != nil { // not in a row
		t.Fatal(err)
	}
	for range pauseAfter {
		if err := bad(); !errors.Is(err, ErrTimeout) || errors.Is(err, ErrPaused) {
			t.Fatal(err)
		}
	}
	_, err := c.Decode(t.Context(), uplink())
	if !errors.Is(err, ErrPaused) || !strings.Contains(err.Error(), "3 times in a row: script took too long") {
		t.Error(err)
	}
	_, err = c.Encode(t.Context(), &codec.Command{})
	if !errors.Is(err, codec.ErrCommand) {
		t.Error(err)
	}
}

func TestPausesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pauses
		for range pauseAfter - 1 {
			p.ended(time.Now(), ErrTimeout)
		}
		var longest time.Duration
		for want := firstPause; longest < longestPause; want = min(2*want, longestPause) {
			if err := p.refused(time.Now()); err != nil {
				t.Fatal(err)
			}
			p.ended(time.Now(), ErrMemory)
			time.Sleep(want - time.Nanosecond)
			if err := p.refused(time.Now()); !errors.Is(err, ErrPaused) || !errors.Is(err, ErrMemory) {
				t.Fatalf("after %v: %v", want-1, err)
			}
			time.Sleep(time.Nanosecond)
			longest = want
		}
		for range 100 {
			p.ended(time.Now(), ErrMemory)
		}
		if at := time.Until(p.until); at != longestPause {
			t.Error(at)
		}
		p.ended(time.Now(), nil)
		if err := p.refused(time.Now()); err != nil || p.row != 0 {
			t.Error(err)
		}
	})
}
