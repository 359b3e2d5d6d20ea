package semtech

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/semtech/gwmp"
)

// Server serves packet forwarders. It implements radio.Radio; a radio's name is
// the EUI of its forwarder. The methods may be called from any goroutine.
type Server struct {
	cfg    Config
	log    *slog.Logger
	any    bool
	listen func(address string) (socket, error)
	drops  chan []byte // buffers to be used again

	mu        sync.Mutex
	gateways  map[gwmp.EUI]*gateway
	strangers map[gwmp.EUI]bool // that were warned about
	order     []*gateway        // as they are in the configuration, or came
	sock      socket            // nil: not open
	gone      chan struct{}
	err       error // why sock is not open
	since     time.Time
	token     uint16
	count     Counters
	queued    int // bytes
}

// Counters are what was not taken, since the start.
type Counters struct {
	Malformed uint64 // datagrams that are none of the protocol's
	Strangers uint64 // datagrams of forwarders that are not listed
	Conflicts uint64 // PULL_DATA of a second host with the same EUI
	Overflow  uint64 // PUSH_DATA that came faster than they could be handled; not acknowledged
	BadJSON   uint64 // documents that are damaged
	BadFrames uint64 // frames with wrong or missing fields
	Unasked   uint64 // TX_ACK that nobody waits for
}

// socket is what Server needs of a *net.UDPConn.
type socket interface {
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
	LocalAddr() net.Addr
	Close() error
}

// New checks the configuration. The error wraps ErrConfig and names every mistake.
func New(cfg Config) (*Server, error) {
	euis, err := cfg.fill()
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, log: cfg.Log, any: len(euis) == 0, listen: listenUDP, drops: make(chan []byte, 64),
		gateways: map[gwmp.EUI]*gateway{}, strangers: map[gwmp.EUI]bool{}, since: time.Now(), token: uint16(rand.Uint32()),
	}
	for _, e := range euis {
		s.add(e)
	}
	return s, nil
}

func listenUDP(address string) (socket, error) {
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, err
	}
	u := c.(*net.UDPConn)
	_ = u.SetReadBuffer(readBuffer) // the kernel may allow less
	return u, nil
}

// add needs mu, except in New.
func (s *Server) add(e gwmp.EUI) *gateway {
	g := &gateway{eui: e, name: e.String(), since: time.Now(), pending: map[gwmp.Token]chan gwmp.Ack{}}
	s.gateways[e] = g
	s.order = append(s.order, g)
	return g
}

// Listen opens the socket, so that Addr is known; Run does so otherwise.
func (s *Server) Listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sock != nil {
		return nil
	}
	sock, err := s.listen(s.cfg.Listen)
	if err != nil {
		if s.err == nil {
			s.since = time.Now()
		}
		s.err = fmt.Errorf("semtech: %w", err)
		return s.err
	}
	s.sock, s.err, s.gone, s.since = sock, nil, make(chan struct{}), time.Now()
	return nil
}

// Addr is where the server listens; nil while it does not.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sock == nil {
		return nil
	}
	return s.sock.LocalAddr()
}

// Run implements radio.Radio. If the address cannot be listened on, it tries
// again.
func (s *Server) Run(ctx context.Context, receive func(*radio.Frame)) error {
	for ctx.Err() == nil {
		if err := s.Listen(); err != nil {
			s.log.Error("packet forwarders cannot reach this gateway; trying again", "listen", s.cfg.Listen, "error", err)
			select {
			case <-time.After(reopen):
			case <-ctx.Done():
			}
			continue
		}
		s.serve(ctx, receive)
	}
	return nil
}

// job is a PUSH_DATA to be read.
type job struct {
	gateway *gateway
	body    []byte
	at      time.Time
}

// serve works until the socket fails or ctx ends.
func (s *Server) serve(ctx context.Context, receive func(*radio.Frame)) {
	s.mu.Lock()
	sock, gone := s.sock, s.gone
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { sock.Close() })
	jobs := make(chan job, maxQueue)
	var reader sync.WaitGroup
	reader.Go(func() { s.work(jobs, receive) })
	err := s.read(sock, jobs)
	close(jobs)
	reader.Wait()
	stop()
	sock.Close()
	s.mu.Lock()
	s.sock, s.err, s.since = nil, fmt.Errorf("semtech: %w", err), time.Now()
	s.mu.Unlock()
	close(gone)
	if ctx.Err() == nil {
		s.log.Error("the socket of the packet forwarders failed; opening it again", "error", err)
	}
}

// read takes datagrams until the socket fails.
func (s *Server) read(sock socket, jobs chan<- job) error {
	buf := make([]byte, gwmp.MaxDatagram+1)
	ack := make([]byte, 0, 16)
	for {
		n, from, err := sock.ReadFromUDPAddrPort(buf)
		if err != nil {
			return err
		}
		now := time.Now()
		d, err := gwmp.Parse(buf[:n])
		if err == nil && d.Kind != gwmp.PushData && d.Kind != gwmp.PullData && d.Kind != gwmp.TxAck {
			err = errors.New("a datagram for a forwarder")
		}
		if err != nil {
			s.mu.Lock()
			s.count.Malformed++
			s.mu.Unlock()
			s.log.Debug("datagram refused", "from", from, "error", err)
			continue
		}
		kind, ok := s.take(&d, from, now, jobs)
		if !ok {
			continue
		}
		ack = gwmp.Datagram{Version: d.Version, Token: d.Token, Kind: kind}.Append(ack[:0])
		if _, err := sock.WriteToUDPAddrPort(ack, from); err != nil {
			s.log.Debug("acknowledgement not sent", "to", from, "error", err)
		}
	}
}

// take handles a datagram of a forwarder. It reports whether it is to be
// acknowledged, and how.
func (s *Server) take(d *gwmp.Datagram, from netip.AddrPort, now time.Time, jobs chan<- job) (gwmp.Kind, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.gateways[d.EUI]
	if g == nil && s.any && len(s.order) < maxGateways && d.Kind != gwmp.TxAck {
		g = s.add(d.EUI)
		s.log.Info("a new packet forwarder", "forwarder", g.name, "from", from)
	}
	if g == nil {
		s.count.Strangers++
		if len(s.strangers) < maxGateways && !s.strangers[d.EUI] { // each once: who is wrong about an EUI looks here
			s.strangers[d.EUI] = true
			s.log.Warn("a packet forwarder is not listed under gateways, and is not answered", "forwarder", d.EUI, "from", from)
		}
		s.log.Debug("datagram of a packet forwarder that is not listed", "forwarder", d.EUI, "from", from)
		return 0, false
	}
	switch d.Kind {
	case gwmp.PushData:
		if len(jobs) == cap(jobs) || s.queued+len(d.Body) > maxQueued {
			s.count.Overflow++
			g.heardAt(now, d.Version)
			return 0, false // the forwarder's own counters tell it as lost then
		}
		s.queued += len(d.Body)
		jobs <- job{g, s.buffer(d.Body), now} // there is room, and nobody else fills it
		g.heardAt(now, d.Version)
		return gwmp.PushAck, true
	case gwmp.PullData:
		return gwmp.PullAck, s.pulled(g, d, from, now)
	}
	g.heardAt(now, d.Version)
	s.acked(g, d)
	return 0, false
}

// buffer copies body, into memory that is no longer needed if there is some.
func (s *Server) buffer(body []byte) []byte {
	var b []byte
	select {
	case b = <-s.drops:
	default:
	}
	return append(b[:0], body...)
}

// pulled handles a PULL_DATA and reports whether it counts. It needs mu.
func (s *Server) pulled(g *gateway, d *gwmp.Datagram, from netip.AddrPort, now time.Time) bool {
	if g.down.IsValid() && from != g.down {
		if from.Addr().Unmap() != g.down.Addr().Unmap() && now.Sub(g.pulled) < hold {
			s.count.Conflicts++
			g.count.Garbage++
			if g.warned.IsZero() || now.Sub(g.warned) >= time.Minute {
				g.warned = now
				s.log.Warn("two hosts are the same packet forwarder; only the first one sends", "forwarder", g.name, "first", g.down, "second", from)
			}
			return false
		}
		s.log.Info("the packet forwarder has another address", "forwarder", g.name, "before", g.down, "now", from)
	}
	g.down, g.pulled = from, now
	g.heardAt(now, d.Version)
	return true
}

// Counters tells what was not taken.
func (s *Server) Counters() Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// Status implements radio.Radio.
func (s *Server) Status() []radio.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	list := make([]radio.Status, 0, len(s.order)+1)
	for _, g := range s.order {
		st := g.status(now)
		if s.sock == nil && s.err != nil {
			st.State, st.Err, st.Since = radio.Failing, s.err, s.since
		}
		list = append(list, st)
	}
	if len(list) == 0 { // any, and nobody came
		st := radio.Status{Radio: "udp " + s.cfg.Listen, Since: s.since}
		if s.sock == nil && s.err != nil {
			st.State, st.Err = radio.Failing, s.err
		}
		list = append(list, st)
	}
	return list
}
