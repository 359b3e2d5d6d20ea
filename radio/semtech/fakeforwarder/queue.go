package fakeforwarder

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/semtech/gwmp"
)

// The times of jitqueue.c, in microseconds.
const (
	startDelay = 1500
	margin     = 1000
	jitDelay   = 40000 // how long before its time the concentrator is told a frame
	preDelay   = startDelay + jitDelay
	maxQueue   = 32
)

// queue is the just-in-time queue, in the order of time.
type queue struct {
	mu    sync.Mutex
	nodes []node
	wake  chan struct{}
}

type node struct {
	Emission
	took time.Time // when the PULL_RESP came
	post uint32    // µs on the air
}

// respond takes a PULL_RESP.
func (f *Forwarder) respond(d gwmp.Datagram, now time.Time) {
	t, err := decode(d.Body)
	if errors.Is(err, errNoGPS) {
		f.answer(d.Token, gwmp.Ack{Error: gwmp.GPSUnlocked})
		return
	}
	if err != nil {
		f.log.Debug("PULL_RESP dropped", "error", err)
		return
	}
	f.mu.Lock()
	f.stat.Downlinks++
	f.mu.Unlock()
	ack := gwmp.Ack{}
	if t.Frequency < f.cfg.Low || t.Frequency > f.cfg.High {
		f.answer(d.Token, gwmp.Ack{Error: gwmp.TxFreq})
		return
	}
	asked := t.Power - f.cfg.AntennaGain
	got := f.cfg.Powers[0]
	for _, p := range f.cfg.Powers {
		if p <= asked {
			got = p
		}
	}
	if got != asked {
		ack = gwmp.Ack{Warning: gwmp.TxPower, Value: int(got)}
	}
	t.Power = got + f.cfg.AntennaGain
	if word := f.enqueue(t, now); word != "" {
		ack = gwmp.Ack{Error: word}
	}
	f.answer(d.Token, ack)
}

func (f *Forwarder) answer(t gwmp.Token, a gwmp.Ack) {
	if f.cfg.Version > 1 {
		f.send(f.down, gwmp.Datagram{Version: f.cfg.Version, Token: t, Kind: gwmp.TxAck, EUI: f.cfg.EUI, Body: a.Append(nil)})
	}
}

// enqueue gives the word of TX_ACK, or nothing.
func (f *Forwarder) enqueue(t radio.Transmission, now time.Time) string {
	q := &f.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	count := f.CounterAt(now)
	air := radio.Airtime(t.Modulation, len(t.Payload), radio.AirtimeOptions{Preamble: int(t.Preamble), NoCRC: !t.CRC})
	n := node{Emission: Emission{Transmission: t, Airtime: air}, took: now, post: uint32(air.Milliseconds()) * 1000}
	if len(q.nodes) >= maxQueue {
		return gwmp.CollisionPacket // so it calls a full queue
	}
	if t.Immediately {
		n.Counter = q.soon(count, n.post)
	}
	ahead := n.Counter - count
	switch {
	case ahead <= startDelay+margin+jitDelay:
		return gwmp.TooLate
	case !t.Immediately && int64(ahead) > f.cfg.MaxAhead.Microseconds():
		return gwmp.TooEarly
	case q.collides(n.Counter, n.post):
		return gwmp.CollisionPacket
	}
	n.Ahead = time.Duration(ahead) * time.Microsecond
	q.nodes = append(q.nodes, n)
	slices.SortFunc(q.nodes, func(a, b node) int { return int(int32(a.Counter - b.Counter)) })
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return ""
}

func (q *queue) collides(count, post uint32) bool {
	return slices.ContainsFunc(q.nodes, func(n node) bool {
		return count-n.Counter <= preDelay+n.post+margin || n.Counter-count <= preDelay+post+margin
	})
}

// soon finds a time for what is to be sent at once: 80 ms from now, or behind one
// that is queued.
func (q *queue) soon(count, post uint32) uint32 {
	at := count + 2*jitDelay
	for i := 0; q.collides(at, post) && i < len(q.nodes); i++ {
		at = q.nodes[i].Counter + q.nodes[i].post + preDelay + jitDelay + margin
	}
	return at
}

// dispatch tells the concentrator each frame jitDelay before its time, and has
// it leave then.
func (f *Forwarder) dispatch(ctx context.Context) {
	var programmed *node    // what the concentrator was told
	var busyUntil time.Time // it is sending
	due := func(n *node) time.Time { return n.took.Add(n.Ahead) }
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := time.Now()
		if programmed != nil && !now.Before(due(programmed)) {
			busyUntil = due(programmed).Add(programmed.Airtime)
			f.mu.Lock()
			f.stat.Sent++
			f.mu.Unlock()
			if f.cfg.Emit != nil {
				f.cfg.Emit(programmed.Emission)
			}
			programmed = nil
			continue
		}
		f.queue.mu.Lock()
		var next *node
		if len(f.queue.nodes) > 0 {
			n := f.queue.nodes[0]
			next = &n
			if !now.Before(due(next).Add(-jitDelay * time.Microsecond)) {
				f.queue.nodes = f.queue.nodes[1:]
			}
		}
		f.queue.mu.Unlock()
		if next != nil && !now.Before(due(next).Add(-jitDelay*time.Microsecond)) {
			if now.Before(busyUntil) {
				f.lost(next)
			} else {
				if programmed != nil { // it is overwritten
					f.lost(programmed)
				}
				programmed = next
			}
			continue
		}
		wait := time.Hour
		if next != nil {
			wait = due(next).Add(-jitDelay * time.Microsecond).Sub(now)
		}
		if programmed != nil {
			wait = min(wait, due(programmed).Sub(now))
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-f.queue.wake:
		case <-ctx.Done():
			return
		}
	}
}

func (f *Forwarder) lost(n *node) {
	f.log.Debug("a frame cannot leave: the concentrator has another", "counter", n.Counter)
	if f.cfg.Lost != nil {
		f.cfg.Lost(n.Emission)
	}
}
