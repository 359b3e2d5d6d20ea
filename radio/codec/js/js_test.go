package js

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fieldgate/gateway"
	"fieldgate/radio/codec"
)

// regexp2 keeps a clock for as long as a match may run, and a second more.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dlclark/regexp2/v2.runClock"))
}

// received is when the uplinks of the tests came.
var received = time.Date(2026, 11, 25, 12, 0, 0, 250_000_000, time.UTC)

func mustNew(t testing.TB, source string, o Options) *Codec {
	t.Helper()
	c, err := New("test.js", source, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func uplink(b ...byte) *codec.Uplink {
	return &codec.Uplink{Bytes: b, FPort: 5, Received: received, Variables: map[string]string{"offset": "1.5"}}
}

// line is a value as one line: name=JSON, then what else there is.
func line(v codec.Value) string {
	s := v.Name + "=" + string(v.Value)
	for _, w := range []string{v.Kind, v.Quantity, v.Unit} {
		if w != "" {
			s += " " + w
		}
	}
	if v.Age != 0 {
		s += " " + v.Age.String()
	}
	if v.Actuator {
		s = "!" + s
	}
	return s
}

func lines(d codec.Decoded) string {
	var all []string
	for _, v := range d.Values {
		all = append(all, line(v))
	}
	return strings.Join(all, "; ")
}

// checkValues checks what holds of all values.
func checkValues(t testing.TB, d codec.Decoded) {
	t.Helper()
	size := 0
	for _, v := range d.Values {
		if err := gateway.CheckID(v.Name); err != nil {
			t.Errorf("name %q: %v", v.Name, err)
		}
		if !json.Valid(v.Value) {
			t.Errorf("%s: %q is no JSON", v.Name, v.Value)
		}
		if v.Age < 0 {
			t.Errorf("%s: age %v", v.Name, v.Age)
		}
		size += len(v.Value) + len(v.Name)
	}
	if len(d.Values) > codec.MaxValues || size > codec.MaxResult {
		t.Errorf("%d values, %d bytes", len(d.Values), size)
	}
	if len(d.Warnings) > maxWarnings+1 {
		t.Errorf("%d warnings", len(d.Warnings))
	}
	for _, w := range d.Warnings {
		if len(w) > maxNote+8 || strings.ContainsAny(w, "\r\n") {
			t.Errorf("warning %q", w)
		}
	}
}

// decodeForms are the forms in which scripts decode uplinks; each gives the
// same.
var decodeForms = map[string]string{
	"decodeUplink": `function decodeUplink(input) { return {data: make(input.bytes, input.fPort, input.variables)}; }`,
	"const":        `const decodeUplink = ({bytes, fPort, variables}) => ({data: make(bytes, fPort, variables), warnings: [], errors: []});`,
	"global":       `globalThis.decodeUplink = function (i) { return {data: make(i.bytes, i.fPort, i.variables)}; };`,
	"async":        `async function decodeUplink(i) { const d = await Promise.resolve(make(i.bytes, i.fPort, i.variables)); return {data: d}; }`,
	"Decode":       `function Decode(fPort, bytes, variables) { return make(bytes, fPort, variables); }`,
	"Decoder":      `function Decoder(bytes, port) { return make(bytes, port, {offset: "1.5"}); }`,
	"exports":      `exports.decodeUplink = function (i) { return {data: make(i.bytes, i.fPort, i.variables)}; };`,
	"module":       `module.exports = {decodeUplink(i) { return {data: make(i.bytes, i.fPort, i.variables)}; }};`,
	"module of v3": `if (typeof module !== 'undefined') module.exports = {Decode: (p, b, v) => make(b, p, v)};`,
	"all of them": `function decodeUplink(i) { return {data: Decode(i.fPort, i.bytes, i.variables)}; }
		function Decode(p, b, v) { return make(b, p, v); }
		function Decoder(b, p) { return {wrong: true}; }`,
	"none global": `(function (root) { root.Decode = function (p, b, v) { return make(b, p, v); }; })(this);`,
}

func TestFormsOfDecoders(t *testing.T) {
	const make = `function make(bytes, port, variables) {
		if (!Array.isArray(bytes) || bytes.slice(1).map(function (b) { return b * 2; }).length !== bytes.length - 1) throw new Error("bytes");
		return {sum: bytes.reduce(function (a, b) { return a + b; }, 0), port: port, more: parseFloat(variables.offset)};
	}` + "\n"
	for name, source := range decodeForms {
		t.Run(name, func(t *testing.T) {
			d, err := mustNew(t, make+source, Options{}).Decode(t.Context(), uplink(1, 2, 255))
			if got := lines(d); err != nil || got != "sum=258; port=5; more=1.5" {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
}

func TestRecvTimeIsADate(t *testing.T) {
	c := mustNew(t, `function decodeUplink({recvTime}) { return {data: {date: recvTime instanceof Date, ms: recvTime.getTime(), at: recvTime}}; }`, Options{})
	d, err := c.Decode(t.Context(), uplink())
	if got := lines(d); err != nil || got != `date=true; ms=1795608000250; at="2026-11-25T12:00:00.250Z"` {
		t.Errorf("%s, %v", got, err)
	}
	d, err = c.Decode(t.Context(), &codec.Uplink{}) // the clock is unset
	if got := lines(d); err != nil || got != "date=true" || len(d.Warnings) != 1 {
		t.Errorf("%s, %q, %v", got, d.Warnings, err)
	}
}

func TestErrorsAndWarningsOfDecoders(t *testing.T) {
	for _, test := range []struct{ body, values, warnings, err string }{
		{`return {data: {a: 1}, warnings: ["low battery", 5]}`, "a=1", "low battery|5", ""},
		{`return {data: {a: 1}, warnings: "one", errors: []}`, "a=1", "one", ""},
		{`return {data: {a: 1}, errors: null}`, "a=1", "", ""},
		{`return {errors: ["unknown FPort", "too short"]}`, "", "", "js: test.js: bad payload: unknown FPort; too short"},
		{`return {data: {a: 1}, warnings: ["w"], errors: ["the rest is damaged"]}`, "a=1", "w", "js: test.js: bad payload: the rest is damaged"},
		{`return {errors: "no list"}`, "", "", "js: test.js: bad payload: no list"},
		{`return {data: null}`, "", "", ""},
		{`return {a: 1}`, "", "", "js: test.js: bad payload: script failed: decodeUplink returned an object without data"},
		{`return 5`, "", "", "js: test.js: bad payload: script failed: decodeUplink returned 5, not an object with data"},
		{``, "", "", "js: test.js: bad payload: script failed: decodeUplink returned undefined, not an object with data"},
		{`throw new RangeError("off")`, "", "", "js: test.js: bad payload: script failed: line 1:38: RangeError: off"},
		{`return {data: input.bytes[9].x}`, "", "", "js: test.js: bad payload: script failed: line 1:61: TypeError: Cannot read property 'x' of undefined"},
		{`return require("fs")`, "", "", "js: test.js: bad payload: script failed: line 1:46: ReferenceError: require is not defined"},
		{`return new Promise(function () {})`, "", "", "js: test.js: bad payload: script failed: decodeUplink gave a promise that nothing settles: there are no timers"},
		{`return Promise.reject(new Error("later"))`, "", "", "js: test.js: bad payload: script failed: Error: later"},
	} {
		c := mustNew(t, "function decodeUplink(input) { "+test.body+" }", Options{})
		d, err := c.Decode(t.Context(), uplink(1))
		text := ""
		if err != nil {
			text = err.Error()
			if !errors.Is(err, codec.ErrPayload) {
				t.Errorf("%s: %v is no ErrPayload", test.body, err)
			}
		}
		if lines(d) != test.values || strings.Join(d.Warnings, "|") != test.warnings || text != test.err {
			t.Errorf("%s:\n%s\n%q\n%s", test.body, lines(d), d.Warnings, text)
		}
	}
}

// encodeForms are the forms in which scripts encode downlinks.
var encodeForms = map[string]struct {
	source string
	fPort  uint8
}{
	"encodeDownlink":       {`function encodeDownlink(input) { return {bytes: make(input.data, input.variables, input.fPort), fPort: 12, warnings: ["w"]}; }`, 12},
	"encodeDownlink of v4": {`function encodeDownlink(input) { return {bytes: make(input.data, input.variables, input.fPort)}; }`, 0},
	"typed":                {`function encodeDownlink(input) { return {bytes: Uint8Array.from(make(input.data, input.variables, input.fPort)), fPort: null}; }`, 0},
	"Encode":               {`function Encode(fPort, obj, variables) { return make(obj, variables, fPort); }`, 0},
	"Encoder":              {`function Encoder(object, port) { return make(object, {offset: "1.5"}, port); }`, 0},
	"exports":              {`exports.Encoder = function (object, port) { return make(object, {offset: "1.5"}, port); }`, 0},
}

func TestFormsOfEncoders(t *testing.T) {
	const make = `function make(data, variables, port) { return [data.relay ? 1 : 0, data.level >> 8, data.level & 0xff, port, variables.offset.length]; }` + "\n"
	for name, test := range encodeForms {
		t.Run(name, func(t *testing.T) {
			c := mustNew(t, make+test.source, Options{FPort: 7})
			e, err := c.Encode(t.Context(), &codec.Command{Values: map[string]json.RawMessage{"relay": json.RawMessage("true"), "level": json.RawMessage("-300")},
				Variables: map[string]string{"offset": "1.5"}})
			if err != nil || !bytes.Equal(e.Bytes, []byte{1, 0xfe, 0xd4, 7, 3}) || e.FPort != test.fPort {
				t.Errorf("%x FPort %d, %v", e.Bytes, e.FPort, err)
			}
		})
	}
}

func TestErrorsOfEncoders(t *testing.T) {
	on := map[string]json.RawMessage{"relay": json.RawMessage("1")}
	for _, test := range []struct {
		body   string
		values map[string]json.RawMessage
		err    string
	}{
		{`return {errors: ["relay must be true or false"]}`, on, "relay must be true or false"},
		{`return {bytes: [], fPort: 1, warnings: ["Encoder not implemented"]}`, on, "script failed: encodeDownlink returned no bytes for this command: Encoder not implemented"},
		{`return {bytes: [1, 256]}`, on, "script failed: encodeDownlink returned 256 as byte 1; 0 to 255 are possible, or -128 to -1"},
		{`return {bytes: [-129]}`, on, "script failed: encodeDownlink returned -129 as byte 0; 0 to 255 are possible, or -128 to -1"},
		{`return {bytes: [1.5]}`, on, "script failed: encodeDownlink returned 1.5 as byte 0; 0 to 255 are possible, or -128 to -1"},
		{`return {bytes: [NaN]}`, on, "script failed: encodeDownlink returned NaN as byte 0; 0 to 255 are possible, or -128 to -1"},
		{`return {bytes: [undefined]}`, on, "script failed: encodeDownlink returned undefined as byte 0; 0 to 255 are possible, or -128 to -1"},
		{`return {bytes: [null]}`, on, "script failed: encodeDownlink returned null as byte 0; 0 to 255 are possible, or -128 to -1"},
		{`return {bytes: ["1"]}`, on, "script failed: encodeDownlink returned 1 as byte 0; 0 to 255 are possible, or -128 to -1"},
		{`return {bytes: "AQI="}`, on, "script failed: encodeDownlink returned AQI=, not an array of bytes"},
		{`return {bytes: Array(256)}`, on, "script failed: encodeDownlink returned 256 bytes; at most 255 are possible"},
		{`return {bytes: [1], fPort: 224}`, on, "script failed: encodeDownlink returned fPort 224; 1 to 223 are possible, or none"},
		{`return {bytes: [1], fPort: 1.5}`, on, "script failed: encodeDownlink returned fPort 1.5; 1 to 223 are possible, or none"},
		{`return {bytes: [1], fPort: "x"}`, on, "script failed: encodeDownlink returned fPort x; 1 to 223 are possible, or none"},
		{`return [1]`, on, "script failed: encodeDownlink returned an object without bytes"},
		{`return {bytes: [1]}`, nil, "no value"},
		{`return {bytes: [1]}`, map[string]json.RawMessage{"relay": json.RawMessage("{")}, "the value is no JSON: json: error calling MarshalJSON for type json.RawMessage: unexpected end of JSON input"},
		{`return {bytes: [1]}`, map[string]json.RawMessage{"relay": json.RawMessage(`"` + strings.Repeat("x", 70000) + `"`)}, "70012 bytes; at most 65536 are possible"},
	} {
		c := mustNew(t, "function encodeDownlink(input) { "+test.body+" }", Options{})
		_, err := c.Encode(t.Context(), &codec.Command{Values: test.values})
		if !errors.Is(err, codec.ErrCommand) || err.Error() != "js: test.js: bad command: "+test.err {
			t.Errorf("%s:\n%v", test.body, err)
		}
	}
}

func TestDecodeDownlink(t *testing.T) {
	c := mustNew(t, `function decodeDownlink({bytes, fPort}) { return {data: {relay: bytes[0] === 1, port: fPort, f: undefined, n: NaN}, warnings: ["old form"]}; }
		function encodeDownlink() {}`, Options{})
	data, warnings, ok, err := c.DecodeDownlink(t.Context(), codec.Encoded{Bytes: []byte{1}, FPort: 3}, nil)
	if string(data) != `{"relay":true,"port":3,"n":null}` || !slices.Equal(warnings, []string{"old form"}) || !ok || err != nil {
		t.Errorf("%s %q %v %v", data, warnings, ok, err)
	}
	if _, _, ok, err := mustNew(t, `function Decoder() {}`, Options{}).DecodeDownlink(t.Context(), codec.Encoded{}, nil); ok || err != nil {
		t.Errorf("without the function: %v %v", ok, err)
	}
}

func TestMissingDirection(t *testing.T) {
	if _, err := mustNew(t, `function Encoder() {}`, Options{}).Decode(t.Context(), uplink()); !errors.Is(err, ErrScript) {
		t.Error(err)
	}
	if _, err := mustNew(t, `function Decoder() {}`, Options{}).Encode(t.Context(), &codec.Command{}); !errors.Is(err, codec.ErrCommand) {
		t.Error(err)
	}
}

// TestNothingIsKept: what a call leaves behind is not there for the next.
func TestNothingIsKept(t *testing.T) {
	c := mustNew(t, `var calls = 0;
		function decodeUplink(input) {
			calls++;
			Array.prototype.polluted = (Array.prototype.polluted || 0) + 1;
			Object.prototype.polluted = (Object.prototype.polluted || 0) + 1;
			globalThis.kept = (globalThis.kept || 0) + 1;
			var d = Object.create(null);
			d.calls = calls; d.array = [].polluted; d.object = ({}).polluted; d.kept = kept;
			return {data: d};
		}`, Options{})
	for range 3 {
		d, err := c.Decode(t.Context(), uplink())
		if got := lines(d); err != nil || got != "calls=1; array=1; object=1; kept=1" {
			t.Errorf("%s, %v", got, err)
		}
	}
}

func TestConsoleGoesToTheLogAndIsBounded(t *testing.T) {
	const source = `function Decoder(bytes) {
		console.log("bytes", bytes, {a: 1}); console.warn(new Error("low")); console.error(); console.info({get x() { throw 1; }});
		for (var i = 0; i < 1000; i++) console.debug("x".repeat(5000));
		return {a: 1};
	}`
	var out strings.Builder
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, l := range []*slog.Logger{nil, log} {
		if d, err := mustNew(t, source, Options{Log: l, Timeout: MaxTimeout}).Decode(t.Context(), uplink(1, 2)); err != nil || lines(d) != "a=1" {
			t.Errorf("%s, %v", lines(d), err)
		}
	}
	text := out.String()
	if !strings.Contains(text, `line="bytes [1,2] {\"a\":1}"`) || !strings.Contains(text, `line="Error: low"`) || !strings.Contains(text, "throws when it is looked at") {
		t.Error(text)
	}
	if n := strings.Count(text, "\n"); n != maxLines || len(text) > maxLines*2*maxNote {
		t.Errorf("%d lines, %d bytes", n, len(text))
	}
}

func TestCallsOfManyGoroutines(t *testing.T) {
	c := mustNew(t, `function Decoder(bytes) { return {first: bytes[0]}; }`, Options{})
	errs := make(chan error)
	for i := range 8 {
		go func() {
			d, err := c.Decode(context.Background(), uplink(byte(i)))
			if want := fmt.Sprintf("first=%d", i); err == nil && lines(d) != want {
				err = errors.New(lines(d))
			}
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	c := mustNew(t, `function Decoder(bytes) { if (bytes.length) for (;;); return {a: 1}; }`, Options{Timeout: MaxTimeout})
	cancel()
	if _, err := c.Decode(ctx, uplink()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Decode(ctx, uplink(1)); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrTimeout) {
		t.Error(err)
	}
	if d, err := c.Decode(context.Background(), uplink()); err != nil || lines(d) != "a=1" {
		t.Errorf("%s, %v", lines(d), err)
	}
}
