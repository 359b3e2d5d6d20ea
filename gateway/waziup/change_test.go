package waziup

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
	}
}

func decodeAt(t *testing.T, topic, payload string) (gateway.ChangeRequest, error) {
	t.Helper()
	parsed, ok, err := ParseTopic(topic)
	if !ok || err != nil {
		t.Fatalf("%s: %v, %v", topic, ok, err)
	}
	return DecodeChange(parsed, []byte(payload))
}

func TestDecodeDevice(t *testing.T) {
	for _, name := range []string{"device-cloud.json", "device-edge.json"} {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		c, err := decodeAt(t, "devices", string(raw))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if c.Op != gateway.CreateDevice || c.Device != "" {
			t.Errorf("%s: %+v", name, c)
		}
		d := c.NewDevice
		if d.ID != "MyDevice" || d.Name != "My device" || len(d.Sensors) != 2 || len(d.Actuators) != 1 {
			t.Fatalf("%s: %+v", name, d)
		}
		if d.Grants.Owner != "" || d.Grants.PublicWrite || d.Grants.Share != nil || d.Grants.Public != (name == "device-cloud.json") {
			t.Errorf("%s: grants %+v", name, d.Grants)
		}
		s := d.Sensors[0]
		if s.ID != "TC1" || s.Name != "Temperature" || s.Kind != "Thermometer" || s.Quantity != "AirTemperature" || s.Unit != "DegreeCelsius" {
			t.Errorf("%s: %+v", name, s)
		}
		out, err := EncodeDevice(d)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, strings.Replace(name, "device-", "up-", 1), append(out, '\n'))
	}
}

func TestDecodeSensor(t *testing.T) {
	cases := []struct {
		payload              string
		kind, quantity, unit string
	}{
		{`{"id":"S","sensor_kind":"A","quantity_kind":"B","unit":"C"}`, "A", "B", "C"},
		{`{"id":"S","kind":"A","quantity":"B","unit":"C"}`, "A", "B", "C"},
		{`{"id":"S","meta":{"kind":"A","quantity":"B","unit":"C"}}`, "A", "B", "C"},
		{`{"id":"S","sensor_kind":"A","kind":"x","quantity":"B","meta":{"kind":"y","quantity":"z","unit":"C"}}`, "A", "B", "C"},
		{`{"id":"S","sensor_kind":null,"kind":"A","unit":null}`, "A", "", ""},
		{`{"id":"S","meta":{"kind":7,"unit":["C"]}}`, "", "", ""},
		{`{"id":"S","value":{"value":3},"calibration":{"a":1}}`, "", "", ""},
	}
	for _, c := range cases {
		req, err := decodeAt(t, "devices/D/sensors", c.payload)
		if err != nil {
			t.Errorf("%s: %v", c.payload, err)
			continue
		}
		s := req.NewSensor
		if req.Op != gateway.CreateSensor || req.Device != "D" || s.ID != "S" || s.Kind != c.kind || s.Quantity != c.quantity || s.Unit != c.unit {
			t.Errorf("%s: %+v", c.payload, s)
		}
	}
}

func TestDecodeActuator(t *testing.T) {
	for payload, meta := range map[string]string{
		`{"id":"A"}`:                       ``,
		`{"id":"A","meta":{"xlppChan":3}}`: `{"xlppChan":3}`,
		`{"id":"A","actuator_kind":"Motor","actuator_value_type":"number"}`:                       `{"actuator_value_type":"number","kind":"Motor"}`,
		`{"id":"A","kind":"Motor","meta":{"kind":"Relay","a":1.50}}`:                              `{"a":1.50,"kind":"Relay"}`,
		`{"id":"A","value":true,"actuator_kind":null,"meta":null,"time":"yesterday","name":null}`: ``,
	} {
		req, err := decodeAt(t, "devices/D/actuators", payload)
		if err != nil {
			t.Errorf("%s: %v", payload, err)
			continue
		}
		if a := req.NewActuator; req.Op != gateway.CreateActuator || a.ID != "A" || string(a.Meta) != meta {
			t.Errorf("%s: meta %s, want %s", payload, a.Meta, meta)
		}
	}
}

func TestDecodeName(t *testing.T) {
	for payload, want := range map[string]string{
		`Kitchen`: `Kitchen`, `"Kitchen"`: `Kitchen`, ` Kitchen `: `Kitchen`, `"K\u00fcche"`: `Küche`, `25`: `25`, `{"a":1}`: `{"a":1}`,
		`"open`: `"open`, `5" pipe`: `5" pipe`, ``: ``, `""`: ``, `"a" and "b"`: `"a" and "b"`, `<b>`: `<b>`,
		strings.Repeat("x", MaxName): strings.Repeat("x", MaxName),
	} {
		for _, topic := range []string{"devices/D/name", "devices/D/sensors/S/name", "devices/D/actuators/A/name"} {
			c, err := decodeAt(t, topic, payload)
			if err != nil || c.Op != gateway.SetName || c.Name != want || c.Device != "D" {
				t.Errorf("%s %s: %+v, %v", topic, payload, c, err)
			}
			if (c.Sensor == "S") != strings.Contains(topic, "sensors") || (c.Actuator == "A") != strings.Contains(topic, "actuators") {
				t.Errorf("%s: %+v", topic, c)
			}
		}
	}
}

func TestDelete(t *testing.T) {
	for topic, want := range map[string]gateway.ChangeRequest{
		"devices/D":             {Op: gateway.Delete, Device: "D"},
		"devices/D/sensors/S":   {Op: gateway.Delete, Device: "D", Sensor: "S"},
		"devices/D/actuators/A": {Op: gateway.Delete, Device: "D", Actuator: "A"},
	} {
		c, err := decodeAt(t, topic, "")
		if err != nil || !reflect.DeepEqual(c, want) {
			t.Errorf("%s: %+v, %v", topic, c, err)
		}
		if c, err := decodeAt(t, topic, "\x01\x67\x01\x10"); !errors.Is(err, gateway.ErrBadTopic) || c.Op != 0 {
			t.Errorf("%s with a payload: %+v, %v", topic, c, err)
		}
	}
}

func TestDecodeChangeMistakes(t *testing.T) {
	meta := func(n int) string { return `{"a":"` + strings.Repeat("x", n) + `"}` }
	list := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `{"id":"%d"},`, i)
		}
		return `{"sensors":[` + strings.TrimSuffix(b.String(), ",") + `]}`
	}
	cases := []struct {
		topic, payload string
		want           error
	}{
		{"devices", ``, gateway.ErrBadPayload}, {"devices", `3`, gateway.ErrBadPayload}, {"devices", `[]`, gateway.ErrBadPayload}, {"devices", `{`, gateway.ErrBadPayload},
		{"devices", `null`, gateway.ErrBadPayload}, {"devices", `{"id":3}`, gateway.ErrBadPayload}, {"devices", `{"name":3}`, gateway.ErrBadPayload},
		{"devices", `{"id":"a/b"}`, gateway.ErrBadID}, {"devices", `{"id":"#"}`, gateway.ErrBadID}, {"devices", `{"id":"a\u0000"}`, gateway.ErrBadID},
		{"devices", `{"id":"` + strings.Repeat("x", 65) + `"}`, gateway.ErrBadID}, {"devices", `{"id":"` + strings.Repeat("x", 650) + `"}`, gateway.ErrTooLarge},
		{"devices", `{"visibility":"secret"}`, gateway.ErrBadPayload}, {"devices", `{"visibility":true}`, gateway.ErrBadPayload},
		{"devices", `{"sensors":{}}`, gateway.ErrBadPayload}, {"devices", `{"sensors":[3]}`, gateway.ErrBadPayload}, {"devices", `{"sensors":[{"id":"+"}]}`, gateway.ErrBadID},
		{"devices", `{"sensors":[{"id":"a"},{"id":"a"}]}`, gateway.ErrBadPayload}, {"devices", `{"actuators":[{"id":"a"},{"id":"a"}]}`, gateway.ErrBadPayload},
		{"devices", `{"actuators":"x"}`, gateway.ErrBadPayload}, {"devices", `{"meta":[]}`, gateway.ErrBadPayload}, {"devices", `{"meta":"x"}`, gateway.ErrBadPayload},
		{"devices", `{"name":"` + strings.Repeat("x", 257) + `"}`, gateway.ErrTooLarge}, {"devices", `{"name":"a\u0007"}`, gateway.ErrBadPayload},
		{"devices", `{"meta":` + meta(MaxMeta) + `}`, gateway.ErrTooLarge}, {"devices", meta(MaxChange), gateway.ErrTooLarge}, {"devices", list(MaxChannels + 1), gateway.ErrTooLarge},
		{"devices", nested(1000), gateway.ErrTooDeep}, {"devices", `{"meta":{"a":` + nested(32) + `}}`, gateway.ErrTooDeep}, {"devices", `{"meta":{"a":1e999}}`, gateway.ErrBadNumber},
		{"devices/D/sensors", `{"id":"a/b"}`, gateway.ErrBadID}, {"devices/D/sensors", `{"kind":3}`, gateway.ErrBadPayload}, {"devices/D/sensors", `"x"`, gateway.ErrBadPayload},
		{"devices/D/sensors", `{"unit":"` + strings.Repeat("x", 129) + `"}`, gateway.ErrTooLarge},
		{"devices/D/actuators", `{"actuator_kind":3}`, gateway.ErrBadPayload}, {"devices/D/actuators", ``, gateway.ErrBadPayload},
		{"devices/D/actuators", `{"kind":"x","meta":` + meta(MaxMeta-8) + `}`, gateway.ErrTooLarge},
		{"devices/D/name", strings.Repeat("x", 257), gateway.ErrTooLarge}, {"devices/D/name", strings.Repeat("x", 10_000), gateway.ErrTooLarge},
		{"devices/D/name", "a\nb", gateway.ErrBadPayload}, {"devices/D/name", "\xff", gateway.ErrBadPayload}, {"devices/D/name", `"a\u0000"`, gateway.ErrBadPayload},
		{"devices/D/meta", ``, gateway.ErrBadPayload}, {"devices/D/meta", `3`, gateway.ErrBadPayload}, {"devices/D/meta", `null`, gateway.ErrBadPayload},
		{"devices/D/meta", meta(MaxMeta), gateway.ErrTooLarge}, {"devices/D/meta", `{"a":` + nested(32) + `}`, gateway.ErrTooDeep}, {"devices/D/meta", `{"a":1e999}`, gateway.ErrBadNumber},
		{"devices/D/sensors/S/value", `3`, gateway.ErrBadTopic}, {"devices/D/actuators/A/values", `[]`, gateway.ErrBadTopic},
	}
	for _, c := range cases {
		if got, err := decodeAt(t, c.topic, c.payload); !errors.Is(err, c.want) || !reflect.DeepEqual(got, gateway.ChangeRequest{}) {
			t.Errorf("%s %.60q: %+v, %v; want %v", c.topic, c.payload, got, err, c.want)
		}
	}
}

func TestDecodeKeepsNoPartOfAChange(t *testing.T) {
	for topic, payload := range map[string]string{
		"devices": `{"meta":{"a":"bcd"}}`, "devices/D/meta": `{"a":"bcd"}`, "devices/D/sensors": `{"meta":{"a":"bcd"}}`,
	} {
		raw := []byte(payload)
		parsed, _, _ := ParseTopic(topic)
		c, err := DecodeChange(parsed, raw)
		if err != nil {
			t.Fatal(err)
		}
		clear(raw)
		meta := c.Meta
		if c.NewDevice != nil {
			meta = c.NewDevice.Meta
		} else if c.NewSensor != nil {
			meta = c.NewSensor.Meta
		}
		if string(meta) != `{"a":"bcd"}` {
			t.Errorf("%s: meta %q", topic, meta)
		}
	}
}

func TestEncodeChange(t *testing.T) {
	cases := []struct {
		c              gateway.ChangeRequest
		topic, payload string
	}{
		{gateway.ChangeRequest{Op: gateway.CreateDevice, NewDevice: &gateway.Device{ID: "D", Feed: 504, Grants: access.Grants{Owner: "ann", PublicWrite: true}}}, "devices", `{"id":"D","visibility":"private"}`},
		{gateway.ChangeRequest{Op: gateway.CreateSensor, Device: "D", NewSensor: &gateway.Sensor{ID: "S", Name: "<1>", Kind: "k", Quantity: "q", Unit: "u", Meta: json.RawMessage(`{"a":1.50}`)}},
			"devices/D/sensors", `{"id":"S","name":"<1>","sensor_kind":"k","quantity_kind":"q","unit":"u","meta":{"a":1.50}}`},
		{gateway.ChangeRequest{Op: gateway.CreateActuator, Device: "D", NewActuator: &gateway.Actuator{ID: "A"}}, "devices/D/actuators", `{"id":"A"}`},
		{gateway.ChangeRequest{Op: gateway.SetName, Device: "D", Name: `5" pipe`}, "devices/D/name", `"5\" pipe"`},
		{gateway.ChangeRequest{Op: gateway.SetName, Device: "D", Sensor: "S", Name: "x"}, "devices/D/sensors/S/name", `"x"`},
		{gateway.ChangeRequest{Op: gateway.SetName, Device: "D", Actuator: "A"}, "devices/D/actuators/A/name", `""`},
		{gateway.ChangeRequest{Op: gateway.SetMeta, Device: "D", Sensor: "S", Meta: json.RawMessage(`{"a":null}`)}, "devices/D/sensors/S/meta", `{"a":null}`},
		{gateway.ChangeRequest{Op: gateway.Delete, Device: "D"}, "devices/D", ``},
		{gateway.ChangeRequest{Op: gateway.Delete, Device: "D", Sensor: "S"}, "devices/D/sensors/S", ``},
		{gateway.ChangeRequest{Op: gateway.Delete, Device: "D", Actuator: "A"}, "devices/D/actuators/A", ``},
	}
	for _, c := range cases {
		topic, payload, err := EncodeChange(c.c)
		if err != nil || topic != c.topic || string(payload) != c.payload {
			t.Errorf("%s %s, %v; want %s %s", topic, payload, err, c.topic, c.payload)
		}
	}
	for _, bad := range []gateway.ChangeRequest{
		{}, {Op: gateway.CreateDevice}, {Op: gateway.CreateSensor, Device: "D"}, {Op: 99, Device: "D"},
		{Op: gateway.CreateDevice, NewDevice: &gateway.Device{ID: "D", Meta: json.RawMessage(`{`)}},
	} {
		if topic, payload, err := EncodeChange(bad); !errors.Is(err, gateway.ErrBadPayload) || topic != "" || payload != nil {
			t.Errorf("%+v: %s %s, %v", bad, topic, payload, err)
		}
	}
}

func TestRestForms(t *testing.T) {
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	d := &gateway.Device{
		ID: "MyDevice", Name: "My device", Grants: access.Grants{Owner: "ann", Public: true}, Created: created, Modified: created.Add(time.Hour),
		Sensors:   []gateway.Sensor{{ID: "TC1", Name: "Temperature", Kind: "Thermometer", Quantity: "AirTemperature", Unit: "DegreeCelsius"}, {ID: "TC2", Meta: json.RawMessage(`{"a":"<b>"}`)}},
		Actuators: []gateway.Actuator{{ID: "relay"}},
		Meta:      json.RawMessage(`{"field":7}`),
	}
	current := func(kind gateway.Kind, channel string) (json.RawMessage, time.Time, bool) {
		switch {
		case kind == gateway.KindSensor && channel == "TC1":
			return json.RawMessage(`25.60`), time.Date(2026, 11, 22, 11, 0, 0, 5000, time.FixedZone("", 3600)), true
		case kind == gateway.KindActuator && channel == "relay":
			return json.RawMessage(`true`), time.Time{}, true
		}
		return nil, time.Time{}, false
	}
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode([]RestDevice{NewRestDevice(d, current), NewRestDevice(&gateway.Device{ID: "empty"}, nil)}); err != nil {
		t.Fatal(err)
	}
	golden(t, "rest-devices.json", []byte(out.String()))
}

func FuzzDecodeChange(f *testing.F) {
	for topic, payload := range map[string]string{
		"devices":                    `{"id":"D","name":"n","visibility":"public","sensors":[{"id":"S","meta":{"kind":"k"}}],"actuators":[{"id":"A","actuator_kind":"m"}],"meta":{"a":1}}`,
		"devices/D/sensors":          `{"id":"S","sensor_kind":"k","unit":"u"}`,
		"devices/D/actuators":        `{"id":"A","kind":"k"}`,
		"devices/D/name":             `"n\u00fc"`,
		"devices/D/sensors/S/meta":   `{"a":null}`,
		"devices/D/actuators/A/name": `text`,
		"devices/D":                  ``,
	} {
		f.Add(topic, []byte(payload))
	}
	f.Fuzz(func(t *testing.T, topic string, payload []byte) {
		parsed, ok, err := ParseTopic(topic)
		if !ok || err != nil {
			return
		}
		c, err := DecodeChange(parsed, payload)
		if err != nil {
			known(t, err)
			return
		}
		up, raw, err := EncodeChange(c)
		if err != nil || up != topic {
			t.Fatalf("%s %q: went up on %q: %v", topic, payload, up, err)
		}
		again, err := DecodeChange(parsed, raw)
		if err != nil {
			t.Fatalf("%s %q became %q: %v", topic, payload, raw, err)
		}
		if a, b := text(t, c), text(t, again); a != b {
			t.Fatalf("%s became %s", a, b)
		}
	})
}

// text shows all of a change, its meta compact.
func text(t *testing.T, c gateway.ChangeRequest) string {
	t.Helper()
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
