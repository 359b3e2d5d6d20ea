package frame

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func key(t testing.TB, s string) Key {
	t.Helper()
	k, err := ParseKey(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// RFC 4493 section 4, examples 1 to 4.
func TestCMAC(t *testing.T) {
	k := key(t, "2b7e151628aed2a6abf7158809cf4f3c")
	msg := unhex(t, "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710")
	for _, c := range []struct {
		n    int
		want string
	}{
		{0, "bb1d6929e95937287fa37d129b756746"},
		{16, "070a16b46b4d4144f79bdd9dd04a287c"},
		{40, "dfa66747de9ae63030ca32611497c827"},
		{64, "51f0bebf7e3b9d92fc49741779363cfe"},
	} {
		for cut := 0; cut <= c.n; cut++ { // in two pieces, wherever it is cut
			var s scratch
			s.write(newCipher(&k), msg[:cut])
			s.write(newCipher(&k), msg[cut:c.n])
			if got := s.sum(newCipher(&k)); hex.EncodeToString(got[:]) != c.want {
				t.Errorf("%d bytes cut at %d: %x, want %s", c.n, cut, got, c.want)
			}
		}
	}
}

// Published uplinks and downlinks: lora-packet (github.com/anthonykirby/lora-packet,
// __tests__/mic_test.ts and decrypt_test.ts) and brocaar/lorawan
// (phypayload_test.go, the cases of LoRaWAN 1.0).
func TestPublishedData(t *testing.T) {
	const packetNwk, packetApp = "44024241ed4ce9a68c6a8bc055233fd3", "ec925802ae430ca77fd3dd73cb2cc588"
	const ones, twos = "01010101010101010101010101010101", "02020202020202020202020202020202"
	for _, c := range []struct {
		name, frame, nwk, app, plain string
		want                         Data
	}{
		{"lora-packet, test", "40F17DBE4900020001954378762B11FF0D", packetNwk, packetApp, "test",
			Data{Kind: UnconfirmedUp, DevAddr: 0x49be7df1, FCnt: 2, FPort: 1}},
		{"lora-packet, fox", "40f17dbe490004000155332de41a11adc072553544429ce7787707d1c316e027e7e5e334263376affb8aa17ad30075293f28dea8a20af3c5e7",
			packetNwk, packetApp, "The quick brown fox jumps over the lazy dog.", Data{Kind: UnconfirmedUp, DevAddr: 0x49be7df1, FCnt: 4, FPort: 1}},
		{"lora-packet, FPort only", "40F17DBE49000300012A3518AF", packetNwk, packetApp, "", Data{Kind: UnconfirmedUp, DevAddr: 0x49be7df1, FCnt: 3, FPort: 1}},
		{"lora-packet, ACK", "60f17dbe4920020001f9d65d27", packetNwk, packetApp, "",
			Data{Kind: UnconfirmedDown, DevAddr: 0x49be7df1, ACK: true, FCnt: 2, FPort: 1}},
		{"brocaar, hello", "40040302018001000" + "1a694642615d6c3b582", twos, ones, "hello",
			Data{Kind: UnconfirmedUp, DevAddr: 0x01020304, ADR: true, FCnt: 1, FPort: 1}},
		{"brocaar, FOpts", "4004030201030000020305016a3798f5b64dc039", ones, ones, "\x01\x02\x03\x04",
			Data{Kind: UnconfirmedUp, DevAddr: 0x01020304, FOpts: []byte{2, 3, 5}, FPort: 1}},
		{"brocaar, FPort 0", "40040302010000000069369eee6aa508", ones, ones, "\x02\x03\x05",
			Data{Kind: UnconfirmedUp, DevAddr: 0x01020304, FPort: 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, nwk, app := unhex(t, c.frame), key(t, c.nwk), key(t, c.app)
			d, err := ParseData(b)
			if err != nil {
				t.Fatal(err)
			}
			if !CheckData(b, nwk, uint32(d.FCnt)) {
				t.Error("MIC is said to be wrong")
			}
			k := app
			if d.FPort == 0 {
				k = nwk
			}
			plain := Decrypt(&d, k, uint32(d.FCnt))
			if string(plain) != c.plain {
				t.Errorf("payload %q, want %q", plain, c.plain)
			}
			d.Payload = plain
			sameData(t, d, c.want, plain)
			again, err := d.Append(nil, nwk, app, uint32(d.FCnt))
			if err != nil || !bytes.Equal(again, b) {
				t.Errorf("appended %x, %v, want %x", again, err, b)
			}
			for i := range b { // no bit of it may change
				b[i] ^= 0x10
				if CheckData(b, nwk, uint32(d.FCnt)) {
					t.Errorf("a change of byte %d goes unnoticed", i)
				}
				b[i] ^= 0x10
			}
			if CheckData(b, nwk, uint32(d.FCnt)+1<<16) {
				t.Error("right with another high half of the counter")
			}
		})
	}
}

func sameData(t *testing.T, got, want Data, plain []byte) {
	t.Helper()
	if !bytes.Equal(got.FOpts, want.FOpts) || !bytes.Equal(got.Payload, plain) {
		t.Errorf("FOpts %x, payload %x; want %x, %x", got.FOpts, got.Payload, want.FOpts, plain)
	}
	if got.Kind != want.Kind || got.DevAddr != want.DevAddr || got.ADR != want.ADR || got.ADRACKReq != want.ADRACKReq || got.ACK != want.ACK ||
		got.Pending != want.Pending || got.ClassB != want.ClassB || got.FCnt != want.FCnt || got.FPort != want.FPort {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Published joins: lora-packet (__tests__/mic_test.ts, key_gen_test.ts and
// join_accept_encrypt.ts) and brocaar/lorawan (phypayload_test.go).
func TestPublishedJoins(t *testing.T) {
	b64 := func(s string) string {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(b)
	}
	for _, c := range []struct {
		frame, app string
		want       Join
	}{
		{"0039363463336913AA05693574323831330489C65B1304", "98929b92c49edba9676d646d3b612456",
			Join{EUI{0xaa, 0x13, 0x69, 0x33, 0x63, 0x34, 0x36, 0x39}, EUI{0x33, 0x31, 0x38, 0x32, 0x74, 0x35, 0x69, 0x05}, 0x8904}},
		{b64("AAQDAgEEAwIBBQQDAgUEAwItEGqZDhI="), "01010101010101010101010101010101",
			Join{EUI{1, 2, 3, 4, 1, 2, 3, 4}, EUI{2, 3, 4, 5, 2, 3, 4, 5}, 4141}},
		{b64("AAEBAQEBAQEBAgICAgICAgIDAwm5ezI="), "0102030405060708090a0b0c0d0e0f10",
			Join{EUI{1, 1, 1, 1, 1, 1, 1, 1}, EUI{2, 2, 2, 2, 2, 2, 2, 2}, 771}},
	} {
		b, k := unhex(t, c.frame), key(t, c.app)
		j, err := ParseJoin(b)
		if err != nil || j != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.frame, j, err, c.want)
		}
		if !CheckJoin(b, k) {
			t.Errorf("%s: MIC is said to be wrong", c.frame)
		}
		if again := j.Append([]byte{9}, k); !bytes.Equal(again[1:], b) {
			t.Errorf("appended %x, want %x", again[1:], b)
		}
		for i := range b {
			b[i] ^= 1
			if CheckJoin(b, k) {
				t.Errorf("%s: a change of byte %d goes unnoticed", c.frame, i)
			}
			b[i] ^= 1
		}
	}
	for _, c := range []struct {
		frame, app string
		want       Accept
	}{
		{"20493eeb51fba2116f810edb3742975142", "00112233445566778899aabbccddeeff", Accept{JoinNonce: 5704647, NetID: 0x221101, DevAddr: 0x02031980}},
		{"20e3de108795f776b8037610ef7869b5b3", "00000000000000000000000000000000", Accept{}},
		{b64("ICPPM1SJquMYPAvguqje5fM="), "0102030405060708090a0b0c0d0e0f10", Accept{JoinNonce: 65793, NetID: 0x020202, DevAddr: 0x01020304}},
	} {
		b, k := unhex(t, c.frame), key(t, c.app)
		a, err := ParseAccept(b, k)
		if err != nil || a.JoinNonce != c.want.JoinNonce || a.NetID != c.want.NetID || a.DevAddr != c.want.DevAddr || a.CFList != nil {
			t.Errorf("%s: %+v, %v, want %+v", c.frame, a, err, c.want)
		}
		if again, err := a.Append(nil, k); err != nil || !bytes.Equal(again, b) {
			t.Errorf("appended %x, %v, want %x", again, err, b)
		}
	}
	nwk, app := SessionKeys(key(t, "98929b92c49edba9676d646d3b612456"), 0x376338, 0xaabbcc, 0xf18e)
	if nwk != key(t, "4e3d6e6afbcc67af2ba3c8e8ec4acf4b") || app != key(t, "610897aa6f1460623443b527d3ac6a9d") {
		t.Errorf("session keys %x, %x", nwk[:], app[:])
	}
}
