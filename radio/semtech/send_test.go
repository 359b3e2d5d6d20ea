package semtech

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/semtech/fakeforwarder"
	"fieldgate/radio/semtech/gwmp"
)

// TestSend has a forwarder with Semtech's rules: what it takes leaves at the
// counter's value that was asked for, and what it refuses is told why.
func TestSend(t *testing.T) {
	out := make(chan fakeforwarder.Emission, 10)
	s := start(t, Config{}, func(*radio.Frame) {})
	f := attach(t, s, fakeforwarder.Config{Counter: 1<<32 - 100_000, AntennaGain: 2, Emit: func(e fakeforwarder.Emission) { out <- e }})
	good := radio.Transmission{Radio: "AA555A0000000101", Payload: []byte{0x60, 1, 2, 3}, Frequency: 868100000, Modulation: sf7, Power: 16, InvertIQ: true, Preamble: 8}
	send := func(ahead time.Duration, change func(*radio.Transmission)) (radio.Transmission, error) {
		tx := good
		tx.Counter = f.CounterAt(time.Now().Add(ahead))
		if change != nil {
			change(&tx)
		}
		return tx, s.Send(t.Context(), &tx)
	}
	const far = 20 * time.Second // the queue is looked at long before
	_, err := send(far, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		ahead  time.Duration
		change func(*radio.Transmission)
		want   error
	}{
		{"too late", 30 * time.Millisecond, nil, radio.ErrTooLate},
		{"in the past", -time.Second, nil, radio.ErrTooEarly}, // as Semtech's counts
		{"too early", 600 * time.Second, nil, radio.ErrTooEarly},
		{"collision", far, nil, radio.ErrCollision},
		{"frequency", 30 * time.Second, func(t *radio.Transmission) { t.Frequency = 915000000 }, radio.ErrFrequency},
		{"power that it has not", 30 * time.Second, func(t *radio.Transmission) { t.Power = 40 }, nil},
		{"another radio", 0, func(t *radio.Transmission) { t.Radio = euiC }, radio.ErrNoRadio},
		{"no radio", 0, func(t *radio.Transmission) { t.Radio = "SX1276" }, radio.ErrNoRadio},
		{"not heard of", 0, func(t *radio.Transmission) { t.Radio = euiB }, radio.ErrDown},
		{"no data rate", 0, func(t *radio.Transmission) { t.Modulation = radio.Modulation{} }, radio.ErrDataRate},
		{"no frequency", 0, func(t *radio.Transmission) { t.Frequency = 0 }, radio.ErrFrequency},
	} {
		if _, err := send(c.ahead, c.change); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	tx, err := send(time.Second, nil)
	if err != nil {
		t.Fatal(err)
	}
	e := wait(t, out)
	tx.Radio, tx.CRC, tx.Power = "", false, 16
	if e.Counter != tx.Counter || string(e.Payload) != string(tx.Payload) || e.Frequency != tx.Frequency || e.Modulation != tx.Modulation || e.Power != 16 ||
		!e.InvertIQ || e.CRC || e.Preamble != 8 || e.Ahead <= 0 || e.Ahead > time.Second {
		t.Errorf("%+v", e)
	}
	if _, err := send(0, func(t *radio.Transmission) { t.Immediately, t.InvertIQ, t.CRC = true, false, true }); err != nil {
		t.Error(err)
	}
	if e := wait(t, out); e.InvertIQ || !e.CRC || !e.Immediately {
		t.Errorf("%+v", e)
	}
	if c := s.Status()[0].Count; c.Sent != 4 || c.Unsent != 5 {
		t.Errorf("%+v", c)
	}
}

// TestSendWords has a forwarder by hand: each word of TX_ACK.
func TestSendWords(t *testing.T) {
	s := start(t, Config{}, func(*radio.Frame) {})
	p := dial(t, s, "127.0.0.1")
	p.pull(2, euiA)
	tx := radio.Transmission{Radio: euiA, Payload: []byte{1}, Frequency: 868100000, Modulation: sf7, Counter: 5}
	seen := map[gwmp.Token]bool{}
	for _, c := range []struct {
		body string
		want error
		text string
	}{
		{``, nil, ""},
		{`{"txpk_ack":{"error":"NONE"}}`, nil, ""},
		{`{"txpk_ack":{"warn":"TX_POWER","value":12}}`, nil, ""},
		{`{"txpk_ack":{"error":"TX_POWER"}}`, radio.ErrPower, ""},
		{`{"txpk_ack":{"error":"COLLISION_BEACON"}}`, radio.ErrCollision, ""},
		{`{"txpk_ack":{"error":"GPS_UNLOCKED"}}`, radio.ErrRefused, "GPS_UNLOCKED"},
		{`{"txpk_ack":{"error":"NEW_WORD"}}`, radio.ErrRefused, "NEW_WORD"},
	} {
		result := make(chan error, 1)
		go func() { result <- s.Send(t.Context(), &tx) }()
		d := p.next()
		if d.Kind != gwmp.PullResp || d.Version != 2 || seen[d.Token] || !strings.Contains(string(d.Body), `"tmst":5,`) {
			t.Errorf("%+v %s", d, d.Body)
		}
		seen[d.Token] = true
		wrong := gwmp.Token{d.Token[0] + 1, d.Token[1]}
		p.datagram(2, gwmp.TxAck, euiA, wrong, `{"txpk_ack":{"error":"TOO_LATE"}}`)
		p.datagram(2, gwmp.TxAck, euiB, d.Token, `{"txpk_ack":{"error":"TOO_LATE"}}`) // another's
		p.datagram(2, gwmp.TxAck, euiA, d.Token, c.body)
		p.datagram(2, gwmp.TxAck, euiA, d.Token, `{"txpk_ack":{"error":"TOO_LATE"}}`) // twice
		if err := wait(t, result); !errors.Is(err, c.want) || c.want == nil && err != nil || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %v", c.body, err, c.want)
		}
	}
}

// TestSendVersion1 has nobody answer, which version 1 does not.
func TestSendVersion1(t *testing.T) {
	s := start(t, Config{}, func(*radio.Frame) {})
	p := dial(t, s, "127.0.0.1")
	p.pull(1, euiA)
	if err := s.Send(t.Context(), &radio.Transmission{Radio: euiA, Frequency: 868100000, Modulation: sf7, Immediately: true}); err != nil {
		t.Error(err)
	}
	if d := p.next(); d.Kind != gwmp.PullResp || d.Version != 1 {
		t.Errorf("%+v", d)
	}
}

// TestSendUnanswered checks what silence means: nothing of a forwarder that has
// never answered, and a refusal of one that has.
func TestSendUnanswered(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server, w *wire) {
		tx := radio.Transmission{Radio: euiA, Frequency: 868100000, Modulation: sf7}
		w.pull(t, "127.0.0.1:1")
		<-w.out
		begin := time.Now()
		if err := s.Send(t.Context(), &tx); err != nil || time.Since(begin) != 300*time.Millisecond {
			t.Error(err, time.Since(begin))
		}
		<-w.out
		w.in <- packet{gwmp.Datagram{Version: 2, Kind: gwmp.TxAck, EUI: mustEUI(t, euiA)}.Append(nil), s.gateways[mustEUI(t, euiA)].down}
		begin = time.Now()
		if err := s.Send(t.Context(), &tx); !errors.Is(err, radio.ErrNoAnswer) || time.Since(begin) != 300*time.Millisecond {
			t.Error(err, time.Since(begin))
		}
		<-w.out
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := s.Send(ctx, &tx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		synctest.Wait()
		if g := s.gateways[mustEUI(t, euiA)]; len(g.pending) != 0 || g.count.Sent != 1 || g.count.Unsent != 2 {
			t.Errorf("%+v", g)
		}
	})
}

// TestSendWhileStopping checks that nobody is left waiting.
func TestSendWhileStopping(t *testing.T) {
	s, err := New(Config{Listen: "127.0.0.1:0", Gateways: []string{euiA}, AnswerWithin: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	stop := run(t, func(ctx context.Context) error { return s.Run(ctx, func(*radio.Frame) {}) })
	p := dial(t, s, "127.0.0.1")
	p.pull(2, euiA)
	tx := radio.Transmission{Radio: euiA, Frequency: 868100000, Modulation: sf7}
	result := make(chan error, 1)
	go func() { result <- s.Send(context.Background(), &tx) }()
	p.next()
	stop()
	if err := wait(t, result); !errors.Is(err, radio.ErrDown) {
		t.Error(err)
	}
	if err := s.Send(t.Context(), &tx); !errors.Is(err, radio.ErrDown) {
		t.Error(err)
	}
}

// TestSendImmediately checks that what is to leave at once waits for what does: a
// forwarder drops it otherwise, and says nothing.
func TestSendImmediately(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server, w *wire) {
		tx := radio.Transmission{Radio: euiA, Payload: make([]byte, 20), Frequency: 868100000, Modulation: sf7, Immediately: true}
		w.pull(t, "127.0.0.1:1")
		<-w.out
		begin, done := time.Now(), make(chan error, 2)
		for range 2 {
			go func() { done <- s.Send(t.Context(), &tx) }()
		}
		<-w.out
		if d := time.Since(begin); d != 0 {
			t.Errorf("the first one left after %v", d)
		}
		<-w.out
		if d, want := time.Since(begin), radio.Airtime(sf7, 20, radio.AirtimeOptions{NoCRC: true})+between; d != want {
			t.Errorf("the second one left after %v, %v are needed", d, want)
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		go func() { done <- s.Send(t.Context(), &tx) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := s.Send(ctx, &tx); !errors.Is(err, radio.ErrCollision) {
			t.Error(err)
		}
		<-w.out
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
