package codec

import (
	"bytes"
	"strings"
	"testing"
)

// xlppVectors: the values are those of Waziup/xlpp, xlpp_test.go; the bytes follow
// from its README and writer, with varints and strings as Go and C have them.
var xlppVectors = []struct{ payload, want string }{
	{"01 33 FC 50", "integer_1=5182"},
	{"01 33 01 02 33 00 03 33 FF FF FF FF FF FF FF FF FF 01", "integer_1=-1 integer_2=0 integer_3=-9223372036854775808"},
	{"02 34 74 65 73 74 20 3A 29 00", `string_2="test :)"`},
	{"02 34 00", `string_2=""`},
	{"02 34 3C 26 22 0A 00", `string_2="<&\"\n"`},
	{"03 35 04 36 05 37 06 3A", "bool_3=false bool_4=true bool_5=false null_6=null"},
	{"07 39 06 01 02 03 07 08 09", `binary_7="010203070809"`},
	{"07 39 00", `binary_7=""`},
	{"08 5B 66 05 65 00 2D 67 01 3C 5D", "array_8=[5,45,31.6]"},
	{"08 5B 5D", "array_8=[]"},
	{"09 7B 63 6F 75 6E 74 00 33 FC 50 70 6F 73 00 88 07 CA 1D 02 18 A5 00 2F A8 76 61 6C 00 00 0C 00",
		`object_9={"count":5182,"pos":{"latitude":51.0493,"longitude":13.7381,"altitude":122},"val":12}`},
	{"09 7B 00", "object_9={}"},
	{"09 5B 7B 61 00 5B 36 5D 00 3A 5D", `array_9=[{"a":[true]},null]`},
	// 4235 s = 1 h 10 min 35 s, and another 2 h.
	{"01 67 00 EB FD 01 0A 23 01 67 00 EC FD 02 00 00 01 67 00 ED",
		"temperature_1=23.5 temperature_1=23.6@1h10m35s temperature_1=23.7@3h10m35s"},
	{"FC 03 87 03 8E", "!colour_0=null !analog_out_1=null !switch_2=null"},
	{"FB 02 03 74 11 87 01 67 00 EB", "!voltage_3=null !colour_17=null temperature_1=23.5"},
	{"FC 00", ""},
	// Reserved channels are read as any other.
	{"FA 67 00 EB FE 67 00 EB FF 67 00 EB", "temperature_250=23.5 temperature_254=23.5 temperature_255=23.5"},
}

func init() {
	for _, v := range xlppVectors {
		if v.want != "" {
			golden["xlpp"] = append(golden["xlpp"], v.payload)
		}
	}
}

func TestXLPPDecode(t *testing.T) {
	for _, v := range xlppVectors {
		d, err := decode(t, "xlpp", unhex(t, v.payload))
		if got := shown(d); err != nil || got != v.want {
			t.Errorf("%s:\n%s, %v\nwant %s", v.payload, got, err, v.want)
		}
	}
	d, err := decode(t, "xlpp", unhex(t, "FC 02 C8 8E"))
	if got := shown(d); err != nil || got != "!switch_1=null" || len(d.Warnings) != 1 {
		t.Errorf("%s, %q, %v", got, d.Warnings, err)
	}
	d, _ = decode(t, "xlpp", unhex(t, "FC 01 67"))
	if words(d) != ",Temperature,DegreeCelsius" {
		t.Error(words(d))
	}
}

func TestXLPPDamaged(t *testing.T) {
	for _, payload := range []string{
		"01 33 80",                               // integer without end
		"01 33 FF FF FF FF FF FF FF FF FF FF 01", // more than 64 bits
		"01 34 61",                               // string without end
		"01 39 05 01",                            // binary longer than the payload
		"01 39 FF FF FF FF FF FF FF FF FF 01",    // binary of 2^64-1 bytes
		"01 5D",                                  // end of no array
		"01 5B 36",                               // array without end
		"01 5B C8",                               // unknown type in it
		"01 7B 61 00 36",                         // object without end
		"01 7B 61",                               // key without end
		"01 7B 61 00",                            // key without value
		"01 7B 61 00 36 61 00 36 00",             // key twice
		"01 7B FF 00 36 00",                      // key that is not UTF-8
		"01 38",                                  // flags: not defined anywhere
		"FD 01 02",                               // delay without seconds
		"FC",                                     // marker without count
		"FC 01",                                  // marker without its type
		"FB 01 03",                               // channel without type
		"01 " + strings.Repeat("5B ", 17) + strings.Repeat("5D ", 17),
		"01 " + strings.Repeat("7B 61 00 ", 200),
	} {
		d, err := decode(t, "xlpp", append(unhex(t, "016700ff"), unhex(t, payload)...))
		if got := shown(d); err == nil || got != "temperature_1=25.5" {
			t.Errorf("%s: %s, %v", payload, got, err)
		}
	}
	nested := "01 " + strings.Repeat("5B ", maxDepth) + strings.Repeat("5D ", maxDepth)
	if d, err := decode(t, "xlpp", unhex(t, nested)); err != nil {
		t.Errorf("%s: %s, %v", nested, shown(d), err)
	}
	if d, err := decode(t, "xlpp", bytes.Repeat([]byte{1, xlppNull}, 1000)); err == nil || len(d.Values) != MaxValues {
		t.Errorf("%d values, %v", len(d.Values), err)
	}
}

func TestXLPPEncode(t *testing.T) {
	for values, want := range map[string]string{
		`{"integer_1":5182}`:       "0133fc50",
		`{"integer_1":1e3}`:        "0133d00f",
		`{"integer_1":-1}`:         "013301",
		`{"string_2":"test :)"}`:   "023474657374203a2900",
		`{"bool_3":false}`:         "0337",
		`{"boolean_4":true}`:       "0436",
		`{"bool_4":1}`:             "0436",
		`{"null_5": null }`:        "053a",
		`{"binary_7":"01Ff"}`:      "07390201ff",
		`{"array_8":[ 5, true ]}`:  "085b330a365d",
		`{"array_8":[1e3,5.0]}`:    "085b33d00f330a5d",
		`{"array_8":[-0.25,"a"]}`:  "085b03ffe73461005d",
		`{"object_9":{"b":null}}`:  "097b62003a00",
		`{"object_9":{}}`:          "097b00",
		`{"voltage_1":-0.01}`:      "0174ffff",
		`{"switch_1":true}`:        "018e01",
		`{"temperature_249":23.5}`: "f96700eb",
	} {
		e, err := encode(t, "xlpp", values, nil)
		if err != nil || !bytes.Equal(e.Bytes, unhex(t, want)) {
			t.Errorf("%s: %x, %v, want %s", values, e.Bytes, err, want)
		}
	}
	for values, want := range map[string]string{
		`{"integer_1":"a"}`:           "is no number of 64 bits",
		`{"integer_1":1e20}`:          "is no number of 64 bits",
		`{"string_1":5}`:              "5 is no string",
		`{"string_1":"a\u0000"}`:      "NUL",
		`{"bool_1":2}`:                "2 is no bool",
		`{"null_1":0}`:                "0 is no null",
		`{"binary_1":"0"}`:            "hex digits",
		`{"binary_1":null}`:           "hex digits",
		`{"array_1":{}}`:              "{} is no array",
		`{"array_1":[1.234]}`:         "up to two decimals",
		`{"array_1":[5, 400.5]}`:      "up to two decimals",
		`{"object_1":{"":1}}`:         "cannot be a key",
		`{"object_1":{"a\u0000b":1}}`: "cannot be a key",
		`{"temperature_250":1}`:       "reserved",
		`{"generic_1":1}`:             "named after no type of XLPP",
		`{"array_1":[` + strings.Repeat(`"0123456789",`, 30) + `1]}`: "a frame takes 255",
	} {
		if e, err := encode(t, "xlpp", values, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %x, %v", values, e.Bytes, err)
		}
	}
}

func FuzzXLPP(f *testing.F) {
	fuzz(f, "xlpp", func(t *testing.T, d Decoded) { again(t, "xlpp", d) })
}

// FuzzXLPPCommand checks that what a command says arrives.
func FuzzXLPPCommand(f *testing.F) {
	f.Add(`{"a":[1,2.5,"x",null,{"b":true}]}`)
	f.Add(`{"a":-327.68,"b":9223372036854775807}`)
	f.Fuzz(func(t *testing.T, raw string) {
		if checkJSON([]byte(raw)) != nil || !strings.HasPrefix(raw, "{") {
			return
		}
		e, err := encode(t, "xlpp", `{"object_1":`+raw+`}`, nil)
		if err != nil {
			return
		}
		d, err := decode(t, "xlpp", e.Bytes)
		if err != nil || len(d.Values) != 1 {
			t.Fatalf("%s: %x: %s, %v", raw, e.Bytes, shown(d), err)
		}
		again(t, "xlpp", d)
	})
}
