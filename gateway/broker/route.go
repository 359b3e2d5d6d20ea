package broker

import (
	"sync"
	"sync/atomic"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/waziup"
)

// Deliver implements gateway.Sink: it routes b's message, or the Waziup form of
// its readings, to local subscribers. It blocks on nobody. Settled is called
// when what is held for absent subscribers is on disk, if b.Wait asks for that.
func (b *Broker) Deliver(batch *gateway.Batch, records []gateway.Record, settled func(error)) {
	held, noted := holding{}, false
	func() {
		defer b.caught("deliver")
		if batch.Mark.Session != 0 && (batch.Recorded || len(records) == 0 || records[0].Seq != 0) {
			b.keep.whole.RLock()
			defer b.keep.whole.RUnlock()
			noted = b.noteTaken(batch)
		}
		if batch.Carrier != nil {
			held = b.route(&draft{b: b, of: batch.Carrier, from: batch.From})
			return
		}
		for i := range records {
			if m, ok := waziupForm(&records[i]); ok {
				h := b.route(&draft{b: b, of: &m, from: batch.From})
				held.absent = held.absent || h.absent
				held.persistent = held.persistent || h.persistent
			}
		}
	}()
	if settled == nil {
		return
	}
	if noted || batch.Wait && (held.absent || held.persistent && hasCommand(batch)) {
		b.whenStored(settled)
		return
	}
	settled(nil)
}

// waziupForm is a record as subscribers of the Waziup dialect know it.
func waziupForm(r *gateway.Record) (gateway.Message, bool) {
	m := gateway.Message{QoS: 1}
	switch r.Kind {
	case gateway.KindSensor:
		m.Topic = waziup.SensorTopic(r.Device, r.Channel)
	case gateway.KindActuator, gateway.KindCommand:
		m.Topic = waziup.ActuatorTopic(r.Device, r.Channel)
	default:
		return m, false
	}
	m.Payload = waziup.EncodeValue(nil, r.Value, r.At, "", "")
	return m, true
}

func hasCommand(batch *gateway.Batch) bool {
	for i := range batch.Readings {
		if batch.Readings[i].Kind == gateway.KindCommand {
			return true
		}
	}
	return false
}

// Publish routes a message of the gateway's own, such as its status. A retained
// one is kept until the broker stops.
func (b *Broker) Publish(m gateway.Message) {
	defer b.caught("publish")
	d := draft{b: b, of: &m, from: access.System}
	d.message().own = true
	b.route(&d)
}

// draft is a message that is made when somebody gets it: most readings have no
// local subscriber.
type draft struct {
	b    *Broker
	of   *gateway.Message
	from access.Subject
	made *message
}

func (d *draft) message() *message {
	if d.made == nil {
		d.made = d.b.newMessage(d.of, d.from)
	}
	return d.made
}

// holding says for whom a message is held: persistent sessions at all, and
// absent ones among them.
type holding struct{ persistent, absent bool }

// hit is what one session gets of one message: its subscriptions together.
type hit struct {
	sess   *session
	qos    byte
	retain bool
	ids    []int
}

// route hands a message to all sessions with a subscription that matches, once
// each, and once for each share.
func (b *Broker) route(d *draft) holding {
	if d.of.Retain && !b.retained.set(d.message()) {
		b.count.dropped.add("retained_full")
		b.notice("retained", "no room to retain a message", "topic", b.masked(d.of.Topic))
	}
	r := routes.Get().(*routing)
	defer r.end()
	b.index.match(d.of.Topic, func(sub *subscription) {
		if sub.noLocal && d.of.Client != "" && d.of.Client == sub.sess.key {
			return
		}
		r.of(sub.sess).add(sub, d.message())
	}, func(g *group) {
		if sub := b.choose(g, d.message()); sub != nil {
			r.hits = append(r.hits, hit{sess: sub.sess})
			r.hits[len(r.hits)-1].add(sub, d.message())
		}
	})
	var held holding
	for i := range r.hits {
		h, m := &r.hits[i], d.made
		if !b.mayRead(h.sess, m) {
			b.count.dropped.add("denied")
			continue
		}
		if h.sess.probe != nil {
			h.sess.probed()
			continue
		}
		kept, absent, persistent := h.sess.send(m, h.qos, h.retain, h.ids)
		if kept && persistent {
			held.persistent = true
			held.absent = held.absent || absent
		}
	}
	return held
}

// routing is what route needs for one message; its memory is used again.
type routing struct {
	hits []hit
	at   map[*session]int // of sessions with several subscriptions: their place in hits
}

var routes = sync.Pool{New: func() any { return &routing{at: map[*session]int{}} }}

// manyHits is up to where a routing keeps its memory.
const manyHits = 4096

func (r *routing) end() {
	if len(r.hits) > manyHits {
		return
	}
	clear(r.hits) // lets go of sessions
	r.hits = r.hits[:0]
	clear(r.at)
	routes.Put(r)
}

// of gives the one hit of a session, which is called for with the index held.
func (r *routing) of(s *session) *hit {
	if s.indexed > 1 {
		if i, ok := r.at[s]; ok {
			return &r.hits[i]
		}
		r.at[s] = len(r.hits)
	}
	r.hits = append(r.hits, hit{sess: s})
	return &r.hits[len(r.hits)-1]
}

func (h *hit) add(sub *subscription, m *message) {
	h.qos = max(h.qos, min(sub.qos, m.qos))
	h.retain = h.retain || sub.asPublished && m.retain
	if sub.id > 0 {
		h.ids = append(h.ids, sub.id)
	}
}

// choose picks the member of a share that gets m: in turn among those who are
// connected and may read it, else the first absent one that may.
func (b *Broker) choose(g *group, m *message) *subscription {
	var absent *subscription
	n := uint32(len(g.members))
	start := atomic.AddUint32(&g.turn, 1)
	for i := range n {
		sub := g.members[(start+i)%n]
		switch {
		case !b.mayRead(sub.sess, m):
		case sub.sess.online.Load():
			return sub
		case absent == nil:
			absent = sub
		}
	}
	return absent
}
