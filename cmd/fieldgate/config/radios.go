package config

import (
	"encoding/hex"
	"fmt"
	"strings"
)

var radioDrivers = []string{"semtech", "sx127x", "sx126x", "fake"}

const noRadio = "LoRa is not in this version"

// radios decodes the radios and the LoRaWAN devices. Their shape is checked,
// and then that there are none: no driver is built in.
func (c *Config) radios(radios, lorawan value) {
	for _, t := range radios.tables() {
		var r Radio
		driver := t.get("driver")
		if !driver.present() {
			driver.missing("one of " + strings.Join(radioDrivers, ", "))
		}
		driver.choice(&r.Driver, radioDrivers...)
		if r.Driver == "semtech" {
			listen := t.get("listen")
			if !listen.present() {
				listen.missing("the UDP address of the packet forwarders, such as 127.0.0.1:1700")
			} else if listen.text(&r.Listen) {
				listen.address(r.Listen, "127.0.0.1:1700 for this machine, 0.0.0.0:1700 for all")
			}
			for _, g := range t.get("gateways").list() {
				var eui Secret
				g.hex(&eui, 8)
				r.Gateways = append(r.Gateways, string(eui))
			}
			t.close()
		}
		t.mistake(noRadio, "remove the item")
		c.Radios = append(c.Radios, r)
	}
	t := lorawan.table()
	t.get("region").choice(&c.LoRaWAN.Region, "EU868", "US915", "AU915", "AS923", "IN865", "EU433", "CN470", "KR920", "RU864")
	devices := t.get("devices")
	for _, d := range devices.tables() {
		c.loraDevice(d)
	}
	if len(c.LoRaWAN.Devices) > 0 {
		devices.mistake(noRadio, "remove the devices")
	}
	t.close()
}

func (c *Config) loraDevice(t *table) {
	var d LoRaDevice
	c.deviceOf(t.get("device"), &d.Device)
	devEUI, joinEUI, appKey := t.get("dev_eui"), t.get("join_eui"), t.get("app_key")
	addr, nwk, app := t.get("dev_addr"), t.get("nwk_skey"), t.get("app_skey")
	var plain Secret
	for _, x := range []struct {
		v     value
		bytes int
		dst   *string
	}{{devEUI, 8, &d.DevEUI}, {joinEUI, 8, &d.JoinEUI}, {addr, 4, &d.DevAddr}} {
		plain = ""
		x.v.hex(&plain, x.bytes)
		*x.dst = string(plain)
	}
	appKey.hex(&d.AppKey, 16)
	nwk.hex(&d.NwkSKey, 16)
	app.hex(&d.AppSKey, 16)
	switch joins, session := appKey.present(), addr.present() || nwk.present() || app.present(); {
	case joins && session:
		t.mistake("joins over the air and has a session too", "dev_eui, join_eui and app_key, or dev_addr, nwk_skey and app_skey")
	case joins && !devEUI.present():
		devEUI.missing("the device's EUI, 16 hex digits")
	case joins && !joinEUI.present():
		joinEUI.missing("the join server's EUI, 16 hex digits, mostly 0000000000000000")
	case session && !(addr.present() && nwk.present() && app.present()):
		t.mistake("a session is incomplete", "set dev_addr, nwk_skey and app_skey")
	case !joins && !session:
		t.mistake("has no keys", "dev_eui, join_eui and app_key, or dev_addr, nwk_skey and app_skey")
	}
	t.get("codec").text(&d.Codec)
	t.close()
	c.LoRaWAN.Devices = append(c.LoRaWAN.Devices, d)
}

// hex reads n bytes written as hex digits. The message does not show them,
// they may be a key.
func (v value) hex(dst *Secret, n int) {
	var s Secret
	if !v.secret(&s) {
		return
	}
	if b, err := hex.DecodeString(string(s)); err != nil || len(b) != n {
		v.mistake("not in hex", fmt.Sprintf("%d hex digits in quotes", 2*n))
		return
	}
	*dst = Secret(strings.ToLower(string(s)))
}
