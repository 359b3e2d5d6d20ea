package station

import (
	"context"
	"errors"
	"sync"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/codec"
	"fieldgate/radio/lorawan"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/raw"
)

// codecWithin is how long a codec may take, its own bounds being shorter.
const codecWithin = 2 * time.Second

// rawPatience is how long the acknowledgement to a device without LoRaWAN waits
// for codec and disk.
const rawPatience = 900 * time.Millisecond

// message is what a device has sent, whichever way it came.
type message struct {
	device  *device
	frame   *radio.Frame
	payload []byte
	port    uint8
	fcnt    *uint32
	kind    string
	// before is when it was heard by the wall clock of the run before this one; zero:
	// it is of this run.
	before time.Time
	// wait says that the device waits for an acknowledgement, which says that its
	// values are on disk.
	wait bool
	// again says that the network server hands it on once more after the next start if
	// done was not called before it has ended.
	again bool
	// done is called at most once: with true when all that was to be kept is on disk,
	// with false when it is not and will not be.
	done func(kept bool)
}

// uplink takes what the network server lets pass.
func (s *Station) uplink(u *lorawan.Uplink) {
	d := s.devices[u.Device]
	if d == nil {
		return
	}
	m := &message{device: d, frame: u.Frame, payload: u.Payload, port: u.FPort, fcnt: &u.FCnt, kind: frame.UnconfirmedUp.String(), wait: u.Confirmed,
		again: true, done: u.Later()}
	if u.Confirmed {
		m.kind = frame.ConfirmedUp.String()
	}
	if u.Again {
		m.before = u.Received
	}
	s.handle(m)
}

// rawUplink takes what a device without LoRaWAN has sent. What it asked to have
// acknowledged is on disk when nil is returned.
func (s *Station) rawUplink(u *raw.Uplink) error {
	d := s.devices[u.Device]
	if d == nil {
		return nil
	}
	if d.post != nil {
		d.post.heard(u)
	}
	done := make(chan bool, 1)
	m := &message{device: d, frame: u.Frame, payload: u.Payload, kind: "raw", wait: u.Header != nil && u.Header.Type.Has(raw.AckRequest),
		done: func(kept bool) { done <- kept }}
	s.handle(m)
	if !m.wait {
		select {
		case kept := <-done:
			return notKept(kept)
		default:
			return nil
		}
	}
	t := time.NewTimer(rawPatience)
	defer t.Stop()
	select {
	case kept := <-done:
		return notKept(kept)
	case <-t.C:
		return errNotKept
	}
}

var errNotKept = errors.New("station: not on disk in time")

func notKept(kept bool) error {
	if kept {
		return nil
	}
	return errNotKept
}

// handle decodes a message and submits its values: at once, or in the lane of its
// script.
func (s *Station) handle(m *message) {
	if m.device.lane == nil {
		s.decode(context.Background(), m)
		return
	}
	if !m.device.lane.put(func(ctx context.Context) { s.decode(ctx, m) }) {
		s.busy.Add(1)
		s.log.warn("uplinks of a device are dropped", m.device.Name, "error", errLane)
		s.tell(m, nil, errLane)
		m.done(false)
	}
}

// decode makes readings of a message. It does not wait for the disk.
func (s *Station) decode(ctx context.Context, m *message) {
	within, cancel := context.WithTimeout(ctx, codecWithin)
	defer cancel()
	at := s.heardAt(m)
	u := codec.Uplink{Bytes: m.payload, FPort: m.port, Variables: m.device.Variables, Received: at.wall}
	if m.again && s.over.Load() {
		return
	}
	got, err := m.device.Codec.Decode(within, &u)
	if err != nil && ctx.Err() != nil || m.again && s.over.Load() {
		return // the gateway stops, and the network server has it still
	}
	for _, w := range got.Warnings {
		s.cfg.Log.Debug("codec warns", "device", m.device.Name, "warning", w)
	}
	batches := s.batches(m, &got, at)
	s.tell(m, got.Values, err)
	if err != nil {
		s.log.warn("a payload is not understood, or only in part", m.device.Name, "fport", m.port, "bytes", len(m.payload), "error", err)
	}
	s.submit(m, batches)
}

// submit hands batches to the Hub, and says when all of them are on disk.
func (s *Station) submit(m *message, batches []*gateway.Batch) {
	var mu sync.Mutex
	left, kept := len(batches)+1, true
	one := func(err error) {
		mu.Lock()
		left--
		if errors.Is(err, gateway.ErrNotKept) || errors.Is(err, gateway.ErrClosed) {
			kept = false // anything else would be refused again
		}
		last, kept := left == 0, kept
		mu.Unlock()
		if last {
			m.done(kept)
		}
	}
	for _, b := range batches {
		b.Wait, b.Done = m.wait, one
		if err := s.cfg.Hub.Submit(b); err != nil {
			s.log.warn("readings of a device were refused", m.device.Name, "error", err)
			one(err)
		}
	}
	one(nil)
}
