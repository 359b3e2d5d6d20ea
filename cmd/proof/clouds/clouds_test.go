package clouds

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"fieldgate/cmd/proof/harness"
)

const backlog = 20_000

// TestClouds has 20,000 readings wait while the cloud cannot be reached, lets a
// part of the cloud die while they are sent and new ones come, and kills the
// gateway once: everything acknowledged must arrive, in order per sensor, and
// twice with the same id only. The status is true before, and after. A command
// given while the gateway is away comes down when it is back.
func TestClouds(t *testing.T) {
	bin, err := harness.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, start := range map[string]func(*testing.T) cloud{"Mosquitto": mosquitto, "NATS": nats, "RabbitMQ": rabbitmq} {
		t.Run(name, func(t *testing.T) { deliver(t, bin, start(t)) })
	}
}

func login(o *mqtt.ClientOptions) { o.SetUsername(user).SetPassword(password) }

func deliver(t *testing.T, bin string, c cloud) {
	ctx := t.Context()
	link, err := harness.NewLink(c.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	if err := link.Break("cut"); err != nil {
		t.Fatal(err)
	}
	l := harness.NewLedger()
	stopWatching, err := l.Watch(ctx, "tcp://"+c.watch, login)
	if err != nil {
		t.Fatal(err)
	}
	defer stopWatching()
	cfg := harness.Config{
		Binary: bin, Data: t.TempDir(), Devices: []string{"A"}, Sensors: []string{"S0", "S1", "S2", "S3"}, Cloud: "mqtt://" + link.Addr(),
		Uplink:    fmt.Sprintf("ack_timeout: 10s, keepalive: 5s, username: %s, password: %q", user, password),
		Actuators: []string{"relay"},
	}
	g, err := harness.StartGateway(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { g.Kill() }()
	var pubs []*harness.Publisher
	for i := range 4 {
		pubs = append(pubs, &harness.Publisher{Ledger: l, Device: "A", Sensor: fmt.Sprint("S", i), QoS: byte(1 + i%2)})
	}
	await := func(what string, ok func(harness.Counts) bool) {
		t.Helper()
		if err := l.Await(ctx, what, ok); err != nil {
			out := g.Out.Text()
			t.Fatalf("%v\n%s", err, out[max(0, len(out)-3000):])
		}
	}
	stop := harness.Load(ctx, g.MQTT, pubs)
	await("backlog", func(n harness.Counts) bool { return n.Acknowledged >= backlog })
	if n := l.Counts(); n.Arrived > 0 {
		t.Fatalf("something arrived over a cut link: %v", n)
	}
	if err := link.Heal(); err != nil {
		t.Fatal(err)
	}
	await("first part", func(n harness.Counts) bool { return n.Arrived >= backlog/4 })
	stop()
	pubs[0].Pace, pubs[1].Pace, pubs[2].Pace, pubs[3].Pace = 20e6, 20e6, 20e6, 20e6
	stop = harness.Load(ctx, g.MQTT, pubs)
	c.fail(t)
	now := l.Counts().Arrived
	await("something after the failure", func(n harness.Counts) bool { return n.Arrived > now+100 })
	g.Kill()
	stop()
	if g, err = harness.StartGateway(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	if err := l.Settle(ctx); err != nil {
		out := g.Out.Text()
		t.Fatalf("%v\n%s", err, out[max(0, len(out)-3000):])
	}
	t.Log(l.Counts())

	watch := connect(t, c.watch, "other", login)
	status := watch.subscribe("gateways/gw-1/status")
	status.until(`"state":"online"`)
	const relay = "devices/A/actuators/relay/value"
	keep := func(o *mqtt.ClientOptions) { o.SetCleanSession(false) }
	local := connect(t, g.MQTT, "local", keep)
	local.subscribe(relay)
	local.client.Disconnect(100)
	if code, err := g.Stop(); err != nil || code != 0 {
		t.Errorf("exit status %d, %v", code, err)
	}
	status.until(`"state":"offline"`)

	command := watch.client.Publish(relay, 1, false, `{"value": 7}`)
	if !command.WaitTimeout(harness.Patience) || command.Error() != nil {
		t.Fatal(command.Error())
	}
	if g, err = harness.StartGateway(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	connect(t, g.MQTT, "local", keep).subscribe(relay).until("7")
}

// TestPage: uplink/CLOUDS.md shows the configurations that are tried here.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../../uplink/CLOUDS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mosquitto.conf", "nats.conf", "rabbitmq.conf"} {
		conf, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), "```\n"+string(conf)+"```") {
			t.Errorf("CLOUDS.md does not show %s as it is", name)
		}
	}
}

// peer is a client that waits for messages.
type peer struct {
	t      *testing.T
	client mqtt.Client
}

func connect(t *testing.T, addr, id string, edit func(*mqtt.ClientOptions)) *peer {
	t.Helper()
	o := mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID(id).SetProtocolVersion(4)
	if edit != nil {
		edit(o)
	}
	c := mqtt.NewClient(o)
	if tok := c.Connect(); !tok.WaitTimeout(harness.Patience) || tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	t.Cleanup(func() { c.Disconnect(0) })
	return &peer{t, c}
}

// messages is what a subscription brings.
type messages struct {
	t *testing.T
	c chan string
}

func (p *peer) subscribe(filter string) *messages {
	p.t.Helper()
	m := &messages{p.t, make(chan string, 1000)}
	tok := p.client.Subscribe(filter, 1, func(_ mqtt.Client, msg mqtt.Message) { m.c <- string(msg.Payload()) })
	if !tok.WaitTimeout(harness.Patience) || tok.Error() != nil {
		p.t.Fatal(tok.Error())
	}
	return m
}

// until waits for a message that contains text.
func (m *messages) until(text string) {
	m.t.Helper()
	for deadline := time.After(harness.Patience); ; {
		select {
		case got := <-m.c:
			if strings.Contains(got, text) {
				return
			}
		case <-deadline:
			m.t.Fatalf("no message with %s", text)
		}
	}
}
