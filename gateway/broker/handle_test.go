package broker

import (
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway"
)

// TestFilterOutlivesItsPacket: the memory of a SUBSCRIBE is used for the next
// packets; the subscription stays what it was.
func TestFilterOutlivesItsPacket(t *testing.T) {
	r := start(t)
	c := r.connect(who{id: "c"})
	for _, filter := range []string{"$share/group/plain/kept", "plain/kept/+"} {
		c.subscribe(0, filter)
		c.subscribe(0, "plain/something/quite/different/and/longer/"+long(40)) // lies where that was
		r.Publish(gateway.Message{Topic: "plain/kept", Payload: []byte("1")})
		r.Publish(gateway.Message{Topic: "plain/kept/x", Payload: []byte("2")})
		want := map[bool]string{true: "plain/kept", false: "plain/kept/x"}[filter[0] == '$']
		if got := c.want(packets.Publish); got.TopicName != want {
			t.Errorf("%s gets %s", filter, got.TopicName)
		}
		c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Unsubscribe}, PacketID: 5, Filters: packets.Subscriptions{{Filter: filter}}})
		c.want(packets.Unsuback)
		r.Publish(gateway.Message{Topic: "plain/kept", Payload: []byte("3")})
		r.Publish(gateway.Message{Topic: "plain/kept/x", Payload: []byte("4")})
		c.quiet()
	}
}
