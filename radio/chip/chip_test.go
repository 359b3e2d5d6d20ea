package chip

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio"
)

var errWire = errors.New("a wire is loose")

func TestStates(t *testing.T) {
	bubble(t, "one after the other", func(t *testing.T) {
		r := newRig(t, &fake{})
		if s := r.radio.Status()[0]; s.State != radio.Waiting || s.Radio != "r" || s.Chip != "" {
			t.Errorf("%+v", s)
		}
		r.run()
		if s := r.radio.Status()[0]; s.State != radio.OK || s.Chip != "a fake" || s.Err != nil {
			t.Errorf("%+v", s)
		}
		r.chip.set("Health", errWire)
		r.chip.set("Open", errWire)
		began := time.Now()
		time.Sleep(healthEvery)
		synctest.Wait()
		if s := r.radio.Status()[0]; s.State != radio.Failing || !errors.Is(s.Err, errWire) || s.Since != began.Add(healthEvery) || s.Count.Resets != 1 {
			t.Errorf("%+v", s)
		}
		r.chip.set("Health", nil)
		r.chip.set("Open", nil)
		time.Sleep(firstPause)
		synctest.Wait()
		if s := r.radio.Status()[0]; s.State != radio.OK || s.Err != nil {
			t.Errorf("%+v", s)
		}
		r.stop()
		if s := r.radio.Status()[0]; s.State != radio.Waiting {
			t.Errorf("%+v", s)
		}
	})
}

// TestPauses has a chip that never answers: 1 s, twice as much each time, up to a
// minute.
func TestPauses(t *testing.T) {
	bubble(t, "growing", func(t *testing.T) {
		c := &fake{}
		c.set("Open", errWire)
		r := newRig(t, c)
		r.run()
		time.Sleep(10 * time.Minute)
		r.stop()
		want := firstPause
		for i := 1; i < len(c.opens); i++ {
			if got := c.opens[i].Sub(c.opens[i-1]); got != want {
				t.Errorf("pause %d: %v, want %v", i, got, want)
			}
			want = min(2*want, time.Minute)
		}
		if len(c.opens) != 15 {
			t.Errorf("%d attempts", len(c.opens))
		}
	})
	bubble(t, "anew after it worked for long", func(t *testing.T) {
		c := &fake{line: newLine()}
		c.set("Open", errWire)
		r := newRig(t, c)
		r.run()
		time.Sleep(5 * time.Minute)
		c.set("Open", nil)
		time.Sleep(5 * time.Minute)
		c.set("Poll", errWire)
		before := r.radio.Status()[0].Count.Resets
		time.Sleep(blind + 50*time.Millisecond)
		c.set("Poll", nil)
		time.Sleep(time.Second)
		if s := r.radio.Status()[0]; s.State != radio.OK || s.Count.Resets == before {
			t.Errorf("%+v", s)
		}
	})
}

func TestFrames(t *testing.T) {
	bubble(t, "by the interrupt", func(t *testing.T) {
		r := newRig(t, &fake{line: newLine()})
		r.run()
		for i := range 100 {
			time.Sleep(37 * time.Millisecond)
			at := time.Now()
			r.chip.frame(fmt.Sprint(i))
			got := r.heard()
			if len(got) != 1 || string(got[0].Payload) != fmt.Sprint(i) || !got[0].At.Equal(at) || got[0].Counter != r.radio.Counter(at) || got[0].Radio != "r" {
				t.Fatalf("%d: %+v", i, got)
			}
		}
		if n := r.radio.Status()[0].Count.Received; n != 100 {
			t.Errorf("%d received", n)
		}
	})
	bubble(t, "polled", func(t *testing.T) {
		r := newRig(t, &fake{})
		r.run()
		for i := range 20 {
			time.Sleep(37 * time.Millisecond)
			r.chip.mu.Lock()
			r.chip.event = Event{Arriving: true}
			r.chip.mu.Unlock()
			time.Sleep(20*time.Millisecond + time.Duration(i)*100*time.Microsecond)
			at := time.Now()
			r.chip.frame("x")
			time.Sleep(2 * time.Millisecond)
			got := r.heard()
			if len(got) != 1 {
				t.Fatalf("%d: %+v", i, got)
			}
			if off := got[0].At.Sub(at); off < -arriving/2 || off > arriving/2 {
				t.Errorf("%d: %v off", i, off)
			}
		}
	})
	bubble(t, "the line is lost", func(t *testing.T) {
		r := newRig(t, &fake{line: newLine()})
		r.run()
		close(r.chip.line.gone)
		for range 5 {
			time.Sleep(1013 * time.Millisecond)
			at := time.Now()
			r.chip.frame("x")
			time.Sleep(time.Second)
			if got := r.heard(); len(got) != 1 || got[0].At.Sub(at).Abs() > 2*time.Millisecond {
				t.Fatalf("%+v", got)
			}
		}
	})
	bubble(t, "nobody takes them", func(t *testing.T) {
		r := newRig(t, &fake{line: newLine()})
		r.block = make(chan struct{})
		r.run()
		for range heldFrames + 20 {
			r.chip.frame("x")
			time.Sleep(10 * time.Millisecond)
		}
		// A transmission is sent all the same.
		if err := r.radio.Send(t.Context(), r.at(time.Second)); err != nil {
			t.Error(err)
		}
		close(r.block)
		if got := r.heard(); len(got) != heldFrames+1 {
			t.Errorf("%d frames", len(got))
		}
	})
}

// TestQuiet opens the chip anew when nothing was heard for ten minutes, but not
// while a transmission is near.
func TestQuiet(t *testing.T) {
	bubble(t, "ten minutes", func(t *testing.T) {
		r := newRig(t, &fake{line: newLine()})
		r.run()
		time.Sleep(quiet - time.Second/2)
		if err := r.radio.Send(t.Context(), r.at(time.Second)); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		opened, sent := r.chip.opened(), r.chip.starts()
		if s := r.radio.Status()[0]; len(opened) != 2 || s.Count.Resets != 0 || s.State != radio.OK {
			t.Fatalf("opened %d times, %+v", len(opened), s)
		}
		if !opened[1].After(sent[0]) {
			t.Error("opened in front of the transmission")
		}
		r.chip.frame("x")
		time.Sleep(quiet - time.Second)
		if n := len(r.chip.opened()); n != 2 {
			t.Errorf("opened %d times", n)
		}
	})
}

// TestSendTimes has transmissions from several goroutines, each at its time.
func TestSendTimes(t *testing.T) {
	bubble(t, "in their order", func(t *testing.T) {
		r := newRig(t, &fake{lead: 100 * time.Microsecond, slow: 5 * time.Millisecond, line: newLine()})
		r.run()
		began := time.Now()
		var all sync.WaitGroup
		for _, i := range []int{7, 3, 9, 1, 5, 2, 8, 4, 6, 10} {
			all.Go(func() {
				if err := r.radio.Send(t.Context(), r.at(time.Duration(i)*100*time.Millisecond)); err != nil {
					t.Errorf("%d: %v", i, err)
				}
			})
			synctest.Wait()
		}
		all.Wait()
		for i, at := range r.chip.starts() {
			if want := began.Add(time.Duration(i+1) * 100 * time.Millisecond); !at.Equal(want) {
				t.Errorf("%d: %v off", i, at.Sub(want))
			}
		}
		if len(r.chip.starts()) != 10 {
			t.Errorf("%d were sent", len(r.chip.starts()))
		}
	})
	// The counter wraps after 71.6 minutes.
	bubble(t, "over the counter's end", func(t *testing.T) {
		r := newRig(t, &fake{line: newLine()})
		r.run()
		time.Sleep(1<<32*time.Microsecond - 500*time.Millisecond)
		at := time.Now().Add(time.Second)
		if err := r.radio.Send(t.Context(), r.at(time.Second)); err != nil {
			t.Fatal(err)
		}
		if off := r.chip.starts()[0].Sub(at); off != 0 {
			t.Errorf("%v off", off)
		}
	})
}

// TestTooSlow has a machine that is not ready at the time.
func TestTooSlow(t *testing.T) {
	bubble(t, "Prepare takes too long", func(t *testing.T) {
		r := newRig(t, &fake{slow: ahead + 3*time.Millisecond})
		r.run()
		if err := r.radio.Send(t.Context(), r.at(time.Second)); !errors.Is(err, radio.ErrTooLate) {
			t.Error(err)
		}
		if len(r.chip.starts()) != 0 {
			t.Error("it was sent too late")
		}
		// Two symbols of SF12 are 66 ms: it does no harm there.
		x := r.at(time.Second)
		x.SF = 12
		if err := r.radio.Send(t.Context(), x); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if r.chip.mode != "RX" {
			t.Error(r.chip.mode)
		}
	})
}

// TestSendFails has each step of a transmission fail: the sender is told, and
// those that wait too.
func TestSendFails(t *testing.T) {
	for _, step := range []string{"Prepare", "Fire", "TxDone", "Poll"} {
		bubble(t, step, func(t *testing.T) {
			r := newRig(t, &fake{line: newLine()})
			r.run()
			var all sync.WaitGroup
			for _, in := range []time.Duration{300 * time.Millisecond, 900 * time.Millisecond} {
				all.Go(func() {
					if err := r.radio.Send(t.Context(), r.at(in)); !errors.Is(err, radio.ErrDown) {
						t.Errorf("in %v: %v", in, err)
					}
				})
			}
			synctest.Wait()
			r.chip.set(step, errWire)
			all.Wait()
			r.chip.set(step, nil)
			time.Sleep(time.Second)
			if err := r.radio.Send(t.Context(), r.at(time.Second)); err != nil {
				t.Error(err)
			}
			if n := r.radio.Status()[0].Count; n.Sent != 1 || n.Unsent != 2 || n.Resets != 1 {
				t.Errorf("%+v", n)
			}
		})
	}
}

// TestReceiveFailsAfterSending tells the sender that it was sent all the same.
func TestReceiveFailsAfterSending(t *testing.T) {
	bubble(t, "Receive", func(t *testing.T) {
		r := newRig(t, &fake{})
		r.run()
		r.chip.set("Receive", errWire)
		if err := r.radio.Send(t.Context(), r.at(time.Second)); err != nil {
			t.Error(err)
		}
		r.chip.set("Receive", nil)
		time.Sleep(time.Second)
		if s := r.radio.Status()[0]; s.State != radio.OK || s.Count.Resets == 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestImmediately(t *testing.T) {
	bubble(t, "in the first gap", func(t *testing.T) {
		r := newRig(t, &fake{})
		r.run()
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				x := r.at(0)
				x.Immediately = true
				if err := r.radio.Send(t.Context(), x); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		air := radio.Airtime(sf7, 4, radio.AirtimeOptions{NoCRC: true})
		sent := r.chip.starts()
		for i := 1; i < len(sent); i++ {
			if apart := sent[i].Sub(sent[i-1]) - air; apart < gap+ahead || apart > gap+ahead+5*time.Millisecond {
				t.Errorf("%v apart", apart)
			}
		}
		if len(r.chip.starts()) != 5 {
			t.Errorf("%d sent", len(r.chip.starts()))
		}
	})
}

// TestFull has more transmissions than may wait.
func TestFull(t *testing.T) {
	bubble(t, "32", func(t *testing.T) {
		r := newRig(t, &fake{line: newLine()})
		r.run()
		var all sync.WaitGroup
		for i := range maxQueued {
			all.Go(func() {
				if err := r.radio.Send(t.Context(), r.at(time.Duration(i+1)*time.Second)); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if err := r.radio.Send(t.Context(), r.at(40*time.Second)); !errors.Is(err, radio.ErrCollision) {
			t.Error(err)
		}
		all.Wait()
	})
}

func TestWithdrawn(t *testing.T) {
	bubble(t, "while it waits and while it is sent", func(t *testing.T) {
		r := newRig(t, &fake{})
		r.run()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := r.radio.Send(ctx, r.at(time.Second)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second+10*time.Millisecond)
		defer cancel()
		if err := r.radio.Send(ctx, r.at(time.Second)); err != nil { // it was on the air
			t.Error(err)
		}
		if err := r.radio.Send(t.Context(), &radio.Transmission{}); !errors.Is(err, radio.ErrFrequency) {
			t.Error(err)
		}
		x := r.at(time.Second)
		x.CodingRate = 3
		if err := r.radio.Send(t.Context(), x); !errors.Is(err, radio.ErrRefused) {
			t.Error(err)
		}
	})
}

func TestExclusive(t *testing.T) {
	if Exclusive("spi:0.0") != Exclusive("spi:0.1") || Exclusive("spi:0.0") == Exclusive("spi:1.0") {
		t.Error("not one lock for each bus")
	}
}

// TestStamp has an edge of a frame before, which comes with a later one.
func TestStamp(t *testing.T) {
	now := time.Now()
	s := &session{Radio: New(Config{}), edges: make(chan time.Time, 2), clean: now}
	if at := s.stamp(now.Add(-time.Second), now.Add(time.Second)); !at.Equal(now.Add(time.Second)) || s.missed != 1 {
		t.Errorf("%v", at.Sub(now))
	}
	s.edges <- now.Add(time.Millisecond)
	s.edges <- now.Add(2 * time.Millisecond)
	if at := s.stamp(now.Add(-time.Second), now.Add(time.Second)); !at.Equal(now.Add(2*time.Millisecond)) || s.missed != 0 {
		t.Errorf("%v", at.Sub(now))
	}
}
