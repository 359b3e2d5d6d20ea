package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestExamples loads every example configuration: no mistake, no warning, and
// nobody from outside can connect before its owner changed it.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../../configs/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("examples %v: %v", files, err)
	}
	for _, file := range files {
		c, err := Load(file)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		for _, w := range c.Warnings {
			// An API key is what no example can have.
			if filepath.Base(file) != "xively.yaml" || w.Key != "uplink[0].username" {
				t.Error(w)
			}
		}
		if b := c.Listen.Beyond(); len(b) > 0 {
			t.Errorf("%s: others can reach %v before anybody set a password", file, b)
		}
		if len(c.Access.Users)+len(c.Access.Keys) > 0 {
			t.Errorf("%s: every installation would have the same password or key", file)
		}
	}
}

// TestExampleDevice: the commands that the documentation shows need MyDevice
// as it is in the example.
func TestExampleDevice(t *testing.T) {
	c, err := Load("../../../configs/fieldgate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen.MQTT != "127.0.0.1:1883" || !c.Access.Anonymous || c.Data != "/var/lib/fieldgate" || len(c.Devices) != 1 {
		t.Fatalf("%+v", c)
	}
	d := c.Devices[0]
	s, _ := d.Sensor("TC1")
	_, relay := d.Actuator("relay")
	if d.ID != "MyDevice" || d.Feed != 504 || !d.Grants.Public || !d.Grants.PublicWrite || s == nil || s.Name != "Temperature" || s.Unit != "DegreeCelsius" || !relay {
		t.Errorf("%+v", d)
	}
}

// TestCommentedExamples: what the example offers in comments is right too, once
// the secrets are filled in.
func TestCommentedExamples(t *testing.T) {
	data, err := os.ReadFile("../../../configs/fieldgate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// '#' and one space begin a sentence, all else after '#' is a setting.
	text := regexp.MustCompile(`(?m)^( *)#(\S|  )`).ReplaceAllString(string(data), "$1$2")
	text = strings.ReplaceAll(text, "$argon2id$...", annsHash)
	text = strings.ReplaceAll(text, `key: "..."`, `key: "0123456789abcdef0123456789abcdef"`)
	c, err := Parse("fieldgate.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if len(c.Access.Users) != 2 || len(c.Access.Keys) != 1 || len(c.Access.ACL) != 1 || len(c.Devices) != 7 ||
		len(c.Sensors) != 8 || len(c.Actuators) != 2 || len(c.Uplinks) != 1 || len(c.Uplinks[0].Forward) != 1 || c.Listen.MQTTS == "" ||
		len(c.Radios) != 4 || len(c.LoRaWAN.Devices) != 3 || len(c.LoRaWAN.Forward) != 1 || len(c.LoRa) != 2 ||
		c.ID != "gw-1" || c.Store.MaxAge == 0 || c.TLS.ClientCA == "" {
		t.Errorf("not all of it was read: %+v\n%s", c, text)
	}
}
