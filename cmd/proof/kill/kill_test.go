package kill

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"fieldgate/cmd/proof/harness"
)

// setting reads a number from the environment.
func setting(t *testing.T, name string, def int) int {
	text := os.Getenv(name)
	if text == "" {
		return def
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s=%q is no number", name, text)
	}
	return n
}

// need skips the test where a program is missing; in CI it fails.
func need(t *testing.T, name string) {
	if _, err := harness.Look(name); err == nil {
		return
	}
	if os.Getenv("FIELDGATE_CI") != "" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed", name)
}

// TestKill kills the gateway with SIGKILL at random moments, 10 times or as
// often as PROOF_ROUNDS says, while publishers at QoS 1 and 2 run, some of which
// send again at QoS 2 what was not answered, and its link
// to a Mosquitto is cut, half-open, reset, slow or one byte at a time.
// Everything acknowledged must reach the cloud, in order per sensor (where the
// way of catching up promises that), and twice with the same id only.
func TestKill(t *testing.T) {
	for _, mode := range []string{"ordered", "fresh_first", "batches"} {
		t.Run(mode, func(t *testing.T) { kill(t, mode) })
	}
}

func kill(t *testing.T, mode string) {
	need(t, "mosquitto")
	seed := uint64(setting(t, "PROOF_SEED", int(time.Now().UnixNano()%1_000_000)))
	rounds := setting(t, "PROOF_ROUNDS", 10)
	t.Logf("PROOF_SEED=%d, %d rounds", seed, rounds)
	ctx := t.Context()
	rnd := rand.New(rand.NewPCG(seed, 1))

	bin, err := harness.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cloud, err := harness.StartMosquitto(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer cloud.Kill()
	link, err := harness.NewLink(cloud.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	l := harness.NewLedger()
	l.Unordered = mode != "ordered"
	stopWatching, err := l.Watch(ctx, "tcp://"+cloud.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stopWatching()

	var pubs []*harness.Publisher
	for i := range 4 {
		pubs = append(pubs, &harness.Publisher{Ledger: l, Device: "A", Sensor: fmt.Sprint("S", i), QoS: byte(1 + i%2), Pace: time.Millisecond})
	}
	for i := range 2 { // these send again what the kill left open: once is enough
		pubs = append(pubs, &harness.Publisher{Ledger: l, Device: "A", Sensor: fmt.Sprint("R", i), QoS: 2, Resume: true, Pace: time.Millisecond})
	}
	cfg := harness.Config{
		Binary: bin, Data: t.TempDir(), Devices: []string{"A"}, Sensors: []string{"S0", "S1", "S2", "S3", "R0", "R1"},
		Cloud: "mqtt://" + link.Addr(), CatchUp: mode, Uplink: "ack_timeout: 3s, keepalive: 5s, catch_up_rate: 10000",
	}
	flapping, stopFlapping := context.WithCancel(ctx)
	count := map[string]int{}
	flapped := make(chan error, 1)
	go func() { flapped <- link.Flap(flapping, rand.New(rand.NewPCG(seed, 2)), count) }()

	for range rounds {
		g, err := harness.StartGateway(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		stop := harness.Load(ctx, g.MQTT, pubs)
		time.Sleep(time.Duration(rnd.Int64N(int64(900 * time.Millisecond)))) // the random moment, not a wait for anything
		g.Kill()
		stop()
		if p := l.Problems(); len(p) > 0 {
			t.Fatal(strings.Join(p, "\n"))
		}
	}
	stopFlapping()
	if err := <-flapped; err != nil {
		t.Fatal(err)
	}
	before := l.Counts()
	g, err := harness.StartGateway(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Settle(ctx); err != nil {
		t.Errorf("%v\n%s", err, g.Out.Text())
	}
	t.Logf("%v; before the last start %d were still to come; faults %v", l.Counts(), before.Lost, count)
	if c := l.Counts(); rounds >= 10 && (c.Acknowledged < 20*rounds || c.Gaps > 0) {
		t.Errorf("too little was acknowledged, or a gap announced: %v", c)
	}
	status(t, cloud.Addr(), `"state":"online"`)
	if code, err := g.Stop(); err != nil || code != 0 {
		t.Errorf("exit status %d, %v", code, err)
	}
	status(t, cloud.Addr(), `"state":"offline"`)
}

// status waits for the retained status of the gateway at the cloud.
func status(t *testing.T, addr, want string) {
	t.Helper()
	o := mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("status").SetProtocolVersion(4)
	c := mqtt.NewClient(o)
	if tok := c.Connect(); !tok.WaitTimeout(harness.Patience) || tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	defer c.Disconnect(0)
	seen := make(chan string, 16)
	c.Subscribe("gateways/gw-1/status", 1, func(_ mqtt.Client, m mqtt.Message) { seen <- string(m.Payload()) })
	last := ""
	for deadline := time.After(harness.Patience); ; {
		select {
		case last = <-seen:
			if strings.Contains(last, want) {
				return
			}
		case <-deadline:
			t.Errorf("the status is %s, want %s", last, want)
			return
		}
	}
}
