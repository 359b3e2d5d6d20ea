package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/node"
)

// startScripts runs a gateway whose configuration lies beside these scripts.
func startScripts(t testing.TB, dir, yaml string, scripts map[string]string) *gatewayProcess {
	t.Helper()
	for name, source := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "fieldgate.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(yaml, "DATA", filepath.Join(dir, "data"))), 0o600); err != nil {
		t.Fatal(err)
	}
	return startGatewayFile(t, file)
}

// passwordHash is that of "password". The binary is built before a command's time
// begins to run.
func passwordHash(t testing.TB) string {
	t.Helper()
	fieldgate(t)
	return hashPassword(t, "password")
}

// abp is a device with a session from the factory: number n of a test.
func abp(t testing.TB, n int, edit ...func(*node.Config)) *node.Node {
	t.Helper()
	c := node.Config{ABP: true, DevAddr: frame.DevAddr(0x26000000 + n), NwkSKey: frame.Key{14: byte(n), 15: 1}, AppSKey: frame.Key{14: byte(n), 15: 2}, DataRate: 5}
	for _, fn := range edit {
		fn(&c)
	}
	return must(node.New(c))(t)
}

// abpYAML is the item of lorawan.devices for abp's device n.
func abpYAML(n int, device, more string) string {
	return fmt.Sprintf(`{device: %s, dev_addr: "%08x", nwk_skey: "%026x%02x%02x01", app_skey: "%026x%02x%02x02", adr: false, %s}`,
		device, 0x26000000+n, 0, 0, n, 0, 0, n, more)
}

// status is the command's state that devices/D/actuators/A/status tells.
type commandStatus struct {
	State  string          `json:"state"`
	ID     string          `json:"id"`
	Value  json.RawMessage `json:"value"`
	Reason string          `json:"reason"`
	Sends  int             `json:"sends"`
}

// untilState waits for the status of an actuator's command.
func (s *subscriber) untilState(device, actuator, state string) (st commandStatus) {
	s.t.Helper()
	s.until("devices/"+device+"/actuators/"+actuator+"/status", func(payload string) bool {
		st = parseStatus(s.t, payload)
		return st.State == state
	})
	return st
}

func parseStatus(t testing.TB, payload string) (st commandStatus) {
	t.Helper()
	if err := json.Unmarshal([]byte(payload), &st); err != nil {
		t.Fatalf("status %s: %v", payload, err)
	}
	return st
}

// retained is the status that a new subscriber is given.
func retained(t testing.TB, g *gatewayProcess, device, actuator string) commandStatus {
	t.Helper()
	topic := "devices/" + device + "/actuators/" + actuator + "/status"
	return parseStatus(t, subscribe(t, g.mqtt, "-q", "1", "-t", topic).until(topic, func(string) bool { return true }))
}

// send publishes a command and waits for its acknowledgement.
func sendCommand(t testing.TB, g *gatewayProcess, device, actuator, value string, args ...string) {
	t.Helper()
	mustPublish(t, g.mqtt, append([]string{"-q", "1", "-t", "devices/" + device + "/actuators/" + actuator + "/value", "-m", value}, args...)...)
}

// post sends a body over HTTP and gives status and answer.
func post(t testing.TB, g *gatewayProcess, path, body string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.http+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(answer)
}

// after gives a channel that is ready when fn has returned.
func after[T any](fn func() T) <-chan T {
	c := make(chan T, 1)
	go func() { c <- fn() }()
	return c
}

// quietFor is how long a stranger is given to be answered, who must not be.
const quietFor = 300 * time.Millisecond
