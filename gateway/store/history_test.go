package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fieldgate/gateway"
)

// naive is what History must give, out of all records of the log.
func naive(recs []gateway.Record, q gateway.HistoryQuery) (out []gateway.Record) {
	erasures := map[uint64]gateway.Erasure{}
	for _, r := range recs {
		var x gateway.Erasure
		if r.Kind == gateway.KindErase && r.Device == q.Device && r.Channel == q.Channel && json.Unmarshal(r.Value, &x) == nil {
			erasures[r.Seq] = x
		}
	}
	for _, r := range recs {
		kind := r.Kind
		if kind == gateway.KindCommand {
			kind = gateway.KindActuator
		}
		if kind != q.Kind || r.Device != q.Device || r.Channel != q.Channel ||
			!q.From.IsZero() && r.At.Before(q.From) || !q.To.IsZero() && r.At.After(q.To) ||
			r.Stamp.Quality != gateway.ClockUnset && r.Stamp.Wall.Before(q.Born) {
			continue
		}
		erased := false
		for seq, x := range erasures {
			if seq > r.Seq && kind == gateway.KindSensor &&
				(x.From.IsZero() || !r.At.Before(x.From)) && (x.To.IsZero() || !r.At.After(x.To)) {
				erased = true
			}
		}
		if !erased {
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b gateway.Record) int { return a.At.Compare(b.At) })
	if q.Backward {
		slices.Reverse(out)
	}
	if q.Limit > 0 && len(out) > q.Limit {
		out = out[:q.Limit]
	}
	return out
}

func (r *rig) history(q gateway.HistoryQuery) (out []gateway.Record) {
	r.t.Helper()
	err := r.History(context.Background(), q, func(rec gateway.Record) error {
		out = append(out, rec)
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// arranged waits until each full segment has its columns.
func (r *rig) arranged() {
	r.t.Helper()
	await(r.t, "columns", func() bool {
		r.Log.mu.Lock()
		r.Log.poke()
		r.Log.mu.Unlock()
		x := r.index.Load()
		return lacking(x.segments) < 0 && len(x.stray) == 0 && len(r.wornOut()) == 0
	})
}

func query1(device, channel string) gateway.HistoryQuery {
	return gateway.HistoryQuery{Kind: gateway.KindSensor, Device: device, Channel: channel}
}

func brief(recs []gateway.Record) string {
	var s []string
	for _, r := range recs {
		s = append(s, fmt.Sprintf("%d@%s", r.Seq, r.At.Format("060102T150405.000000")))
	}
	return strings.Join(s, " ")
}

func compareHistory(t interface {
	Helper()
	Fatalf(string, ...any)
}, got, want []gateway.Record, q gateway.HistoryQuery) {
	t.Helper()
	if len(got) == 0 && len(want) == 0 || reflect.DeepEqual(got, want) {
		return
	}
	for i := range min(len(got), len(want)) {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("%+v: value %d is\n%+v, want\n%+v\n%s\n%s", q, i, got[i], want[i], brief(got), brief(want))
		}
	}
	t.Fatalf("%+v:\n%s, want\n%s", q, brief(got), brief(want))
}

// TestHistoryModel compares histories with a reading of the whole log, through
// appends in any order of time, clocks that are set late, erasures, closed and
// dropped segments, restarts, kills and damaged columns.
func TestHistoryModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		r := rigIn(t, dir, Options{MaxSize: 1 << 20, SegmentBytes: rapid.SampledFrom([]int64{2 << 10, 8 << 10, 64 << 10}).Draw(rt, "segment")})
		m := &historyModel{rig: r}
		defer r.close()
		rt.Repeat(map[string]func(*rapid.T){
			"append": m.append,
			"erase":  m.erase,
			"clock":  m.clock,
			"restart": func(*rapid.T) {
				r.opt.Clock = r.clock
				r.reopen()
			},
			"cut":      m.cut,
			"arranged": func(*rapid.T) { r.arranged() },
			"damage":   m.damage,
			"":         m.check,
		})
	})
}

type historyModel struct {
	rig *rig
	n   int
}

func (m *historyModel) time(rt *rapid.T, label string) time.Time {
	switch rapid.IntRange(0, 5).Draw(rt, label) {
	case 0, 1, 2:
		return time.Time{}
	case 3:
		return epoch.Add(time.Duration(rapid.IntRange(-40, 40).Draw(rt, label+" minutes")) * time.Minute)
	case 4:
		return time.Date(2013, 1, 1, 0, 0, rapid.IntRange(0, 50).Draw(rt, label+" seconds"), 0, time.UTC)
	}
	return epoch.Add(time.Duration(rapid.IntRange(-5_000_000, 5_000_000).Draw(rt, label+" ns")))
}

func (m *historyModel) append(rt *rapid.T) {
	var recs []gateway.Record
	size := rapid.SampledFrom([]int{1, 1, 20, 400, 600, 9000}).Draw(rt, "bytes")
	for range 1 + rapid.IntRange(1, 300).Draw(rt, "records")/(1+size/20) {
		m.n++
		r := m.rig.reading(m.n)
		if r.Time = m.time(rt, "time"); !r.Time.IsZero() {
			r.Time = r.Time.Truncate(time.Microsecond)
		}
		switch rapid.IntRange(0, 9).Draw(rt, "kind") {
		case 0:
			r.Kind = gateway.KindActuator
		case 1:
			r.Kind, r.Origin = gateway.KindCommand, "cloud"
		case 2:
			r.Kind = gateway.KindCommand
		case 3:
			r.Device = "Other"
		case 4:
			r = gateway.Record{Kind: gateway.KindChange, Topic: "devices/Other/name", Value: json.RawMessage(`"x"`), Stamp: r.Stamp}
		}
		if size > 1 && r.Kind != gateway.KindChange {
			r.Value = json.RawMessage(strconv.Quote(strings.Repeat("x", size)))
		}
		recs = append(recs, r)
		m.rig.clock.Advance(time.Duration(rapid.SampledFrom([]int{0, 1, 1000, 60_000_000}).Draw(rt, "advance")) * time.Microsecond)
	}
	m.rig.put(recs...)
}

func (m *historyModel) erase(rt *rapid.T) {
	raw, err := json.Marshal(gateway.Erasure{From: m.time(rt, "from"), To: m.time(rt, "to")})
	if err != nil {
		rt.Fatal(err)
	}
	if rapid.IntRange(0, 9).Draw(rt, "bad") == 0 {
		raw = []byte(`[]`)
	}
	m.rig.put(gateway.Record{Kind: gateway.KindErase, Device: "MyDevice", Channel: "TC" + strconv.Itoa(rapid.IntRange(0, 2).Draw(rt, "sensor")),
		Value: raw, Stamp: m.rig.clock.Now()})
}

func (m *historyModel) clock(rt *rapid.T) {
	c := m.rig.clock
	switch rapid.IntRange(0, 3).Draw(rt, "what") {
	case 0:
		c.Reboot(time.Date(1970, 1, 1, 0, 0, rapid.IntRange(0, 30).Draw(rt, "second"), 0, time.UTC), gateway.ClockUnset)
	case 1:
		c.Reboot(epoch.Add(time.Duration(rapid.IntRange(0, 100).Draw(rt, "minutes"))*time.Minute), gateway.ClockUnsynced)
	case 2:
		c.Set(epoch.Add(time.Duration(rapid.IntRange(0, 100).Draw(rt, "minutes"))*time.Minute), gateway.ClockSynced)
	case 3:
		c.Set(c.Now().Wall.Add(-time.Minute), c.Now().Quality)
	}
	if rapid.Bool().Draw(rt, "noted") {
		m.rig.NoteClock(c.Now())
	}
}

// cut has the process die without Close.
func (m *historyModel) cut(*rapid.T) {
	m.rig.stop()
	m.rig.Log.setFile(nil)
	m.rig.Log = nil
	m.rig.opt.Clock = m.rig.clock
	m.rig.open()
}

// damage turns bits of what queries read.
func (m *historyModel) damage(rt *rapid.T) {
	m.rig.close()
	damageColumns(m.rig.t, m.rig.path, rapid.IntRange(1, 4).Draw(rt, "one of"), rapid.Uint64().Draw(rt, "seed"))
	m.rig.opt.Clock = m.rig.clock
	m.rig.open()
	if h := m.rig.Health(); h.SetAside != "" || h.Damaged > 0 {
		rt.Fatalf("%+v", h)
	}
}

// damageColumns turns a bit in about one of n blobs that queries read.
func damageColumns(t testing.TB, path string, n int, seed uint64) (damaged int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(seed, seed))
	s := scanner{r: bytes.NewReader(bytes.Clone(b)), size: int64(len(b)), most: MaxRecord}
	s.id = s.vote()
	s.each(0, s.size, func(off int64, o blob) bool {
		if o.typ >= blobColumn && o.typ <= blobColumns && rnd.IntN(n) == 0 {
			b[off+rnd.Int64N(int64(o.size))] ^= 1 << rnd.IntN(8)
			damaged++
		}
		return true
	})
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return damaged
}

func (m *historyModel) check(rt *rapid.T) {
	q := gateway.HistoryQuery{Kind: rapid.SampledFrom([]gateway.Kind{gateway.KindSensor, gateway.KindSensor, gateway.KindActuator}).Draw(rt, "of"),
		Device: rapid.SampledFrom([]string{"MyDevice", "MyDevice", "Other"}).Draw(rt, "device"), Channel: "TC1",
		From: m.time(rt, "from"), To: m.time(rt, "to"), Backward: rapid.Bool().Draw(rt, "backward")}
	if rapid.Bool().Draw(rt, "limited") {
		q.Limit = rapid.IntRange(1, 20).Draw(rt, "limit")
	}
	if rapid.IntRange(0, 5).Draw(rt, "born") == 0 {
		q.Born = epoch.Add(20 * time.Minute)
	}
	for tries := 0; ; tries++ {
		first, table := m.rig.First(), m.rig.clocks.table.Load()
		recs, got := m.rig.all(), m.rig.history(q)
		if now := m.rig.clocks.table.Load(); m.rig.First() == first && (now == table || tries > 10) {
			compareHistory(rt, got, naive(recs, q), q)
			return
		}
	}
}

// TestHistoryOrder: in the order of time, ties by sequence, what was taken long
// ago and recorded today in its place; and exactly reversed.
func TestHistoryOrder(t *testing.T) {
	r := newRig(t, Options{})
	at := func(d time.Duration) gateway.Record {
		rec := r.reading(1)
		rec.Time = epoch.Add(d)
		return rec
	}
	old := r.reading(1)
	old.Time = time.Date(2013, 5, 1, 0, 0, 0, 0, time.UTC)
	r.put(at(3*time.Second), at(time.Second), at(2*time.Second), old, at(time.Second))
	q := query1("MyDevice", "TC1")
	order := func(q gateway.HistoryQuery) (seqs []uint64) {
		for _, rec := range r.history(q) {
			seqs = append(seqs, rec.Seq)
		}
		return seqs
	}
	if got := order(q); fmt.Sprint(got) != "[4 2 5 3 1]" {
		t.Errorf("forward: %v", got)
	}
	q.Limit, q.Backward = 3, true
	if got := order(q); fmt.Sprint(got) != "[1 3 5]" {
		t.Errorf("backward: %v", got)
	}
	q.From, q.To = epoch.Add(time.Second), epoch.Add(2*time.Second)
	if got := order(q); fmt.Sprint(got) != "[3 5 2]" {
		t.Errorf("window: %v", got)
	}
	stop := errors.New("stop")
	n := 0
	if err := r.History(t.Context(), q, func(gateway.Record) error { n++; return stop }); err != stop || n != 1 {
		t.Errorf("%v after %d values", err, n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.History(ctx, q, func(gateway.Record) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := r.History(t.Context(), gateway.HistoryQuery{Kind: gateway.KindChange}, nil); err == nil {
		t.Error("changes have a history")
	}
	if got := r.history(query1("MyDevice", "TC")); len(got) != 0 {
		t.Errorf("another sensor has %v", got)
	}
}

// TestHistoryReadsWhatItNeeds: a window of one sensor among many costs a small
// part of the log, with and without its active segment.
func TestHistoryReadsWhatItNeeds(t *testing.T) {
	r := newRig(t, Options{SegmentBytes: 64 << 10})
	fillStreams(r, 20, 3000)
	r.arranged()
	r.history(query1("MyDevice", "S3")) // the active segment is known now
	if got := r.history(query1("MyDevice", "S3")); len(got) != 3000 {
		t.Fatalf("%d values", len(got))
	}
	x := r.index.Load()
	logBytes := int64(0)
	for _, s := range x.segments {
		logBytes += int64(s.bytes)
	}
	q := query1("MyDevice", "S3")
	q.From, q.To = epoch.Add(1000*time.Minute), epoch.Add(1060*time.Minute)
	r.readBytes.Store(0)
	if got := r.history(q); len(got) != 61 {
		t.Fatalf("%d values", len(got))
	}
	if n := r.readBytes.Load(); n > logBytes/20 {
		t.Errorf("%d bytes of %d were read for an hour of one sensor", n, logBytes)
	}
	share := int64(0)
	for _, s := range x.segments {
		share += int64(s.columns.bytes)
	}
	if share == 0 || share > x.used*2/5 {
		t.Errorf("the columns take %d bytes of %d", share, x.used)
	}
}

// fillStreams appends a value a minute for each of n sensors S0, S1 and so on.
func fillStreams(r *rig, n, minutes int) {
	var recs []gateway.Record
	for i := range minutes {
		stamp := gateway.Stamp{Wall: epoch.Add(time.Duration(i) * time.Minute), Mono: time.Duration(i) * time.Minute,
			Boot: gateway.Boot{9}, Quality: gateway.ClockSynced}
		for s := range n {
			recs = append(recs, gateway.Record{Kind: gateway.KindSensor, Device: "MyDevice", Channel: "S" + strconv.Itoa(s),
				Value: json.RawMessage(strconv.FormatFloat(20+float64(i%100)/10, 'f', 2, 64)), Stamp: stamp})
		}
		if len(recs) > 4000 || i == minutes-1 {
			r.put(recs...)
			recs = recs[:0:0]
		}
	}
}

// TestHistoryDuringChanges: queries run while segments close, get columns and
// are dropped, and always give each value that stays throughout once.
func TestHistoryDuringChanges(t *testing.T) {
	r := newRig(t, Options{MaxSize: 1 << 20, SegmentBytes: 8 << 10})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; i < 20_000; i += 500 {
			r.fill(i, 500)
		}
	}()
	for running := true; running; {
		select {
		case <-ended:
			running = false
		default:
		}
		head := r.Head()
		got := r.history(query1("MyDevice", "TC1"))
		first := r.First()
		seen := map[uint64]bool{}
		for _, rec := range got {
			if seen[rec.Seq] {
				t.Fatalf("record %d came twice", rec.Seq)
			}
			seen[rec.Seq] = true
			if n, _ := strconv.Atoi(string(rec.Value)); n%3 != 1 {
				t.Fatalf("value %s", rec.Value)
			}
		}
		for seq := first; seq <= head; seq++ {
			if rec, err := r.Read(seq, 1, 0); err == nil && len(rec) == 1 && rec[0].Seq == seq && rec[0].Channel == "TC1" && !seen[seq] {
				t.Fatalf("record %d of %d to %d is missing", seq, first, head)
			}
		}
	}
}
