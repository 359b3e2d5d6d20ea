package chip

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio"
)

// TestHealthWhileSending has a radio that sends all the time: its health is looked at
// all the same.
func TestHealthWhileSending(t *testing.T) {
	bubble(t, "every 5 s", func(t *testing.T) {
		r := newRig(t, &fake{line: newLine()})
		r.run()
		for range 12 {
			if err := r.radio.Send(t.Context(), r.at(5*time.Second)); err != nil {
				t.Error(err)
			}
		}
		if r.chip.looked < 5 {
			t.Errorf("looked at %d times in a minute", r.chip.looked)
		}
	})
}

// TestLapse has a chip that was well for long fail once: it is opened anew at once,
// and what waits is sent. When it does not come back, those that wait are told.
func TestLapse(t *testing.T) {
	for _, c := range []struct {
		name string
		open error
		want error
	}{{"it comes back", nil, nil}, {"it does not", errWire, radio.ErrDown}} {
		bubble(t, c.name, func(t *testing.T) {
			r := newRig(t, &fake{line: newLine()})
			r.run()
			time.Sleep(15 * time.Second)
			began := time.Now()
			var ended time.Time
			var sending sync.WaitGroup
			sending.Go(func() {
				if err := r.radio.Send(t.Context(), r.at(3*time.Second)); !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
				ended = time.Now()
			})
			synctest.Wait()
			r.chip.set("Poll", errWire)
			r.chip.set("Open", c.open)
			time.AfterFunc(blind+5*time.Millisecond, func() { r.chip.set("Poll", nil) })
			sending.Wait()
			s := r.radio.Status()[0]
			switch {
			case c.open == nil && (s.State != radio.OK || s.Count.Sent != 1 || s.Count.Resets == 0 || !r.chip.starts()[0].Equal(began.Add(3*time.Second))):
				t.Errorf("%+v", s)
			case c.open != nil && (s.State != radio.Failing || s.Count.Unsent != 1 || ended.Sub(began) > 2*blind):
				t.Errorf("%+v after %v", s, ended.Sub(began))
			}
		})
	}
}

// TestLog has what is said of a radio: that it receives, and on what; why it is down,
// once for each reason.
func TestLog(t *testing.T) {
	bubble(t, "down and up", func(t *testing.T) {
		var b strings.Builder
		c := &fake{}
		c.set("Open", errWire)
		r := newRig(t, c)
		r.radio = New(Config{Name: "r", Chip: c, Tuning: radio.Tuning{Frequency: 868100000, Modulation: sf7},
			Log: slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}}))})
		r.run()
		time.Sleep(5 * time.Minute)
		c.set("Open", errors.New("another one"))
		time.Sleep(5 * time.Minute)
		c.set("Open", nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		want := `level=WARN msg="the radio is down" radio=r err="a wire is loose"
level=WARN msg="the radio is down" radio=r err="another one"
level=INFO msg="the radio receives" radio=r chip="a fake" frequency=868100000 rate=SF7BW125
`
		if b.String() != want {
			t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
		}
	})
}

// TestLastFrame has a frame come between the last look and the end of the reception.
func TestLastFrame(t *testing.T) {
	bubble(t, "in front of a transmission", func(t *testing.T) {
		r := newRig(t, &fake{})
		r.run()
		r.chip.last = "last"
		if err := r.radio.Send(t.Context(), r.at(time.Second)); err != nil {
			t.Error(err)
		}
		if got := r.heard(); len(got) != 1 || string(got[0].Payload) != "last" {
			t.Errorf("%+v", got)
		}
	})
}

// TestImmediatelySlow has a machine that is too slow for a certain time: nobody waits
// at one.
func TestImmediatelySlow(t *testing.T) {
	bubble(t, "200 ms", func(t *testing.T) {
		r := newRig(t, &fake{slow: 200 * time.Millisecond})
		r.run()
		x := r.at(0)
		x.Immediately = true
		if err := r.radio.Send(t.Context(), x); err != nil {
			t.Error(err)
		}
	})
}

// TestStuck has a chip that tells of frames without end.
func TestStuck(t *testing.T) {
	bubble(t, "frames", func(t *testing.T) {
		r := newRig(t, &fake{})
		r.run()
		r.chip.mu.Lock()
		r.chip.stuck = true
		r.chip.mu.Unlock()
		time.Sleep(20 * time.Millisecond)
		if s := r.radio.Status()[0]; !errors.Is(s.Err, errStuck) {
			t.Errorf("%+v", s)
		}
	})
}

// TestStampByPolls has a stamp between the two looks.
func TestStampByPolls(t *testing.T) {
	now := time.Now()
	s := &session{Radio: New(Config{}), clean: now}
	if at := s.stamp(time.Time{}, now.Add(time.Millisecond)); !at.Equal(now.Add(time.Millisecond / 2)) {
		t.Errorf("%v", at.Sub(now))
	}
}
