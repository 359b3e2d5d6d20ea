package station

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan"
	"fieldgate/radio/raw"
)

// post has the commands to a device without LoRaWAN. They are tried at once, or
// after the device's next frame if it listens only then, and again until they are
// sent or expire.
type post struct {
	s    *Station
	d    *device
	wake chan struct{}

	mu    sync.Mutex
	queue []*letter
	open  time.Time // from when the device listens, or did last; zero: it was not heard
	used  bool      // a letter was tried since
}

// letter is a command to a device without LoRaWAN.
type letter struct {
	id, actuator string
	expires      time.Time // zero: never
	encode       func(ctx context.Context) ([]byte, error)
	retry        time.Time // not before
	why          string    // it was not sent the last time
}

// tryAgain is how long a letter waits that was not sent, if nothing better is
// known and the device is not heard before.
const tryAgain = time.Minute

// listening is how long a device is taken to listen that does so only after its
// frames.
const listening = time.Second

func newPost(s *Station, d *device) *post { return &post{s: s, d: d, wake: make(chan struct{}, 1)} }

// put queues a command. One before it to the same actuator that was not sent yet
// is not sent any more.
func (p *post) put(c parcel) {
	p.add(&letter{id: c.record.ID, actuator: c.actuator, expires: c.record.Expires,
		encode: func(context.Context) ([]byte, error) { return c.out.Bytes, nil }})
}

// again queues the command of a record that was not sent before the restart.
func (p *post) again(r *record) {
	p.add(&letter{id: r.ID, actuator: r.Actuator, expires: r.Expires,
		encode: func(ctx context.Context) ([]byte, error) {
			out, err := p.s.encode(ctx, p.d, r.Actuator, r.Value)
			return out.Bytes, err
		}})
}

func (p *post) add(l *letter) {
	p.mu.Lock()
	var replaced *letter
	if i := slices.IndexFunc(p.queue, func(o *letter) bool { return o.actuator == l.actuator }); i >= 0 {
		replaced = p.queue[i]
		p.queue = slices.Delete(p.queue, i, i+1)
	}
	full := len(p.queue) >= lorawan.MaxQueue
	if !full {
		p.queue = append(p.queue, l)
	}
	p.mu.Unlock()
	if replaced != nil {
		p.tell(replaced, lorawan.Refused, "a newer command took its place")
	}
	if full {
		p.tell(l, lorawan.Refused, fmt.Sprintf("%v: %d", lorawan.ErrFull, lorawan.MaxQueue))
	}
	notify(p.wake)
}

// heard notes a frame of the device: it may listen now.
func (p *post) heard(u *raw.Uplink) {
	at := u.Frame.At
	if at.IsZero() {
		at = time.Now()
	}
	at = at.Add(raw.AckDelay)
	if u.Header != nil && u.Header.Type.Has(raw.AckRequest) { // the acknowledgement goes first
		at = at.Add(radio.Airtime(u.Frame.Modulation, raw.HeaderSize+3, radio.AirtimeOptions{}) + raw.AckDelay)
	}
	p.mu.Lock()
	p.open, p.used = at, false
	for _, l := range p.queue {
		l.retry = time.Time{}
	}
	p.mu.Unlock()
	notify(p.wake)
}

// run sends until ctx ends.
func (p *post) run(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	for ctx.Err() == nil {
		l, wait := p.next(time.Now())
		if l != nil {
			p.send(ctx, l)
			continue
		}
		t.Reset(wait)
		select {
		case <-ctx.Done():
		case <-p.wake:
		case <-t.C:
		}
	}
}

// next takes the letter whose turn it is out of the queue, or says for how long
// there is none.
func (p *post) next(now time.Time) (*letter, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := time.Hour
	for i, l := range p.queue {
		due := l.retry
		if p.d.AfterUplink {
			switch {
			case p.open.IsZero() || p.used || now.After(p.open.Add(listening)):
				due = now.Add(time.Hour)
			case p.open.After(due):
				due = p.open
			}
		}
		if over := l.expires; !over.IsZero() && over.Before(due) {
			due = over
		}
		if !due.After(now) {
			p.queue = slices.Delete(p.queue, i, i+1)
			return l, 0
		}
		wait = min(wait, due.Sub(now))
	}
	return nil, wait
}

// send tries one letter, and puts it back if it is to be tried again.
func (p *post) send(ctx context.Context, l *letter) {
	if !l.expires.IsZero() && !time.Now().Before(l.expires) {
		why := l.why
		if why == "" {
			why = "the device was not heard in time"
		}
		p.tell(l, lorawan.Expired, why)
		return
	}
	payload, err := l.encode(ctx)
	if err == nil {
		p.mu.Lock()
		p.used = true
		p.mu.Unlock()
		err = p.s.raw.Send(ctx, p.d.Name, payload)
	} else if !isStop(err) {
		p.tell(l, lorawan.Refused, firstLine(err))
		return
	}
	var busy *radio.Busy
	switch {
	case err == nil:
		p.tell(l, lorawan.Sent, "")
		return
	case isStop(err): // it is still in the book
		return
	case errors.Is(err, raw.ErrTooLong), errors.Is(err, raw.ErrUnknownDevice), errors.Is(err, radio.ErrFrequency):
		p.tell(l, lorawan.Refused, firstLine(err))
		return
	case errors.As(err, &busy):
		l.retry = time.Now().Add(max(busy.Wait, time.Second))
	default:
		l.retry = time.Now().Add(tryAgain)
	}
	l.why = firstLine(err)
	p.mu.Lock()
	newer := slices.ContainsFunc(p.queue, func(o *letter) bool { return o.actuator == l.actuator })
	if !newer {
		p.queue = slices.Insert(p.queue, 0, l)
	}
	p.mu.Unlock()
	if newer {
		p.tell(l, lorawan.Refused, "a newer command took its place")
		return
	}
	p.tell(l, lorawan.Queued, l.why)
}

// tell notes what became of a letter.
func (p *post) tell(l *letter, st lorawan.State, why string) {
	d := lorawan.DownlinkState{Device: p.d.Name, ID: l.id, Tag: l.actuator, State: st, Last: st != lorawan.Queued, Why: why}
	if st == lorawan.Sent {
		d.Sends = 1
	}
	p.s.downlink(d)
}
