package uplink

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/uplink/fakecloud"
)

const downID = "gw-1-down"

// listening starts an uplink with device D and waits for its subscriptions.
func listening(t *testing.T, cloud *fakecloud.Cloud, change func(*Config), b *bench) *bench {
	t.Helper()
	b = start(t, cloud, func(c *Config) {
		c.Devices = func() []string { return []string{"D"} }
		if change != nil {
			change(c)
		}
	}, b)
	b.until("subscriptions", func() bool { return len(cloud.Subscriptions(downID)) >= len(b.downFilters()) })
	return b
}

func TestCommandComesDown(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := listening(t, cloud, nil, nil)
	b.hub.hold = true
	cloud.Publish("devices/D/actuators/relay/value", []byte(` true`), 1, false)
	got := b.hub.seen(t, 1)[0]
	if got.From != access.System || got.Origin != "cloud" || !got.Wait {
		t.Errorf("batch %+v", got)
	}
	if len(got.Readings) != 1 || got.Readings[0].Kind != gateway.KindCommand || got.Readings[0].Device != "D" ||
		got.Readings[0].Channel != "relay" || string(got.Readings[0].Value) != "true" {
		t.Errorf("readings %+v", got.Readings)
	}
	if c := got.Carrier; c == nil || c.Topic != "devices/D/actuators/relay/value" || string(c.Payload) != " true" || c.Retain {
		t.Errorf("carrier %+v", got.Carrier)
	}
	if n := cloud.Unacknowledged(downID); n != 1 {
		t.Fatalf("%d unacknowledged while the command is not on disk, want 1", n)
	}
	b.hub.settle(nil)
	b.until("the acknowledgement", func() bool { return cloud.Unacknowledged(downID) == 0 })
	if n := b.State().Commands; n != 1 {
		t.Errorf("%d commands counted", n)
	}
}

func TestCommandForms(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := listening(t, cloud, nil, nil)
	cloud.Publish("devices/D/actuators/a/value", []byte(`{"value":50,"timestamp":"2026-11-22T10:00:00Z"}`), 1, false)
	cloud.Publish("devices/D/actuators/a/values", []byte(`[1,{"value":"x"}]`), 1, false)
	cloud.Publish("devices/D/name", []byte(`Pump`), 1, false)
	cloud.Publish("devices/D/sensors/s/meta", []byte(`{"unit":"m"}`), 1, false)
	cloud.Publish("devices/D/actuators/a/value", []byte(`0`), 0, false)
	got := b.hub.seen(t, 5)
	if r := got[0].Readings[0]; string(r.Value) != "50" || r.Time.IsZero() {
		t.Errorf("reading %+v", r)
	}
	if rs := got[1].Readings; len(rs) != 2 || string(rs[0].Value) != "1" || string(rs[1].Value) != `"x"` {
		t.Errorf("readings %+v", rs)
	}
	b.hub.mu.Lock()
	changes := slices.Clone(b.hub.changes)
	b.hub.mu.Unlock()
	if c := changes[0]; c.Op != gateway.SetName || c.Device != "D" || c.Name != "Pump" {
		t.Errorf("change %+v", c)
	}
	if c := changes[1]; c.Op != gateway.SetMeta || c.Sensor != "s" || string(c.Meta) != `{"unit":"m"}` {
		t.Errorf("change %+v", c)
	}
	if got[4].Wait {
		t.Error("a QoS 0 command waits for the disk")
	}
}

func TestRefusedCommandsAreAcknowledged(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := listening(t, cloud, nil, nil)
	b.hub.answer = func(b *gateway.Batch) error {
		if b.Readings[0].Channel == "unknown" {
			return gateway.ErrUnknownSensor
		}
		return nil
	}
	cloud.Publish("devices/D/actuators/a/value", []byte(`nonsense`), 1, false)
	cloud.Publish("devices/D/actuators/unknown/value", []byte(`1`), 1, false)
	cloud.Publish("devices/D/actuators/a/value", nil, 1, false) // a retained command removed
	cloud.Publish("devices/D/actuators/a/value", []byte(`2`), 1, false)
	b.hub.seen(t, 1)
	b.until("acknowledgements", func() bool { return cloud.Unacknowledged(downID) == 0 })
	if s := b.State(); s.Refused != 2 || s.Commands != 1 {
		t.Errorf("%d refused, %d taken", s.Refused, s.Commands)
	}
}

func TestCommandsSentWhileAwayArrive(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := listening(t, cloud, nil, nil)
	b.stop()
	cloud.Publish("devices/D/actuators/a/value", []byte(`1`), 1, false)
	cloud.Publish("devices/D/actuators/a/value", []byte(`2`), 1, false)
	b = listening(t, cloud, nil, b)
	got := b.hub.seen(t, 2)
	if string(got[0].Readings[0].Value) != "1" || string(got[1].Readings[0].Value) != "2" {
		t.Errorf("in the wrong order")
	}
	b.until("acknowledgements", func() bool { return cloud.Unacknowledged(downID) == 0 })
}

func TestCommandThatTheDiskDoesNotTakeComesAgain(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := listening(t, cloud, nil, nil)
	var tries atomic.Int32
	b.hub.answer = func(*gateway.Batch) error {
		if tries.Add(1) == 1 {
			return gateway.ErrNotKept
		}
		return nil
	}
	cloud.Publish("devices/D/actuators/a/value", []byte(`1`), 1, false)
	b.eventually("a try", func() bool { return tries.Load() == 1 })
	if n := cloud.Unacknowledged(downID); n != 1 {
		t.Fatalf("%d unacknowledged, want 1", n)
	}
	cloud.Disconnect(downID)
	b.hub.seen(t, 1)
	b.until("the acknowledgement", func() bool { return cloud.Unacknowledged(downID) == 0 })
}

func TestRetainedCommandIsCarriedOutOnce(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	const topic = "devices/D/actuators/a/value"
	cloud.Publish(topic, []byte(`1`), 1, true)
	b := listening(t, cloud, nil, nil)
	b.hub.seen(t, 1)
	reconnect := func() {
		b.until("acknowledgements", func() bool { return cloud.Unacknowledged(downID) == 0 })
		n := cloud.Connects(downID)
		cloud.Disconnect(downID)
		b.until("subscribed again", func() bool {
			return cloud.Connects(downID) > n && cloud.Unacknowledged(downID) == 0 && b.State().DownConnected
		})
		cloud.Publish("devices/D/name", []byte(`marker`), 1, false) // behind whatever the subscription brought
	}
	reconnect()
	if got := b.hub.seen(t, 2); len(got[1].Readings) != 0 {
		t.Fatalf("the retained command was carried out again: %+v", got[1].Readings)
	}
	cloud.Publish(topic, []byte(`2`), 1, true) // comes live now, and retained later
	b.hub.seen(t, 3)
	reconnect()
	if got := b.hub.seen(t, 4); len(got[3].Readings) != 0 {
		t.Fatalf("the command was carried out again: %+v", got[3].Readings)
	}
	cloud.Publish(topic, []byte(`1`), 1, false) // live ones always count
	cloud.Publish(topic, []byte(`1`), 1, false)
	b.hub.seen(t, 6)
}

// table is a gateway.Table in memory, of one goroutine at a time.
type table map[string][]byte

func (m table) Each(fn func(string, []byte) error) error {
	for k, v := range m {
		if err := fn(k, v); err != nil {
			return err
		}
	}
	return nil
}

func (m table) Write(pairs map[string][]byte) error {
	for k, v := range pairs {
		if v == nil {
			delete(m, k)
		} else {
			m[k] = v
		}
	}
	return nil
}

// TestOldRetainedCommandAfterRestart: what is retained must not undo a newer
// command that was not, neither after a reconnection nor after a restart. Only
// a cloud that has lost our session is believed again.
func TestOldRetainedCommandAfterRestart(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	const topic = "devices/D/actuators/a/value"
	kept := table{}
	with := func(c *Config) { c.Table = kept }
	b := listening(t, cloud, with, nil)
	cloud.Publish(topic, []byte(`"old"`), 1, true)
	cloud.Publish(topic, []byte(`"newer"`), 1, false)
	b.hub.seen(t, 2)
	b.until("acknowledgements", func() bool { return cloud.Unacknowledged(downID) == 0 })
	b.stop()
	cloud.Publish(topic, []byte(`"away"`), 1, false) // waits in the session
	next := listening(t, cloud, with, &bench{log: b.log, hub: newMemHub(), clock: b.clock})
	if got := next.hub.seen(t, 1); string(got[0].Readings[0].Value) != `"away"` {
		t.Fatalf("first %s", got[0].Readings[0].Value)
	}
	next.until("subscribed again", func() bool { return next.State().DownConnected && cloud.Unacknowledged(downID) == 0 })
	cloud.Publish("devices/D/name", []byte(`marker`), 1, false) // behind whatever the subscription brought
	if got := next.hub.seen(t, 2); len(got[1].Readings) != 0 {
		t.Fatalf("an old retained command was carried out: %s", got[1].Readings[0].Value)
	}
}

func TestSubscriptionsFollowTheDevices(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	var devices atomic.Value
	devices.Store([]string{"D"})
	b := listening(t, cloud, func(c *Config) { c.Devices = func() []string { return devices.Load().([]string) } }, nil)
	has := func(d string) bool {
		for f := range cloud.Subscriptions(downID) {
			if strings.HasPrefix(f, "devices/"+d+"/") {
				return true
			}
		}
		return false
	}
	devices.Store([]string{"D", "E"})
	b.DevicesChanged()
	b.until("E", func() bool { return has("E") })
	devices.Store([]string{"E"})
	b.DevicesChanged()
	b.until("D no more", func() bool { return !has("D") && len(cloud.Subscriptions(downID)) == 8 })
	// Also when it changes while the link is away: the session at the cloud remembers.
	cloud.SetLink(false)
	devices.Store([]string{"F"})
	b.DevicesChanged()
	cloud.SetLink(true)
	b.until("only F", func() bool { return has("F") && len(cloud.Subscriptions(downID)) == 8 })
}

func TestRefusedSubscriptionIsSaid(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	cloud.RefuseSubscription("devices/D/name")
	b := start(t, cloud, func(c *Config) { c.Devices = func() []string { return []string{"D"} } }, nil)
	b.eventually("the refusal", func() bool { return strings.Contains(b.State().DownLastError, "devices/D/name") })
	if !b.State().DownConnected || len(cloud.Subscriptions(downID)) != 7 {
		t.Errorf("state %+v, %d subscriptions", b.State(), len(cloud.Subscriptions(downID)))
	}
}

func TestTheTwoConnectionsFailApart(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := listening(t, cloud, nil, nil)
	b.eventually("connected", func() bool { return b.State().Connected })
	cloud.Disconnect(downID)
	b.until("down again", func() bool { return cloud.Connects(downID) == 2 })
	if n := cloud.Connects("gw-1"); n != 1 {
		t.Errorf("the data connection was made %d times", n)
	}
	cloud.Disconnect("gw-1")
	b.until("data again", func() bool { return cloud.Connects("gw-1") == 2 })
	if n := cloud.Connects(downID); n != 2 {
		t.Errorf("the down connection was made %d times", n)
	}
}

func TestOwnPublishesThatComeBackAreDropped(t *testing.T) {
	for _, ids := range []bool{true, false} {
		cloud := newCloud(t, fakecloud.Options{})
		b := listening(t, cloud, func(c *Config) {
			c.IDs = ids
			c.Forward = []Forward{{Topic: "chat/#", Direction: Both, QoS: 1}}
		}, nil)
		b.until("the data connection", func() bool { s, _ := statusOf(cloud); return s == "online" })
		relay := reading("D", "relay", true)
		relay.Kind = gateway.KindActuator
		name := gateway.Record{Kind: gateway.KindChange, Topic: "devices/D/name", Value: []byte("Pump")}
		chat := gateway.Record{Kind: gateway.KindMessage, Topic: "chat/x", Value: []byte("hello"), QoS: 1, Uplink: "cloud"}
		b.log.add(relay, name, chat)
		b.eventually("the echoes", func() bool { return b.State().Echoes == 3 })
		// Somebody else's are news, even if they look the same.
		cloud.Publish("chat/x", []byte("hello"), 1, false)
		cloud.Publish("devices/D/actuators/relay/value", []byte(`{"value":true}`), 1, false)
		cloud.Publish("devices/D/name", []byte("Pump"), 1, false)
		got := b.hub.seen(t, 3)
		if len(got) != 3 || got[0].Carrier.Topic != "chat/x" {
			t.Errorf("ids %t: %d batches", ids, len(got))
		}
		b.stop()
	}
}

func TestForwardIn(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := start(t, cloud, func(c *Config) {
		c.Dialect = None
		c.Forward = []Forward{
			{Topic: "#", Direction: In, QoS: 1, LocalPrefix: "from/cloud/", RemotePrefix: "site7/"},
			{Topic: "readings/#", Direction: In, QoS: 1, RemotePrefix: "x/", LocalPrefix: "devices/"},
		}
	}, nil)
	b.until("subscriptions", func() bool { return len(cloud.Subscriptions(downID)) == 2 })
	cloud.Publish("site7/a/b", []byte{0, 1, 255}, 1, false)
	got := b.hub.seen(t, 1)[0]
	if got.Carrier.Topic != "from/cloud/a/b" || string(got.Carrier.Payload) != "\x00\x01\xff" || got.Origin != "cloud" || len(got.Readings) != 0 {
		t.Errorf("batch %+v, carrier %+v", got, got.Carrier)
	}
	b.until("the acknowledgement", func() bool { return cloud.Unacknowledged(downID) == 0 })
	if b.State().Forwarded != 1 {
		t.Errorf("state %+v", b.State())
	}
	cloud.Publish("site7/"+strings.Repeat("x", 250), []byte("1"), 1, false) // too long here
	b.eventually("a refusal", func() bool { return b.State().Refused == 1 })
}

func TestLargeMessageFromTheCloudIsRefused(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := start(t, cloud, func(c *Config) { c.Forward = []Forward{{Topic: "in/#", Direction: In, QoS: 1}} }, nil)
	b.until("subscriptions", func() bool { return len(cloud.Subscriptions(downID)) == 1 })
	cloud.Publish("in/a", make([]byte, 3<<20), 1, false)
	cloud.Publish("in/b", make([]byte, 1<<19), 1, false)
	if got := b.hub.seen(t, 1)[0]; got.Carrier.Topic != "in/b" || len(got.Carrier.Payload) != 1<<19 {
		t.Errorf("%s of %d bytes", got.Carrier.Topic, len(got.Carrier.Payload))
	}
	b.until("both acknowledged", func() bool { return cloud.Unacknowledged(downID) == 0 })
	if s := b.State(); s.Refused != 1 || cloud.Connects(downID) != 1 {
		t.Errorf("state %+v, %d connections", s, cloud.Connects(downID))
	}
}

func TestForwardInOfReadings(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := start(t, cloud, func(c *Config) {
		c.Forward = []Forward{{Topic: "+/sensors/+/value", Direction: In, QoS: 1, LocalPrefix: "devices/", RemotePrefix: "other/"}}
	}, nil)
	b.until("subscriptions", func() bool { return len(cloud.Subscriptions(downID)) == 1 })
	cloud.Publish("other/D/sensors/S/value", []byte(`{"value":7}`), 1, false)
	got := b.hub.seen(t, 1)[0]
	if len(got.Readings) != 1 || got.Readings[0].Kind != gateway.KindSensor || got.Readings[0].Device != "D" || string(got.Readings[0].Value) != "7" {
		t.Errorf("readings %+v", got.Readings)
	}
}

func TestForwardOut(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := start(t, cloud, func(c *Config) {
		c.Dialect = None
		c.Forward = []Forward{{Topic: "+/x", Direction: Out, QoS: 1, LocalPrefix: "l/", RemotePrefix: "r/"}}
	}, nil)
	msg := func(topic string, qos byte, retain bool, uplink, origin string) gateway.Record {
		return gateway.Record{Kind: gateway.KindMessage, Topic: topic, Value: []byte("\x00 raw"), QoS: qos, Retain: retain, Uplink: uplink, Origin: origin}
	}
	b.log.add(
		msg("l/a/x", 2, true, "cloud", ""),
		msg("l/b/x", 0, false, "cloud", ""),
		msg("l/c/x", 1, false, "other", ""),
		msg("l/d/x", 1, false, "cloud", "cloud"),
		msg("l/e/y", 1, false, "cloud", ""),
		reading("D", "S", 1),
		msg("l/f/x", 1, false, "cloud", "other"),
	)
	b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == 8 })
	var got []fakecloud.Message
	for _, m := range cloud.Messages() {
		if strings.HasPrefix(m.Topic, "r/") || strings.HasPrefix(m.Topic, "devices/") {
			got = append(got, m)
		}
	}
	if len(got) != 3 || got[0].Topic != "r/a/x" || got[0].QoS != 1 || !got[0].Retain || string(got[0].Payload) != "\x00 raw" ||
		got[1].Topic != "r/b/x" || got[1].QoS != 0 || got[2].Topic != "r/f/x" {
		t.Errorf("sent %+v", got)
	}
}

func TestForwardOutAtQoS2(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := start(t, cloud, func(c *Config) { c.Forward = []Forward{{Topic: "m/#", Direction: Out, QoS: 2}} }, nil)
	for range 50 {
		b.log.add(gateway.Record{Kind: gateway.KindMessage, Topic: "m/x", Value: []byte("1"), QoS: 2, Uplink: "cloud"})
	}
	b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == 51 })
	n := 0
	for _, m := range cloud.Messages() {
		if m.Topic == "m/x" && m.QoS == 2 {
			n++
		}
	}
	if n != 50 {
		t.Errorf("%d messages at QoS 2", n)
	}
}

func TestWants(t *testing.T) {
	u, err := New(func() Config {
		c := quick("mqtt://127.0.0.1")
		c.Log, c.Hub, c.Sessions, c.Clock = newMemLog(), newMemHub(), &counter{}, gateway.NewSystemClock()
		c.Forward = []Forward{
			{Topic: "a/#", Direction: Out},
			{Topic: "b/#", Direction: In},
			{Topic: "devices/#", Direction: Out},
			{Topic: "devices/#", Direction: Out, RemotePrefix: "copy/"},
		}
		return c
	}())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		topic, origin string
		want          bool
	}{
		{"a/x", "", true},
		{"a/x", "other", true},
		{"a/x", "cloud", false},
		{"b/x", "", false},
		{"devices/D/sensors/S/value", "", false}, // goes up anyway
		{"devices/D", "", true},                  // a codec's payload does not
		{"$SYS/x", "", false},
	} {
		if got := u.Wants(c.topic, c.origin); got != c.want {
			t.Errorf("Wants(%q, %q) = %t", c.topic, c.origin, got)
		}
	}
}

func TestStopLeavesUnrecordedCommandsToTheCloud(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := listening(t, cloud, nil, nil)
	b.hub.hold = true
	cloud.Publish("devices/D/actuators/a/value", []byte(`1`), 1, false)
	b.hub.seen(t, 1)
	b.hub.settle(gateway.ErrClosed)
	b.stop()
	if n := cloud.Unacknowledged(downID); n != 1 {
		t.Errorf("%d unacknowledged, want 1", n)
	}
}
