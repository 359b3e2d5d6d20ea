package lorawan

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
)

// Server is the network server. Make one with New; its methods may be called
// from any goroutine.
type Server struct {
	cfg    Config
	start  time.Time // times are counted from here, so that a jump of the clock is none
	seed   maphash.Seed
	frames chan *radio.Frame
	wake   chan struct{} // something is due earlier
	write  signal
	out    *outbox
	count  counters
	// waiting counts uplinks that are taken and OnUplink has not seen.
	waiting      atomic.Int64
	saidOverload atomic.Int64 // when, of tick
	// unsettled counts those for which Later was called and not settled yet.
	unsettled atomic.Int64
	settled   chan struct{} // one was
	sends     sync.WaitGroup
	ctx       context.Context // of Run; it ends transmissions

	mu           sync.Mutex
	devices      []*device
	byKey        map[string]*device // their records in the table
	byName       map[string]*device
	byEUI        map[frame.EUI]*device
	sessions     map[frame.DevAddr]*session
	copies       *copies
	due          agenda
	changed      []*device
	effects      []effect
	radios       []string // by number; 0: none
	radioNumbers map[string]uint16
	flights      int
	sequence     uint64
	unread       bool // the table could not be read yet
	failing      bool // the last write failed
	chatter      chatter
	askAlone     time.Duration // no downlink before that only asks for a status
	stopped      bool          // nobody writes any more
	journal      uint64        // number of its last record
	done         []string      // records of the journal that are to be deleted
	tidy         bool          // with the next write, whatever else it has
}

// maxFlights is how many downlinks may be on their way to radios.
const maxFlights = 256

// New makes a server of what the table remembers. If that cannot be read, Run tries
// again until it can, and no frame is taken before. The error wraps ErrConfig.
func New(c Config) (*Server, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg: c, start: time.Now(), seed: maphash.MakeSeed(),
		frames: make(chan *radio.Frame, c.Backlog), wake: make(chan struct{}, 1), write: newSignal(), out: newOutbox(), settled: make(chan struct{}, 1),
		byName: map[string]*device{}, byEUI: map[frame.EUI]*device{}, sessions: map[frame.DevAddr]*session{},
		chatter: chatter{room: remarkBurst * remarkRefill}, copies: newCopies(), radios: []string{""}, radioNumbers: map[string]uint16{"": 0},
	}
	usual, err := newPlan(c.Region, &c.Settings)
	if err != nil {
		return nil, err
	}
	plans := map[*Settings]*plan{nil: usual}
	byKey := map[string]*device{}
	var errs []error
	for i := range c.Devices {
		d, err := s.newDevice(&c.Devices[i], plans)
		if err == nil && byKey[d.key] != nil {
			err = fmt.Errorf("lorawan: %w: devices %.64q and %.64q are the same", ErrConfig, d.cfg.Device, byKey[d.key].cfg.Device)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		byKey[d.key] = d
		s.devices = append(s.devices, d)
		s.byName[d.cfg.Device] = d
		if d.cfg.joins() {
			s.byEUI[d.cfg.DevEUI] = d
		}
	}
	if errs != nil {
		return nil, errors.Join(errs...)
	}
	s.byKey = byKey
	if err := s.load(); err != nil {
		s.unread = true
		c.Log.Error("LoRaWAN state cannot be read; no frame is taken until it can", "error", err)
	}
	return s, nil
}

func (s *Server) newDevice(cfg *Device, plans map[*Settings]*plan) (*device, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if s.byName[cfg.Device] != nil {
		return nil, fmt.Errorf("lorawan: %w: two devices are called %.64q", ErrConfig, cfg.Device)
	}
	if cfg.joins() && s.byEUI[cfg.DevEUI] != nil {
		return nil, fmt.Errorf("lorawan: %w: two devices have the DevEUI %s", ErrConfig, cfg.DevEUI)
	}
	p, ok := plans[cfg.Settings]
	if !ok {
		var err error
		if p, err = newPlan(s.cfg.Region, cfg.Settings); err != nil {
			return nil, fmt.Errorf("lorawan: device %.64q: %w", cfg.Device, err)
		}
		plans[cfg.Settings] = p
	}
	if cfg.Preset != nil {
		if _, err := newPlan(s.cfg.Region, cfg.Preset); err != nil {
			return nil, fmt.Errorf("lorawan: device %.64q: preset: %w", cfg.Device, err)
		}
	}
	return newDevice(cfg, p), nil
}

// tick is the time since the start.
func (s *Server) tick() time.Duration { return time.Since(s.start) }

// Receive takes a frame that a radio has heard. It does not block; what cannot be
// kept is dropped and counted.
func (s *Server) Receive(f *radio.Frame) {
	s.count.frames.Add(1)
	switch {
	case f.CRC != radio.CRCOK:
		s.refuse(damage(f), f, "")
		if s.cfg.OnFrame == nil {
			return
		}
	case s.waiting.Load() >= int64(s.cfg.Backlog):
		s.overloaded(f)
		return
	}
	select {
	case s.frames <- f:
	default:
		if f.CRC == radio.CRCOK { // else it is counted already
			s.overloaded(f)
		}
	}
}

// overloaded drops a frame that there is no room for, and says so now and then.
func (s *Server) overloaded(f *radio.Frame) {
	s.refuse(Overload, f, "")
	now, last := int64(s.tick()), s.saidOverload.Load()
	if (last == 0 || now-last > int64(remarkEvery)) && s.saidOverload.CompareAndSwap(last, max(now, 1)) {
		s.cfg.Log.Warn("LoRaWAN frames are dropped: more come than can be handled", "dropped", s.count.refused[Overload].Load())
	}
}

// damage is why a frame is not taken whose checksum is not right.
func damage(f *radio.Frame) Reason {
	if f.CRC == radio.CRCNone {
		return NoCRC
	}
	return BadCRC
}

// Run serves until ctx ends. Then it takes what Receive was given before, writes
// what is to be written, and has OnUplink and OnDownlink told. The error is nil.
// Run may be called once.
func (s *Server) Run(ctx context.Context) error {
	sending, stop := context.WithCancel(ctx)
	defer stop()
	s.ctx = sending
	var writer, outbox sync.WaitGroup
	stopWriter := make(chan struct{})
	writer.Go(func() { s.writeLoop(stopWriter) })
	outbox.Go(func() { s.out.run(s) })
	s.begin()
	s.loop(ctx)
	stop()
	close(stopWriter)
	writer.Wait()
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	_ = s.flush(true) // what was queued meanwhile
	s.sends.Wait()
	s.out.close()
	outbox.Wait()
	s.awaitSettled()
	_ = s.flush(true)
	return nil
}

// begin plans what the table has left to be done.
func (s *Server) begin() {
	s.mu.Lock()
	for _, d := range s.devices { // items that may expire, devices that listen
		s.schedule(d)
	}
	s.mu.Unlock()
	s.write.soon() // states that were not told before the last stop
}

// loop takes frames and does what is due.
func (s *Server) loop(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			s.drain()
			return
		case f := <-s.frames:
			s.take(f)
		case <-s.wake:
		case <-t.C:
		}
		s.mu.Lock()
		next := s.doDue()
		s.mu.Unlock()
		t.Reset(next)
	}
}

// take handles a frame and tells of it.
func (s *Server) take(f *radio.Frame) {
	s.mu.Lock()
	o := s.handle(f)
	s.mu.Unlock()
	if s.cfg.OnFrame != nil {
		kind := frame.Proprietary
		if len(f.Payload) > 0 {
			kind = frame.Kind(f.Payload[0] >> 5)
		}
		s.cfg.OnFrame(f, o.device, kind, o.refused)
	}
}

// drain takes the frames that wait.
func (s *Server) drain() {
	for {
		select {
		case f := <-s.frames:
			s.take(f)
		default:
			return
		}
	}
}

// doDue does what is due and says how long nothing else is.
func (s *Server) doDue() time.Duration {
	for {
		now := s.tick()
		if len(s.due) == 0 {
			return time.Hour
		}
		d := s.due[0]
		if d.due > now {
			return d.due - now
		}
		s.attend(d, now)
		s.schedule(d)
	}
}

// attend does what is due for d.
func (s *Server) attend(d *device, now time.Duration) {
	s.expire(d, now)
	if w := d.window; w != nil && w.decide <= now {
		d.window = nil
		if s.flights < maxFlights {
			s.decide(d, w)
		} else {
			s.count.unsent.Add(1)
		}
	}
	s.unacknowledged(d, now)
	if s.listens(d) && now >= max(d.quietUntil, d.retryAt) {
		if s.flights < maxFlights {
			s.sendNow(d, now)
		} else {
			d.retryAt = now + classCRetry
		}
	}
}

// schedule works out when something is to be done for d.
func (s *Server) schedule(d *device) {
	due := s.nextItem(d)
	if w := d.window; w != nil {
		due = min(due, w.decide)
	}
	if s.listens(d) {
		due = min(due, max(d.quietUntil, d.retryAt))
	}
	first := len(s.due) > 0 && s.due[0] == d
	s.due.set(d, due)
	if !first && len(s.due) > 0 && s.due[0] == d {
		notify(s.wake)
	}
}

// never is a time that does not come.
const never = time.Duration(1<<63 - 1)

// notify sends on a channel of capacity 1 unless it is full.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
