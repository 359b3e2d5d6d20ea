package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"fieldgate/gateway/freeport"
)

// Mosquitto is a real Mosquitto as the cloud. It keeps all that waits for
// absent subscribers, and writes it down when it is stopped.
type Mosquitto struct {
	*Process
	Port int
	conf string
}

// StartMosquitto runs Mosquitto on a loopback port with its files in dir.
func StartMosquitto(ctx context.Context, dir string) (*Mosquitto, error) {
	port, err := freeport.Take()
	if err != nil {
		return nil, err
	}
	m := &Mosquitto{Port: port, conf: filepath.Join(dir, "mosquitto.conf")}
	text := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 1000\n"+
		"persistence true\npersistence_location %s/\nautosave_interval 0\nuser root\nset_tcp_nodelay true\n"+
		"log_type error\nlog_type warning\nlog_type notice\nlog_type information\n", port, dir)
	if err := os.WriteFile(m.conf, []byte(text), 0o644); err != nil {
		return nil, fmt.Errorf("harness: %w", err)
	}
	return m, m.Restart(ctx)
}

// Restart starts it once more, after Stop or Kill.
func (m *Mosquitto) Restart(ctx context.Context) error {
	path, err := Look("mosquitto")
	if err != nil {
		return err
	}
	if m.Process, err = Start(exec.Command(path, "-c", m.conf)); err != nil {
		return err
	}
	_, _, err = m.Out.Await(ctx, "running Mosquitto", 0, func(s string) bool { return strings.Contains(s, "running") })
	return err
}

// Addr is host:port.
func (m *Mosquitto) Addr() string { return fmt.Sprintf("127.0.0.1:%d", m.Port) }
