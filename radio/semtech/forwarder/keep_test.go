package forwarder

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio/semtech/gwmp"
)

// TestDiskUntouched checks that nothing is written while the server answers.
func TestDiskUntouched(t *testing.T) {
	disk := newTable()
	bubble(t, Config{Table: disk}, func(t *testing.T, r *rig) {
		for n := range 200 {
			r.Take(frame(n))
			sleep(100 * time.Millisecond)
		}
		r.stop()
		if disk.writes != 0 || len(r.srv.frames()) != 200 {
			t.Errorf("%d transactions", disk.writes)
		}
	})
}

// TestDiskGrouped checks that frames go to disk together while the server is gone.
func TestDiskGrouped(t *testing.T) {
	disk := newTable()
	bubble(t, Config{Table: disk}, func(t *testing.T, r *rig) {
		sleep(time.Second)
		r.srv.answers(false, false)
		for n := range 1200 {
			r.Take(frame(n))
			sleep(10 * time.Millisecond)
		}
		sleep(time.Second)
		if st := r.Status(); disk.len() != 1200 || st.Kept != 1200 || disk.writes > 20 || disk.puts != 1200 {
			t.Errorf("%d on disk, %d transactions, %d values, %+v", disk.len(), disk.writes, disk.puts, st)
		}
		before := disk.writes
		r.srv.answers(true, true)
		sleep(30 * time.Second)
		if got := numbers(t, r.srv.frames()); !slices.Equal(got[len(got)-1200:], upTo(0, 1199)) || disk.len() != 0 || disk.writes-before > 40 {
			t.Errorf("%d frames, %d on disk, %d transactions", len(got), disk.len(), disk.writes-before)
		}
	})
}

// TestStop checks that what waits is on disk after Run, however young.
func TestStop(t *testing.T) {
	disk := newTable()
	bubble(t, Config{Table: disk}, func(t *testing.T, r *rig) {
		sleep(time.Second)
		r.srv.answers(true, false)
		r.Take(frame(1))
		r.Take(frame(2))
		sleep(time.Millisecond)
		r.stop()
		if disk.len() != 2 {
			t.Errorf("%d on disk", disk.len())
		}
		r.srv.got(gwmp.PushData)
		r.srv.answers(true, true)
		again := start(t, r.srv, r.clock, Config{Table: disk, Late: Mark})
		defer again.stop()
		again.Take(frame(3))
		sleep(2 * time.Second)
		var packets []gwmp.Rxpk
		for _, c := range r.srv.got(gwmp.PushData) {
			// Those of the earlier run count as late: their counter is that run's.
			if late := strings.Contains(string(c.Body), `"late":"1"`); late != (numbers(t, c.packets)[0] != 3) {
				t.Errorf("%s", c.Body)
			}
			packets = append(packets, c.packets...)
		}
		if got := numbers(t, packets); !slices.Equal(got, []int{1, 2, 3}) || disk.len() != 0 {
			t.Errorf("%v, %d on disk", got, disk.len())
		}
	})
}

// TestKill kills the process after each transaction of an outage and starts
// another with the disk as it was then. Frames that the server has not had before
// are there, except those younger than Grace and CommitEvery, in order.
func TestKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type crash struct {
			disk map[string][]byte
			at   time.Time
			had  []int
		}
		var crashes []crash
		var heard []time.Time
		disk := newTable()
		srv := &server{t: t, pulls: true, pushs: true}
		clock := newClock()
		disk.after = func(m map[string][]byte) {
			c := crash{disk: m, at: time.Now()}
			srv.mu.Lock()
			for _, d := range srv.log {
				c.had = append(c.had, numbers(t, d.packets)...)
			}
			srv.mu.Unlock()
			crashes = append(crashes, c)
		}
		r := start(t, srv, clock, Config{Table: disk})
		defer r.stop()
		for n := range 300 {
			switch n {
			case 50, 200:
				srv.answers(false, false)
			case 150, 250:
				srv.answers(true, true)
			}
			heard = append(heard, time.Now())
			r.Take(frame(n))
			sleep(100 * time.Millisecond)
		}
		r.stop()
		if len(crashes) < 20 {
			t.Fatalf("%d transactions", len(crashes))
		}
		for _, c := range crashes {
			srv.got(gwmp.PushData)
			again := start(t, srv, clock, Config{Table: &table{m: c.disk}})
			sleep(10 * time.Second)
			again.stop()
			got := numbers(t, srv.frames())
			if !slices.IsSorted(got) {
				t.Fatalf("out of order: %v", got)
			}
			for n, at := range heard {
				if c.at.Sub(at) > again.cfg.Grace+again.cfg.CommitEvery && !slices.Contains(got, n) && !slices.Contains(c.had, n) {
					t.Fatalf("frame %d, heard %v before the crash, is lost", n, c.at.Sub(at))
				}
			}
		}
	})
}

// TestDiskRefuses checks that frames are kept in memory, and written when that is
// possible again.
func TestDiskRefuses(t *testing.T) {
	disk := newTable()
	bubble(t, Config{Table: disk}, func(t *testing.T, r *rig) {
		disk.setFail(errDisk)
		sleep(time.Second)
		r.srv.answers(false, false)
		for n := range 700 {
			r.Take(frame(n))
		}
		sleep(10 * time.Second)
		if st := r.Status(); st.Disk == nil || st.Waiting != 700 || st.Kept != 0 {
			t.Errorf("%+v", st)
		}
		disk.setFail(nil)
		sleep(2 * time.Second)
		if st := r.Status(); st.Disk != nil || st.Kept != 700 || disk.len() != 700 {
			t.Errorf("%+v, %d on disk", st, disk.len())
		}
		disk.setFail(errDisk)
		r.srv.got(gwmp.PushData)
		r.srv.answers(true, true)
		sleep(20 * time.Second)
		if got := numbers(t, r.srv.frames()); !slices.Equal(got, upTo(0, 699)) || disk.len() != 700 {
			t.Errorf("%d frames, %d on disk", len(got), disk.len())
		}
		disk.setFail(nil)
		sleep(2 * time.Second)
		if disk.len() != 0 {
			t.Errorf("%d on disk", disk.len())
		}
	})
}

// TestDiskUnreadable checks that frames of an earlier run are not written over
// while they cannot be read, and come first when they can.
func TestDiskUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newTable()
		srv := &server{t: t}
		clock := newClock()
		r := start(t, srv, clock, Config{Table: disk})
		for n := 1; n <= 3; n++ {
			r.Take(frame(n))
		}
		sleep(2 * time.Second)
		r.stop()
		disk.m["0000000000000002"] = []byte("damaged")
		disk.m["other"] = []byte("not ours")
		disk.setFail(errDisk)
		r = start(t, srv, clock, Config{Table: disk})
		defer r.stop()
		r.Take(frame(4))
		sleep(10 * time.Second)
		if st := r.Status(); st.Disk == nil || st.Waiting != 1 {
			t.Errorf("%+v", st)
		}
		disk.setFail(nil)
		sleep(2 * time.Second)
		if disk.len() != 4 { // two that were there, the new one, and what is not ours
			t.Errorf("%d on disk", disk.len())
		}
		srv.got(gwmp.PushData)
		srv.answers(true, true)
		sleep(30 * time.Second)
		if got := numbers(t, srv.frames()); !slices.Equal(got, []int{1, 3, 4}) || r.Status().Damaged != 1 || disk.len() != 1 {
			t.Errorf("%v, %+v, %d on disk", got, r.Status(), disk.len())
		}
	})
}

func TestEntry(t *testing.T) {
	e := entry{packet: gwmp.FromFrame(frame(7)), radio: "hat", at: gateway.Stamp{Wall: time.Date(2026, 5, 1, 12, 0, 0, 123456000, time.UTC),
		Boot: gateway.Boot{1, 2, 3}, Mono: 12345678 * time.Microsecond, Quality: gateway.ClockUnsynced}}
	got, err := parseEntry(e.append(nil))
	want := e
	want.old, want.kept = true, true
	if err != nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("%+v, %v, want\n%+v", got, err, want)
	}
	whole := e.append(nil)
	for n := range whole {
		if _, err := parseEntry(whole[:n]); err == nil {
			t.Errorf("%d bytes of %d are an entry", n, len(whole))
		}
	}
}

func TestAge(t *testing.T) {
	wall := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	stamp := func(boot byte, mono, wallOff time.Duration, q gateway.ClockQuality) gateway.Stamp {
		return gateway.Stamp{Boot: gateway.Boot{boot}, Mono: mono, Wall: wall.Add(wallOff), Quality: q}
	}
	for _, c := range []struct {
		at, now gateway.Stamp
		age     time.Duration
		known   bool
	}{
		{stamp(1, 10, 0, gateway.ClockUnset), stamp(1, 15, time.Hour, gateway.ClockSynced), 5, true},
		{stamp(1, 10, 0, gateway.ClockSynced), stamp(2, 3, time.Hour, gateway.ClockUnsynced), time.Hour, true},
		{stamp(1, 10, 0, gateway.ClockUnset), stamp(2, 3, time.Hour, gateway.ClockSynced), 0, false},
		{stamp(1, 10, 0, gateway.ClockSynced), stamp(2, 3, time.Hour, gateway.ClockUnset), 0, false},
		{stamp(1, 10, 0, gateway.ClockSynced), stamp(2, 3, -time.Hour, gateway.ClockSynced), 0, false},
	} {
		e := entry{at: c.at}
		if age, known := e.age(c.now); age != c.age || known != c.known {
			t.Errorf("%+v, %+v: %v, %v", c.at, c.now, age, known)
		}
	}
}

func FuzzEntry(f *testing.F) {
	e := entry{packet: gwmp.FromFrame(frame(7)), radio: "hat", at: gateway.Stamp{Quality: gateway.ClockSynced, Wall: time.Unix(1, 0)}}
	f.Add(e.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEntry(b)
		if err != nil {
			return
		}
		again, err := parseEntry(e.append(nil))
		if err != nil || !bytes.Equal(again.packet.Data, e.packet.Data) || fmt.Sprint(again.at) != fmt.Sprint(e.at) || again.radio != e.radio {
			t.Fatalf("%+v became %+v, %v", e, again, err)
		}
	})
}
