package uplink

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"fieldgate/gateway"
)

func TestMosquittoRestartedTenTimes(t *testing.T) {
	t.Parallel()
	m := newMosquitto(t)
	o := observe(t, m.url())
	b := startAt(t, m.url(), nil)
	const total, rounds = 5000, 10
	for i := range rounds {
		b.log.add(readingsOf(total/rounds, 4)...)
		o.until(t, "some more", func() bool { es, _ := o.ids(); return len(es) > i*total/rounds })
		m.stop()
		m.run()
	}
	o.until(t, "everything", func() bool { es, _ := o.ids(); return len(es) == total })
	b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == total+1 })
	o.mu.Lock()
	es, dup := o.ids()
	o.mu.Unlock()
	checkOrder(t, es)
	t.Logf("%d records, %d duplicates over %d restarts", len(es), dup, rounds)
	if n := b.State().DeadLettered; n > 0 {
		t.Errorf("%d dead letters", n)
	}
}

func TestMosquittoStatus(t *testing.T) {
	t.Parallel()
	m := newMosquitto(t)
	o := observe(t, m.url())
	p := newProxy(t, "127.0.0.1:"+strconv.Itoa(m.port))
	b := startAt(t, "mqtt://"+p.addr, func(c *Config) { c.Devices = func() []string { return []string{"D"} } })
	has := func(parts ...string) func() bool {
		return func() bool {
			for _, part := range parts {
				if !strings.Contains(o.retained["gateways/gw-1/status"], part) {
					return false
				}
			}
			return true
		}
	}
	o.until(t, "online", has(`"online"`, `"session":1,`))
	p.cut()
	o.until(t, "the will", has(`"offline"`, `"session":1,`))
	p.open()
	o.until(t, "online again", has(`"online"`))
	b.eventually("down connected", func() bool { return b.State().DownConnected })
	if token := o.client.Publish("devices/D/actuators/relay/value", 1, false, "true"); !token.WaitTimeout(patience) {
		t.Fatal("publish")
	}
	if got := b.hub.seen(t, 1)[0]; string(got.Readings[0].Value) != "true" {
		t.Errorf("command %+v", got.Readings)
	}
	b.eventually("connected", func() bool { return b.State().Connected }) // else the stop comes into the birth, and the will speaks
	b.stop()
	o.until(t, "offline on a clean stop", has(`"offline"`, `"backlog"`))
}

func TestMosquittoTakeoverWill(t *testing.T) {
	t.Parallel()
	m := newMosquitto(t)
	o := observe(t, m.url())
	b := startAt(t, m.url(), nil)
	o.until(t, "online", func() bool { return strings.Contains(o.retained["gateways/gw-1/status"], `"online","session":1,`) })
	// The link dies without a word: the broker goes on believing in the
	// connection until the next one takes over, and then publishes its will.
	b.eventually("connected", func() bool { return b.State().Connected })
	c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(m.port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// Somebody with our client id, who then leaves: our connection is taken
	// over, its will comes, we come back and take over in turn.
	connect := append([]byte{0x10, 16, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 4}, "gw-1"...)
	if _, err := c.Write(connect); err != nil {
		t.Fatal(err)
	}
	o.until(t, "online in the end", func() bool {
		s := o.retained["gateways/gw-1/status"]
		return strings.Contains(s, `"online"`) && !strings.Contains(s, `"session":1,`)
	})
}

func TestMosquittoRefusesLargeMessages(t *testing.T) {
	t.Parallel()
	var dead letters
	m := newMosquitto(t, "message_size_limit 2000")
	o := observe(t, m.url())
	b := startAt(t, m.url(), func(c *Config) { c.DeadLetter, c.AckTimeout = dead.put, 2*time.Second })
	recs := readingsOf(50, 2)
	recs[20] = reading("D", "S1", strings.Repeat("x", 3000))
	b.log.add(recs...)
	// This broker acknowledges what is over its message_size_limit and drops it:
	// nothing can be seen of that from here.
	o.until(t, "the others", func() bool { es, _ := o.ids(); return len(es) == 49 })
	b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == 51 })
}

func TestMosquittoClosesOnLargePackets(t *testing.T) {
	t.Parallel()
	var dead letters
	m := newMosquitto(t, "max_packet_size 2000")
	o := observe(t, m.url())
	b := startAt(t, m.url(), func(c *Config) { c.DeadLetter, c.AckTimeout = dead.put, time.Second })
	recs := readingsOf(50, 2)
	recs[20] = reading("D", "S1", strings.Repeat("x", 3000))
	b.log.add(recs...)
	o.until(t, "the others", func() bool { es, _ := o.ids(); return len(es) == 49 })
	b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == 51 })
	if seqs, _ := dead.get(); !equal(seqs, []uint64{21}) {
		t.Errorf("dead letters %v", seqs)
	}
}

func TestMosquittoWebSocket(t *testing.T) {
	t.Parallel()
	web := strconv.Itoa(freePort(t))
	// With a listener for WebSockets alone this broker does not start.
	m := newMosquitto(t, "listener "+web+" 127.0.0.1", "protocol websockets")
	o := observe(t, m.url())
	b := startAt(t, "ws://127.0.0.1:"+web, nil)
	b.log.add(readingsOf(1000, 4)...)
	o.until(t, "everything", func() bool { es, _ := o.ids(); return len(es) == 1000 })
	b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == 1001 })
}

func TestMosquittoTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pki := newPKI(t, dir)
	m := newMosquitto(t, "cafile "+pki.ca, "certfile "+pki.serverCert, "keyfile "+pki.serverKey, "require_certificate true")
	url := "mqtts://127.0.0.1:" + strconv.Itoa(m.port)
	files := TLSFiles{CA: pki.ca, Cert: pki.clientCert, Key: pki.clientKey, ServerName: "cloud.example"}
	b := startAt(t, url, func(c *Config) { c.TLS = files.Config })
	b.log.add(readingsOf(1000, 4)...)
	b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == 1001 })
	b.stop()

	for name, c := range map[string]struct {
		files TLSFiles
		want  string
	}{
		"wrong name":      {TLSFiles{CA: pki.ca, Cert: pki.clientCert, Key: pki.clientKey, ServerName: "other.example"}, "other.example"},
		"unknown CA":      {TLSFiles{Cert: pki.clientCert, Key: pki.clientKey, ServerName: "cloud.example"}, "unknown authority"},
		"no certificate":  {TLSFiles{CA: pki.ca, ServerName: "cloud.example"}, ""},
		"no such file":    {TLSFiles{CA: dir + "/nothing"}, "no such file"},
		"nothing in file": {TLSFiles{CA: pki.clientKey}, "no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			b := startAt(t, url, func(cfg *Config) { cfg.TLS = c.files.Config })
			b.eventually("an error", func() bool { return b.State().LastError != "" })
			if s := b.State(); s.Connected || !strings.Contains(s.LastError, c.want) {
				t.Errorf("state %+v", s)
			}
		})
	}
}

func TestMosquittoWebSocketTLS(t *testing.T) {
	t.Parallel()
	pki := newPKI(t, t.TempDir())
	web := strconv.Itoa(freePort(t))
	newMosquitto(t, "listener "+web+" 127.0.0.1", "protocol websockets", "certfile "+pki.serverCert, "keyfile "+pki.serverKey)
	b := startAt(t, "wss://127.0.0.1:"+web+"/mqtt", func(c *Config) {
		c.TLS = TLSFiles{CA: pki.ca, ServerName: "cloud.example"}.Config
	})
	b.log.add(readingsOf(500, 4)...)
	b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == 501 })
}

func TestMosquittoPassword(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	users := filepath.Join(dir, "users")
	if out, err := exec.Command("mosquitto_passwd", "-b", "-c", users, "gw", "right").CombinedOutput(); err != nil {
		if os.Getenv("FIELDGATE_CI") != "" {
			t.Fatalf("mosquitto_passwd: %v %s", err, out)
		}
		t.Skipf("mosquitto_passwd: %v %s", err, out)
	}
	m := newMosquitto(t, "password_file "+users)
	// The later allow_anonymous of newMosquitto allows those without a name only.
	var mu sync.Mutex
	password := "wrong"
	b := startAt(t, m.url(), func(c *Config) {
		c.Username, c.Password = "gw", func() (string, error) {
			mu.Lock()
			defer mu.Unlock()
			return password, nil
		}
	})
	b.eventually("a refusal", func() bool { return b.State().LastError != "" })
	if s := b.State(); s.Connected || strings.Contains(s.LastError, "wrong") {
		t.Errorf("state %+v", s)
	}
	mu.Lock()
	password = "right" // asked again at the next attempt
	mu.Unlock()
	b.eventually("connected", func() bool { return b.State().Connected })
}

// BenchmarkDrain measures how fast a backlog goes to a real broker.
func BenchmarkDrain(b *testing.B) {
	for _, window := range []int{1, 100} {
		b.Run("window="+strconv.Itoa(window), func(b *testing.B) {
			m := newMosquitto(b)
			log := newMemLog()
			log.add(readingsOf(b.N, 10)...)
			end := make(chan struct{})
			once := sync.OnceFunc(func() { close(end) })
			log.onCursor = func(c gateway.Cursor) {
				if c.Next == uint64(b.N)+1 {
					once()
				}
			}
			full := startAt(b, m.url(), nil)
			full.stop()
			b.ReportAllocs()
			b.ResetTimer()
			u := start(b, nil, func(c *Config) { c.URL, c.Window = m.url(), window }, &bench{log: log, hub: full.hub, clock: full.clock})
			select {
			case <-end:
			case <-time.After(2 * time.Minute):
				b.Fatalf("not done: %+v", u.State())
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
