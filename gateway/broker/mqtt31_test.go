package broker

import (
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

// TestMQTT31: its CONNACK has no flag for a session that is there, and PUBREL,
// SUBSCRIBE and UNSUBSCRIBE may say that they are sent again (MQTT 3.1 section 2.1).
func TestMQTT31(t *testing.T) {
	r := start(t)
	id := []byte{0, 7}
	for round := range 2 {
		c := r.dial()
		c.raw(packet(0x10, text("MQIsdp"), []byte{3, 0, 0, 60}, text("old")))
		if pk := c.want(packets.Connack); pk.SessionPresent || pk.ReasonCode != 0 {
			t.Errorf("%+v", pk)
		}
		c.raw(packet(0x82, id, text("plain/a"), []byte{0}))
		c.want(packets.Suback)
		c.raw(packet(0x8a, id, text("plain/a"), []byte{0}))
		c.want(packets.Suback)
		if round == 0 {
			c.raw(packet(0x34, text("plain/b"), id, []byte("x")))
			c.want(packets.Pubrec)
		} else {
			c.raw(packet(0x3c, text("plain/b"), id, []byte("x")))
			c.want(packets.Pubrec)
			for _, header := range []byte{0x62, 0x6a} {
				c.raw(packet(header, id))
				c.want(packets.Pubcomp)
			}
			c.raw(packet(0xaa, id, text("plain/a")))
			c.want(packets.Unsuback)
		}
		c.cut()
	}
	if n := len(r.hub.batches); n != 1 {
		t.Errorf("%d messages", n)
	}
	c := r.connect(who{id: "new"})
	c.raw(packet(0x6a, id))
	c.wantClosed()
}
