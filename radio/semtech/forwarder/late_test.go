package forwarder

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio/semtech/gwmp"
)

// outage has the server gone while frames 1 to 30 are heard, one each minute, and
// come back. It returns when the first was heard and what came, in its datagrams.
func outage(t *testing.T, r *rig) (time.Time, []came) {
	sleep(time.Second)
	r.srv.answers(false, false)
	begin := time.Now()
	for n := 1; n <= 30; n++ {
		r.Take(frame(n))
		sleep(time.Minute)
	}
	r.srv.got(gwmp.PushData)
	r.Take(frame(31)) // this one is fresh when the server comes back
	r.srv.answers(true, true)
	sleep(30 * time.Second)
	var pushed []came
	for _, c := range r.srv.got(gwmp.PushData) {
		if c.stat == nil {
			pushed = append(pushed, c)
		}
	}
	return begin, pushed
}

func TestLateSend(t *testing.T) {
	bubble(t, Config{Late: Send, LateAfter: 40 * time.Second}, func(t *testing.T, r *rig) {
		begin, got := outage(t, r)
		var packets []gwmp.Rxpk
		for _, c := range got {
			packets = append(packets, c.packets...)
			if strings.Contains(string(c.Body), "meta") {
				t.Errorf("%s", c.Body)
			}
		}
		if n := numbers(t, packets); !slices.Equal(n, upTo(1, 31)) {
			t.Fatal(n)
		}
		for i, p := range packets {
			if want := begin.Add(time.Duration(i) * time.Minute).Truncate(time.Microsecond); !p.Time.Equal(want) || p.Counter != frame(i+1).Counter {
				t.Errorf("frame %d: %v, %d, want %v", i+1, p.Time, p.Counter, want)
			}
		}
		// The fresh one is by itself.
		if last := got[len(got)-1]; len(last.packets) != 1 {
			t.Errorf("%+v", last)
		}
		if st := r.Status(); st.Forwarded != 31 || st.Waiting != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestLateMark(t *testing.T) {
	bubble(t, Config{Late: Mark, LateAfter: 40 * time.Second}, func(t *testing.T, r *rig) {
		_, got := outage(t, r)
		n := 0
		for _, c := range got {
			n += strings.Count(string(c.Body), `"meta":{"late":"`)
		}
		first, last := string(got[0].Body), string(got[len(got)-1].Body)
		if n != 30 || !strings.Contains(first, `"late":"18`) || strings.Contains(last, "meta") {
			t.Errorf("%d marked\n%s\n%s", n, first, last)
		}
	})
}

func TestLateDrop(t *testing.T) {
	bubble(t, Config{Late: Drop, LateAfter: 40 * time.Second, Table: newTable()}, func(t *testing.T, r *rig) {
		_, got := outage(t, r)
		if len(got) != 1 || !slices.Equal(numbers(t, got[0].packets), []int{31}) {
			t.Errorf("%+v", got)
		}
		if st := r.Status(); st.Late != 30 || st.Forwarded != 1 || st.Waiting != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// TestLateOneByOne checks that the server gets late frames in order even if a
// datagram is lost on the way: the next is not sent before it is acknowledged.
func TestLateOneByOne(t *testing.T) {
	bubble(t, Config{AckWithin: 10 * time.Second}, func(t *testing.T, r *rig) {
		sleep(time.Second)
		r.srv.answers(false, false)
		for n := 1; n <= 30; n++ {
			r.Take(frame(n))
		}
		sleep(time.Hour)
		r.srv.got(gwmp.PushData)
		r.srv.answers(true, false)
		sleep(6 * time.Second)
		got := r.srv.got(gwmp.PushData)
		if len(got) != 1 || got[0].packets[0].Counter != frame(1).Counter {
			t.Fatalf("%d datagrams", len(got))
		}
		n := len(got[0].packets)
		r.srv.say(gwmp.Datagram{Version: 2, Token: got[0].Token, Kind: gwmp.PushAck})
		got = r.srv.got(gwmp.PushData)
		if len(got) != 1 || got[0].packets[0].Counter != frame(n+1).Counter {
			t.Errorf("%+v", got)
		}
		r.Take(frame(31)) // fresh, and behind them all
		var last came
		for range 30 {
			last = got[0]
			r.srv.say(gwmp.Datagram{Version: 2, Token: last.Token, Kind: gwmp.PushAck})
			if got = r.srv.got(gwmp.PushData); len(got) == 0 {
				break
			}
			if len(got) != 1 {
				t.Errorf("%d datagrams at once", len(got))
			}
		}
		if n := numbers(t, last.packets); !slices.Equal(n, []int{31}) {
			t.Error(n)
		}
	})
}

// TestLateBehind checks that frames that became late while they waited for a place
// are not sent before those in front of them are there.
func TestLateBehind(t *testing.T) {
	bubble(t, Config{AckWithin: time.Hour}, func(t *testing.T, r *rig) {
		r.Take(frame(0))
		sleep(time.Millisecond)
		r.srv.answers(true, false)
		for n := 1; n <= window+5; n++ {
			r.Take(frame(n))
			synctest.Wait()
		}
		sleep(time.Minute)
		var flights []came
		for _, c := range r.srv.got(gwmp.PushData) {
			if c.stat == nil && len(c.packets) > 0 && c.packets[0].Counter != 0 {
				flights = append(flights, c)
			}
		}
		for i, c := range flights {
			r.srv.say(gwmp.Datagram{Version: 2, Token: c.Token, Kind: gwmp.PushAck})
			if got := r.srv.got(gwmp.PushData); (len(got) > 0) != (i == window-1) {
				t.Errorf("%d: %+v", i, got)
			}
		}
		if len(flights) != window {
			t.Errorf("%d datagrams", len(flights))
		}
	})
}

func TestTooMany(t *testing.T) {
	disk := newTable()
	bubble(t, Config{MaxFrames: 10, Table: disk}, func(t *testing.T, r *rig) {
		sleep(time.Second)
		r.srv.answers(false, false)
		for n := 1; n <= 25; n++ {
			r.Take(frame(n))
			if n%7 == 0 {
				sleep(10 * time.Second)
			}
		}
		sleep(10 * time.Second)
		if st := r.Status(); st.Full != 15 || st.Waiting != 10 || st.Kept != 10 || disk.len() != 10 {
			t.Errorf("%+v, %d on disk", st, disk.len())
		}
		r.srv.got(gwmp.PushData)
		r.srv.answers(true, true)
		sleep(20 * time.Second)
		if got := numbers(t, r.srv.frames()); !slices.Equal(got, upTo(16, 25)) || disk.len() != 0 {
			t.Errorf("%v, %d on disk", got, disk.len())
		}
	})
}

func TestTooOld(t *testing.T) {
	disk := newTable()
	bubble(t, Config{MaxAge: time.Hour, Table: disk}, func(t *testing.T, r *rig) {
		sleep(time.Second)
		r.srv.answers(false, false)
		r.Take(frame(1))
		sleep(30 * time.Minute)
		r.Take(frame(2))
		sleep(31 * time.Minute)
		if st := r.Status(); st.Expired != 1 || st.Waiting != 1 || disk.len() != 1 {
			t.Errorf("%+v, %d on disk", st, disk.len())
		}
	})
}

// TestTimes checks what the server is told of when a frame was heard, with clocks
// that are not set.
func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := newClock()
		r := start(t, &server{t: t, pulls: true, pushs: true}, clock, Config{})
		defer r.stop()
		one := func() gwmp.Rxpk {
			t.Helper()
			got := r.srv.frames()
			if len(got) != 1 {
				t.Fatalf("%+v", got)
			}
			return got[0]
		}
		now := func() time.Time { return time.Now().Truncate(time.Microsecond) }

		r.Take(frame(1))
		if p := one(); !p.Time.Equal(now()) {
			t.Error(p.Time, now())
		}
		f := frame(2) // it has waited on its way here
		sleep(time.Second)
		r.Take(f)
		if p := one(); !p.Time.Equal(now().Add(-time.Second)) {
			t.Error(p.Time, now())
		}
		f = frame(3) // the forwarder told it
		f.Heard = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
		r.Take(f)
		if p := one(); !p.Time.Equal(f.Heard) {
			t.Error(p.Time)
		}
		clock.set(-time.Hour, gateway.ClockUnsynced)
		r.Take(frame(4))
		if p := one(); !p.Time.IsZero() {
			t.Error(p.Time)
		}
		// Late, and nobody has set the clock.
		r.srv.answers(false, false)
		r.Take(frame(5))
		heard := now()
		sleep(time.Minute)
		r.srv.got(gwmp.PushData)
		r.srv.answers(true, true)
		sleep(6 * time.Second)
		if p := one(); !p.Time.Equal(heard.Add(-time.Hour)) {
			t.Error(p.Time)
		}
		// Late, and the clock has been set in the meantime.
		r.srv.answers(false, false)
		r.Take(frame(6))
		heard = now()
		sleep(time.Minute)
		r.srv.got(gwmp.PushData)
		clock.set(0, gateway.ClockSynced)
		r.srv.answers(true, true)
		sleep(6 * time.Second)
		if p := one(); !p.Time.Equal(heard) {
			t.Error(p.Time)
		}
	})
}
