package frame

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"
)

// a data frame of 12 bytes with the FCtrl and what follows FCnt
func raw(mhdr, fctrl byte, rest ...byte) []byte {
	b := append([]byte{mhdr, 4, 3, 2, 1, fctrl, 7, 0}, rest...)
	return append(b, 0xaa, 0xbb, 0xcc, 0xdd)
}

func TestKindOf(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		want Kind
		err  error
	}{
		{"nothing", nil, 0, ErrLength},
		{"join request", make([]byte, 23), JoinRequest, nil},
		{"join request, short", make([]byte, 22), JoinRequest, ErrLength},
		{"join request, long", make([]byte, 24), JoinRequest, ErrLength},
		{"join accept", append([]byte{0x20}, make([]byte, 16)...), JoinAccept, nil},
		{"join accept with CFList", append([]byte{0x20}, make([]byte, 32)...), JoinAccept, nil},
		{"join accept of 18 bytes", append([]byte{0x20}, make([]byte, 17)...), JoinAccept, ErrLength},
		{"join accept of 32 bytes", append([]byte{0x20}, make([]byte, 31)...), JoinAccept, ErrLength},
		{"join accept of 34 bytes", append([]byte{0x20}, make([]byte, 33)...), JoinAccept, ErrLength},
		{"uplink", raw(0x40, 0), UnconfirmedUp, nil},
		{"uplink, short", raw(0x40, 0)[:11], UnconfirmedUp, ErrLength},
		{"confirmed downlink, RFU bits in MHDR", raw(0xbc, 0), ConfirmedDown, nil},
		{"version", raw(0x41, 0), UnconfirmedUp, ErrVersion},
		{"rejoin, type 0", append([]byte{0xc0}, make([]byte, 18)...), Rejoin, nil},
		{"rejoin, type 1", append([]byte{0xc0}, make([]byte, 23)...), Rejoin, nil},
		{"rejoin, short", append([]byte{0xc0}, make([]byte, 19)...), Rejoin, ErrLength},
		{"proprietary", []byte{0xe3}, Proprietary, nil},
		{"255 bytes", append([]byte{0x40}, make([]byte, 254)...), UnconfirmedUp, nil},
		{"256 bytes", append([]byte{0x40}, make([]byte, 255)...), 0, ErrLength},
	} {
		got, err := KindOf(c.b)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %v, %v; want %v, %v", c.name, got, err, c.want, c.err)
		}
	}
}

func TestParseData(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		want Data
		err  error
	}{
		{"all flags up", raw(0x80, 0xf0), Data{Kind: ConfirmedUp, ADR: true, ADRACKReq: true, ACK: true, ClassB: true, FPort: NoFPort}, nil},
		{"all flags down, RFU too", raw(0xa0, 0xf0), Data{Kind: ConfirmedDown, ADR: true, ACK: true, Pending: true, FPort: NoFPort}, nil},
		{"no flags", raw(0x60, 0), Data{Kind: UnconfirmedDown, FPort: NoFPort}, nil},
		{"FPort, no payload", raw(0x40, 0, 224), Data{Kind: UnconfirmedUp, FPort: 224}, nil},
		{"FPort RFU", raw(0x40, 0, 255, 1), Data{Kind: UnconfirmedUp, FPort: 255, Payload: []byte{1}}, nil},
		{"FOpts fill it", raw(0x40, 2, 2, 13), Data{Kind: UnconfirmedUp, FPort: NoFPort, FOpts: []byte{2, 13}}, nil},
		{"15 bytes of FOpts", raw(0x40, 15, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 9, 8),
			Data{Kind: UnconfirmedUp, FPort: 9, Payload: []byte{8}, FOpts: []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}}, nil},
		{"FOpts one too long", raw(0x40, 3, 2, 13), Data{}, ErrLength},
		{"FOpts of 15 in none", raw(0x60, 15), Data{}, ErrLength},
		{"FPort 0", raw(0x40, 0, 0, 1), Data{Kind: UnconfirmedUp, Payload: []byte{1}}, nil},
		{"FPort 0 with FOpts", raw(0x40, 1, 2, 0, 1), Data{}, ErrFPort0},
		{"FPort 0 with FOpts, no payload", raw(0x60, 1, 2, 0), Data{}, ErrFPort0},
		{"version", raw(0x43, 0), Data{}, ErrVersion},
		{"short", raw(0x40, 0)[:11], Data{}, ErrLength},
		{"join request", make([]byte, 23), Data{}, ErrKind},
		{"join accept", append([]byte{0x20}, make([]byte, 16)...), Data{}, ErrKind},
		{"proprietary", raw(0xe0, 0), Data{}, ErrKind},
		{"rejoin", append([]byte{0xc0}, make([]byte, 18)...), Data{}, ErrKind},
	} {
		got, err := ParseData(c.b)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
		if c.err != nil {
			continue
		}
		c.want.DevAddr, c.want.FCnt = 0x01020304, 7
		sameData(t, got, c.want, c.want.Payload)
	}
	d, err := ParseData(raw(0x40, 2, 1, 2, 3, 4))
	if err != nil || cap(d.FOpts) != 2 || cap(d.Payload) != 1 {
		t.Errorf("what is appended to FOpts would go into the frame: %d, %d, %v", cap(d.FOpts), cap(d.Payload), err)
	}
}

func TestDataAppendErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		d    Data
		err  error
	}{
		{"kind", Data{Kind: JoinAccept, FPort: NoFPort}, ErrKind},
		{"FOpts of 16", Data{Kind: UnconfirmedUp, FPort: 1, FOpts: make([]byte, 16)}, ErrRange},
		{"FPort 256", Data{Kind: UnconfirmedUp, FPort: 256}, ErrRange},
		{"FPort -2", Data{Kind: UnconfirmedUp, FPort: -2}, ErrRange},
		{"payload without FPort", Data{Kind: UnconfirmedUp, FPort: NoFPort, Payload: []byte{1}}, ErrRange},
		{"FPort 0 with FOpts", Data{Kind: UnconfirmedDown, FOpts: []byte{6}}, ErrFPort0},
		{"243 bytes", Data{Kind: UnconfirmedUp, FPort: 1, Payload: make([]byte, 243)}, ErrRange},
		{"242 bytes", Data{Kind: UnconfirmedUp, FPort: 1, Payload: make([]byte, 242)}, nil},
		{"FOpts of 15", Data{Kind: UnconfirmedUp, FPort: 1, FOpts: make([]byte, 15)}, nil},
	} {
		b, err := c.d.Append([]byte{1, 2}, Key{1}, Key{2}, 0)
		if !errors.Is(err, c.err) || !bytes.Equal(b[:2], []byte{1, 2}) || err != nil && len(b) != 2 {
			t.Errorf("%s: %x, %v, want %v", c.name, b, err, c.err)
		}
	}
}

// Flags that mean something in the other direction must not go out.
func TestDataAppendFlags(t *testing.T) {
	for kind, want := range map[Kind]byte{UnconfirmedUp: 0xf0, ConfirmedDown: 0xb0} {
		d := Data{Kind: kind, ADR: true, ADRACKReq: true, ACK: true, Pending: true, ClassB: true, FPort: NoFPort}
		if b, err := d.Append(nil, Key{}, Key{}, 0); err != nil || b[5] != want {
			t.Errorf("%s: FCtrl %#x, %v, want %#x", kind, b[5], err, want)
		}
	}
	down := Data{Kind: UnconfirmedDown, ADRACKReq: true, ClassB: true, FPort: NoFPort}
	if b, err := down.Append(nil, Key{}, Key{}, 0); err != nil || b[5] != 0 {
		t.Errorf("FCtrl %#x, %v", b[5], err)
	}
}

func TestAcceptErrors(t *testing.T) {
	for _, a := range []Accept{
		{JoinNonce: 1 << 24}, {NetID: 1 << 24}, {RX1Offset: 8}, {RX2DataRate: 16}, {RxDelay: 16}, {CFList: make([]byte, 15)}, {CFList: make([]byte, 17)},
	} {
		if b, err := a.Append(nil, Key{}); !errors.Is(err, ErrRange) || len(b) != 0 {
			t.Errorf("%+v: %x, %v", a, b, err)
		}
	}
	b, err := Accept{JoinNonce: 5, RxDelay: 3, CFList: make([]byte, 16)}.Append(nil, Key{1})
	if err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(b)
	for i := range b {
		b[i] ^= 0x08
		if i == 0 {
			b[i] = 0x24 // RFU bits, which the MIC covers
		}
		if _, err := ParseAccept(b, Key{1}); !errors.Is(err, ErrMIC) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		copy(b, before)
	}
	if _, err := ParseAccept(b, Key{2}); !errors.Is(err, ErrMIC) {
		t.Errorf("with another key: %v", err)
	}
	if _, err := ParseAccept(b[:17], Key{1}); !errors.Is(err, ErrMIC) {
		t.Errorf("cut to the other length: %v", err)
	}
	if _, err := ParseAccept(b[:32], Key{1}); !errors.Is(err, ErrLength) {
		t.Errorf("cut by a byte: %v", err)
	}
	if _, err := ParseAccept(raw(0x60, 0), Key{1}); !errors.Is(err, ErrKind) {
		t.Errorf("a downlink: %v", err)
	}
	if a, err := ParseAccept(b, Key{1}); err != nil || !bytes.Equal(b, before) || len(a.CFList) != 16 {
		t.Errorf("%+v, %v", a, err)
	}
	if CheckJoin(before[:23], Key{1}) || CheckJoin(nil, Key{1}) || CheckData(make([]byte, 23), Key{1}, 0) || CheckData(nil, Key{}, 0) {
		t.Error("checked what is of another kind")
	}
}

func TestFullFCnt(t *testing.T) {
	for _, c := range []struct {
		last uint32
		low  uint16
		want uint32
	}{
		{0, 0, 0}, {0, 1, 1}, {5, 4, 65540}, {65535, 0, 65536}, {65535, 65535, 65535}, {0x1fffe, 2, 0x20002}, {0x2fffe, 0xffff, 0x2ffff},
		{0xffffffff, 0, 0}, {0xffffffff, 0xffff, 0xffffffff},
	} {
		if got := FullFCnt(c.last, c.low); got != c.want {
			t.Errorf("FullFCnt(%#x, %#x) = %#x, want %#x", c.last, c.low, got, c.want)
		}
	}
}

func TestCommandErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		parse func([]byte) ([]Command, error)
		b     []byte
		want  []Command
		err   error
	}{
		{"nothing", ParseUp, nil, nil, nil},
		{"CID 0", ParseUp, []byte{0}, nil, ErrCommand},
		{"CID 0x0b", ParseDown, []byte{6, 0x0b, 1}, []Command{DevStatusReq{}}, ErrCommand},
		{"class B", ParseUp, []byte{0x10, 1}, nil, ErrCommand},
		{"proprietary behind two", ParseUp, []byte{2, 13, 0x80, 1}, []Command{LinkCheckReq{}, DeviceTimeReq{}}, ErrCommand},
		{"cut off", ParseDown, []byte{6, 3, 0x51, 7, 0}, []Command{DevStatusReq{}}, ErrLength},
		{"CID only", ParseUp, []byte{6}, nil, ErrLength},
		{"RFU bits up", ParseUp, []byte{3, 0xff, 5, 0xf8, 6, 9, 0xe0, 7, 0xff, 10, 0xfc},
			[]Command{LinkADRAns{true, true, true}, RXParamSetupAns{}, DevStatusAns{9, -32}, NewChannelAns{true, true}, DlChannelAns{}}, nil},
		{"RFU bits down", ParseDown, []byte{3, 0x51, 7, 0, 0x81, 4, 0xf3, 5, 0x92, 1, 0, 0, 8, 0xf1, 9, 0xc5},
			[]Command{LinkADRReq{5, 1, 7, 0, 1}, DutyCycleReq{3}, RXParamSetupReq{1, 2, 100}, RXTimingSetupReq{1}, TxParamSetupReq{false, false, 5}}, nil},
	} {
		got, err := c.parse(c.b)
		if !reflect.DeepEqual(got, c.want) || !errors.Is(err, c.err) {
			t.Errorf("%s: %v, %v; want %v, %v", c.name, got, err, c.want, c.err)
		}
	}
	cut := AppendCommands(nil, LinkADRReq{0xf5, 0xf1, 7, 0xf8, 0xf1}, DutyCycleReq{0xf3}, RXTimingSetupReq{0xf1}, TxParamSetupReq{MaxEIRP: 0xf5})
	if want := []byte{3, 0x51, 7, 0, 0x01, 4, 3, 8, 1, 9, 5}; !bytes.Equal(cut, want) {
		t.Errorf("too large values: %x, want %x", cut, want)
	}
}

func TestDeviceTime(t *testing.T) {
	// 2020-01-01 00:00:00 UTC is 1261872018 s of GPS time: 14605 days and 18 leap
	// seconds behind 1980-01-06.
	at := time.Date(2020, 1, 1, 0, 0, 0, 500e6, time.UTC)
	got := DeviceTimeOf(at)
	if got != (DeviceTimeAns{Seconds: 14605*86400 + 18, Fraction: 128}) {
		t.Errorf("%+v", got)
	}
	if !got.Time().Equal(at) {
		t.Errorf("%s, want %s", got.Time(), at)
	}
}

func TestKindString(t *testing.T) {
	for k := JoinRequest; k <= Proprietary+1; k++ {
		if k.String() == "" || k.Data() && k.Uplink() == (k.dir() == dirDown) || k.Confirmed() && !k.Data() {
			t.Errorf("%d: %s", k, k)
		}
	}
	if fmt.Sprint(JoinAccept, ConfirmedUp, Kind(9)) != "join accept confirmed uplink kind 9" {
		t.Errorf("%v %v %v", JoinAccept, ConfirmedUp, Kind(9))
	}
}

// Frames whose MIC is right and whose fields are not.
func TestRightMICWrongFields(t *testing.T) {
	d := Data{Kind: UnconfirmedUp, FPort: NoFPort}
	b, err := d.Append(nil, Key{1}, Key{2}, 5)
	if err != nil {
		t.Fatal(err)
	}
	b[6] = 4
	mic := dataMIC(&Key{1}, dirUp, 0, 5, b[:len(b)-micLen])
	copy(b[len(b)-micLen:], mic[:])
	if CheckData(b, Key{1}, 5) || CheckData(b, Key{1}, 4) {
		t.Error("a frame was taken for one with another counter")
	}

	plain := []byte{0x20, 1, 0, 0, 2, 0, 0, 3, 0, 0, 0, 0x80 | 5<<4 | 6, 0xf7} // RFU bits set
	mic = cmac(&Key{1}, nil, plain)
	plain = append(plain, mic[:]...)
	newCipher(&Key{1}).Decrypt(plain[1:], plain[1:])
	a, err := ParseAccept(plain, Key{1})
	if err != nil || !reflect.DeepEqual(a, Accept{JoinNonce: 1, NetID: 2, DevAddr: 3, RX1Offset: 5, RX2DataRate: 6, RxDelay: 7}) {
		t.Errorf("%+v, %v", a, err)
	}
}
