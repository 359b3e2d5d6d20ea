package codec

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// textVectors: the forms are those of CongducPham/LowCostLoRaGw,
// gw_full_latest/README-NewCloud.md, "Some words about data format", and of
// Waziup/WaziDev, examples/LoRaWAN/Minimal.
var textVectors = []struct{ payload, want string }{
	{`\!TC/22.5/HU/50`, "TC=22.5 HU=50"},
	{`\!TC1/21.4`, "TC1=21.4"},
	{`ORE0DIFZIIPT61DO##22.5`, "DEF=22.5"},
	{`ORE0DIFZIIPT61DO#4#22.5`, "4=22.5"},
	{`#4#22.5`, "4=22.5"},
	{`##22.5`, "DEF=22.5"},
	{`22.5`, "DEF=22.5"},
	{`##TC/22.5`, "TC=22.5"},
	{`TC/22.5`, "TC=22.5"},
	{`\!#4#TC/21.5`, "TC=21.5"},
	{`TC/22.5/HU/85/LU/78`, "TC=22.5 HU=85 LU=78"},
	{`\!22.5`, "DEF=22.5"},
	{`\$low battery`, `log="low battery"`},
	{`\$`, `log=""`},
	{"\\!TC/22.50\r\n\x00", "TC=22.50"}, // as printed by a node that sends its line's end
	{`\!TC/ 22.5 / HU/50/`, "TC=22.5 HU=50"},
	{`\!A/+5/B/.5/C/-.25/D/007/E/5./F/1e3/G/-0`, "A=5 B=0.5 C=-0.25 D=7 E=5 F=1e3 G=-0"},
	{`\!A/true/B/open/C/1.2.3/D/./E/e5/F/-/G/0x10`, `A=true B="open" C="1.2.3" D="." E="e5" F="-" G="0x10"`},
	{`\!A/<&>"`, `A="<&>\""`},
	{`Temp+1/5`, "Temp_1=5"},
}

func init() {
	for _, v := range textVectors {
		golden["text"] = append(golden["text"], hex.EncodeToString([]byte(v.payload)))
	}
	golden["text"] = append(golden["text"], hex.EncodeToString([]byte(`\!TC/nan`)))
}

func TestTextDecode(t *testing.T) {
	for _, v := range textVectors {
		d, err := decode(t, "text", []byte(v.payload))
		if got := shown(d); err != nil || got != v.want {
			t.Errorf("%s:\n%s, %v\nwant %s", v.payload, got, err, v.want)
		}
	}
	for _, c := range []struct{ payload, want string }{
		{`\!TC/22.5/HU`, "TC=22.5"},
		{`\!TC/22.5//5`, "TC=22.5"},
		{`\!TC/22.5/HU/`, "TC=22.5"},
		{`\!TC/22.5/HU//A/1`, "TC=22.5"},
		{`\!#5`, ""},
		{`\!`, ""},
		{`\!##`, ""},
		{"\\!TC/\xff", ""},
		{"TC\x01/5", ""},
	} {
		d, err := decode(t, "text", []byte(c.payload))
		if got := shown(d); err == nil && c.payload != `\!TC/22.5/HU/` || got != c.want {
			t.Errorf("%q: %s, %v", c.payload, got, err)
		}
	}
	d, err := decode(t, "text", []byte(`\!TC/nan/HU/50/X/-INF`))
	if got := shown(d); err != nil || got != "HU=50" || len(d.Warnings) != 2 || d.Warnings[0] != "TC is nan" {
		t.Errorf("%s, %q, %v", got, d.Warnings, err)
	}
	for payload, want := range map[string]string{
		"TC/1": "Thermometer,Temperature,DegreeCelsius", "TF2/1": "Thermometer,Temperature,DegreeFahrenheit",
		"HU/1": "HumiditySensor,RelativeHumidity,Percent", "LU/1": "LightSensor,,", "#TC1#5": "Thermometer,Temperature,DegreeCelsius",
		"TC/off": ",,", "TCX/1": ",,", "22": ",,",
	} {
		d, _ := decode(t, "text", []byte(payload))
		if words(d) != want {
			t.Errorf("%s: %s", payload, words(d))
		}
	}
}

func TestTextEncode(t *testing.T) {
	for values, want := range map[string]string{
		`{"relay":1}`:               `\!relay/1`,
		`{"relay":true,"a":false}`:  `\!a/0/relay/1`,
		`{"mode":"eco","x":-21.50}`: `\!mode/eco/x/-21.50`,
		`{"DEF": 5 }`:               `\!DEF/5`,
	} {
		e, err := encode(t, "text", values, nil)
		if err != nil || string(e.Bytes) != want {
			t.Errorf("%s: %q, %v", values, e.Bytes, err)
		}
	}
	for values, want := range map[string]string{
		`{"a":null}`:  "neither number, string, true nor false",
		`{"a":[1]}`:   "neither number",
		`{"a":"b/c"}`: "'/'",
		`{"a":"b#c"}`: "'#'",
		`{"a":""}`:    "cannot be empty",
		`{"a":"b\n"}`: "control characters",
		`{" a":1}`:    "spaces around it",
		`{"a":"` + strings.Repeat("x", 255) + `"}`: "a frame takes 255",
	} {
		if e, err := encode(t, "text", values, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v", values, e.Bytes, err)
		}
	}
}

// FuzzText also checks that numbers and strings of a command arrive.
func FuzzText(f *testing.F) {
	fuzz(f, "text", func(t *testing.T, d Decoded) {
		for _, v := range d.Values {
			e, err := open(t, "text").Encode(t.Context(), &Command{Values: map[string]json.RawMessage{v.Name: v.Value}})
			if err != nil || string(v.Value) == "true" || string(v.Value) == "false" {
				continue
			}
			var text string
			if json.Unmarshal(v.Value, &text) == nil {
				if _, ok := textDecimal(text); ok {
					continue // the text "0" is the number 0 on the way back
				}
			}
			again, err := decode(t, "text", e.Bytes)
			if err != nil || len(again.Values) != 1 || again.Values[0].Name != v.Name || string(again.Values[0].Value) != string(v.Value) {
				t.Errorf("%s=%s: %q: %s, %v", v.Name, v.Value, e.Bytes, shown(again), err)
			}
		}
	})
}

func FuzzTextNumber(f *testing.F) {
	for _, s := range []string{"1", "-.5e3", "+007.", "1e999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := textDecimal(s)
		if ok && (!json.Valid(n) || !utf8.Valid(n)) {
			t.Errorf("%q: %q", s, n)
		}
	})
}
