package broker

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/mochi-mqtt/server/v2/packets"
)

// subscribe handles SUBSCRIBE: SUBACK first, then the retained messages (MQTT
// 5.0 sections 3.8 and 3.9).
func (c *conn) subscribe(pk *packets.Packet) {
	s := c.sess
	id := 0
	if len(pk.Properties.SubscriptionIdentifier) > 0 {
		id = pk.Properties.SubscriptionIdentifier[0]
	}
	codes := make([]byte, 0, len(pk.Filters))
	reason := ""              // of the first failure: SUBACK has room for one
	var fresh []*subscription // whose retained messages are wanted
	var starts []func()       // of subscriptions to the API
	for i := range pk.Filters {
		f := &pk.Filters[i]
		filter := strings.Clone(f.Filter) // it lies in the packet's memory
		sub := &subscription{sess: s, filter: filter, share: shareOf(filter), qos: f.Qos,
			noLocal: f.NoLocal, asPublished: f.RetainAsPublished, retainHandling: f.RetainHandling, id: id}
		if c.asked.bridge && sub.share == "" {
			sub.noLocal, sub.asPublished = true, true
		}
		if c.b.requests(sub.inner()) {
			code, why, start := c.subscribeAPI(sub)
			if reason == "" {
				reason = why
			}
			if code >= codeUnspecified && c.version < 5 {
				code = codeUnspecified
			}
			codes = append(codes, code)
			if start != nil {
				starts = append(starts, start)
			}
			continue
		}
		code, existed := c.b.addSubscription(s, sub)
		if code < codeUnspecified && sub.share == "" && sub.retainHandling != 2 && !(existed && sub.retainHandling == 1) {
			fresh = append(fresh, sub)
		}
		if code >= codeUnspecified {
			if reason == "" {
				reason = refusedFilter(code, c.b.masked(sub.filter))
			}
			if c.version < 5 {
				code = codeUnspecified
			}
		}
		codes = append(codes, code)
	}
	c.confirm(packets.Suback, pk.PacketID, codes, reason)
	for _, sub := range fresh {
		c.b.sendRetained(s, sub)
	}
	for _, start := range starts {
		start()
	}
}

// addSubscription gives the code for SUBACK: the granted QoS, or a failure.
func (b *Broker) addSubscription(s *session, sub *subscription) (code byte, existed bool) {
	inner := sub.inner()
	switch {
	case !b.withinLimits(inner) || len(sub.filter) > 2*b.limits.TopicBytes:
		return codeFilterInvalid, false
	case !b.maySubscribe(s, inner):
		return codeNotAuthorized, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, existed := s.subs[sub.filter]
	switch {
	case s.ended:
		return codeUnspecified, false
	case !existed && s.full():
		return codeQuota, false
	}
	if existed && *old == *sub {
		return sub.qos, true
	}
	s.subs[sub.filter] = sub
	b.index.add(sub)
	s.metaDirty = true
	s.markDirty()
	return sub.qos, existed
}

// sendRetained sends what is retained under a filter, to a reader that may see
// it.
func (b *Broker) sendRetained(s *session, sub *subscription) {
	var list []*message
	for _, m := range b.retained.match(sub.inner(), b.mono()) {
		if !(sub.noLocal && m.client == s.key) && b.mayRead(s, m) {
			list = append(list, m)
		}
	}
	if len(list) > 0 {
		s.sendRetained(list, sub)
	}
}

// unsubscribe handles UNSUBSCRIBE (MQTT 5.0 section 3.10).
func (c *conn) unsubscribe(pk *packets.Packet) {
	s := c.sess
	codes := make([]byte, 0, len(pk.Filters))
	var watches []*watch
	s.mu.Lock()
	for i := range pk.Filters {
		w, ok := s.dropSub(pk.Filters[i].Filter)
		if !ok {
			codes = append(codes, codeNoSubscription)
			continue
		}
		watches = append(watches, w)
		codes = append(codes, codeSuccess)
	}
	s.mu.Unlock()
	unwatch(watches...)
	c.confirm(packets.Unsuback, pk.PacketID, codes, "")
}

// refusedFilter is a failure in SUBACK in words.
func refusedFilter(code byte, filter string) string {
	why := "the session has ended"
	switch code {
	case codeFilterInvalid:
		why = "too long or too deep"
	case codeNotAuthorized:
		why = "not allowed"
	case codeQuota:
		why = "too many subscriptions"
	}
	return reasonString(fmt.Errorf("%s: %s", why, filter))
}

// confirm sends SUBACK or UNSUBACK, unless it is larger than what the client
// takes. The reason is for MQTT 5; before that UNSUBACK has no codes either.
func (c *conn) confirm(kind byte, id uint16, codes []byte, reason string) {
	var props []byte
	if c.version == 5 {
		props = []byte{0}
		if reason = c.fitting(reason, len(codes)); reason != "" {
			n := 3 + len(reason)
			props = appendText(append(binary.AppendUvarint(nil, uint64(n)), packets.PropReasonString), reason)
		}
	} else if kind == packets.Unsuback {
		codes = nil
	}
	rest := 2 + len(props) + len(codes)
	out := binary.AppendUvarint([]byte{kind << 4}, uint64(rest))
	out = append(binary.BigEndian.AppendUint16(out, id), props...)
	out = append(out, codes...)
	if most := c.asked.maxPacket; most > 0 && uint64(len(out)) > uint64(most) {
		return
	}
	_, _ = c.Write(out)
}
