package js

import (
	"slices"
	"testing"

	"github.com/dop251/goja/parser"
)

func TestNeeds(t *testing.T) {
	for source, want := range map[string]needs{
		`function Decoder(b) { return {a: b.map(x => x)}; }`:                                   {},
		`var o = {JSON}; const {recvTime} = i;`:                                                {recvTime: true, globals: []string{"JSON"}},
		`console.log(new Uint8Array(1), Reflect)`:                                              {console: true, globals: []string{"Reflect", "Uint8Array"}},
		`class A extends B { #x = this.y; z() { return () => this; } static { this.q = 1; } }`: {},
		`async () => 1`:                           {makers: true},
		`var o = {*g() {}}`:                       {makers: true},
		`var n = 0xfn`:                            {bigInt: true, globals: []string{"BigInt"}},
		`new DataView(b).getBigInt64(0)`:          {bigInt: true, globals: []string{"DataView", "BigInt"}},
		`f("this is a text", /this/) // this`:     {},
		`function F() { this.x = 1; }`:            {console: true, globals: append(slices.Clone(guarded), "no BigInt")},
		`gl\u006fbalThis.x`:                       {console: true, globals: append(slices.Clone(guarded), "no BigInt")},
		`class A { [this.x]() {} }`:               {console: true, globals: append(slices.Clone(guarded), "no BigInt")},
		`class A extends this.B {}`:               {console: true, globals: append(slices.Clone(guarded), "no BigInt")},
		`function f(a = this) { return a ?? 5n }`: {console: true, bigInt: true, globals: append(slices.Clone(guarded), "BigInt")},
	} {
		tree, err := parser.ParseFile(nil, "", source, 0, parser.WithDisableSourceMaps)
		if err != nil {
			t.Fatal(source, err)
		}
		got := needsOf(source, tree)
		if got.recvTime != want.recvTime || got.console != want.console || got.bigInt != want.bigInt || got.makers != want.makers || !slices.Equal(got.globals, want.globals) {
			t.Errorf("%s: %+v", source, got)
		}
	}
}
