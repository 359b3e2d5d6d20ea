package main

import (
	"time"

	"fieldgate/cmd/fieldgate/config"
	"fieldgate/gateway"
	"fieldgate/uplink"
)

// newUplink wires one uplink of the configuration.
func (g *gatewayd) newUplink(c *config.Uplink) (*uplink.Uplink, error) {
	log := g.log.With("part", "uplink", "uplink", c.Name)
	cfg := uplink.Config{
		Name: c.Name, GatewayID: g.cfg.ID, URL: c.URL.String(), ClientID: c.ClientID, Username: c.Username,
		KeepAlive: c.Keepalive, Window: c.Window, AckTimeout: c.AckTimeout,
		CatchUp: uplink.CatchUp(c.CatchUp), CatchUpRate: c.CatchUpRate, IDs: c.IDs,
		Dialect: uplink.Dialect(c.Dialect), Filter: c.Filter,
		Devices: g.deviceIDs, Status: g.cloudStatus,
		Backlog: func() (uint64, time.Time) {
			b := g.records.Backlog(c.Name)
			return b.Records, b.Oldest
		},
		DeadLetter: func(r gateway.Record, err error) {
			log.Error("the cloud refuses a record for ever; it stays in the log and is not sent again",
				"id", r.ID(g.cfg.ID), "device", r.Device, "channel", r.Channel, "error", err)
		},
		OnState: func(uplink.State) { g.wake() },
		Table:   g.state[0].table("uplinks"),
		Log:     clockedLog{g.records, g.watch}, Hub: g.hub, Sessions: g.sessions, Clock: g.clock, Logger: log,
	}
	if c.Dialect == config.DialectXively {
		cfg.Xively = uplink.XivelyOptions{QoS: c.Xively.QoS,
			StatusFeed: c.Xively.Status.Feed, StatusDatastream: c.Xively.Status.Datastream}
		cfg.Feed = g.feedNumbers(c.Xively.Feeds)
	}
	if c.Username != "" {
		cfg.Password = c.ReadPassword
	}
	for _, f := range c.Forward {
		cfg.Forward = append(cfg.Forward, uplink.Forward{Topic: f.Topic, Direction: uplink.Direction(f.Direction),
			QoS: f.QoS, LocalPrefix: f.LocalPrefix, RemotePrefix: f.RemotePrefix})
	}
	if t := c.TLS; t != (config.UplinkTLS{}) {
		cfg.TLS = uplink.TLSFiles{CA: t.CA, Cert: t.Cert, Key: t.Key, ServerName: t.ServerName}.Config
	}
	return uplink.New(cfg)
}

// derivedFeeds is where the numbers begin that the registry gives to devices
// without one (gateway.Registry): another cloud knows nothing of them.
const derivedFeeds = 1_000_000_000

// feedNumbers gives the number of the feed that a device is at a cloud: the
// mapped one, else its own unless that is derived.
func (g *gatewayd) feedNumbers(mapped map[string]uint64) func(device string) (uint64, bool) {
	return func(device string) (uint64, bool) {
		if n, ok := mapped[device]; ok {
			return n, true
		}
		d, ok := g.registry.Device(device)
		if !ok || d.Feed == 0 || d.Feed >= derivedFeeds {
			return 0, false
		}
		return d.Feed, true
	}
}

func (g *gatewayd) deviceIDs() []string {
	devices := g.registry.Devices()
	ids := make([]string, len(devices))
	for i, d := range devices {
		ids[i] = d.ID
	}
	return ids
}
