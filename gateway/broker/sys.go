package broker

import (
	"strconv"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// sysEvery is how often the broker's figures are published, in seconds.
const sysEvery = 60

// publishSys publishes figures under $SYS/broker/, with the names that
// Mosquitto gives them, to those who subscribe. They are not retained.
func (b *Broker) publishSys() {
	defer b.caught("sys")
	s := b.Stats()
	for topic, n := range map[string]uint64{
		"clients/connected":         uint64(s.Clients),
		"clients/maximum":           uint64(s.ClientsMax),
		"clients/total":             uint64(s.Sessions),
		"subscriptions/count":       uint64(s.Subscriptions),
		"retained messages/count":   uint64(s.Retained),
		"messages/stored":           uint64(max(0, s.QueueMessages)),
		"publish/messages/received": s.MessagesIn,
		"publish/messages/sent":     s.MessagesOut,
		"bytes/received":            s.BytesIn,
		"bytes/sent":                s.BytesOut,
	} {
		m := gateway.Message{Topic: "$SYS/broker/" + topic, Payload: strconv.AppendUint(nil, n, 10)}
		b.route(&draft{b: b, of: &m, from: access.System})
	}
}
