package station

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio/lorawan"
)

// courier brings commands to their queues. Those that come while it waits for the
// disk share its next write.
type courier struct {
	s    *Station
	wake chan struct{}

	mu     sync.Mutex
	orders []*order
	closed bool
}

// courierRoom is how many commands wait for the disk.
const courierRoom = 4096

func newCourier(s *Station) *courier { return &courier{s: s, wake: make(chan struct{}, 1)} }

// put hands over a command that was encoded, or that was not and is refused. One
// for which there is no room is settled with an error: its sender may try again.
func (c *courier) put(o *order) {
	c.mu.Lock()
	full := len(c.orders) >= courierRoom
	if !full {
		c.orders = append(c.orders, o)
		notify(c.wake)
	}
	c.mu.Unlock()
	if full {
		o.settled(fmt.Errorf("station: %w: more commands than LoRa can take", gateway.ErrNotKept))
	}
}

// close has run end when nothing is left.
func (c *courier) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	notify(c.wake)
}

// run works until close. The end of ctx has it hurry.
func (c *courier) run(ctx context.Context) {
	for {
		c.mu.Lock()
		orders, closed := c.orders, c.closed
		c.orders = nil
		c.mu.Unlock()
		switch {
		case len(orders) > 0:
			c.deliver(ctx, orders)
		case closed:
			return
		default:
			<-c.wake
		}
	}
}

// parcel is a command with its record, nil if a newer one has come meanwhile.
type parcel struct {
	*order
	record *record
}

// deliver notes commands in one write, and queues them.
func (c *courier) deliver(ctx context.Context, orders []*order) {
	b := c.s.book
	b.change.lock()
	changed := map[string]*record{}
	parcels := make([]parcel, 0, len(orders))
	last := map[string]*order{} // of those to an actuator; what comes before takes no place in a queue
	records := make([]record, len(orders))
	for i, o := range orders {
		if records[i] = c.record(o); o.err == nil {
			last[actuatorID(o.device.Name, o.actuator)] = o
		}
	}
	for i, o := range orders {
		id := actuatorID(o.device.Name, o.actuator)
		if o.err == nil && last[id] != o {
			parcels = append(parcels, parcel{o, nil})
			continue
		}
		before := changed[id]
		if before == nil {
			before = b.get(id)
		}
		r := before.next(records[i])
		changed[id] = r
		parcels = append(parcels, parcel{o, r})
	}
	err := b.write(changed)
	if err == nil {
		b.put(changed)
	}
	b.change.unlock()
	byDevice := map[*device][]parcel{} // which stay in order, and wait for the disk together
	for _, p := range parcels {
		switch {
		case err != nil && p.record == nil:
			p.settled(notOnDisk(err))
		case err != nil:
			c.lost(p, err)
		case p.record == nil: // as if a queue had replaced it
			p.settled(nil)
		case p.err != nil:
			c.s.log.warn("a command is refused", p.device.Name, "actuator", p.actuator, "error", p.err)
			p.settled(nil) // which is told by its state
		default:
			byDevice[p.device] = append(byDevice[p.device], p)
		}
	}
	var wg sync.WaitGroup
	for d, list := range byDevice {
		if d.Raw {
			for _, p := range list {
				d.post.put(p)
				p.settled(nil)
			}
			continue
		}
		wg.Go(func() {
			for _, p := range list {
				c.enqueue(ctx, p)
			}
		})
	}
	wg.Wait()
}

// record is the beginning of a command.
func (c *courier) record(o *order) record {
	r := record{Device: o.device.Name, Actuator: o.actuator, Confirmed: o.device.Confirmed,
		command: command{State: lorawan.Queued.String(), ID: rand.Text()[:13], Value: o.value}}
	r.Expires = o.expires
	if o.device.Expires > 0 {
		if own := time.Now().Add(o.device.Expires); r.Expires.IsZero() || own.Before(r.Expires) {
			r.Expires = own
		}
	}
	switch {
	case o.err != nil:
		r.State, r.Reason = lorawan.Refused.String(), firstLine(o.err)
	case !r.Expires.IsZero() && !time.Now().Before(r.Expires):
		r.State, r.Reason = lorawan.Expired.String(), "its message was no longer good"
		o.err = errExpired
	}
	r.command = c.s.book.stamp(r.command)
	return r
}

var errExpired = errors.New("station: it is no longer good")

// queueWithin is how long a command waits for the disk; its sender is told nothing
// then, and sends it again.
const queueWithin = 30 * time.Second

// enqueue hands a command to the network server.
func (c *courier) enqueue(ctx context.Context, p parcel) {
	q := lorawan.Downlink{Device: p.device.Name, ID: p.record.ID, Tag: p.actuator, FPort: p.out.FPort, Payload: p.out.Bytes,
		Confirmed: p.device.Confirmed, Priority: p.device.priority(p.actuator), Expires: p.record.Expires}
	within, cancel := context.WithTimeout(ctx, queueWithin)
	defer cancel()
	switch err := c.s.lorawan.Enqueue(within, q); {
	case err == nil:
		p.settled(nil)
	case errors.Is(err, lorawan.ErrFull), errors.Is(err, lorawan.ErrTooLong), errors.Is(err, lorawan.ErrDownlink),
		errors.Is(err, lorawan.ErrBroken), errors.Is(err, lorawan.ErrUnknownDevice):
		c.s.log.warn("a command is refused", p.device.Name, "actuator", p.actuator, "error", err)
		c.end(p, lorawan.Refused, firstLine(err))
		p.settled(nil)
	case isStop(err):
		// It may be queued all the same. The next start tells.
		p.settled(notOnDisk(err))
	default:
		c.lost(p, err)
	}
}

// end gives a command that was not queued its last state.
func (c *courier) end(p parcel, st lorawan.State, why string) {
	b, id := c.s.book, actuatorID(p.device.Name, p.actuator)
	b.change.lock()
	defer b.change.unlock()
	r := b.get(id)
	switch {
	case r == nil:
	case r.ID == p.record.ID:
		n := r.command
		n.State, n.Reason = st.String(), why
		c.s.note(id, r.with(b.stamp(n)))
	default:
		if _, ok := r.older(p.record.ID); ok {
			c.s.note(id, r.without(p.record.ID))
		}
	}
}

// lost says that a command is not on disk, and is not sent.
func (c *courier) lost(p parcel, err error) {
	c.s.log.warn("a command cannot be kept", p.device.Name, "actuator", p.actuator, "error", err)
	b, id := c.s.book, actuatorID(p.device.Name, p.actuator)
	b.change.lock()
	r := b.get(id)
	if _, isOld := r.older(p.record.ID); isOld { // a newer one has come
		b.put(map[string]*record{id: r.without(p.record.ID)})
	} else {
		n := *p.record
		n.Older = nil
		if r != nil {
			n.Older = r.Older
			if r.ID != n.ID {
				n.Older = r.next(n).Older
			}
		}
		n.State, n.Reason = lorawan.Refused.String(), "the disk did not take it: "+firstLine(err)
		n.command = b.stamp(n.command)
		b.put(map[string]*record{id: &n}) // the disk has what was before
	}
	b.change.unlock()
	p.settled(notOnDisk(err))
}

// notOnDisk has the sender of a command not told that it was taken.
func notOnDisk(err error) error { return fmt.Errorf("station: %w: %w", gateway.ErrNotKept, err) }
