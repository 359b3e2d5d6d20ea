package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"fieldgate/cmd/fieldgate/config"
	"fieldgate/gateway"
	"fieldgate/gateway/store"
	"fieldgate/uplink/fakecloud"
)

type demoCmd struct {
	Data     string        `help:"Folder to keep the demo's data in; by default one in your cache folder." placeholder:"DIR"`
	CutEvery time.Duration `help:"How often the link to the cloud is cut; 0 never." default:"1m"`
	CutFor   time.Duration `help:"For how long." default:"20s"`
	Verbose  bool          `help:"Show the gateway's own log too."`
}

const demoYAML = `
id: demo
data: %q
listen: {mqtt: %q, http: %q}
access:
  anonymous: true
  keys:
    - {label: demo, key: %q, owner: demo, private_access: true, permissions: [{methods: [get, put, post, delete]}]}
devices:
  - id: MyDevice
    name: My device
    feed: 504
    owner: demo
    visibility: public
    public_write: true
    sensors: [{id: TC1, name: Temperature, unit: DegreeCelsius}]
    actuators: [{id: relay}]
  - id: WeatherMast
    name: Weather mast of the school
    visibility: public
  - id: RiverGauge
    name: River gauge at the bridge
    visibility: public
  - id: SoilProbe
    name: Soil probe with a valve, in reach of the radio
    visibility: public
    public_write: true
# Simulated chips, register by register, which the same drivers read as on a
# board. Line 20 is wired to line 4, so that it sees the relay.
sensors:
  - {driver: bme280, bus: "i2c:sim", device: WeatherMast, every: 2s}
  - {driver: fake, device: WeatherMast, sensor: wind, every: 2s, kind: noise, min: 0, max: 12, decimals: 1, unit: MetrePerSecond, quantity: WindSpeed}
  - {driver: ads1115, bus: "i2c:sim", channel: 0, device: RiverGauge, sensor: level, every: 5s, points: [[0.5, 0], [2.5, 4]], unit: Metre, quantity: WaterLevel}
  - {driver: lm75, bus: "i2c:sim", address: 0x4f, device: RiverGauge, sensor: water, every: 10s, publish: {on_change: 0.5, max: 1m}, quantity: WaterTemperature}
  - {driver: mcp3008, bus: "spi:sim", channel: 0, device: RiverGauge, sensor: sunshine, every: 10s, scale: 30, unit: Percent}
  - {driver: gpio-in, pin: "sim:20", device: MyDevice, sensor: contact}
actuators:
  - {driver: gpio-out, pin: "sim:4", device: MyDevice, actuator: relay, max_on: 30m}
# A simulated SX1276, by its registers, and a LoRaWAN node in its reach.
radios:
  - {driver: fake, nodes: [SoilProbe], every: 20s, data_rate: SF7BW125}
lorawan:
  region: EU868
  devices:
    - device: SoilProbe
      dev_eui: "70b3d57ed0000001"
      join_eui: "0000000000000000"
      app_key: %q
      codec: cayenne
      actuators: [{from: digital_out_3, id: valve}]
uplink:
  - {name: cloud, url: %q}
log: {level: %s}
`

// Run runs a gateway with simulated sensors and its cloud until Ctrl-C.
func (c demoCmd) Run(env environment) error {
	if c.CutEvery < 0 || c.CutFor < 0 || c.CutEvery > 0 && c.CutFor >= c.CutEvery {
		return fmt.Errorf("%w: --cut-for must be shorter than --cut-every", errUsage)
	}
	data, err := c.folder()
	if err != nil {
		return err
	}
	say := &teller{w: env.stdout}
	cloud, err := fakecloud.New(fakecloud.Options{Keep: 1000})
	if err != nil {
		return fmt.Errorf("demo: cloud: %w", err)
	}
	defer cloud.Close()
	mqtt, http := choosePort(say, "127.0.0.1:1883"), choosePort(say, "127.0.0.1:8080")
	level := "error"
	if c.Verbose {
		level = "info"
	}
	key := rand.Text() // another one each time: nobody's demo opens anybody else's
	var appKey [16]byte
	_, _ = rand.Read(appKey[:]) // never fails
	yaml := fmt.Sprintf(demoYAML, data, mqtt, http, key, hex.EncodeToString(appKey[:]), "mqtt://"+cloud.Addr(), level)
	cfg, err := config.Parse("demo", []byte(yaml))
	if err != nil {
		return err
	}
	g, err := newGateway(cfg, newLogger(env.stderr, cfg.Log), gateway.NewSystemClock())
	if err != nil {
		if errors.Is(err, store.ErrLocked) {
			return fmt.Errorf("another demo is running on %s: use --data with another folder: %w", data, err)
		}
		return err
	}
	d := &demo{cmd: c, say: say, cloud: cloud, gateway: g, seen: map[uint64]bool{}}
	cloud.OnMessage(d.arrived)

	ctx, cancel := context.WithCancel(env.ctx)
	defer cancel()
	var wg sync.WaitGroup
	err = g.run(ctx, func(addresses []string) {
		d.greet(addresses, data, key)
		fmt.Fprintln(env.stderr, "ready", strings.Join(addresses, " "), "cloud="+cloud.Addr())
		wg.Add(1)
		go func() { defer wg.Done(); d.play(ctx) }()
	})
	cancel()
	wg.Wait()
	say.line("Stopped. Start it again and it goes on with what it had in %s.", data)
	return err
}

func (c demoCmd) folder() (string, error) {
	if c.Data != "" {
		return filepath.Abs(c.Data)
	}
	cache, err := os.UserCacheDir()
	if err != nil { // no home, as in a service
		cache = filepath.Join(os.TempDir(), "fieldgate-"+strconv.Itoa(os.Getuid()))
	}
	return filepath.Join(cache, "fieldgate", "demo"), nil
}

// choosePort gives addr if it is free, else one that the kernel chooses.
func choosePort(say *teller, addr string) string {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		say.line("%s is taken (%v): taking another port.", addr, errors.Unwrap(errors.Unwrap(err)))
		host, _, _ := net.SplitHostPort(addr)
		return net.JoinHostPort(host, "0")
	}
	l.Close()
	return addr
}

// teller prints lines whole, whoever speaks.
type teller struct {
	mu sync.Mutex
	w  io.Writer
}

func (t *teller) line(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.w, format+"\n", args...)
}

func (t *teller) timed(format string, args ...any) {
	t.line(time.Now().Format("15:04:05  ")+format, args...)
}

// demo tells what happens.
type demo struct {
	cmd     demoCmd
	say     *teller
	cloud   *fakecloud.Cloud
	gateway *gatewayd

	mu   sync.Mutex
	seen map[uint64]bool // sequences that reached the cloud
}

// arrived books a reading that reached the cloud.
func (d *demo) arrived(m fakecloud.Message) {
	prefix := []byte(`"id":"` + d.gateway.cfg.ID + `/`)
	if seq, ok := idIn(m.Payload, prefix); ok {
		d.mu.Lock()
		d.seen[seq] = true
		d.mu.Unlock()
	}
}

func idIn(payload, prefix []byte) (uint64, bool) {
	_, rest, ok := strings.Cut(string(payload), string(prefix))
	if !ok {
		return 0, false
	}
	digits, _, _ := strings.Cut(rest, `"`)
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}

func (d *demo) greet(addresses []string, data, key string) {
	at := map[string]string{}
	for _, a := range addresses {
		name, addr, _ := strings.Cut(a, "=")
		at[name] = addr
	}
	_, port, _ := net.SplitHostPort(at["mqtt"])
	_, cloudPort, _ := net.SplitHostPort(d.cloud.Addr())
	d.say.line(`fieldgate demo: a gateway with simulated chips, lines and a LoRa node, and a small cloud, in one process.
  local MQTT broker  %s
  web                http://%s
  cloud's broker     %s
  data               %s

Type in another terminal:
  what the local network sees  mosquitto_sub -p %s -v -t '#'
  publish a reading            mosquitto_pub -L "mqtt://localhost:%s/devices/MyDevice/sensors/TC1/value" -m '{"value": "3"}'
  what the cloud sees          mosquitto_sub -p %s -v -t '#'
  switch the relay             mosquitto_pub -p %s -t devices/MyDevice/actuators/relay/value -m true
  open the valve by LoRa       mosquitto_pub -p %s -t devices/SoilProbe/actuators/valve/value -m true
  command from the cloud       mosquitto_pub -p %s -q 1 -t devices/MyDevice/actuators/relay/value -m true
  the same device as a feed    mosquitto_sub -p %s -u %s -v -t /v2/feeds/504.json
  and written as one           mosquitto_pub -p %s -u %s -t /v2/feeds/504.csv -m TC1,29
  how it is doing              curl http://%s/status

Ctrl-C ends it.
`, at["mqtt"], at["http"], d.cloud.Addr(), data, port, port, cloudPort, port, port, cloudPort, port, key, port, key, at["http"])
}

// play cuts the link now and then and tells what comes of it.
func (d *demo) play(ctx context.Context) {
	first := d.gateway.records.Cursor("cloud").Next
	if b := d.gateway.backlog("cloud"); b.Records > 0 {
		d.say.timed("%d readings of the last run wait on disk and go up first", b.Records)
	}
	report := time.NewTicker(10 * time.Second)
	defer report.Stop()
	var cut <-chan time.Time
	if d.cmd.CutEvery > 0 {
		t := time.NewTicker(d.cmd.CutEvery)
		defer t.Stop()
		cut = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-report.C:
			d.mu.Lock()
			n := len(d.seen)
			d.mu.Unlock()
			d.say.timed("link up    %d readings in the cloud, %d waiting, cloud says %s",
				n, d.gateway.backlog("cloud").Records, d.cloudSays())
		case <-cut:
			if !d.outage(ctx, first) {
				return
			}
		}
	}
}

// cloudSays is the state that the cloud's retained status topic shows.
func (d *demo) cloudSays() string {
	m, ok := d.cloud.Retained("gateways/" + d.gateway.cfg.ID + "/status")
	if !ok {
		return "nothing yet"
	}
	_, rest, _ := strings.Cut(string(m.Payload), `"state":"`)
	state, _, _ := strings.Cut(rest, `"`)
	return state
}

// outage cuts the link, waits, mends it and checks that nothing is missing
// from sequence first on. It is false when ctx ended.
func (d *demo) outage(ctx context.Context, first uint64) bool {
	d.say.timed("link CUT   for %s; readings go on to disk", d.cmd.CutFor)
	d.cloud.SetLink(false)
	end := time.NewTimer(d.cmd.CutFor)
	defer end.Stop()
	tick := time.NewTicker(max(d.cmd.CutFor/4, 100*time.Millisecond))
	defer tick.Stop()
	for waiting := true; waiting; {
		select {
		case <-ctx.Done():
			d.cloud.SetLink(true)
			return false
		case <-tick.C:
			d.say.timed("link down  %d readings wait on disk, cloud says %s", d.gateway.backlog("cloud").Records, d.cloudSays())
		case <-end.C:
			waiting = false
		}
	}
	waiting, head := d.gateway.backlog("cloud").Records, d.gateway.records.Head()
	d.cloud.SetLink(true)
	d.say.timed("link back  %d readings wait", waiting)
	for d.gateway.records.Cursor("cloud").Next <= head {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	missing, n, err := d.missing(first, head)
	if err != nil {
		d.say.timed("the log cannot be read: %v", err)
		return true
	}
	d.say.timed("caught up  %d readings since the start, %d missing in the cloud, cloud says %s", n, missing, d.cloudSays())
	return true
}

// missing counts the records from first to last that the cloud does not have.
func (d *demo) missing(first, last uint64) (missing, all int, err error) {
	for first <= last {
		recs, err := d.gateway.records.Read(first, 1000, 1<<20)
		if err != nil {
			return 0, 0, err
		}
		if len(recs) == 0 {
			break
		}
		for i := range recs {
			r := &recs[i]
			if r.Seq > last || r.Kind != gateway.KindSensor {
				continue
			}
			all++
			d.mu.Lock()
			if !d.seen[r.Seq] {
				missing++
			}
			d.mu.Unlock()
		}
		first = recs[len(recs)-1].Seq + 1
	}
	return missing, all, nil
}
