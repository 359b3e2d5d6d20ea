package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"fieldgate/radio/raw"
)

// RawRules are what the devices without LoRaWAN are told apart by.
func (c *Config) RawRules() (rules []raw.Rule) {
	for i := range c.LoRa {
		rules = append(rules, c.rules(&c.LoRa[i])...)
	}
	return rules
}

// rules are those of one device: one for each name that its radio's frames come
// with.
func (c *Config) rules(d *RawDevice) (rules []raw.Rule) {
	r := raw.Rule{Device: d.Device, Source: byte(d.Address), Prefix: d.Prefix, MinLength: d.Length, MaxLength: d.Length}
	if d.Match != "" {
		r.Match, _ = regexp.Compile(d.Match) // which was tried when it was read
	}
	names := []string{d.Radio}
	for i := range c.Radios {
		if o := &c.Radios[i]; o.Name == d.Radio && o.Driver == RadioSemtech {
			names = o.Gateways
		}
	}
	for _, r.Radio = range names {
		rules = append(rules, r)
	}
	return rules
}

// rawDevices decodes the devices without LoRaWAN.
func (c *Config) rawDevices(v value, once map[string]int) {
	t := v.table()
	addresses := map[string]int{}
	for _, d := range t.get("devices").tables() {
		before := len(t.r.mistakes)
		r := RawDevice{LoRaSettings: loraDefaults(c.singleChannel())}
		r.Codec = Codec{Name: "text"}
		device := c.loraDeviceOf(d.get("device"), &r.Device, once)
		address, prefix, length, match := d.get("address"), d.get("prefix"), d.get("length"), d.get("match")
		if address.integer(&r.Address, 2, 255) {
			unique(address, "device with the address", strconv.Itoa(r.Address), addresses)
		}
		var text string
		if prefix.text(&text) {
			if b, ok := decodeHex(text); ok {
				r.Prefix = b
			} else {
				prefix.mistake("not in hex", "the bytes that its frames begin with, such as \"0a01\"")
			}
		}
		length.integer(&r.Length, 1, 255)
		if match.text(&r.Match) {
			if _, err := regexp.Compile(r.Match); err != nil {
				match.mistake(fmt.Sprintf("%.60q is no regular expression", r.Match), "such as ^TC/")
			}
		}
		at := d.get("radio")
		if at.text(&r.Radio) {
			var names []string
			for i := range c.Radios {
				names = append(append(names, c.Radios[i].Name), c.Radios[i].Gateways...)
			}
			at.choice(&r.Radio, names...)
		}
		if plain := prefix.present() || length.present() || match.present() || at.present(); plain == address.present() {
			d.mistake("which frames are its is not clear", "either address, or some of prefix, length, match and radio")
		}
		d.payload(&r.LoRaSettings)
		listens := "always"
		d.get("listens").choice(&listens, "always", "after_uplink")
		r.AfterUplink = listens == "after_uplink"
		if len(t.r.mistakes) == before {
			if _, err := raw.NewHandler(c.rules(&r)); err != nil {
				_, what, _ := strings.Cut(err.Error(), raw.ErrConfig.Error()+": ")
				d.mistake(what, "a rule that some frames fit")
			}
		}
		d.close()
		c.LoRa = append(c.LoRa, r)
		c.mapped(d, device, &r.LoRaSettings)
	}
	t.close()
}

func decodeHex(s string) ([]byte, bool) {
	b := make([]byte, 0, len(s)/2)
	for ; len(s) >= 2; s = s[2:] {
		n, err := strconv.ParseUint(s[:2], 16, 8)
		if err != nil {
			return nil, false
		}
		b = append(b, byte(n))
	}
	return b, s == "" && len(b) > 0
}
