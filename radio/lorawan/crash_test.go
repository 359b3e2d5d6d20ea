package lorawan

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/node"
)

// killer ends a server, as kill -9 would, at one of the steps where something
// leaves its memory: before or after a write, before or after a transmission,
// before or after the application is called.
type killer struct {
	mu   sync.Mutex
	left int // steps until then; negative: not any more
	dead bool
}

// step is one of those steps; false: the server does not get past it.
func (k *killer) step() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead {
		return false
	}
	if k.left--; k.left == -1 {
		k.dead = true
	}
	return !k.dead
}

func (k *killer) killed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.dead
}

var errKilled = errors.New("killed")

// mortal is what a server is connected to that a killer may end.
type mortal struct {
	*rig
	*killer
}

func (m mortal) Each(fn func(string, []byte) error) error { return m.table.Each(fn) }

func (m mortal) Write(pairs map[string][]byte) error {
	if !m.step() {
		return errKilled
	}
	err := m.table.Write(pairs)
	if !m.step() {
		return errKilled
	}
	return err
}

func (m mortal) Send(ctx context.Context, t *radio.Transmission) error {
	if !m.step() {
		return errKilled
	}
	err := m.air.Send(ctx, t)
	if !m.step() {
		return errKilled
	}
	return err
}

// crash is the story of a device with a server that is killed once.
type crash struct {
	*rig
	k        *killer
	node     *node.Node
	told     map[string]int // uplinks that the application got
	states   map[string][]State
	accepted map[string]bool // IDs that Enqueue took
}

func (c *crash) begin(steps int) {
	c.Helper()
	c.k = &killer{left: steps}
	m, cfg := mortal{c.rig, c.k}, c.cfg
	cfg.Table, cfg.Radio = m, m
	cfg.Log = slog.New(slog.NewTextHandler(&c.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	k := c.k
	cfg.OnUplink = func(u *Uplink) {
		if !k.step() {
			return
		}
		c.mu.Lock()
		if what := fmt.Sprint(u.DevAddr, "/", u.FCnt); !u.Again || c.told[what] == 0 {
			c.told[what]++
		}
		c.uplinks = append(c.uplinks, u)
		c.mu.Unlock()
		k.step()
	}
	cfg.OnDownlink = func(s DownlinkState) {
		if !k.step() {
			return
		}
		c.mu.Lock()
		c.states[s.ID] = append(c.states[s.ID], s.State)
		c.mu.Unlock()
		k.step()
	}
	s, err := New(cfg)
	if err != nil {
		c.Fatal(err)
	}
	c.run(s)
}

// revive starts another server if the one there was has been killed.
func (c *crash) revive() {
	if c.k.killed() {
		c.stop()
		c.begin(-1)
	}
}

// say has the node send something. Whatever becomes of it, time passes.
func (c *crash) say(u node.Uplink, err error) {
	c.Helper()
	c.revive()
	if err != nil {
		return // it has not joined
	}
	c.send(u, nil)
	c.windows()
	c.revive()
	for _, d := range c.taken() {
		if what := fmt.Sprint(c.node.State().DevAddr, "/", u.FCnt); d.ACK && c.told[what] == 0 {
			c.Errorf("%s is acknowledged, and the application has not got it", what)
		}
	}
	if again, ok := c.node.Retransmit(); ok && u.Confirmed && c.node.State().Unacknowledged {
		c.say(again, nil)
	}
}

func (c *crash) order(id string, confirmed bool) {
	c.revive()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	q := Downlink{Device: c.cfg.Devices[0].Device, ID: id, Tag: id, FPort: 9, Payload: []byte(id), Confirmed: confirmed}
	if c.server.Enqueue(ctx, q) == nil {
		c.accepted[id] = true
	}
	synctest.Wait()
}

// story is the same for each crash. All join requests are played back.
func (c *crash) story() {
	var joins []node.Uplink
	join := func() {
		for range 3 { // the accept may be lost
			u, err := c.node.JoinRequest()
			joins = append(joins, u)
			before := c.node.State().DevAddr
			c.say(u, err)
			if a := c.node.State().DevAddr; a != 0 && a != before {
				return
			}
		}
	}
	up := func(confirmed bool) { c.say(c.node.Uplink(1, []byte("x"), confirmed)) }
	if c.cfg.Devices[0].joins() {
		join()
	}
	up(false)
	up(true)
	c.order("a", true)
	up(false)
	c.say(c.node.Replay(), nil)
	up(true)
	c.order("b", false)
	up(false)
	if c.cfg.Devices[0].joins() {
		join()
	}
	up(true)
	c.say(c.node.Replay(), nil)
	up(false)
	for _, u := range joins {
		c.say(u, nil)
	}
	c.revive()
	before := len(c.uplinks)
	up(true)
	if len(c.uplinks) == before { // killed just then
		up(true)
	}
	if len(c.uplinks) == before {
		c.Errorf("the session that the node holds is lost")
	}
	up(true) // what is queued goes
	up(true)
	up(true)
	c.revive() // and is told
	synctest.Wait()
	c.stop()
	c.acceptsPerRequest(len(joins))
}

// check looks at all that ever left.
func (c *crash) check() {
	type use struct {
		addr frame.DevAddr
		fcnt uint16
	}
	used, nonces := map[use]string{}, map[uint32]string{}
	for _, s := range c.air.sent() {
		if a, err := frame.ParseAccept(s.Payload, appKey); err == nil {
			if other, ok := nonces[a.JoinNonce]; ok && other != string(s.Payload) {
				c.Errorf("JoinNonce %d for two accepts", a.JoinNonce)
			}
			nonces[a.JoinNonce] = string(s.Payload)
			continue
		}
		d, err := frame.ParseData(s.Payload)
		if err != nil {
			c.Fatal(err)
		}
		u := use{d.DevAddr, d.FCnt}
		if other, ok := used[u]; ok && other != string(s.Payload) {
			c.Errorf("counter %d of %v for two frames", d.FCnt, d.DevAddr)
		}
		used[u] = string(s.Payload)
	}
	for what, n := range c.told {
		if n > 1 {
			c.Errorf("uplink %s came %d times", what, n)
		}
	}
	for _, err := range c.deaf {
		if errors.Is(err, node.ErrReplay) || errors.Is(err, node.ErrMIC) {
			c.Errorf("the node: %v", err)
		}
	}
	for id := range c.accepted {
		states := c.states[id]
		if len(states) == 0 || states[len(states)-1] == Queued || id == "a" && states[len(states)-1] == Sent {
			c.Errorf("%s was taken, its states are %v", id, states)
		}
	}
}

// acceptsPerRequest checks that no DevNonce was answered by two sessions.
func (c *crash) acceptsPerRequest(n int) {
	accepts := map[string]bool{}
	for _, s := range c.air.sent() {
		if _, err := frame.ParseAccept(s.Payload, appKey); err == nil {
			accepts[string(s.Payload)] = true
		}
	}
	if len(accepts) > n {
		c.Errorf("%d accepts for %d requests", len(accepts), n)
	}
}

func TestKilled(t *testing.T) {
	for _, d := range []Device{otaaDevice(), abpDevice()} {
		steps := 0
		for n := 0; ; n++ {
			survived := false
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)))
				r := &rig{T: t, table: &table{}, air: &air{counter: radio.NewCounter()}, snr: 6}
				r.cfg = Config{Region: regionNamed(t, "EU868"), NetID: 0x13, Devices: []Device{d}, StatusEvery: -1}
				c := &crash{rig: r, told: map[string]int{}, states: map[string][]State{}, accepted: map[string]bool{}}
				if d.joins() {
					c.node = r.otaaNode()
				} else {
					c.node = r.abpNode()
				}
				c.begin(n)
				first := c.k
				c.story()
				c.check()
				if t.Failed() {
					t.Logf("killed at step %d of %s\n%s", n, d.Device, r.logged.String())
				}
				survived = !first.killed()
			})
			if survived || t.Failed() {
				steps = n
				break
			}
		}
		if steps < 30 {
			t.Errorf("%s: only %d steps", d.Device, steps)
		}
		t.Logf("%s: killed at each of %d steps", d.Device, steps)
	}
}
