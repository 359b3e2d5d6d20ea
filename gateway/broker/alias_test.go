package broker

import (
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

// aliased is a PUBLISH of MQTT 5 with a topic alias.
func aliased(topic string, alias byte, payload string) []byte {
	return packet(0x30, text(topic), props([]byte{packets.PropTopicAlias, 0, alias}), []byte(payload))
}

// TestTopicAlias: a client's aliases stand for topics (MQTT 5.0 section
// 3.3.2.3.4), rights are asked about those, and subscribers see them.
func TestTopicAlias(t *testing.T) {
	r := start(t)
	sub := r.connect(who{id: "sub"})
	sub.subscribe(0, "plain/#")
	c := r.connect(who{id: "pub", v: 5})
	c.raw(aliased("plain/a", 3, "1"))
	c.raw(aliased("plain/b", 10, "2"))
	c.raw(aliased("", 3, "3"))
	c.raw(aliased("plain/c", 3, "4")) // it stands for another topic now
	c.raw(aliased("", 10, "5"))
	c.raw(aliased("", 3, "6"))
	for _, want := range [][2]string{{"plain/a", "1"}, {"plain/b", "2"}, {"plain/a", "3"}, {"plain/c", "4"}, {"plain/b", "5"}, {"plain/c", "6"}} {
		if pk := sub.wantPublish(want[0], want[1]); pk.Properties.TopicAlias != 0 {
			t.Errorf("alias %d reached a subscriber", pk.Properties.TopicAlias)
		}
	}
	c.raw(aliased("secret/a", 5, "no"))
	c.raw(aliased("", 5, "no"))
	c.raw(aliased("plain/a", 1, "yes"))
	sub.wantPublish("plain/a", "yes")
	r.hub.set(func() {
		if n := len(r.hub.refused); n != 2 {
			t.Errorf("%d refused: %v", n, r.hub.refused)
		}
	})
	// An alias is of one connection.
	c.leave()
	c = r.connect(who{id: "pub", v: 5})
	c.raw(aliased("", 3, "7"))
	if code := c.wantClosed(); code != codeProtocol {
		t.Errorf("reason %#x", code)
	}
	for alias, want := range map[byte]byte{0: codeTopicAlias, topicAliases + 1: codeTopicAlias} {
		c = r.connect(who{id: "pub", v: 5})
		c.raw(aliased("plain/a", alias, "x"))
		if code := c.wantClosed(); code != want {
			t.Errorf("alias %d: reason %#x", alias, code)
		}
	}
	sub.quiet()
}

// TestTopicAliasOut: a client that takes topic aliases gets as many as it
// takes, a topic's name once, and no alias that it cannot know (MQTT 5.0
// section 3.1.2.11.5).
func TestTopicAliasOut(t *testing.T) {
	r := start(t)
	hello := func(most uint16, limit uint32) *client {
		c := r.dial()
		pk := who{id: "sub", v: 5}.packet()
		pk.Properties.TopicAliasMaximum, pk.Properties.MaximumPacketSize = most, limit
		c.v = 5
		c.send(pk)
		c.want(packets.Connack)
		c.subscribe(1, "plain/#")
		return c
	}
	pub := r.connect(who{id: "pub"})
	check := func(c *client, sent, topic string, alias uint16, payload string, id uint16) {
		t.Helper()
		pub.post(sent, payload, 1, id)
		pk := c.want(packets.Publish)
		if pk.TopicName != topic || pk.Properties.TopicAlias != alias || string(pk.Payload) != payload {
			t.Fatalf("%q alias %d %q, want %q alias %d", pk.TopicName, pk.Properties.TopicAlias, pk.Payload, topic, alias)
		}
		c.reply(packets.Puback, pk.PacketID)
	}
	c := hello(2, 0)
	check(c, "plain/a", "plain/a", 1, "1", 1)
	check(c, "plain/a", "", 1, "2", 2)
	check(c, "plain/b", "plain/b", 2, "3", 3)
	check(c, "plain/c", "plain/c", 0, "4", 4)
	check(c, "plain/b", "", 2, "5", 5)
	check(c, "plain/a", "", 1, "6", 6)
	c.leave()
	c = hello(1000, 0) // another connection knows nothing, and none gets more than ten
	for i := range topicAliases + 1 {
		topic, alias := "plain/"+string(rune('a'+i)), uint16(i+1)
		if i == topicAliases {
			alias = 0
		}
		check(c, topic, topic, alias, "x", uint16(10+i))
	}
	c.leave()
	c = hello(0, 0)
	check(c, "plain/a", "plain/a", 0, "7", 30)
	check(c, "plain/a", "plain/a", 0, "8", 31)
	c.leave()
	// 2 of header, 9 of topic, 2 of identifier, 1 of properties, 10 of payload; an alias takes 3.
	c = hello(5, 24)
	check(c, "plain/a", "plain/a", 0, "0123456789", 40)
	check(c, "plain/a", "plain/a", 1, "0123456", 41)
	check(c, "plain/a", "", 1, "0123456789", 42)
}

// TestNobodyListens: PUBACK and PUBREC of MQTT 5 say when there is no
// subscriber (section 3.4.2.1), but not of a reading, which is recorded.
func TestNobodyListens(t *testing.T) {
	r := start(t)
	c := r.connect(who{id: "pub", v: 5})
	ask := func(topic string, qos byte, id uint16) byte {
		c.publish(topic, "1", qos, id)
		if qos == 2 {
			pk := c.want(packets.Pubrec)
			c.reply(packets.Pubrel, id)
			c.want(packets.Pubcomp)
			return pk.ReasonCode
		}
		return c.want(packets.Puback).ReasonCode
	}
	if got := ask("plain/a", 1, 1); got != codeNoSubscribers {
		t.Errorf("QoS 1: %#x", got)
	}
	if got := ask("plain/a", 2, 2); got != codeNoSubscribers {
		t.Errorf("QoS 2: %#x", got)
	}
	if got := ask("devices/A/sensors/T/value", 1, 3); got != codeSuccess {
		t.Errorf("a reading: %#x", got)
	}
	sub := r.connect(who{id: "sub"})
	sub.subscribe(0, "plain/+")
	if got := ask("plain/a", 1, 4); got != codeSuccess {
		t.Errorf("with a subscriber: %#x", got)
	}
}
