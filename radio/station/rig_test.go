package station

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/codec"
	"fieldgate/radio/codec/js"
	"fieldgate/radio/lorawan"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/node"
	"fieldgate/radio/lorawan/region"
	"fieldgate/radio/raw"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs a test on a clock of its own.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

var errDisk = errors.New("input/output error")

// rig is a station with its surroundings, in a bubble.
type rig struct {
	*testing.T
	cfg     Config
	hub     *hub
	clock   *wall
	ether   *ether
	lorawan *table
	table   *table
	station *Station
	stop    func()

	mu     sync.Mutex
	states []string // what was published: "D/A queued value", with the reason
	events []string
	raw    []Event
	log    bytes.Buffer
}

const (
	devAddr frame.DevAddr = 0x26011bda
	start                 = 100 * time.Millisecond
)

var (
	nwkSKey = frame.Key{15: 1}
	appSKey = frame.Key{15: 2}
	appKey  = frame.Key{15: 3}
	devEUI  = frame.EUI{0x70, 0xb3, 0xd5, 0x7e, 0xd0, 0, 0, 1}
)

// well is a device with a session, with Cayenne LPP and the actuators relay and
// valve.
func well() Device {
	return Device{Name: "Well", Codec: builtin("cayenne"), Create: true, Port: 3, Actuators: map[string]string{"digital_out_1": "relay", "digital_out_2": "valve"}}
}

func builtin(name string) codec.Codec {
	c, err := codec.Open(name)
	if err != nil {
		panic(err)
	}
	return c
}

func script(t testing.TB, source string) codec.Codec {
	t.Helper()
	c, err := js.New("test.js", source, js.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newRig makes a rig with these devices, of which Well is the one with a session;
// change sees the configuration before it is used.
func newRig(t *testing.T, change func(*rig), devices ...Device) *rig {
	r := &rig{T: t, hub: &hub{t: t, devices: map[string]*gateway.Device{}, begin: time.Now()}, clock: &wall{quality: gateway.ClockSynced},
		ether: &ether{name: "r1", counter: radio.NewCounter()}, lorawan: &table{}, table: &table{}}
	plan, err := region.Get("EU868")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range devices {
		known := &gateway.Device{ID: d.Name}
		for _, id := range slices.Sorted(maps.Values(d.Actuators)) {
			known.Actuators = append(known.Actuators, gateway.Actuator{ID: id})
		}
		r.hub.devices[d.Name] = known
	}
	r.cfg = Config{Gateway: "gw", Radios: []radio.Radio{r.ether}, Devices: devices, Hub: r.hub, Registry: r.hub, Clock: r.clock,
		Log:     slog.New(slog.NewTextHandler(&locked{w: &r.log, mu: &r.mu}, &slog.HandlerOptions{Level: slog.LevelInfo})),
		LoRaWAN: lorawan.Config{Region: plan, StatusEvery: -1}, RawRadios: map[string]bool{},
		Publish: func(m gateway.Message) {
			var c command
			if err := json.Unmarshal(m.Payload, &c); err != nil || !m.Retain || m.QoS != 1 {
				t.Errorf("%s %s", m.Topic, m.Payload)
			}
			id := strings.TrimSuffix(strings.Replace(strings.TrimPrefix(m.Topic, "devices/"), "/actuators/", "/", 1), "/status")
			line := strings.TrimSpace(fmt.Sprintf("%s %s %s %s", id, c.State, c.Value, c.Reason))
			r.mu.Lock()
			defer r.mu.Unlock()
			r.states = append(r.states, line)
		},
		Observe: func(e *Event) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.raw = append(r.raw, *e)
			direction := "rx"
			if e.Sent {
				direction = "tx"
			}
			r.events = append(r.events, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s %s", direction, e.Kind, e.Device, e.Values, e.Error)), " "))
		}}
	for i := range devices {
		switch d := &devices[i]; {
		case d.Raw:
			r.cfg.Raw.Rules = append(r.cfg.Raw.Rules, raw.Rule{Device: d.Name, Source: byte(8 + i)})
		case d.Name == "Joins":
			r.cfg.LoRaWAN.Devices = append(r.cfg.LoRaWAN.Devices, lorawan.Device{Device: d.Name, DevEUI: devEUI, AppKey: appKey})
		default:
			r.cfg.LoRaWAN.Devices = append(r.cfg.LoRaWAN.Devices,
				lorawan.Device{Device: d.Name, DevAddr: devAddr + frame.DevAddr(i), NwkSKey: nwkSKey, AppSKey: appSKey})
		}
	}
	r.cfg.Raw.Region = plan
	if change != nil {
		change(r)
	}
	r.start()
	return r
}

// locked guards a log.
type locked struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// start starts a station on what the tables have.
func (r *rig) start() {
	r.Helper()
	c := r.cfg
	c.Table, c.LoRaWAN.Table = r.table, r.lorawan
	var err error
	if r.station, err = New(c); err != nil {
		r.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.station.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.Error(err)
		}
	})
	r.Cleanup(r.stop)
	time.Sleep(start)
	synctest.Wait()
}

// restart has the process killed and started again: what is not in the tables is
// lost. Between may change them.
func (r *rig) restart(between func()) {
	r.Helper()
	a, b := r.lorawan.clone(), r.table.clone()
	r.stop()
	r.lorawan, r.table = a, b
	r.published()
	r.hub.take()
	r.ether.take()
	if between != nil {
		between()
	}
	r.start()
}

// node is the device of that place in the list of devices, as it is in the field.
func (r *rig) node(i int) *node.Node {
	r.Helper()
	n, err := node.New(node.Config{ABP: true, DevAddr: devAddr + frame.DevAddr(i), NwkSKey: nwkSKey, AppSKey: appSKey, DataRate: 5,
		Channels: region.SetOf(0)})
	if err != nil {
		r.Fatal(err)
	}
	return n
}

// uplink has a node send, and gives what it hears in its windows, which pass.
func (r *rig) uplink(n *node.Node, port int, payload []byte, confirmed bool) node.Downlink {
	r.Helper()
	u, err := n.Uplink(port, payload, confirmed)
	if err != nil {
		r.Fatal(err)
	}
	return r.send(n, u)
}

func (r *rig) send(n *node.Node, u node.Uplink) node.Downlink {
	r.Helper()
	m := u.Modulation
	m.CodingRate = 5
	end := time.Now()
	r.ether.hear(&radio.Frame{Payload: u.Frame, Frequency: u.Frequency, Modulation: m})
	time.Sleep(3 * time.Second)
	synctest.Wait()
	r.ether.mu.Lock()
	sent, at := r.ether.sent, r.ether.at
	r.ether.sent, r.ether.at = nil, nil
	r.ether.mu.Unlock()
	var heard node.Downlink
	for i, t := range sent {
		d, err := n.Downlink(node.Received{Frame: t.Payload, Frequency: t.Frequency, Modulation: t.Modulation, After: at[i].Sub(end), SNR: 5})
		if err != nil {
			r.Errorf("the node refuses %x, %v after its frame: %v", t.Payload, at[i].Sub(end), err)
		}
		heard = d
	}
	return heard
}

// outcome is how a command was settled.
type outcome struct {
	mu    sync.Mutex
	times int
	err   error
}

func (o *outcome) settled(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.times++
	o.err = err
}

// open reports whether it was not settled yet.
func (o *outcome) open() bool {
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.times == 0
}

// is reports whether it was settled once, with err.
func (o *outcome) is(err error) bool {
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.times == 1 && errors.Is(o.err, err)
}

// command delivers one, as the Hub does.
func (r *rig) command(device, actuator, value string) *outcome {
	return r.deliver(&gateway.Batch{}, device+"/"+actuator+"="+value)
}

func (r *rig) deliver(b *gateway.Batch, commands ...string) *outcome {
	r.Helper()
	for _, c := range commands {
		id, value, _ := strings.Cut(c, "=")
		device, actuator, _ := strings.Cut(id, "/")
		if owned, err := r.station.Check(device, actuator, json.RawMessage(value)); !owned || err != nil {
			r.Errorf("%s: %v %v", c, owned, err)
		}
		b.Readings = append(b.Readings, gateway.Reading{Kind: gateway.KindCommand, Device: device, Channel: actuator, Value: json.RawMessage(value)})
	}
	o := &outcome{}
	r.station.Deliver(b, nil, o.settled)
	return o
}

// published gives the states that were published since the last call.
func (r *rig) published() []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	states := r.states
	r.states = nil
	return states
}

// live gives the events since the last call.
func (r *rig) live() []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.events
	r.events = nil
	return events
}

// logged counts the lines of the log that have text.
func (r *rig) logged(text string) int {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for l := range strings.Lines(r.log.String()) {
		if strings.Contains(l, text) {
			n++
		}
	}
	return n
}

// want compares lines.
func want(t testing.TB, what string, got []string, lines ...string) {
	t.Helper()
	if !slices.Equal(got, lines) {
		t.Errorf("%s:\n\t%s\nwant\n\t%s", what, strings.Join(got, "\n\t"), strings.Join(lines, "\n\t"))
	}
}
