package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const surviveYAML = `
id: gw-1
data: DATA
listen: {mqtt: "127.0.0.1:0", http: "127.0.0.1:0"}
access: {anonymous: true}
devices:
  - {id: A, visibility: public, public_write: true, sensors: [{id: S1}, {id: S2}]}
  - {id: B, visibility: public, public_write: true, sensors: [{id: S1}]}
uplink:
  - {name: cloud, url: "URL", catch_up: CATCHUP}
`

func surviveConfig(url, catchUp string) string {
	return strings.NewReplacer("URL", url, "CATCHUP", catchUp).Replace(surviveYAML)
}

func publishers(l *ledger) []*publisher {
	return []*publisher{{l: l, device: "A", sensor: "S1"}, {l: l, device: "A", sensor: "S2"}, {l: l, device: "B", sensor: "S1"}}
}

// TestKillNine kills the gateway at random moments while publishers run and
// the cloud is away, then lets it send: everything acknowledged must arrive.
func TestKillNine(t *testing.T) {
	cloud := startMosquitto(t)
	l := newLedger(t)
	l.watch("127.0.0.1:" + cloud.port)
	cloud.stop()
	data := t.TempDir()
	pubs := publishers(l)
	for range 8 {
		g := startGateway(t, data, surviveConfig(cloud.url(), "ordered"))
		want := l.ackedNow() + 1 + rand.IntN(2000)
		stop := l.load(g.mqtt, pubs)
		l.await("acknowledgements", func() bool { return len(l.acked) >= want })
		g.kill()
		stop()
	}
	g := startGateway(t, data, surviveConfig(cloud.url(), "ordered"))
	cloud.start()
	l.settle()
	// And while it is sending.
	for range 3 {
		stop := l.load(g.mqtt, pubs)
		want := l.ackedNow() + 500 + rand.IntN(1000)
		l.await("acknowledgements", func() bool { return len(l.acked) >= want })
		g.kill()
		stop()
		g = startGateway(t, data, surviveConfig(cloud.url(), "ordered"))
	}
	l.settle()
	if code := g.stop(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// TestCloudRestartsTenTimes stops and starts the cloud's broker under load.
func TestCloudRestartsTenTimes(t *testing.T) {
	cloud := startMosquitto(t)
	l := newLedger(t)
	l.watch("127.0.0.1:" + cloud.port)
	g := startGateway(t, t.TempDir(), surviveConfig(cloud.url(), "ordered"))
	pubs := publishers(l)
	for range 10 {
		stop := l.load(g.mqtt, pubs)
		n, acks := l.arrivedNow(), l.ackedNow()
		l.await("arrivals", func() bool { return len(l.arrived) > n+100 })
		cloud.stop()
		l.await("acknowledgements without the cloud", func() bool { return len(l.acked) > acks+300 })
		stop()
		cloud.start()
	}
	l.settle()
	if code := g.stop(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// TestDamagedLog damages the log in several ways; the gateway must start, say
// so, salvage what is intact, and never use a record id twice.
func TestDamagedLog(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"truncated":  func(b []byte) []byte { return b[:used(b)/2] },
		"first page": func(b []byte) []byte { clear(b[:4096]); return b },
		"both meta":  func(b []byte) []byte { clear(b[:8192]); return b },
		"zeroed":     func(b []byte) []byte { clear(b); return b },
		"garbage":    func(b []byte) []byte { return []byte(strings.Repeat("garbage ", 1000)) },
		"middle flipped": func(b []byte) []byte {
			for i := used(b) / 3; i < used(b)/2; i += 100 {
				b[i] ^= 0x55
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := startMosquitto(t)
			l := newLedger(t)
			l.watch("127.0.0.1:" + cloud.port)
			cloud.stop()
			data := t.TempDir()
			g := startGateway(t, data, surviveConfig(cloud.url(), "ordered"))
			stop := l.load(g.mqtt, publishers(l)[:1])
			l.await("acknowledgements", func() bool { return len(l.acked) >= 2000 })
			stop()
			if code := g.stop(); code != 0 {
				t.Fatalf("exit status %d", code)
			}
			file := filepath.Join(data, "log.db")
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, damage(raw), 0o600); err != nil {
				t.Fatal(err)
			}
			before := l.ackedNow()
			g = startGateway(t, data, surviveConfig(cloud.url(), "ordered"))
			cloud.start()
			p := &publisher{l: l, device: "B", sensor: "S1"} // another sensor: new records
			stop = l.load(g.mqtt, []*publisher{p})
			l.await("acknowledgements", func() bool { return len(l.acked) >= before+100 })
			stop()
			l.await("the new records", func() bool {
				for v := 1; v <= 100; v++ {
					if _, ok := l.arrived[fmt.Sprintf("B/S1 %d", v)]; !ok {
						return false
					}
				}
				return true
			})
			old := func() (n int) {
				for key := range l.arrived {
					if strings.HasPrefix(key, "A/") {
						n++
					}
				}
				return n
			}
			// Damage inside of a page is found when the record is read.
			l.await("all old records, or a gap that tells of those that are gone", func() bool { return old() == before || len(l.gaps) > 0 })
			l.mu.Lock()
			salvaged := old()
			for _, p := range l.problems {
				t.Error(p)
			}
			gaps := len(l.gaps)
			l.mu.Unlock()
			t.Logf("%d of %d old records salvaged, %d gap records; %s", salvaged, before, gaps, l.summary())
			switch name {
			case "first page", "both meta":
				if salvaged != before {
					t.Errorf("only %d of %d records salvaged although their bytes are intact", salvaged, before)
				}
			case "truncated", "middle flipped":
				if salvaged == 0 || salvaged == before {
					t.Error("part of the records was damaged, and part of them only")
				}
			}
		})
	}
}

// used is the length of b without the zeros that a file grows by.
func used(b []byte) int {
	for i := len(b); i > 0; i-- {
		if b[i-1] != 0 {
			return i
		}
	}
	return 0
}
