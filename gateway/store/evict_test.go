package store

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"fieldgate/gateway"
)

// small is a log that drops records soon.
func small(uplinks ...string) Options {
	return Options{MaxSize: 1 << 20, Uplinks: uplinks}
}

func (r *rig) fileSize() int64 {
	st, err := os.Stat(r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	return st.Size()
}

// TestEvictionAnnouncesGaps fills a log far beyond its size. Every record must
// be in the log still or be counted by exactly one gap record.
func TestEvictionAnnouncesGaps(t *testing.T) {
	r := newRig(t, small("cloud", "other"))
	const n = 30_000
	for i := 0; i < n; i += 1000 {
		r.fill(i, 1000)
		if i == 5000 { // acknowledges a little and something in between
			r.SetCursor("other", gateway.Cursor{Next: 2001, Done: []gateway.Range{{From: 3001, To: 4000}}})
		}
		if i == 20000 {
			r.reopen()
		}
	}
	h := r.Health()
	if limit := r.Log.opt.heldSize() + 128<<10; h.FileBytes > limit || r.fileSize() > limit {
		t.Errorf("the file has %d bytes, more than %d", h.FileBytes, limit)
	}
	recs := r.all()
	ascending(t, recs)
	left, gaps := values(recs), gapsOf(recs)
	if len(left) < 5000 {
		t.Fatalf("only %d records are left in a file of %d bytes", len(left), h.FileBytes)
	}
	for up, acked := range map[string]uint64{"cloud": 0, "other": 3000} {
		var lost uint64
		sensors := map[string]uint64{}
		for _, g := range gaps {
			if g.Uplink != up {
				continue
			}
			if g.Lost.Reason != reasonSize || g.Lost.First.IsZero() || g.Lost.To < g.Lost.From {
				t.Errorf("gap %+v", g.Lost)
			}
			lost += g.Lost.Count
			for k, c := range g.Lost.Counts {
				sensors[k] += c
			}
		}
		if want := n - uint64(len(left)) - acked; lost != want {
			t.Errorf("%s: %d records announced as lost, want %d", up, lost, want)
		}
		if s := sensors["MyDevice/TC0"] + sensors["MyDevice/TC1"] + sensors["MyDevice/TC2"]; s != lost || len(sensors) != 3 {
			t.Errorf("%s: sensors %v, want %d in all", up, sensors, lost)
		}
		if c := r.Cursor(up); c.Next != r.First() {
			t.Errorf("%s: cursor at %d, first record %d", up, c.Next, r.First())
		}
		b := r.Backlog(up)
		if want := uint64(len(left)); b.Records < want || b.Records > want+uint64(len(gaps)) {
			t.Errorf("%s: backlog %+v, %d records", up, b, want)
		}
	}
}

func TestAcknowledgedRecordsGoWithoutGap(t *testing.T) {
	r := newRig(t, small("cloud"))
	for i := 0; i < 30_000; i += 1000 {
		r.fill(i, 1000)
		r.SetCursor("cloud", gateway.Cursor{Next: r.Head() + 1})
	}
	recs := r.all()
	if g := gapsOf(recs); len(g) != 0 || len(recs) == 0 || r.First() == 1 {
		t.Fatalf("%d gaps, %d records from %d", len(g), len(recs), r.First())
	}
	if b := r.Backlog("cloud"); b.Records != 0 || !b.Oldest.IsZero() {
		t.Fatalf("%+v", b)
	}
}

func TestGapsOfGapsKeepTheirCount(t *testing.T) {
	r := newRig(t, small("cloud"))
	const n = 60_000
	for i := 0; i < n; i += 2000 {
		r.fill(i, 2000)
	}
	recs := r.all()
	var lost uint64
	for _, g := range gapsOf(recs) {
		lost += g.Lost.Count
	}
	if want := n - uint64(len(values(recs))); lost != want {
		t.Fatalf("%d announced, %d are gone", lost, want)
	}
}

func TestGapsCountOnlyWhatTheUplinkWants(t *testing.T) {
	o := small("cloud", "other")
	o.Filter = func(uplink string, r *gateway.Record) bool { return uplink != "other" || r.Device == "A" }
	r := newRig(t, o)
	now := r.clock.Now()
	big := json.RawMessage(`"` + strings.Repeat("x", 1000) + `"`)
	var recs []gateway.Record
	for range 10 {
		recs = append(recs,
			gateway.Record{Kind: gateway.KindSensor, Device: "A", Channel: "s", Value: big, Stamp: now},
			gateway.Record{Kind: gateway.KindSensor, Device: "B", Channel: "s", Value: big, Stamp: now},
			gateway.Record{Kind: gateway.KindCommand, Device: "A", Channel: "c", Value: big, Stamp: now, Origin: "cloud"},
			gateway.Record{Kind: gateway.KindMessage, Topic: "t", Value: big, Stamp: now, Uplink: "cloud"})
	}
	n := uint64(0)
	for range 60 {
		r.put(append([]gateway.Record(nil), recs...)...)
		n += 10
	}
	left := map[string]uint64{}
	var lost = map[string]map[string]uint64{"cloud": {}, "other": {}}
	total := map[string]uint64{}
	for _, rec := range r.all() {
		switch {
		case rec.Kind == gateway.KindGap:
			total[rec.Uplink] += rec.Lost.Count
			for k, c := range rec.Lost.Counts {
				lost[rec.Uplink][k] += c
			}
		default:
			left[rec.Device+"/"+rec.Channel]++
		}
	}
	check := func(up, what string, want uint64) {
		if lost[up][what] != want {
			t.Errorf("%s lost %d of %s, want %d", up, lost[up][what], what, want)
		}
	}
	check("cloud", "A/s", n-left["A/s"])
	check("cloud", "B/s", n-left["B/s"])
	check("cloud", "A/c", 0)
	check("other", "A/s", n-left["A/s"])
	check("other", "B/s", 0)
	check("other", "A/c", n-left["A/c"])
	if want := 3*n - left["A/s"] - left["B/s"] - left["/"]; total["cloud"] != want {
		t.Errorf("cloud lost %d in all, want %d", total["cloud"], want)
	}
	if left["A/s"] == n {
		t.Error("nothing was dropped")
	}
	if got, want := r.Backlog("other").Records, left["A/s"]+left["A/c"]+uint64(count1(r.all(), "other")); got != want {
		t.Errorf("backlog of other is %d, want %d", got, want)
	}
}

func count1(recs []gateway.Record, uplink string) (n int) {
	for _, r := range recs {
		if r.Kind == gateway.KindGap && r.Uplink == uplink {
			n++
		}
	}
	return n
}

func TestMaxAge(t *testing.T) {
	r := newRig(t, Options{MaxSize: 1 << 20, MaxAge: 8 * time.Hour, Uplinks: []string{"cloud"}})
	for h := range 24 {
		r.fill(h*100, 100)
		r.clock.Advance(time.Hour)
	}
	recs := r.all()
	oldest := recs[0].At
	if age := r.clock.Now().Wall.Sub(oldest); age > 11*time.Hour || age < 8*time.Hour {
		t.Errorf("the oldest record is %v old", age)
	}
	var lost uint64
	for _, g := range gapsOf(recs) {
		if g.Lost.Reason != reasonAge {
			t.Errorf("%+v", g.Lost)
		}
		lost += g.Lost.Count
	}
	if want := 2400 - uint64(len(values(recs))); lost != want || lost == 0 {
		t.Errorf("%d announced, %d are gone", lost, want)
	}
}

// TestMaxAgeTrustsNoUnsetClock: a board that wakes in 1970, or whose records
// are from then, drops nothing for its age.
func TestMaxAgeTrustsNoUnsetClock(t *testing.T) {
	r := newRig(t, Options{MaxSize: 1 << 20, MaxAge: time.Hour})
	r.clock.Set(time.Unix(10, 0), gateway.ClockUnset)
	r.fill(0, 100)
	r.clock.Reboot(epoch, gateway.ClockSynced) // the time of those is never known
	r.fill(100, 100)
	r.clock.Advance(50 * time.Minute)
	r.fill(200, 100)
	if n := len(r.all()); n != 300 {
		t.Fatalf("%d records", n)
	}
	r.clock.Advance(30 * 24 * time.Hour)
	r.clock.Set(time.Unix(10, 0), gateway.ClockUnset)
	r.fill(300, 100)
	if n := len(r.all()); n != 400 {
		t.Fatalf("%d records", n)
	}
}

// TestMaxAgeAndAClockOfItsOwn: a board's clock that nobody vouches for and that
// leaps a year ahead costs nothing that the cloud does not have.
func TestMaxAgeAndAClockOfItsOwn(t *testing.T) {
	r := newRig(t, Options{MaxSize: 1 << 20, MaxAge: 8 * time.Hour, Uplinks: []string{"cloud"}})
	r.clock.Set(r.clock.Now().Wall, gateway.ClockUnsynced)
	for h := range 4 {
		r.fill(h*100, 100)
		r.clock.Advance(2 * time.Hour) // each closes a segment
	}
	had := r.all()
	half := had[len(had)/2].Seq
	r.SetCursor("cloud", gateway.Cursor{Next: half})
	r.clock.Set(r.clock.Now().Wall.AddDate(1, 0, 0), gateway.ClockUnsynced)
	r.fill(400, 100)
	left := r.all()
	if n := len(gapsOf(left)); n > 0 {
		t.Errorf("%d gaps", n)
	}
	if first := left[0].Seq; first == 1 || first > half {
		t.Errorf("the oldest record is %d: the cloud has what is before %d", first, half)
	}
	r.clock.Set(r.clock.Now().Wall, gateway.ClockSynced) // it was right
	r.clock.Advance(2 * time.Hour)
	r.fill(500, 100)
	if gaps := gapsOf(r.all()); len(gaps) == 0 {
		t.Error("nothing went by the word of a clock that is right")
	}
}

func TestCursorSurvives(t *testing.T) {
	r := newRig(t, Options{Uplinks: []string{"a", "b"}})
	if c := r.Cursor("a"); c.Next != 1 {
		t.Fatalf("%+v", c)
	}
	r.fill(0, 100)
	r.SetCursor("a", gateway.Cursor{Next: 10, Done: []gateway.Range{{From: 50, To: 60}, {From: 20, To: 30}, {From: 31, To: 33}}})
	r.SetCursor("a", gateway.Cursor{Next: 5}) // nothing is taken back
	r.SetCursor("nobody", gateway.Cursor{Next: 5})
	r.SetCursor("b", gateway.Cursor{Next: 5000, Done: []gateway.Range{{From: 6000, To: ^uint64(0)}}}) // beyond the end
	want := "{10 [{20 33} {50 60}]}"
	if got := fmt.Sprint(r.Cursor("a")); got != want {
		t.Fatal(got)
	}
	r.reopen()
	if got := fmt.Sprint(r.Cursor("a")); got != want {
		t.Fatal(got)
	}
	if got := fmt.Sprint(r.Cursor("b"), r.Cursor("nobody")); got != "{101 []} {0 []}" {
		t.Fatal(got)
	}
	if got := r.Backlog("a"); got.Records != 100-9-14-11 {
		t.Fatalf("%+v", got)
	}
	r.SetCursor("a", gateway.Cursor{Next: 20})
	if got := fmt.Sprint(r.Cursor("a")); got != "{34 [{50 60}]}" {
		t.Fatal(got)
	}
	// A name that is listed no longer is forgotten.
	r.opt.Uplinks = []string{"b", "c"}
	r.reopen()
	r.opt.Uplinks = []string{"a", "b", "c"}
	r.reopen()
	if got := fmt.Sprint(r.Cursor("a"), r.Cursor("b"), r.Cursor("c")); got != "{1 []} {101 []} {1 []}" {
		t.Fatal(got)
	}
}

// TestCursorIsWrittenWithoutAppends: a cursor must not depend on new records.
func TestCursorIsWrittenWithoutAppends(t *testing.T) {
	r := newRig(t, Options{Uplinks: []string{"a"}, CursorEvery: time.Millisecond})
	r.fill(0, 10)
	commits := r.Health().Commits
	r.SetCursor("a", gateway.Cursor{Next: 5})
	await(t, "a commit", func() bool { return r.Health().Commits > commits })
	r.stop()
	r.setFile(nil) // as if the power failed
	r.Log = nil
	r.open()
	if got := fmt.Sprint(r.Cursor("a")); got != "{5 []}" {
		t.Fatal(got)
	}
}

func TestBacklog(t *testing.T) {
	r := newRig(t, Options{MaxSize: 8 << 20, SegmentBytes: 64 << 10, Uplinks: []string{"cloud"}})
	const n = 20_000
	for i := 0; i < n; i += 1000 {
		r.fill(i, 1000)
		r.clock.Advance(time.Minute)
	}
	for _, c := range []gateway.Cursor{{Next: 1}, {Next: 2}, {Next: 700}, {Next: 5000},
		{Next: 5000, Done: []gateway.Range{{From: 15_001, To: 15_100}}},
		{Next: 5000, Done: []gateway.Range{{From: 15_001, To: 19_000}}},
		{Next: 15_001},
		{Next: n + 1}} {
		r.SetCursor("cloud", c)
		c = r.Cursor("cloud")
		want := uint64(0)
		for seq := c.Next; seq <= n; seq++ {
			if !acked(&c, seq) {
				want++
			}
		}
		b := r.Backlog("cloud")
		if b.Records != want || (want > 0) != (b.Bytes > 0) {
			t.Errorf("%v: backlog %+v, want %d", c, b, want)
		}
		if want > 0 && !b.Oldest.Equal(epoch.Add(time.Duration((c.Next-1)/1000)*time.Minute)) {
			t.Errorf("%v: oldest %v", c, b.Oldest)
		}
	}
	r.fill(n, 10)
	if b := r.Backlog("cloud"); b.Records != 10 {
		t.Errorf("%+v", b)
	}
}

// TestNewUplink: an uplink that is added later is sent what is in the log.
func TestNewUplink(t *testing.T) {
	r := newRig(t, Options{MaxSize: 1 << 20, Uplinks: []string{"old"}})
	r.fill(0, 3000)
	r.opt.Uplinks = []string{"old", "new"}
	r.reopen()
	for n := range 2 {
		if b := r.Backlog("new"); b.Records != uint64(3000+n*100) || r.Cursor("new").Next != 1 {
			t.Fatalf("%+v %v", b, r.Cursor("new"))
		}
		r.fill(3000, 100)
	}
}
