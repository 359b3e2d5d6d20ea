package store

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"fieldgate/gateway"
)

func sample() stored {
	return stored{
		Record: gateway.Record{Seq: 300, Kind: gateway.KindSensor, Device: "MyDevice", Channel: "TC1",
			Value: json.RawMessage("21.50"), Time: time.Date(2026, 11, 20, 8, 0, 0, 123456000, time.UTC),
			Stamp: gateway.Stamp{Wall: time.Date(2026, 11, 20, 8, 0, 1, 1000, time.UTC), Boot: gateway.Boot{1, 2, 3},
				Mono: 90 * time.Second, Quality: gateway.ClockSynced}},
		epoch: 2, boot: 1, hasBoot: true,
	}
}

// TestGolden pins the format: a change of these bytes makes the records on
// every gateway's disk unreadable.
func TestGolden(t *testing.T) {
	s := sample()
	body, err := appendRecord(nil, &s)
	if err != nil {
		t.Fatal(err)
	}
	seg := segment{base: 1, last: 9, records: 9, bytes: 700, from: 1000, to: 2000, boot: 1, wanted: map[string]uint64{"b": 2, "a": 1}}
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"record", appendBlob(nil, blobRecord, 0xA1B2C3D5, body),
			"fd11e38655d9d5c3b2a13dac02020168010102030000000000000000000000000080aaea558289d69894acb0068089eb9794acb006084d79446576696365035443310532312e3530"},
		{"state", appendBlob(nil, blobState, 0xA1B2C3D5, appendState(nil, &state{tx: 7, epoch: 2, next: 301, first: 1, reserved: 65537, jumps: []jump{{5, 9}}, active: seg})),
			"fd1223648748d5c3b2a11c0702ad0201818004010509010909bc05d00fa01f0102016101016202"},
		{"cursor", appendBlob(nil, blobCursor, 0xA1B2C3D5, appendCursor(nil, "cloud", gateway.Cursor{Next: 200, Done: []gateway.Range{{From: 210, To: 220}}})),
			"fd13519ef878d5c3b2a10d05636c6f7564c80101d201dc01"},
		{"marks", appendBlob(nil, blobMarks, 0xA1B2C3D5, appendMarks(nil, []gateway.Mark{{Session: 0x0102030405060708, Count: 300, Packet: 7}})),
			"fd1ba0cb771bd5c3b2a10c010807060504030201ac0207"},
		{"boot", appendBlob(nil, blobBoot, 0xA1B2C3D5, appendBoot(nil, &boot{1, gateway.Boot{1, 2, 3}, time.Hour, gateway.ClockSynced, 3})),
			"fd141c49c8cfd5c3b2a118010102030000000000000000000000000080909de91a0203"},
		{"block", appendBlob(nil, blobColumn, 0xA1B2C3D5, appendBlock(nil, 1, sampleBlock())),
			"fd18dc12b52cd5c3b2a12c01033cd8040180aaea5582dfebc293acb00681806b0532312e35301d66020081806b09223030303030313722"},
		{"shard", appendBlob(nil, blobShard, 0xA1B2C3D5, appendRaw(appendRaw(appendShardHead(nil, 1, 0, 1), appendKey(nil, gateway.KindSensor, "MyDevice", "TC1")),
			appendDirectory(nil, []block{*sampleBlock(), {number: 4, group: groupUnset, boot: 2, count: 1, lo: -5, hi: 7, monoLo: 1, monoHi: 9}, {number: 5, group: groupErased, count: 1}}))),
			"fd19da3199c3d5c3b2a12f0100010d01084d794465766963655443311d030300028089eb9794acb0060001018989eb9794acb0060c0202080301"},
		{"columns", appendBlob(nil, blobColumns, 0xA1B2C3D5, appendColumns(nil, &seg, columnInfo{1, 6, 8192})),
			"fd1a85b8d01ed5c3b2a1080101090901068040"},
		{"pair", appendPair(0xA1B2C3D5, &pair{4, "devices", "MyDevice", []byte("{}")}),
			"fd1649d9c19ed5c3b2a115040764657669636573084d79446576696365027b7d"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s is\n%s, want\n%s", c.name, got, c.want)
		}
	}
}

func TestRoundTrips(t *testing.T) {
	full := sample()
	full.hasBoot = false
	full.Stamp.Boot = gateway.Boot{}
	full.Topic, full.Origin, full.Uplink, full.QoS, full.Retain = "a/b", "cloud", "other", 2, true
	full.Kind, full.Value = gateway.KindMessage, json.RawMessage{0, 0xFD, 0x11}
	gap := stored{Record: gateway.Record{Seq: 1, Kind: gateway.KindGap, Uplink: "cloud", Stamp: gateway.Stamp{Wall: time.UnixMicro(0).UTC()},
		Lost: &gateway.Lost{Reason: reasonAge, From: 1, To: 3, Count: 3, Counts: map[string]uint64{"a/b": 3}}}}
	old := sample()
	old.Time = time.Date(-50, 1, 1, 0, 0, 0, 0, time.UTC)
	old.Stamp.Mono = -time.Second
	for _, s := range []stored{sample(), full, gap, old} {
		body, err := appendRecord(nil, &s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeRecord(body)
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("%v\n%+v, want\n%+v", err, got, s)
		}
		if n := recordSize(&s.Record) + blobHeader; int64(len(body)) > n {
			t.Errorf("%d bytes, thought to be %d at most", len(body), n)
		}
		for i := range body { // cut anywhere it must be refused
			if _, err := decodeRecord(body[:i]); err == nil {
				t.Errorf("accepted %d of %d bytes", i, len(body))
			}
		}
	}
}

func TestSubMicrosecondsAreDropped(t *testing.T) {
	s := sample()
	s.Stamp.Wall = s.Stamp.Wall.Add(999)
	s.Stamp.Mono += 999
	s.Time = s.Time.Add(1)
	body, _ := appendRecord(nil, &s)
	if got, err := decodeRecord(body); err != nil || !reflect.DeepEqual(got, sample()) {
		t.Fatalf("%v %+v", err, got)
	}
}

func TestBlobRefusesEveryBitFlip(t *testing.T) {
	s := sample()
	body, _ := appendRecord(nil, &s)
	b := appendBlob(nil, blobRecord, 77, body)
	for i := range len(b) * 8 {
		c := bytes.Clone(b)
		c[i/8] ^= 1 << (i % 8)
		if _, err := exactBlob(c, blobRecord, 77); err == nil {
			t.Fatalf("bit %d", i)
		}
	}
	if _, err := exactBlob(b, blobRecord, 78); err == nil {
		t.Fatal("blob of another file")
	}
}

func FuzzDecodeRecord(f *testing.F) {
	s := sample()
	body, _ := appendRecord(nil, &s)
	f.Add(body)
	s.Kind, s.Lost, s.Uplink = gateway.KindGap, &gateway.Lost{Reason: "damage"}, "cloud"
	body, _ = appendRecord(nil, &s)
	f.Add(body)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeRecord(b)
		if err != nil {
			return
		}
		again, err := appendRecord(nil, &s)
		if err != nil {
			if s.Lost != nil {
				return // times that JSON reads but does not write
			}
			t.Fatal(err)
		}
		got, err := decodeRecord(again)
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Fatalf("%v\n%+v\n%+v", err, got, s)
		}
	})
}

func FuzzDecodeMeta(f *testing.F) {
	f.Add(appendState(nil, &state{tx: 7, next: 3, jumps: []jump{{1, 2}}, active: segment{base: 1, wanted: map[string]uint64{"a": 1}}}))
	f.Add(appendCursor(nil, "cloud", gateway.Cursor{Next: 3, Done: []gateway.Range{{From: 5, To: 6}}}))
	f.Add(appendBoot(nil, &boot{number: 1}))
	f.Add(appendPair(1, &pair{1, "t", "k", []byte("v")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeState(b); err == nil {
			if got, err := decodeState(appendState(nil, &s)); err != nil || !reflect.DeepEqual(got, s) {
				t.Fatalf("%v\n%+v\n%+v", err, got, s)
			}
		}
		if n, c, err := decodeCursor(b); err == nil {
			if m, d, err := decodeCursor(appendCursor(nil, n, c)); err != nil || m != n || !reflect.DeepEqual(c, d) {
				t.Fatal(err)
			}
			mergeCursors(c, c)
		}
		if s, err := decodeBoot(b); err == nil {
			if got, err := decodeBoot(appendBoot(nil, &s)); err != nil || got != s {
				t.Fatal(err)
			}
		}
		_, _ = decodeSegment(b)
		_, _ = decodePair(b)
		_, _ = parseBlob(b, 0, MaxRecord)
	})
}
