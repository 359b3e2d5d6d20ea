package station

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/radio/codec"
	"fieldgate/radio/lorawan"
)

// command is the last command to an actuator, and what became of it. It is the
// content of the retained topic devices/D/actuators/A/status on the local broker.
type command struct {
	State string          `json:"state"` // queued, sent, acknowledged, expired or refused
	ID    string          `json:"id"`
	Value json.RawMessage `json:"value"`
	// Reason says why it is refused or expired, or why it is queued still although it
	// was tried.
	Reason string     `json:"reason,omitempty"`
	Sends  int        `json:"sends,omitempty"`
	Since  *time.Time `json:"since,omitempty"` // absent while the clock is unset

	Confirmed bool `json:"-"`
}

// stored is a command in the table.
type stored struct {
	command
	Device    string `json:"device"`
	Actuator  string `json:"actuator"`
	Confirmed bool   `json:"confirmed"`
}

// load reads the last commands.
func (s *Station) load() error {
	if s.cfg.Table == nil {
		return nil
	}
	return s.cfg.Table.Each(func(key string, value []byte) error {
		var c stored
		if err := json.Unmarshal(value, &c); err != nil {
			s.cfg.Log.Error("a command on disk cannot be read", "actuator", key, "error", err)
			return nil
		}
		c.command.Confirmed = c.Confirmed
		s.states[key] = c.command
		return nil
	})
}

// keep records the last command of an actuator and publishes it.
func (s *Station) keep(device, actuator string, c command) error {
	if now := s.cfg.Clock.Now(); now.Quality != gateway.ClockUnset {
		at := now.Wall.UTC().Truncate(time.Second)
		c.Since = &at
	}
	key := device + "/" + actuator
	s.mu.Lock()
	s.states[key] = c
	s.mu.Unlock()
	s.publish(device, actuator, &c)
	if s.cfg.Table == nil {
		return nil
	}
	raw, err := json.Marshal(stored{c, device, actuator, c.Confirmed})
	if err != nil {
		return fmt.Errorf("station: command: %w", err)
	}
	return s.cfg.Table.Write(map[string][]byte{key: raw})
}

func (s *Station) publish(device, actuator string, c *command) {
	raw, err := json.Marshal(c)
	if err != nil || s.cfg.Publish == nil {
		return
	}
	s.cfg.Publish(gateway.Message{Topic: "devices/" + device + "/actuators/" + actuator + "/status", Payload: raw, QoS: 1, Retain: true})
}

// Announce publishes the last commands again, after a start.
func (s *Station) Announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, c := range s.states {
		device, actuator, _ := strings.Cut(key, "/")
		s.publish(device, actuator, &c)
	}
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

// owns reports whether an actuator is one of a device that is reached by LoRa.
func (s *Station) owns(name, actuator string) (*device, bool) {
	d := s.devices[name]
	if d == nil {
		return nil, false
	}
	known, ok := s.cfg.Registry.Device(name)
	if !ok {
		return nil, false
	}
	_, ok = known.Actuator(actuator)
	return d, ok
}

// Check implements gateway.Actuators. What a script makes of a value is not known
// before it has run, which takes its time: a command that it cannot encode is
// refused later.
func (s *Station) Check(name, actuator string, value json.RawMessage) (owned bool, err error) {
	d, ok := s.owns(name, actuator)
	if !ok {
		return false, nil
	}
	if d.Script {
		return true, nil
	}
	if _, err := s.encode(context.Background(), d, actuator, value); err != nil {
		return true, fmt.Errorf("%w: %w", gateway.ErrBadCommand, err)
	}
	return true, nil
}

func (s *Station) encode(ctx context.Context, d *device, actuator string, value json.RawMessage) (codec.Encoded, error) {
	ctx, cancel := context.WithTimeout(ctx, decodeWithin)
	defer cancel()
	out, err := d.Codec.Encode(ctx, &codec.Command{Values: map[string]json.RawMessage{d.named(actuator): value}, Variables: d.Variables})
	if err == nil && out.FPort == 0 {
		out.FPort = d.Port
	}
	return out, err
}

// Deliver implements gateway.Sink: commands to the actuators of LoRa devices are
// queued. Settled is called when they are on disk.
func (s *Station) Deliver(b *gateway.Batch, _ []gateway.Record, settled func(error)) {
	var jobs []func(context.Context) error
	var lanes []*lane
	if !b.Confirmed {
		for i := range b.Readings {
			r := &b.Readings[i]
			if r.Kind != gateway.KindCommand {
				continue
			}
			d, ok := s.owns(r.Device, r.Channel)
			if !ok {
				continue
			}
			actuator, value := r.Channel, r.Value
			jobs = append(jobs, func(ctx context.Context) error { return s.command(ctx, d, actuator, value) })
			lanes = append(lanes, d.lane)
		}
	}
	if len(jobs) == 0 {
		settled(nil)
		return
	}
	// Each waits for the disk, and a script for its turn: not here, where all
	// readings pass.
	lane := lanes[0]
	if lane == nil {
		lane = s.commands
	}
	all := func(ctx context.Context) {
		var errs []error
		for _, job := range jobs {
			errs = append(errs, job(ctx))
		}
		settled(errors.Join(errs...))
	}
	if !lane.put(all) {
		settled(fmt.Errorf("%w: more commands than LoRa can take", gateway.ErrNotKept))
	}
}

// command encodes and queues one command. An error says that it is not on disk;
// one that cannot be carried out is refused, which is told by its state.
func (s *Station) command(ctx context.Context, d *device, actuator string, value json.RawMessage) error {
	c := command{State: lorawan.Queued.String(), ID: rand.Text()[:13], Value: value, Confirmed: d.Confirmed}
	refuse := func(err error) error {
		c.State, c.Reason = lorawan.Refused.String(), firstLine(err)
		s.cfg.Log.Warn("a command is refused", "device", d.Name, "actuator", actuator, "error", err)
		return s.keep(d.Name, actuator, c)
	}
	out, err := s.encode(ctx, d, actuator, value)
	if err != nil {
		return refuse(err)
	}
	if d.Raw {
		if err := s.raw.Send(ctx, d.Name, out.Bytes); err != nil {
			return refuse(err)
		}
		c.State = lorawan.Sent.String()
		s.reached(d.Name, actuator, value)
		return s.keep(d.Name, actuator, c)
	}
	if err := s.keep(d.Name, actuator, c); err != nil {
		return err
	}
	q := lorawan.Downlink{Device: d.Name, ID: c.ID, Tag: actuator, FPort: out.FPort, Payload: out.Bytes, Confirmed: d.Confirmed}
	if d.Expires > 0 {
		q.Expires = time.Now().Add(d.Expires)
	}
	within, cancel := context.WithTimeout(ctx, queueWithin)
	defer cancel()
	switch err := s.lorawan.Enqueue(within, q); {
	case err == nil:
		return nil
	case errors.Is(err, lorawan.ErrFull), errors.Is(err, lorawan.ErrTooLong), errors.Is(err, lorawan.ErrDownlink),
		errors.Is(err, lorawan.ErrBroken), errors.Is(err, lorawan.ErrUnknownDevice):
		return refuse(err)
	default:
		return err
	}
}

// queueWithin is how long a command waits for the disk; its sender is told nothing
// then, and sends it again.
const queueWithin = 30 * time.Second

// downlink hears what became of a command.
func (s *Station) downlink(st lorawan.DownlinkState) {
	if st.Tag == "" {
		return
	}
	key := st.Device + "/" + st.Tag
	s.mu.Lock()
	c, ok := s.states[key]
	s.mu.Unlock()
	if !ok || c.ID != st.ID {
		return // a newer command has taken its place
	}
	done := st.State == lorawan.Acknowledged || st.State == lorawan.Sent && st.Last
	if done && c.State != st.State.String() {
		s.reached(st.Device, st.Tag, c.Value)
	}
	before := c
	c.State, c.Sends, c.Reason = st.State.String(), st.Sends, ""
	if st.State != lorawan.Sent && st.State != lorawan.Acknowledged {
		c.Reason = st.Why
	}
	if c.State == before.State && c.Sends == before.Sends && c.Reason == before.Reason {
		return
	}
	if err := s.keep(st.Device, st.Tag, c); err != nil {
		s.cfg.Log.Error("what became of a command is not on disk", "device", st.Device, "actuator", st.Tag, "error", err)
	}
}

// reached submits the state that a command has brought an actuator to, as far as
// the gateway can know.
func (s *Station) reached(device, actuator string, value json.RawMessage) {
	b := &gateway.Batch{From: access.System, Source: "lora " + device, Confirmed: true,
		Readings: []gateway.Reading{{Kind: gateway.KindActuator, Device: device, Channel: actuator, Value: value}}}
	if err := s.cfg.Hub.Submit(b); err != nil {
		s.cfg.Log.Warn("an actuator's state was refused", "device", device, "actuator", actuator, "error", err)
	}
}
