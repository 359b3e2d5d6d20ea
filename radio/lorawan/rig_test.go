package lorawan

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/node"
	"fieldgate/radio/lorawan/region"
)

// table is a gateway.Table in memory. Before, if set, is asked before a write.
type table struct {
	mu     sync.Mutex
	pairs  map[string][]byte
	writes int
	before func() error
}

func (t *table) Each(fn func(string, []byte) error) error {
	t.mu.Lock()
	pairs := maps.Clone(t.pairs)
	t.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(pairs)) {
		if err := fn(k, bytes.Clone(pairs[k])); err != nil {
			return err
		}
	}
	return nil
}

// refuse has writes fail with err; nil: not any more.
func (t *table) refuse(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.before = func() error { return err }
}

func (t *table) Write(pairs map[string][]byte) error {
	t.mu.Lock()
	before := t.before
	t.mu.Unlock()
	if before != nil {
		if err := before(); err != nil {
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writes++
	if t.pairs == nil {
		t.pairs = map[string][]byte{}
	}
	for k, v := range pairs {
		if v == nil {
			delete(t.pairs, k)
		} else {
			t.pairs[k] = bytes.Clone(v)
		}
	}
	return nil
}

// sent is a transmission that left, or was to.
type sent struct {
	radio.Transmission
	handed time.Time // to Send
	start  time.Time // on air
	err    error
}

// air is a radio for all names: it sends at the exact time, or says what fail
// says.
type air struct {
	counter radio.Counter
	mu      sync.Mutex
	all     []sent
	fail    func(*radio.Transmission) error
	hear    func(sent) // at the end of each transmission
}

// ahead is how long before its time a packet forwarder must have a frame.
const ahead = 50 * time.Millisecond

func (a *air) Send(ctx context.Context, t *radio.Transmission) error {
	now := time.Now()
	s := sent{Transmission: *t, handed: now, start: a.counter.Time(t.Counter, now)}
	if t.Immediately {
		s.start = now
	}
	if a.fail != nil {
		s.err = a.fail(t)
	}
	if s.err == nil && !t.Immediately && s.start.Before(now.Add(ahead)) {
		s.err = radio.ErrTooLate
	}
	a.mu.Lock()
	a.all = append(a.all, s)
	a.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	on := radio.Airtime(t.Modulation, len(t.Payload), radio.AirtimeOptions{NoCRC: !t.CRC})
	select {
	case <-time.After(s.start.Sub(now) + on):
	case <-ctx.Done():
		return ctx.Err()
	}
	if a.hear != nil {
		a.hear(s)
	}
	return nil
}

func (a *air) sent() []sent {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.all)
}

// rig is a server with its surroundings and devices, in a synctest bubble.
type rig struct {
	*testing.T
	cfg     Config
	table   *table
	air     *air
	server  *Server
	stop    func()
	nodes   []*node.Node
	mu      sync.Mutex
	uplinks []*Uplink
	states  []DownlinkState
	got     []node.Downlink // by the nodes
	deaf    []error         // why nodes did not take what was sent
	logged  bytes.Buffer
	lastEnd time.Time // of the last uplink
	loseAll bool      // downlinks reach nobody
	snr     float32   // of uplinks
}

var (
	appKey  = frame.Key{0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c}
	nwkSKey = frame.Key{0x44, 0x02, 0x42, 0x41, 0xed, 0x4c, 0xe9, 0xa6, 0x8c, 0x6a, 0x8b, 0xc0, 0x55, 0x23, 0x3f, 0xd3}
	appSKey = frame.Key{0xec, 0x92, 0x58, 0x02, 0xae, 0x43, 0x0c, 0xa7, 0x7f, 0xd3, 0xdd, 0x73, 0xcb, 0x2c, 0xc5, 0x88}
	devEUI  = frame.EUI{0x70, 0xb3, 0xd5, 0x7e, 0xd0, 0, 0, 1}
	joinEUI = frame.EUI{0x70, 0xb3, 0xd5, 0x7e, 0xd0, 0, 0, 0xff}
)

const devAddr1 frame.DevAddr = 0x26011bda

func abpDevice() Device {
	return Device{Device: "abp", DevAddr: devAddr1, NwkSKey: nwkSKey, AppSKey: appSKey}
}

func otaaDevice() Device {
	return Device{Device: "otaa", DevEUI: devEUI, JoinEUI: joinEUI, AppKey: appKey}
}

func regionNamed(t testing.TB, name string) *region.Region {
	t.Helper()
	r, err := region.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// newRig makes a rig in a bubble; change sees the configuration before it is used.
func newRig(t *testing.T, change func(*Config), devices ...Device) *rig {
	r := &rig{T: t, table: &table{}, air: &air{counter: radio.NewCounter()}, snr: 6}
	r.cfg = Config{Region: regionNamed(t, "EU868"), NetID: 0x13, Devices: devices, StatusEvery: -1}
	if change != nil {
		change(&r.cfg)
	}
	r.start()
	return r
}

// start starts a server on what the table has.
func (r *rig) start() {
	r.Helper()
	c := r.cfg
	c.Table, c.Radio = r.table, r.air
	c.Log = slog.New(slog.NewTextHandler(&r.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.OnUplink = func(u *Uplink) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.uplinks = append(r.uplinks, u)
	}
	c.OnDownlink = func(s DownlinkState) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.states = append(r.states, s)
	}
	s, err := New(c)
	if err != nil {
		r.Fatal(err)
	}
	r.run(s)
}

// run runs a server.
func (r *rig) run(s *Server) {
	r.air.hear = r.deliver
	r.server = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				r.Error(err)
			}
		})
	}
	synctest.Wait()
}

// restart stops the server and starts another.
func (r *rig) restart() {
	r.Helper()
	r.stop()
	r.start()
}

// node adds a device.
func (r *rig) node(c node.Config) *node.Node {
	r.Helper()
	c.Region = r.cfg.Region
	n, err := node.New(c)
	if err != nil {
		r.Fatal(err)
	}
	r.nodes = append(r.nodes, n)
	return n
}

func (r *rig) abpNode() *node.Node {
	return r.node(node.Config{ABP: true, DevAddr: devAddr1, NwkSKey: nwkSKey, AppSKey: appSKey, DataRate: 5})
}

func (r *rig) otaaNode() *node.Node {
	return r.node(node.Config{DevEUI: devEUI, JoinEUI: joinEUI, AppKey: appKey, DataRate: 5, RandomNonce: true})
}

// deliver gives a transmission to all nodes.
func (r *rig) deliver(s sent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loseAll {
		return
	}
	for _, n := range r.nodes {
		d, err := n.Downlink(node.Received{Frame: s.Payload, Frequency: s.Frequency, Modulation: s.Modulation, After: s.start.Sub(r.lastEnd), SNR: 7})
		if err != nil {
			r.deaf = append(r.deaf, err)
			continue
		}
		r.got = append(r.got, d)
	}
}

// heardAs is an uplink as a radio hears it now.
func (r *rig) heardAs(u node.Uplink, radioName string, rssi, snr float32) *radio.Frame {
	now := time.Now()
	return &radio.Frame{Payload: bytes.Clone(u.Frame), Frequency: u.Frequency, Modulation: u.Modulation, RSSI: rssi, SNR: snr, CRC: radio.CRCOK,
		Radio: radioName, Counter: r.air.counter.At(now), At: now}
}

// send has an uplink heard by one radio, now, and the server handle it.
func (r *rig) send(u node.Uplink, err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
	r.mu.Lock()
	r.lastEnd = time.Now()
	r.mu.Unlock()
	r.server.Receive(r.heardAs(u, "r1", -90, r.snr))
	synctest.Wait()
}

// windows lets the windows of an uplink pass.
func (r *rig) windows() {
	time.Sleep(10 * time.Second)
	synctest.Wait()
}

// uplink sends an uplink and lets its windows pass.
func (r *rig) uplink(n *node.Node, port int, payload string, confirmed bool) {
	r.Helper()
	r.send(n.Uplink(port, []byte(payload), confirmed))
	r.windows()
}

// join has a node join.
func (r *rig) join(n *node.Node) {
	r.Helper()
	r.send(n.JoinRequest())
	r.windows()
	if !n.State().Joined {
		r.Fatalf("not joined: %v\n%s", r.deaf, r.logged.String())
	}
}

// enqueue queues a downlink.
func (r *rig) enqueue(q Downlink) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.server.Enqueue(ctx, q); err != nil {
		r.Fatal(err)
	}
	synctest.Wait()
}

// payloads are those of the uplinks that the application got.
func (r *rig) payloads() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, u := range r.uplinks {
		all = append(all, string(u.Payload))
	}
	return all
}

// taken forgets and gives what the nodes got.
func (r *rig) taken() []node.Downlink {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

// stateWords are the states of an item, such as "queued sent".
func (r *rig) stateWords(id string) (words []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.states {
		if s.ID == id {
			words = append(words, s.State.String())
		}
	}
	return words
}

func (r *rig) wantStates(id string, want ...string) {
	r.Helper()
	if got := r.stateWords(id); !slices.Equal(got, want) {
		r.Errorf("states of %s are %v, want %v: %+v", id, got, want, r.states)
	}
}

func (r *rig) wantPayloads(want ...string) {
	r.Helper()
	if got := r.payloads(); !slices.Equal(got, want) {
		r.Errorf("uplinks are %q, want %q\n%s", got, want, r.logged.String())
	}
}

func (r *rig) wantRefused(reason Reason, n uint64) {
	r.Helper()
	if got := r.server.Stats().Refused[reason]; got != n {
		r.Errorf("%d frames refused as %v, want %d: %v", got, reason, n, r.server.Stats().Refused)
	}
}

// bubble runs a test in a synctest bubble with a clock that is set.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)))
			f(t)
		})
	})
}

var errTest = errors.New("test")

// nodeWith is a device by personalisation with another NwkSKey.
func nodeWith(nwk frame.Key) node.Config {
	return node.Config{ABP: true, DevAddr: devAddr1, NwkSKey: nwk, AppSKey: appSKey, DataRate: 5}
}

// hexOf are the digits of a key.
func hexOf(k frame.Key) []byte { return hex.AppendEncode(nil, k[:]) }
