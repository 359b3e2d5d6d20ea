package uplink

import (
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/uplink/fakecloud"
)

// statuses lists what was published on the status topic.
func statuses(c *fakecloud.Cloud) []fakecloud.Message {
	var out []fakecloud.Message
	for _, m := range c.Messages() {
		if m.Topic == "gateways/gw-1/status" {
			out = append(out, m)
		}
	}
	return out
}

func TestStatusPayload(t *testing.T) {
	got := string(StatusPayload("online", 7, "gw-1", map[string]any{
		"version": "1.0", "backlog": map[string]any{"records": 3}, "bad": func() {}, "state": "lies",
	}))
	want := `{"state":"online","session":7,"gateway":"gw-1","backlog":{"records":3},"version":"1.0"}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := string(StatusPayload("offline", 7, "gw-1", nil)); got != `{"state":"offline","session":7,"gateway":"gw-1"}` {
		t.Errorf("without fields: %s", got)
	}
}

func TestBirthSaysHowThingsAre(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	cloud.HoldAcks(true) // the birth is seen before any data can move
	full := start(t, cloud, nil, nil)
	full.stop()
	b := &bench{log: newMemLog(), hub: newMemHub(), clock: full.clock}
	b.log.add(readingsOf(42, 1)...)
	before := len(statuses(cloud))
	b = start(t, cloud, func(c *Config) {
		c.Status = func() map[string]any { return map[string]any{"version": "1.2.3", "store": "ok"} }
	}, b)
	b.until("a birth", func() bool { return len(statuses(cloud)) > before })
	m := statuses(cloud)[before]
	want := `{"state":"online","session":1,"gateway":"gw-1","backlog":{"oldest":"2026-11-22T10:00:01Z","records":42},"clock":"synced","store":"ok","time":"2026-11-22T10:00:00Z","version":"1.2.3"}`
	if string(m.Payload) != want || m.QoS != 1 || !m.Retain {
		t.Errorf("birth at QoS %d, retained %t:\n%s\nwant\n%s", m.QoS, m.Retain, m.Payload, want)
	}
	if n := len(received(cloud)); n != 0 {
		t.Errorf("%d records before the birth was acknowledged", n)
	}
	cloud.HoldAcks(false)
	b.until("the data", func() bool { return len(received(cloud)) == 42 })
}

func TestWillAndBirthShareASession(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := start(t, cloud, nil, nil)
	last := uint64(0)
	for range 3 {
		var session uint64
		b.until("online", func() bool {
			var s string
			s, session = statusOf(cloud)
			return s == "online" && session > last
		})
		last = session
		cloud.SetLink(false)
		if s, n := statusOf(cloud); s != "offline" || n != session {
			t.Fatalf("after the cut the status is %s of session %d, want offline of %d", s, n, session)
		}
		cloud.SetLink(true)
	}
}

func TestStatusDoesNotWaitBehindData(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{Policy: func(m fakecloud.Message) fakecloud.Verdict {
		if strings.HasPrefix(m.Topic, "devices/") {
			return fakecloud.Silence // a window full of data that nobody acknowledges
		}
		return fakecloud.Accept
	}})
	var store atomic.Value
	store.Store("ok")
	b := start(t, cloud, func(c *Config) {
		c.Window = 5
		c.Status = func() map[string]any { return map[string]any{"store": store.Load()} }
	}, nil)
	b.log.add(readingsOf(500, 1)...)
	b.until("a full window", func() bool { return len(received(cloud)) == 5 })
	store.Store("disk full")
	b.Refresh()
	b.until("the news", func() bool {
		m, _ := cloud.Retained("gateways/gw-1/status")
		return strings.Contains(string(m.Payload), "disk full")
	})
	if n := len(received(cloud)); n != 5 {
		t.Errorf("%d records", n)
	}
}

func TestLateWillIsCorrected(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := start(t, cloud, nil, nil)
	b.until("online", func() bool { s, _ := statusOf(cloud); return s == "online" && b.State().Connected })
	cloud.SetLink(false)
	cloud.SetLink(true)
	b.until("online again", func() bool {
		s, n := statusOf(cloud)
		return s == "online" && n == 2 && len(cloud.Subscriptions("gw-1")) == 1
	})
	for _, wrong := range []string{`{"state":"offline","session":1}`, `{"state":"offline","session":2}`, `nonsense`, `""`} {
		cloud.Publish("gateways/gw-1/status", []byte(wrong), 1, true)
		b.until("the truth after "+wrong, func() bool { s, n := statusOf(cloud); return s == "online" && n == 2 })
	}
	n := len(statuses(cloud))
	cloud.Publish("gateways/gw-1/status", []byte(`{"state":"online","session":99}`), 1, true)
	b.log.add(readingsOf(1, 1)...)
	b.until("some data", func() bool { return len(received(cloud)) == 1 })
	if got := len(statuses(cloud)); got != n {
		t.Errorf("a newer session's status was overwritten: two gateways of one id would do that for ever")
	}
}

func TestSessionNumbersThatCannotBeKept(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := start(t, cloud, func(c *Config) { c.Sessions = &counter{err: errors.New("read-only disk")} }, nil)
	b.until("online", func() bool { s, n := statusOf(cloud); return s == "online" && n == 1 })
	cloud.SetLink(false)
	cloud.SetLink(true)
	b.until("online with a larger number", func() bool { s, n := statusOf(cloud); return s == "online" && n == 2 })
}

func TestAttemptsWithoutACloudTakeNoNumbers(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	cloud.SetLink(false)
	numbers := &counter{}
	var attempts atomic.Int32
	b := start(t, cloud, func(c *Config) {
		c.Sessions, c.Username = numbers, "gw"
		c.Password = func() (string, error) { attempts.Add(1); return "secret", nil }
	}, nil)
	b.eventually("attempts", func() bool { return attempts.Load() >= 5 })
	cloud.SetLink(true)
	b.until("online", func() bool { s, n := statusOf(cloud); return s == "online" && n == 1 })
	numbers.mu.Lock()
	defer numbers.mu.Unlock()
	if numbers.n != 1 {
		t.Errorf("%d numbers taken", numbers.n)
	}
}

func TestStatusNews(t *testing.T) {
	times := defaultPaces
	const minute = time.Minute
	for _, c := range []struct {
		name        string
		before, now said
		age         time.Duration
		want        bool
	}{
		{"nothing changed", said{"a", 0}, said{"a", 0}, 24 * 60 * minute, false},
		{"something changed", said{"a", 0}, said{"b", 0}, minute, true},
		{"something changed a moment ago", said{"a", 0}, said{"b", 0}, 9 * time.Second, false},
		{"a few on their way", said{"a", 0}, said{"a", 12}, minute, false},
		{"a few for long", said{"a", 0}, said{"a", 12}, 5 * minute, true},
		{"caught up", said{"a", 12}, said{"a", 0}, minute, true},
		{"another order of magnitude", said{"a", 50}, said{"a", 120}, minute, true},
		{"the same order of magnitude", said{"a", 130}, said{"a", 120}, minute, false},
	} {
		if got := times.news(c.before, c.now, c.age); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
	}
}

func TestStatusFollowsTheClock(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := start(t, cloud, nil, nil)
	clock := func() string {
		m, _ := cloud.Retained("gateways/gw-1/status")
		var s struct{ Clock string }
		_ = json.Unmarshal(m.Payload, &s)
		return s.Clock
	}
	b.until("synced", func() bool { return clock() == "synced" })
	b.clock.Set(t0, gateway.ClockUnsynced)
	b.until("unsynced", func() bool { return clock() == "unsynced" })
}

func TestUnreachableCloudIsSaid(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	cloud.SetLink(false)
	seen := make(chan State, 100)
	b := start(t, cloud, func(c *Config) {
		c.OnState = func(s State) {
			select {
			case seen <- s:
			default:
			}
		}
	}, nil)
	if s := <-seen; s.Connected || !strings.Contains(s.LastError, "refused") {
		t.Errorf("state %+v", s)
	}
	cloud.SetLink(true)
	b.eventually("connected, and no error any more", func() bool { s := b.State(); return s.Connected && s.LastError == "" })
}
