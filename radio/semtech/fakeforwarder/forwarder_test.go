package fakeforwarder

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"fieldgate/radio"
	"fieldgate/radio/semtech/gwmp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what a test waits for; it is no measure.
const patience = 20 * time.Second

var (
	eui = gwmp.EUI{0xaa, 0x55, 0x5a, 0, 0, 0, 1, 1}
	sf7 = radio.Modulation{SF: 7, Bandwidth: 125000, CodingRate: 5}
)

// TestQueue has the rules of jitqueue.c: a frame of SF7 with 4 bytes is 30.976 ms
// on the air without a checksum, of which the queue counts 30 ms.
func TestQueue(t *testing.T) {
	const air = 30 * time.Millisecond
	type ask struct {
		ahead time.Duration
		imme  bool
		want  string
	}
	for _, c := range []struct {
		name  string
		begin uint32
		asks  []ask
	}{
		{"too late", 0, []ask{{42500 * time.Microsecond, false, gwmp.TooLate}, {42501 * time.Microsecond, false, ""}}},
		{"too early", 0, []ask{{512 * time.Second, false, ""}, {512*time.Second + time.Microsecond, false, gwmp.TooEarly}, {-time.Microsecond, false, gwmp.TooEarly}, {-time.Second, false, gwmp.TooEarly}}},
		{"the counter wraps", 1<<32 - 50_000, []ask{{42500 * time.Microsecond, false, gwmp.TooLate}, {time.Second, false, ""}, {time.Second, false, gwmp.CollisionPacket}}},
		{"collision behind", 0, []ask{{time.Second, false, ""}, {time.Second + air + 42500*time.Microsecond, false, gwmp.CollisionPacket}, {time.Second + air + 42501*time.Microsecond, false, ""}}},
		{"collision in front", 0, []ask{{time.Second, false, ""}, {time.Second - air - 42500*time.Microsecond, false, gwmp.CollisionPacket}, {time.Second - air - 42501*time.Microsecond, false, ""}}},
		{"at once", 0, []ask{{0, true, ""}, {80 * time.Millisecond, false, gwmp.CollisionPacket}, {0, true, ""}, {0, true, ""}}},
	} {
		f := unconnected(Config{Counter: c.begin})
		for i, a := range c.asks {
			tx := radio.Transmission{Payload: make([]byte, 4), Frequency: 868100000, Modulation: sf7, Preamble: 8,
				Counter: f.CounterAt(f.start.Add(a.ahead)), Immediately: a.imme}
			if a.ahead < 0 {
				tx.Counter = c.begin - uint32((-a.ahead).Microseconds())
			}
			if got := f.enqueue(tx, f.start); got != a.want {
				t.Errorf("%s, %d: %q, want %q", c.name, i, got, a.want)
			}
		}
	}
	f := unconnected(Config{MaxAhead: 128 * time.Second})
	tx := radio.Transmission{Modulation: sf7, Counter: 128_000_001}
	if got := f.enqueue(tx, f.start); got != gwmp.TooEarly {
		t.Error(got)
	}
	for n := range uint32(maxQueue) {
		tx.Counter = 1_000_000 * (n + 1)
		if got := f.enqueue(tx, f.start); got != "" {
			t.Error(n, got)
		}
	}
	if tx.Counter += 1_000_000; f.enqueue(tx, f.start) != gwmp.CollisionPacket {
		t.Error("the queue is not bounded")
	}
}

// TestDispatch checks when frames leave, and those that the concentrator loses.
func TestDispatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out, lost []Emission
		var at []time.Duration
		begin := time.Now()
		f := unconnected(Config{
			Emit: func(e Emission) { out = append(out, e); at = append(at, time.Since(begin)) },
			Lost: func(e Emission) { lost = append(lost, e) },
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); f.dispatch(ctx) }()
		send := func(ahead time.Duration, sf uint8) {
			t.Helper()
			m := sf7
			m.SF = sf
			tx := radio.Transmission{Modulation: m, Counter: f.CounterAt(time.Now().Add(ahead))}
			if word := f.enqueue(tx, time.Now()); word != "" {
				t.Error(word)
			}
		}
		send(time.Second, 7)
		send(500*time.Millisecond, 7)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(out) != 2 || at[0] != 500*time.Millisecond || at[1] != time.Second || out[1].Ahead != time.Second || out[1].Counter != 1_000_000 {
			t.Errorf("%v, %+v", at, out)
		}
		// Told to the concentrator 40 ms before its time, and overwritten by one that
		// comes then.
		out = nil
		send(100*time.Millisecond, 7)
		time.Sleep(65 * time.Millisecond)
		send(50*time.Millisecond, 7)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(out) != 1 || len(lost) != 1 || out[0].Ahead != 50*time.Millisecond || lost[0].Ahead != 100*time.Millisecond {
			t.Errorf("%+v, %+v", out, lost)
		}
		// One that is due while another is on the air.
		out, lost = nil, nil
		send(100*time.Millisecond, 12)
		time.Sleep(150 * time.Millisecond)
		send(100*time.Millisecond, 7)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(out) != 1 || len(lost) != 1 || out[0].SF != 12 || lost[0].SF != 7 {
			t.Errorf("%+v, %+v", out, lost)
		}
		cancel()
		<-done
	})
}

// TestDecode checks that what Semtech's forwarder needs is needed.
func TestDecode(t *testing.T) {
	const good = `{"txpk":{"imme":false,"tmst":5,"freq":868.1,"rfch":0,"powe":14,"modu":"LORA","datr":"SF7BW125","codr":"4/5","ipol":true,"prea":4,"size":2,"data":"AQI","ncrc":true}}`
	tx, err := decode([]byte(good + "\x00"))
	if err != nil || tx.Counter != 5 || tx.Frequency != 868100000 || tx.Modulation != sf7 || !tx.InvertIQ || tx.CRC || tx.Preamble != 6 || string(tx.Payload) != "\x01\x02" || tx.Power != 14 {
		t.Errorf("%+v, %v", tx, err)
	}
	for _, change := range [][2]string{
		{`"tmst":5,`, ``}, {`"freq":868.1,`, ``}, {`"rfch":0,`, ``}, {`"rfch":0,`, `"rfch":1,`}, {`"modu":"LORA",`, ``}, {`"modu":"LORA",`, `"modu":"LORAX",`},
		{`"datr":"SF7BW125",`, ``}, {`"datr":"SF7BW125",`, `"datr":50000,`}, {`SF7BW125`, `SF7BW62.5`}, {`SF7BW125`, `SF13BW125`}, {`"codr":"4/5",`, ``}, {`4/5`, `4/9`},
		{`"size":2,`, ``}, {`"size":2,`, `"size":3,`}, {`,"data":"AQI"`, ``}, {`AQI`, `A*I`}, {`"tmst":5`, `"tmst":"5"`}, {`"txpk"`, `"rxpk"`}, {`}}`, `}`},
		{`"modu":"LORA","datr":"SF7BW125"`, `"modu":"FSK","datr":50000`}, {`"modu":"LORA"`, `"modu":"FSK"`},
	} {
		doc := strings.Replace(good, change[0], change[1], 1)
		if tx, err := decode([]byte(doc)); err == nil {
			t.Errorf("%s: %+v", doc, tx)
		}
	}
	for _, c := range []struct{ from, to string }{{`4/5`, `2/3`}, {`4/5`, `4/7`}, {`4/5`, `1/2`}, {`"modu":"LORA","datr":"SF7BW125"`, `"modu":"FSK","fdev":25000,"datr":50000`}, {`"imme":false,"tmst":5`, `"imme":true`}} {
		if _, err := decode([]byte(strings.Replace(good, c.from, c.to, 1))); err != nil {
			t.Errorf("%s: %v", c.to, err)
		}
	}
	if _, err := decode([]byte(strings.Replace(good, `"tmst":5`, `"tmms":5`, 1))); !errors.Is(err, errNoGPS) {
		t.Error(err)
	}
}

// peer is a server by hand.
type peer struct {
	t *testing.T
	c *net.UDPConn
}

func listen(t *testing.T) *peer {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &peer{t, c}
}

// next gives the next datagram of a kind and says the answer to where it came from.
func (p *peer) next(k gwmp.Kind, answer func(d gwmp.Datagram) gwmp.Datagram) gwmp.Datagram {
	p.t.Helper()
	buf := make([]byte, 65536)
	_ = p.c.SetReadDeadline(time.Now().Add(patience))
	for {
		n, from, err := p.c.ReadFromUDPAddrPort(buf)
		if err != nil {
			p.t.Fatal(err)
		}
		d, err := gwmp.Parse(buf[:n])
		if err != nil || d.EUI != eui {
			p.t.Fatalf("%+v, %v", d, err)
		}
		if d.Kind != k {
			continue
		}
		if answer != nil {
			a := answer(d)
			if _, err := p.c.WriteToUDPAddrPort(a.Append(nil), from); err != nil {
				p.t.Fatal(err)
			}
		}
		return d
	}
}

func start(t *testing.T, cfg Config) *Forwarder {
	t.Helper()
	cfg.EUI = eui
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return f
}

// TestConversation has a server by hand, with a network that loses, repeats and
// delays.
func TestConversation(t *testing.T) {
	for _, version := range []uint8{1, 2} {
		p := listen(t)
		var later atomic.Bool
		f := start(t, Config{Server: p.c.LocalAddr().String(), Version: version, Keepalive: 20 * time.Millisecond, AntennaGain: 1, Text: "roof",
			Out: func(d gwmp.Datagram) Fault {
				if d.Kind == gwmp.PushData {
					return Fault{Copies: 1, Delay: time.Millisecond}
				}
				return Fault{}
			},
			In: func(d gwmp.Datagram) Fault {
				return Fault{Drop: !later.Swap(true)}
			},
			Powers: []int8{10, 12}})
		ackPull := func(d gwmp.Datagram) gwmp.Datagram {
			return gwmp.Datagram{Version: version, Token: d.Token, Kind: gwmp.PullAck}
		}
		a := p.next(gwmp.PullData, ackPull) // lost
		b := p.next(gwmp.PullData, ackPull)
		if a.Version != version || a.Token == b.Token {
			t.Errorf("%+v, %+v", a, b)
		}
		<-f.Pulled()

		result := make(chan error, 1)
		go func() {
			_, err := f.Push(t.Context(), radio.Frame{Payload: []byte{1}, Frequency: 868100000, Modulation: sf7, CRC: radio.CRCOK})
			result <- err
		}()
		d := p.next(gwmp.PushData, nil)
		again := p.next(gwmp.PushData, func(d gwmp.Datagram) gwmp.Datagram {
			return gwmp.Datagram{Version: version, Token: d.Token, Kind: gwmp.PushAck}
		})
		if err := <-result; err != nil || again.Token != d.Token {
			t.Error(err, d, again)
		}
		// The answer to a txpk, in version 2 only.
		body := []byte(`{"txpk":{"imme":true,"freq":868.1,"rfch":0,"powe":12,"modu":"LORA","datr":"SF7BW125","codr":"4/5","size":1,"data":"AQ=="}}`)
		p.next(gwmp.PullData, func(gwmp.Datagram) gwmp.Datagram {
			return gwmp.Datagram{Version: version, Token: gwmp.Token{3, 4}, Kind: gwmp.PullResp, Body: body}
		})
		if version == 2 {
			d := p.next(gwmp.TxAck, nil)
			if a, err := gwmp.ParseAck(d.Body); err != nil || d.Token != (gwmp.Token{3, 4}) || a != (gwmp.Ack{Warning: gwmp.TxPower, Value: 10}) {
				t.Errorf("%+v, %v", a, err)
			}
		}
		go func() { result <- f.SendStat(t.Context()) }()
		var push gwmp.Push
		p.next(gwmp.PushData, func(d gwmp.Datagram) gwmp.Datagram {
			if err := push.Parse(d.Body); err != nil {
				t.Error(err)
			}
			return gwmp.Datagram{Version: version, Token: d.Token, Kind: gwmp.PushAck}
		})
		if err := <-result; err != nil || push.Stat == nil || push.Stat.Received != 1 || push.Stat.Forwarded != 1 || push.Stat.Acked != 100 || push.Stat.Descriptor != "roof" {
			t.Errorf("%+v, %v", push.Stat, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := f.Push(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

func TestReports(t *testing.T) {
	p := listen(t)
	start(t, Config{Server: p.c.LocalAddr().String(), StatEvery: time.Millisecond})
	for range 3 {
		var push gwmp.Push
		if err := push.Parse(p.next(gwmp.PushData, nil).Body); err != nil || push.Stat == nil {
			t.Error(err)
		}
	}
	if _, err := New(Config{Server: "nowhere"}); err == nil {
		t.Error("no address")
	}
}
