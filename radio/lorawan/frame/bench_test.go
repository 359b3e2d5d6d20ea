package frame

import "testing"

var sink []byte

// BenchmarkUplink is what a network server does with each uplink: a frame of 20
// bytes, seven of them payload.
func BenchmarkUplink(b *testing.B) {
	nwk, app := Key{1}, Key{2}
	d := Data{Kind: UnconfirmedUp, DevAddr: 0x26011bda, FPort: 1, Payload: make([]byte, 7)}
	frame, err := d.Append(nil, nwk, app, 70000)
	if err != nil || len(frame) != 20 {
		b.Fatal(len(frame), err)
	}
	b.ReportAllocs()
	for b.Loop() {
		d, err := ParseData(frame)
		if err != nil || !CheckData(frame, nwk, FullFCnt(65536, d.FCnt)) {
			b.Fatal(err)
		}
		sink = Decrypt(&d, app, FullFCnt(65536, d.FCnt))
	}
}

func BenchmarkDownlink(b *testing.B) {
	d := Data{Kind: UnconfirmedDown, DevAddr: 0x26011bda, FPort: 1, Payload: make([]byte, 7)}
	buf := make([]byte, 0, MaxLen)
	b.ReportAllocs()
	for n := uint32(0); b.Loop(); n++ {
		var err error
		if sink, err = d.Append(buf, Key{1}, Key{2}, n); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseUp(b *testing.B) {
	cmds := AppendCommands(nil, LinkADRAns{true, true, true}, DevStatusAns{200, 5})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseUp(cmds); err != nil {
			b.Fatal(err)
		}
	}
}
