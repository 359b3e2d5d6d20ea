package js

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSourceErrors(t *testing.T) {
	for _, test := range []struct {
		source, err  string
		line, column int
	}{
		{"function Decoder(bytes) {\n  return {a: };\n}", "js: test.js:2:14: Unexpected token }", 2, 14},
		{"function Decoder(bytes) {", "js: test.js:1:26: Unexpected end of input", 1, 26},
		{"\n\nlet a = 1;\nlet a = 2;", "js: test.js:4:5: Identifier 'a' has already been declared", 4, 5},
		{"export function decodeUplink(i) {}", "js: test.js:1:1: Unexpected reserved word (modules with import and export are not possible; module.exports is)", 1, 1},
		{"var a = 1;\nundefinedFunction();\nfunction Decoder() {}", "js: test.js: script failed: line 2:18: ReferenceError: undefinedFunction is not defined", 2, 18},
		{"const fs = require('fs');\nfunction Decoder() {}", "js: test.js: script failed: line 1:19: ReferenceError: require is not defined", 1, 19},
		{"function decode(bytes) {}", "js: test.js: no function that is known: one of decodeUplink, Decode, Decoder for uplinks, or of encodeDownlink, Encode, Encoder for downlinks, is needed", 0, 0},
		{"", "js: test.js: no function that is known: one of decodeUplink, Decode, Decoder for uplinks, or of encodeDownlink, Encode, Encoder for downlinks, is needed", 0, 0},
		{"function normalizeUplink() {}", "js: test.js: no function that is known: one of decodeUplink, Decode, Decoder for uplinks, or of encodeDownlink, Encode, Encoder for downlinks, is needed", 0, 0},
		{"var decodeUplink = 5;", "js: test.js: no function that is known: one of decodeUplink, Decode, Decoder for uplinks, or of encodeDownlink, Encode, Encoder for downlinks, is needed", 0, 0},
		{"async function* g() {}", "js: test.js:1:1: Async generators are not supported yet", 1, 1},
		{"var a = /[/; function Decoder() {}", "js: test.js:1:9: Unterminated character class", 1, 9},
	} {
		_, err := New("test.js", test.source, Options{})
		if err == nil || err.Error() != test.err {
			t.Errorf("%q:\n%v", test.source, err)
			continue
		}
		var at *SourceError
		if found := errors.As(err, &at); found != (test.line > 0) || found && (at.Line != test.line || at.Column != test.column || at.Name != "test.js") {
			t.Errorf("%q: %+v", test.source, at)
		}
	}
}

func TestFunctions(t *testing.T) {
	for source, want := range map[string]string{
		"function Decoder() {} function Decode() {} function Encoder() {}":                                                   "Decode Encoder",
		"function decodeUplink() {} function normalizeUplink() {} function encodeDownlink() {} function decodeDownlink() {}": "decodeUplink normalizeUplink encodeDownlink decodeDownlink",
		"module.exports = {encodeDownlink() {}}":                                                                             "encodeDownlink",
		"let decodeUplink = () => 1; exports.decodeUplink = 5":                                                               "decodeUplink",
		"module.exports = null; module = undefined; class Decoder {}":                                                        "Decoder",
		"var exports = {}; var module = {exports: exports}; exports.Encode = function () {}":                                 "Encode",
		"#!/usr/bin/env node\n'use strict'; const Encode = () => [1];":                                                       "Encode",
		"\ufefffunction Decoder() {}":                                                                                        "Decoder",
	} {
		c, err := New("test.js", source, Options{})
		if err != nil || strings.Join(c.Functions(), " ") != want {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if names := c.Functions(); !slices.Equal(names, strings.Fields(want)) {
			t.Error(names)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{{Timeout: time.Microsecond}, {Timeout: MaxTimeout + 1}, {Timeout: -1}, {Memory: 100}, {Memory: -1}, {FPort: 224}, {Normalized: 3}} {
		if _, err := New("test.js", "function Decoder() {}", o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

// TestLanguage has what goja knows of the language; doc.go says what it lacks.
func TestLanguage(t *testing.T) {
	for _, expression := range []string{
		`[..."ab"].length === 2`, `((a, b = 2, ...c) => a + b + c.length)(1, undefined, 3) === 4`, "`${1 + 1}` === '2'",
		`(({a: {b = 5} = {}}) => b)({}) === 5`, `(() => { let {a, ...r} = {a: 1, b: 2}; return r.b; })() === 2`,
		`new (class A { #x = 1; static y = 2; get x() { return this.#x; } static { A.z = 3; } })().x === 1`,
		`(class extends Array {}).from([1, 2]).length === 2`, `[...(function* () { yield 1; yield* [2]; })()].length === 2`,
		`null?.a === undefined && (null ?? 1) === 1`, `(() => { let a = null; a ??= 5; a ||= 6; a &&= 7; return a; })() === 7`, `2 ** 10 === 1024`, `1_000 === 1000`,
		`new Map([[1, 2]]).get(1) === 2 && new Set([1, 1]).size === 1`, `typeof Symbol() === "symbol"`, `typeof Proxy === "function" && typeof Reflect.ownKeys === "function"`,
		`new DataView(new Uint8Array([0x42, 0x28, 0, 0]).buffer).getFloat32(0) === 42`, `new DataView(new ArrayBuffer(8)).getUint16(0, true) === 0`,
		`new Int16Array(new Uint8Array([1, 2]).buffer)[0] === 513`, `Array.from(new Uint8Array([1, 2]).slice(1))[0] === 2`, `Uint8Array.of(1, 2).map(x => x * 200)[1] === 144`,
		`new Uint8Array(2) instanceof Uint8Array && new Uint8Array(2).constructor === Uint8Array && Uint8Array.BYTES_PER_ELEMENT === 1`,
		`(1n << 64n) + 1n === 18446744073709551617n`, `BigInt.asIntN(8, 255n) === -1n`, `Number(BigInt("0x10")) === 16`, `2n ** 10n === 1024n`,
		`[1, [2, [3]]].flat(Infinity).length === 3`, `[3, 1, 2].sort().join("") === "123"`, `[3, 1].toSorted()[0] === 1`, `[1, 2].at(-1) === 2`, `[1, 2, 3].findLast(x => x < 3) === 2`,
		`Object.fromEntries(Object.entries({a: 1})).a === 1`, `Object.hasOwn({a: 1}, "a")`, `"5".padStart(2, "0") === "05"`, `"ab".repeat(2) === "abab"`, `"aXbX".replaceAll("X", "-") === "a-b-"`,
		`"2026-01-02".replace(/(\d+)-(\d+)/, "$2/$1") === "01/2026-02"`, `"a1b2".replace(/\d/g, d => d * 2) === "a2b4"`, `"a".concat("b", 1) === "ab1"`, `String.raw` + "`a\\n${1}`" + ` === "a\\n1"`,
		`/(?<y>\d{4})/.exec("in 2026").groups.y === "2026"`, `/(?<=\$)\d+/.exec("$42")[0] === "42"`, `/^(\w)\1$/.test("aa")`, `/\u{1F600}/u.test("😀")`, `[..."a1b2".matchAll(/\d/g)].length === 2`,
		`JSON.stringify(JSON.parse('{"a":[1,{"b":null}]}')) === '{"a":[1,{"b":null}]}'`, `JSON.stringify({a: [1]}, null, 2) === '{\n  "a": [\n    1\n  ]\n}'`,
		`Math.max.apply(null, [1, 3, 2]) === 3 && Math.max(...[1, 3]) === 3`, `Array.prototype.slice.call({0: "a", length: 1})[0] === "a"`, `(function () { return [].slice.call(arguments, 1).length; })(1, 2) === 1`,
		`Reflect.apply(Math.max, null, [1, 2]) === 2`, `(function () {}) instanceof Function`, `Number.parseFloat("1.5") + parseInt("ff", 16) === 256.5`, `(1.005).toFixed(2) === "1.00"`,
		`[1, [2, 3], null, undefined].join() === "1,2,3,,"`, `String([1, [2]]) === "1,2"`, `(() => { var a = [1]; a.push(a); return a.join() })() === "1,"`, `[1, 2, 3].map(String).reverse().join("") === "321"`,
		`Array(3).fill(0).length === 3`, `Array.from({length: 3}, (_, i) => i * 2)[2] === 4`, `[...Array(3).keys()].length === 3`, `Array.isArray(new Array(5)) && [, 1].indexOf(undefined) === -1`,
		`(() => { try { throw new Error("x", {cause: 5}); } catch ({cause}) { return cause; } })() === 5`, `(() => { a: for (;;) { for (;;) break a; } return 1; })() === 1`,
		`typeof require === "undefined" && typeof setTimeout === "undefined" && typeof Buffer === "undefined" && typeof process === "undefined"`,
		`new Date(Date.UTC(2026, 0, 1)).toISOString() === "2026-01-01T00:00:00.000Z"`, `Math.random() < 1 && Date.now() > 0`, `escape("é") === "%E9" && decodeURIComponent("%C3%A9") === "é"`,
		`for_in()`, `Object.getPrototypeOf([]) === Array.prototype && [] instanceof Object && !("a" in []) && [].hasOwnProperty("length")`,
	} {
		c, err := New("test.js", "function for_in() { var n = 0; for (var k in [7, 8]) n++; return n === 2; }\nfunction Decoder() { return {ok: "+expression+"}; }", Options{})
		if err != nil {
			t.Error(err)
			continue
		}
		if d, err := c.Decode(t.Context(), uplink()); err != nil || lines(d) != "ok=true" {
			t.Errorf("%s: %s, %v", expression, lines(d), err)
		}
	}
}
