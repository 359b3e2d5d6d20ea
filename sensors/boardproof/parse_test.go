package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"fieldgate/sensors/boardproof/console"
)

func TestParseValue(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{"value":24.5,"timestamp":"1970-01-01T00:00:09Z"}`, "24.5"},
		{`{"value": true}`, "true"},
		{`{"value":"on"}`, `"on"`},
		{" 24.5\n", "24.5"},
		{"true", "true"},
		{`"on"`, `"on"`},
		{"null", "null"},
		{`{"state":"failed"}`, ""},
		{"24,5", ""},
		{"", ""},
	} {
		got, err := parseValue(c.text)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q: %q, %v", c.text, got, err)
		}
	}
}

func TestHasValue(t *testing.T) {
	for _, c := range []struct {
		payload, want string
		has           bool
	}{
		{`{"value":21.0}`, "21", true},
		{"-10.50", "-10.5", true},
		{"21.5", "21", false},
		{"true", "true", true},
		{"true", "false", false},
		{"1", "true", false},
		{`"21"`, "21", false},
		{"", "21", false},
		{"{}", "21", false},
	} {
		if has := hasValue(c.payload, c.want); has != c.has {
			t.Errorf("%q has %s: %v", c.payload, c.want, has)
		}
	}
}

func TestParseRegister(t *testing.T) {
	for _, c := range []struct {
		words string
		want  uint32
		ok    bool
	}{
		{"0x0000000000200000", 0x200000, true},
		{"0xffffffff", 0xffffffff, true},
		{"0x100000000", 0, false},
		{"", 0, false},
		{"0x1 0x2", 0, false},
		{"high", 0, false},
	} {
		if got, err := parseRegister(strings.Fields(c.words)); got != c.want || (err == nil) != c.ok {
			t.Errorf("%q: %#x, %v", c.words, got, err)
		}
	}
}

func TestParseQMP(t *testing.T) {
	for _, c := range []struct {
		line, want string
		ok         bool
	}{
		{`{"return": {}}`, "{}", true},
		{`{"return": "x\r\n"}`, `"x\r\n"`, true},
		{`{"timestamp": {"seconds": 1}, "event": "SHUTDOWN", "data": {}}`, "", true},
		{`{"error": {"class": "DeviceNotFound", "desc": "no chip"}}`, "", false},
		{`{}`, "", false},
		{`{"return`, "", false},
	} {
		if got, err := parseQMP([]byte(c.line)); string(got) != c.want || (err == nil) != c.ok {
			t.Errorf("%q: %q, %v", c.line, got, err)
		}
	}
}

func TestParseForward(t *testing.T) {
	const table = "Hub -1 (lan):\r\n" +
		"  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n" +
		"  TCP[ESTABLISHED]   15       10.0.2.15 50000       127.0.0.1  1883     0     0\r\n" +
		"  TCP[HOST_FORWARD]  13       127.0.0.1 40001       10.0.2.15    80     0     0\r\n" +
		"  TCP[HOST_FORWARD]  14       127.0.0.1 40002       10.0.2.15  1883     0     0\r\n"
	if port, err := parseForward(table, "1883"); port != "40002" || err != nil {
		t.Error(port, err)
	}
	for _, missing := range []string{"8080", "0"} {
		if port, err := parseForward(table, missing); err == nil {
			t.Error(missing, port)
		}
	}
}

func TestFindConfiguration(t *testing.T) {
	const line = `  - {driver: lm75, bus: "i2c:1", address: 0x48, device: MyDevice, sensor: lm75}`
	for _, c := range []struct {
		name  string
		lines []string
		ok    bool
	}{
		{"it", []string{"i2c:1 0x48: lm75", line}, true},
		{"no line to paste", []string{"i2c:1 0x48: lm75"}, false},
		{"another address", []string{strings.Replace(line, "0x48", "0x49", 1)}, false},
		{"over two lines", []string{"# driver: lm75 i2c:1", "# 0x48"}, false},
		{"nothing", nil, false},
	} {
		if err := findConfiguration(c.lines, "lm75", "i2c:1", "0x48"); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestCalls: what the board says reaches the call that it belongs to.
func TestCalls(t *testing.T) {
	m := newMachine(io.Discard)
	var sent strings.Builder
	m.tty = nopCloser{&sent}
	first, err := m.ask(console.Request{Do: console.Start, Args: []string{"/bin/true"}})
	if err != nil {
		t.Fatal(err)
	}
	second, err := m.ask(console.Request{Do: console.Subscribe, Topic: "#"})
	if err != nil {
		t.Fatal(err)
	}
	var r console.Request
	lines := strings.SplitAfter(sent.String(), "\n")
	if ok, err := console.Decode([]byte(lines[0]), &r); !ok || err != nil || r.ID != first.id || r.Args[0] != "/bin/true" {
		t.Fatalf("%+v, %v", r, err)
	}
	say := func(e console.Event) {
		line, err := console.Encode(e)
		if err != nil {
			t.Error(err)
		}
		m.hear(line)
	}
	m.hear([]byte("[    1.0] usb 1-1: new device\r\n"))
	say(console.Event{ID: second.id, Is: console.Message, Topic: "t", Text: "1"})
	say(console.Event{ID: first.id, Is: console.Out, Text: "hello"})
	say(console.Event{ID: first.id, Is: console.Done, Exit: 3})
	say(console.Event{ID: 99, Is: console.Done})
	if err := first.done(t.Context()); err == nil || !strings.Contains(err.Error(), "3") {
		t.Errorf("exit status 3 is fine: %v", err)
	}
	if _, err := first.await(t.Context(), ends); !errors.Is(err, errEnded) {
		t.Errorf("after its end: %v", err)
	}
	go func() {
		say(console.Event{ID: second.id, Is: console.Message, Topic: "other", Text: "2"})
		say(console.Event{ID: second.id, Is: console.Message, Topic: "t", Text: `{"value":2}`})
	}()
	if err := second.awaitValue(t.Context(), "t", "2"); err != nil {
		t.Error(err)
	}
	why := errors.New("too late")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if err := second.awaitValue(ctx, "t", "3"); !errors.Is(err, why) {
		t.Error(err)
	}
	go m.end(io.EOF)
	if err := second.awaitValue(t.Context(), "t", "3"); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if tail := strings.Join(m.console(), "\n"); !strings.Contains(tail, "usb 1-1") || !strings.Contains(tail, "exit status 3") {
		t.Errorf("the console's end: %s", tail)
	}
}

// TestAwaitTotal: too many pulses are as wrong as too few.
func TestAwaitTotal(t *testing.T) {
	for _, c := range []struct {
		totals []string
		ok     bool
	}{
		{[]string{"0", "7", `{"value":10}`}, true},
		{[]string{"9", "11"}, false},
		{[]string{"9"}, false},
		{nil, false},
	} {
		m := newMachine(io.Discard)
		counter := m.expect(1)
		for _, total := range c.totals {
			counter.events = append(counter.events, console.Event{ID: 1, Is: console.Message, Topic: "t", Text: total})
		}
		m.end(io.EOF)
		if err := counter.awaitTotal(t.Context(), "t", 10); (err == nil) != c.ok {
			t.Errorf("%q: %v", c.totals, err)
		}
	}
}

// TestTail keeps the last lines only.
func TestTail(t *testing.T) {
	m := newMachine(io.Discard)
	for i := range 3 * kept {
		m.note(fmt.Sprintln("line", i))
	}
	if tail := m.console(); len(tail) != kept || tail[kept-1] != fmt.Sprint("line ", 3*kept-1) {
		t.Errorf("%d lines, the last %q", len(tail), tail[len(tail)-1])
	}
}

// TestSockets: both protocols with a QEMU that interrupts itself.
func TestSockets(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		defer theirs.Close()
		in := bufio.NewReader(theirs)
		io.WriteString(theirs, `{"QMP": {}}`+"\r\n")
		for _, answer := range []string{
			`{"return": {}}`,
			`{"event": "RTC_CHANGE"}` + "\r\n" + `{"return": "none\r\n"}`,
			`{"error": {"class": "GenericError", "desc": "no such chip"}}`,
		} {
			if _, err := in.ReadString('\n'); err != nil {
				return
			}
			io.WriteString(theirs, answer+"\r\n")
		}
	}()
	q := &qmp{ours, bufio.NewReader(ours)}
	if err := q.open(); err != nil {
		t.Fatal(err)
	}
	if text, err := q.human("info usernet"); text != "none\r\n" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if err := q.setTemperature("chip", 1); err == nil || !strings.Contains(err.Error(), "no such chip") {
		t.Error(err)
	}
	if err := q.setTemperature("chip", 1); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}

	ours, theirs = net.Pipe()
	defer ours.Close()
	go func() {
		defer theirs.Close()
		in := bufio.NewReader(theirs)
		for _, c := range []struct{ want, answer string }{
			{"readl 0x20200034\n", "OK 0x0000000000200000\n"},
			{"set_irq_in /machine/soc/gpio1 unnamed-gpio-in 7 1\n", "OK\n"},
			{"set_irq_in /nothing unnamed-gpio-in 7 0\n", "FAIL Unknown device\n"},
		} {
			if got, err := in.ReadString('\n'); err != nil || got != c.want {
				return
			}
			io.WriteString(theirs, c.answer)
		}
	}()
	p := &qtest{ours, bufio.NewReader(ours)}
	if v, err := p.register(gplev0); v != 1<<relayPin || err != nil {
		t.Errorf("%#x, %v", v, err)
	}
	if err := p.drive(gpio1, pulsesPin, true); err != nil {
		t.Error(err)
	}
	if err := p.drive("/nothing", pulsesPin, false); err == nil {
		t.Error("a pin that is not there was driven")
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
