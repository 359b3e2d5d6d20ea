package config

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/lorawan"
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
	channels := t.get("channels")
	for _, v := range channels.list() {
		var hz uint32
		if v.megahertz(&hz) && plan != nil {
			switch _, own := plan.ChannelAt(hz); {
			case !plan.Contains(hz):
				v.mistake(mhz(hz)+" MHz is outside of "+plan.Name(), "a frequency of the region in MHz, such as 867.1")
			case own: // the region has it anyway
			default:
				l.Channels = append(l.Channels, hz)
			}
		}
	}
	if channels.present() && plan != nil {
		switch most := plan.MaxChannels() - len(plan.Channels()); {
		case plan.Fixed():
			channels.mistake(plan.Name()+" has fixed channels", "sub_band says which of them are used")
		case len(l.Channels) > most:
			channels.mistake(fmt.Sprintf("%d channels beside the region's own", len(l.Channels)), fmt.Sprintf("at most %d", most))
		}
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
func (c *Config) loraDevices(t *table, plan *region.Region, once map[string]int) {
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
	euis, tried := map[string]int{}, map[string]error{}
	for _, d := range t.get("devices").tables() {
		before := len(t.r.mistakes)
		c.loraDevice(d, profiles, names, euis, once)
		if len(t.r.mistakes) == before && plan != nil {
			c.tryDevice(d, plan, tried)
		}
	}
	t.close()
}

// tryDevice has the network server look at the settings of the last device, once
// for all that have the same.
func (c *Config) tryDevice(t *table, plan *region.Region, tried map[string]error) {
	d := &c.LoRaWAN.Devices[len(c.LoRaWAN.Devices)-1]
	if r := c.singleRadio(); d.SingleChannel {
		if r == nil {
			t.get("single_channel").mistake("there is no radio with a single channel for LoRaWAN", "remove it; packet forwarders hear several channels")
			return
		}
		if known := dataRates(plan); !slices.Contains(known, r.Tuning.DataRate()) {
			t.get("single_channel").mistake(fmt.Sprintf("the radio %s listens to %s, which no device of %s sends", short(r.Name), r.Tuning.DataRate(), plan.Name()),
				"data_rate of the radio: one of "+strings.Join(known, ", "))
			return
		}
	}
	key := fmt.Sprint(d.Joins, d.SingleChannel, d.RX1Delay, d.RX1Offset, d.RX2Frequency, d.RX2DataRate)
	err, done := tried[key]
	if !done {
		err = c.try(d, plan)
		tried[key] = err
	}
	if err != nil {
		_, what, _ := strings.Cut(err.Error(), lorawan.ErrConfig.Error()+": ")
		t.mistake("cannot be served: "+what, "settings that "+plan.Name()+" has")
	}
}

// singleRadio is the chip whose channel devices are kept on, nil if there is none
// that hears LoRaWAN.
func (c *Config) singleRadio() *Radio {
	for i := range c.Radios {
		if r := &c.Radios[i]; r.Driver != RadioSemtech && r.Tuning.SyncWord == radio.SyncPublic {
			return r
		}
	}
	return nil
}

// singleChannel reports whether no radio hears more than one channel.
func (c *Config) singleChannel() bool {
	return c.singleRadio() != nil && !slices.ContainsFunc(c.Radios, func(r Radio) bool { return r.Driver == RadioSemtech })
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
	c.mapped(t, device, &d.LoRaSettings)
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
	t.get("nonce_reset").boolean(&s.NonceReset)
	var delay time.Duration
	if t.get("rx1_delay").duration(&delay, time.Second, 15*time.Second) {
		s.RX1Delay = int(delay / time.Second)
	}
	t.get("rx1_offset").integer(&s.RX1Offset, 0, 7)
	t.get("rx2_frequency").megahertz(&s.RX2Frequency)
	t.get("rx2_data_rate").integer(&s.RX2DataRate, 0, 15)
	t.get("duty_cycle").integer(&s.DutyCycle, 0, 15)
	t.txParam(&s)
	t.get("port").integer(&s.Port, 1, 223)
	t.get("confirmed").boolean(&s.Confirmed)
	t.get("retries").integer(&s.Retries, 0, 15)
	t.get("priority").integer(&s.Priority, MinPriority, MaxPriority)
	t.payload(&s)
	return s
}

// txParam decodes what a device is told of dwell times and power.
func (t *table) txParam(s *LoRaSettings) {
	v := t.get("tx_param")
	if !v.present() {
		return
	}
	p := v.table()
	dBm := 36
	s.TxParam = &frame.TxParamSetupReq{}
	p.get("uplink_dwell").boolean(&s.TxParam.UplinkDwell)
	p.get("downlink_dwell").boolean(&s.TxParam.DownlinkDwell)
	if at := p.get("max_eirp"); !at.present() {
		at.missing("the most that the device may send with, in dBm from 8 to 36")
	} else {
		at.integer(&dBm, 8, 36)
	}
	s.TxParam.MaxEIRP = region.EIRPCode(int8(dBm))
	p.close()
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
	for i := range c.Devices {
		if c.Devices[i].ID == *dst {
			return &c.Devices[i]
		}
	}
	ids := make([]string, len(c.Devices))
	for i := range c.Devices {
		ids[i] = c.Devices[i].ID
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
