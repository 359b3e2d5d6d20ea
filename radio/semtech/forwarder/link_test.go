package forwarder

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/semtech/gwmp"
)

// ago gives when datagrams came, in seconds since begin.
func ago(begin time.Time, list []came) []float64 {
	var s []float64
	for _, c := range list {
		s = append(s, c.at.Sub(begin).Seconds())
	}
	return s
}

func TestKeepalive(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		begin := time.Now()
		sleep(45 * time.Second)
		if got := ago(begin, r.srv.got(gwmp.PullData)); !slices.Equal(got, []float64{0, 10, 20, 30, 40}) {
			t.Error(got)
		}
		if st := r.Status(); !st.Up || st.Err != nil || !st.Since.Equal(begin) {
			t.Errorf("%+v", st)
		}
	})
}

// TestSilentServer checks that the socket is opened anew, and the name resolved
// with it, after three PULL_DATA without an answer.
func TestSilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &server{t: t}, newClock(), Config{})
		defer r.stop()
		begin := time.Now()
		sleep(14 * time.Second)
		if got := ago(begin, r.srv.got(gwmp.PullData)); !slices.Equal(got, []float64{0, 5, 10}) {
			t.Error(got)
		}
		if st := r.Status(); st.Up || !st.Since.Equal(begin) {
			t.Errorf("%+v", st)
		}
		sleep(2 * time.Second)
		if got := r.srv.got(gwmp.PullData); len(got) != 1 || got[0].session != 2 || !errors.Is(r.Status().Err, errSilent) {
			t.Errorf("%v, %v", ago(begin, got), r.Status().Err)
		}
		// No address can be found.
		noName := errors.New("no such host")
		r.srv.mu.Lock()
		r.srv.deny = noName
		r.srv.mu.Unlock()
		sleep(20 * time.Second)
		if err := r.Status().Err; !errors.Is(err, noName) {
			t.Error(err)
		}
		r.srv.mu.Lock()
		r.srv.deny, r.srv.pulls = nil, true
		r.srv.mu.Unlock()
		sleep(5 * time.Second)
		if st := r.Status(); !st.Up || st.Err != nil {
			t.Errorf("%+v", st)
		}
	})
}

// TestReport checks the counters that the server is told every 30 s.
func TestReport(t *testing.T) {
	p := gwmp.Position{Latitude: 46.24, Longitude: 3.2523, Altitude: 145}
	bubble(t, Config{Position: &p}, func(t *testing.T, r *rig) {
		begin := time.Now()
		bad, none := frame(3), frame(4)
		bad.CRC, none.CRC = radio.CRCBad, radio.CRCNone
		for _, f := range []*radio.Frame{frame(1), frame(2), bad, none} {
			r.Take(f)
		}
		sleep(29 * time.Second)
		if got := numbers(t, r.srv.frames()); !slices.Equal(got, []int{1, 2}) {
			t.Error(got)
		}
		sleep(32 * time.Second)
		var stats []gwmp.Stat
		for _, c := range r.srv.got(gwmp.PushData) {
			stats = append(stats, *c.stat)
		}
		if len(stats) != 2 {
			t.Fatalf("%+v", stats)
		}
		a, b := stats[0], stats[1]
		if !a.Time.Equal(begin.Add(30*time.Second)) || *a.Position != p || a.Received != 4 || a.OK != 2 || a.Forwarded != 2 || a.Acked != 100 || b.Acked != 100 || b.Received != 0 || b.Forwarded != 0 {
			t.Errorf("%+v\n%+v", a, b)
		}
		if st := r.Status(); st.Taken != 2 || st.Ignored != 2 || st.Forwarded != 2 || st.Waiting != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// TestAgain has the server acknowledge no PUSH_DATA for a while: each is sent three
// times, then all wait for a PULL_ACK, and nothing is lost or out of order.
func TestAgain(t *testing.T) {
	bubble(t, Config{LateAfter: time.Hour}, func(t *testing.T, r *rig) {
		r.srv.answers(true, false)
		begin := time.Now()
		r.Take(frame(1))
		sleep(2500 * time.Millisecond)
		got := r.srv.got(gwmp.PushData)
		if at := ago(begin, got); !slices.Equal(at, []float64{0, 1, 2}) || got[1].Token != got[0].Token || string(got[1].Body) != string(got[0].Body) {
			t.Error(at)
		}
		r.srv.answers(false, false)
		sleep(time.Second)
		if st := r.Status(); st.Up || !errors.Is(st.Err, errSilent) || st.Again != 2 || st.Waiting != 1 {
			t.Errorf("%+v", st)
		}
		for n := 2; n <= 40; n++ {
			r.Take(frame(n))
		}
		sleep(time.Second)
		if got := r.srv.frames(); got != nil { // not while it is down
			t.Error(numbers(t, got))
		}
		r.srv.answers(true, true)
		sleep(10 * time.Second)
		if got := numbers(t, r.srv.frames()); !slices.Equal(got, upTo(1, 40)) {
			t.Error(got)
		}
		if st := r.Status(); !st.Up || st.Waiting != 0 || st.Forwarded != 40 {
			t.Errorf("%+v", st)
		}
	})
}

// TestWindow checks how much is under way: many PUSH_DATA while all is well, and
// none beyond that.
func TestWindow(t *testing.T) {
	bubble(t, Config{AckWithin: time.Hour, LateAfter: time.Hour}, func(t *testing.T, r *rig) {
		r.srv.answers(true, false)
		r.Take(frame(-1))
		synctest.Wait()
		r.Take(frame(0))
		first := r.srv.got(gwmp.PushData)
		if len(first) != 1 { // it has not shown yet that it takes them
			t.Fatalf("%+v", first)
		}
		r.srv.say(gwmp.Datagram{Version: 2, Token: first[0].Token, Kind: gwmp.PushAck})
		for _, c := range r.srv.got(gwmp.PushData) {
			r.srv.say(gwmp.Datagram{Version: 2, Token: c.Token, Kind: gwmp.PushAck})
		}
		synctest.Wait()
		for n := 1; n <= window+5; n++ {
			r.Take(frame(n))
			synctest.Wait()
		}
		got := r.srv.got(gwmp.PushData)
		if len(got) != window {
			t.Errorf("%d datagrams", len(got))
		}
		r.srv.say(gwmp.Datagram{Version: 2, Token: got[3].Token, Kind: gwmp.PushAck})
		if next := r.srv.got(gwmp.PushData); len(next) != 1 || !slices.Equal(numbers(t, next[0].packets), upTo(window+1, window+4)) {
			t.Errorf("%+v", next)
		}
		if st := r.Status(); st.Waiting != window+4 {
			t.Errorf("%+v", st)
		}
		// Acknowledged twice, and by a token that nobody knows.
		r.srv.say(gwmp.Datagram{Version: 2, Token: got[3].Token, Kind: gwmp.PushAck})
		r.srv.say(gwmp.Datagram{Version: 2, Kind: gwmp.PushData, EUI: eui})
		synctest.Wait()
		if st := r.Status(); st.Forwarded != 3 || st.Garbage != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// TestSize checks that datagrams of several frames fit a packet of the network.
func TestSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &server{t: t}, newClock(), Config{})
		defer r.stop()
		for range 50 {
			f := frame(1)
			f.Payload = make([]byte, 255)
			r.Take(f)
			r.Take(frame(2))
		}
		r.srv.answers(true, true)
		sleep(time.Minute)
		n, most := 0, 0
		for _, c := range r.srv.got(gwmp.PushData) {
			size := len(c.Append(nil))
			most = max(most, len(c.packets))
			if n += len(c.packets); size > 1400 || len(c.packets) > perGram {
				t.Errorf("%d bytes, %d frames", size, len(c.packets))
			}
		}
		if n != 100 || most < 2 {
			t.Errorf("%d frames, at most %d in a datagram", n, most)
		}
	})
}
