package broker

import (
	"strings"

	"fieldgate/gateway/access"
	"fieldgate/gateway/waziup"
)

// reach is a class of topics that one rule decides on.
type reach uint8

const (
	reachPlain   reach = iota // outside the dialects: the ACL
	reachDevice               // belongs to a device: who may view it
	reachCreate               // announces a new device: admins and who made it
	reachStatus               // of this gateway: everybody
	reachGateway              // the rest about this gateway: admins
	reachSystem               // $SYS: admins, and whom the ACL allows
	reachRequest              // pushed by the API, which has decided
)

func (b *Broker) reachOf(topic string) (reach, string) {
	if device, ok := waziup.Device(topic); ok {
		if device == "" {
			return reachCreate, ""
		}
		return reachDevice, device
	}
	if rest, ok := strings.CutPrefix(topic, b.own); ok && (rest == "" || rest[0] == '/') {
		if rest == "/status" {
			return reachStatus, ""
		}
		return reachGateway, ""
	}
	if isSystem(topic) {
		return reachSystem, ""
	}
	return reachPlain, ""
}

func isSystem(topic string) bool {
	return topic == "$SYS" || strings.HasPrefix(topic, "$SYS/")
}

// mayRead decides whether m may be sent to s now.
func (b *Broker) mayRead(s *session, m *message) bool {
	switch m.reach {
	case reachDevice:
		return b.access.Can(s.subject, access.View, m.device)
	case reachCreate:
		return m.from == s.subject.String() && !s.subject.Anonymous() || b.access.Admin(s.subject)
	case reachStatus:
		return true
	case reachGateway:
		return b.access.Admin(s.subject)
	case reachRequest:
		return !m.watch.over.Load()
	case reachSystem:
		return b.access.Admin(s.subject) || b.access.TopicAllowed(s.subject, s.clientID, m.topic, false)
	}
	return b.access.TopicAllowed(s.subject, s.clientID, m.topic, false)
}

// maySubscribe decides about a filter (without a share). One that could match a
// topic of the dialect is always granted: its messages are checked one by one.
func (b *Broker) maySubscribe(s *session, filter string) bool {
	switch {
	case access.FiltersOverlap("devices/#", filter),
		access.FiltersOverlap(b.own+"/status", filter):
		return true
	case access.FiltersOverlap(b.own+"/#", filter), access.FiltersOverlap("$SYS/#", filter):
		if b.access.Admin(s.subject) {
			return true
		}
	}
	return b.access.FilterAllowed(s.subject, s.clientID, filter)
}

// withinLimits says whether a topic or filter is not too long or too deep.
func (b *Broker) withinLimits(topic string) bool {
	return len(topic) <= b.limits.TopicBytes && strings.Count(topic, "/") < b.limits.TopicLevels
}
