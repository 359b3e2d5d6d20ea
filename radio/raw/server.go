package raw

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/region"
)

// Radio sends frames; radio.Radio is one, and so is what spreads them to several.
type Radio interface {
	// Send is that of radio.Radio.
	Send(ctx context.Context, t *radio.Transmission) error
}

// Gate keeps duty cycles; *radio.Ledger is one.
type Gate interface {
	// Reserve takes airtime of a sub-band for a transmission that begins at at. A
	// *radio.Busy says when there will be room.
	Reserve(name string, band radio.Band, airtime time.Duration, at time.Time) error
}

// Config is what a Server is made of.
type Config struct {
	Rules  []Rule
	Radio  Radio
	Region *region.Region // limits power and, with Gate, duty cycle; nil: nothing does
	Gate   Gate           // nil: no duty cycle is kept
	Power  int8           // dBm EIRP of what is sent; 0: 14

	// OnUplink gets what devices send, from one goroutine and in the order it came.
	// A frame is acknowledged after OnUplink has returned nil for it: what the
	// acknowledgement vouches for must be done by then, within 100 ms or so, because
	// nodes do not wait long. After an error the node is not answered, and what it
	// sends again is new.
	OnUplink func(*Uplink) error

	// OnFrame is told of each frame that was not taken, and why; from Receive. Nil:
	// nobody is.
	OnFrame func(f *radio.Frame, device string, reason Reason)

	Log *slog.Logger // nil: nothing is logged
	// Backlog is how many frames may wait for OnUplink; further ones are dropped
	// and counted. 0: 256.
	Backlog int
}

// Errors of Send, beside those of radio and *radio.Busy.
var (
	ErrUnknownDevice = errors.New("no rule has that device")
	ErrNotHeard      = errors.New("the device was not heard since the start: no radio is known that reaches it")
	ErrTooLong       = errors.New("the payload does not fit")
)

// sending is how many acknowledgements may be with radios at a time.
const sending = 8

// Server serves the devices of its rules.
type Server struct {
	cfg   Config
	mu    sync.Mutex // guards handler
	h     *Handler
	queue chan work
	count counters
}

// work is what a frame asks for.
type work struct {
	uplink *Uplink             // nil: a repetition
	ack    *radio.Transmission // nil: none
	due    time.Time           // of ack
}

// New makes a Server. The error wraps ErrConfig.
func New(c Config) (*Server, error) {
	if c.Radio == nil {
		return nil, fmt.Errorf("raw: %w: a radio is needed", ErrConfig)
	}
	h, err := NewHandler(c.Rules)
	if err != nil {
		return nil, err
	}
	if c.OnUplink == nil {
		c.OnUplink = func(*Uplink) error { return nil }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Power == 0 {
		c.Power = 14
	}
	if c.Backlog <= 0 {
		c.Backlog = 256
	}
	return &Server{cfg: c, h: h, queue: make(chan work, c.Backlog)}, nil
}

// Receive takes a frame. It does not block, and may be called from any goroutine.
func (s *Server) Receive(f *radio.Frame) {
	s.count.frames.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ack, reason := s.h.Handle(f)
	if reason != Accepted {
		s.count.refused[reason].Add(1)
		s.cfg.Log.Debug("raw: frame not taken", "reason", reason.String(), "radio", f.Radio, "bytes", len(f.Payload))
		if s.cfg.OnFrame != nil {
			s.cfg.OnFrame(f, "", reason)
		}
	}
	if u == nil && ack == nil {
		return
	}
	w := work{uplink: u, ack: ack, due: f.At.Add(AckDelay)}
	if f.At.IsZero() {
		w.due = time.Now().Add(AckDelay)
	}
	select {
	case s.queue <- w:
	default:
		s.count.refused[Overload].Add(1)
		if u != nil {
			s.h.Settle(u, false)
		}
	}
}

// Run hands uplinks to OnUplink and sends acknowledgements until ctx ends, whose
// error is no error. Uplinks that wait then are still handed on.
func (s *Server) Run(ctx context.Context) error {
	var acks sync.WaitGroup
	defer acks.Wait()
	free := make(chan struct{}, sending)
	for {
		select {
		case <-ctx.Done():
			for {
				select {
				case w := <-s.queue:
					s.keep(w.uplink)
				default:
					return nil
				}
			}
		case w := <-s.queue:
			if !s.keep(w.uplink) || w.ack == nil {
				continue
			}
			select {
			case free <- struct{}{}:
				acks.Go(func() {
					s.acknowledge(ctx, w)
					<-free
				})
			default:
				s.count.unacknowledged.Add(1)
			}
		}
	}
}

// keep hands on an uplink, if it is one, and reports whether it may be
// acknowledged.
func (s *Server) keep(u *Uplink) bool {
	if u == nil {
		return true
	}
	err := s.cfg.OnUplink(u)
	s.mu.Lock()
	s.h.Settle(u, err == nil)
	s.mu.Unlock()
	if err != nil {
		s.count.lost.Add(1)
		s.cfg.Log.Debug("raw: uplink not kept", "device", u.Device, "error", err)
		return false
	}
	s.count.uplinks.Add(1)
	return true
}

// acknowledge sends an acknowledgement at its time, or late rather than never.
func (s *Server) acknowledge(ctx context.Context, w work) {
	err := s.allow(w.ack, w.due)
	if err == nil {
		err = s.cfg.Radio.Send(ctx, w.ack)
		if errors.Is(err, radio.ErrTooLate) {
			late := *w.ack
			late.Immediately = true
			err = s.cfg.Radio.Send(ctx, &late)
		}
	}
	if err != nil {
		s.count.unacknowledged.Add(1)
		s.cfg.Log.Debug("raw: acknowledgement not sent", "id", w.ack.ID, "radio", w.ack.Radio, "error", err)
		return
	}
	s.count.acknowledged.Add(1)
}

// allow sets the power of a transmission, and takes its airtime.
func (s *Server) allow(t *radio.Transmission, at time.Time) error {
	t.Power = s.cfg.Power
	if s.cfg.Region == nil {
		return nil
	}
	if !s.cfg.Region.Contains(t.Frequency) {
		return fmt.Errorf("%w: %d Hz in %s", radio.ErrFrequency, t.Frequency, s.cfg.Region.Name())
	}
	t.Power = min(t.Power, s.cfg.Region.MaxEIRP(t.Frequency))
	band, limited := s.cfg.Region.SubBand(t.Frequency)
	if s.cfg.Gate == nil || !limited {
		return nil
	}
	airtime := radio.Airtime(t.Modulation, len(t.Payload), radio.AirtimeOptions{})
	return s.cfg.Gate.Reserve(t.Radio, radio.Band{Name: band.Name, Share: band.Share()}, airtime, at)
}

// Send sends a payload to a device at once, through the radio that heard it last
// and as it was heard. It may be called from any goroutine. The errors wrap
// ErrUnknownDevice, ErrNotHeard, ErrTooLong, those of package radio, or are a
// *radio.Busy.
func (s *Server) Send(ctx context.Context, device string, payload []byte) error {
	s.mu.Lock()
	t, err := s.h.Downlink(device, payload)
	s.mu.Unlock()
	if err == nil {
		if err = s.allow(t, time.Now()); err == nil {
			err = s.cfg.Radio.Send(ctx, t)
		}
		if err != nil {
			err = fmt.Errorf("raw: send to %.64q: %w", device, err)
		}
	}
	if err != nil {
		s.count.unsent.Add(1)
		return err
	}
	s.count.downlinks.Add(1)
	return nil
}
