package config

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio/codec"
	"fieldgate/radio/codec/js"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/region"
)

// lorawan decodes the settings of the network, not yet its devices, and gives
// the region's plan, nil where none is named.
func (c *Config) lorawan(t *table) (plan *region.Region) {
	l := &c.LoRaWAN
	at := t.get("region")
	regions := append(region.Names(), "AS923") // which is AS923-1
	slices.Sort(regions)
	if at.choice(&l.Region, regions...) {
		plan, _ = region.Get(l.Region)
	}
	var id string
	if v := t.get("net_id"); v.hexText(&id, 3) {
		n, _ := strconv.ParseUint(id, 16, 32)
		l.NetID = uint32(n)
	}
	band := t.get("sub_band")
	if band.integer(&l.SubBand, 1, 8) && plan != nil && len(plan.Channels()) < 64 {
		band.mistake(plan.Name()+" has no sub-bands", "remove it")
	}
	for _, f := range t.get("forward").tables() {
		c.loraForward(f)
	}
	if !at.present() && t.get("devices").present() {
		at.missing("one of " + strings.Join(regions, ", "))
	}
	return plan
}

// loraForward decodes a network server that frames are forwarded to.
func (c *Config) loraForward(t *table) {
	f := LoRaForward{Late: LateMark, MaxAge: 24 * time.Hour}
	server := t.get("server")
	if !server.present() {
		server.missing("host and UDP port of the network server, such as ns.example:1700")
	} else if server.text(&f.Server) {
		if _, _, err := net.SplitHostPort(f.Server); err != nil {
			server.mistake(fmt.Sprintf("%.60q is not host:port", f.Server), "such as ns.example:1700")
		}
	}
	eui := t.get("gateway_eui")
	if !eui.present() {
		eui.missing("the EUI that this gateway has there, 16 hex digits")
	}
	eui.hexText(&f.EUI, 8)
	t.get("late").choice(&f.Late, LateSend, LateMark, LateDrop)
	t.get("max_age").duration(&f.MaxAge, time.Second, 366*24*time.Hour)
	frames := "all"
	t.get("frames").choice(&frames, "all", "unknown")
	f.Unknown = frames == "unknown"
	t.close()
	c.LoRaWAN.Forward = append(c.LoRaWAN.Forward, f)
}

// loraDevices decodes the profiles and the devices.
func (c *Config) loraDevices(t *table, once map[string]int) {
	profiles, lines := map[string]LoRaSettings{}, map[string]int{}
	var names []string
	for _, p := range t.get("profiles").tables() {
		var name string
		at := p.get("name")
		if !at.present() {
			at.missing("the name that devices know it by")
		} else if at.text(&name) {
			if _, twice := lines[name]; !twice {
				names = append(names, name)
			}
			unique(at, "profile", name, lines)
		}
		s := c.loraSettings(p, loraDefaults(c.singleChannel()))
		p.close()
		profiles[name] = s
	}
	euis := map[string]int{}
	for _, d := range t.get("devices").tables() {
		c.loraDevice(d, profiles, names, euis, once)
	}
	t.close()
}

// singleChannel reports whether no radio hears more than one channel.
func (c *Config) singleChannel() bool {
	return len(c.Radios) > 0 && !slices.ContainsFunc(c.Radios, func(r Radio) bool { return r.Driver == RadioSemtech })
}

func loraDefaults(singleChannel bool) LoRaSettings {
	return LoRaSettings{Codec: Codec{Name: "hex"}, Class: "A", Version: "1.0.3", ADR: !singleChannel, SingleChannel: singleChannel, RX1Delay: 1, RX2DataRate: -1,
		Port: 1, Retries: 3, Expires: 24 * time.Hour, Create: true}
}

func (c *Config) loraDevice(t *table, profiles map[string]LoRaSettings, names []string, euis, once map[string]int) {
	var d LoRaDevice
	var profile string
	s := loraDefaults(c.singleChannel())
	if t.get("profile").choice(&profile, names...) {
		s = profiles[profile]
	}
	device := c.loraDeviceOf(t.get("device"), &d.Device, once)
	devEUI, joinEUI, appKey := t.get("dev_eui"), t.get("join_eui"), t.get("app_key")
	addr, nwk, app := t.get("dev_addr"), t.get("nwk_skey"), t.get("app_skey")
	var eui, join, devAddr string
	if devEUI.hexText(&eui, 8) {
		unique(devEUI, "device with the EUI", eui, euis)
		d.DevEUI, _ = frame.ParseEUI(eui)
	}
	if joinEUI.hexText(&join, 8) {
		d.JoinEUI, _ = frame.ParseEUI(join)
	}
	if addr.hexText(&devAddr, 4) {
		d.DevAddr, _ = frame.ParseDevAddr(devAddr)
	}
	appKey.hexKey((*[16]byte)(&d.AppKey))
	nwk.hexKey((*[16]byte)(&d.NwkSKey))
	app.hexKey((*[16]byte)(&d.AppSKey))
	d.Joins = appKey.present()
	switch session := addr.present() || nwk.present() || app.present(); {
	case d.Joins && session:
		t.mistake("joins over the air and has a session too", "dev_eui, join_eui and app_key, or dev_addr, nwk_skey and app_skey")
	case d.Joins && !devEUI.present():
		devEUI.missing("the device's EUI, 16 hex digits")
	case d.Joins && !joinEUI.present():
		joinEUI.missing("the join server's EUI, 16 hex digits, mostly 0000000000000000")
	case session && !(addr.present() && nwk.present() && app.present()):
		t.mistake("a session is incomplete", "set dev_addr, nwk_skey and app_skey")
	case !d.Joins && !session:
		t.mistake("has no keys", "dev_eui, join_eui and app_key, or dev_addr, nwk_skey and app_skey")
	}
	d.LoRaSettings = c.loraSettings(t, s)
	t.close()
	c.LoRaWAN.Devices = append(c.LoRaWAN.Devices, d)
	mapped(device, &d.LoRaSettings)
}

// loraSettings decodes what a profile or a device says, onto what it has.
func (c *Config) loraSettings(t *table, s LoRaSettings) LoRaSettings {
	t.get("class").choice(&s.Class, "A", "C")
	t.get("version").choice(&s.Version, "1.0.0", "1.0.1", "1.0.2", "1.0.3", "1.0.4")
	t.get("adr").boolean(&s.ADR)
	if t.get("single_channel").boolean(&s.SingleChannel) && s.SingleChannel {
		s.ADR = false
	}
	t.get("counter_reset").boolean(&s.CounterReset)
	var delay time.Duration
	if t.get("rx1_delay").duration(&delay, time.Second, 15*time.Second) {
		s.RX1Delay = int(delay / time.Second)
	}
	t.get("rx1_offset").integer(&s.RX1Offset, 0, 7)
	t.get("rx2_frequency").megahertz(&s.RX2Frequency)
	t.get("rx2_data_rate").integer(&s.RX2DataRate, 0, 15)
	t.get("port").integer(&s.Port, 1, 223)
	t.get("confirmed").boolean(&s.Confirmed)
	t.get("retries").integer(&s.Retries, 0, 15)
	t.payload(&s)
	return s
}

// payload decodes how a device's payloads are read, whether it has LoRaWAN or
// not.
func (t *table) payload(s *LoRaSettings) {
	t.codec(&s.Codec)
	t.get("expires").duration(&s.Expires, time.Second, 366*24*time.Hour)
	t.get("create").boolean(&s.Create)
	if v := t.get("variables"); v.present() {
		s.Variables = map[string]string{}
		vars := v.table()
		for _, key := range vars.order {
			var text string
			if x, ok := vars.get(key).scalar("a single value"); ok {
				text = x
			}
			s.Variables[key] = text
		}
	}
	if v := t.get("sensors"); v.present() {
		s.Sensors = mappings(v, "temperature_1")
	}
	if v := t.get("actuators"); v.present() {
		s.Actuators = mappings(v, "digital_out_1")
	}
}

// codec reads a codec's name or the path of a script, which is tried.
func (t *table) codec(dst *Codec) {
	v := t.get("codec")
	var name string
	if !v.text(&name) {
		return
	}
	if _, err := codec.Open(name); err == nil {
		*dst = Codec{Name: name}
		return
	}
	if !strings.HasSuffix(name, ".js") {
		remedy := "one of " + strings.Join(codec.Names(), ", ") + ", or the path of a script, such as sensor.js"
		if near := nearest(name, codec.Names()); near != "" {
			remedy = "did you mean " + near + "? It is " + remedy
		}
		v.mistake(fmt.Sprintf("there is no codec %.40q", name), remedy)
		return
	}
	*dst = Codec{Name: t.r.path(name), Script: true}
	if !t.r.files {
		return
	}
	source, err := os.ReadFile(dst.Name)
	if err != nil {
		v.mistake(fmt.Sprintf("%.80q cannot be read (%s)", dst.Name, cause(err)), "the path of a script, from the folder of this file")
		return
	}
	if len(source) > MaxScript {
		v.mistake(fmt.Sprintf("%.80q is larger than %s", dst.Name, formatSize(MaxScript)), "a script with one device's functions")
		return
	}
	dst.Source = string(source)
	if _, err := js.New(dst.Name, dst.Source, js.Options{}); err != nil {
		v.mistake(strings.TrimPrefix(err.Error(), "js: "), "a script with decodeUplink, as for The Things Stack or ChirpStack")
	}
}

// MaxScript is the largest script, in bytes.
const MaxScript = 256 << 10

// mappings reads which sensor or actuator a name of the codec is: a list of
// {from, id}.
func mappings(v value, example string) (out []Mapping) {
	seen := map[string]int{}
	for _, t := range v.tables() {
		var m Mapping
		from := t.get("from")
		if !from.present() {
			from.missing("the name that the codec has for it, such as " + example)
		} else if from.text(&m.From) {
			unique(from, "mapping of", m.From, seen)
		}
		checkedID(t, &m.ID)
		t.close()
		out = append(out, m)
	}
	return out
}

// mapped gives a device the sensors and actuators that its mappings name.
func mapped(d *gateway.Device, s *LoRaSettings) {
	if d == nil {
		return
	}
	for _, m := range s.Sensors {
		if _, ok := d.Sensor(m.ID); !ok && m.ID != "" {
			d.Sensors = append(d.Sensors, gateway.Sensor{ID: m.ID})
		}
	}
	for _, m := range s.Actuators {
		if _, ok := d.Actuator(m.ID); !ok && m.ID != "" {
			d.Actuators = append(d.Actuators, gateway.Actuator{ID: m.ID})
		}
	}
}

var digits = regexp.MustCompile("[0-9]+")

// loraDeviceOf reads the name of a device; one that is not declared is from now
// on, as the private device that it is by default.
func (c *Config) loraDeviceOf(v value, dst *string, once map[string]int) *gateway.Device {
	if !v.present() {
		v.missing("the id of the device, which may stand under devices")
		return nil
	}
	if !v.text(dst) {
		return nil
	}
	unique(v, "device", *dst, once)
	var ids []string
	for i := range c.Devices {
		if c.Devices[i].ID == *dst {
			return &c.Devices[i]
		}
		ids = append(ids, c.Devices[i].ID)
	}
	if err := gateway.CheckID(*dst); err != nil {
		v.mistake(reason(err), "a name such as MyNode")
		return nil
	}
	if near := nearest(*dst, ids); near != "" && digits.ReplaceAllString(near, "") != digits.ReplaceAllString(*dst, "") {
		v.warn(fmt.Sprintf("there is no device %.40q; it is made", *dst), "did you mean "+near+"?")
	}
	c.Devices = append(c.Devices, gateway.Device{ID: *dst, Declared: true})
	return &c.Devices[len(c.Devices)-1]
}

// rawDevices decodes the devices without LoRaWAN.
func (c *Config) rawDevices(v value, once map[string]int) {
	t := v.table()
	addresses := map[string]int{}
	for _, d := range t.get("devices").tables() {
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
				names = append(names, c.Radios[i].Name)
			}
			at.choice(&r.Radio, names...)
		}
		if plain := prefix.present() || length.present() || match.present() || at.present(); plain == address.present() {
			d.mistake("which frames are its is not clear", "either address, or some of prefix, length, match and radio")
		}
		d.payload(&r.LoRaSettings)
		d.close()
		c.LoRa = append(c.LoRa, r)
		mapped(device, &r.LoRaSettings)
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
