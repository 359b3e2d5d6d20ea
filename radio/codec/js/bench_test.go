package js

import (
	"context"
	"testing"

	"fieldgate/radio/codec"
)

const plain = `
function decodeUplink(input) {
  var b = input.bytes;
  return {data: {
    BatV: ((b[0] << 8 | b[1]) & 0x3FFF) / 1000,
    TempC: parseFloat(((b[2] << 24 >> 16 | b[3]) / 100).toFixed(2)),
    Hum: parseFloat((((b[4] << 8 | b[5]) & 0xFFF) / 10).toFixed(1)),
    hex: b.slice(6).map(function (x) { return x.toString(16); }).join("")
  }};
}`

func BenchmarkDecode(b *testing.B) {
	b.ReportAllocs()
	c, err := New("bench.js", plain, Options{})
	if err != nil {
		b.Fatal(err)
	}
	u := &codec.Uplink{Bytes: []byte{0xcb, 0xf6, 0x0b, 0x0d, 0x03, 0x76, 0x01, 0x0a, 0xdd, 0x7f, 0xff}, FPort: 2}
	for b.Loop() {
		if _, err := c.Decode(context.Background(), u); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGuardedRealm(b *testing.B) {
	b.ReportAllocs()
	c, err := New("bench.js", plain, Options{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		newRealm(c).guard()
	}
}

func BenchmarkGuardedRealmOpen(b *testing.B) {
	b.ReportAllocs()
	c, err := New("bench.js", plain+"\nvar g = this;", Options{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		newRealm(c).guard()
	}
}

// BenchmarkDevices decodes an uplink with each of the scripts in testdata.
func BenchmarkDevices(b *testing.B) {
	for file, u := range map[string]*codec.Uplink{
		"dragino_lht65.js":     {Bytes: []byte{0xcb, 0xf6, 0x0b, 0x0d, 0x03, 0x76, 0x01, 0x0a, 0xdd, 0x7f, 0xff}, FPort: 2},
		"milesight_em300th.js": {Bytes: []byte{0x01, 0x75, 0x32, 0x03, 0x67, 0xc8, 0x00, 0x04, 0x68, 0x3c}, FPort: 1},
		"decentlab.js":         {Bytes: []byte{0x02, 0x02, 0x3d, 0x00, 0x03, 0x81, 0x5e, 0x0c, 0x15}, FPort: 1},
	} {
		b.Run(file, func(b *testing.B) {
			b.ReportAllocs()
			c := script(b, file)
			for b.Loop() {
				if _, err := c.Decode(context.Background(), u); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
