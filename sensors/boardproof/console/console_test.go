package console

import (
	"reflect"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	for _, want := range []Event{
		{Is: Hello},
		{ID: 3, Is: Out, Text: "  - {driver: lm75, bus: \"i2c:1\"}\ttwo\nlines \x1e \x1b[0m"},
		{ID: 4, Is: Message, Topic: "devices/Board/sensors/temperature/value", Text: `{"value":24}`, Retained: true},
		{ID: 5, Is: Done, Exit: 2},
	} {
		line, err := Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(line); line[n-1] != '\n' {
			t.Fatalf("%q is no line", line)
		}
		var got Event
		if ok, err := Decode(line, &got); !ok || err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v, %v", line, got, ok, err)
		}
	}
}

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		name, line string
		want       Event
		ok, fails  bool
	}{
		{name: "the kernel's", line: "[    0.512817] bcm2835-wdt: probe failed\r\n"},
		{name: "nothing", line: ""},
		{name: "JSON of somebody else", line: `{"id":1,"is":"done"}`},
		{name: "ours", line: "\x1e{\"id\":1,\"is\":\"done\",\"exit\":1}\r\n", want: Event{ID: 1, Is: Done, Exit: 1}, ok: true},
		{name: "behind the kernel's", line: "[    3.1] usb 1-1: \x1e{\"is\":\"hello\"}\n", want: Event{Is: Hello}, ok: true},
		{name: "begun twice", line: "\x1e{\"id\":1,\x1e{\"is\":\"hello\"}\n", want: Event{Is: Hello}, ok: true},
		{name: "torn", line: "\x1e{\"id\":1,\"is\":\"do\n", fails: true},
		{name: "written into", line: "\x1e{\"id\":1,[    3.1] oops\"is\":\"done\"}\n", fails: true},
	} {
		var got Event
		ok, err := Decode([]byte(c.line), &got)
		if ok != c.ok || (err != nil) != c.fails || ok && got != c.want {
			t.Errorf("%s: %+v, %v, %v", c.name, got, ok, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x1e{\"id\":1,\"is\":\"out\",\"text\":\"x\"}\n"))
	f.Add([]byte("kernel \x1e"))
	f.Fuzz(func(t *testing.T, line []byte) {
		var e Event
		if ok, err := Decode(line, &e); ok && err != nil {
			t.Error("both an event and an error")
		}
	})
}
