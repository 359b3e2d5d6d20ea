package forwarder

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/semtech/gwmp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	eui = gwmp.EUI{0xaa, 0x55, 0x5a, 0, 0, 0, 1, 1}
	sf7 = radio.Modulation{SF: 7, Bandwidth: 125000, CodingRate: 5}
)

// frame makes the n-th frame of a device, heard now.
func frame(n int) *radio.Frame {
	return &radio.Frame{Payload: []byte(fmt.Sprintf("frame %d", n)), Frequency: 868100000, Modulation: sf7, RSSI: -90, SNR: 5, CRC: radio.CRCOK,
		Radio: "hat", Counter: uint32(n) * 10_000_001, At: time.Now()}
}

// bubbleClock is the bubble's time, as the machine's clock tells it.
type bubbleClock struct {
	mu      sync.Mutex
	boot    gateway.Boot
	start   time.Time
	quality gateway.ClockQuality
	off     time.Duration // of the wall clock
}

func newClock() *bubbleClock {
	return &bubbleClock{boot: gateway.Boot{1}, start: time.Now(), quality: gateway.ClockSynced}
}

func (c *bubbleClock) Now() gateway.Stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	return gateway.Stamp{Wall: now.Add(c.off).UTC(), Boot: c.boot, Mono: now.Sub(c.start), Quality: c.quality}
}

func (c *bubbleClock) set(off time.Duration, q gateway.ClockQuality) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off, c.quality = off, q
}

// table is a disk.
type table struct {
	mu     sync.Mutex
	m      map[string][]byte
	fail   error
	writes int
	puts   int // values ever written
	// after, if set, is called with what is on disk after each transaction.
	after func(map[string][]byte)
}

func newTable() *table { return &table{m: map[string][]byte{}} }

func (t *table) Each(fn func(string, []byte) error) error {
	t.mu.Lock()
	m, err := maps.Clone(t.m), t.fail
	t.mu.Unlock()
	if err != nil {
		return err
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if err := fn(k, slices.Clone(m[k])); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) Write(pairs map[string][]byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fail != nil {
		return t.fail
	}
	t.writes++
	for k, v := range pairs {
		if v == nil {
			delete(t.m, k)
			continue
		}
		t.puts++
		t.m[k] = v
	}
	if t.after != nil {
		t.after(maps.Clone(t.m))
	}
	return nil
}

func (t *table) setFail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fail = err
}

func (t *table) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.m)
}

// came is a datagram that the server got.
type came struct {
	gwmp.Datagram
	at      time.Time
	session int // number of the socket
	packets []gwmp.Rxpk
	stat    *gwmp.Stat
}

// server is a network server by hand, on pipes in memory.
type server struct {
	t *testing.T

	mu    sync.Mutex
	pulls bool // it acknowledges PULL_DATA
	pushs bool // and PUSH_DATA
	dials int
	deny  error // of dial
	out   chan<- gwmp.Datagram
	log   []came
}

func (s *server) dial(context.Context) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deny != nil {
		return nil, s.deny
	}
	s.dials++
	n := s.dials
	near, far := net.Pipe()
	out := make(chan gwmp.Datagram, 1000)
	s.out = out
	ended := make(chan struct{})
	go func() {
		for {
			select {
			case d := <-out:
				_, _ = far.Write(d.Append(nil))
			case <-ended:
				return
			}
		}
	}()
	go func() {
		defer close(ended)
		buf := make([]byte, gwmp.MaxDatagram)
		for {
			k, err := far.Read(buf)
			if err != nil {
				return
			}
			d, err := gwmp.Parse(slices.Clone(buf[:k]))
			if err != nil || d.EUI != eui || d.Version != 2 {
				s.t.Errorf("%+v, %v", d, err)
				continue
			}
			s.take(d, n, out)
		}
	}()
	return near, nil
}

func (s *server) take(d gwmp.Datagram, session int, out chan<- gwmp.Datagram) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := came{Datagram: d, at: time.Now(), session: session}
	if d.Kind == gwmp.PushData {
		var p gwmp.Push
		if err := p.Parse(d.Body); err != nil || p.Bad > 0 {
			s.t.Errorf("%s: %v, %v", d.Body, err, p.BadErr)
		}
		c.packets, c.stat = p.Packets, p.Stat
	}
	s.log = append(s.log, c)
	if d.Kind == gwmp.PullData && s.pulls {
		out <- gwmp.Datagram{Version: 2, Token: d.Token, Kind: gwmp.PullAck}
	}
	if d.Kind == gwmp.PushData && s.pushs {
		out <- gwmp.Datagram{Version: 2, Token: d.Token, Kind: gwmp.PushAck}
	}
}

func (s *server) answers(pulls, pushs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pulls, s.pushs = pulls, pushs
}

func (s *server) say(d gwmp.Datagram) {
	s.mu.Lock()
	out := s.out
	s.mu.Unlock()
	out <- d
}

// got gives the datagrams of a kind, and forgets all.
func (s *server) got(k gwmp.Kind) []came {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []came
	for _, c := range s.log {
		if c.Kind == k {
			list = append(list, c)
		}
	}
	s.log = nil
	return list
}

// frames gives the packets that came, and forgets all.
func (s *server) frames() []gwmp.Rxpk {
	var all []gwmp.Rxpk
	for _, c := range s.got(gwmp.PushData) {
		all = append(all, c.packets...)
	}
	return all
}

// rig is a forwarder in a bubble.
type rig struct {
	*Forwarder
	t     *testing.T
	srv   *server
	clock *bubbleClock
	stop  func()
}

// start runs a forwarder; cfg needs no more than what the test is about.
func start(t *testing.T, srv *server, clock *bubbleClock, cfg Config) *rig {
	t.Helper()
	cfg.Server, cfg.EUI, cfg.Clock = "lora.example:1700", eui, clock
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.dial = srv.dial
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	r := &rig{Forwarder: f, t: t, srv: srv, clock: clock}
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
	}
	synctest.Wait()
	return r
}

// bubble runs fn with a forwarder whose server answers.
func bubble(t *testing.T, cfg Config, fn func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &server{t: t, pulls: true, pushs: true}, newClock(), cfg)
		defer r.stop()
		fn(t, r)
	})
}

// sleep lets d pass in the bubble.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// numbers gives which frames packets are, by their payloads.
func numbers(t *testing.T, packets []gwmp.Rxpk) []int {
	t.Helper()
	var list []int
	for _, p := range packets {
		var n int
		if _, err := fmt.Sscanf(string(p.Data), "frame %d", &n); err != nil {
			t.Errorf("%q", p.Data)
		}
		list = append(list, n)
	}
	return list
}

func upTo(from, to int) []int {
	var list []int
	for n := from; n <= to; n++ {
		list = append(list, n)
	}
	return list
}

var errDisk = errors.New("no space left")
