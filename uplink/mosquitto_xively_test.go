package uplink

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMosquittoXively: birth, will and data at a real broker in the role of the
// cloud, which sees MQTT only.
func TestMosquittoXively(t *testing.T) {
	t.Parallel()
	bothQoS(t, func(t *testing.T, qos byte) {
		m := newMosquitto(t)
		o := observe(t, m.url())
		p := newProxy(t, "127.0.0.1:"+strconv.Itoa(m.port))
		b := startAt(t, "mqtt://"+p.addr, and(speakXively(qos), func(c *Config) { c.Window = 20 }))
		status := func(want ...string) func() bool {
			return func() bool {
				var got []string
				for _, m := range o.messages {
					if m.Topic() == "/v2/feeds/600/datastreams/gateway.csv" {
						got = append(got, string(m.Payload()))
					}
				}
				return slices.Equal(got, want)
			}
		}
		o.until(t, "birth", status("1"))
		const total, rounds = 2000, 4
		recs := readingsOf(total, 4)
		want := map[string]bool{}
		for i, r := range recs {
			want[r.Channel+","+t0.Add(time.Duration(i+1)*time.Second).Format("2006-01-02T15:04:05.000000Z")+","+strconv.Itoa(i)] = true
		}
		seen := map[string]bool{}
		count := func() int {
			for _, m := range o.messages {
				if m.Topic() == "/v2/feeds/504.csv" {
					seen[string(m.Payload())] = true
				}
			}
			return len(seen)
		}
		words := []string{"1"}
		for i := range rounds {
			from := i * total / rounds
			b.log.add(recs[from : from+total/rounds]...)
			o.until(t, "some more", func() bool { return count() > from+100 })
			b.eventually("connected", func() bool { return b.State().Connected })
			p.cut()
			words = append(words, "0")
			o.until(t, "the will", status(words...))
			p.open()
			words = append(words, "1")
			o.until(t, "birth again", status(words...))
		}
		o.until(t, "everything", func() bool { return count() == total })
		b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == total+1 })
		for row := range seen {
			if !want[row] {
				t.Errorf("row %q", row)
			}
		}
		b.stop()
		o.until(t, "0 on a clean stop", status(append(words, "0")...))
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, m := range o.messages {
			if !strings.HasPrefix(m.Topic(), "/v2/feeds/") || m.Retained() {
				t.Errorf("%s %s", m.Topic(), m.Payload())
			}
		}
	})
}
