package raw

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"fieldgate/radio"
)

var begin = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// heardAt is a frame as Pham's mode 1 sends it, so long after begin.
func heardAt(after time.Duration, payload string) *radio.Frame {
	return &radio.Frame{Payload: []byte(payload), Frequency: 865200000, Modulation: radio.Modulation{SF: 12, Bandwidth: 125000},
		SNR: 8.75, CRC: radio.CRCOK, Radio: "hat", At: begin.Add(after), Counter: uint32(after.Microseconds()), Private: true}
}

func handler(t testing.TB, rules ...Rule) *Handler {
	t.Helper()
	h, err := NewHandler(rules)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestRules(t *testing.T) {
	h := handler(t,
		Rule{Device: "six", Source: 6},
		Rule{Device: "seven", Source: 7, Radio: "other"},
		Rule{Device: "open", Source: 8, NoCRC: true},
		Rule{Device: "prefix", Prefix: []byte{0xaa, 0x55}, Strip: true, MaxLength: 4},
		Rule{Device: "long", MinLength: 10, MaxLength: 12, Prefix: []byte("L")},
		Rule{Device: "text", Match: regexp.MustCompile(`^\\!N1/`)},
		Rule{Device: "six again", Prefix: []byte("\x01\x10\x06")},
		Rule{Device: "rest", Radio: "rest"},
	)
	for _, c := range []struct {
		payload, radio string
		crc            radio.CRC
		device, want   string
		reason         Reason
	}{
		{"\x01\x10\x06\x00A", "hat", radio.CRCOK, "six", "A", Accepted},
		{"\x00\x10\x06\x01A", "hat", radio.CRCOK, "six", "A", Accepted},
		{"\x01\x10\x06\x02", "hat", radio.CRCOK, "six", "", Accepted},
		{"\x01\x10\x06\x00A", "hat", radio.CRCNone, "", "", NoCRC},
		{"\x01\x10\x06\x00A", "hat", radio.CRCBad, "", "", BadCRC},
		{"\x01\x10\x08\x00A", "hat", radio.CRCNone, "open", "A", Accepted},
		{"\x01\x10\x08\x03A", "hat", radio.CRCBad, "", "", BadCRC},
		{"\x01\x10\x07\x00A", "hat", radio.CRCOK, "", "", UnknownSource},
		{"\x01\x10\x07\x00A", "other", radio.CRCOK, "seven", "A", Accepted},
		{"\x01\x10\x09\x00A", "hat", radio.CRCOK, "", "", UnknownSource},
		{"\x05\x10\x06\x00A", "hat", radio.CRCOK, "", "", Foreign},
		{"\x01\x20\x06\x00\x02\x00\x05", "hat", radio.CRCOK, "", "", NotData},
		{"\x01\x30\x06\x00", "hat", radio.CRCOK, "", "", NotData},
		{"\x01\x14\x06\x00A", "hat", radio.CRCOK, "", "", IsEncrypted},
		{"\x01\x12\x06\x00A", "hat", radio.CRCOK, "", "", HasAppKey},
		{"\x01\x11\x06\x00A", "hat", radio.CRCOK, "", "", FromGateway},
		{"\x01\x40\x06\x00A", "hat", radio.CRCOK, "", "", NoRule},
		{"\x01\x10\x06", "hat", radio.CRCOK, "six again", "\x01\x10\x06", Accepted},
		{"\xaa\x55\x07", "hat", radio.CRCOK, "prefix", "\x07", Accepted},
		{"\xaa\x55\x07\x07\x07", "hat", radio.CRCOK, "", "", NoRule},
		{"L23456789", "hat", radio.CRCOK, "", "", NoRule},
		{"L234567890", "hat", radio.CRCOK, "long", "L234567890", Accepted},
		{"L234567890123", "hat", radio.CRCOK, "", "", NoRule},
		{`\!N1/TC/5`, "hat", radio.CRCOK, "text", `\!N1/TC/5`, Accepted},
		{"\\!N1/\xff", "hat", radio.CRCOK, "", "", NoRule},
		{"anything", "rest", radio.CRCOK, "rest", "anything", Accepted},
		{"", "rest", radio.CRCOK, "", "", Malformed},
		{strings.Repeat("x", 256), "rest", radio.CRCOK, "", "", Malformed},
	} {
		f := heardAt(0, c.payload)
		f.Radio, f.CRC = c.radio, c.crc
		u, ack, reason := h.Handle(f)
		if reason != c.reason || ack != nil || (u != nil) != (c.reason == Accepted) {
			t.Errorf("%q: %+v, %+v, %v", c.payload, u, ack, reason)
			continue
		}
		if u != nil && (u.Device != c.device || string(u.Payload) != c.want || u.Frame != f || !u.Received.Equal(begin)) {
			t.Errorf("%q: %+v", c.payload, u)
		}
	}
}

func TestRulesRefused(t *testing.T) {
	for want, rules := range map[string][]Rule{
		"empty":                          {{Source: 6}},
		"have a meaning":                 {{Device: "a/b", Source: 6}},
		"gateway's own address":          {{Device: "a", Source: 1}},
		"for those without":              {{Device: "a", Source: 6, Prefix: []byte("x")}},
		"it takes any frame":             {{Device: "a"}},
		"no prefix to strip":             {{Device: "a", Radio: "x", Strip: true}},
		"lengths are 0 to 255":           {{Device: "a", MaxLength: 256}},
		"no frame has such":              {{Device: "a", MinLength: 5, MaxLength: 4}},
		`both "a" and "b"`:               {{Device: "a", Source: 6}, {Device: "b", Source: 6, Radio: "x"}},
		"rule of device \"a\": no frame": {{Device: "a", Prefix: []byte("xyz"), MaxLength: 2}},
	} {
		if _, err := NewHandler(rules); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	handler(t, Rule{Device: "a", Source: 6, Radio: "x"}, Rule{Device: "b", Source: 6, Radio: "y"}, Rule{Device: "c", Source: 6})
}

func TestDuplicates(t *testing.T) {
	h := handler(t, Rule{Device: "six", Source: 6}, Rule{Device: "plain", Prefix: []byte("P")})
	handle := func(after time.Duration, payload string, snr float32, uplink, ack bool) *Uplink {
		t.Helper()
		f := heardAt(after, payload)
		f.SNR = snr
		u, a, reason := h.Handle(f)
		if (u != nil) != uplink || (a != nil) != ack || (reason == Accepted) != uplink || !uplink && reason != Duplicate {
			t.Errorf("%v, %q: %+v, %+v, %v", after, payload, u, a, reason)
		}
		return u
	}
	const frame = "\x01\x18\x06\x05A"
	u := handle(0, frame, 5, true, true)
	handle(100*time.Millisecond, frame, 5, false, false) // another radio's copy
	handle(5*time.Second, frame, 5, false, false)        // repeated, but it is not kept yet
	h.Settle(u, true)
	handle(5*time.Second+folding+1, frame, 5, false, true)
	handle(24*time.Second, frame, 5, false, true) // each repetition may be followed by another
	handle(24*time.Second+repeating+1, frame, 5, true, true)
	u = handle(60*time.Second, "\x01\x18\x06\x06A", 5, true, true) // another sequence number
	handle(60*time.Second, "\x01\x18\x06\x06B", 5, true, true)     // another payload
	h.Settle(u, false)                                             // it could not be kept,
	handle(65*time.Second, "\x01\x18\x06\x06A", 5, true, true)     // and is new again
	handle(66*time.Second, "\x00\x18\x06\x07A", 5, true, false)    // broadcasts are not acknowledged
	handle(67*time.Second, "\x01\x10\x06\x08A", 5, true, false)    // nobody asks for it
	handle(70*time.Second, "P1", 5, true, false)
	handle(70*time.Second+folding, "P1", 5, false, false)
	handle(71*time.Second, "P1", 5, true, false) // said twice
	for i := range 100 {
		handle(80*time.Second, "\x01\x18\x06"+string([]byte{byte(i)})+"A", 5, true, true)
	}
	for _, r := range h.rules {
		if len(r.frames) > remembered || cap(r.frames) > 2*remembered {
			t.Errorf("%s keeps %d frames in mind (room for %d)", r.Device, len(r.frames), cap(r.frames))
		}
	}
}

func TestAcknowledgement(t *testing.T) {
	h := handler(t, Rule{Device: "six", Source: 6})
	f := heardAt(time.Second, "\x01\x18\x06\x05A")
	f.Counter = 0xffffffff
	_, ack, _ := h.Handle(f)
	if ack == nil || !bytes.Equal(ack.Payload, []byte{6, 0x20, 1, 5, 2, 0, 8}) || ack.Counter != 99999 || ack.Immediately || ack.Radio != "hat" ||
		ack.Frequency != 865200000 || ack.Modulation != (radio.Modulation{SF: 12, Bandwidth: 125000, CodingRate: 5}) || ack.InvertIQ || !ack.CRC {
		t.Errorf("%+v", ack)
	}
}

func TestDownlink(t *testing.T) {
	h := handler(t, Rule{Device: "six", Source: 6, Radio: "hat"}, Rule{Device: "six", Source: 6, Radio: "stick"}, Rule{Device: "plain", Prefix: []byte("P")})
	if _, err := h.Downlink("seven", nil); !errors.Is(err, ErrUnknownDevice) {
		t.Error(err)
	}
	if _, err := h.Downlink("six", []byte("x")); !errors.Is(err, ErrNotHeard) {
		t.Error(err)
	}
	for i, name := range []string{"hat", "stick", "hat"} {
		f := heardAt(time.Duration(i)*time.Second, "\x01\x10\x06"+string([]byte{byte(i)})+"A")
		f.Radio, f.CodingRate = name, 8
		h.Handle(f)
		d, err := h.Downlink("six", []byte(`\!relay/1`))
		want := "\x06\x11\x01" + string([]byte{byte(i / 2)}) + `\!relay/1` // counted for each rule
		if err != nil || string(d.Payload) != want || d.Radio != name || !d.Immediately || !d.CRC || d.InvertIQ || d.CodingRate != 8 {
			t.Errorf("%+v, %v", d, err)
		}
	}
	h.Handle(heardAt(0, "P1"))
	payload := []byte("x")
	d, err := h.Downlink("plain", payload)
	payload[0] = 'y'
	if err != nil || string(d.Payload) != "x" {
		t.Errorf("%+v, %v", d, err)
	}
	for device, size := range map[string]int{"six": 252, "plain": 256} {
		if _, err := h.Downlink(device, make([]byte, size)); !errors.Is(err, ErrTooLong) {
			t.Error(err)
		}
	}
	if _, err := h.Downlink("plain", nil); !errors.Is(err, ErrTooLong) {
		t.Error(err)
	}
}

// TestBestRadio: of the radios that heard one frame, the one that heard it best
// sends.
func TestBestRadio(t *testing.T) {
	h := handler(t, Rule{Device: "six", Source: 6})
	for i, snr := range []float32{-5, 8, 3} {
		f := heardAt(time.Duration(i)*10*time.Millisecond, "\x01\x10\x06\x05A")
		f.Radio, f.SNR = []string{"a", "b", "c"}[i], snr
		h.Handle(f)
	}
	if d, err := h.Downlink("six", []byte("x")); err != nil || d.Radio != "b" {
		t.Errorf("%+v, %v", d, err)
	}
}

func FuzzHandle(f *testing.F) {
	f.Add([]byte("\x01\x18\x06\x05A"), uint8(1), uint16(10))
	f.Add([]byte(`\!TC/5`), uint8(0), uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, crc uint8, ms uint16) {
		h := handler(t, Rule{Device: "six", Source: 6}, Rule{Device: "seven", Source: 7, NoCRC: true},
			Rule{Device: "text", Match: regexp.MustCompile(`^\\!`)}, Rule{Device: "short", MinLength: 1, MaxLength: 3, NoCRC: true})
		frame := heardAt(0, string(b))
		frame.CRC = radio.CRC(crc % 3)
		u, ack, reason := h.Handle(frame)
		if (u != nil) != (reason == Accepted) || reason >= reasons || ack != nil && (u == nil || u.Header == nil || len(ack.Payload) != 7) {
			t.Errorf("%x: %+v, %+v, %v", b, u, ack, reason)
		}
		if u != nil && u.Device == "six" && frame.CRC != radio.CRCOK {
			t.Errorf("%x: taken without a checksum", b)
		}
		frame.At = frame.At.Add(time.Duration(ms) * time.Millisecond)
		second, _, again := h.Handle(frame)
		if u != nil && u.Header != nil && frame.At.Sub(begin) <= repeating && (second != nil || again != Duplicate) {
			t.Errorf("%x: again %v later: %+v, %v", b, frame.At.Sub(begin), second, again)
		}
	})
}
