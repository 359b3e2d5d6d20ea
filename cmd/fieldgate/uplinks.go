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

func (g *gatewayd) deviceIDs() []string {
	devices := g.registry.Devices()
	ids := make([]string, len(devices))
	for i, d := range devices {
		ids[i] = d.ID
	}
	return ids
}
