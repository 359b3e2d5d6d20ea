package config

import (
	"strings"
	"testing"

	"fieldgate/gateway/access"
)

// loadXively reads an uplink of the dialect, with devices in front of it.
func loadXively(t *testing.T, lines string) (*Uplink, string) {
	t.Helper()
	const devices = "devices:\n" +
		"  - {id: MyDevice, feed: 504, sensors: [{id: TC1}, {id: 'a%2Bb'}]}\n" +
		"  - {id: Other}\n"
	c, err := Parse("x.yaml", []byte(devices+lines))
	if err != nil {
		t.Fatalf("%v\n%s", err, lines)
	}
	var said []string
	for _, w := range c.Warnings {
		said = append(said, w.Error())
	}
	return &c.Uplinks[0], strings.Join(said, "\n")
}

func TestXivelyUplink(t *testing.T) {
	u, said := loadXively(t, `
uplink:
  - name: cloud
    url: mqtts://broker.example
    dialect: xively
    username: key
    xively:
      qos: 1
      feeds: {Other: 12345}
      status: {feed: 504, datastream: gateway}
`)
	equal(t, "dialect", u.Dialect, DialectXively)
	equal(t, "user name", u.Username, "key")
	equal(t, "settings", u.Xively, UplinkXively{QoS: 1, Feeds: map[string]uint64{"Other": 12345}, Status: UplinkStatus{504, "gateway"}})
	equal(t, "warnings", said, "")
	if password, err := u.ReadPassword(); password != "" || err != nil {
		t.Errorf("password %q, %v", password, err)
	}
}

// TestXivelyWarnings: what an uplink will not do is said when the file is
// checked.
func TestXivelyWarnings(t *testing.T) {
	const whole = "feeds: {Other: 1}, status: {feed: 1, datastream: gw}"
	for name, c := range map[string]struct {
		lines string
		want  []string // parts of the warnings, in order; no others
	}{
		"nothing is set": {"uplink: [{name: c, url: 'mqtts://h', dialect: xively}]", []string{
			"xively.qos: is 0: the guarantee ends at the socket",
			"xively.status: missing",
			"xively.feeds: no feed number for Other:",
			"username: missing: a Xively cloud takes the API key there",
		}},
		"quality of service 0": {"uplink: [{name: c, url: 'mqtts://h', dialect: xively, username: k, xively: {qos: 0, " + whole + "}}]",
			[]string{"x.yaml:4:82: uplink[0].xively.qos: is 0"}},
		"ids": {"uplink: [{name: c, url: 'mqtts://h', dialect: xively, username: k, ids: true, xively: {qos: 1, " + whole + "}}]",
			[]string{"uplink[0].ids: has no effect"}},
		"no ids": {"uplink: [{name: c, url: 'mqtts://h', dialect: xively, username: k, ids: false, xively: {qos: 1, " + whole + "}}]", nil},
		"in clear": {"uplink: [{name: c, url: 'mqtt://h', dialect: xively, username: k, xively: {qos: 1, " + whole + "}}]",
			[]string{"uplink[0].url: the key goes over the network in clear"}},
		"in clear, with a password": {"uplink: [{name: c, url: 'mqtt://h', dialect: xively, username: k, password: p, xively: {qos: 1, " + whole + "}}]",
			[]string{"uplink[0].url: the password goes over the network in clear"}},
		"unknown device": {"uplink: [{name: c, url: 'mqtts://h', dialect: xively, username: k, xively: {qos: 1, feeds: {Other: 1, MyDevise: 2}, status: {feed: 1, datastream: gw}}}]",
			[]string{`xively.feeds.MyDevise: there is no device "MyDevise" in this file; did you mean MyDevice?`}},
		"one feed for two": {"uplink: [{name: c, url: 'mqtts://h', dialect: xively, username: k, xively: {qos: 1, feeds: {Other: 504}, status: {feed: 1, datastream: gw}}}]",
			[]string{"MyDevice and Other are both feed 504 there"}},
		"a derived number": {"  - {id: Third, feed: 1000000000}\nuplink: [{name: c, url: 'mqtts://h', dialect: xively, username: k, xively: {qos: 1, " + whole + "}}]",
			[]string{"no feed number for Third:"}},
		"mapped to a large number": {"uplink: [{name: c, url: 'mqtts://h', dialect: xively, username: k, xively: {qos: 1, feeds: {Other: 1000000001}, status: {feed: 1, datastream: gw}}}]", nil},
		"no datastream's id": {"  - {id: Third, feed: 7, sensors: [{id: 'KYB:FOO'}, {id: ok}]}\nuplink: [{name: c, url: 'mqtts://h', dialect: xively, username: k, xively: {qos: 1, " + whole + "}}]",
			[]string{"a datastream cannot have the id of Third/KYB:FOO:"}},
		"created at run time": {"auto_create: true\nuplink: [{name: c, url: 'mqtts://h', dialect: xively, username: k, xively: {qos: 1, " + whole + "}}]",
			[]string{"devices that are created at run time have no feed number"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, said := loadXively(t, c.lines)
			got := strings.Split(said, "\n")
			if said == "" {
				got = nil
			}
			if len(got) != len(c.want) {
				t.Fatalf("%d warnings, want %d:\n%s", len(got), len(c.want), said)
			}
			for _, want := range c.want {
				if !strings.Contains(said, want) {
					t.Errorf("no warning %q in:\n%s", want, said)
				}
			}
		})
	}
}

// TestXivelyKeyIsASecret: a file with a key as user name is for the gateway's
// eyes, as one with a password is.
func TestXivelyKeyIsASecret(t *testing.T) {
	for dialect, secret := range map[string]bool{DialectXively: true, DialectWaziup: false} {
		r := &reader{file: "x.yaml"}
		r.config([]byte("id: gw\nuplink: [{name: c, url: 'mqtts://h', username: k, dialect: " + dialect + "}]"))
		equal(t, dialect, r.secrets, secret)
	}
}

func TestPermissionsOfAKey(t *testing.T) {
	c, err := Parse("x.yaml", []byte(`
access:
  users: [{name: ann, password_hash: "`+annsHash+`"}]
  keys:
    - key: abcDEF0123456789_-
      owner: ann
      permissions:
        - {label: all, methods: [get], source_ip: 192.0.2.7, referer: example.com, minimum_interval: 60}
        - methods: [put]
          source_ip: "2001:db8::/32"
          minimum_interval: 1h
          resources: [{feed: 504, datastream: "0"}, {feed: 5}, {trigger: 17}]
        - {methods: [get], source_ip: "", minimum_interval: 0}
`))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "permissions", c.Access.Keys[0].Permissions, []access.Permission{
		{Label: "all", Methods: []string{"get"}, SourceIP: "192.0.2.7", Referer: "example.com", MinimumInterval: 60},
		{Methods: []string{"put"}, SourceIP: "2001:db8::/32", MinimumInterval: 3600,
			Resources: []access.Resource{{Feed: 504, Datastream: "0"}, {Feed: 5}, {Trigger: 17}}},
		{Methods: []string{"get"}},
	})
	equal(t, "warnings", len(c.Warnings), 0)
}

func TestKeyThatCannotStandInATopic(t *testing.T) {
	for key, want := range map[string]bool{
		strings.Repeat("x", 128):     false,
		strings.Repeat("x", 129):     true,
		"abcdefghijklmnopqrstu/vwx":  true,
		"abcdefghijklmnopqrstu+":     true,
		"abcdefghijklmnopqrstuvw xy": true,
		"ABCdef0123456789-_":         false,
		"übcdefghijklmnopqrst":       true,
	} {
		c, err := Parse("x.yaml", []byte("access:\n  users: [{name: ann, password_hash: '"+annsHash+"'}]\n  keys: [{key: '"+key+"', owner: ann}]\n"))
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		got := len(c.Warnings) == 1 && c.Warnings[0].Problem == "cannot stand in a topic" && c.Warnings[0].Key == "access.keys[0].key"
		if got != want || !want && len(c.Warnings) > 0 {
			t.Errorf("%s: warnings %v", key, c.Warnings)
		}
	}
}
