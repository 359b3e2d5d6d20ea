package js

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"fieldgate/radio/codec"
)

// FuzzUplink gives any bytes to the scripts of real devices.
func FuzzUplink(f *testing.F) {
	files, err := filepath.Glob("testdata/*.js")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	var codecs []*Codec
	for i, file := range files {
		codecs = append(codecs, script(f, filepath.Base(file)))
		f.Add(uint8(i), uint8(2), []byte{0x01, 0x75, 0x32, 0x03, 0x67, 0xc8, 0x00, 0x04, 0x68, 0x3c})
		f.Add(uint8(i), uint8(103), []byte{0x02, 0x02, 0x3d, 0x00, 0x03, 0x81, 0x5e, 0x0c, 0x15})
		f.Add(uint8(i), uint8(0), []byte{})
	}
	f.Fuzz(func(t *testing.T, which, fPort uint8, b []byte) {
		d, err := codecs[int(which)%len(codecs)].Decode(t.Context(), &codec.Uplink{Bytes: b, FPort: fPort, Received: received})
		if err != nil && !errors.Is(err, codec.ErrPayload) {
			t.Error(err)
		}
		checkValues(t, d)
	})
}

// FuzzResult has a script return any JSON, and a command of any JSON go through
// a script.
func FuzzResult(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `{"a":{"value":5,"unit":"°C","time":"2026-11-25T11:00:00Z"}}`, `{"actuators":{"r":true}}`, `{"p":{"lat":1,"lon":2}}`, `[1,[2]]`, `5e300`, `"x"`, `null`,
		`{"":{"":{"":[]}}}`, `{"air":{"temperature":1},"time":5}`, `{"a/b":"\ud800","__proto__":1,"toJSON":5,"length":1e9}`} {
		f.Add(s)
	}
	c, err := New("fuzz.js", `
		function decodeUplink({variables}) { const data = JSON.parse(variables.json); return {data, warnings: data && data.w, errors: data && data.e}; }
		function normalizeUplink({data}) { return {data: data && data.n || data}; }
		function encodeDownlink({data}) { return data.v || {bytes: [1]}; }`, Options{Timeout: MaxTimeout})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u := uplink()
		u.Variables["json"] = s
		d, err := c.Decode(t.Context(), u)
		if err != nil && !errors.Is(err, codec.ErrPayload) {
			t.Error(err)
		}
		checkValues(t, d)
		e, err := c.Encode(t.Context(), &codec.Command{Values: map[string]json.RawMessage{"v": json.RawMessage(s)}})
		if err != nil && !errors.Is(err, codec.ErrCommand) || err == nil && (len(e.Bytes) == 0 || len(e.Bytes) > maxPayload || e.FPort > 223) {
			t.Errorf("% x, %v", e.Bytes, err)
		}
	})
}

// FuzzSource compiles any text and, if it is a script, runs it: whatever it is,
// the process lives.
func FuzzSource(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.js")
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(source))
	}
	for _, s := range decodeForms {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		c, err := New("fuzz.js", source, Options{Timeout: 20_000_000})
		if err != nil || c.up == nil {
			return
		}
		d, _ := c.Decode(t.Context(), uplink(1, 2, 3))
		checkValues(t, d)
	})
}
