package codec

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// lppVectors are of Cayenne LPP, and so of XLPP too.
var lppVectors = []struct{ source, payload, want string }{
	// Cayenne documentation (myDevicesIoT/cayenne-docs, docs/LORA.md), "Examples".
	{"two temperatures", "03 67 01 10 05 67 00 FF", "temperature_3=27.2 temperature_5=25.5"},
	{"temperature below zero", "01 67 FF D7", "temperature_1=-4.1"},
	{"acceleration", "06 71 04 D2 FB 2E 00 00", `accelerometer_6={"x":1.234,"y":-1.234,"z":0}`},
	{"position", "01 88 06 76 5F F2 96 0A 00 03 E8", `gps_1={"latitude":42.3519,"longitude":-87.9094,"altitude":10}`},
	// TheThingsNetwork/go-cayenne-lib, decoder_test.go.
	{"all of myDevices' types", "01 00 FF 02 01 64 03 02 15 4A 04 03 EA B6 05 65 01 F4 06 66 32 07 67 FF 64 08 68 A0 09 71 FE 58 00 0F 06 82 " +
		"0A 73 29 EF 0B 86 01 63 02 31 FE 66 0C 88 07 FD 87 00 BE F5 00 08 6A",
		`digital_in_1=255 !digital_out_2=100 analog_in_3=54.5 !analog_out_4=-54.5 luminosity_5=500 presence_6=50 temperature_7=-15.6 ` +
			`relative_humidity_8=80 accelerometer_9={"x":-0.424,"y":0.015,"z":1.666} barometric_pressure_10=1073.5 ` +
			`gyrometer_11={"x":3.55,"y":5.61,"z":-4.1} gps_12={"latitude":52.3655,"longitude":4.8885,"altitude":21.54}`},
	// Waziup/xlpp, README, "XLPP Binary": base64 AGcA6w==.
	{"Waziup's temperature", "00 67 00 EB", "temperature_0=23.5"},
	// Waziup/wazigate-edge, edge/codecs/README.md, "XLPP Unmarshalling" and "Marshalling".
	{"Waziup's example", "05 65 04 B0 06 67 00 B8", "luminosity_5=1200 temperature_6=18.4"},
	{"Waziup's colour", "02 87 FF 00 AA", `colour_2="#ff00aa"`},
	// Sydney: what a decoder without sign extension takes for 1643.8528 degrees.
	{"south", "01 88 FA D5 00 17 12 E0 FF FF 9C", `gps_1={"latitude":-33.8688,"longitude":151.216,"altitude":-1}`},
	{"the others", "01 78 63 02 79 FF 9C 03 7D 01 90 04 80 FF FF 05 84 01 67 06 85 66 00 00 00 07 76 00 00 1F A4",
		"percentage_1=99 altitude_2=-100 concentration_3=400 power_4=65535 direction_5=359 unix_time_6=1711276032 frequency_7=8100"},
	{"one channel twice", "01 67 00 01 01 67 00 02", "temperature_1=0.1 temperature_1=0.2"},
}

func init() {
	for _, v := range lppVectors {
		golden["cayenne"] = append(golden["cayenne"], v.payload)
		golden["xlpp"] = append(golden["xlpp"], v.payload)
	}
	golden["cayenne"] = append(golden["cayenne"], "01 64 FF FF FF FF 02 74 FF FF 03 75 FF FF 04 82 FF FF FF FF 05 83 FF FF FF FF 06 8E 01")
}

func TestLPPDecode(t *testing.T) {
	for _, codec := range []string{"cayenne", "xlpp"} {
		for _, v := range lppVectors {
			d, err := decode(t, codec, unhex(t, v.payload))
			if got := shown(d); err != nil || got != v.want {
				t.Errorf("%s: %s:\n%s, %v\nwant %s", codec, v.source, got, err, v.want)
			}
		}
	}
	// What the two read differently: signs (Cayenne as documented, XLPP as Waziup's
	// programs), switches, and a type that Waziup has not.
	b := unhex(t, "02 74 FF FF 03 75 FF 38 04 82 FF FF FF FF 05 83 FF FF FF FF 06 8E 01 01 64 FF FF FF FF")
	d, err := decode(t, "cayenne", b)
	if got, want := shown(d), "voltage_2=655.35 current_3=65.336 distance_4=4294967.295 energy_5=4294967.295 switch_6=1 generic_1=4294967295"; err != nil || got != want {
		t.Errorf("%s, %v", got, err)
	}
	d, err = decode(t, "xlpp", b)
	if got, want := shown(d), "voltage_2=-0.01 current_3=-0.2 distance_4=-0.001 energy_5=-0.001 switch_6=true"; err == nil || got != want {
		t.Errorf("%s, %v", got, err)
	}
}

func TestLPPWords(t *testing.T) {
	for payload, want := range map[string]string{
		"016700ff":              "Thermometer,Temperature,DegreeCelsius",
		"016801":                "HumiditySensor,RelativeHumidity,Percent",
		"01730001":              "AtmosphericPressureSensor,AtmosphericPressure,Millibar",
		"01650001":              "LightSensor,Illuminance,Lux",
		"010001":                ",,",
		"017801":                ",,Percent",
		"01880676 5ff2960a0003": "",
	} {
		d, err := decode(t, "cayenne", unhex(t, payload))
		if want == "" {
			if err == nil {
				t.Errorf("%s: %s", payload, shown(d))
			}
			continue
		}
		if err != nil || words(d) != want {
			t.Errorf("%s: %s, %v", payload, words(d), err)
		}
	}
}

// TestLPPDamaged checks that what stands before the damage is kept.
func TestLPPDamaged(t *testing.T) {
	for _, codec := range []string{"cayenne", "xlpp"} {
		for _, payload := range []string{"016700ff 02", "016700ff 0267", "016700ff 026700", "016700ff 02c8 0000", "016700ff 02f0 05 0102030405"} {
			d, err := decode(t, codec, unhex(t, payload))
			if got := shown(d); err == nil || got != "temperature_1=25.5" {
				t.Errorf("%s: %s: %s, %v", codec, payload, got, err)
			}
		}
	}
}

// TestLPPEncode has the encoder's tests of TheThingsNetwork/go-cayenne-lib
// (encoder_test.go) but for the temperature -15.65: it cuts, here it is rounded.
func TestLPPEncode(t *testing.T) {
	for _, c := range []struct{ values, want string }{
		{`{"digital_in_1":255}`, "0100ff"},
		{`{"digital_out_2":100}`, "020164"},
		{`{"analog_in_3":54.5}`, "0302154a"},
		{`{"analog_out_4":-54.5}`, "0403eab6"},
		{`{"luminosity_5":500}`, "056501f4"},
		{`{"presence_6":50}`, "066632"},
		{`{"temperature_7":-15.65}`, "0767ff63"},
		{`{"relative_humidity_8":49.65}`, "086863"},
		{`{"accelerometer_9":{"x":-0.424,"y":0.015,"z":1.666}}`, "0971fe58000f0682"},
		{`{"barometric_pressure_10":1073.5}`, "0a7329ef"},
		{`{"gyrometer_11":{"x":3.55,"y":5.61,"z":-4.10}}`, "0b8601630231fe66"},
		{`{"gps_12":{"latitude":52.3655,"longitude":4.8885,"altitude":21.54}}`, "0c8807fd8700bef500086a"},
		{`{"gps_1":{"latitude":-33.8688,"longitude":151.216,"altitude":-1}}`, "0188fad5001712e0ffff9c"},
		{`{"colour_2":"#ff00aa"}`, "0287ff00aa"}, // Waziup/wazigate-edge, edge/codecs/README.md
		{`{"temperature0":23.5}`, "006700eb"},    // Waziup/xlpp, README
		{`{"analogoutput0":1,"switch1":true}`, "00030064018e01"},
		{`{"DigitalOutput_3":true,"digital_out_1":false}`, "010100030101"},
		{`{"switch_5":0,"switch_4":1}`, "048e01058e00"},
		{`{"humidity_1":50}`, "016864"},
		{`{"relay":1}`, "030101"},
		{`{"temperature_1": 21.5 }`, "016700d7"},
	} {
		for _, codec := range []string{"cayenne", "xlpp"} {
			e, err := encode(t, codec, c.values, map[string]string{"relay": "digital_out_3"})
			if err != nil || !bytes.Equal(e.Bytes, unhex(t, c.want)) {
				t.Errorf("%s: %s: %x, %v, want %s", codec, c.values, e.Bytes, err, c.want)
			}
		}
	}
	for _, c := range []struct{ values, want string }{
		{`{"relay":1}`, "does not end with a channel from 0 to 255: call the actuator by type and channel, such as digital_out_3"},
		{`{"relay_2":1}`, "relay_2 is named after no type"},
		{`{"digital_out_256":1}`, "does not end with a channel"},
		{`{"digital_out_99999999999999999999":1}`, "does not end with a channel"},
		{`{"3":1}`, "does not end with a channel"},
		{`{"temperature_1":4000}`, "4000 is no number from -3276.8 to 3276.7"},
		{`{"digital_out_1":-1}`, "-1 is no number from 0 to 255"},
		{`{"digital_out_1":"1"}`, "is no number"},
		{`{"temperature_1":true}`, "is no number"},
		{`{"temperature_1":null}`, "is no number"},
		{`{"gps_1":{"latitude":1,"longitude":2}}`, "is no object of latitude, longitude, altitude"},
		{`{"gps_1":{"latitude":1,"longitude":2,"height":3}}`, "is no object of"},
		{`{"gps_1":{"latitude":1000,"longitude":2,"altitude":3}}`, "latitude: 1000 is no number from -838.8608 to 838.8607"},
		{`{"accelerometer_1":1}`, "is no object of x, y, z"},
		{`{"colour_1":"red"}`, `is no colour such as "#ff00aa"`},
		{`{"colour_1":"#+f00aa"}`, "is no colour"},
		{`{"digital_out_1":1,"digitalout1":0}`, "it sets channel 1 twice"},
	} {
		for _, codec := range []string{"cayenne", "xlpp"} {
			if e, err := encode(t, codec, c.values, nil); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %s: %x, %v", codec, c.values, e.Bytes, err)
			}
		}
	}
}

// TestCayenneUntyped has the downlinks of TheThingsNetwork/go-cayenne-lib
// (decoder_test.go, "Happy flow: downlink").
func TestCayenneUntyped(t *testing.T) {
	e, err := encode(t, "cayenne", `{"value_2":-54.5,"value_1":1}`, nil)
	if err != nil || !bytes.Equal(e.Bytes, []byte{1, 0, 100, 2, 234, 182, 255}) {
		t.Errorf("%v, %v", e.Bytes, err)
	}
	for values, want := range map[string]string{
		`{"value_1":1,"digital_out_2":1}`: "send two commands",
		`{"value_255":1}`:                 "channels are 0 to 254",
		`{"value_1":400}`:                 "from -327.68 to 327.67",
	} {
		if e, err := encode(t, "cayenne", values, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %x, %v", values, e.Bytes, err)
		}
	}
}

// again encodes what was decoded, if no name occurs twice, and decodes that.
func again(t *testing.T, codec string, d Decoded) {
	t.Helper()
	c := Command{Values: map[string]json.RawMessage{}}
	for _, v := range d.Values {
		if _, twice := c.Values[v.Name]; twice {
			return
		}
		c.Values[v.Name] = v.Value
	}
	if len(c.Values) == 0 {
		return
	}
	e, err := open(t, codec).Encode(t.Context(), &c)
	if err != nil {
		// What a frame can say is not always what a command can.
		if strings.Contains(err.Error(), "a frame takes 255") || strings.Contains(err.Error(), "reserved") || strings.Contains(err.Error(), "up to two decimals") {
			return
		}
		if codec == "xlpp" && strings.Contains(err.Error(), "null is no") { // of an actuator marker
			return
		}
		t.Fatalf("%s: %s: %v", codec, shown(d), err)
	}
	second, err := decode(t, codec, e.Bytes)
	if err != nil {
		t.Fatalf("%s: %s: %x: %v", codec, shown(d), e.Bytes, err)
	}
	got := map[string]string{}
	for _, v := range second.Values {
		got[v.Name] = string(v.Value)
	}
	for name, raw := range c.Values {
		if !sameJSON(got[name], string(raw)) {
			t.Errorf("%s: %s=%s became %s (%x)", codec, name, raw, got[name], e.Bytes)
		}
	}
	if len(got) != len(c.Values) {
		t.Errorf("%s: %s became %s", codec, shown(d), shown(second))
	}
}

// sameJSON compares two documents, numbers as they are written.
func sameJSON(a, b string) bool {
	var x [2]any
	for i, s := range []string{a, b} {
		d := json.NewDecoder(strings.NewReader(s))
		d.UseNumber()
		if d.Decode(&x[i]) != nil {
			return false
		}
	}
	p, err := json.Marshal(x[0])
	q, err2 := json.Marshal(x[1])
	return err == nil && err2 == nil && bytes.Equal(p, q)
}

func TestAgain(t *testing.T) {
	for codec, list := range golden {
		if codec == "text" { // knows no types
			continue
		}
		for _, s := range list {
			d, _ := decode(t, codec, unhex(t, s))
			again(t, codec, d)
		}
	}
}

func fuzz(f *testing.F, codec string, more func(*testing.T, Decoded)) {
	for _, s := range golden[codec] {
		f.Add(unhex(f, s))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := decode(t, codec, b)
		if more != nil && err == nil {
			more(t, d)
		}
	})
}

func FuzzCayenne(f *testing.F) {
	fuzz(f, "cayenne", func(t *testing.T, d Decoded) { again(t, "cayenne", d) })
}
