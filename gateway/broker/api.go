package broker

import (
	"strings"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/xively"
)

// API answers topics that are requests rather than names of messages
// (feeds.API is one). Its methods may be called from any goroutine.
type API interface {
	// Owns reports whether a topic, or a filter without wildcards, is a request
	// to the API.
	Owns(topic string) bool
	// Publish takes a message on one of the API's topics. Done is called
	// exactly once, with an error of package gateway if it was refused.
	Publish(p gateway.Peer, m *gateway.Message, done func(error))
	// Subscribe asks for the present state of what filter names and for what
	// comes after. Nothing is pushed before start is called nor after cancel
	// has returned. Push does not block; it keeps payload, which must not be
	// changed any more. Start may be called again, though not twice at a time: it
	// pushes the present state anew, for pushes that were lost. The error, one of
	// package gateway, is a denial; with start and cancel, which are nil
	// otherwise, what is denied now may come later, and nothing is pushed until
	// then.
	Subscribe(p gateway.Peer, filter string, push func(payload []byte)) (start, cancel func(), err error)
}

// requests reports whether a topic, or a filter without a share, is a request
// to the API. The dialect's topics and the gateway's own never are.
func (b *Broker) requests(topic string) bool {
	if b.api == nil || strings.ContainsAny(topic, "+#") || !b.api.Owns(topic) {
		return false
	}
	r, _ := b.reachOf(topic)
	return r == reachPlain
}

// request takes a message to the API. There is neither a limit to its topic
// but the packet's size nor a rule about it here: what is wrong with it is to
// stand in the API's request log. Nothing is retained, and nothing cleared.
func (b *Broker) request(p *publication, done func(error)) {
	m := p.msg
	m.Retain = false
	b.api.Publish(peer(p.from, p.clientID, m.Client, p.addr, p.source), &m, done)
}

func peer(s access.Subject, clientID, session, addr, source string) gateway.Peer {
	return gateway.Peer{Subject: s, Client: clientID, Session: session, Addr: addr, Source: source}
}

// masked is a topic or filter as it may stand in logs: without API keys.
func (b *Broker) masked(topic string) string {
	if b.api == nil {
		return topic
	}
	return xively.MaskPath(topic, func(string) string { return "***" })
}

// secretive reports whether one of the API's filters has an API key, or an
// activation code that is worth one, in it.
func secretive(filter string) bool {
	return xively.MaskPath(filter, func(string) string { return "***" }) != filter
}
