package store

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"fieldgate/gateway"
)

// sampleBlock is one of two values and number 3.
func sampleBlock() *block {
	s := sample()
	b := &block{number: 3}
	e := entryOf(&s)
	b.add(&e)
	s.Seq, s.boot, s.Value, s.Kind = 351, 2, json.RawMessage(`"0000017"`), gateway.KindCommand
	e = entryOf(&s)
	b.add(&e)
	return b
}

func TestColumnRoundTrips(t *testing.T) {
	key := columnKey{gateway.KindActuator, "MyDevice", "TC1"}
	rapid.Check(t, func(t *rapid.T) {
		var b block
		var want []entry
		for range rapid.IntRange(1, 50).Draw(t, "n") {
			e := entry{seq: rapid.Uint64Range(1, 1<<53).Draw(t, "seq"), command: rapid.Bool().Draw(t, "command"), fetch: rapid.Bool().Draw(t, "fetch"),
				hasTime: rapid.Bool().Draw(t, "has time"), quality: gateway.ClockQuality(rapid.IntRange(0, 2).Draw(t, "quality")),
				boot: rapid.Uint64Range(0, 9).Draw(t, "boot"), mono: rapid.Int64Range(-1<<40, 1<<53).Draw(t, "mono"),
				wall: rapid.OneOf(rapid.Int64Range(-1<<40, 1<<55), rapid.Int64()).Draw(t, "wall")}
			if e.hasTime {
				e.time = rapid.Int64().Draw(t, "time")
			}
			if !e.fetch {
				e.value = rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "value")
			}
			want = append(want, e)
			b.add(&e)
		}
		got, err := decodeEntries(nil, b.body, b.count)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v\n%+v\n%+v", err, got, want)
		}
		for i := range got {
			for _, known := range []*boot{nil, {offset: 1e15, quality: gateway.ClockSynced}} {
				if rec := got[i].record(&key, known); rec.At.UnixMicro() != got[i].at(known) {
					t.Fatalf("%+v is at %v and %d", got[i], rec.At, got[i].at(known))
				}
			}
		}
	})
}

func TestErased(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []erasure
		for range rapid.IntRange(0, 8).Draw(t, "n") {
			e := erasure{seq: rapid.Uint64Range(1, 20).Draw(t, "seq"), from: rapid.Int64Range(-1, 20).Draw(t, "from"), to: rapid.Int64Range(0, 21).Draw(t, "to")}
			if e.from < 0 {
				e.from = math.MinInt64
			}
			if e.to > 20 {
				e.to = math.MaxInt64
			}
			if e.from <= e.to {
				all = append(all, e)
			}
		}
		steps := newErased(all)
		for _, at := range []int64{math.MinInt64, -1, 0, 1, 2, 3, 5, 8, 10, 12, 15, 19, 20, 21, math.MaxInt64} {
			for seq := uint64(0); seq <= 21; seq++ {
				want := false
				for _, e := range all {
					want = want || seq < e.seq && e.from <= at && at <= e.to
				}
				if got := steps.has(at, seq); got != want {
					t.Fatalf("%+v: %d at %d: %v", all, seq, at, got)
				}
			}
		}
	})
}

func FuzzDecodeColumn(f *testing.F) {
	b := sampleBlock()
	seg := &segment{base: 1, last: 9, records: 9}
	key := appendKey(nil, gateway.KindSensor, "MyDevice", "TC1")
	dir := appendDirectory(nil, []block{*b, {number: 4, group: groupUnset, boot: 2, count: 1, lo: -5, hi: 7, monoLo: 1, monoHi: 9}, {number: 5, group: groupErased, count: 1}})
	f.Add(b.body, b.count)
	f.Add(appendBlock(nil, 1, b), 3)
	f.Add(appendErasure(nil, &erasure{7, math.MinInt64, 5}, &erasure{}), 1)
	f.Add(dir, 0)
	f.Add(appendRaw(appendRaw(appendShardHead(nil, 1, 0, 1), key), dir), 0)
	f.Add(appendColumns(nil, seg, columnInfo{1, 6, 8192}), 0)
	f.Fuzz(func(t *testing.T, body []byte, count int) {
		if all, err := decodeEntries(nil, body, count); err == nil {
			var again block
			for i := range all {
				again.add(&all[i])
			}
			got, err := decodeEntries(nil, again.body, again.count)
			if err != nil || len(got) != len(all) || len(all) > 0 && !reflect.DeepEqual(got, all) {
				t.Fatalf("%v\n%+v\n%+v", err, got, all)
			}
			for i := range all {
				c := columnKey{gateway.KindSensor, "d", "s"}
				_ = all[i].record(&c, &boot{offset: 1 << 60, quality: gateway.ClockSynced})
			}
		}
		if all, err := decodeErasures(nil, body, count); err == nil {
			newErased(all).has(5, 5)
		}
		if blocks, err := decodeDirectory(body); err == nil {
			got, err := decodeDirectory(appendDirectory(nil, blocks))
			if err != nil || !reflect.DeepEqual(got, blocks) {
				t.Fatalf("%v\n%+v\n%+v", err, got, blocks)
			}
		}
		if c, err := decodeColumns(body, seg); err == nil {
			if got, err := decodeColumns(appendColumns(nil, seg, c), seg); err != nil || got != c {
				t.Fatal(err, got, c)
			}
		}
		_, _ = findInShard(body, 1, 0, 1, key)
		_, _ = blockBody(body, 1, 3)
	})
}
