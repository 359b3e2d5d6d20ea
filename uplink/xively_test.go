package uplink

import (
	"bytes"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"fieldgate/gateway"
	"fieldgate/gateway/fakeclock"
	"fieldgate/uplink/fakecloud"
)

// speakXively makes a Config one of the dialect, with a status.
func speakXively(qos byte) func(*Config) {
	return func(c *Config) {
		c.Dialect, c.Feed = Xively, twoFeeds
		c.Xively = XivelyOptions{QoS: qos, StatusFeed: 600, StatusDatastream: "gateway"}
		c.Devices = func() []string { return []string{"D", "E"} }
	}
}

// and changes a Config twice.
func and(changes ...func(*Config)) func(*Config) {
	return func(c *Config) {
		for _, change := range changes {
			change(c)
		}
	}
}

// rowsOf lists the rows that the cloud got, as FEED ID,AT,VALUE, duplicates
// included.
func rowsOf(ms []fakecloud.Message) (out []string) {
	for _, m := range ms {
		rest, under := strings.CutPrefix(m.Topic, "/v2/feeds/")
		feed, ok := strings.CutSuffix(rest, ".csv")
		if !under || !ok || strings.Contains(feed, "/") {
			continue
		}
		for _, row := range strings.Split(string(m.Payload), "\n") {
			out = append(out, feed+" "+row)
		}
	}
	return out
}

// numbers is the set of the values of readingsOf that the cloud got.
func numbers(ms []fakecloud.Message) map[int]bool {
	out := map[int]bool{}
	for _, row := range rowsOf(ms) {
		n, err := strconv.Atoi(row[strings.LastIndexByte(row, ',')+1:])
		if err != nil {
			panic(row)
		}
		out[n] = true
	}
	return out
}

// spoken lists what the cloud was told on the status datastream.
func spoken(ms []fakecloud.Message) (out []string) {
	for _, m := range ms {
		if m.Topic == "/v2/feeds/600/datastreams/gateway.csv" {
			word := string(m.Payload)
			if m.Will {
				word += " will"
			}
			out = append(out, word)
		}
	}
	return out
}

// bothQoS runs a test at QoS 0 and 1.
func bothQoS(t *testing.T, test func(t *testing.T, qos byte)) {
	for _, qos := range []byte{0, 1} {
		t.Run("qos="+strconv.Itoa(int(qos)), func(t *testing.T) { test(t, qos) })
	}
}

func TestXivelyDrain(t *testing.T) {
	bothQoS(t, func(t *testing.T, qos byte) {
		cloud := newCloud(t, fakecloud.Options{})
		b := start(t, cloud, speakXively(qos), nil)
		recs := readingsOf(1000, 3)
		recs[5].Kind = gateway.KindActuator
		recs[6].Device = "E"
		recs[7].Device = "F" // no feed
		b.log.add(recs...)
		b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == 1001 })
		var want []string
		for i, r := range recs {
			if i == 5 || i == 7 {
				continue
			}
			feed := "504 "
			if i == 6 {
				feed = "505 "
			}
			at := t0.Add(time.Duration(i+1) * time.Second).Format("2006-01-02T15:04:05.000000Z")
			want = append(want, feed+r.Channel+","+at+","+string(r.Value))
		}
		ms := cloud.Messages()
		if got := rowsOf(ms); !slices.Equal(got, want) {
			t.Errorf("got %d rows, want %d: %.3q", len(got), len(want), got)
		}
		for _, m := range ms {
			if m.QoS != qos || m.Retain || strings.HasPrefix(m.Topic, "gateways/") {
				t.Fatalf("%+v", m)
			}
		}
		if ms[0].Topic != "/v2/feeds/600/datastreams/gateway.csv" {
			t.Errorf("the first message is on %s, want the birth", ms[0].Topic)
		}
		// At QoS 0 nothing is acknowledged, and nothing pretends that it was.
		if s := b.State(); s.Sent != 998 || s.Acked != 998*uint64(qos) || s.InFlight != 0 || s.Backlog != 0 || s.Resent != 0 {
			t.Errorf("state %+v", s)
		}
		if b.Takes(&recs[5]) || b.Takes(&recs[7]) || !b.Takes(&recs[6]) {
			t.Error("takes what it does not send, or the other way round")
		}
	})
}

// TestXivelyCutLinks: whatever happens to the link, all records arrive and the
// cursor covers nothing that the cloud has not read. At QoS 0 it is the round
// trips that tell.
func TestXivelyCutLinks(t *testing.T) {
	t.Parallel()
	for _, mode := range []CatchUp{Ordered, FreshFirst, Batches} {
		t.Run(string(mode), func(t *testing.T) {
			bothQoS(t, func(t *testing.T, qos byte) {
				cloud := newCloud(t, fakecloud.Options{})
				change := and(speakXively(qos), func(c *Config) { c.Window, c.CatchUp, c.CatchUpRate = 20, mode, 5000 })
				b := &bench{log: newMemLog(), hub: newMemHub(), clock: fakeclock.New(t0, gateway.ClockSynced)}
				var mu sync.Mutex
				taken := map[int]bool{}
				cloud.OnMessage(func(m fakecloud.Message) {
					mu.Lock()
					defer mu.Unlock()
					for n := range numbers([]fakecloud.Message{m}) {
						taken[n] = true
					}
				})
				b.log.onCursor = func(c gateway.Cursor) {
					mu.Lock()
					defer mu.Unlock()
					for n := 0; n < int(c.Next)-1; n++ {
						if !taken[n] {
							t.Errorf("the cursor is at %d, and the cloud has not read %d", c.Next, n)
						}
					}
				}
				b = start(t, cloud, change, b)
				const rounds, each = 6, 200
				for i := range rounds {
					recs := readingsOf((i+1)*each, 3)[i*each:]
					b.log.add(recs...)
					b.until("some more", func() bool { return len(numbers(cloud.Messages())) > i*each+each/4 })
					if i%2 == 0 {
						cloud.SetLink(false)
						cloud.SetLink(true)
					} else {
						b.stop()
						b = start(t, cloud, change, b)
					}
				}
				b.until("everything", func() bool { return len(numbers(cloud.Messages())) == rounds*each })
				b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == rounds*each+1 })
				if n := b.State().DeadLettered; n > 0 {
					t.Errorf("%d dead letters", n)
				}
			})
		})
	}
}

// TestXivelyHalfDeadLink: bytes that a socket took and nobody reads do not
// count, at QoS 0 neither.
func TestXivelyHalfDeadLink(t *testing.T) {
	t.Parallel()
	bothQoS(t, func(t *testing.T, qos byte) {
		cloud := newCloud(t, fakecloud.Options{})
		b := start(t, cloud, and(speakXively(qos), func(c *Config) { c.AckTimeout = 100 * ms }), nil)
		b.log.add(readingsOf(1, 1)...)
		b.eventually("the first record", func() bool { return b.log.Cursor("cloud").Next == 2 })
		cloud.StopReading(true)
		b.log.add(readingsOf(301, 2)[1:]...)
		b.eventually("the link is given up", func() bool { return !b.State().Connected })
		if err := b.State().LastError; !strings.Contains(err, errAckTimeout.Error()) {
			t.Errorf("last error %q", err)
		}
		if n := b.log.Cursor("cloud").Next; n > 3 { // the one that was being read when reading stopped
			t.Errorf("cursor at %d although nobody reads", n)
		}
		cloud.StopReading(false)
		b.until("everything", func() bool { return len(numbers(cloud.Messages())) == 301 })
		b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == 302 })
	})
}

func TestXivelyRefusedRecordIsSetAside(t *testing.T) {
	t.Parallel()
	for _, mode := range []CatchUp{Ordered, Batches} {
		t.Run(string(mode), func(t *testing.T) {
			bothQoS(t, func(t *testing.T, qos byte) {
				var dead letters
				cloud := newCloud(t, fakecloud.Options{Policy: func(m fakecloud.Message) fakecloud.Verdict {
					if strings.Contains(string(m.Payload), "poison") {
						return fakecloud.Close
					}
					return fakecloud.Accept
				}})
				full := start(t, cloud, speakXively(qos), nil)
				full.stop()
				b := &bench{log: newMemLog(), hub: newMemHub(), clock: full.clock}
				recs := readingsOf(100, 3)
				recs[40] = reading("D", "S1", "poison")
				recs[60] = reading("D", "S2", strings.Repeat("x", 256)) // no cloud is asked about this one
				recs[70] = reading("D", "red hat", 70)
				b.log.add(recs...)
				b = start(t, cloud, and(speakXively(qos), func(c *Config) {
					c.DeadLetter, c.CatchUp, c.AckTimeout = dead.put, mode, quietly
				}), b)
				b.until("the other 97", func() bool { return len(numbers(cloud.Messages())) == 97 })
				b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == 101 })
				seqs, _ := dead.get()
				slices.Sort(seqs)
				if !equal(seqs, []uint64{41, 61, 71}) {
					t.Errorf("dead letters %v", seqs)
				}
			})
		})
	}
}

func TestXivelyGapsAreLoggedAndCountedOnce(t *testing.T) {
	t.Parallel()
	for _, mode := range []CatchUp{Ordered, Batches} {
		t.Run(string(mode), func(t *testing.T) {
			var out bytes.Buffer // written by one goroutine, read after its end
			b := &bench{log: newMemLog(), hub: newMemHub(), clock: fakeclock.New(t0, gateway.ClockSynced)}
			gap := gateway.Record{Kind: gateway.KindGap, Uplink: "cloud",
				Lost: &gateway.Lost{Reason: "max_size", From: 7, To: 99, Count: 93, First: t0, Last: t0}}
			notOurs := gap
			notOurs.Uplink = "other"
			recs := append(readingsOf(1, 1), gap, notOurs)
			recs[0].Channel = "held" // the gap behind it is read on each connection
			b.log.add(recs...)
			cloud := newCloud(t, fakecloud.Options{Policy: func(m fakecloud.Message) fakecloud.Verdict {
				if strings.Contains(string(m.Payload), "held,") {
					return fakecloud.CloseAfter
				}
				return fakecloud.Accept
			}})
			b = start(t, cloud, and(speakXively(1), func(c *Config) {
				c.CatchUp, c.Logger = mode, slog.New(slog.NewTextHandler(&out, nil))
			}), b)
			b.until("three connections", func() bool { return cloud.Connects("gw-1") >= 3 })
			b.eventually("the gap is counted", func() bool { return b.State().Gaps == 1 })
			b.stop()
			if n := strings.Count(out.String(), "records were lost"); n != 1 || !strings.Contains(out.String(), "from=7 to=99 count=93") {
				t.Errorf("said %d times:\n%s", n, out.String())
			}
			if b.Takes(&gap) {
				t.Error("a gap is taken, which would count it as waiting")
			}
			for _, m := range cloud.Messages() {
				if strings.Contains(m.Topic, "gaps") {
					t.Errorf("sent %+v", m)
				}
			}
		})
	}
}

func TestXivelyStatus(t *testing.T) {
	bothQoS(t, func(t *testing.T, qos byte) {
		cloud := newCloud(t, fakecloud.Options{})
		b := start(t, cloud, speakXively(qos), nil)
		is := func(want ...string) func() bool {
			return func() bool { return slices.Equal(spoken(cloud.Messages()), want) }
		}
		b.until("birth", is("1"))
		b.eventually("connected", func() bool { return b.State().Connected })
		cloud.SetLink(false)
		b.until("the will", is("1", "0 will"))
		b.eventually("not connected", func() bool { return !b.State().Connected })
		cloud.SetLink(true)
		b.until("birth again", is("1", "0 will", "1"))
		b.eventually("connected again", func() bool { return b.State().Connected })
		if n := len(cloud.Subscriptions("gw-1")); n > 0 {
			t.Errorf("%d subscriptions", n)
		}
		b.stop()
		if !is("1", "0 will", "1", "0")() {
			t.Errorf("after a clean stop: %q", spoken(cloud.Messages()))
		}
		for _, m := range cloud.Messages() {
			if m.Retain || m.QoS != qos || !strings.HasPrefix(m.Topic, "/v2/feeds/600/") {
				t.Errorf("%+v", m)
			}
		}
		if n := cloud.Connects("gw-1-down"); n > 0 {
			t.Errorf("%d connections for commands, which there are none of", n)
		}
	})
}

// TestXivelyStatusIsRepeated: a late will of a former connection does not stay
// for ever.
func TestXivelyStatusIsRepeated(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	full := start(t, cloud, speakXively(0), nil)
	full.stop()
	cfg := full.cfg
	u, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	u.paces.repeat = ms
	b := startUplink(t, u, full)
	n := len(spoken(cloud.Messages()))
	b.until("many", func() bool { return len(spoken(cloud.Messages())) > n+3 })
	for _, word := range spoken(cloud.Messages())[n:] {
		if word != "1" {
			t.Errorf("said %q", word)
		}
	}
}

func TestXivelyWithoutStatus(t *testing.T) {
	bothQoS(t, func(t *testing.T, qos byte) {
		cloud := newCloud(t, fakecloud.Options{})
		b := start(t, cloud, and(speakXively(qos), func(c *Config) { c.Xively = XivelyOptions{QoS: qos} }), nil)
		b.eventually("connected", func() bool { return b.State().Connected })
		b.log.add(readingsOf(10, 1)...)
		b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == 11 })
		cloud.SetLink(false)
		cloud.SetLink(true)
		b.eventually("connected again", func() bool { s := b.State(); return s.Connected && s.Session == 2 })
		b.stop()
		if n := len(cloud.Messages()); n != 10 {
			t.Errorf("%d messages: %+v", n, cloud.Messages())
		}
	})
}

func TestXivelyListensToForwardRulesOnly(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := start(t, cloud, and(speakXively(0), func(c *Config) {
		c.Forward = []Forward{{Topic: "orders/#", Direction: In, QoS: 1}, {Topic: "news/#", Direction: Out, QoS: 1}}
	}), nil)
	b.until("the subscription", func() bool { return len(cloud.Subscriptions("gw-1-down")) > 0 })
	if got := cloud.Subscriptions("gw-1-down"); len(got) != 1 || got["orders/#"] != 1 {
		t.Errorf("subscriptions %v", got)
	}
	cloud.Publish("orders/a", []byte("1"), 1, false)
	if got := b.hub.seen(t, 1)[0]; got.Carrier == nil || got.Carrier.Topic != "orders/a" {
		t.Errorf("%+v", got)
	}
	b.log.add(gateway.Record{Kind: gateway.KindMessage, Topic: "news/a", Value: []byte("x"), QoS: 1, Uplink: "cloud"})
	b.log.add(readingsOf(1, 1)...)
	b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == 3 })
	if s := b.State(); s.Sent != 2 || s.Acked != 1 {
		t.Errorf("state %+v", s)
	}
	if b.Wants("devices/D/sensors/S/value", "") || !b.Wants("news/a", "") {
		t.Error("wants what no rule asks for, or the other way round")
	}
}

func TestXivelyUnsetClockHoldsDataBack(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := &bench{log: newMemLog(), hub: newMemHub(), clock: fakeclock.New(time.Unix(5, 0), gateway.ClockUnset)}
	b = start(t, cloud, and(speakXively(0), func(c *Config) { c.ClockWait = time.Hour }), b)
	b.log.add(readingsOf(3, 1)...)
	b.eventually("connected", func() bool { return b.State().Connected })
	if n := len(rowsOf(cloud.Messages())); n != 0 {
		t.Fatalf("%d records sent with the clock unset", n)
	}
	b.clock.Set(t0, gateway.ClockSynced)
	b.until("everything", func() bool { return len(rowsOf(cloud.Messages())) == 3 })
}

// TestKeyAsUserName: MQTT 3.1.1 allows a user name without a password, and the
// client sends it so.
func TestKeyAsUserName(t *testing.T) {
	for name, password := range map[string]string{"alone": "", "with a password": "secret"} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			got := make(chan *packets.ConnectPacket, 1)
			var wg sync.WaitGroup
			wg.Go(func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					p, _ := packets.ReadPacket(c)
					c.Close()
					if p, ok := p.(*packets.ConnectPacket); ok {
						select {
						case got <- p:
						default:
						}
					}
				}
			})
			b := startAt(t, "mqtt://"+l.Addr().String(), and(speakXively(0), func(c *Config) {
				c.Username, c.Password = "the-key", func() (string, error) { return password, nil }
			}))
			p := <-got
			b.stop()
			l.Close()
			wg.Wait()
			if !p.UsernameFlag || p.Username != "the-key" || p.PasswordFlag != (password != "") || string(p.Password) != password {
				t.Errorf("CONNECT %+v", p)
			}
			if !p.WillFlag || p.WillQos != 0 || p.WillRetain || p.WillTopic != "/v2/feeds/600/datastreams/gateway.csv" || string(p.WillMessage) != "0" {
				t.Errorf("will %+v", p)
			}
		})
	}
}

func TestXivelyConfig(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string // "": taken
	}{
		"good":                {speakXively(1), ""},
		"no status":           {func(c *Config) { c.Dialect, c.Feed = Xively, twoFeeds }, ""},
		"no feeds":            {func(c *Config) { c.Dialect = Xively }, "needs the numbers"},
		"qos 2":               {speakXively(2), "qos 2"},
		"half a status":       {and(speakXively(0), func(c *Config) { c.Xively.StatusFeed = 0 }), "feed and datastream"},
		"other half":          {and(speakXively(0), func(c *Config) { c.Xively.StatusDatastream = "" }), "feed and datastream"},
		"no datastream":       {and(speakXively(0), func(c *Config) { c.Xively.StatusDatastream = "a/b" }), "no id of a datastream"},
		"with another":        {and(speakXively(1), func(c *Config) { c.Dialect = Waziup }), "has no use with dialect waziup"},
		"another, by default": {and(speakXively(1), func(c *Config) { c.Dialect = "" }), "has no use with dialect waziup"},
	} {
		cfg := quick("mqtt://127.0.0.1")
		cfg.Log, cfg.Hub, cfg.Sessions, cfg.Clock = newMemLog(), newMemHub(), &counter{}, gateway.NewSystemClock()
		c.change(&cfg)
		_, err := New(cfg)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
