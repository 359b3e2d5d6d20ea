package config

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/sensors"
)

var update = flag.Bool("update", false, "write the golden files anew")

const annsHash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$oSEuLNxY5QrKhX3o4wJXzJ3pHqkn1DcMkd0bIrDdTBc"

func parseFile(t *testing.T, name string) *Config {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(name, data)
	if err != nil {
		t.Fatalf("mistakes in %s:\n%v", name, err)
	}
	return c
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %#v\nwant %#v", what, got, want)
	}
}

// TestContractExample reads the example of the published contract; none of its
// keys may change its name or its meaning.
func TestContractExample(t *testing.T) {
	c := parseFile(t, "testdata/contract.yaml")
	equal(t, "id", c.ID, "gw-1")
	equal(t, "data", c.Data, "/var/lib/fieldgate")
	equal(t, "listen", c.Listen, Listen{MQTT: "0.0.0.0:1883", HTTP: "127.0.0.1:8080"})
	equal(t, "tls", c.TLS, TLS{})
	equal(t, "anonymous", c.Access.Anonymous, true)
	equal(t, "users", c.Access.Users, []access.User{{Name: "ann", PasswordHash: annsHash}, {Name: "bob", PasswordHash: annsHash}})
	hash := access.HashKey("0123456789abcdefghijkl")
	equal(t, "keys", c.Access.Keys, []access.Key{{
		ID:            access.HashKey(hash)[:12],
		Label:         "field node",
		Hash:          hash,
		Owner:         "ann",
		PrivateAccess: true,
		ExpiresAt:     time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
		Permissions: []access.Permission{{
			Methods:   []string{"get", "put", "post", "delete"},
			Resources: []access.Resource{{Feed: 504, Datastream: "0"}},
		}},
	}})
	equal(t, "acl", c.Access.ACL, access.ACL{{Topic: "factory/%u/#", User: "*", Allow: access.ReadWrite}})
	equal(t, "devices", c.Devices, []gateway.Device{{
		ID: "MyDevice", Name: "My device", Feed: 504, Declared: true,
		Grants: access.Grants{Owner: "ann", Public: true, PublicWrite: true,
			Share: []access.Share{{User: "bob", Can: []access.Right{access.View, access.Publish}}}},
		Sensors:   []gateway.Sensor{{ID: "TC1", Name: "Temperature", Unit: "DegreeCelsius"}},
		Actuators: []gateway.Actuator{{ID: "relay"}},
	}})
	equal(t, "auto_create", c.AutoCreate, false)
	equal(t, "sensors", len(c.Sensors)+len(c.Radios), 0)
	if len(c.Uplinks) != 1 {
		t.Fatalf("%d uplinks", len(c.Uplinks))
	}
	u := c.Uplinks[0]
	equal(t, "url", u.URL.String(), "mqtts://broker.example:8883")
	u.URL = nil
	equal(t, "uplink", u, Uplink{Name: "cloud", ClientID: "gw-1", Dialect: "waziup", Window: 100, CatchUp: "ordered",
		CatchUpRate: 100, IDs: true, AckTimeout: 20 * time.Second, Keepalive: 30 * time.Second})
	equal(t, "store", c.Store, Store{MaxSize: 256 << 20, CommitEvery: 20 * time.Millisecond})

	if len(c.Warnings) != 1 || c.Warnings[0].Key != "access.anonymous" || c.Warnings[0].Line != 9 {
		t.Errorf("warnings: %v; the anonymous listener on all addresses deserves one", c.Warnings)
	}
}

// TestLoRaWANExample reads the contract's LoRaWAN example.
func TestLoRaWANExample(t *testing.T) {
	c := parseFile(t, "testdata/lorawan.yaml")
	equal(t, "radios", c.Radios, []Radio{{Name: "semtech", Driver: RadioSemtech, Listen: "127.0.0.1:1700", Gateways: []string{"aa555a0000000101"},
		Power: 14, Part: "sx1262", Chip: "sx1276", Every: 30 * time.Second}})
	equal(t, "region", c.LoRaWAN.Region, "EU868")
	usual := loraDefaults(false)
	usual.Codec.Name = "cayenne"
	app, _ := frame.ParseKey("000102030405060708090a0b0c0d0e0f")
	equal(t, "first device", c.LoRaWAN.Devices[0], LoRaDevice{Device: "MyNode", Joins: true, DevEUI: frame.EUI{0x70, 0xb3, 0xd5, 0x7e, 0xd0, 0, 0, 1},
		AppKey: app, LoRaSettings: usual})
	usual.Codec.Name = "xlpp"
	equal(t, "second device", c.LoRaWAN.Devices[1], LoRaDevice{Device: "Other", DevAddr: 0x26011bda, NwkSKey: frame.Key{15: 1}, AppSKey: frame.Key{15: 2},
		LoRaSettings: usual})
}

func TestEveryOtherKey(t *testing.T) {
	c := parseFile(t, "testdata/full.yaml")
	equal(t, "data", c.Data, "testdata/data")
	equal(t, "listen", c.Listen, Listen{MQTT: ":0"})
	d := c.Devices[0]
	equal(t, "meta", string(d.Meta), `{"site":{"lat":51.5,"lon":-0.12,"tags":["a",1,true,null]},"hex":16}`)
	equal(t, "sensors of the device", d.Sensors, []gateway.Sensor{
		{ID: "S", Name: "n", Kind: "Thermometer", Quantity: "AirTemperature", Unit: "DegreeCelsius", Meta: json.RawMessage(`{"a":1}`)},
		{ID: "fake", Quantity: "Voltage", Unit: "Volt"},
	})
	equal(t, "actuators", d.Actuators, []gateway.Actuator{{ID: "A", Name: "n", Meta: json.RawMessage(`{"b":"2"}`)}})
	equal(t, "sensors", c.Sensors, []sensors.Item{
		{Driver: "fake", Device: "D", Alone: true, Every: 500 * time.Millisecond, Options: sensors.Options{
			"kind": "ramp", "period": time.Minute, "min": -5.0, "max": 5.0, "step": 0.5, "decimals": int64(3), "seed": int64(7)}},
		{Driver: "fake", Device: "D", Sensor: "S", Alone: true, Every: sensors.DefaultEvery, Options: sensors.Options{
			"kind": "sine", "period": 10 * time.Minute, "min": 0.0, "max": 100.0, "step": 1.0, "decimals": int64(2), "seed": int64(1)}},
	})
	u := c.Uplinks[0]
	equal(t, "url", u.URL.String(), "wss://broker.example/mqtt?token=x")
	u.URL = nil
	equal(t, "uplink", u, Uplink{Name: "a", ClientID: "other", Username: "me", Password: "secret-word", Dialect: "none",
		Filter: []string{"devices/+/sensors/#"}, CatchUp: "fresh_first", CatchUpRate: 50, AckTimeout: 5 * time.Second,
		Keepalive: time.Minute, Window: 1,
		TLS: UplinkTLS{CA: "testdata/ca.pem", Cert: "testdata/c.pem", Key: "testdata/k.pem", ServerName: "other.example"},
		Forward: []Forward{
			{Topic: "alarms/#", Direction: "both", QoS: 2, LocalPrefix: "site/", RemotePrefix: "gw-2/"},
			{Direction: "in", LocalPrefix: "local/one", RemotePrefix: "remote/one"},
		}})
	equal(t, "second uplink", c.Uplinks[1].CatchUp+" "+c.Uplinks[1].ClientID, "batches gw-2")
	equal(t, "store", c.Store, Store{MaxSize: 64e6, MaxAge: 36 * time.Hour, CommitEvery: time.Second, Acknowledge: true})
	equal(t, "limits", c.Limits, Limits{Clients: 10, Pending: 7, ConnectRate: 8, Sessions: 20, Filters: 30, FiltersTotal: 40, Retained: 50,
		RetainedBytes: 1 << 20, PacketSize: 64 << 10, QueueBytes: 1 << 20, QueueMessages: 5, ConnectTimeout: 2 * time.Second, WriteTimeout: 500 * time.Millisecond})
	equal(t, "log", c.Log, Log{slog.LevelDebug, "json"})
	equal(t, "warnings", len(c.Warnings), 0)
}

func TestDefaults(t *testing.T) {
	for _, text := range []string{"", "\n# nothing\n", "---\n", "{}", "listen:\naccess:\n  users:\n", "\xef\xbb\xbfid:"} {
		c, err := Parse("", []byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		equal(t, fmt.Sprintf("%q", text), c, Default())
	}
	c := Default()
	host, _ := os.Hostname()
	equal(t, "id", c.ID, host)
	equal(t, "listen", c.Listen, Listen{MQTT: "127.0.0.1:1883", HTTP: "127.0.0.1:8080"})
	equal(t, "anonymous", c.Access.Anonymous, false)
	if b := c.Listen.Beyond(); len(b) > 0 {
		t.Errorf("by default others can reach %v", b)
	}
}

// TestBroken compares what is said about each file of testdata/broken with the
// text file of the same name.
func TestBroken(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Parse(filepath.Base(file), data)
			var ms Mistakes
			if !errors.As(err, &ms) || c != nil {
				t.Fatalf("config %v, error %v", c, err)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			// A new driver is no reason to touch the golden files.
			got := strings.ReplaceAll(err.Error()+"\n", strings.Join(sensors.Builtin().Names(), ", "), "DRIVERS")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if strings.Contains(got, "hunter2") {
				t.Error("a message shows a secret")
			}
		})
	}
}

func TestLoadReadsTheFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"))
	var ms Mistakes
	if !errors.As(err, &ms) || !strings.HasSuffix(err.Error(), "none.yaml: cannot be read (no such file or directory); name a configuration file that the gateway's user may read") {
		t.Errorf("a missing file: %v", err)
	}
	if _, err = Load(t.TempDir()); err == nil {
		t.Error("a folder was read")
	}
	big := filepath.Join(t.TempDir(), "big.yaml")
	if err := os.WriteFile(big, []byte(strings.Repeat("# comment\n", MaxFile/10+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = Load(big); err == nil || !strings.Contains(err.Error(), "larger than 4MiB") {
		t.Errorf("a large file: %v", err)
	}
}

func TestSecretsHide(t *testing.T) {
	u := Uplink{Password: "hunter2"}
	raw, err := json.Marshal(u)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "password", u.Password, "uplink", u)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "password", u.Password, "uplink", u)
	all := fmt.Sprintf("%v %+v %#v %s %q", u, u, u, u.Password, u.Password) + string(raw) + b.String()
	if strings.Contains(all, "hunter2") || !strings.Contains(all, hidden) {
		t.Errorf("secret shown: %s", all)
	}
	if Secret("").String() != "" {
		t.Error("an empty secret looks like one")
	}
}

// TestUnknownUserIsAWarning: accounts may be made at run time, so a user that
// the file does not declare is worth a word, but no reason not to start.
func TestUnknownUserIsAWarning(t *testing.T) {
	c, err := Parse("x.yaml", []byte("access:\n  users:\n    - {name: ann}\ndevices:\n  - {id: D, owner: an, share: [{user: bob, can: [view]}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, w := range c.Warnings {
		said = append(said, w.Error())
	}
	all := strings.Join(said, "\n")
	for _, want := range []string{`x.yaml:5:20: devices[0].owner: there is no user "an" in this file; did you mean ann?`, `share[0].user: there is no user "bob" in this file`} {
		if !strings.Contains(all, want) {
			t.Errorf("no warning %q in:\n%s", want, all)
		}
	}
}
