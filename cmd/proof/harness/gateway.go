package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Config says how a gateway is set up. Anonymous clients may publish to the
// sensors of its public devices.
type Config struct {
	Binary  string // see Build
	Data    string // folder of its databases and of its configuration
	ID      string // gw-1 if empty
	Devices []string
	Sensors []string // of each device
	// Actuators of each device; LAN clients switch them.
	Actuators []string
	Cloud     string // URL of the uplink; no uplink if empty
	CatchUp   string // ordered if empty
	Uplink    string // further keys of the uplink, as "window: 50, username: u"
	Extra     string // further YAML at the top level
}

// YAML is the gateway's configuration.
func (c *Config) YAML() string {
	var b strings.Builder
	id, catchUp := c.ID, c.CatchUp
	if id == "" {
		id = "gw-1"
	}
	if catchUp == "" {
		catchUp = "ordered"
	}
	fmt.Fprintf(&b, "id: %s\ndata: %q\nlisten: {mqtt: \"127.0.0.1:0\", http: \"127.0.0.1:0\"}\naccess: {anonymous: true}\ndevices:\n", id, filepath.Join(c.Data, "data"))
	var sensors []string
	for _, s := range c.Sensors {
		sensors = append(sensors, fmt.Sprintf("{id: %s}", s))
	}
	var actuators []string
	for _, a := range c.Actuators {
		actuators = append(actuators, fmt.Sprintf("{id: %s}", a))
	}
	for _, d := range c.Devices {
		fmt.Fprintf(&b, "  - {id: %s, visibility: public, public_write: true, sensors: [%s], actuators: [%s]}\n",
			d, strings.Join(sensors, ", "), strings.Join(actuators, ", "))
	}
	if c.Cloud != "" {
		more := c.Uplink
		if more != "" {
			more = ", " + more
		}
		fmt.Fprintf(&b, "uplink:\n  - {name: cloud, url: %q, catch_up: %s%s}\n", c.Cloud, catchUp, more)
	}
	b.WriteString(c.Extra)
	return b.String()
}

// Gateway is a running `fieldgate run`.
type Gateway struct {
	*Process
	MQTT, HTTP string // host:port
}

var readyField = regexp.MustCompile(`\b(mqtt|http)=(\S+)`)

// StartGateway writes the configuration into c.Data, starts the gateway and
// waits until it is ready.
func StartGateway(ctx context.Context, c Config) (*Gateway, error) {
	file := filepath.Join(c.Data, "fieldgate.yaml")
	if err := os.WriteFile(file, []byte(c.YAML()), 0o600); err != nil {
		return nil, fmt.Errorf("harness: %w", err)
	}
	p, err := Start(exec.Command(c.Binary, "run", "--config", file))
	if err != nil {
		return nil, err
	}
	line, _, err := p.Out.Await(ctx, "ready line", 0, func(s string) bool { return strings.HasPrefix(s, "ready") })
	if err != nil {
		p.Kill()
		return nil, err
	}
	g := &Gateway{Process: p}
	for _, m := range readyField.FindAllStringSubmatch(line, -1) {
		switch m[1] {
		case "mqtt":
			g.MQTT = m[2]
		case "http":
			g.HTTP = m[2]
		}
	}
	return g, nil
}
