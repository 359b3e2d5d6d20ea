package gwmp

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

var eui = EUI{0xaa, 0x55, 0x5a, 0, 0, 0, 1, 1}

// datagrams has one datagram of each kind, byte by byte as PROTOCOL.TXT sections
// 3.2, 3.3, 5.2 to 5.5 lay them out.
var datagrams = []struct {
	name string
	d    Datagram
	b    string
}{
	{"PUSH_DATA", Datagram{2, Token{0x12, 0x34}, PushData, eui, []byte(`{}`)}, "\x02\x12\x34\x00\xaa\x55\x5a\x00\x00\x00\x01\x01{}"},
	{"PUSH_DATA v1", Datagram{1, Token{0x12, 0x34}, PushData, eui, []byte(`{}`)}, "\x01\x12\x34\x00\xaa\x55\x5a\x00\x00\x00\x01\x01{}"},
	{"PUSH_ACK", Datagram{2, Token{0, 0xff}, PushAck, EUI{}, nil}, "\x02\x00\xff\x01"},
	{"PULL_DATA", Datagram{2, Token{1, 0}, PullData, eui, nil}, "\x02\x01\x00\x02\xaa\x55\x5a\x00\x00\x00\x01\x01"},
	{"PULL_RESP", Datagram{2, Token{1, 0}, PullResp, EUI{}, []byte(`{"txpk":{}}`)}, "\x02\x01\x00\x03{\"txpk\":{}}"},
	{"PULL_ACK", Datagram{1, Token{1, 0}, PullAck, EUI{}, nil}, "\x01\x01\x00\x04"},
	{"TX_ACK", Datagram{2, Token{1, 0}, TxAck, eui, []byte{}}, "\x02\x01\x00\x05\xaa\x55\x5a\x00\x00\x00\x01\x01"},
	{"TX_ACK with JSON", Datagram{2, Token{1, 0}, TxAck, eui, []byte(`{}`)}, "\x02\x01\x00\x05\xaa\x55\x5a\x00\x00\x00\x01\x01{}"},
}

func TestDatagram(t *testing.T) {
	for _, c := range datagrams {
		t.Run(c.name, func(t *testing.T) {
			if got := string(c.d.Append([]byte("x"))); got != "x"+c.b {
				t.Errorf("append: %q", got)
			}
			got, err := Parse([]byte(c.b))
			if err != nil || !reflect.DeepEqual(got, c.d) {
				t.Errorf("parse: %+v, %v", got, err)
			}
		})
	}
}

func TestDatagramRefused(t *testing.T) {
	for _, c := range []struct {
		b    string
		want error
	}{
		{"", ErrShort},
		{"\x02\x00\x00", ErrShort},
		{"\x00\x00\x00\x01", ErrVersion},
		{"\x03\x00\x00\x01", ErrVersion},
		{"\x02\x00\x00\x06", ErrKind},
		{"\x02\x00\x00\xff", ErrKind},
		{"\x02\x00\x00\x00\xaa\x55\x5a\x00\x00\x00\x01", ErrShort},
		{"\x02\x00\x00\x02\xaa\x55\x5a\x00\x00\x00\x01", ErrShort},
		{"\x02\x00\x00\x05", ErrShort},
		{"\x02\x00\x00\x03" + string(make([]byte, MaxDatagram)), ErrLong},
	} {
		if d, err := Parse([]byte(c.b)); !errors.Is(err, c.want) || !reflect.DeepEqual(d, Datagram{}) {
			t.Errorf("%.20q: %+v, %v", c.b, d, err)
		}
	}
	// What follows where nothing is defined is no matter.
	if d, err := Parse([]byte("\x02\x01\x00\x02\xaa\x55\x5a\x00\x00\x00\x01\x01rest")); err != nil || d.Body != nil {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestKindString(t *testing.T) {
	if PushData.String() != "PUSH_DATA" || TxAck.String() != "TX_ACK" || Kind(9).String() != "kind 9" {
		t.Error(PushData, TxAck, Kind(9))
	}
}

func TestEUI(t *testing.T) {
	for _, s := range []string{"aa555a0000000101", "AA555A0000000101", "aa-55-5a-00-00-00-01-01", "AA:55:5A:00:00:00:01:01"} {
		if e, err := ParseEUI(s); err != nil || e != eui || e.String() != "aa555a0000000101" {
			t.Errorf("%s: %v, %v", s, e, err)
		}
	}
	for _, s := range []string{"", "aa555a000000010", "aa555a00000001011", "aa555a000000010g", "aa55-5a00000001-01", "aa 55 5a 00 00 00 01 01", "aa:55:5a:00:00:00:01-01"} {
		if e, err := ParseEUI(s); !errors.Is(err, ErrEUI) {
			t.Errorf("%q: %v, %v", s, e, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range datagrams {
		f.Add([]byte(c.b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Parse(b)
		if err != nil {
			return
		}
		if again := d.Append(nil); !bytes.HasPrefix(b, again) {
			t.Errorf("%x became %x", b, again)
		}
	})
}
