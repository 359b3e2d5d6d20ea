package codec

import (
	"bytes"
	"strings"
	"testing"
)

func init() { golden["hex"] = []string{"00", "01ff", "deadbeef"} }

func TestHex(t *testing.T) {
	d, err := decode(t, "hex", []byte{0x00, 0xab, 0xff})
	if got := shown(d); err != nil || got != `payload="00abff"` {
		t.Errorf("%s, %v", got, err)
	}
	again(t, "hex", d)
	for _, s := range []string{"01ff", "01 FF", "01:ff", "01-Ff"} {
		e, err := encode(t, "hex", `{"payload":"`+s+`"}`, nil)
		if err != nil || !bytes.Equal(e.Bytes, []byte{1, 0xff}) {
			t.Errorf("%s: %x, %v", s, e.Bytes, err)
		}
	}
	for values, want := range map[string]string{
		`{"relay":"01"}`:               "it sets relay, but the codec knows one actuator, payload",
		`{"payload":"01","relay":"1"}`: "it sets payload, relay",
		`{"payload":1}`:                "is no string of hex digits",
		`{"payload":null}`:             "is no string of hex digits",
		`{"payload":""}`:               "is no string of hex digits",
		`{"payload":"0"}`:              "is no string of hex digits",
		`{"payload":"0g"}`:             "is no string of hex digits",
		`{"payload":"` + strings.Repeat("00", 256) + `"}`: "a frame takes 255",
	} {
		if e, err := encode(t, "hex", values, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %x, %v", values, e.Bytes, err)
		}
	}
}

func FuzzHex(f *testing.F) {
	fuzz(f, "hex", func(t *testing.T, d Decoded) { again(t, "hex", d) })
}
