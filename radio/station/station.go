package station

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/lorawan"
	"fieldgate/radio/raw"
)

// Station is the LoRa part of a gateway. It is a gateway.Sink and a
// gateway.Actuators for the actuators of its devices.
type Station struct {
	cfg      Config
	lorawan  *lorawan.Server
	raw      *raw.Server
	devices  map[string]*device
	lanes    []*lane // of the scripts, and commands
	commands *lane   // of the other codecs

	mu     sync.Mutex
	owners map[string]radio.Radio // who has a radio's name
	states map[string]command     // last state of each actuator's command, by "device/actuator"
}

var (
	_ gateway.Sink      = (*Station)(nil)
	_ gateway.Actuators = (*Station)(nil)
)

type device struct {
	Device
	lane *lane // nil: its codec does not take long
}

// New prepares a Station; nothing is touched yet but the tables.
func New(c Config) (*Station, error) {
	s := &Station{cfg: c, devices: map[string]*device{}, owners: map[string]radio.Radio{}, states: map[string]command{}}
	s.commands = newLane()
	s.lanes = append(s.lanes, s.commands)
	lanes := map[any]*lane{}
	for _, d := range c.Devices {
		if s.devices[d.Name] != nil {
			return nil, fmt.Errorf("station: device %s is there twice", d.Name)
		}
		one := &device{Device: d}
		if d.Script {
			if lanes[d.Codec] == nil {
				lanes[d.Codec] = newLane()
				s.lanes = append(s.lanes, lanes[d.Codec])
			}
			one.lane = lanes[d.Codec]
		}
		s.devices[d.Name] = one
	}
	if err := s.load(); err != nil {
		c.Log.Error("the last commands cannot be read", "error", err)
	}
	for _, r := range c.Radios {
		for _, st := range r.Status() {
			s.owners[st.Radio] = r
		}
	}
	lw := c.LoRaWAN
	lw.Radio, lw.OnUplink, lw.OnDownlink = sender{s}, s.uplink, s.downlink
	var err error
	if s.lorawan, err = lorawan.New(lw); err != nil {
		return nil, fmt.Errorf("station: %w", err)
	}
	rw := c.Raw
	rw.Radio, rw.OnUplink, rw.OnFrame = sender{s}, s.rawUplink, s.rawRefused
	if s.raw, err = raw.New(rw); err != nil {
		return nil, fmt.Errorf("station: %w", err)
	}
	return s, nil
}

// Run serves the radios until ctx ends. A radio whose Run ends with an error is
// reported, and the others go on.
func (s *Station) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	serve := func(name string, run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				s.cfg.Log.Error("a part of LoRa ended", "what", name, "error", err)
			}
		})
	}
	for _, l := range s.lanes {
		serve("script", l.run)
	}
	serve("lorawan", s.lorawan.Run)
	serve("raw", s.raw.Run)
	for _, r := range s.cfg.Radios {
		serve("radio", func(ctx context.Context) error {
			return r.Run(ctx, func(f *radio.Frame) { s.receive(r, f) })
		})
	}
	wg.Wait()
	return nil
}

// receive takes a frame of a radio.
func (s *Station) receive(r radio.Radio, f *radio.Frame) {
	s.mu.Lock()
	if s.owners[f.Radio] != r {
		s.owners[f.Radio] = r
	}
	s.mu.Unlock()
	if f.Private || s.cfg.RawRadios[f.Radio] {
		s.raw.Receive(f)
		return
	}
	s.lorawan.Receive(f)
}

// sender hands transmissions to the radio that they name.
type sender struct{ s *Station }

// Send implements radio.Radio's part of the same name.
func (x sender) Send(ctx context.Context, t *radio.Transmission) error {
	x.s.mu.Lock()
	r := x.s.owners[t.Radio]
	x.s.mu.Unlock()
	err := fmt.Errorf("%w: %q", radio.ErrNoRadio, t.Radio)
	if r != nil {
		err = r.Send(ctx, t)
	}
	x.s.sent(t, err)
	return err
}

// Send has a radio send t, for somebody who tries it out: no ledger is asked.
func (s *Station) Send(ctx context.Context, t *radio.Transmission) error {
	return sender{s}.Send(ctx, t)
}

// Status tells how each radio is doing, in the order of their names.
func (s *Station) Status() []radio.Status {
	all := map[string]radio.Status{}
	for _, r := range s.cfg.Radios {
		for _, st := range r.Status() {
			all[st.Radio] = st
		}
	}
	out := make([]radio.Status, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, all[name])
	}
	return out
}

// Stats counts the frames that were heard by what became of them.
func (s *Station) Stats() map[string]uint64 {
	out := map[string]uint64{}
	lw := s.lorawan.Stats()
	for reason, n := range lw.Refused {
		out[reason.String()] += n
	}
	rw := s.raw.Stats()
	for reason, n := range rw.Refused {
		out["raw_"+reason.String()] += n
	}
	return out
}

// lane is a script's own goroutine: one that takes its time holds up no other.
type lane struct{ jobs chan func(context.Context) }

// laneRoom is how many uplinks and commands wait for one script.
const laneRoom = 64

func newLane() *lane { return &lane{make(chan func(context.Context), laneRoom)} }

func (l *lane) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			for { // who waits for them is to be told
				select {
				case job := <-l.jobs:
					job(ctx)
				default:
					return nil
				}
			}
		case job := <-l.jobs:
			job(ctx)
		}
	}
}

// put queues a job and reports whether there was room.
func (l *lane) put(job func(context.Context)) bool {
	select {
	case l.jobs <- job:
		return true
	default:
		return false
	}
}

// LoRaWAN tells how each LoRaWAN device is doing.
func (s *Station) LoRaWAN() []lorawan.DeviceStatus { return s.lorawan.Devices() }
