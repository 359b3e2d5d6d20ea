package codec

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// cborVectors: the items of RFC 8949, appendix A, as values or in maps.
var cborVectors = []struct{ payload, want string }{
	{"a26161016162820203", "a=1 b=[2,3]"},
	{"a201020304", "1=2 3=4"},
	{"1bffffffffffffffff", "value=18446744073709551615"},
	{"3bffffffffffffffff", "value=-18446744073709551616"},
	{"3903e7", "value=-1000"},
	{"f90000", "value=0"},
	{"f98000", "value=0"},
	{"fb3ff199999999999a", "value=1.1"},
	{"fa47c35000", "value=100000"},
	{"fb7e37e43c8800759c", "value=1e+300"},
	{"f90001", "value=5.9604645e-08"},
	{"fbc010666666666666", "value=-4.1"},
	{"f97c00", "value=null"}, {"f97e00", "value=null"}, {"fbfff0000000000000", "value=null"},
	{"f4", "value=false"}, {"f6", "value=null"}, {"f7", "value=null"},
	{"c074323031332d30332d32315432303a30343a30305a", `value="2013-03-21T20:04:00Z"`},
	{"c11a514b67b0", `value="2013-03-21T20:04:00Z"`},
	{"d818456449455446", `value="6449455446"`},
	{"4401020304", `value="01020304"`},
	{"62c3bc", `value="ü"`},
	{"8301820203820405", "value=[1,[2,3],[4,5]]"},
	{"5f42010243030405ff", `value="0102030405"`},
	{"9f018202039f0405ffff", "value=[1,[2,3],[4,5]]"},
	{"bf61610161629f0203ffff", "a=1 b=[2,3]"},
	// A float of 32 bits, and of 64; RFC 8949, section 3.4.6: the tag of CBOR itself.
	{"a2617 4fa41d9999a 6175fb403b333333333333", "t=27.2 u=27.2"},
	{"d9d9f7a16174182a", "t=42"},
	// {"a": {"value": 1, "time": 1893553440}}, {-1: [{"value": 2}, {"value": 3}]}
	{"a16161a26576616c7565016474696d651a70dd5520", "a=1@5s"},
	{"a12082a16576616c756502a16576616c756503", "-1=2 -1=3"},
}

func init() {
	for _, v := range cborVectors {
		golden["cbor"] = append(golden["cbor"], v.payload)
	}
}

func TestCBORDecode(t *testing.T) {
	for _, v := range cborVectors {
		b := unhex(t, v.payload)
		d, err := open(t, "cbor").Decode(t.Context(), &Uplink{Bytes: b, Received: received})
		kept(t, "cbor", b, d, err)
		if got := shown(d); err != nil || got != v.want {
			t.Errorf("%s:\n%s, %v\nwant %s", v.payload, got, err, v.want)
		}
	}
	for payload, why := range map[string]string{
		"a1":                                  "ends early",
		"a1616101 00":                         "more than one item",
		"a2616101616102":                      "key twice",
		"a20101613102":                        "key 1 and key \"1\"",
		"a1410101":                            "key of bytes",
		"a1f501":                              "key of true",
		"62c328":                              "not UTF-8",
		"f8ff":                                "a simple value that is not defined",
		"e0":                                  "the same",
		"c249010000000000000000":              "bignum",
		"9b7fffffffffffffff":                  "an array of 2^63-1",
		"bb7fffffffffffffff":                  "a map of 2^63-1",
		"5b7fffffffffffffff":                  "2^63-1 bytes",
		"ff":                                  "end of nothing",
		"1c":                                  "reserved",
		strings.Repeat("81", 17) + "01":       "nested",
		strings.Repeat("81", 4000):            "nested deeply",
		strings.Repeat("9f", 4000):            "nested deeply, of unknown length",
		strings.Repeat("d818", 100) + "01":    "tags in tags",
		"990401" + strings.Repeat("01", 1025): "an array that is too long",
		"b90101" + manyKeys(257):              "a map that is too long",
	} {
		d, err := decode(t, "cbor", unhex(t, payload))
		if err == nil {
			t.Errorf("%.40s (%s): %s", payload, why, shown(d))
		}
	}
}

// manyKeys are pairs of different keys and 0, in hex.
func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "19%04x00", 256+i)
	}
	return b.String()
}

// TestCBORStructured encodes the documents of the codec json, and reads them.
func TestCBORStructured(t *testing.T) {
	for _, v := range structured {
		if !strings.HasPrefix(strings.TrimSpace(v.document), "{") || strings.Contains(v.document, "/") || v.document == "{}" {
			continue
		}
		e, err := encode(t, "cbor", v.document, nil)
		if err != nil {
			t.Errorf("%s: %v", v.document, err)
			continue
		}
		d, err := open(t, "cbor").Decode(t.Context(), &Uplink{Bytes: e.Bytes, Received: received})
		if got := shown(d); err != nil || got != v.want && v.want != "" {
			t.Errorf("%s: %x:\n%s, %v\nwant %s", v.document, e.Bytes, got, err, v.want)
		}
	}
}

func TestCBOREncode(t *testing.T) {
	for values, want := range map[string]string{
		`{"b":[2,3],"a":1}`:           "a26161016162820203", // RFC 8949, appendix A
		`{"t":27.2}`:                  "a16174fa41d9999a",
		`{"t":27.200000001}`:          "a16174fb403b3333338 00ad0",
		`{"t":0.5}`:                   "a16174f93800",
		`{"t":1.0}`:                   "a1617401",
		`{"t":18446744073709551615}`:  "a161741bffffffffffffffff",
		`{"t":-18446744073709551616}`: "a161743bffffffffffffffff",
		`{"t":-0}`:                    "a1617400",
		`{"t":-5}`:                    "a1617424",
		`{"t":true,"u":null}`:         "a26174f56175f6",
		`{"t":{"x":"ü"}}`:             "a16174a1617862c3bc",
	} {
		e, err := encode(t, "cbor", values, nil)
		b := unhex(t, want)
		if values == `{"t":27.200000001}` { // 8 bytes, whichever
			if err != nil || len(e.Bytes) != 12 || e.Bytes[3] != 0xfb {
				t.Errorf("%s: %x, %v", values, e.Bytes, err)
			}
		} else if err != nil || !bytes.Equal(e.Bytes, b) {
			t.Errorf("%s: %x, %v, want %s", values, e.Bytes, err, want)
		}
		d, err := decode(t, "cbor", e.Bytes)
		if err != nil {
			t.Error(err)
		}
		again(t, "cbor", d)
	}
}

func FuzzCBOR(f *testing.F) {
	for _, s := range golden["cbor"] {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := open(t, "cbor").Decode(context.Background(), &Uplink{Bytes: b, Received: received})
		kept(t, "cbor", b, d, err)
	})
}

// FuzzCBORCommand checks that what a command says arrives.
func FuzzCBORCommand(f *testing.F) {
	f.Add(`{"a":[1,2.5,"x",null,{"b":true}]}`)
	f.Add(`27.2`)
	f.Add(`-9223372036854775809`)
	f.Fuzz(func(t *testing.T, raw string) {
		if checkJSON([]byte(raw)) != nil || strings.Contains(raw, "value") || strings.Contains(raw, `\u`) {
			return
		}
		e, err := encode(t, "cbor", `{"a":`+raw+`}`, nil)
		if err != nil {
			return
		}
		d, err := decode(t, "cbor", e.Bytes)
		if err != nil || len(d.Values) != 1 {
			if err != nil && strings.Contains(err.Error(), "nested") {
				return // one deeper than what may be decoded
			}
			t.Fatalf("%s: %x: %s, %v", raw, e.Bytes, shown(d), err)
		}
		var sent, came any
		if json.Unmarshal([]byte(raw), &sent) != nil || json.Unmarshal(d.Values[0].Value, &came) != nil || !reflect.DeepEqual(sent, came) {
			t.Errorf("%s: %x became %s", raw, e.Bytes, d.Values[0].Value)
		}
	})
}
