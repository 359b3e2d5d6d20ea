package forwarder

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/semtech"
)

// patience bounds what a test waits for; it is no measure.
const patience = 30 * time.Second

func wait[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("not reached")
	}
}

// run runs fn until the test ends, or stop is called.
func run(t *testing.T, fn func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// proxy is the network between forwarder and server; drop says what is lost.
type proxy struct {
	mu   sync.Mutex
	drop func(up bool) bool
}

func (p *proxy) set(drop func(up bool) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop = drop
}

func (p *proxy) lost(up bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.drop != nil && p.drop(up)
}

// start gives the address that the forwarder is to use.
func (p *proxy) start(t *testing.T, server net.Addr) string {
	t.Helper()
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.DialUDP("udp", nil, server.(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	var client sync.Map // of one key: the forwarder changes its port
	var both sync.WaitGroup
	both.Go(func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := front.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			client.Store(0, from)
			if !p.lost(true) {
				_, _ = back.Write(buf[:n])
			}
		}
	})
	both.Go(func() {
		buf := make([]byte, 65536)
		for {
			n, err := back.Read(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			to, ok := client.Load(0)
			if err == nil && ok && !p.lost(false) {
				_, _ = front.WriteToUDPAddrPort(buf[:n], to.(netip.AddrPort))
			}
		}
	})
	t.Cleanup(func() { front.Close(); back.Close(); both.Wait() })
	return front.LocalAddr().String()
}

// TestUDP forwards to this gateway's own server over real sockets, both ways, while
// the network loses a third of what it is given, then all, and then nothing; the
// forwarder is started again in the middle of it.
func TestUDP(t *testing.T) {
	var mu sync.Mutex
	had := map[string]int{}
	var order []string
	news := make(chan struct{}, 1)
	srv, err := semtech.New(semtech.Config{Listen: "127.0.0.1:0", Gateways: []string{eui.String()}, AnswerWithin: patience})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Listen(); err != nil {
		t.Fatal(err)
	}
	run(t, func(ctx context.Context) error {
		return srv.Run(ctx, func(f *radio.Frame) {
			mu.Lock()
			defer mu.Unlock()
			if had[string(f.Payload)]++; had[string(f.Payload)] == 1 {
				order = append(order, string(f.Payload))
			}
			if f.Radio != eui.String() || f.CRC != radio.CRCOK || f.Modulation != sf7 {
				t.Errorf("%+v", f)
			}
			signal(news)
		})
	})
	network := &proxy{}
	address := network.start(t, srv.Addr())
	disk := newTable()
	committed := make(chan int, 1000)
	disk.after = func(m map[string][]byte) { committed <- len(m) }
	h := &hat{}
	begin := func() (*Forwarder, func()) {
		f, err := New(Config{Server: address, EUI: eui, Table: disk, Radio: h, Clock: gateway.NewSystemClock(), Late: Send,
			Keepalive: 40 * time.Millisecond, AckWithin: 20 * time.Millisecond, Grace: 20 * time.Millisecond, CommitEvery: 5 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		return f, run(t, f.Run)
	}
	all := func(n int) {
		t.Helper()
		for deadline := time.After(patience); ; {
			mu.Lock()
			k := len(had)
			mu.Unlock()
			if k == n {
				return
			}
			select {
			case <-news:
			case <-deadline:
				t.Fatalf("%d frames of %d came", k, n)
			}
		}
	}

	f, stop := begin()
	for n := 1; n <= 100; n++ {
		f.Take(frame(n))
	}
	all(100)
	count := 0
	network.set(func(bool) bool { count++; return count%3 == 0 })
	for n := 101; n <= 200; n++ {
		f.Take(frame(n))
	}
	all(200)
	network.set(func(bool) bool { return true })
	for n := 201; n <= 300; n++ {
		f.Take(frame(n))
	}
	for wait(t, committed) < 100 {
	}
	stop()
	f, stop = begin()
	for n := 301; n <= 350; n++ {
		f.Take(frame(n))
	}
	for wait(t, committed) < 150 {
	}
	network.set(nil)
	all(350)
	for wait(t, committed) > 0 { // the disk is clean in the end
	}
	mu.Lock()
	var late []string
	for _, s := range order {
		if len(s) == len("frame 201") && s > "frame 200" {
			late = append(late, s)
		}
	}
	mu.Unlock()
	if !slices.IsSorted(late) || len(late) != 150 {
		t.Errorf("out of order: %v", late)
	}

	// And back.
	tx := radio.Transmission{Radio: eui.String(), Payload: []byte{0x60, 7}, Frequency: 868100000, Modulation: sf7, Power: 14, InvertIQ: true, Preamble: 8, Counter: 77}
	if err := srv.Send(t.Context(), &tx); err != nil {
		t.Error(err)
	}
	h.mu.Lock()
	got := h.sent
	h.err = radio.ErrTooLate
	h.mu.Unlock()
	if len(got) != 1 || string(got[0].Payload) != "\x60\x07" || got[0].Counter != 77 || got[0].Frequency != 868100000 || !got[0].InvertIQ {
		t.Errorf("%+v", got)
	}
	if err := srv.Send(t.Context(), &tx); !errors.Is(err, radio.ErrTooLate) {
		t.Error(err)
	}
	if st := f.Status(); !st.Up || st.Waiting != 0 || st.Full+st.Expired+st.Late+st.Damaged != 0 {
		t.Errorf("%+v", st)
	}
	stop()
}
