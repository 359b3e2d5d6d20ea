package raw

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"fieldgate/radio"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		frame   string
		header  Header
		payload string
	}{
		{"01100605" + hex.EncodeToString([]byte(`\!TC/22.5/HU/50`)), Header{1, Data, 6, 5}, `\!TC/22.5/HU/50`},
		{"011806ff41", Header{1, Data | AckRequest, 6, 255}, "A"},
		{"0620010502000a", Header{6, Ack, 1, 5}, "\x02\x00\x0a"},
		{"00300600", Header{0, RTS, 6, 0}, ""},
		{"061f0109", Header{6, Data | AckRequest | Encrypted | AppKey | Downlink, 1, 9}, ""},
	} {
		b, _ := hex.DecodeString(c.frame)
		h, payload, err := Parse(b)
		if err != nil || h != c.header || string(payload) != c.payload {
			t.Errorf("%s: %+v, %q, %v", c.frame, h, payload, err)
		}
		back, err := h.Append(nil, payload)
		if err != nil || !bytes.Equal(back, b) {
			t.Errorf("%s: %x, %v", c.frame, back, err)
		}
	}
	for _, frame := range []string{"", "01", "011006", "01000605", "01400605", "01f00605", "54432f32"} {
		b, _ := hex.DecodeString(frame)
		if h, _, err := Parse(b); !errors.Is(err, ErrHeader) {
			t.Errorf("%s: %+v, %v", frame, h, err)
		}
	}
	if _, err := (Header{1, Data, 6, 5}).Append(nil, make([]byte, 252)); !errors.Is(err, ErrTooLong) {
		t.Error(err)
	}
	if b, err := (Header{1, Data, 6, 5}).Append(nil, make([]byte, 251)); err != nil || len(b) != radio.MaxPayload {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestAcknowledge(t *testing.T) {
	for snr, want := range map[float32]string{10: "0a", -7.9: "f9", 0: "00", 200: "7f", -200: "80"} {
		got := hex.EncodeToString(Header{1, Data | AckRequest, 6, 5}.Acknowledge(snr))
		if got != "062001050200"+want {
			t.Errorf("%g dB: %s", snr, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{1, 0x10, 6, 5, 'A'})
	f.Add([]byte{6, 0x20, 1, 5, 2, 0, 10})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, payload, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrHeader) {
				t.Error(err)
			}
			return
		}
		if len(b) > radio.MaxPayload {
			return
		}
		if back, err := h.Append(nil, payload); err != nil || !bytes.Equal(back, b) {
			t.Errorf("%x became %x, %v", b, back, err)
		}
	})
}
