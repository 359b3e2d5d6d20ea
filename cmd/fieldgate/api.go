package main

import (
	"net"

	"fieldgate/gateway"
	"fieldgate/gateway/feeds"
)

// openAPI makes the Xively API over the hub.
func (g *gatewayd) openAPI() (err error) {
	f := g.state[0]
	g.api, err = feeds.New(feeds.Config{
		GatewayID: g.cfg.ID, BaseURL: baseURL(g.cfg.ID, g.cfg.Listen.HTTP),
		Hub: g.hub, Registry: g.registry, History: g.records, Clock: g.clock,
		Tables: feeds.Tables{Feeds: f.table("feeds"), Triggers: f.table("triggers"),
			Profiles: f.table("profiles"), Products: f.table("products")},
		Publish: func(m gateway.Message) { g.broker.Publish(m) },
		Logger:  g.log.With("part", "api"),
	})
	return err
}

// baseURL is where documents say that they are from. The gateway's id is its
// host name unless the configuration says otherwise.
func baseURL(id, listen string) string {
	if _, port, err := net.SplitHostPort(listen); err == nil && port != "0" && port != "80" {
		id = net.JoinHostPort(id, port)
	}
	return "http://" + id
}
