package fakeforwarder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/semtech/gwmp"
)

// Config is what a fake forwarder is made of.
type Config struct {
	Server    string // host:port
	EUI       gwmp.EUI
	Version   uint8         // of the protocol; default 2. Version 1 sends no TX_ACK.
	Keepalive time.Duration // between PULL_DATA; default 10 s
	StatEvery time.Duration // between reports; 0: only those of SendStat
	Text      string        // desc of the report; Semtech's own forwarder sends none
	Counter   uint32        // what it begins at
	// Low and High bound the frequencies that it sends on; default 863 to 870 MHz.
	Low, High uint32
	// Powers are those of the gain table in dBm, rising; default 12 to 27.
	Powers      []int8
	AntennaGain int8 // dBi, taken off what the server asks for
	// MaxAhead is how far ahead of its time a frame is taken; default 512 s, four
	// times 128 s for three beacons that may be queued.
	MaxAhead time.Duration
	// Emit is called when a frame leaves, from one goroutine. It must not block.
	Emit func(Emission)
	// Lost is called for a frame that was taken but cannot leave: the concentrator
	// is sending, or was told another one in the meantime. May be nil.
	Lost func(Emission)
	// Out and In say what becomes of a datagram that it sends, or that has come.
	// They may be called from several goroutines. Nil: nothing happens to any.
	Out, In func(gwmp.Datagram) Fault
	Log     *slog.Logger // may be nil
}

// Fault is what the network does to a datagram.
type Fault struct {
	Drop   bool
	Copies int // further ones of the same
	Delay  time.Duration
}

// Emission is a frame that leaves.
type Emission struct {
	radio.Transmission               // Counter is when its first symbol leaves; Power what the table has
	Ahead              time.Duration // how long before that its PULL_RESP came
	Airtime            time.Duration
}

// Forwarder is a fake packet forwarder.
type Forwarder struct {
	cfg      Config
	log      *slog.Logger
	start    time.Time
	up, down *net.UDPConn
	queue    queue
	flying   sync.WaitGroup // delayed datagrams
	pulled   chan struct{}  // closed with the first PULL_ACK

	mu    sync.Mutex
	token uint16
	acks  map[gwmp.Token]chan struct{} // of PUSH_DATA
	last  gwmp.Token                   // of PULL_DATA
	ready bool                         // pulled is closed
	stat  gwmp.Stat
	sent  int // PUSH_DATA since the last report
	acked int
}

// New opens the sockets.
func New(cfg Config) (*Forwarder, error) {
	f := unconnected(cfg)
	addr, err := net.ResolveUDPAddr("udp", cfg.Server)
	if err != nil {
		return nil, fmt.Errorf("fakeforwarder: %w", err)
	}
	if f.up, err = net.DialUDP("udp", nil, addr); err != nil {
		return nil, fmt.Errorf("fakeforwarder: %w", err)
	}
	if f.down, err = net.DialUDP("udp", nil, addr); err != nil {
		f.up.Close()
		return nil, fmt.Errorf("fakeforwarder: %w", err)
	}
	return f, nil
}

func unconnected(cfg Config) *Forwarder {
	if cfg.Version == 0 {
		cfg.Version = 2
	}
	if cfg.Keepalive == 0 {
		cfg.Keepalive = 10 * time.Second
	}
	if cfg.High == 0 {
		cfg.Low, cfg.High = 863_000_000, 870_000_000
	}
	if cfg.Powers == nil {
		cfg.Powers = []int8{12, 13, 14, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27}
	}
	if cfg.MaxAhead == 0 {
		cfg.MaxAhead = 512 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	f := &Forwarder{cfg: cfg, log: cfg.Log.With("forwarder", cfg.EUI), start: time.Now(), acks: map[gwmp.Token]chan struct{}{},
		pulled: make(chan struct{}), token: uint16(rand.Uint32())}
	f.queue.wake = make(chan struct{}, 1)
	return f
}

// CounterAt is the concentrator's count at t.
func (f *Forwarder) CounterAt(t time.Time) uint32 {
	return f.cfg.Counter + uint32(t.Sub(f.start).Microseconds())
}

// Counter is the concentrator's count now.
func (f *Forwarder) Counter() uint32 { return f.CounterAt(time.Now()) }

// Run works until ctx ends, which is no error, and closes the sockets.
func (f *Forwarder) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { f.read(ctx, f.up) })
	wg.Go(func() { f.read(ctx, f.down) })
	wg.Go(func() { f.dispatch(ctx) })
	wg.Go(func() { f.reports(ctx) })
	every := time.NewTicker(f.cfg.Keepalive)
	defer every.Stop()
	for ctx.Err() == nil {
		f.pull()
		select {
		case <-every.C:
		case <-ctx.Done():
		}
	}
	f.up.Close()
	f.down.Close()
	wg.Wait()
	f.flying.Wait()
	return nil
}

// Pulled is closed when the first PULL_DATA has been acknowledged.
func (f *Forwarder) Pulled() <-chan struct{} { return f.pulled }

func (f *Forwarder) pull() {
	f.mu.Lock()
	t := f.nextToken()
	f.last = t
	f.mu.Unlock()
	f.send(f.down, gwmp.Datagram{Version: f.cfg.Version, Token: t, Kind: gwmp.PullData, EUI: f.cfg.EUI})
}

// nextToken needs mu.
func (f *Forwarder) nextToken() gwmp.Token {
	f.token += 40503 // odd: all values come before one comes again
	return gwmp.Token{byte(f.token >> 8), byte(f.token)}
}

// Push has frames heard at their At, or now, and sends them in one PUSH_DATA. It
// returns the first one's counter when the datagram is acknowledged or ctx ends.
func (f *Forwarder) Push(ctx context.Context, frames ...radio.Frame) (uint32, error) {
	packets := make([]gwmp.Rxpk, len(frames))
	for i := range frames {
		packets[i] = gwmp.FromFrame(&frames[i])
		packets[i].Counter = f.Counter()
		if at := frames[i].At; !at.IsZero() {
			packets[i].Counter = f.CounterAt(at)
		}
	}
	f.mu.Lock()
	for i := range packets {
		f.stat.Received++
		if packets[i].CRC == radio.CRCOK {
			f.stat.OK++
		}
		f.stat.Forwarded++
	}
	f.mu.Unlock()
	var first uint32
	if len(packets) > 0 {
		first = packets[0].Counter
	}
	return first, f.push(ctx, gwmp.AppendPush(nil, packets, nil))
}

// SendStat sends a report and waits until it is acknowledged or ctx ends.
func (f *Forwarder) SendStat(ctx context.Context) error {
	f.mu.Lock()
	st := f.stat
	f.stat = gwmp.Stat{}
	st.Time, st.Descriptor = time.Now(), f.cfg.Text
	if f.sent > 0 {
		st.Acked = 100 * float64(f.acked) / float64(f.sent)
	}
	f.sent, f.acked = 0, 0
	f.mu.Unlock()
	return f.push(ctx, gwmp.AppendPush(nil, nil, &st))
}

// push sends body as PUSH_DATA and waits for its acknowledgement.
func (f *Forwarder) push(ctx context.Context, body []byte) error {
	got := make(chan struct{})
	f.mu.Lock()
	t := f.nextToken()
	f.acks[t] = got
	f.sent++
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.acks, t)
		f.mu.Unlock()
	}()
	f.send(f.up, gwmp.Datagram{Version: f.cfg.Version, Token: t, Kind: gwmp.PushData, EUI: f.cfg.EUI, Body: body})
	select {
	case <-got:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("fakeforwarder: no PUSH_ACK: %w", ctx.Err())
	}
}

// reports sends a report each StatEvery.
func (f *Forwarder) reports(ctx context.Context) {
	if f.cfg.StatEvery <= 0 {
		return
	}
	every := time.NewTicker(f.cfg.StatEvery)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			wait, cancel := context.WithTimeout(ctx, 100*time.Millisecond) // as push_timeout_ms
			_ = f.SendStat(wait)
			cancel()
		case <-ctx.Done():
			return
		}
	}
}

// send sends a datagram, unless the network has other plans with it.
func (f *Forwarder) send(c *net.UDPConn, d gwmp.Datagram) {
	b := d.Append(nil)
	f.through(f.cfg.Out, d, func() { _, _ = c.Write(b) }) // UDP may lose it
}

// through does fn as often and as late as the network has it.
func (f *Forwarder) through(network func(gwmp.Datagram) Fault, d gwmp.Datagram, fn func()) {
	var fault Fault
	if network != nil {
		fault = network(d)
	}
	if fault.Drop {
		return
	}
	for range 1 + fault.Copies {
		if fault.Delay <= 0 {
			fn()
			continue
		}
		f.flying.Add(1)
		time.AfterFunc(fault.Delay, func() {
			defer f.flying.Done()
			fn()
		})
	}
}

// read takes what comes in on one of the sockets.
func (f *Forwarder) read(ctx context.Context, c *net.UDPConn) {
	buf := make([]byte, 999) // buff_down of Semtech's
	for {
		n, err := c.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // such as: nobody listens there
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		d, err := gwmp.Parse(append([]byte(nil), buf[:n]...))
		if err != nil || d.Version != f.cfg.Version {
			f.log.Debug("datagram ignored", "error", err)
			continue
		}
		f.through(f.cfg.In, d, func() { f.take(d, time.Now()) })
	}
}

func (f *Forwarder) take(d gwmp.Datagram, now time.Time) {
	switch d.Kind {
	case gwmp.PushAck:
		f.mu.Lock()
		if got := f.acks[d.Token]; got != nil {
			delete(f.acks, d.Token)
			f.acked++
			close(got)
		}
		f.mu.Unlock()
	case gwmp.PullAck:
		f.mu.Lock()
		if d.Token == f.last && !f.ready {
			f.ready = true
			close(f.pulled)
		}
		f.mu.Unlock()
	case gwmp.PullResp:
		f.respond(d, now)
	}
}
