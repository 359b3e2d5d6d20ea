package station

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/radio/codec"
)

// order is a command on its way from Deliver to a queue.
type order struct {
	device   *device
	actuator string
	value    json.RawMessage
	expires  time.Time // of the message that it came in; zero: never
	settled  func(error)

	out codec.Encoded
	err error // of the codec
}

// named is what the codec calls an actuator.
func (d *device) named(actuator string) string {
	for name, id := range d.Actuators {
		if id == actuator {
			return name
		}
	}
	return actuator
}

// priority is that of commands to an actuator.
func (d *device) priority(actuator string) int8 {
	if n, ok := d.Priorities[actuator]; ok {
		return n
	}
	return d.Priority
}

// owns gives the device of an actuator that is reached by LoRa, nil if it is none.
func (s *Station) owns(name, actuator string) *device {
	d := s.devices[name]
	if d == nil {
		return nil
	}
	known, ok := s.cfg.Registry.Device(name)
	if !ok {
		return nil
	}
	if _, ok = known.Actuator(actuator); !ok {
		return nil
	}
	return d
}

// Check implements gateway.Actuators. What a script makes of a value is not known
// before it has run, which takes its time: a command that it cannot encode is
// refused later.
func (s *Station) Check(name, actuator string, value json.RawMessage) (owned bool, err error) {
	d := s.owns(name, actuator)
	switch {
	case d == nil:
		return false, nil
	case d.Mute:
		return true, fmt.Errorf("%w: the device's codec has nothing that encodes commands", gateway.ErrBadCommand)
	case d.Script:
		return true, nil
	}
	if _, err := s.encode(context.Background(), d, actuator, value); err != nil {
		return true, fmt.Errorf("%w: %w", gateway.ErrBadCommand, err)
	}
	return true, nil
}

func (s *Station) encode(ctx context.Context, d *device, actuator string, value json.RawMessage) (codec.Encoded, error) {
	ctx, cancel := context.WithTimeout(ctx, codecWithin)
	defer cancel()
	out, err := d.Codec.Encode(ctx, &codec.Command{Values: map[string]json.RawMessage{d.named(actuator): value}, Variables: d.Variables})
	if err == nil && out.FPort == 0 {
		out.FPort = d.Port
	}
	return out, err
}

// Deliver implements gateway.Sink: commands to the actuators of LoRa devices are
// queued. Settled is called when they are on disk. Those to one device stay in
// order.
func (s *Station) Deliver(b *gateway.Batch, _ []gateway.Record, settled func(error)) {
	var orders []*order
	if !b.Confirmed {
		for i := range b.Readings {
			r := &b.Readings[i]
			if r.Kind != gateway.KindCommand {
				continue
			}
			d := s.owns(r.Device, r.Channel)
			if d == nil {
				continue
			}
			o := &order{device: d, actuator: r.Channel, value: r.Value}
			if b.Carrier != nil {
				o.expires = b.Carrier.Expires
			}
			orders = append(orders, o)
		}
	}
	if len(orders) == 0 {
		settled(nil)
		return
	}
	if !s.openOrders(len(orders)) {
		settled(errStopped)
		return
	}
	var mu sync.Mutex
	left, first := len(orders), error(nil)
	one := func(err error) {
		mu.Lock()
		left--
		if first == nil {
			first = err
		}
		last, err := left == 0, first
		mu.Unlock()
		if last {
			settled(err)
		}
		s.closeOrder()
	}
	for _, o := range orders {
		var once sync.Once
		o.settled = func(err error) { once.Do(func() { one(err) }) }
		s.take(o)
	}
}

// take encodes a command: at once, or in the lane of its script.
func (s *Station) take(o *order) {
	encode := func(ctx context.Context) {
		o.out, o.err = s.encode(ctx, o.device, o.actuator, o.value)
		if o.err != nil && ctx.Err() != nil {
			o.settled(errStopped) // nobody knows whether the script would have taken it
			return
		}
		s.courier.put(o)
	}
	switch {
	case o.device.lane == nil:
		encode(context.Background())
	case !o.device.lane.put(encode):
		o.err = errLane
		s.courier.put(o)
	}
}

// openOrders counts commands that are to be settled. It refuses them after the
// end.
func (s *Station) openOrders(n int) bool {
	s.orders.Lock()
	defer s.orders.Unlock()
	if s.orders.closed {
		return false
	}
	s.orders.open += n
	return true
}

func (s *Station) closeOrder() {
	s.orders.Lock()
	defer s.orders.Unlock()
	if s.orders.open--; s.orders.open == 0 && s.orders.closed {
		close(s.orders.none)
	}
}

// refuseOrders has openOrders refuse from now on.
func (s *Station) refuseOrders() {
	s.orders.Lock()
	defer s.orders.Unlock()
	s.orders.closed = true
	if s.orders.open == 0 {
		close(s.orders.none)
	}
}

// reachedWithin is how long the state of an actuator waits for the disk before it
// is noted that it was told.
const reachedWithin = 2 * time.Second

// reached submits the state that a command has brought an actuator to, as far as
// the gateway can know, and waits until it is on disk.
func (s *Station) reached(device, actuator string, value json.RawMessage) {
	done := make(chan error, 1)
	b := &gateway.Batch{From: access.System, Source: "lora " + device, Confirmed: true, Wait: true, Done: func(err error) { done <- err },
		Readings: []gateway.Reading{{Kind: gateway.KindActuator, Device: device, Channel: actuator, Value: value}}}
	err := s.cfg.Hub.Submit(b)
	if err == nil {
		t := time.NewTimer(reachedWithin)
		defer t.Stop()
		select {
		case err = <-done:
		case <-t.C: // it will be, as soon as the disk takes it
		}
	}
	if err != nil {
		s.log.warn("an actuator's state was refused", device, "actuator", actuator, "error", err)
	}
}

// errLane: the script has too much to do.
var errLane = errors.New("the codec's script does not keep up")
