package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hardwareYAML is a gateway on the simulated board: the drivers are those of a
// real one.
const hardwareYAML = `
id: gw-1
data: DATA
listen: {mqtt: "127.0.0.1:0", http: "127.0.0.1:0"}
access: {anonymous: true}
devices:
  - {id: Mast, visibility: public}
  - {id: Box, visibility: public, public_write: true}
  - {id: Secret, visibility: private}
sensors:
  - {driver: bme280, bus: "i2c:sim", device: Mast, every: 200ms, channels: {temperature: {offset: 100, limits: [0, 1000]}, humidity: {limits: [-2, -1]}}}
  - {driver: lm75, bus: "i2c:sim", address: 0x4a, device: Mast, sensor: absent, every: 200ms}
  - {driver: lm75, bus: "i2c:999", device: Mast, sensor: nobus, every: 200ms}
  - {driver: lm75, bus: "i2c:sim", address: 0x4f, device: Secret, sensor: inside, every: 200ms}
  - {driver: gpio-in, pin: "sim:20", device: Box, sensor: contact, every: 1h}
  - {driver: gpio-counter, pin: "sim:21", edge: rising, device: Box, sensor: pulses, every: 200ms}
actuators:
  - {driver: gpio-out, pin: "sim:4", device: Box, actuator: relay, active_low: false}
  - {driver: gpio-out, pin: "sim:5", device: Box, actuator: valve}
UPLINK`

func hardwareConfig(uplink string) string { return strings.Replace(hardwareYAML, "UPLINK", uplink, 1) }

// until gives the payload of the next message on a topic that is as wanted.
func (s *subscriber) until(topic string, ok func(payload string) bool) string {
	s.t.Helper()
	from := s.next
	for deadline := time.Now().Add(patience); ; {
		if time.Now().After(deadline) {
			s.t.Fatalf("nothing that was wanted on %s; there was:\n%s", topic, strings.Join(s.out.snapshot()[from:s.next], "\n"))
		}
		got, payload, _ := strings.Cut(strings.TrimPrefix(s.message(), "retained "), " ")
		if got == topic && ok(payload) {
			return payload
		}
	}
}

func containing(part string) func(string) bool {
	return func(payload string) bool { return strings.Contains(payload, part) }
}

// TestAttachedChips: what drivers read of register-level chips is on the local
// broker, calibrated; what fails says why on its retained topic, for those who
// may see the device, and holds up nothing else.
func TestAttachedChips(t *testing.T) {
	g := startGateway(t, t.TempDir(), hardwareConfig(""))
	s := subscribe(t, g.mqtt, "-t", "devices/+/sensors/+/value", "-t", "devices/+/sensors/+/status")
	status := func(sensor, want string) {
		t.Helper()
		topic := "devices/Mast/sensors/" + sensor + "/status"
		payload := subscribe(t, g.mqtt, "-t", topic).until(topic, containing(`"state":"`+want+`"`))
		var st partStatus
		if err := json.Unmarshal([]byte(payload), &st); err != nil || st.Driver == "" || st.Bus == "" || (st.Error == "") != (want == "ok") {
			t.Errorf("%s: %s (%v)", sensor, payload, err)
		}
	}
	var v struct {
		Value float64 `json:"value"`
	}
	payload := s.until("devices/Mast/sensors/temperature/value", containing("value"))
	if err := json.Unmarshal([]byte(payload), &v); err != nil || v.Value < 100 || v.Value > 160 {
		t.Errorf("temperature %s: %v", payload, err)
	}
	for sensor, want := range map[string][]string{
		"absent":   {"lm75", "i2c:sim", "address 0x4a"},
		"nobus":    {"i2c:999", "i2c-dev"},
		"humidity": {"outside its limits"},
	} {
		late := subscribe(t, g.mqtt, "-t", "devices/Mast/sensors/"+sensor+"/status")
		st := late.until("devices/Mast/sensors/"+sensor+"/status", containing("failing"))
		for _, w := range want {
			if !strings.Contains(st, w) {
				t.Errorf("the status of %s does not say %q: %s", sensor, w, st)
			}
		}
	}
	status("pressure", "ok")
	status("temperature", "ok")
	for _, l := range s.out.snapshot() {
		if strings.Contains(l, "devices/Secret/") || strings.Contains(l, "sensors/humidity/value") || strings.Contains(l, "sensors/absent/value") {
			t.Errorf("an anonymous client got %s", l)
		}
	}
	if health := get(t, g, "/healthz"); !strings.Contains(health, "sensors: 3 failing") || strings.Contains(health, "Mast") {
		t.Errorf("/healthz says %q", health)
	}
	if page := get(t, g, "/"); !strings.Contains(page, "i2c:999 is not there") || strings.Contains(page, "inside") {
		t.Errorf("the page: %s", page)
	}
	var st struct{ Sensors, Actuators hardwareStatus }
	if err := json.Unmarshal([]byte(get(t, g, "/status")), &st); err != nil || st.Sensors.Failing != 3 || st.Sensors.OK < 3 || st.Actuators.OK != 2 {
		t.Errorf("/status: %+v, %v", st, err)
	}
	if m := get(t, g, "/metrics"); !strings.Contains(m, `fieldgate_sensor_ok{device="Mast",driver="lm75",sensor="absent"} 0`) ||
		!strings.Contains(m, `fieldgate_actuator_ok{actuator="relay",device="Box",driver="gpio-out"} 1`) {
		t.Errorf("/metrics: %s", m)
	}
	// Nobody but the gateway says how its sensors are.
	mustPublish(t, g.mqtt, "-q", "1", "-r", "-t", "devices/Box/sensors/contact/status", "-m", "forged")
	s3 := subscribe(t, g.mqtt, "-t", "devices/Box/sensors/contact/status")
	if m := s3.message(); strings.Contains(m, "forged") {
		t.Errorf("a client's word is retained: %s", m)
	}
}

// TestRelay: a command in any form, from anywhere, switches; the state that was
// reached is published, logged and in the cloud, and the line has moved.
func TestRelay(t *testing.T) {
	cloud := startMosquitto(t)
	g := startGateway(t, t.TempDir(), hardwareConfig("uplink: [{name: cloud, url: \""+cloud.url()+"\"}]"))
	const relay, contact = "devices/Box/actuators/relay/value", "devices/Box/sensors/contact/value"
	up := subscribe(t, "127.0.0.1:"+cloud.port, "-q", "1", "-t", relay)
	awaitSubscribed(t, cloud, "gw-1-down")
	lan := subscribe(t, g.mqtt, "-q", "1", "-t", relay)
	line := subscribe(t, g.mqtt, "-q", "1", "-t", contact)
	pulses := subscribe(t, g.mqtt, "-q", "1", "-t", "devices/Box/sensors/pulses-total/value")
	on := true
	confirmed := func(s *subscriber) {
		t.Helper()
		want := `{"value":` + map[bool]string{true: "true", false: "false"}[on] + `,`
		s.until(relay, func(p string) bool { return strings.HasPrefix(p, want) })
	}
	for _, payload := range []string{"true", "false", `"on"`, `{"value": 0}`, "1", `{"value": "OFF"}`} {
		mustPublish(t, g.mqtt, "-q", "1", "-t", relay, "-m", payload)
		lan.until(relay, func(p string) bool { return p == payload }) // handed on as it came
		confirmed(lan)
		confirmed(up)
		line.until(contact, containing(map[bool]string{true: `"value":true`, false: `"value":false`}[on]))
		on = !on
	}
	mustPublish(t, "127.0.0.1:"+cloud.port, "-q", "1", "-t", relay, "-m", "true")
	line.until(contact, containing(`"value":true`))
	confirmed(lan)
	confirmed(up)
	on = false
	res, err := http.Post("http://"+g.http+"/devices/Box/actuators/relay/value", "application/json", strings.NewReader("false"))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode/100 != 2 {
		t.Errorf("HTTP: %s", res.Status)
	}
	line.until(contact, containing(`"value":false`))
	confirmed(lan)

	for _, bad := range []string{`"up"`, "2", "[true]", `{"value": null}`} {
		if _, out := publish(t, g.mqtt, "-V", "5", "-q", "1", "-d", "-t", relay, "-m", bad); !strings.Contains(out, "RC:153") {
			t.Errorf("%s was taken: %s", bad, out)
		}
		res, err := http.Post("http://"+g.http+"/devices/Box/actuators/relay/value", "application/json", strings.NewReader(bad))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusBadRequest && res.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("HTTP took %s: %s", bad, res.Status)
		}
	}

	// The valve's line is wired to a counter: three pulses, and the total goes on
	// after a restart.
	for range 3 {
		mustPublish(t, g.mqtt, "-q", "1", "-t", "devices/Box/actuators/valve/value", "-m", "true")
		mustPublish(t, g.mqtt, "-q", "1", "-t", "devices/Box/actuators/valve/value", "-m", "false")
	}
	pulses.until("devices/Box/sensors/pulses-total/value", containing(`"value":3`))
	_, log := exportUntil(t, g, `"command"`, 14)
	if strings.Contains(log, `"up"`) {
		t.Errorf("what is no command is in the log:\n%s", log)
	}
	// Nobody waits for the disk with a sensor's values: what goes on after a power
	// cut is what was on it.
	exportUntil(t, g, `"channel":"pulses-total","value":3`, 1)
	g.kill()
	g = startGatewayFile(t, g.file)
	pulses = subscribe(t, g.mqtt, "-q", "1", "-t", "devices/Box/#")
	mustPublish(t, g.mqtt, "-q", "1", "-t", "devices/Box/actuators/valve/value", "-m", "true")
	pulses.until("devices/Box/sensors/pulses-total/value", containing(`"value":4`))
	mustPublish(t, g.mqtt, "-q", "1", "-t", relay, "-m", "true")
	pulses.until(contact, containing(`"value":true`))

	// The end: off, and said so.
	if code := g.stop(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	_, out, _ := command(t, "", "log", "export", "--config", g.file, "--format", "csv")
	var last string
	for l := range strings.Lines(out) {
		if strings.Contains(l, "actuator") && strings.Contains(l, "relay") {
			last = l
		}
	}
	if !strings.Contains(last, "false") {
		t.Errorf("the relay's last state in the log: %q", last)
	}
}

// TestMaxOnHoldsThroughAKill: a pump that may run for two seconds does not run
// longer because the gateway died.
func TestMaxOnHoldsThroughAKill(t *testing.T) {
	yaml := strings.NewReplacer("device: Box, actuator: relay, active_low: false", "device: Box, actuator: relay, initial: keep, on_stop: keep, max_on: 2s").Replace(hardwareConfig(""))
	g := startGateway(t, t.TempDir(), yaml)
	const relay = "devices/Box/actuators/relay/value"
	s := subscribe(t, g.mqtt, "-q", "1", "-t", relay)
	mustPublish(t, g.mqtt, "-q", "1", "-t", relay, "-m", "true")
	s.until(relay, containing(`"value":true`))
	g.kill()
	g = startGatewayFile(t, g.file)
	g.errOut.await(t, "the limit", 0, func(l string) bool { return strings.Contains(l, "max_on") })
	s = subscribe(t, g.mqtt, "-q", "1", "-t", "devices/Box/actuators/relay/status")
	s.until("devices/Box/actuators/relay/status", containing(`"value":false`))
}

// TestFatalSignals: systemd's watchdog and others end the gateway with status 1,
// which has systemd start it again, and say where it was. The outputs are in their
// on_stop then; signals that do nothing to a Go program do nothing to it.
func TestFatalSignals(t *testing.T) {
	for _, sig := range fatalSignals {
		g := startGateway(t, t.TempDir(), hardwareConfig(""))
		if err := g.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if code := g.wait(); code != exitError {
			t.Errorf("%v: exit status %d", sig, code)
		}
		if !strings.Contains(g.errOut.text(), "goroutine ") {
			t.Errorf("%v leaves no trace of the goroutines", sig)
		}
	}
	g := startGateway(t, t.TempDir(), hardwareConfig(""))
	for _, sig := range []syscall.Signal{syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGPROF, syscall.SIGXFSZ, syscall.SIGIO} {
		if err := g.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	get(t, g, "/healthz")
	if code := g.stop(); code != 0 {
		t.Errorf("after signals that mean nothing: exit status %d", code)
	}
}

// TestCrash: a panic that nobody catches is no mistake in the configuration, for
// which systemd would leave the gateway down.
func TestCrash(t *testing.T) {
	if os.Getenv("FIELDGATE_TEST_CRASH") != "" {
		abortOnCrash()
		signal.Notify(make(chan os.Signal, 1), fatalSignals...) // as lastWords does
		go func() { panic("a bug") }()
		select {}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrash$")
	cmd.Env = append(os.Environ(), "FIELDGATE_TEST_CRASH=1")
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if !errors.As(err, &ended) || !strings.Contains(string(out), "a bug") {
		t.Fatalf("%v\n%s", err, out)
	}
	if w := ended.Sys().(syscall.WaitStatus); !w.Signaled() || w.Signal() != syscall.SIGABRT {
		t.Errorf("ended with %v", ended)
	}
}

// TestStatesAtTheStart: what was not read yet says so, and does not seem to be as
// it was before the restart.
func TestStatesAtTheStart(t *testing.T) {
	g := startGateway(t, t.TempDir(), hardwareConfig(""))
	const topic = "devices/Mast/sensors/pressure/status"
	absentee := []string{"-c", "-i", "absentee", "-q", "1", "-t", topic}
	s := subscribe(t, g.mqtt, absentee...)
	s.until(topic, containing(`"state":"ok"`))
	s.stop()
	if code := g.stop(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	g = startGatewayFile(t, g.file)
	s = subscribe(t, g.mqtt, absentee...)
	s.next = 0 // what was held comes before the SUBACK
	if m := s.message(); !strings.Contains(m, `"state":"waiting"`) {
		t.Errorf("the first word is %s", m)
	}
	s.until(topic, containing(`"state":"ok"`))
}

// TestReloadWithoutADevice: its sensors go on being read and say that they have no
// device any more, to nobody; with the device they are back.
func TestReloadWithoutADevice(t *testing.T) {
	g := startGateway(t, t.TempDir(), hardwareConfig(""))
	const value = "devices/Mast/sensors/temperature/value"
	s := subscribe(t, g.mqtt, "-t", "devices/Mast/#")
	s.until(value, containing("value"))
	all, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	var without strings.Builder
	for l := range strings.Lines(string(all)) {
		if !strings.Contains(l, "Mast") {
			without.WriteString(l)
		}
	}
	reload := func(text string, want ...string) {
		t.Helper()
		seen := len(g.errOut.snapshot())
		if err := os.WriteFile(g.file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			g.errOut.await(t, w, seen, func(l string) bool { return strings.Contains(l, w) })
		}
	}
	reload(without.String(), "configuration reloaded", "sensors or actuators have changed", "unknown device")
	mustPublish(t, g.mqtt, "-q", "1", "-t", "devices/Box/sensors/contact/value", "-m", "1") // the rest runs
	late := subscribe(t, g.mqtt, "-t", "devices/Mast/#", "-t", "devices/Box/sensors/contact/status")
	if m := late.message(); strings.Contains(m, "Mast") {
		t.Errorf("of a device that is gone somebody sees %s", m)
	}
	reload(string(all), "configuration reloaded", "sensor is back")
	late.until(value, containing("value"))
	if code := g.stop(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// TestRelease: what the service manager runs after each end.
func TestRelease(t *testing.T) {
	g := startGateway(t, t.TempDir(), hardwareConfig(""))
	if code, _, errOut := command(t, "", "release", "--config", g.file); code != exitError || !strings.Contains(errOut, "the gateway runs") {
		t.Errorf("while it runs: %d %s", code, errOut)
	}
	g.kill()
	if code, _, errOut := command(t, "", "release", "--config", g.file); code != 0 {
		t.Errorf("after a kill: %d %s", code, errOut)
	}
	file := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(file, []byte("devices: [{id: D}]\nactuators: [{driver: gpio-out, pin: 'gpiochip99:1', device: D, actuator: a}]\ndata: "+t.TempDir()), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := command(t, "", "release", "--config", file); code != exitError || !strings.Contains(errOut, "gpiochip99:1") {
		t.Errorf("no such line: %d %s", code, errOut)
	}
}

// TestReadOnce reads one chip from the command line.
func TestReadOnce(t *testing.T) {
	for _, c := range []struct {
		args     string
		code     int
		out, err string
	}{
		{"--driver lm75 --bus i2c:sim --address 0x4f", 0, "temperature ", ""},
		{"--driver=bme280 --bus=i2c:sim", 0, "pressure ", ""},
		{"--driver ads1115 bus=i2c:sim channel=1 unit=Percent scale=10", 0, " Percent", ""},
		{"--driver fake -o min=3 -o max=3 --offset 1", 0, "fake 4.00\n", ""},
		{"--driver gpio-in --pin sim:3", 0, "gpio-in ", ""},
		{"--driver lm75 --bus i2c:sim --address 0x49", 1, "", "address 0x49"},
		{"--driver lm75 --bus i2c:99", 1, "", "i2c:99"},
		{"--driver lm76", 2, "", "did you mean lm75?"},
		{"--driver lm75 --speed 3", 2, "", "unknown key"},
		{"lm75", 2, "", "key=value"},
		{"--help", 0, "Usage: fieldgate read", ""},
	} {
		code, out, errOut := command(t, "", append([]string{"read"}, strings.Fields(c.args)...)...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errOut, c.err) || c.err == "" && errOut != "" {
			t.Errorf("read %s: %d\n%s%s", c.args, code, out, errOut)
		}
	}
}

// TestNobodyReadsTheLog: whoever read standard error goes away, as journald does
// when it is restarted; the gateway goes on without.
func TestNobodyReadsTheLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fieldgate.yaml")
	yaml := strings.ReplaceAll(hardwareConfig(""), "DATA", t.TempDir())
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(fieldgate(t), "run", "--config", file)
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	_ = w.Close()
	var mqtt, http string
	for lines := bufio.NewScanner(r); mqtt == "" && lines.Scan(); {
		for _, m := range readyField.FindAllStringSubmatch(lines.Text(), -1) {
			switch m[1] {
			case "mqtt":
				mqtt = m[2]
			case "http":
				http = m[2]
			}
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	g := &gatewayProcess{mqtt: mqtt, http: http}
	for _, bad := range []string{"devices/Box/nothing", "devices/Box/actuators/relay/value", "devices/None/sensors/x/value"} {
		publish(t, g.mqtt, "-q", "1", "-t", bad, "-m", "not JSON") // each refusal is logged
	}
	get(t, g, "/healthz")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-exited:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("it does not end")
	}
}
