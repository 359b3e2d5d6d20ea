package frame

import (
	"bytes"
	"reflect"
	"testing"
)

func seeds(f *testing.F) {
	for _, s := range []string{
		"", "00", "40", "40F17DBE4900020001954378762B11FF0D", "60f17dbe4920020001f9d65d27", "4004030201030000020305016a3798f5b64dc039",
		"0039363463336913AA05693574323831330489C65B1304", "20493eeb51fba2116f810edb3742975142",
		"20190309945928525383e593f38fc1f5ae9d63e79d178e448eea5bd2e40366163d", "400403020101000002000169369eee6aa508", "a0040302010f0000aabbccdd",
	} {
		f.Add(unhex(f, s))
	}
}

// What is read and written again is the same but for RFU bits.
func FuzzParseData(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		d, err := ParseData(b)
		CheckData(b, Key{1}, uint32(d.FCnt))
		if !bytes.Equal(b, before) {
			t.Fatal("changed what it reads")
		}
		if err != nil {
			return
		}
		k := Key{2}
		if d.FPort == 0 {
			k = Key{1}
		}
		plain := d
		plain.Payload = Decrypt(&d, k, uint32(d.FCnt))
		again, err := plain.Append(nil, Key{1}, k, uint32(d.FCnt))
		if err != nil {
			t.Fatal(err)
		}
		b[0] &= 0xe3
		if !d.Kind.Uplink() {
			b[5] &^= fctrlADRACKReq
		}
		if end := len(b) - micLen; !bytes.Equal(again[:end], b[:end]) {
			t.Fatalf("%x, want %x", again, b)
		}
		if !CheckData(again, Key{1}, uint32(d.FCnt)) {
			t.Fatal("does not believe its own MIC")
		}
	})
}

func FuzzParseJoin(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		CheckJoin(b, Key{1})
		j, err := ParseJoin(b)
		if err != nil {
			return
		}
		again := j.Append(nil, Key{1})
		b[0] &= 0xe3
		if !bytes.Equal(again[:len(b)-micLen], b[:len(b)-micLen]) || !CheckJoin(again, Key{1}) {
			t.Fatalf("%x, want %x", again, b)
		}
	})
}

// Frames as they are, and with fields and MIC put right.
func FuzzParseAccept(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := ParseAccept(b, Key{1}); err == nil {
			t.Logf("%+v", a) // not impossible
		}
		if len(b) < 13 {
			return
		}
		a := Accept{JoinNonce: uint24(b), NetID: uint24(b[3:]), DevAddr: DevAddr(uint24(b[6:])), RX1Offset: b[9] & 7, RX2DataRate: b[10] & 15, RxDelay: b[11] & 15}
		if len(b) >= 12+CFListLen {
			a.CFList = b[12 : 12+CFListLen]
		}
		p, err := a.Append(nil, Key{1})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseAccept(p, Key{1}); err != nil || !reflect.DeepEqual(got, a) {
			t.Fatalf("%+v, %v, want %+v", got, err, a)
		}
	})
}

// What is read, written and read again is the same, and so is what is written
// but for RFU bits.
func FuzzCommands(f *testing.F) {
	for _, s := range []string{"", "02", "020d", "0301040506000708090a00", "0374ff0003", "0546a9506c", "077654e05700", "0d704d945080", "0680", "80"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, parse := range []func([]byte) ([]Command, error){ParseUp, ParseDown} {
			cs, err := parse(b)
			out := AppendCommands(nil, cs...)
			if err == nil && len(out) != len(b) || len(out) > len(b) {
				t.Fatalf("%d bytes became %d", len(b), len(out))
			}
			n := 0
			for _, c := range cs {
				n += CommandLen(c)
			}
			if n != len(out) {
				t.Fatalf("said to be of %d bytes, not %d", n, len(out))
			}
			again, err := parse(out)
			if err != nil || !reflect.DeepEqual(again, cs) {
				t.Fatalf("%v, %v, want %v", again, err, cs)
			}
		}
	})
}
