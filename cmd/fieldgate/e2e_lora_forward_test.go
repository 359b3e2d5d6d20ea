package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fieldgate/gateway/store"
	"fieldgate/radio"
	"fieldgate/radio/lorawan/node"
	"fieldgate/radio/semtech/fakeforwarder"
	"fieldgate/radio/semtech/gwmp"
)

// networkServer is one elsewhere that packet forwarders talk to.
type networkServer struct {
	t    testing.TB
	eui  gwmp.EUI
	conn *net.UDPConn
	came chan forwarded

	mu    sync.Mutex
	mute  bool
	grams int // datagrams so far
	more  chan struct{}
	down  *net.UDPAddr
	acks  chan gwmp.Ack
}

// forwarded is a frame that arrived.
type forwarded struct {
	gwmp.Rxpk
	body string
}

func newNetworkServer(t testing.TB, eui string) *networkServer {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s := &networkServer{t: t, eui: must(gwmp.ParseEUI(eui))(t), conn: conn, came: make(chan forwarded, 64), more: make(chan struct{}, 1), acks: make(chan gwmp.Ack, 8)}
	done := after(func() error { return s.serve() })
	t.Cleanup(func() {
		conn.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

// yaml is the item of lorawan.forward.
func (s *networkServer) yaml(more string) string {
	return fmt.Sprintf(`{server: "%s", gateway_eui: "%s"%s}`, s.conn.LocalAddr(), s.eui, more)
}

func (s *networkServer) serve() error {
	buf := make([]byte, gwmp.MaxDatagram)
	for {
		n, from, err := s.conn.ReadFromUDP(buf)
		if err != nil {
			return err
		}
		d, err := gwmp.Parse(bytes.Clone(buf[:n]))
		if err != nil {
			s.t.Errorf("%q: %v", buf[:n], err)
			continue
		}
		if d.EUI != s.eui {
			s.t.Errorf("the gateway says that it is %s", d.EUI)
		}
		s.take(d, from)
	}
}

func (s *networkServer) take(d gwmp.Datagram, from *net.UDPAddr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grams++
	select {
	case s.more <- struct{}{}:
	default:
	}
	if s.mute {
		return
	}
	answer := gwmp.Datagram{Version: d.Version, Token: d.Token, Kind: gwmp.PushAck}
	switch d.Kind {
	case gwmp.PushData:
		var p gwmp.Push
		if err := p.Parse(d.Body); err != nil || p.Bad > 0 {
			s.t.Errorf("%s: %v, %v", d.Body, err, p.BadErr)
		}
		for _, packet := range p.Packets {
			s.came <- forwarded{packet, string(d.Body)}
		}
	case gwmp.PullData:
		answer.Kind, s.down = gwmp.PullAck, from
	case gwmp.TxAck:
		a, err := gwmp.ParseAck(d.Body)
		if err != nil {
			s.t.Errorf("%s: %v", d.Body, err)
		}
		s.acks <- a
		return
	}
	_, _ = s.conn.WriteToUDP(answer.Append(nil), from)
}

// silence has it answer nothing more, as if the link were cut, or be back.
func (s *networkServer) silence(mute bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mute = mute
}

// linked waits until the gateway can be reached.
func (s *networkServer) linked() {
	s.t.Helper()
	s.until("PULL_DATA", func() bool { return s.down != nil })
}

// until waits for datagrams until ok, which has mu.
func (s *networkServer) until(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.After(patience); ; {
		s.mu.Lock()
		done := ok()
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-s.more:
		case <-deadline:
			s.t.Fatalf("no %s came", what)
		}
	}
}

// frame waits for the next frame, which must have this payload.
func (s *networkServer) frame(payload []byte) forwarded {
	s.t.Helper()
	select {
	case a := <-s.came:
		if !bytes.Equal(a.Data, payload) {
			s.t.Fatalf("%x came, not %x", a.Data, payload)
		}
		return a
	case <-time.After(patience):
		s.t.Fatalf("%x did not come", payload)
	}
	panic("not reached")
}

// send has a frame sent at a frame's counter and so much later.
func (s *networkServer) send(a forwarded, payload string) {
	s.t.Helper()
	m := a.Modulation
	body := must(gwmp.AppendTxpk(nil, &radio.Transmission{Payload: []byte(payload), Frequency: a.Frequency, Modulation: m, Power: 14, InvertIQ: true,
		Counter: a.Counter + 1_000_000}, 0))(s.t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.conn.WriteToUDP(gwmp.Datagram{Version: 2, Token: gwmp.Token{1, 2}, Kind: gwmp.PullResp, Body: body}.Append(nil), s.down); err != nil {
		s.t.Fatal(err)
	}
}

const forwardYAML = `
id: gw-1
data: DATA
listen: {mqtt: "127.0.0.1:0", http: "127.0.0.1:0"}
access: {anonymous: true}
devices: [{id: Ours, visibility: public}]
radios: [{driver: semtech, listen: "SEMTECH", gateways: ["` + forwarderEUI + `"]}]
lorawan:
  region: EU868
  devices: [DEVICE]
  forward: [FORWARD]
`

// TestLoRaForward: what is heard goes to network servers elsewhere too, which send
// through this gateway's radios. What is heard while they are away arrives later
// with its own time, even if the gateway is killed meanwhile; or marked, or not at
// all.
func TestLoRaForward(t *testing.T) {
	t.Parallel()
	all, strangers, fresh := newNetworkServer(t, "aa555a0000000901"), newNetworkServer(t, "aa555a0000000902"), newNetworkServer(t, "aa555a0000000903")
	servers := []*networkServer{all, strangers, fresh}
	dir := t.TempDir()
	g := startScripts(t, dir, strings.NewReplacer("SEMTECH", "127.0.0.1:"+freePort(t), "DEVICE", abpYAML(1, "Ours", "codec: cayenne"), "FORWARD", strings.Join([]string{
		all.yaml(", late: send"), strangers.yaml(", late: mark, frames: unknown"), fresh.yaml(", late: drop")}, ", ")).Replace(forwardYAML), nil)
	local := subscribe(t, g.mqtt, "-t", "devices/#")
	for _, s := range servers {
		s.linked()
	}
	m := newMast(t, g, forwarderEUI)
	m.connected()
	ours, other := abp(t, 1), abp(t, 77)
	type span struct{ from, to time.Time }
	hear := func(n *node.Node, b byte) (payload []byte, when span) {
		t.Helper()
		u := must(n.Uplink(1, []byte{1, 103, 0, b}, false))(t)
		when.from = time.Now()
		m.push(u, 5)
		when.to = time.Now()
		return u.Frame, when
	}

	// All but ours are unknown; ours are read here as well.
	mine, _ := hear(ours, 10)
	all.frame(mine)
	fresh.frame(mine)
	local.until("devices/Ours/sensors/temperature_1/value", containing("1"))
	foreign, when := hear(other, 11)
	at := all.frame(foreign)
	strangers.frame(foreign)
	fresh.frame(foreign)
	own := func(a forwarded, when span) {
		t.Helper()
		if a.Time.Before(when.from.Add(-time.Millisecond)) || a.Time.After(when.to) {
			t.Errorf("%x was heard from %v to %v, and arrives with %v", a.Data, when.from, when.to, a.Time)
		}
	}
	if !at.Time.IsZero() { // it is told if the clock is known to be right
		own(at, when)
	}
	if at.Frequency == 0 || at.SNR != 5 || at.RSSI != -80 || at.CRC != radio.CRCOK || strings.Contains(at.body, "meta") {
		t.Errorf("%+v: %s", at, at.body)
	}

	// The other side sends through the radio, in the window of what was heard.
	all.send(at, "from elsewhere")
	var e fakeforwarder.Emission
	select {
	case e = <-m.emitted:
	case <-time.After(patience):
		t.Fatal("nothing was sent")
	}
	if string(e.Payload) != "from elsewhere" || e.Counter != at.Counter+1_000_000 || e.Frequency != at.Frequency || !e.InvertIQ || e.CRC {
		t.Errorf("sent: %+v", e)
	}
	if a := <-all.acks; a.Error != "" {
		t.Errorf("TX_ACK: %+v", a)
	}
	all.send(at, "once more") // too late
	if a := <-all.acks; a.Error != gwmp.TooLate && a.Error != gwmp.TooEarly {
		t.Errorf("TX_ACK of what cannot be sent: %+v", a)
	}

	// The link is cut, and the gateway is killed.
	for _, s := range servers {
		s.silence(true)
	}
	kept := map[int]span{}
	var frames [][]byte
	for i := range 3 {
		f, when := hear(other, byte(20+i))
		frames, kept[i] = append(frames, f), when
	}
	last := time.Now()
	for _, s := range servers {
		g.errOut.await(t, "notice", 0, func(l string) bool {
			return strings.Contains(l, s.conn.LocalAddr().String()) && strings.Contains(l, "frames are kept")
		})
	}
	onDisk(t, dir, servers, len(frames))
	g.kill()
	for _, s := range servers { // what waits is late when it arrives
		s.mu.Lock()
		s.down = nil
		s.mu.Unlock()
	}
	g = startGatewayFile(t, g.file)
	for _, s := range servers {
		s.until("datagram", func() bool { return time.Since(last) > 7*time.Second })
		s.silence(false)
	}
	for i, f := range frames {
		a := all.frame(f)
		own(a, kept[i])
		if strings.Contains(a.body, "meta") {
			t.Errorf("marked: %s", a.body)
		}
		a = strangers.frame(f)
		own(a, kept[i])
		if !strings.Contains(a.body, `"meta":{"late":"`) {
			t.Errorf("not marked: %s", a.body)
		}
	}
	for _, s := range servers {
		s.linked()
	}
	again, _ := hear(other, 30)
	for _, s := range servers {
		s.frame(again) // and nothing before it
	}
	if code := g.stop(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// onDisk waits until so many frames are in each server's table, as a gateway that
// starts now would find them.
func onDisk(t testing.TB, dir string, servers []*networkServer, frames int) {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy.db")
	kept := func(s *networkServer) (n int) {
		all, err := os.ReadFile(filepath.Join(dir, "data", "registry.db"))
		if err == nil {
			err = os.WriteFile(copied, all, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		tables, err := store.OpenTables(copied, store.TableOptions{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return 0 // copied while it was being written
		}
		defer tables.Close()
		table, err := tables.Table(forwardTable(s.conn.LocalAddr().String(), s.eui.String()))
		if err != nil || table.Each(func(string, []byte) error { n++; return nil }) != nil {
			return 0
		}
		return n
	}
	for deadline := time.Now().Add(patience); len(servers) > 0; {
		servers = slices.DeleteFunc(slices.Clone(servers), func(s *networkServer) bool { return kept(s) >= frames })
		if time.Now().After(deadline) {
			t.Fatalf("for %d servers there are not %d frames on disk", len(servers), frames)
		}
	}
}

// forwardTable is the name of a server's table.
func forwardTable(server, eui string) string {
	return fmt.Sprintf("forward %x", sha256.Sum256([]byte(server+" "+eui)))[:40]
}
