package js

import (
	"errors"
	"strings"
	"testing"

	"fieldgate/gateway"
	"fieldgate/radio/codec"
)

func TestValuesOfData(t *testing.T) {
	for _, test := range []struct{ data, values, warnings string }{
		{`{temperature: 21.5, on: true, state: "open", zero: 0}`, `temperature=21.5; on=true; state="open"; zero=0`, ""},
		// Numbers and texts as JSON.stringify prints them.
		{`{a: -0, b: 1e21, c: 0.1 + 0.2, d: 5e-324, e: 123456789012345680000, f: 1 / 3, g: -1e-7, h: 0xffffffff}`,
			"a=0; b=1e+21; c=0.30000000000000004; d=5e-324; e=123456789012345680000; f=0.3333333333333333; g=-1e-7; h=4294967295", ""},
		{`{a: "\"\\\n\u0001<&>é😀"}`, `a="\"\\\n\u0001<&>é😀"`, ""},
		{`{a: new Number(5), b: new String("x"), c: new Boolean(false), d: new Date(0)}`, `a=5; b="x"; c=false; d="1970-01-01T00:00:00.000Z"`, ""},
		{`{n: 12345678901234567890n, m: BigInt(5)}`, `n=12345678901234567890; m=5`, ""},
		// What is no value.
		{`{a: NaN, b: Infinity, c: -Infinity, d: undefined, e: function () {}, f: Symbol("s"), g: null, h: 1}`, "h=1",
			"a: NaN is no value|b: Infinity is no value|c: -Infinity is no value|d: undefined is no value|e: a function is no value|f: s is no value"},
		{`{a: {b: NaN}}`, "", "a_b: NaN is no value"},
		{`{a: {}, b: {c: {}}}`, "", ""},
		// Nested objects, arrays, positions.
		{`{bme: {temperature: 1, pressure: {value: 1000, raw: 5}}, t: [1, [2, {a: NaN, u: undefined}], undefined, "x"]}`,
			`bme_temperature=1; bme_pressure_value=1000; bme_pressure_raw=5; t=[1,[2,{"a":null}],null,"x"]`, ""},
		{`{a: new Uint8Array([1, 255]), b: new Float32Array([0.5])}`, "a=[1,255]; b=[0.5]", ""},
		{`{gps: {latitude: 1.5, longitude: -2, altitude: 3}, b: {lat: 1, lon: 2}, c: {lat: 1, lng: null}}`,
			`gps={"latitude":1.5,"longitude":-2,"altitude":3} Position; b={"lat":1,"lon":2} Position; c_lat=1`, ""},
		{`{latitude: 1, longitude: 2, bat: 3}`, "value={\"latitude\":1,\"longitude\":2,\"bat\":3}", ""},
		// Data that is no object.
		{`21.5`, "value=21.5", ""},
		{`[1, 2]`, "value=[1,2]", ""},
		{`"x"`, `value="x"`, ""},
		{`undefined`, "", ""},
		{`{toJSON: function () { return {a: 1}; }}`, "a=1", ""},
		{`Object.create({inherited: 1})`, "", ""},
		{`JSON.parse('{"__proto__": 5, "a": 1}')`, "__proto__=5; a=1", ""},
		{`new Proxy({a: 1}, {})`, "a=1", ""},
		{`new (class { constructor() { this.a = 1; this.b = {c: 2}; } get d() { return 3; } })()`, "a=1; b_c=2", ""},
		{`{get a() { return 1; }}`, "a=1", ""},
		// Words.
		{`{t: {value: 21.5, kind: "Thermometer", quantity: "AirTemperature", unit: "DegreeCelsius"}}`, "t=21.5 Thermometer AirTemperature DegreeCelsius", ""},
		{`{t: {value: 21.5, unit: "°C", displayName: "Temperature"}, u: {value: 5}, w: {value: [1, 2], unit: "furlong"}}`,
			"t=21.5 DegreeCelsius; u=5; w=[1,2] furlong", ""},
		{`{t: {value: NaN, unit: "V"}, u: {value: null}, v: {value: 1, kind: 5, unit: "\n", quantity: "` + strings.Repeat("x", 100) + `"}}`, "v=1", "t: NaN is no value"},
		{`{t: {value: 1, other: 2}}`, "t_value=1; t_other=2", ""},
		{`{gps: {value: {latitude: 1, longitude: 2}, kind: "GPS"}}`, `gps={"latitude":1,"longitude":2} GPS`, ""},
		{`{t: {value: 1, time: "2026-11-25T11:59:00.25Z"}, u: {value: 2, time: new Date(Date.UTC(2026, 10, 25, 11))}, v: {value: 3, time: Date.UTC(2026, 10, 25, 13)}, w: {value: 4, time: "noon"}}`,
			"t=1 1m0s; u=2 1h0m0.25s; v=3; w=4", "w: time noon is not of RFC 3339"},
		// Actuators.
		{`{actuators: {relay: true, mode: "auto", rgb: [1, 2, 3], set: {min: 1}, v: {value: 5, unit: "%"}, n: null, f: NaN}, relay: 7}`,
			`!relay=true; !mode="auto"; !rgb=[1,2,3]; !set={"min":1}; !v=5 Percent; relay=7`, "actuator f: NaN is no value"},
		{`{relay: {value: false, actuator: true}, actuators: 3}`, "!relay=false; actuators=3", ""},
		{`{a: {actuators: {b: 1}}}`, "a_actuators_b=1", ""},
		// Names.
		{`{"a/b": 1, "c+#d": 2, " e f": 3, "": 4, "é°": 5, "g\u0007\u2028": 6}`, "a_b=1; c__d=2; _e_f=3; _=4; é°=5; g__=6", ""},
		{`{"a/b": 1, "a+b": 2, a: {b: 3}}`, "a_b=1", "a_b: there are several of this name|a_b: there are several of this name"},
		{`{["` + strings.Repeat("é", 40) + `"]: 1}`, strings.Repeat("é", 27) + "_da5a8f25=1", ""},
	} {
		c := mustNew(t, "function decodeUplink() { return {data: "+test.data+"}; }", Options{})
		d, err := c.Decode(t.Context(), uplink())
		if err != nil || lines(d) != test.values || strings.Join(d.Warnings, "|") != test.warnings {
			t.Errorf("%s:\ngot  %s\nwant %s\n%q, %v", test.data, lines(d), test.values, d.Warnings, err)
		}
		checkValues(t, d)
	}
}

func TestTooManyValuesKeepTheFirst(t *testing.T) {
	c := mustNew(t, `function Decoder(bytes) { var d = {}; for (var i = 0; i < 255 + bytes.length; i++) d["v" + i] = i; return d; }`, Options{})
	d, err := c.Decode(t.Context(), uplink(1))
	if err != nil || len(d.Values) != codec.MaxValues {
		t.Errorf("%d values, %v", len(d.Values), err)
	}
	d, err = c.Decode(t.Context(), uplink(1, 2))
	if !errors.Is(err, codec.ErrPayload) || len(d.Values) != codec.MaxValues || line(d.Values[255]) != "v255=255" {
		t.Errorf("%d values, %v", len(d.Values), err)
	}
	c = mustNew(t, `function Decoder() { var d = {}; for (var i = 0; i < 100; i++) d["v" + i] = "x".repeat(1000); return d; }`, Options{})
	d, err = c.Decode(t.Context(), uplink())
	if !errors.Is(err, codec.ErrPayload) || len(d.Values) != codec.MaxResult/1005 {
		t.Errorf("%d values, %v", len(d.Values), err)
	}
	checkValues(t, d)
}

func TestCleanNames(t *testing.T) {
	seen := map[string]string{}
	for _, key := range []string{"", "a", strings.Repeat("a", 64), strings.Repeat("a", 65), strings.Repeat("a", 66), strings.Repeat("a", 64) + "b",
		strings.Repeat("😀", 16), strings.Repeat("😀", 17), "a\x00\xff/+#", "\u0085\u00a0\u3000"} {
		name := cleanName(key)
		if err := gateway.CheckID(name); err != nil {
			t.Errorf("%q: %v", key, err)
		}
		if before, taken := seen[name]; taken {
			t.Errorf("%q and %q are both %q", before, key, name)
		}
		seen[name] = key
	}
}

// The measurements of normalizeUplink, in the form of TTN's payload schema
// (TheThingsNetwork/lorawan-devices, lib/payload.json).
func TestNormalizedMeasurements(t *testing.T) {
	const decode = `function decodeUplink(i) { return {data: {T: 20, H: 30, bat: 3.1}, warnings: ["w"]}; }` + "\n"
	const all = "T=20; H=30; bat=3.1"
	for _, test := range []struct {
		body, too, only, warnings string
	}{
		{`return {data: {air: {temperature: input.data.T, relativeHumidity: input.data.H}, battery: input.data.bat}};`,
			all + "; air_temperature=20 AirThermometer AirTemperature DegreeCelsius; air_relativeHumidity=30 HumiditySensor AirHumidity Percent; battery=3.1 VoltageSensor Voltage Volt",
			"air_temperature=20 AirThermometer AirTemperature DegreeCelsius; air_relativeHumidity=30 HumiditySensor AirHumidity Percent; battery=3.1 VoltageSensor Voltage Volt", "w"},
		{`return {data: [{time: "2026-11-25T11:00:00.25Z", soil: {moisture: 10, pH: 7}}, {time: "2026-11-25T11:30:00.25Z", soil: {moisture: 11}}, {wind: {speed: 3, odd: 4}}]};`,
			all + "; soil_moisture=10 SoilHumiditySensor SoilHumidity Percent 1h0m0s; soil_pH=7 PHSensor PH Dimensionless 1h0m0s; soil_moisture=11 SoilHumiditySensor SoilHumidity Percent 30m0s; wind_speed=3 SpeedSensor WindSpeed MetrePerSecond; wind_odd=4",
			"soil_moisture=10 SoilHumiditySensor SoilHumidity Percent 1h0m0s; soil_pH=7 PHSensor PH Dimensionless 1h0m0s; soil_moisture=11 SoilHumiditySensor SoilHumidity Percent 30m0s; wind_speed=3 SpeedSensor WindSpeed MetrePerSecond; wind_odd=4", "w"},
		{`return {data: {T: 21}};`, "H=30; bat=3.1; T=21", "T=21", "w"},
		{`return {data: {}, warnings: ["n"]};`, all, all, "w|n"},
		{`return {errors: ["not now"]};`, all, all, "w|normalizeUplink: not now"},
		{`return {data: 5};`, all, all, "w"},
		{`throw new Error("x");`, all, all, "w|normalizeUplink: script failed: line 2:41: Error: x"},
		{`return {data: [{air: {temperature: NaN}}]};`, all, all, "w|air_temperature: NaN is no value"},
	} {
		for how, want := range map[Normalized]string{NormalizedToo: test.too, NormalizedOnly: test.only, NormalizedNever: all} {
			c := mustNew(t, decode+"function normalizeUplink(input) { "+test.body+" }", Options{Normalized: how})
			d, err := c.Decode(t.Context(), uplink())
			if err != nil || lines(d) != want {
				t.Errorf("%s, %d:\ngot  %s\nwant %s\n%v", test.body, how, lines(d), want, err)
			}
			warnings := test.warnings
			if how == NormalizedNever {
				warnings = "w"
			}
			if strings.Join(d.Warnings, "|") != warnings {
				t.Errorf("%s: %q", test.body, d.Warnings)
			}
		}
	}
}
