package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/node"
	"fieldgate/radio/lorawan/region"
)

// killJS has readings and commands that are all different.
const killJS = `
function decodeUplink(input) { var b = input.bytes; return {data: {n: b[0] << 16 | b[1] << 8 | b[2]}}; }
function encodeDownlink(input) {
  var name = Object.keys(input.data)[0], v = input.data[name];
  return {bytes: [Number(name.slice(1)), v >> 8, v & 255], fPort: 9};
}
`

// joining is how many of the nodes join.
const joining = 4

// kills is how often the gateway is killed.
const kills = 21

// TestLoRaKilled kills the gateway at any moment while nodes join, send and get
// commands. Of all frames that ever left, no counter and no nonce has two; no frame
// is taken twice, whoever sends it again; no session that a node has is lost; and a
// command that was acknowledged reaches its node.
//
// The region has no duty cycle: after a kill the ledger counts as used what it
// might have been.
func TestLoRaKilled(t *testing.T) {
	t.Parallel()
	address := "127.0.0.1:" + freePort(t)
	f := newField(t)
	plan := must(region.Get("IN865"))(t)
	var nodes []*fieldNode
	var euis []string
	var devices, lora strings.Builder
	for i := range 6 {
		nd := &fieldNode{name: fmt.Sprintf("N%d", i), sure: i%2 == 0, key: frame.Key{0xA0, 14: byte(i)}}
		edit := func(c *node.Config) { c.Region, c.Seed, c.RandomNonce = plan, rand.Uint64(), i%3 == 0 }
		more := fmt.Sprintf("codec: kill.js, confirmed: %v", nd.sure)
		if i < joining {
			c := node.Config{DevEUI: frame.EUI{0x70, 7: byte(i)}, AppKey: nd.key, DataRate: 5}
			edit(&c)
			nd.n = must(node.New(c))(t)
			fmt.Fprintf(&lora, "    - {device: %s, dev_eui: \"%s\", join_eui: \"0000000000000000\", app_key: \"%x\", adr: false, %s}\n", nd.name, c.DevEUI, nd.key[:], more)
		} else {
			nd.n = abp(t, i, edit)
			fmt.Fprintf(&lora, "    - %s\n", abpYAML(i, nd.name, more))
		}
		eui := fmt.Sprintf("aa555a00000003%02x", i)
		f.near(nd, eui, address)
		euis = append(euis, strconv.Quote(eui))
		fmt.Fprintf(&devices, "  - {id: %s, visibility: public, public_write: true, actuators: [{id: a0}, {id: a1}]}\n", nd.name)
		nodes = append(nodes, nd)
	}
	dir := t.TempDir()
	g := startScripts(t, dir, "id: gw-1\ndata: DATA\nlisten: {mqtt: \"127.0.0.1:0\", http: \"\"}\naccess: {anonymous: true}\ndevices:\n"+devices.String()+
		"radios: [{driver: semtech, listen: \""+address+"\", gateways: ["+strings.Join(euis, ", ")+"]}]\nlorawan:\n  region: IN865\n  devices:\n"+lora.String(),
		map[string]string{"kill.js": killJS})
	play := &play{field: f, nodes: nodes}
	for round := range kills + 1 {
		if round > 0 {
			g = startGatewayFile(t, g.file)
		}
		client := f.listen(g, fmt.Sprintf("field-%d", round))
		play.begin(round)
		if t.Failed() || round == kills {
			play.end(client)
			break
		}
		play.round(round, client, g)
	}
	if code := g.stop(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	play.judge(g)
}

// play is what goes on in the field.
type play struct {
	*field
	nodes []*fieldNode
	next  atomic.Int64 // of readings and commands
}

// begin waits for the link, and has each node that has a session send: it is
// taken. Then frames from before the kill come once more.
func (p *play) begin(round int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p.mu.Lock()
	before := map[*fieldNode]int{}
	for _, nd := range p.nodes {
		before[nd] = nd.pulls
	}
	p.mu.Unlock()
	fresh, old := map[*fieldNode]*push{}, map[*fieldNode][]*push{}
	for _, nd := range p.nodes {
		if !p.await(ctx, func() bool { return nd.pulls > before[nd] }) {
			p.t.Fatal("the gateway does not answer the packet forwarder")
		}
		if p.listens(ctx, nd); !nd.n.State().Joined {
			continue
		}
		old[nd] = nd.history
		up, err := p.send(ctx, nd, false)
		if err != nil {
			p.t.Fatalf("round %d: %s: %v", round, nd.name, err)
		}
		fresh[nd] = up
	}
	for nd, up := range fresh {
		if !p.await(ctx, func() bool { return p.values[up.value] > 0 }) {
			p.t.Errorf("round %d: the session of %s, %+v, is lost", round, nd.name, nd.n.State().DevAddr)
		}
		p.note("taken after a start")
	}
	p.mu.Lock()
	p.started = true // what the gateway had from before it has handed on
	p.mu.Unlock()
	for _, old := range old {
		for range min(6, len(old)) {
			again := old[rand.IntN(len(old))]
			if again.up.Join && !p.answered(again) {
				continue // which may be taken now
			}
			p.replay(ctx, again)
		}
	}
}

// listens lets nd hear an accept that the gateway handed over before it was killed.
func (p *play) listens(ctx context.Context, nd *fieldNode) {
	if len(nd.history) == 0 || !nd.history[len(nd.history)-1].up.Join {
		return
	}
	if past := time.Duration(nd.fw.Counter()-nd.end) * time.Microsecond; past > 4400*time.Millisecond && past < 5200*time.Millisecond {
		p.hear(ctx, nd, 5200*time.Millisecond-past)
	}
}

// answered reports whether a join request has had its accept.
func (p *play) answered(up *push) bool {
	j, err := frame.ParseJoin(up.up.Frame)
	p.mu.Lock()
	defer p.mu.Unlock()
	return err == nil && p.accepts[fmt.Sprintf("%s accept for DevNonce %d", up.node.name, j.DevNonce)] > 0
}

// send has nd send a reading.
func (p *play) send(ctx context.Context, nd *fieldNode, confirmed bool) (*push, error) {
	v := int(p.next.Add(1))
	return p.uplink(ctx, nd, v, func() (node.Uplink, error) {
		return nd.n.Uplink(2, []byte{byte(v >> 16), byte(v >> 8), byte(v)}, confirmed)
	})
}

// round has all nodes at work until the gateway is killed: after some step, or
// after some time.
func (p *play) round(round int, client mqtt.Client, g *gatewayProcess) {
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, nd := range p.nodes {
		if round%4 == 0 && nd.joins() && rand.IntN(3) > 0 {
			nd.n.Restart() // its battery was changed
		}
		wg.Go(func() {
			for ctx.Err() == nil {
				p.act(ctx, nd, client)
			}
		})
	}
	p.mu.Lock()
	last, joined, asked := p.steps+1+rand.IntN(80), p.count["joined"], p.count["PULL_RESP"]
	p.mu.Unlock()
	now := func() bool { return p.steps >= last }
	most := time.Duration(100+rand.IntN(2500)) * time.Millisecond
	if round%4 == 0 { // a join takes five seconds
		most = time.Duration(4300+rand.IntN(1700)) * time.Millisecond
		begin := time.Now()
		switch rand.IntN(3) {
		case 0: // an accept is on its way
			most = 5800 * time.Millisecond
			now = func() bool {
				if time.Since(begin) < 4300*time.Millisecond {
					asked = p.count["PULL_RESP"]
				}
				return p.count["PULL_RESP"] > asked
			}
		case 1: // a node has it
			most = 5800 * time.Millisecond
			now = func() bool { return p.count["joined"] > joined }
		default:
			now = func() bool { return false }
		}
	}
	within, cancel := context.WithTimeout(ctx, most)
	p.await(within, now)
	cancel()
	if jitter := rand.IntN(3); jitter > 0 {
		<-time.After(time.Duration(rand.IntN(8000*jitter)) * time.Microsecond)
	}
	g.kill()
	p.mu.Lock()
	p.started = false
	p.mu.Unlock()
	stop()
	wg.Wait()
	client.Disconnect(0)
	p.note("kills")
}

func (nd *fieldNode) joins() bool { return nd.key[14] < joining }

// act is one thing that a node does.
func (p *play) act(ctx context.Context, nd *fieldNode, client mqtt.Client) {
	dice := rand.IntN(100)
	switch {
	case !nd.n.State().Joined, nd.joins() && dice < 7 && p.inUse(nd):
		if _, err := p.uplink(ctx, nd, 0, nd.n.JoinRequest); err == nil {
			p.hear(ctx, nd, 6500*time.Millisecond)
		}
	case dice < 45:
		i := rand.IntN(len(nd.orders))
		if !p.command(ctx, nd, i, client) {
			return
		}
		if _, err := p.send(ctx, nd, dice < 20); err == nil {
			p.hear(ctx, nd, 2500*time.Millisecond)
		}
	case dice < 65:
		if _, err := p.send(ctx, nd, true); err == nil {
			p.hear(ctx, nd, 2500*time.Millisecond)
		}
	default:
		if up, err := p.send(ctx, nd, false); err == nil {
			within, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			p.await(within, func() bool { return p.values[up.value] > 0 })
		}
	}
}

// inUse reports whether the gateway has heard nd with the session that it has: one
// that was never used ends with the next join.
func (p *play) inUse(nd *fieldNode) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := nd.history[len(nd.history)-1]
	return p.values[last.value] > 0
}

// hear waits for a downlink, until the windows are closed.
func (p *play) hear(ctx context.Context, nd *fieldNode, closed time.Duration) {
	p.mu.Lock()
	before := nd.heard
	p.mu.Unlock()
	within, cancel := context.WithTimeout(ctx, closed)
	defer cancel()
	p.await(within, func() bool { return nd.heard > before })
}

// command publishes one, unless the last one of the actuator is open, and reports
// whether the node may send.
func (p *play) command(ctx context.Context, nd *fieldNode, i int, client mqtt.Client) bool {
	p.mu.Lock()
	o := &nd.orders[i]
	if !o.settled(nd.sure) {
		p.mu.Unlock()
		return true
	}
	n := int(p.next.Add(1)) & 0xffff
	*o = order{number: n}
	p.mu.Unlock()
	tok := client.Publish(fmt.Sprintf("devices/%s/actuators/a%d/value", nd.name, i), 1, false, strconv.Itoa(n))
	select {
	case <-tok.Done():
	case <-ctx.Done():
		return false
	}
	if tok.Error() != nil {
		return false
	}
	p.note("commands")
	p.mu.Lock()
	defer p.mu.Unlock()
	o.puback = true
	return true
}

// end lets what waits reach the nodes.
func (p *play) end(client mqtt.Client) {
	states := map[string]commandStatus{}
	tok := client.Subscribe("devices/+/actuators/+/status", 1, func(_ mqtt.Client, m mqtt.Message) {
		p.mu.Lock()
		defer p.mu.Unlock()
		var st commandStatus
		if err := json.Unmarshal(m.Payload(), &st); err != nil {
			p.fault("%s: %v", m.Topic(), err)
		}
		states[m.Topic()] = st
		p.wake()
	})
	if !tok.WaitTimeout(patience) || tok.Error() != nil {
		p.t.Fatal(tok.Error())
	}
	last := map[bool]string{false: "sent", true: "acknowledged"} // if it is confirmed
	open := func(nd *fieldNode) (what string) {                  // needs mu
		for i := range nd.orders {
			o, st := &nd.orders[i], states[fmt.Sprintf("devices/%s/actuators/a%d/status", nd.name, i)]
			if !o.puback || string(st.Value) == strconv.Itoa(o.number) && (o.heard && st.State == last[nd.sure] || o.emitted && !nd.sure && st.State == "sent" ||
				o.emitted && nd.sure && st.State == "refused" && st.Sends == 4) { // which the node has missed each time
				continue
			}
			what += fmt.Sprintf("%s a%d %+v, its status %+v; ", nd.name, i, *o, st)
		}
		return what
	}
	var wg sync.WaitGroup
	for _, nd := range p.nodes {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			for ctx.Err() == nil {
				p.mu.Lock()
				what := open(nd)
				p.mu.Unlock()
				if what == "" && nd.n.State().Joined {
					return
				}
				if !nd.n.State().Joined {
					if _, err := p.uplink(ctx, nd, 0, nd.n.JoinRequest); err == nil {
						p.hear(ctx, nd, 6500*time.Millisecond)
					}
					continue
				}
				if _, err := p.send(ctx, nd, false); err == nil {
					within, cancel := context.WithTimeout(ctx, 2500*time.Millisecond)
					p.mu.Lock()
					before := nd.heard
					p.mu.Unlock()
					p.await(within, func() bool { return nd.heard > before || open(nd) == "" })
					cancel()
				}
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			p.fault("acknowledged, and not carried out: %s", open(nd))
		})
	}
	wg.Wait()
	p.recorded()
	client.Disconnect(0)
}

// recorded has join requests from before the kills come once more. A fresh one
// behind them is answered, and they are not.
func (p *play) recorded() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, nd := range p.nodes[1:joining] {
		for _, old := range nd.history {
			if old.up.Join && p.answered(old) {
				p.replay(ctx, old)
				break
			}
		}
	}
	p.mu.Lock()
	before := p.count["joined"]
	p.mu.Unlock()
	if _, err := p.uplink(ctx, p.nodes[0], 0, p.nodes[0].n.JoinRequest); err != nil {
		p.t.Error(err)
	}
	if !p.await(ctx, func() bool { return p.count["joined"] > before }) {
		p.t.Error("a fresh join request is not answered")
	}
}

// judge says what must not have been.
func (p *play) judge(g *gatewayProcess) {
	p.t.Helper()
	_, log, _ := command(p.t, "", "log", "export", "--config", g.file, "--format", "jsonl")
	recorded := map[int]int{}
	for line := range strings.Lines(log) {
		if found := readingValue.FindStringSubmatch(line); found != nil && strings.Contains(line, `"channel":"n"`) {
			v, _ := strconv.Atoi(found[1])
			recorded[v]++
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	acked := 0
	for v, n := range recorded {
		if n > 2 { // what was under way at a kill is handed on again
			p.fault("reading %d is %d times in the log", v, n)
		}
	}
	for _, nd := range p.nodes {
		for _, v := range nd.acks {
			if v == 0 {
				continue
			}
			acked++
			if recorded[v] != 1 {
				p.fault("reading %d of %s was acknowledged, and is %d times in the log", v, nd.name, recorded[v])
			}
		}
	}
	for i, text := range p.faults {
		if p.t.Error(text); i > 20 {
			break
		}
	}
	p.t.Logf("%d readings in the log, %d acknowledged to nodes; %v", len(recorded), acked, p.count)
	for what, least := range map[string]int{"kills": kills, "accepts": 5, "joined": 5, "downlinks": 20, "replays": 50, "commands": 20, "taken after a start": 40} {
		if p.count[what] < least {
			p.t.Errorf("only %d %s: this test tests nothing", p.count[what], what)
		}
	}
}
