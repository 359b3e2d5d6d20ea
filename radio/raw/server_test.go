package raw

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"fieldgate/radio"
	"fieldgate/radio/codec"
	"fieldgate/radio/lorawan/region"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// transmitter notes what it sends. It fails with the errors that it is given,
// one for each transmission.
type transmitter struct {
	mu    sync.Mutex
	sent  []*radio.Transmission
	fails []error
	takes time.Duration
}

func (r *transmitter) Send(ctx context.Context, t *radio.Transmission) error {
	r.mu.Lock()
	r.sent = append(r.sent, t)
	var err error
	if len(r.fails) > 0 {
		err, r.fails = r.fails[0], r.fails[1:]
	}
	r.mu.Unlock()
	select {
	case <-time.After(r.takes):
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// all writes what was sent as radio:payload in hex, with '!' if at once.
func (r *transmitter) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var s []string
	for _, t := range r.sent {
		at := fmt.Sprint(t.Counter)
		if t.Immediately {
			at = "!"
		}
		s = append(s, fmt.Sprintf("%x@%s", t.Payload, at))
	}
	return strings.Join(s, " ")
}

// gate refuses what it is told to, and notes what was asked for.
type gate struct {
	asked []string
	err   error
}

func (g *gate) Reserve(name string, band radio.Band, airtime time.Duration, at time.Time) error {
	g.asked = append(g.asked, fmt.Sprintf("%s %s %g %v in %v", name, band.Name, band.Share, airtime, time.Until(at)))
	return g.err
}

// running starts a Server in the bubble of a test; the function ends it.
func running(t *testing.T, c Config) (*Server, func()) {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	return s, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// now is a frame that was heard just now.
func now(payload string) *radio.Frame {
	f := heardAt(0, payload)
	f.At, f.Counter = time.Now(), 1000000
	return f
}

func TestServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &transmitter{}
		var got []string
		s, end := running(t, Config{Rules: []Rule{{Device: "six", Source: 6}}, Radio: r, OnUplink: func(u *Uplink) error {
			d, err := mustOpen(t, "text").Decode(t.Context(), &codec.Uplink{Bytes: u.Payload, Received: u.Received})
			if err != nil {
				t.Error(err)
			}
			for _, v := range d.Values {
				got = append(got, u.Device+"/"+v.Name+"="+string(v.Value))
			}
			return nil
		}})
		s.Receive(now("\x01\x18\x06\x05" + `\!TC/22.5/HU/50`))
		synctest.Wait()
		if g := strings.Join(got, " "); g != "six/TC=22.5 six/HU=50" {
			t.Error(g)
		}
		if g := r.all(); g != "06200105020008@1100000" {
			t.Error(g)
		}
		if err := s.Send(t.Context(), "six", []byte(`\!relay/1`)); err != nil {
			t.Error(err)
		}
		if g := r.all(); g != "06200105020008@1100000 061101005c2172656c61792f31@!" {
			t.Error(g)
		}
		if r.sent[0].Power != 14 || r.sent[1].Power != 14 || r.sent[0].ID != "raw/six/ack/5" || r.sent[1].ID != "raw/six/down/0" {
			t.Errorf("%+v, %+v", r.sent[0], r.sent[1])
		}
		if err := s.Send(t.Context(), "seven", nil); !errors.Is(err, ErrUnknownDevice) {
			t.Error(err)
		}
		end()
		st := s.Stats()
		if st.Frames != 1 || st.Uplinks != 1 || st.Acknowledged != 1 || st.Downlinks != 1 || st.Unsent != 1 || len(st.Refused) != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func mustOpen(t *testing.T, name string) codec.Codec {
	t.Helper()
	c, err := codec.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestAckAfterKeeping: nothing is acknowledged before OnUplink has returned, or
// when it failed; the repetition of what it failed for is new.
func TestAckAfterKeeping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &transmitter{}
		fail := errors.New("disk full")
		uplinks := 0
		s, end := running(t, Config{Rules: []Rule{{Device: "six", Source: 6}}, Radio: r, OnUplink: func(*Uplink) error {
			uplinks++
			time.Sleep(50 * time.Millisecond)
			if g := r.all(); g != "" {
				t.Errorf("acknowledged too early: %s", g)
			}
			err := fail
			fail = nil
			return err
		}})
		const frame = "\x01\x18\x06\x05A"
		s.Receive(now(frame))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if st := s.Stats(); uplinks != 1 || st.Lost != 1 || st.Uplinks != 0 || r.all() != "" {
			t.Errorf("%d uplinks, %+v, %s", uplinks, st, r.all())
		}
		s.Receive(now(frame))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if uplinks != 2 || r.all() != "06200105020008@1100000" {
			t.Errorf("%d uplinks, %s", uplinks, r.all())
		}
		s.Receive(now(frame))
		synctest.Wait()
		if uplinks != 2 || r.all() != "06200105020008@1100000 06200105020008@1100000" {
			t.Errorf("%d uplinks, %s", uplinks, r.all())
		}
		end()
		if st := s.Stats(); st.Refused[Duplicate] != 1 || st.Acknowledged != 2 {
			t.Errorf("%+v", st)
		}
	})
}

func TestAckLateOrNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &transmitter{fails: []error{fmt.Errorf("hat: %w", radio.ErrTooLate), nil, radio.ErrDown}}
		s, end := running(t, Config{Rules: []Rule{{Device: "six", Source: 6}}, Radio: r})
		s.Receive(now("\x01\x18\x06\x05A"))
		synctest.Wait()
		if g := r.all(); g != "06200105020008@1100000 06200105020008@!" {
			t.Error(g)
		}
		s.Receive(now("\x01\x18\x06\x06A"))
		synctest.Wait()
		r.fails = []error{radio.ErrDown}
		if err := s.Send(t.Context(), "six", []byte("x")); !errors.Is(err, radio.ErrDown) {
			t.Error(err)
		}
		end()
		if st := s.Stats(); st.Acknowledged != 1 || st.Unacknowledged != 1 || st.Unsent != 1 {
			t.Errorf("%+v", st)
		}
	})
}

func TestRegion(t *testing.T) {
	eu, err := region.Get("EU868")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r, g := &transmitter{}, &gate{}
		s, end := running(t, Config{Rules: []Rule{{Device: "six", Source: 6}}, Radio: r, Region: eu, Gate: g, Power: 20})
		s.Receive(now("\x01\x18\x06\x05A"))
		synctest.Wait()
		airtime := radio.Airtime(radio.Modulation{SF: 12, Bandwidth: 125000, CodingRate: 5}, 7, radio.AirtimeOptions{})
		band, _ := eu.SubBand(865200000)
		want := fmt.Sprintf("hat %s %g %v in 100ms", band.Name, band.Share(), airtime)
		if len(g.asked) != 1 || g.asked[0] != want || len(r.sent) != 1 || r.sent[0].Power != eu.MaxEIRP(865200000) {
			t.Errorf("%q, want %s; %s", g.asked, want, r.all())
		}
		g.err = &radio.Busy{}
		s.Receive(now("\x01\x18\x06\x06A"))
		synctest.Wait()
		var busy *radio.Busy
		if err := s.Send(t.Context(), "six", []byte("x")); !errors.As(err, &busy) {
			t.Error(err)
		}
		if len(r.sent) != 1 {
			t.Error(r.all())
		}
		elsewhere := now("\x01\x18\x06\x07A")
		elsewhere.Frequency = 915000000
		s.Receive(elsewhere)
		synctest.Wait()
		if err := s.Send(t.Context(), "six", []byte("x")); !errors.Is(err, radio.ErrFrequency) {
			t.Error(err)
		}
		end()
		if st := s.Stats(); st.Acknowledged != 1 || st.Unacknowledged != 2 || st.Unsent != 2 || st.Uplinks != 3 {
			t.Errorf("%+v", st)
		}
	})
}

// TestOverload: what nobody has time for is dropped and counted, and is new when
// it is repeated; acknowledgements do not wait for each other.
func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &transmitter{takes: time.Hour}
		uplinks := 0
		s, end := running(t, Config{Rules: []Rule{{Device: "six", Source: 6}}, Radio: r, Backlog: 2, OnUplink: func(*Uplink) error {
			uplinks++
			time.Sleep(time.Second)
			return nil
		}})
		for i := range 5 {
			s.Receive(now("\x01\x18\x06" + string([]byte{byte(i)}) + "A"))
			synctest.Wait()
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if st := s.Stats(); uplinks != 3 || st.Refused[Overload] != 2 || len(r.sent) != 3 {
			t.Errorf("%d uplinks, %+v, %s", uplinks, st, r.all())
		}
		s.Receive(now("\x01\x18\x06\x04A"))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if uplinks != 4 {
			t.Errorf("%d uplinks", uplinks)
		}
		for i := range 10 {
			s.Receive(now("\x01\x18\x06" + string([]byte{byte(10 + i)}) + "A"))
			time.Sleep(2 * time.Second)
		}
		synctest.Wait()
		if st := s.Stats(); uplinks != 14 || len(r.sent) != sending || st.Unacknowledged != 6 {
			t.Errorf("%d uplinks, %d sent, %+v", uplinks, len(r.sent), st)
		}
		end() // with transmissions on their way
	})
}

// TestEnd: what waits when the Server ends is handed on, without an
// acknowledgement.
func TestEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &transmitter{}
		uplinks := 0
		s, end := running(t, Config{Rules: []Rule{{Device: "six", Source: 6}}, Radio: r, OnUplink: func(*Uplink) error {
			uplinks++
			time.Sleep(time.Second)
			return nil
		}})
		for i := range 20 { // which of the two Run sees first is left to chance
			s.Receive(now("\x01\x10\x06" + string([]byte{byte(i)}) + "A"))
		}
		synctest.Wait()
		end()
		if uplinks != 20 || s.Stats().Uplinks != 20 {
			t.Errorf("%d uplinks", uplinks)
		}
	})
}

func TestNew(t *testing.T) {
	if _, err := New(Config{}); !errors.Is(err, ErrConfig) {
		t.Error(err)
	}
	if _, err := New(Config{Radio: &transmitter{}, Rules: []Rule{{}}}); !errors.Is(err, ErrConfig) {
		t.Error(err)
	}
	seen := map[string]bool{}
	for r := range reasons {
		if seen[r.String()] || r.String() == "unknown" {
			t.Errorf("reason %d is called %s", r, r)
		}
		seen[r.String()] = true
	}
	if reasons.String() != "unknown" {
		t.Error(reasons)
	}
}
