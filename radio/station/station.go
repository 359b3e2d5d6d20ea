package station

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/lorawan"
	"fieldgate/radio/raw"
)

// Station is the LoRa part of a gateway. It is a gateway.Sink and a
// gateway.Actuators for the actuators of its devices.
type Station struct {
	cfg     Config
	log     *quiet
	lorawan *lorawan.Server
	raw     *raw.Server
	devices map[string]*device
	lanes   []*lane // of the scripts
	book    *book   // what became of commands
	courier *courier
	posts   []*post // of the devices without LoRaWAN

	busy atomic.Uint64 // uplinks for which a script had no time
	over atomic.Bool   // the network server has ended: it hands on again what it was not told of

	orders struct { // commands between Deliver and their settlement
		sync.Mutex
		open   int
		closed bool
		none   chan struct{} // closed when it is closed and none is open
	}

	mu     sync.Mutex
	owners map[string]radio.Radio // who has a radio's name

	offered sync.Map // frames that raw looks at after LoRaWAN refused them: *radio.Frame to the reason
}

var (
	_ gateway.Sink      = (*Station)(nil)
	_ gateway.Actuators = (*Station)(nil)
)

type device struct {
	Device
	lane *lane // nil: its codec does not take long
	post *post // nil: it has LoRaWAN
}

// New prepares a Station; nothing is touched yet but the tables, which are read.
func New(c Config) (*Station, error) {
	s := &Station{cfg: c, log: newQuiet(c.Log), devices: map[string]*device{}, owners: map[string]radio.Radio{}}
	s.orders.none = make(chan struct{})
	s.courier = newCourier(s)
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
		if d.Raw {
			one.post = newPost(s, one)
			s.posts = append(s.posts, one.post)
		}
		s.devices[d.Name] = one
	}
	s.book = newBook(c.Table, c.Clock, c.Publish)
	if err := s.book.load(c.Log); err != nil {
		c.Log.Error("the last commands cannot be read", "error", err)
	}
	for _, r := range c.Radios {
		for _, st := range r.Status() {
			s.owners[st.Radio] = r
		}
	}
	lw := c.LoRaWAN
	lw.Radio, lw.OnUplink, lw.OnDownlink, lw.OnFrame = sender{s}, s.uplink, s.downlink, s.heard
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

// grace is how long scripts and the disk have at the stop for the commands that
// were taken before.
const grace = 3 * time.Second

// Run serves the radios until ctx ends. A radio whose Run ends with an error is
// reported, and the others go on. It ends in the order in which things pass:
// radios, commands that were taken, network server, and the scripts, which may
// have something to decode still. Commands that come later are answered with
// gateway.ErrClosed.
func (s *Station) Run(ctx context.Context) error {
	s.recover()
	working, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	serving, stopServers := context.WithCancel(working)
	defer stopServers()
	serve := func(wg *sync.WaitGroup, ctx context.Context, name string, run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				s.cfg.Log.Error("a part of LoRa ended", "what", name, "error", err)
			}
		})
	}
	var scripts, couriers, servers, radios sync.WaitGroup
	for _, l := range s.lanes {
		scripts.Go(func() { l.run(working) })
	}
	couriers.Go(func() { s.courier.run(working) })
	for _, p := range s.posts {
		servers.Go(func() { p.run(serving) })
	}
	serve(&servers, serving, "lorawan", s.lorawan.Run)
	serve(&servers, serving, "raw", s.raw.Run)
	for _, r := range s.cfg.Radios {
		serve(&radios, ctx, "radio", func(ctx context.Context) error {
			return r.Run(ctx, func(f *radio.Frame) { s.receive(r, f) })
		})
	}
	<-ctx.Done()
	late := time.AfterFunc(grace, stopWork)
	defer late.Stop()
	radios.Wait()
	s.refuseOrders()
	<-s.orders.none
	stopServers()
	servers.Wait()
	s.over.Store(true)
	for _, l := range s.lanes {
		l.close()
	}
	scripts.Wait()
	s.courier.close()
	couriers.Wait()
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

// LoRaWAN tells how each LoRaWAN device is doing.
func (s *Station) LoRaWAN() []lorawan.DeviceStatus { return s.lorawan.Devices() }

// Stats are counts since the start.
type Stats struct {
	Taken   map[string]uint64 // uplinks, joins, raw uplinks, downlinks, by what they are
	Refused map[string]uint64 // frames that were not taken, by reason
}

// Stats counts what was heard and sent.
func (s *Station) Stats() Stats {
	lw, rw := s.lorawan.Stats(), s.raw.Stats()
	out := Stats{Refused: map[string]uint64{}, Taken: map[string]uint64{
		"uplink": lw.Uplinks, "join": lw.Joins, "copy": lw.Copies, "repetition": lw.Retransmissions, "downlink": lw.Downlinks,
		"raw_uplink": rw.Uplinks, "raw_downlink": rw.Downlinks, "raw_acknowledgement": rw.Acknowledged,
	}}
	for reason, n := range lw.Refused {
		out.Refused[reason.String()] += n
	}
	for reason, n := range rw.Refused {
		out.Refused["raw_"+reason.String()] += n
	}
	if n := s.busy.Load(); n > 0 {
		out.Refused["script_busy"] = n
	}
	return out
}

// errStopped answers commands after the end.
var errStopped = fmt.Errorf("station: %w", gateway.ErrClosed)

// isStop reports whether err is only that something was stopped.
func isStop(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, lorawan.ErrStopped)
}
