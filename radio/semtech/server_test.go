package semtech

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/semtech/fakeforwarder"
	"fieldgate/radio/semtech/gwmp"
)

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want []string
	}{
		{Config{}, []string{"no gateways"}},
		{Config{Gateways: []string{"any", euiA}}, []string{"must stand alone"}},
		{Config{Gateways: []string{euiA, "AA:55:5A:00:00:00:01:01", "x", ""}, Listen: "nowhere"}, []string{"listen: ", "is there twice", `"x"`, `""`}},
	} {
		s, err := New(c.cfg)
		if s != nil || !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", c.cfg, err)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%+v: %v, want %s", c.cfg, err, w)
			}
		}
	}
	s, err := New(Config{Gateways: []string{euiA}})
	if err != nil || s.cfg.Listen != "127.0.0.1:1700" {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestReceive has two forwarders hear frames at once, one of them with a counter
// that wraps.
func TestReceive(t *testing.T) {
	frames := make(chan *radio.Frame, 10)
	s := start(t, Config{}, func(f *radio.Frame) { frames <- f })
	a := attach(t, s, fakeforwarder.Config{Counter: 1<<32 - 10})
	b := attach(t, s, fakeforwarder.Config{EUI: mustEUI(t, euiB), Version: 1})
	heard := time.Date(2026, 5, 1, 12, 0, 0, 123456000, time.UTC)
	sent := radio.Frame{Payload: []byte{0x40, 1, 2, 3}, Frequency: 868300000, Modulation: sf7, RSSI: -97, SNR: -3.5, CRC: radio.CRCOK,
		FrequencyError: -321, Heard: heard, Channel: 1, Chain: 1}
	for _, c := range []struct {
		f    *fakeforwarder.Forwarder
		name string
	}{{a, euiA}, {b, euiB}} {
		bad, none := sent, sent
		bad.CRC, none.CRC = radio.CRCBad, radio.CRCNone
		before := time.Now()
		counter, err := c.f.Push(t.Context(), sent, bad, none)
		if err != nil {
			t.Fatal(err)
		}
		got := wait(t, frames)
		if got.At.Before(before) || got.At.After(time.Now()) {
			t.Error(got.At)
		}
		want := sent
		want.At, want.Counter, want.Radio = got.At, counter, c.name
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("%+v, want\n%+v", *got, want)
		}
		if b, n := wait(t, frames), wait(t, frames); b.CRC != radio.CRCBad || n.CRC != radio.CRCNone {
			t.Error(b.CRC, n.CRC)
		}
	}
	st := s.Status()
	if len(st) != 2 || st[0].Radio != euiA || st[0].State != radio.OK || st[0].Chip != "packet forwarder v2" || st[1].Chip != "packet forwarder v1" ||
		st[0].Count != (radio.Counts{Received: 1, BadCRC: 1, NoCRC: 1}) {
		t.Errorf("%+v", st)
	}
}

func TestStat(t *testing.T) {
	s := start(t, Config{Gateways: []string{Any}}, func(*radio.Frame) {})
	if st := s.Status(); len(st) != 1 || st[0].State != radio.Waiting || !strings.HasPrefix(st[0].Radio, "udp 127.0.0.1:") {
		t.Errorf("%+v", st)
	}
	p := dial(t, s, "127.0.0.1")
	p.datagram(2, gwmp.PushData, euiC, gwmp.Token{1, 2}, `{"stat":{"time":"2026-01-12 08:59:28 GMT","rxnb":7,"rxok":4,"rxfw":5,"desc":"Pi 4\u001b[31m","pfrm":"RAK2287"}}`)
	if d := p.next(); d.Kind != gwmp.PushAck || d.Token != (gwmp.Token{1, 2}) {
		t.Fatalf("%+v", d)
	}
	for deadline := time.Now().Add(patience); s.Status()[0].Count.BadCRC == 0 && time.Now().Before(deadline); {
		p.pull(2, euiC) // until the worker has read it
	}
	if st := s.Status(); len(st) != 1 || st[0].Chip != "packet forwarder v2, Pi 4[31m, RAK2287" || st[0].Count.BadCRC != 2 || st[0].State != radio.OK {
		t.Errorf("%+v", st)
	}
}

// TestStrangers checks that nothing is answered to those who are not listed, nor
// to garbage: the first answer is that to the last datagram.
func TestStrangers(t *testing.T) {
	frames := make(chan *radio.Frame, 1)
	s := start(t, Config{}, func(f *radio.Frame) { frames <- f })
	p := dial(t, s, "127.0.0.1")
	const packet = `{"rxpk":[{"tmst":1,"freq":868.1,"datr":"SF7BW125","data":"AQ=="}]}`
	p.datagram(2, gwmp.PullData, euiC, gwmp.Token{}, "")
	p.datagram(2, gwmp.PushData, euiC, gwmp.Token{}, packet)
	p.datagram(2, gwmp.TxAck, euiC, gwmp.Token{}, "")
	p.send(nil)
	p.send([]byte("GET / HTTP/1.1\r\n\r\n"))
	p.send([]byte{2, 0, 0, 0, 1, 2, 3})
	p.send([]byte{3, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8})
	p.send(make([]byte, 65507))
	p.datagram(2, gwmp.PullResp, euiA, gwmp.Token{}, "")
	p.datagram(2, gwmp.PushAck, euiA, gwmp.Token{}, "")
	p.datagram(2, gwmp.PullAck, euiA, gwmp.Token{}, "")
	p.datagram(2, gwmp.TxAck, euiA, gwmp.Token{}, "")                            // nobody waits
	p.datagram(2, gwmp.TxAck, euiA, gwmp.Token{}, "{")                           // damaged
	p.datagram(2, gwmp.PushData, euiB, gwmp.Token{1, 1}, `{"rxpk":[{"tmst":1},`) // acknowledged, but nothing in it
	if d := p.next(); d.Token != (gwmp.Token{1, 1}) || d.Kind != gwmp.PushAck {
		t.Errorf("%+v", d)
	}
	p.datagram(2, gwmp.PushData, euiA, gwmp.Token{2, 2}, packet)
	if d := p.next(); d.Token != (gwmp.Token{2, 2}) {
		t.Errorf("%+v", d)
	}
	if f := wait(t, frames); f.Radio != euiA {
		t.Errorf("%+v", f)
	}
	want := Counters{Malformed: 8, Strangers: 3, BadJSON: 2, BadFrames: 1, Unasked: 1}
	if got := s.Counters(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if st := s.Status(); st[0].Count.Garbage != 1 || st[1].Count.Garbage != 2 {
		t.Errorf("%+v", st)
	}
}

func TestAnyIsBounded(t *testing.T) {
	s := start(t, Config{Gateways: []string{Any}}, func(*radio.Frame) {})
	p := dial(t, s, "127.0.0.1")
	for i := range maxGateways {
		p.pull(2, fmt.Sprintf("%016x", i))
	}
	p.datagram(2, gwmp.PullData, euiA, gwmp.Token{}, "")
	p.pull(2, fmt.Sprintf("%016x", 0))
	if s.Counters().Strangers != 1 || len(s.Status()) != maxGateways {
		t.Errorf("%+v", s.Counters())
	}
}

// TestSlow checks that acknowledgements do not wait for receive, that what is too
// much is counted and not acknowledged, and that nothing else is lost.
func TestSlow(t *testing.T) {
	const small = `{"rxpk":[{"tmst":1,"freq":868.1,"datr":"SF7BW125","data":"AQ=="}]}`
	large := small + strings.Repeat(" ", 60_000)
	for _, c := range []struct {
		body  string
		least int
		most  int
	}{{small, maxQueue, maxQueue + 1}, {large, maxQueued / len(large), maxQueued/len(large) + 1}} {
		release := make(chan struct{})
		got := make(chan struct{}, maxQueue+10)
		s := start(t, Config{}, func(*radio.Frame) { <-release; got <- struct{}{} })
		p := dial(t, s, "127.0.0.1")
		acked := 0
		for s.Counters().Overflow == 0 {
			p.datagram(2, gwmp.PushData, euiA, gwmp.Token{1, 1}, c.body)
			p.datagram(2, gwmp.PullData, euiA, gwmp.Token{2, 2}, "")
			for {
				d := p.next()
				if d.Kind == gwmp.PullAck {
					break
				}
				acked++
			}
		}
		close(release)
		for range acked {
			wait(t, got)
		}
		if acked < c.least || acked > c.most || s.Counters().Overflow != 1 || s.Status()[0].Count.NoCRC != uint64(acked) {
			t.Errorf("%d acknowledged, %+v", acked, s.Counters())
		}
	}
}

// bubble runs fn with a server on a wire, in a synctest bubble.
func bubble(t *testing.T, fn func(t *testing.T, s *Server, w *wire)) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{Gateways: []string{euiA}})
		if err != nil {
			t.Fatal(err)
		}
		w := newWire()
		s.listen = func(string) (socket, error) { return w, nil }
		stop := run(t, func(ctx context.Context) error { return s.Run(ctx, func(*radio.Frame) {}) })
		fn(t, s, w)
		stop()
	})
}

func (w *wire) pull(t *testing.T, from string) {
	w.in <- packet{gwmp.Datagram{Version: 2, Kind: gwmp.PullData, EUI: mustEUI(t, euiA)}.Append(nil), netip.MustParseAddrPort(from)}
	synctest.Wait()
}

// TestSilence checks the states by the clock: 60 s without a datagram.
func TestSilence(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server, w *wire) {
		begin := time.Now()
		tx := radio.Transmission{Radio: euiA, Frequency: 868100000, Modulation: sf7}
		expect := func(state radio.State, since time.Time) {
			t.Helper()
			synctest.Wait()
			st := s.Status()[0]
			if st.State != state || !st.Since.Equal(since) || (st.Err != nil) != (state == radio.Failing) {
				t.Errorf("%v since %v (%v), want %v since %v", st.State, st.Since, st.Err, state, since)
			}
			if err := s.Send(t.Context(), &tx); errors.Is(err, radio.ErrDown) != (state != radio.OK) {
				t.Error(err)
			}
		}
		time.Sleep(time.Second) // the bubble's
		expect(radio.Waiting, begin)
		w.pull(t, "127.0.0.1:1")
		first := time.Now()
		expect(radio.OK, first)
		time.Sleep(time.Until(first.Add(silence-time.Nanosecond)) - 2*s.cfg.AnswerWithin)
		expect(radio.OK, first)
		time.Sleep(time.Until(first.Add(silence)))
		expect(radio.Failing, first.Add(silence))
		time.Sleep(silence / 2)
		w.pull(t, "127.0.0.1:1")
		expect(radio.OK, time.Now())
	})
}

// TestAddress checks whose address frames are sent to.
func TestAddress(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server, w *wire) {
		tx := radio.Transmission{Radio: euiA, Frequency: 868100000, Modulation: sf7}
		step := func(from, want string, answered bool) {
			t.Helper()
			w.pull(t, from)
			select {
			case p := <-w.out:
				if p.addr.String() != from || !answered {
					t.Errorf("%v was answered", p.addr)
				}
			default:
				if answered {
					t.Errorf("%s was not answered", from)
				}
			}
			if err := s.Send(t.Context(), &tx); err != nil { // it has never answered
				t.Error(err)
			}
			if p := <-w.out; p.addr.String() != want {
				t.Errorf("sent to %v, want %s", p.addr, want)
			}
		}
		step("127.0.0.1:1000", "127.0.0.1:1000", true)
		step("127.0.0.1:2000", "127.0.0.1:2000", true) // NAT has forgotten it
		step("127.0.0.2:3000", "127.0.0.1:2000", false)
		time.Sleep(hold / 2)
		step("127.0.0.1:2000", "127.0.0.1:2000", true)
		time.Sleep(hold / 2)
		step("127.0.0.2:3000", "127.0.0.1:2000", false)
		step("[::ffff:127.0.0.1]:2000", "[::ffff:127.0.0.1]:2000", true) // the same host
		time.Sleep(hold)
		step("127.0.0.2:3000", "127.0.0.2:3000", true) // it has moved
		step("127.0.0.1:2000", "127.0.0.2:3000", false)
		if got := s.Counters().Conflicts; got != 3 || s.Status()[0].Count.Garbage != 3 {
			t.Error(got)
		}
	})
}

// TestListenFails checks that an address in use is told and tried again, and that
// a socket that breaks is opened again.
func TestListenFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{Gateways: []string{euiA}})
		if err != nil {
			t.Fatal(err)
		}
		inUse := errors.New("address in use")
		var works atomic.Bool
		wires := make(chan *wire, 1)
		s.listen = func(string) (socket, error) {
			if !works.Load() {
				return nil, inUse
			}
			w := newWire()
			wires <- w
			return w, nil
		}
		begin := time.Now()
		stop := run(t, func(ctx context.Context) error { return s.Run(ctx, func(*radio.Frame) {}) })
		defer stop()
		time.Sleep(2*reopen + time.Second)
		synctest.Wait()
		if st := s.Status()[0]; st.State != radio.Failing || !errors.Is(st.Err, inUse) || !st.Since.Equal(begin) || s.Addr() != nil {
			t.Errorf("%+v", st)
		}
		works.Store(true)
		w := <-wires
		w.pull(t, "127.0.0.1:1")
		if st := s.Status()[0]; st.State != radio.OK || st.Err != nil || s.Addr() == nil {
			t.Errorf("%+v", st)
		}
		w.Close()
		w = <-wires
		w.pull(t, "127.0.0.1:1")
		if st := s.Status()[0]; st.State != radio.OK {
			t.Errorf("%+v", st)
		}
	})
}
