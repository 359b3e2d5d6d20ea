package semtech

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fieldgate/radio"
	"fieldgate/radio/semtech/fakeforwarder"
	"fieldgate/radio/semtech/gwmp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	euiA = "aa555a0000000101"
	euiB = "aa555a0000000102"
	euiC = "aa555a0000000103" // not listed
)

// patience bounds what a test waits for; it is no measure.
const patience = 20 * time.Second

var sf7 = radio.Modulation{SF: 7, Bandwidth: 125000, CodingRate: 5}

func mustEUI(t testing.TB, s string) gwmp.EUI {
	t.Helper()
	e, err := gwmp.ParseEUI(s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// start runs a server on a port of its own; frames go to receive.
func start(t testing.TB, cfg Config, receive func(*radio.Frame)) *Server {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.Gateways == nil {
		cfg.Gateways = []string{euiA, euiB}
	}
	if cfg.AnswerWithin == 0 {
		cfg.AnswerWithin = patience
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	run(t, func(ctx context.Context) error { return s.Run(ctx, receive) })
	return s
}

// run runs fn until the test ends.
func run(t testing.TB, fn func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// attach runs a fake forwarder that has said where it is.
func attach(t testing.TB, s *Server, cfg fakeforwarder.Config) *fakeforwarder.Forwarder {
	t.Helper()
	cfg.Server = s.Addr().String()
	if cfg.EUI == (gwmp.EUI{}) {
		cfg.EUI = mustEUI(t, euiA)
	}
	f, err := fakeforwarder.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	run(t, f.Run)
	wait(t, f.Pulled())
	return f
}

func wait[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("not reached")
	}
}

// peer is a forwarder by hand.
type peer struct {
	t testing.TB
	c *net.UDPConn
}

func dial(t testing.TB, s *Server, host string) *peer {
	t.Helper()
	c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(host)}, s.Addr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &peer{t, c}
}

func (p *peer) send(b []byte) {
	p.t.Helper()
	if _, err := p.c.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) datagram(version uint8, kind gwmp.Kind, eui string, token gwmp.Token, body string) {
	p.t.Helper()
	p.send(gwmp.Datagram{Version: version, Token: token, Kind: kind, EUI: mustEUI(p.t, eui), Body: []byte(body)}.Append(nil))
}

func (p *peer) next() gwmp.Datagram {
	p.t.Helper()
	b := make([]byte, 2000)
	_ = p.c.SetReadDeadline(time.Now().Add(patience))
	n, err := p.c.Read(b)
	if err != nil {
		p.t.Fatal(err)
	}
	d, err := gwmp.Parse(b[:n])
	if err != nil {
		p.t.Fatal(err)
	}
	return d
}

// pull says where the forwarder is, and waits until the server knows.
func (p *peer) pull(version uint8, eui string) {
	p.t.Helper()
	p.datagram(version, gwmp.PullData, eui, gwmp.Token{9, 9}, "")
	if d := p.next(); d.Kind != gwmp.PullAck || d.Token != (gwmp.Token{9, 9}) || d.Version != version {
		p.t.Fatalf("%+v", d)
	}
}

// wire is a socket in memory, whose clock may be that of a synctest bubble.
type wire struct {
	in     chan packet
	out    chan packet
	closed chan struct{}
}

type packet struct {
	b    []byte
	addr netip.AddrPort
}

func newWire() *wire {
	return &wire{make(chan packet), make(chan packet, 100), make(chan struct{})}
}

func (w *wire) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case p := <-w.in:
		return copy(b, p.b), p.addr, nil
	case <-w.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (w *wire) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	w.out <- packet{append([]byte(nil), b...), to}
	return len(b), nil
}

func (w *wire) LocalAddr() net.Addr { return &net.UDPAddr{} }

func (w *wire) Close() error {
	select {
	case <-w.closed:
	default:
		close(w.closed)
	}
	return nil
}
