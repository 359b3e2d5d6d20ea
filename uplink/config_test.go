package uplink

import (
	"strings"
	"testing"
	"time"

	"fieldgate/gateway"
)

func TestConfigReportsAllMistakes(t *testing.T) {
	_, err := New(Config{
		URL: "http://x", Password: func() (string, error) { return "", nil }, KeepAlive: 1500 * ms, Window: -1,
		AckTimeout: -1, CatchUp: "fast", Dialect: "cosm", Forward: []Forward{{}}, Filter: []string{"a#"},
	})
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{"no name", "gateway id", "scheme", "password without a user", "keep alive", "window",
		"ack timeout", "catch_up", "dialect", "forward[0]", "filter[0]", "required"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing about %q in:\n%v", want, err)
		}
	}
}

func TestConfigDefaults(t *testing.T) {
	u, err := New(Config{Name: "c", GatewayID: "g", URL: "mqtt://h", Log: newMemLog(), Hub: newMemHub(), Sessions: &counter{}, Clock: gateway.NewSystemClock()})
	if err != nil {
		t.Fatal(err)
	}
	c := u.cfg
	if c.ClientID != "g" || c.Window != 100 || c.AckTimeout != 20*time.Second || c.CatchUp != Ordered || c.Dialect != Waziup || c.KeepAlive != 30*time.Second {
		t.Errorf("%+v", c)
	}
}

func TestParseURL(t *testing.T) {
	for raw, want := range map[string]endpoint{
		"mqtt://h":             {address: "h:1883", host: "h"},
		"tcp://h:1":            {address: "h:1", host: "h"},
		"mqtts://h":            {address: "h:8883", host: "h", secure: true},
		"ssl://[::1]:8":        {address: "[::1]:8", host: "::1", secure: true},
		"ws://h":               {address: "h:80", host: "h", web: "ws://h/mqtt"},
		"wss://h:99/path?a=b":  {address: "h:99", host: "h", secure: true, web: "wss://h:99/path?a=b"},
		"ws://h/mqtt#fragment": {address: "h:80", host: "h", web: "ws://h/mqtt"},
	} {
		if got, err := parseURL(raw); err != nil || got != want {
			t.Errorf("%s: %+v, %v", raw, got, err)
		}
	}
	for _, raw := range []string{"", "h", "mqtt:", "mqtt://", "http://h", "mqtt://user:secret@h", "mqtt://h:port", "://"} {
		if _, err := parseURL(raw); err == nil {
			t.Errorf("%q is taken", raw)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error tells the password", raw)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("wss://h:99/path?a=b")
	f.Add("mqtt://[::1]")
	f.Fuzz(func(t *testing.T, raw string) {
		if e, err := parseURL(raw); err == nil && (e.host == "" || e.address == "") {
			t.Fatalf("%q: %+v", raw, e)
		}
	})
}
