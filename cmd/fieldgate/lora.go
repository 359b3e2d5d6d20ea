package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"fieldgate/cmd/fieldgate/config"
	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/codec"
	"fieldgate/radio/codec/js"
	"fieldgate/radio/lorawan"
	"fieldgate/radio/raw"
	"fieldgate/radio/semtech"
	"fieldgate/radio/semtech/forwarder"
	"fieldgate/radio/semtech/gwmp"
	"fieldgate/radio/station"
)

// loraPart is the LoRa part of a gateway: nil where there are no radios.
type loraPart struct {
	*station.Station
	g          *gatewayd
	forwarders []*forwarder.Forwarder
	air        *simulated    // of radios with the driver fake; may be nil
	over       chan struct{} // closed when run ends

	mu       sync.Mutex
	watchers map[chan []byte]struct{}
	second   time.Time // of which live counts the messages
	live     int
}

// openLoRa prepares the radios and what stands behind them.
func (g *gatewayd) openLoRa() error {
	if len(g.cfg.Radios) == 0 {
		return nil
	}
	l := &loraPart{g: g, watchers: map[chan []byte]struct{}{}, over: make(chan struct{})}
	log := g.log.With("part", "lora")
	var err error
	c := station.Config{Gateway: g.cfg.ID, Hub: g.hub, Registry: g.registry, Clock: g.clock, Log: log,
		Publish: func(m gateway.Message) { g.broker.Publish(m) }, Observe: l.observe}
	if c.Radios, l.air, err = openRadios(g.cfg, g.board, g.cfg.Radios, log); err != nil {
		return err
	}
	for _, r := range c.Radios {
		if server, ok := r.(*semtech.Server); ok {
			g.semtech = append(g.semtech, server)
		}
	}
	c.RawRadios = map[string]bool{}
	for i := range g.cfg.Radios {
		r := &g.cfg.Radios[i]
		c.RawRadios[r.Name] = r.Driver != config.RadioSemtech && r.Tuning.SyncWord != radio.SyncPublic
	}
	c.Table = g.state[0].table("lora commands")
	if c.LoRaWAN, err = g.networkServer(); err != nil {
		return err
	}
	if c.Devices, err = loraDevices(g.cfg, log); err != nil {
		return err
	}
	c.Raw = raw.Config{Rules: g.cfg.RawRules(), Log: log, Region: c.LoRaWAN.Region, Gate: c.LoRaWAN.Gate}
	for i := range g.cfg.LoRaWAN.Forward {
		f, err := g.newForwarder(&g.cfg.LoRaWAN.Forward[i], sendLater{l})
		if err != nil {
			return err
		}
		l.forwarders = append(l.forwarders, f)
		c.Forwarders = append(c.Forwarders, taker{f, g.cfg.LoRaWAN.Forward[i].Unknown})
	}
	if l.Station, err = station.New(c); err != nil {
		return err
	}
	g.lora = l
	return nil
}

// run serves radios, servers and forwarders until ctx ends.
func (l *loraPart) run(ctx context.Context) error {
	defer close(l.over)
	var wg sync.WaitGroup
	for i, f := range l.forwarders {
		wg.Go(func() {
			if err := f.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				l.g.log.Error("forwarding to a network server ended", "server", l.g.cfg.LoRaWAN.Forward[i].Server, "error", err)
			}
		})
	}
	if l.air != nil {
		wg.Go(func() { l.air.run(ctx) })
	}
	wg.Go(func() { l.keepStatus(ctx) })
	err := l.Station.Run(ctx)
	wg.Wait()
	return err
}

// networkServer is the network server's configuration.
func (g *gatewayd) networkServer() (lorawan.Config, error) {
	c, err := g.cfg.NetworkServer()
	if err != nil {
		return c, err
	}
	g.airtime = radio.NewLedger(g.state[0].table("airtime"), g.clock)
	c.Table, c.Log, c.Clock, c.Gate = g.state[0].table("lorawan"), g.log.With("part", "lorawan"), g.clock, g.airtime
	return c, nil
}

// openCodec makes a device's codec. One script serves all devices that have it.
func openCodec(c config.Codec, scripts map[string]codec.Codec, log *slog.Logger) (codec.Codec, error) {
	if !c.Script {
		return codec.Open(c.Name)
	}
	if made := scripts[c.Name]; made != nil {
		return made, nil
	}
	made, err := js.New(c.Name, c.Source, js.Options{Log: log})
	if err == nil {
		scripts[c.Name] = made
	}
	return made, err
}

// loraDevices are the devices of the station.
func loraDevices(cfg *config.Config, log *slog.Logger) (out []station.Device, err error) {
	scripts := map[string]codec.Codec{}
	add := func(name string, s *config.LoRaSettings, withoutLoRaWAN bool) error {
		d := station.Device{Name: name, Variables: s.Variables, Script: s.Codec.Script, Mute: s.Codec.Mute, Raw: withoutLoRaWAN, Create: s.Create,
			Port: uint8(s.Port), Confirmed: s.Confirmed, Priority: int8(s.Priority), Expires: s.Expires}
		for _, m := range s.Sensors {
			note(&d.Sensors, m.From, m.ID)
		}
		for _, m := range s.Actuators {
			note(&d.Actuators, m.From, m.ID)
			if m.Priority != nil {
				note(&d.Priorities, m.ID, int8(*m.Priority))
			}
		}
		var err error
		if d.Codec, err = openCodec(s.Codec, scripts, log); err != nil {
			return err
		}
		out = append(out, d)
		return nil
	}
	for i := range cfg.LoRaWAN.Devices {
		d := &cfg.LoRaWAN.Devices[i]
		if err := add(d.Device, &d.LoRaSettings, false); err != nil {
			return nil, err
		}
	}
	for i := range cfg.LoRa {
		d := &cfg.LoRa[i]
		if err := add(d.Device, &d.LoRaSettings, true); err != nil {
			return nil, err
		}
		out[len(out)-1].AfterUplink = d.AfterUplink
	}
	return out, nil
}

// note puts a pair into a map that most devices do not have.
func note[V any](m *map[string]V, key string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = v
}

// switches are all actuators that this gateway switches: those on its lines, and
// those in reach of its radios.
type switches struct{ g *gatewayd }

// Check implements gateway.Actuators.
func (s switches) Check(device, actuator string, value json.RawMessage) (owned bool, err error) {
	if owned, err = s.g.outputs.Check(device, actuator, value); owned || s.g.lora == nil {
		return owned, err
	}
	return s.g.lora.Check(device, actuator, value)
}

// taker gives frames to a forwarder.
type taker struct {
	f       *forwarder.Forwarder
	unknown bool // only those of devices that are not ours
}

// Take implements station.Forwarder.
func (t taker) Take(f *radio.Frame, known bool) {
	if t.unknown && known {
		return
	}
	t.f.Take(f)
}

// livePerSecond bounds what is published of frames; at an admin's stream more
// arrives.
const livePerSecond = 50

// observe publishes a frame for administrators, and gives it to those who listen
// on the command line.
func (l *loraPart) observe(e *station.Event) {
	l.mu.Lock()
	now := time.Now()
	if now.Sub(l.second) >= time.Second {
		l.second, l.live = now, 0
	}
	l.live++
	publish, watched := l.live <= livePerSecond, len(l.watchers) > 0
	l.mu.Unlock()
	if !publish && !watched {
		return
	}
	raw, err := json.Marshal(e)
	if err != nil {
		return
	}
	l.mu.Lock()
	for w := range l.watchers {
		select {
		case w <- raw:
		default: // it does not keep up
		}
	}
	l.mu.Unlock()
	if !publish {
		return
	}
	topic := "gateways/" + l.g.cfg.ID + "/radio/rx"
	if e.Sent {
		topic = "gateways/" + l.g.cfg.ID + "/radio/tx"
	}
	l.g.broker.Publish(gateway.Message{Topic: topic, Payload: raw})
}

// newForwarder makes the client of a network server elsewhere.
func (g *gatewayd) newForwarder(c *config.LoRaForward, through sendLater) (*forwarder.Forwarder, error) {
	eui, err := gwmp.ParseEUI(c.EUI)
	if err != nil {
		return nil, err
	}
	late, err := forwarder.ParseLate(c.Late)
	if err != nil {
		return nil, err
	}
	name := ""
	for i := range g.cfg.Radios {
		if r := &g.cfg.Radios[i]; r.Driver != config.RadioSemtech {
			name = r.Name
		} else if len(r.Gateways) > 0 {
			name = r.Gateways[0]
		}
		if name != "" {
			break
		}
	}
	// A table's name has up to 64 bytes.
	table := fmt.Sprintf("forward %x", sha256.Sum256([]byte(c.Server+" "+c.EUI)))[:40]
	return forwarder.New(forwarder.Config{Server: c.Server, EUI: eui, Late: late, MaxAge: c.MaxAge, Clock: g.clock, Radio: through, Name: name,
		Table: g.state[0].table(table), Log: g.log.With("part", "forward", "server", c.Server)})
}

// sendLater sends through a station that is made later.
type sendLater struct{ l *loraPart }

// Send implements radio.Radio's part of the same name.
func (s sendLater) Send(ctx context.Context, t *radio.Transmission) error {
	return s.l.Station.Send(ctx, t)
}
