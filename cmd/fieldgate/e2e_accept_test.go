package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// TestGapsAddUp fills a log of the smallest size while the cloud is away: what
// arrives afterwards and what the gaps announce make up all that was
// acknowledged, for each sensor.
func TestGapsAddUp(t *testing.T) {
	const each = 2000
	cloud := startMosquitto(t)
	// A session of its own, so that nothing gets past it after the restart.
	s := subscribe(t, "127.0.0.1:"+cloud.port, "-c", "-i", "books", "-q", "1", "-t", "devices/#", "-t", "gateways/gw-1/gaps")
	cloud.stop()
	g := startGateway(t, t.TempDir(), surviveConfig(cloud.url(), "ordered")+"store: {max_size: 1MiB}\n")
	sensors := []string{"A/S1", "A/S2"}
	client := dial(t, g.mqtt, "filler")
	pad := strings.Repeat("x", 900)
	var tokens []mqtt.Token
	for i := range each {
		for _, s := range sensors {
			device, sensor, _ := strings.Cut(s, "/")
			tokens = append(tokens, client.Publish("devices/"+device+"/sensors/"+sensor+"/value", 1, false, fmt.Sprintf(`[%d,%q]`, i, pad)))
		}
	}
	for _, tok := range tokens {
		if !tok.WaitTimeout(patience) || tok.Error() != nil {
			t.Fatalf("not acknowledged: %v", tok.Error())
		}
	}
	client.Disconnect(0)

	cloud.start()
	arrived, lost := map[string]int{}, map[string]int{}
	ids := map[string]bool{}
	for total := 0; total < each*len(sensors); {
		topic, payload, _ := strings.Cut(s.message(), " ")
		var m struct {
			ID      string         `json:"id"`
			Count   int            `json:"count"`
			Sensors map[string]int `json:"sensors"`
		}
		if err := json.Unmarshal([]byte(payload), &m); err != nil {
			t.Fatalf("%s %.200s: %v", topic, payload, err)
		}
		if ids[m.ID] {
			continue
		}
		ids[m.ID] = true
		if topic == "gateways/gw-1/gaps" {
			sum := 0
			for name, n := range m.Sensors {
				lost[name] += n
				sum += n
			}
			if sum != m.Count {
				t.Errorf("a gap of %d records names %d", m.Count, sum)
			}
			total += m.Count
			continue
		}
		parts := strings.Split(topic, "/")
		arrived[parts[1]+"/"+parts[3]]++
		total++
	}
	for _, name := range sensors {
		t.Logf("%s: %d acknowledged, %d arrived, %d announced as lost", name, each, arrived[name], lost[name])
		if arrived[name]+lost[name] != each || lost[name] == 0 {
			t.Errorf("%s: %d arrived and %d announced as lost, of %d acknowledged", name, arrived[name], lost[name], each)
		}
	}
}

// TestShortPassword: a field device may have no better one.
func TestShortPassword(t *testing.T) {
	status, hash, said := command(t, "pw\n", "user", "hash")
	if status != 0 || !strings.HasPrefix(hash, "$argon2id$") || !strings.Contains(said, "warning") {
		t.Fatalf("exit status %d: %q, %q", status, hash, said)
	}
	if status, _, _ := command(t, "\n", "user", "hash"); status != exitUsage {
		t.Errorf("an empty password: exit status %d", status)
	}
	g := startGateway(t, t.TempDir(), fmt.Sprintf("id: gw-1\ndata: DATA\nlisten: {mqtt: \"127.0.0.1:0\", http: \"\"}\n"+
		"access: {users: [{name: ann, password_hash: %q}]}\ndevices: [{id: D, owner: ann, sensors: [{id: S}]}]\n", strings.TrimSpace(hash)))
	mustPublish(t, g.mqtt, "-q", "1", "-u", "ann", "-P", "pw", "-t", "devices/D/sensors/S/value", "-m", "1")

	// A device made over MQTT is heard of as it came.
	s := subscribe(t, g.mqtt, "-u", "ann", "-P", "pw", "-t", "devices/#")
	const made = `{ "id": "New", "name": "n" }`
	mustPublish(t, g.mqtt, "-q", "1", "-u", "ann", "-P", "pw", "-t", "devices", "-m", made)
	if got := s.message(); got != "devices "+made {
		t.Errorf("heard %q", got)
	}
}
