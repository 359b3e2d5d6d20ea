package uplink

import (
	"errors"
	"fmt"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/waziup"
)

// seenTopics bounds the memory for retained messages.
const seenTopics = 10_000

// handled is what was last handled on a topic, as keys of echoes; 0 for none.
type handled struct{ retained, live uint64 }

// handle gives one message from the cloud to the Hub.
func (d *down) handle(m mqtt.Message) pending {
	u := d.u
	p := pending{m: m, done: make(chan error, 1)}
	key := u.echoes.key(m.Topic(), m.Payload())
	switch {
	case m.Retained() && (d.stale(m.Topic()) || d.repeated(m.Topic(), key)):
		p.done <- nil
		return p
	case u.echoes.own(m.Topic(), m.Payload()):
		u.counts.echoes.Add(1)
		p.done <- nil
		return p
	}
	answered := func(err error) { p.done <- d.verdict(m, key, err) }
	batch, change, err := u.translate(m)
	if err == nil {
		batch.Done = answered
		if change != nil {
			err = u.cfg.Hub.Change(batch, *change)
		} else {
			err = u.cfg.Hub.Submit(batch)
		}
	}
	switch {
	case errors.Is(err, errCleared):
		p.done <- nil
	case err != nil:
		answered(err)
	}
	return p
}

// errCleared is an empty message on a topic of commands: somebody removed the
// retained one at the cloud, which asks for nothing.
var errCleared = errors.New("retained message cleared")

// repeated reports whether a retained message is the one that was handled last.
func (d *down) repeated(topic string, key uint64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.seen[topic]
	return h.retained == key || h.live == key
}

// verdict turns the Hub's answer into what the cloud is to know: nil lets it
// forget the message.
func (d *down) verdict(m mqtt.Message, key uint64, err error) error {
	u := d.u
	switch {
	case errors.Is(err, gateway.ErrNotKept), errors.Is(err, gateway.ErrClosed):
		u.log.Error("a command could not be recorded; the cloud will send it again", "topic", m.Topic(), "err", err)
		return err
	case err != nil:
		u.counts.refused.Add(1)
		if u.refusals.ready(gateway.Reason(err)) {
			u.log.Warn("refused from the cloud", "topic", m.Topic(), "err", err)
		}
	default:
		if _, ok, _ := waziup.ParseTopic(m.Topic()); ok && u.cfg.Dialect != None {
			u.counts.commands.Add(1)
		} else {
			u.counts.forwarded.Add(1)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	h, known := d.seen[m.Topic()]
	if !known && len(d.seen) >= seenTopics {
		clear(d.seen)
	}
	if m.Retained() {
		h.retained = key
	} else {
		h.live = key
	}
	d.seen[m.Topic()] = h
	return nil
}

// translate makes of a message from the cloud what the Hub takes: a command, a
// change of a device (change is not nil then), or a message by a Forward rule.
func (u *Uplink) translate(m mqtt.Message) (b *gateway.Batch, change *gateway.ChangeRequest, err error) {
	b = &gateway.Batch{
		From:    access.System,
		Source:  "uplink " + u.cfg.Name,
		Origin:  u.cfg.Name,
		Wait:    m.Qos() > 0,
		Carrier: &gateway.Message{Topic: m.Topic(), Payload: m.Payload(), QoS: m.Qos()},
	}
	if string(m.Payload()) == u.mark {
		return nil, nil, fmt.Errorf("%w: more than %d bytes", gateway.ErrTooLarge, maxPacket)
	}
	if u.cfg.Dialect != None {
		t, ok, err := waziup.ParseTopic(m.Topic())
		if ok && err == nil {
			switch t.Kind {
			case waziup.ActuatorValue, waziup.ActuatorValues:
				if len(m.Payload()) == 0 {
					return nil, nil, errCleared
				}
				return b, nil, readings(b, t, m.Payload())
			case waziup.DeviceName, waziup.DeviceMeta, waziup.SensorName, waziup.SensorMeta,
				waziup.ActuatorName, waziup.ActuatorMeta:
				req, err := waziup.DecodeChange(t, m.Payload())
				return b, &req, err
			}
		}
	}
	local, rule, ok := u.enc.inward(m.Topic())
	if !ok {
		return nil, nil, fmt.Errorf("%w: %.80q", gateway.ErrBadTopic, m.Topic())
	}
	if !access.ValidTopic(local) {
		return nil, nil, fmt.Errorf("%w: %.80q", gateway.ErrBadTopic, local)
	}
	b.Carrier.Topic, b.Carrier.Retain, b.Carrier.QoS = local, m.Retained(), min(m.Qos(), rule.QoS)
	// A rule may bring down readings, too: they count as readings here.
	if t, ok, err := waziup.ParseTopic(local); ok {
		if err != nil {
			return nil, nil, err
		}
		if _, _, values := t.Reading(); values {
			return b, nil, readings(b, t, m.Payload())
		}
		req, err := waziup.DecodeChange(t, m.Payload())
		return b, &req, err
	}
	return b, nil, nil
}

// readings decodes the values in a payload into b. Values for actuators that
// come down are commands.
func readings(b *gateway.Batch, t waziup.Topic, payload []byte) error {
	kind, channel, _ := t.Reading()
	if kind == gateway.KindActuator {
		kind = gateway.KindCommand
	}
	var samples []waziup.Sample
	var err error
	switch t.Kind {
	case waziup.ActuatorValues, waziup.SensorValues:
		samples, err = waziup.DecodeValues(payload)
	default:
		var s waziup.Sample
		s, err = waziup.DecodeValue(payload)
		samples = append(samples, s)
	}
	if err != nil {
		return err
	}
	for _, s := range samples {
		b.Readings = append(b.Readings, gateway.Reading{Kind: kind, Device: t.Device, Channel: channel, Value: s.Value, Time: s.Time})
	}
	if len(b.Readings) == 0 {
		return fmt.Errorf("%w: no values", gateway.ErrBadPayload)
	}
	return nil
}

// sparing lets a reason into the log once a minute. Reasons are few.
type sparing struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func (s *sparing) ready(reason string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.last[reason]; ok && time.Since(at) < time.Minute {
		return false
	}
	if s.last == nil {
		s.last = map[string]time.Time{}
	}
	s.last[reason] = time.Now()
	return true
}
