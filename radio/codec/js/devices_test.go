package js

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fieldgate/radio/codec"
)

func script(t testing.TB, file string) *Codec {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(file, string(source), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Payloads of real devices with what they say, from the examples of
// TheThingsNetwork/lorawan-devices, vendor/VENDOR/DEVICE-codec.yaml. The scripts
// in testdata are written for these tests.
func TestDevices(t *testing.T) {
	for _, test := range []struct {
		name, file string
		fPort      uint8
		bytes      []byte
		values     []string // in any order
		err        string
	}{
		{"dragino/lht65", "dragino_lht65.js", 2, []byte{0xcb, 0xf6, 0x0b, 0x0d, 0x03, 0x76, 0x01, 0x0a, 0xdd, 0x7f, 0xff},
			[]string{"BatV=3.062", "Bat_status=3", `Ext_sensor="Temperature Sensor"`, "Hum_SHT=88.6", "TempC_DS=27.81", "TempC_SHT=28.29"}, ""},
		{"dragino/lht65", "dragino_lht65.js", 42, []byte{0xcb, 0xf6}, nil, "js: dragino_lht65.js: bad payload: unknown FPort"},
		{"milesight-iot/em300-th", "milesight_em300th.js", 1, []byte{0x01, 0x75, 0x32, 0x03, 0x67, 0xc8, 0x00, 0x04, 0x68, 0x3c},
			[]string{"battery=50", "temperature=20", "humidity=30", "air_temperature=20 AirThermometer AirTemperature DegreeCelsius",
				"air_relativeHumidity=30 HumiditySensor AirHumidity Percent", "battVolt=50"}, ""},
		{"decentlab/dl-ds18", "decentlab.js", 1, []byte{0x02, 0x02, 0x3d, 0x00, 0x03, 0x81, 0x5e, 0x0c, 0x15},
			[]string{"battery_voltage=3.093 Volt", "device_id=573", "protocol_version=2", "temperature=21.875 DegreeCelsius"}, ""},
		{"decentlab/dl-ds18", "decentlab.js", 1, []byte{0x02, 0x02, 0x3d, 0x00, 0x02, 0x0c, 0x15},
			[]string{"battery_voltage=3.093 Volt", "device_id=573", "protocol_version=2"}, ""},
		{"decentlab/dl-iam", "decentlab.js", 1, []byte{0x02, 0x0b, 0xbd, 0x00, 0x7f, 0x0b, 0x92, 0x6a, 0x51, 0x5d, 0x48, 0xbc, 0x4e, 0x02, 0x62, 0x00, 0x69,
			0x81, 0xc7, 0x00, 0x00, 0x93, 0xd4, 0x00, 0x0b, 0x01, 0x11},
			[]string{"activity_counter=11", "air_humidity=36.438544289311054 Percent", "air_temperature=27.67833981841764 DegreeCelsius", "ambient_light_infrared=105",
				"ambient_light_visible_infrared=610", "barometric_pressure=96412 Pascal", "battery_voltage=2.962 Volt", "co2_concentration=455 PartsPerMillion",
				"co2_sensor_status=0", "device_id=3005", "illuminance=678.76512 Lux", "protocol_version=2", "raw_ir_reading=37844", "total_voc=273 PartsPerBillion"}, ""},
		{"elsys/ers", "elsys_ers.js", 1, []byte{0x01, 0x00, 0xe2, 0x02, 0x29, 0x04, 0x00, 0x27, 0x05, 0x06},
			[]string{"temperature=22.6", "humidity=41", "light=39", "motion=6"}, ""},
		{"browan/tbhv110", "browan_tabs.js", 103, []byte{0x61, 0x0b, 0x35, 0x1e, 0xbf, 0x03, 0x01, 0x00, 0x51, 0x00, 0x36},
			[]string{"battery=3.6", "eco2=959", "humidity=30", "iaq=81", "iaqChanged=1", "status=1", "tempHumidChanged=0", "temperature=22", "temperatureBoard=21", "voc=1"}, ""},
		{"browan/tbwl100", "browan_tabs.js", 106, []byte{0x11, 0x0b, 0x36, 0x28, 0x36}, []string{"battery=3.6", "humidity=40", "status=1", "temperature=22", "temperatureBoard=22"}, ""},
		{"browan/tbwl100", "browan_tabs.js", 42, []byte{0x01}, nil, "js: browan_tabs.js: bad payload: unknown FPort"},
	} {
		d, err := script(t, test.file).Decode(t.Context(), &codec.Uplink{Bytes: test.bytes, FPort: test.fPort, Received: received})
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != test.err {
			t.Errorf("%s: %v", test.name, err)
		}
		var got []string
		for _, v := range d.Values {
			got = append(got, line(v))
		}
		slices.Sort(got)
		slices.Sort(test.values)
		if !slices.Equal(got, test.values) {
			t.Errorf("%s:\ngot  %s\nwant %s", test.name, strings.Join(got, "; "), strings.Join(test.values, "; "))
		}
		checkValues(t, d)
	}
}

// TestDevicesOfNegativeValues: the sign of 16 bits, by the scripts' own means.
func TestDevicesOfNegativeValues(t *testing.T) {
	for file, test := range map[string]struct {
		bytes []byte
		want  string
	}{
		"dragino_lht65.js":     {[]byte{0xcb, 0xf6, 0xff, 0x9c, 0x03, 0x76, 0x00}, "TempC_SHT=-1"},
		"milesight_em300th.js": {[]byte{0x03, 0x67, 0xf6, 0xff}, "temperature=-1"},
		"elsys_ers.js":         {[]byte{0x01, 0xff, 0xf6}, "temperature=-1"},
	} {
		d, err := script(t, file).Decode(t.Context(), &codec.Uplink{Bytes: test.bytes, FPort: 2})
		if err != nil || !slices.ContainsFunc(d.Values, func(v codec.Value) bool { return line(v) == test.want }) {
			t.Errorf("%s: %s, %v", file, lines(d), err)
		}
	}
}

// Downlinks of decentlab/dl-iam (vendor/decentlab/dl-iam-codec.yaml).
func TestDeviceDownlinks(t *testing.T) {
	c := script(t, "decentlab.js")
	for _, test := range []struct {
		data  string
		bytes []byte
	}{
		{`{"command":"set period + save","parameter":3600}`, []byte{0, 2, 14, 16, 72, 164}},
		{`{"command":"set adr off"}`, []byte{0, 7, 0, 0, 229, 177}},
		{`{"command":"set period","parameter":600}`, []byte{0x00, 0x01, 0x02, 0x58, 0x7e, 0x51}},
		{`{"command":"reset"}`, []byte{0xfe, 0xfe, 0x00, 0x00, 0x3c, 0x50}},
	} {
		var values map[string]json.RawMessage
		if err := json.Unmarshal([]byte(test.data), &values); err != nil {
			t.Fatal(err)
		}
		e, err := c.Encode(t.Context(), &codec.Command{Values: values})
		if err != nil || !bytes.Equal(e.Bytes, test.bytes) || e.FPort != 1 {
			t.Errorf("%s: % d, FPort %d, %v", test.data, e.Bytes, e.FPort, err)
		}
		data, _, ok, err := c.DecodeDownlink(t.Context(), codec.Encoded{Bytes: test.bytes, FPort: 1}, nil)
		if string(data) != test.data || !ok || err != nil {
			t.Errorf("% x: %s, %v", test.bytes, data, err)
		}
	}
	_, err := c.Encode(t.Context(), &codec.Command{Values: map[string]json.RawMessage{"command": json.RawMessage(`"dance"`)}})
	if err == nil || err.Error() != "js: decentlab.js: bad command: unknown command dance" {
		t.Error(err)
	}
}
