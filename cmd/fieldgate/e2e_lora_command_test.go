package main

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/node"
	"fieldgate/radio/semtech/fakeforwarder"
)

// pumpJS encodes whole numbers up to 9.
const pumpJS = `
function decodeUplink(input) { return {data: {level: input.bytes[0]}}; }
function encodeDownlink(input) {
  if (!(input.data.pump >= 0 && input.data.pump <= 9)) return {errors: ["the pump has steps 0 to 9"]};
  return {bytes: [0xB0, input.data.pump], fPort: 20};
}
`

var commandsYAML = `
id: gw-1
data: DATA
listen: {mqtt: "127.0.0.1:0", http: "127.0.0.1:0"}
access: {anonymous: true, users: [{name: ann, password_hash: "HASH"}]}
devices:
  - {id: Pump, visibility: public, public_write: true, actuators: [{id: pump}]}
  - {id: Gate, visibility: public, public_write: true}
  - {id: Lamp, visibility: public, public_write: true}
  - {id: Safe, owner: ann}
radios: [{driver: semtech, listen: "127.0.0.1:0", gateways: ["` + forwarderEUI + `"]}]
lorawan:
  region: EU868
  profiles:
    - {name: sure, codec: cayenne, confirmed: true, retries: 1, actuators: [{from: digital_out_1, id: door}]}
    - {name: short, codec: cayenne, expires: 1s, actuators: [{from: digital_out_1, id: light}]}
  devices:
    - ` + abpYAML(1, "Pump", "codec: pump.js") + `
    - ` + abpYAML(2, "Gate", "profile: sure") + `
    - ` + abpYAML(3, "Lamp", "profile: short") + `
    - ` + abpYAML(4, "Safe", "codec: cayenne, actuators: [{from: digital_out_1, id: lock}]") + `
`

// heard has n send an uplink and hear the downlink that follows.
func (m *mast) heard(n *node.Node, payload ...byte) node.Downlink {
	m.t.Helper()
	d, _ := m.exchange(n, must(n.Uplink(2, payload, false))(m.t))
	return d
}

// TestLoRaCommandStates: what becomes of a command is told on its retained topic,
// from its acknowledgement to its end.
func TestLoRaCommandStates(t *testing.T) {
	t.Parallel()
	g := startScripts(t, t.TempDir(), strings.Replace(commandsYAML, "HASH", passwordHash(t), 1), map[string]string{"pump.js": pumpJS})
	local := subscribe(t, g.mqtt, "-t", "devices/#")
	ann := subscribe(t, g.mqtt, "-u", "ann", "-P", "password", "-t", "devices/#")
	m := newMast(t, g, forwarderEUI)
	m.connected()
	pump, gate := abp(t, 1), abp(t, 2)

	// A newer one takes the place of an older one; only the newer one is sent. What
	// a script cannot encode is refused by it; others before they are taken.
	sendCommand(t, g, "Pump", "pump", "3")
	first := local.untilState("Pump", "pump", "queued")
	if code, answer := post(t, g, "/devices/Pump/actuators/pump/value", "4"); code/100 != 2 {
		t.Fatalf("HTTP: %d %s", code, answer)
	}
	second := local.untilState("Pump", "pump", "queued")
	if first.ID == second.ID || first.ID == "" || string(second.Value) != "4" {
		t.Errorf("%+v, then %+v", first, second)
	}
	d := m.heard(pump, 1)
	if d.Window != 1 || d.Port != 20 || !bytes.Equal(d.Payload, []byte{0xB0, 4}) || d.Pending || d.Confirmed {
		t.Errorf("the pump heard %+v", d)
	}
	if st := local.untilState("Pump", "pump", "sent"); st.ID != second.ID || st.Sends != 1 {
		t.Errorf("%+v", st)
	}
	sendCommand(t, g, "Pump", "pump", "10")
	if st := local.untilState("Pump", "pump", "refused"); !strings.Contains(st.Reason, "steps 0 to 9") || string(st.Value) != "10" {
		t.Errorf("%+v", st)
	}
	for _, bad := range []string{`"open"`, `[1]`, `300`} {
		if _, out := publish(t, g.mqtt, "-V", "5", "-q", "1", "-d", "-t", "devices/Gate/actuators/door/value", "-m", bad); !strings.Contains(out, "RC:153") {
			t.Errorf("%s was taken: %s", bad, out)
		}
		if code, answer := post(t, g, "/devices/Gate/actuators/door/value", bad); code != http.StatusBadRequest && code != http.StatusUnprocessableEntity {
			t.Errorf("HTTP took %s: %d %s", bad, code, answer)
		}
	}

	// A confirmed one is sent until the device has acknowledged it, and given up
	// after one retry.
	door := subscribe(t, g.mqtt, "-t", "devices/Gate/actuators/door/value")
	sendCommand(t, g, "Gate", "door", "1")
	local.untilState("Gate", "door", "queued")
	if d = m.heard(gate); !d.Confirmed || !bytes.Equal(d.Payload, []byte{1, 1, 1}) {
		t.Errorf("the gate heard %+v", d)
	}
	if st := local.untilState("Gate", "door", "sent"); st.Sends != 1 {
		t.Errorf("%+v", st)
	}
	m.push(must(gate.Uplink(2, nil, false))(t), 5)
	local.untilState("Gate", "door", "acknowledged")
	if got := door.message(); !strings.Contains(got, `"value":1`) && !strings.HasSuffix(got, " 1") {
		t.Errorf("the door's state is %s", got)
	}
	sendCommand(t, g, "Gate", "door", "0")
	local.untilState("Gate", "door", "queued")
	deaf := func() { // the downlink leaves, and the device does not hear it
		t.Helper()
		m.push(must(gate.Uplink(2, nil, false))(t), 5)
		select {
		case <-m.emitted:
		case <-time.After(patience):
			t.Fatal("no downlink came")
		}
	}
	deaf()
	local.untilState("Gate", "door", "sent")
	deaf()
	if st := local.untilState("Gate", "door", "sent"); st.Sends != 2 {
		t.Errorf("%+v", st)
	}
	m.push(must(gate.Uplink(2, nil, false))(t), 5)
	if st := local.untilState("Gate", "door", "refused"); st.Sends != 2 || st.Reason == "" {
		t.Errorf("%+v", st)
	}

	// One that nobody fetches expires.
	sendCommand(t, g, "Lamp", "light", "1")
	local.untilState("Lamp", "light", "queued")
	if st := local.untilState("Lamp", "light", "expired"); st.Reason == "" {
		t.Errorf("%+v", st)
	}

	// A command that waits still waits after a clean stop and after a kill. States
	// stay, and those of a private device are its owner's.
	sendCommand(t, g, "Safe", "lock", "1", "-u", "ann", "-P", "password")
	if st := ann.untilState("Safe", "lock", "queued"); st.ID == "" {
		t.Errorf("%+v", st)
	}
	sendCommand(t, g, "Safe", "lock", "0") // a stranger's goes nowhere
	sendCommand(t, g, "Pump", "pump", "7")
	waiting := local.untilState("Pump", "pump", "queued")
	for _, payload := range append(local.out.snapshot(), door.out.snapshot()...) {
		if strings.Contains(payload, "Safe") {
			t.Errorf("a stranger sees %s", payload)
		}
	}
	for _, end := range []func(){func() { g.stop() }, func() { g.kill() }} {
		end()
		g = startGatewayFile(t, g.file)
		for _, want := range []struct{ device, actuator, state string }{
			{"Pump", "pump", "queued"}, {"Gate", "door", "refused"}, {"Lamp", "light", "expired"}} {
			if st := retained(t, g, want.device, want.actuator); st.State != want.state || want.device == "Pump" && st.ID != waiting.ID {
				t.Errorf("after a restart %+v, want %s", st, want.state)
			}
		}
		stranger := subscribe(t, g.mqtt, "-t", "devices/+/actuators/+/status")
		stranger.next = 0
		for range 3 {
			if got := stranger.message(); strings.Contains(got, "Safe") {
				t.Errorf("a stranger sees %s", got)
			}
		}
		ann = subscribe(t, g.mqtt, "-u", "ann", "-P", "password", "-t", "devices/Safe/#")
		ann.next = 0
		if st := ann.untilState("Safe", "lock", "queued"); string(st.Value) != "1" {
			t.Errorf("%+v", st)
		}
	}
	m = newMast(t, g, forwarderEUI)
	m.connected()
	local = subscribe(t, g.mqtt, "-t", "devices/Pump/#")
	if d = m.heard(pump, 2); !bytes.Equal(d.Payload, []byte{0xB0, 7}) {
		t.Errorf("the pump heard %+v", d)
	}
	if st := local.untilState("Pump", "pump", "sent"); st.ID != waiting.ID {
		t.Errorf("%+v", st)
	}
	if d = m.heard(abp(t, 4)); !bytes.Equal(d.Payload, []byte{1, 1, 1}) {
		t.Errorf("the safe heard %+v", d)
	}
	ann.untilState("Safe", "lock", "sent")
}

var dutyYAML = `
id: gw-1
data: DATA
listen: {mqtt: "127.0.0.1:0", http: "127.0.0.1:0"}
access: {anonymous: true}
devices: [{id: Siren, visibility: public, public_write: true}]
radios: [{driver: semtech, listen: "127.0.0.1:0", gateways: ["` + forwarderEUI + `"]}]
lorawan:
  region: EU868
  devices:
    - ` + abpYAML(1, "Siren", "codec: cayenne, class: C, rx2_frequency: 868.9, rx2_data_rate: 0, actuators: [{from: digital_out_1, id: horn}]") + `
`

// TestLoRaDutyCycle: when the sub-band is used up, a command waits and its state
// says until when; a restart gives nothing back.
func TestLoRaDutyCycle(t *testing.T) {
	t.Parallel()
	g := startScripts(t, t.TempDir(), dutyYAML, nil)
	local := subscribe(t, g.mqtt, "-t", "devices/#")
	m := newMast(t, g, forwarderEUI)
	m.connected()
	siren := abp(t, 1, func(c *node.Config) { c.ClassC = true })
	d, _ := m.exchange(siren, must(siren.Uplink(1, []byte{1, 0, 1}, false))(t)) // it is told where RX2 is to be
	if len(d.Commands) == 0 || siren.State().RX2Frequency != 868_900_000 {
		t.Fatalf("%+v: RX2 is at %d", d, siren.State().RX2Frequency)
	}
	answer := must(siren.Uplink(1, []byte{1, 0, 1}, true))(t)
	m.exchange(siren, answer)

	// 0.1 % of an hour are 3.6 s, of which each frame of SF12 takes more than one.
	air := time.Duration(0)
	var busy commandStatus
	for sent := 0; busy.State == ""; sent++ {
		sendCommand(t, g, "Siren", "horn", "1")
		var st commandStatus
		local.until("devices/Siren/actuators/horn/status", func(payload string) bool {
			st = parseStatus(t, payload)
			return st.State == "sent" || st.State == "queued" && st.Reason != ""
		})
		if st.State == "queued" {
			busy = st
			break
		}
		select {
		case e := <-m.emitted:
			if d, err := siren.Downlink(node.Received{Frame: e.Payload, Frequency: e.Frequency, Modulation: e.Modulation, After: time.Hour}); err != nil || d.Window != 0 || d.Port == frame.NoFPort {
				t.Fatalf("%+v: %v", d, err)
			}
			air += e.Airtime
			m.over(e)
		case <-time.After(patience):
			t.Fatal("it says sent, and nothing left")
		}
		if air > 3600*time.Millisecond {
			t.Fatalf("%v on the air, 3.6 s are allowed", air)
		}
	}
	if air == 0 || !strings.Contains(busy.Reason, "868.7-869.2") || !strings.Contains(busy.Reason, "possible at ") {
		t.Errorf("%v on the air, then %+v", air, busy)
	}
	t.Logf("%v on the air of 3.6 s, then: %s", air, busy.Reason)
	for _, end := range []func(){func() { g.stop() }, func() { g.kill() }} {
		end()
		g = startGatewayFile(t, g.file)
		local = subscribe(t, g.mqtt, "-q", "1", "-t", "devices/#")
		m = newMast(t, g, forwarderEUI)
		m.connected()
		m.push(must(siren.Uplink(1, []byte{1, 0, 1}, false))(t), 5) // now it knows by which radio
		g.errOut.await(t, "refusal", 0, func(l string) bool { return strings.Contains(l, "not sent") && strings.Contains(l, "possible at ") })
		// RX1 of this uplink is in another sub-band, and takes the command.
		local.untilState("Siren", "horn", "sent")
		var e fakeforwarder.Emission
		select {
		case e = <-m.emitted:
		case <-time.After(patience):
			t.Fatal("nothing left in RX1")
		}
		if e.Frequency == 868_900_000 {
			t.Error("sent where there is no time left")
		}
		sendCommand(t, g, "Siren", "horn", "1")
		local.until("devices/Siren/actuators/horn/status", func(payload string) bool {
			st := parseStatus(t, payload)
			if st.State == "sent" {
				t.Fatalf("a restart gave airtime back: %s", payload)
			}
			return st.State == "queued" && strings.Contains(st.Reason, "possible at ")
		})
	}
}
