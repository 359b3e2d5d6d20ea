package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/node"
	"fieldgate/radio/semtech/fakeforwarder"
	"fieldgate/radio/semtech/gwmp"
)

const (
	forwarderEUI = "aa555a0000000101"
	nodeEUI      = "70b3d57ed0000001"
	nodeKey      = "000102030405060708090a0b0c0d0e0f"
)

// loraYAML is a gateway with a packet forwarder, a device that joins and a script
// for it.
const loraYAML = `
id: gw-1
data: DATA
listen: {mqtt: "127.0.0.1:0", http: "127.0.0.1:0"}
access: {anonymous: true}
devices:
  - {id: Well, visibility: public, public_write: true, actuators: [{id: valve}]}
  - {id: Meter, visibility: public}
radios:
  - {driver: semtech, listen: "127.0.0.1:0", gateways: ["` + forwarderEUI + `"]}
lorawan:
  region: EU868
  devices:
    - {device: Well, dev_eui: "` + nodeEUI + `", join_eui: "0000000000000000", app_key: "` + nodeKey + `", codec: well.js, adr: false}
    - {device: Meter, dev_addr: "26011bda", nwk_skey: "00000000000000000000000000000001", app_skey: "00000000000000000000000000000002", codec: xlpp, adr: false}
UPLINK`

// wellJS is a script as The Things Stack has them.
const wellJS = `
function decodeUplink(input) {
  var b = input.bytes;
  if (b.length < 3) return {errors: ["too short"]};
  return {data: {level: ((b[0] << 8) | b[1]) / 100, open: b[2] === 1}};
}
function encodeDownlink(input) {
  return {bytes: [0xA0, input.data.valve ? 1 : 0], fPort: 10};
}
`

// startLoRa runs a gateway whose configuration lies beside its scripts.
func startLoRa(t testing.TB, dir, yaml string) *gatewayProcess {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "well.js"), []byte(wellJS), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "fieldgate.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(yaml, "DATA", filepath.Join(dir, "data"))), 0o600); err != nil {
		t.Fatal(err)
	}
	return startGatewayFile(t, file)
}

// mast is a packet forwarder in the field, and the air below it.
type mast struct {
	t       testing.TB
	fw      *fakeforwarder.Forwarder
	emitted chan fakeforwarder.Emission
}

func newMast(t testing.TB, g *gatewayProcess, eui string, edit ...func(*fakeforwarder.Config)) *mast {
	t.Helper()
	m := &mast{t: t, emitted: make(chan fakeforwarder.Emission, 16)}
	id, err := gwmp.ParseEUI(eui)
	if err != nil {
		t.Fatal(err)
	}
	c := fakeforwarder.Config{Server: g.semtech, EUI: id, Keepalive: time.Second, Emit: func(e fakeforwarder.Emission) { m.emitted <- e }}
	for _, fn := range edit {
		fn(&c)
	}
	m.fw, err = fakeforwarder.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.fw.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return m
}

// connected waits until the gateway knows the forwarder.
func (m *mast) connected() {
	m.t.Helper()
	select {
	case <-m.fw.Pulled():
	case <-time.After(patience):
		m.t.Fatal("the gateway does not answer the packet forwarder")
	}
}

// push has the forwarder hear a frame, and gives its counter at the frame's end.
func (m *mast) push(u node.Uplink, snr float32) uint32 {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	mod := u.Modulation
	mod.CodingRate = 5
	count, err := m.fw.Push(ctx, radio.Frame{Payload: u.Frame, Frequency: u.Frequency, Modulation: mod, RSSI: -80, SNR: snr, CRC: radio.CRCOK})
	if err != nil {
		m.t.Fatal(err)
	}
	return count
}

// over waits until a frame that left has ended.
func (m *mast) over(e fakeforwarder.Emission) {
	<-time.After(time.Duration(int32(e.Counter-m.fw.Counter()))*time.Microsecond + e.Airtime)
}

// exchange has n send u and hear the downlink that follows, which must come.
func (m *mast) exchange(n *node.Node, u node.Uplink) (node.Downlink, fakeforwarder.Emission) {
	m.t.Helper()
	return m.emission(n, m.push(u, 5))
}

// emission waits for a downlink, and has n hear it, whose uplink ended at end.
func (m *mast) emission(n *node.Node, end uint32) (node.Downlink, fakeforwarder.Emission) {
	m.t.Helper()
	select {
	case e := <-m.emitted:
		d, err := n.Downlink(node.Received{Frame: e.Payload, Frequency: e.Frequency, Modulation: e.Modulation,
			After: time.Duration(int32(e.Counter-end)) * time.Microsecond, SNR: 5})
		if err != nil {
			m.t.Fatalf("the node refuses %x: %v", e.Payload, err)
		}
		return d, e
	case <-time.After(patience):
		m.t.Fatal("no downlink came")
	}
	panic("not reached")
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newTestNode(t testing.TB) *node.Node {
	t.Helper()
	eui := must(frame.ParseEUI(nodeEUI))(t)
	key := must(frame.ParseKey(nodeKey))(t)
	return must(node.New(node.Config{DevEUI: eui, AppKey: key, DataRate: 5, Seed: 1}))(t)
}

// TestLoRaWANThroughPacketForwarder: a device joins, its readings reach the local
// network, the log and the cloud, and a command reaches it in RX1.
func TestLoRaWANThroughPacketForwarder(t *testing.T) {
	t.Parallel()
	cloud := startMosquitto(t)
	atCloud := subscribe(t, "127.0.0.1:"+cloud.port, "-t", "devices/#")
	g := startLoRa(t, t.TempDir(), strings.Replace(loraYAML, "UPLINK", "uplink: [{name: cloud, url: "+cloud.url()+"}]", 1))
	local := subscribe(t, g.mqtt, "-t", "devices/#")
	m := newMast(t, g, forwarderEUI)
	m.connected()

	n := newTestNode(t)
	d, e := m.exchange(n, must(n.JoinRequest())(t))
	if !d.Joined || e.Power <= 0 || !e.InvertIQ || e.CRC {
		t.Fatalf("join: %+v %+v", d, e)
	}
	m.push(must(n.Uplink(2, []byte{0x09, 0xC4, 0}, false))(t), 5)
	for what, s := range map[string]*subscriber{"local": local, "cloud": atCloud} {
		payload := s.until("devices/Well/sensors/level/value", containing(`"value"`))
		var v struct {
			Value json.Number `json:"value"`
		}
		if err := json.Unmarshal([]byte(payload), &v); err != nil || v.Value != "25" {
			t.Errorf("%s: level %s", what, payload)
		}
		s.until("devices/Well/sensors/open/value", containing(`false`))
	}

	// A command waits for the device's next uplink, and answers it in RX1.
	mustPublish(t, g.mqtt, "-q", "1", "-t", "devices/Well/actuators/valve/value", "-m", "true")
	local.until("devices/Well/actuators/valve/status", containing(`"state":"queued"`))
	d, _ = m.exchange(n, must(n.Uplink(2, []byte{0x09, 0xC4, 0}, false))(t))
	if d.Window != 1 || d.Port != 10 || !bytes.Equal(d.Payload, []byte{0xA0, 1}) {
		t.Fatalf("the device heard %+v", d)
	}
	local.until("devices/Well/actuators/valve/value", containing(`"value":true`))
	local.until("devices/Well/actuators/valve/status", containing(`"state":"sent"`))
	atCloud.until("devices/Well/actuators/valve/value", containing(`"value":true`))

	// A command from the cloud, and a confirmed uplink.
	mustPublish(t, "127.0.0.1:"+cloud.port, "-q", "1", "-t", "devices/Well/actuators/valve/value", "-m", "false")
	local.until("devices/Well/actuators/valve/status", containing(`"state":"queued"`))
	d, _ = m.exchange(n, must(n.Uplink(2, []byte{0, 1, 1}, true))(t))
	if !d.ACK || !bytes.Equal(d.Payload, []byte{0xA0, 0}) {
		t.Fatalf("the device heard %+v", d)
	}

	// A device with a session from the factory.
	abp := must(node.New(node.Config{ABP: true, DevAddr: 0x26011bda, NwkSKey: frame.Key{15: 1}, AppSKey: frame.Key{15: 2}, DataRate: 5}))(t)
	m.push(must(abp.Uplink(1, []byte{1, 103, 0, 235}, false))(t), 5)
	local.until("devices/Meter/sensors/temperature_1/value", containing("23.5"))
	exportUntil(t, g, `"device":"Meter"`, 1)
}

// TestLoRaRefusals: what is wrong with a frame is counted and never becomes a
// reading, and the gateway goes on.
func TestLoRaRefusals(t *testing.T) {
	t.Parallel()
	g := startLoRa(t, t.TempDir(), strings.Replace(loraYAML, "UPLINK", "", 1))
	local := subscribe(t, g.mqtt, "-t", "devices/+/sensors/+/value")
	stranger := newMast(t, g, "aa555a00000001ff")
	m := newMast(t, g, forwarderEUI)
	m.connected()
	abp := must(node.New(node.Config{ABP: true, DevAddr: 0x26011bda, NwkSKey: frame.Key{15: 1}, AppSKey: frame.Key{15: 2}, DataRate: 5}))(t)

	first := must(abp.Uplink(1, []byte{1, 103, 0, 1}, false))(t)
	m.push(first, 5)
	local.until("devices/Meter/sensors/temperature_1/value", containing("0.1"))
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if _, err := stranger.fw.Push(ctx, radio.Frame{Payload: first.Frame, Frequency: first.Frequency, Modulation: first.Modulation, CRC: radio.CRCOK}); err == nil {
		t.Error("a forwarder that is not listed was answered")
	}
	bad := first
	bad.Frame = bytes.Clone(first.Frame)
	bad.Frame[len(bad.Frame)-1] ^= 1
	for _, b := range [][]byte{nil, {0x40}, {0xff, 1, 2}, bytes.Repeat([]byte{0x40}, 255)} {
		x := first
		x.Frame = b
		m.push(x, 5)
	}
	m.push(bad, 5)
	m.push(must(abp.Uplink(1, []byte{1, 103, 0, 2}, false))(t), 5)
	local.until("devices/Meter/sensors/temperature_1/value", containing("0.2"))
	m.push(abp.Replay(), 5)
	m.push(must(abp.Uplink(1, []byte{1, 103, 0, 3}, false))(t), 5)
	if got := local.until("devices/Meter/sensors/temperature_1/value", func(string) bool { return true }); !strings.Contains(got, "0.3") {
		t.Errorf("a replayed frame became the reading %s", got)
	}
	body := get(t, g, "/metrics")
	for _, reason := range []string{"malformed", "wrong_mic"} {
		if !strings.Contains(body, `fieldgate_lora_frames_refused_total{reason="`+reason+`"}`) {
			t.Errorf("no count of %s in\n%s", reason, body)
		}
	}
	if strings.Contains(body, `fieldgate_semtech_refused_total{reason="stranger"} 0`) || !strings.Contains(body, `fieldgate_semtech_refused_total{reason="stranger"}`) {
		t.Errorf("the forwarder that is not listed is not counted in\n%s", body)
	}
	if strings.Contains(g.errOut.text(), nodeKey) {
		t.Error("a key is in the log")
	}
}

// TestRadioCommandLine: frames and radios are seen from the command line while the
// gateway runs.
func TestRadioCommandLine(t *testing.T) {
	t.Parallel()
	g := startLoRa(t, t.TempDir(), strings.Replace(loraYAML, "UPLINK", "", 1))
	m := newMast(t, g, forwarderEUI)
	m.connected()
	p := spawn(t, commandFor(t, fieldgate(t), "radio", "listen", "--config", g.configFile(), "--count", "2"))
	abp := must(node.New(node.Config{ABP: true, DevAddr: 0x26011bda, NwkSKey: frame.Key{15: 1}, AppSKey: frame.Key{15: 2}, DataRate: 5}))(t)
	p.errOut.await(t, "listening", 0, func(l string) bool { return strings.Contains(l, "listening") })
	m.push(must(abp.Uplink(1, []byte{1, 103, 0, 235}, false))(t), 5)
	line, _ := p.out.await(t, "the frame", 0, func(l string) bool { return strings.Contains(l, "Meter") })
	for _, part := range []string{forwarderEUI, "SF7BW125", "-80 dBm", "5.0 dB", `"temperature_1":23.5`} {
		if !strings.Contains(line, part) {
			t.Errorf("%q is not in %s", part, line)
		}
	}
	status, out, stderr := command(t, "", "radio", "send", "--config", g.configFile(), "--frequency", "868.1", "--data-rate", "SF7BW125", "--invert-iq", hex.EncodeToString([]byte("hello")))
	if status != 0 || !strings.Contains(out, "sent") {
		t.Fatalf("send: %d %s %s", status, out, stderr)
	}
	select {
	case e := <-m.emitted:
		if string(e.Payload) != "hello" || e.Frequency != 868_100_000 {
			t.Errorf("%+v", e)
		}
	case <-time.After(patience):
		t.Error("it was not sent")
	}
	if code := p.wait(); code != 0 {
		t.Errorf("listen ended with %d", code)
	}
	status, out, _ = command(t, "", "radio", "info", "--config", g.configFile())
	if status != 0 || !strings.Contains(out, forwarderEUI+": ok") {
		t.Errorf("info: %d %s", status, out)
	}
}

// TestLoRaForwardIsSeen: a network server that does not answer is no secret.
func TestLoRaForwardIsSeen(t *testing.T) {
	server := "127.0.0.1:" + freePort(t)
	g := startLoRa(t, t.TempDir(), strings.Replace(strings.Replace(loraYAML, "UPLINK", "", 1), "  region: EU868\n",
		"  region: EU868\n  forward: [{server: \""+server+"\", gateway_eui: \"aa555a0000000199\"}]\n", 1))
	m := newMast(t, g, forwarderEUI)
	m.connected()
	abp := must(node.New(node.Config{ABP: true, DevAddr: 0x26011bda, NwkSKey: frame.Key{15: 1}, AppSKey: frame.Key{15: 2}, DataRate: 5}))(t)
	local := subscribe(t, g.mqtt, "-t", "devices/+/sensors/+/value")
	m.push(must(abp.Uplink(1, []byte{1, 103, 0, 1}, false))(t), 5)
	local.until("devices/Meter/sensors/temperature_1/value", containing("0.1"))
	body := get(t, g, "/metrics")
	for _, want := range []string{"fieldgate_forward_up{server=\"" + server + "\"} 0", "fieldgate_forward_waiting_frames{server=\"" + server + "\"} 1"} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is not in\n%s", want, body)
		}
	}
	if body := get(t, g, "/healthz"); !strings.Contains(body, "forward "+server+": offline") {
		t.Errorf("healthz says %s", body)
	}
}
