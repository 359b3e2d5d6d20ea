package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

const opsYAML = `
id: gw-1
data: DATA
listen: {mqtt: "127.0.0.1:0", http: "127.0.0.1:0"}
log: {level: debug}
access: {anonymous: true, users: [{name: boss, password_hash: "HASH", admin: true}, {name: ann, password_hash: "HASH"}]}
devices: [{id: Well, visibility: public, public_write: true, actuators: [{id: valve}]}]
radios:
  - {driver: semtech, listen: "127.0.0.1:0", gateways: ["` + forwarderEUI + `"]}
  - {driver: sx127x, name: shield, bus: "spi:0.0"}
lorawan:
  region: EU868
  devices:
    - {device: Well, dev_eui: "` + nodeEUI + `", join_eui: "0000000000000000", app_key: "` + nodeKey + `", codec: well.js, adr: false}
    - METER
`

// TestLoRaForAdministrators: frames are seen by administrators only, and keys by
// nobody. A chip that is not there is told of, and the rest works.
func TestLoRaForAdministrators(t *testing.T) {
	t.Parallel()
	yaml := strings.NewReplacer("HASH", passwordHash(t), "METER", abpYAML(1, "Meter", "codec: xlpp")).Replace(opsYAML)
	g := startScripts(t, t.TempDir(), yaml, map[string]string{"well.js": wellJS})
	boss := subscribe(t, g.mqtt, "-u", "boss", "-P", "password", "-t", "#")
	shield := subscribe(t, g.mqtt, "-u", "boss", "-P", "password", "-t", "gateways/gw-1/radios/shield/status")
	live := []string{"-t", "gateways/gw-1/radio/rx", "-t", "gateways/gw-1/radio/tx", "-t", "gateways/gw-1/radios/+/status", "-t", "gateways/#", "-t", "#"}
	ann := subscribe(t, g.mqtt, append([]string{"-u", "ann", "-P", "password"}, live...)...)
	stranger := subscribe(t, g.mqtt, live...)
	p := spawn(t, commandFor(t, fieldgate(t), "radio", "listen", "--json", "--config", g.configFile()))
	p.errOut.await(t, "listening", 0, func(l string) bool { return strings.Contains(l, "listening") })
	m := newMast(t, g, forwarderEUI)
	m.connected()

	// The chip that is not there.
	if payload := shield.until("gateways/gw-1/radios/shield/status", containing(`"state":"failing"`)); !strings.Contains(payload, "spi") {
		t.Errorf("the shield tells %s", payload)
	}
	stranger.until("gateways/gw-1/status", func(payload string) bool {
		var st status
		if err := json.Unmarshal([]byte(payload), &st); err != nil {
			t.Fatal(err)
		}
		return st.Radios != nil && st.Radios.Failing == 1 && st.Radios.OK == 1
	})
	if health := get(t, g, "/healthz"); !strings.Contains(health, "radios: 1 failing") {
		t.Errorf("healthz: %s", health)
	}
	code, info, _ := command(t, "", "radio", "info", "--config", g.configFile())
	if code != exitError || !strings.Contains(info, "shield: failing") || !strings.Contains(info, forwarderEUI+": ok") {
		t.Errorf("info: %d %s", code, info)
	}

	// Everything else works.
	n := newTestNode(t)
	if d, _ := m.exchange(n, must(n.JoinRequest())(t)); !d.Joined {
		t.Fatalf("%+v", d)
	}
	sendCommand(t, g, "Well", "valve", "true")
	m.exchange(n, must(n.Uplink(2, []byte{9, 0xC4, 0}, false))(t))
	m.push(must(abp(t, 1).Uplink(1, []byte{1, 103, 0, 235}, false))(t), 5)
	bad := must(abp(t, 1).Uplink(1, []byte{1, 103, 0, 236}, false))(t)
	bad.Frame[len(bad.Frame)-1] ^= 1
	m.push(bad, 5)
	mustPublish(t, g.mqtt, "-q", "1", "-t", "devices/Well/sensors/level/value", "-m", "99")

	// What the administrator sees, each as it is on the air.
	for _, want := range []struct {
		topic string
		parts []string
	}{
		{"rx", []string{`"kind":"join request"`, `"radio":"` + forwarderEUI + `"`}},
		{"tx", []string{`"power":`, `"data_rate":"SF7BW125"`}},
		{"rx", []string{`"device":"Well"`, `"values":{`, `"level":25`}},
		{"tx", []string{`"sent":true`}},
	} {
		boss.until("gateways/gw-1/radio/"+want.topic, func(payload string) bool {
			for _, part := range want.parts {
				if !strings.Contains(strings.ReplaceAll(payload, "join-request", "join request"), part) {
					return false
				}
			}
			return true
		})
	}
	p.out.await(t, "the reading", 0, func(l string) bool { return strings.Contains(l, `"temperature_1":23.5`) })
	for name, s := range map[string]*subscriber{"ann": ann, "a stranger": stranger} {
		s.until("devices/Well/sensors/level/value", func(payload string) bool { return payload == "99" || strings.Contains(payload, `"value":99`) })
		for _, line := range s.out.snapshot() {
			if strings.HasPrefix(line, "MSG ") && (strings.Contains(line, "/radio/") || strings.Contains(line, "/radios/") || strings.Contains(line, "Meter")) {
				t.Errorf("%s sees %s", name, line)
			}
		}
	}

	// No key anywhere.
	metrics, page := get(t, g, "/metrics"), get(t, g, "/")
	_, checked, warned := command(t, "", "check", "--config", g.configFile())
	if code := g.stop(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	p.wait()
	state := n.State()
	meter := abp(t, 1).State()
	keys := map[string][]byte{"AppKey": must(hex.DecodeString(nodeKey))(t), "NwkSKey": state.NwkSKey[:], "AppSKey": state.AppSKey[:],
		"the meter's NwkSKey": meter.NwkSKey[:], "the meter's AppSKey": meter.AppSKey[:]}
	for where, text := range map[string]string{"the log": g.errOut.text() + g.out.text(), "a topic": boss.out.text() + shield.out.text(), "frames": p.out.text() + p.errOut.text(),
		"the metrics": metrics, "the page": page, "info": info, "check": checked + warned} {
		for name, key := range keys {
			for _, form := range []string{hex.EncodeToString(key), strings.ToUpper(hex.EncodeToString(key)), base64.StdEncoding.EncodeToString(key),
				strings.Trim(fmt.Sprint(key), "[]"), strings.ReplaceAll(strings.Trim(fmt.Sprint(key), "[]"), " ", ",")} {
				if strings.Contains(text, form) {
					t.Errorf("%s is in %s as %s", name, where, form)
				}
			}
		}
	}
	if !strings.Contains(g.errOut.text(), "level=DEBUG") {
		t.Error("the log has no debug lines: this test tests little")
	}
}

const loopYAML = `
id: gw-1
data: DATA
listen: {mqtt: "127.0.0.1:0", http: "127.0.0.1:0"}
access: {anonymous: true, users: [{name: boss, password_hash: "HASH", admin: true}]}
devices:
  - {id: Mill, visibility: public, public_write: true, actuators: [{id: wheel}]}
  - {id: Well, visibility: public, public_write: true, actuators: [{id: valve}]}
  - {id: Meter, visibility: public}
radios: [{driver: semtech, listen: "127.0.0.1:0", gateways: ["aa555a0000000101", "aa555a0000000102", "aa555a0000000103"]}]
lorawan:
  region: EU868
  devices: [DEVICES]
`

// TestLoRaScriptThatLoops: a script that never ends holds up its own device only.
func TestLoRaScriptThatLoops(t *testing.T) {
	t.Parallel()
	devices := strings.Join([]string{abpYAML(1, "Mill", "codec: loop.js"), abpYAML(2, "Well", "codec: well.js"), abpYAML(3, "Meter", "codec: xlpp")}, ", ")
	g := startScripts(t, t.TempDir(), strings.NewReplacer("HASH", passwordHash(t), "DEVICES", devices).Replace(loopYAML), map[string]string{
		"well.js": wellJS, "loop.js": "function decodeUplink(input) { for (;;) {} }\nfunction encodeDownlink(input) { for (;;) {} }"})
	boss := subscribe(t, g.mqtt, "-u", "boss", "-P", "password", "-t", "devices/#", "-t", "gateways/gw-1/radio/rx")
	var masts [3]*mast // one sends at a time, and all are answered
	for i := range masts {
		masts[i] = newMast(t, g, fmt.Sprintf("aa555a00000001%02x", i+1))
		masts[i].connected()
	}
	mill, well, meter := abp(t, 1), abp(t, 2), abp(t, 3)
	const loops = 3
	sendCommand(t, g, "Well", "valve", "true")
	for range loops {
		masts[0].push(must(mill.Uplink(1, []byte{1}, false))(t), 5)
	}
	u := must(well.Uplink(2, []byte{9, 0xC4, 0}, false))(t)
	end := masts[1].push(u, 5)
	masts[2].push(must(meter.Uplink(1, []byte{1, 103, 0, 235}, false))(t), 5)

	// The readings of the others come before the script was stopped for the last time.
	from := boss.next
	boss.until("devices/Meter/sensors/temperature_1/value", containing("23.5"))
	boss.next = from
	boss.until("devices/Well/sensors/level/value", containing("25"))
	stopped := 0
	for _, line := range boss.out.snapshot()[:boss.next] {
		if strings.Contains(line, `"device":"Mill"`) && strings.Contains(line, `"error":`) {
			stopped++
		}
	}
	if stopped == loops {
		t.Error("the others have waited for the script that loops")
	}
	if d, _ := masts[1].emission(well, end); d.Window != 1 || len(d.Payload) != 2 {
		t.Errorf("the well heard %+v", d)
	}
	boss.untilState("Well", "valve", "sent")

	// A command that it cannot encode is refused.
	sendCommand(t, g, "Mill", "wheel", "1")
	if st := boss.untilState("Mill", "wheel", "refused"); st.Reason == "" {
		t.Errorf("%+v", st)
	}
	masts[1].push(must(well.Uplink(2, []byte{9, 0xC5, 0}, false))(t), 5)
	boss.until("devices/Well/sensors/level/value", containing("25.01"))
	if code := g.stop(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	if strings.Contains(g.errOut.text(), "panic") {
		t.Error("a panic")
	}
}

const aloneYAML = `
id: gw-1
data: DATA
listen: {mqtt: "127.0.0.1:0", http: "127.0.0.1:0"}
radios:
  - {driver: fake, name: air, nodes: [Station], data_rate: SF7BW125}
  - {driver: semtech, listen: "127.0.0.1:0", gateways: ["` + forwarderEUI + `"]}
  - {driver: sx126x, name: shield, bus: "spi:0.0"}
lorawan:
  region: EU868
  devices:
    - {device: Station, dev_eui: "` + nodeEUI + `", join_eui: "0000000000000000", app_key: "` + nodeKey + `", codec: cayenne}
`

// TestRadioCommandsAlone: the commands for radios without a gateway that runs, and
// their exit statuses, which scripts look at.
func TestRadioCommandsAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	g := startScripts(t, dir, aloneYAML, nil)
	file := filepath.Join(dir, "fieldgate.yaml")
	type row struct {
		args     string
		code     int
		out, err string
	}
	try := func(rows []row) {
		t.Helper()
		for _, c := range rows {
			code, out, errOut := command(t, "", append(append([]string{"radio"}, strings.Fields(c.args)...), "--config", file)...)
			if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errOut, c.err) {
				t.Errorf("radio %s: %d\n%s%s", c.args, code, out, errOut)
			}
			if all := out + errOut; strings.Contains(all, nodeKey) || strings.Contains(all, "goroutine ") {
				t.Errorf("radio %s says %s", c.args, all)
			}
		}
	}
	try([]row{ // while it runs
		{"listen --count 1 --radio air", 0, "air 868.100 SF7BW125", "listening"}, // so it is up
		{"info", 1, "shield: failing", ""},
		{"info --radio air", 0, "air: ok", ""},
		{"info --radio nowhere", 2, "", "shield"},
		{"listen --for 10ms --radio shield", 0, "", ""},
		{"send --radio air --data-rate SF7BW125 c0ffee", 0, "sent", ""},
		{"send c0ffee", 1, "", "name one"},
		{"send --radio air c0ffe", 2, "", "hex"},
		{"send --radio air --data-rate SF99 c0ffee", 2, "", "SF99"},
		{"send --radio nowhere c0ffee", 1, "", "nowhere"},
		{"send --radio shield c0ffee", 1, "", "spi"},
		{"send --radio " + forwarderEUI + " c0ffee", 1, "", forwarderEUI},
	})
	p := spawn(t, commandFor(t, fieldgate(t), "radio", "listen", "--config", file))
	p.errOut.await(t, "listening", 0, func(l string) bool { return strings.Contains(l, "listening") })
	if code := g.stop(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	if code := p.wait(); code != exitError || !strings.Contains(p.errOut.text(), "has ended") {
		t.Errorf("listening to a gateway that ends: %d %s", code, p.errOut.text())
	}
	try([]row{ // and while it does not
		{"info", 1, "fault", ""},
		{"info --radio air", 0, "simulated", ""},
		{"info --radio shield", 1, "spi", ""},
		{"info --radio nowhere", 2, "", "nowhere"},
		{"listen --count 1 --radio air --json", 0, `"kind":"join`, ""},
		{"listen --for 10ms --radio air", 0, "", ""},
		{"listen --count 1 --radio shield --for 10ms", 0, "", ""},
		{"send --radio air --data-rate SF7BW125 c0ffee", 0, "sent", ""},
		{"send --radio air --data-rate SF7BW125 c0ffe", 2, "", "hex"},
		{"send --radio air --data-rate SF99 c0ffee", 2, "", "SF99"},
		{"send --radio air", 2, "", "payload"},
		{"send --radio semtech c0ffee", 2, "", "packet forwarders"},
		{"send c0ffee", 2, "", "name one"},
		{"send --radio shield c0ffee", 1, "", "spi"},
		{"send --radio nowhere c0ffee", 2, "", "nowhere"},
	})
	for _, c := range []row{
		{"boards", 0, "dragino-hat", ""},
		{"boards --markdown", 0, "| ", ""},
		{"info --board dragino-hat", 1, "fault", ""},
		{"info --board dragino", 2, "", "dragino-hat"},
		{"info", 2, "", "config"},
		{"", 2, "", ""},
	} {
		if code, out, errOut := command(t, "", append([]string{"radio"}, strings.Fields(c.args)...)...); code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errOut, c.err) {
			t.Errorf("radio %s: %d\n%s%s", c.args, code, out, errOut)
		}
	}
}
