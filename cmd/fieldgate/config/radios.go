package config

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/lorawan/region"
	"fieldgate/radio/preset"
	"fieldgate/sensors"
)

var radioDrivers = []string{RadioSemtech, RadioSX127x, RadioSX126x, RadioFake}

// radios decodes the radios, the LoRaWAN devices and those without LoRaWAN.
func (c *Config) radios(radios, lorawan, lora value, taken *claims) {
	t := lorawan.table()
	plan := c.lorawan(t)
	names := map[string]int{}
	nodes := map[int]value{} // by the index of their radio
	for _, t := range radios.tables() {
		if c.radio(t, plan, names, taken) {
			nodes[len(c.Radios)-1] = t.get("nodes")
		}
	}
	once := map[string]int{} // by which line a device is reached
	c.loraDevices(t, plan, once)
	c.rawDevices(lora, once)
	var ids []string
	for i := range c.LoRaWAN.Devices {
		ids = append(ids, c.LoRaWAN.Devices[i].Device)
	}
	for i := range c.Radios {
		for _, v := range nodes[i].list() {
			var id string
			if v.choice(&id, ids...) {
				c.Radios[i].Nodes = append(c.Radios[i].Nodes, id)
			}
		}
	}
}

// radio decodes one item of the list of radios, and reports whether it could.
func (c *Config) radio(t *table, plan *region.Region, names map[string]int, taken *claims) bool {
	r := Radio{Power: 14, Part: "sx1262", Chip: "sx1276", Every: 30 * time.Second}
	before := len(t.r.mistakes)
	driver := t.get("driver")
	board := t.get("board")
	var p preset.Preset
	if board.choice(&r.Board, preset.Names()...) {
		p, _ = preset.Get(r.Board)
	}
	switch {
	case !driver.present() && p.Driver != "":
		r.Driver = p.Driver
	case !driver.present() && board.present(): // of which it is said what is wrong
	case !driver.present():
		driver.missing("one of " + strings.Join(radioDrivers, ", "))
	case driver.choice(&r.Driver, radioDrivers...) && p.Driver != "" && r.Driver != p.Driver:
		driver.mistake("the chip of "+r.Board+" is no "+r.Driver, p.Driver)
	}
	name := t.get("name")
	if r.Name = r.Driver; name.text(&r.Name) {
		if err := gateway.CheckID(r.Name); err != nil {
			name.mistake(reason(err), "a name such as mast")
		}
	}
	if r.Name != "" {
		if line, twice := names[r.Name]; twice {
			name.mistake(fmt.Sprintf("the radio in line %d has the name %s already", line, short(r.Name)), "set name")
		}
		names[r.Name] = t.at.Line
	}
	switch r.Driver {
	case RadioSemtech:
		r.forwarders(t, taken)
	case RadioSX127x, RadioSX126x:
		r.pins(t, &p, taken)
		r.tuning(t, plan)
		r.try(t, before)
	case RadioFake:
		t.get("chip").choice(&r.Chip, "sx1276", "sx1262")
		t.get("every").duration(&r.Every, time.Second, 24*time.Hour)
		t.get("nodes")
		r.tuning(t, plan)
	default:
		return false // whose keys these are nobody can tell
	}
	t.close()
	c.Radios = append(c.Radios, r)
	return true
}

// forwarders decodes what the server of packet forwarders needs.
func (r *Radio) forwarders(t *table, taken *claims) {
	listen := t.get("listen")
	if !listen.present() {
		listen.missing("the UDP address of the packet forwarders, such as 127.0.0.1:1700")
	} else if listen.text(&r.Listen) {
		if _, port, _ := net.SplitHostPort(r.Listen); port != "0" {
			taken.take(listen, "udp "+r.Listen, claim{line: t.at.Line, what: "radio"})
		}
		listen.address(r.Listen, "127.0.0.1:1700 for this machine, 0.0.0.0:1700 for all")
	}
	gateways := t.get("gateways")
	seen := map[string]int{}
	for _, g := range gateways.list() {
		var eui string
		if g.hexText(&eui, 8) {
			unique(g, "packet forwarder", eui, seen)
			r.Gateways = append(r.Gateways, eui)
		}
	}
	if !gateways.present() || gateways.node.Content == nil {
		gateways.missing("the EUIs of the packet forwarders, 16 hex digits each: nobody else is listened to")
	}
}

// pins decodes how a chip is wired: what the board has, and what the file says
// otherwise.
func (r *Radio) pins(t *table, p *preset.Preset, taken *claims) {
	r.Bus = "spi:0.0"
	if p.Driver != "" {
		r.Bus, r.ChipSelect, r.Reset, r.IRQ, r.Busy = p.Bus, p.ChipSelect, p.Reset, p.IRQ, p.Busy
		r.TXEnable, r.RXEnable, r.Enable, r.DIO2Switch, r.TCXO = p.TXEnable, p.RXEnable, p.Enable, p.DIO2Switch, p.TCXO
		r.RFO = !p.PABoost && p.Driver == preset.SX127x
		r.MaxPower, r.Amplifier = p.MaxPower, p.Gain
		if p.Chip != "" && r.Driver == RadioSX126x {
			r.Part = strings.ToLower(p.Chip)
		}
	}
	bus := t.get("bus")
	var written string
	if bus.text(&written) {
		kind, name, err := sensors.ParseBus(written)
		switch {
		case err != nil || kind != sensors.SPI:
			remedy := "a chip select of SPI, such as spi:0.0"
			if meant := meantBus(written, sensors.SPI); meant != "" {
				remedy = "did you mean " + meant + "? It is " + remedy
			}
			bus.mistake(fmt.Sprintf("%.40q is no SPI bus", written), remedy)
		case name == "spi:"+sensors.Simulated:
			bus.mistake("no radio hangs on spi:"+sensors.Simulated, "driver: fake for a simulated radio, or spi:0.0")
		default:
			r.Bus = name
		}
	}
	lines := []struct {
		key string
		dst *string
	}{{"cs", &r.ChipSelect}, {"reset", &r.Reset}, {"irq", &r.IRQ}, {"busy", &r.Busy}, {"tx_enable", &r.TXEnable}, {"rx_enable", &r.RXEnable}}
	if r.Driver == RadioSX126x {
		t.get("dio2_switch").boolean(&r.DIO2Switch)
		t.get("chip").choice(&r.Part, "sx1261", "sx1262", "sx1268")
		tcxo := t.get("tcxo")
		if volts := []float64{0, 1.6, 1.7, 1.8, 2.2, 2.4, 2.7, 3.0, 3.3}; tcxo.float(&r.TCXO) && !slices.Contains(volts, r.TCXO) {
			tcxo.mistake("is no voltage that the chip has for an oscillator", "1.6, 1.7, 1.8, 2.2, 2.4, 2.7, 3.0 or 3.3; 0 for a crystal")
		}
	} else {
		lines = lines[:3]
		pa := "boost"
		if t.get("pa").choice(&pa, "boost", "rfo") {
			r.RFO = pa == "rfo"
		}
	}
	for _, l := range lines {
		v := t.get(l.key)
		if v.text(l.dst) && *l.dst != "" {
			if err := sensors.CheckPin(*l.dst); err != nil {
				v.mistake(fmt.Sprintf("%.40q is no name of a GPIO line", *l.dst), "its name as the kernel has it, such as GPIO25")
			}
		}
		if *l.dst != "" {
			taken.pin(v, *l.dst, t.at.Line, "radio")
		}
	}
	for _, pin := range r.Enable {
		taken.pin(t.get("board"), pin, t.at.Line, "radio")
	}
	if r.ChipSelect != "" { // others may be on the bus's own select lines
		return
	}
	taken.take(bus, r.Bus, claim{line: t.at.Line, what: "radio"})
}

// tuning decodes what a single-channel radio listens to.
func (r *Radio) tuning(t *table, plan *region.Region) {
	r.Tuning = radio.Tuning{Modulation: radio.Modulation{SF: 12, Bandwidth: 125000, CodingRate: 5}, SyncWord: radio.SyncPublic}
	if plan != nil {
		r.Tuning.Frequency = plan.Channels()[0].Frequency
		for dr := range 16 { // the lowest
			if m, ok := plan.DataRate(dr); ok && m.LoRa() && plan.Uplink(dr) {
				r.Tuning.Modulation = m
				break
			}
		}
	}
	f := t.get("frequency")
	if f.megahertz(&r.Tuning.Frequency) && plan != nil && !plan.Contains(r.Tuning.Frequency) {
		f.warn(fmt.Sprintf("%s MHz is outside of %s", mhz(r.Tuning.Frequency), plan.Name()), "a frequency that may be used where the gateway stands")
	}
	if r.Tuning.Frequency == 0 && !f.present() {
		f.missing("in MHz, such as 868.1, or set lorawan.region")
	}
	rate := t.get("data_rate")
	var text string
	if rate.text(&text) {
		m, err := radio.ParseDataRate(text)
		switch {
		case err != nil:
			rate.mistake(fmt.Sprintf("%.40q is no data rate", text), "spreading factor and bandwidth in kHz, such as SF12BW125")
		case m.SF == 5 && (r.Driver == RadioSX127x || r.Chip == "sx1276" && r.Driver == RadioFake):
			rate.mistake("this chip has no SF5", "SF6 to SF12")
		case m.SF == 6 && (r.Driver == RadioSX127x || r.Chip == "sx1276" && r.Driver == RadioFake):
			rate.mistake("SF6 has no headers with this chip", "SF7 to SF12")
		default:
			r.Tuning.SF, r.Tuning.Bandwidth = m.SF, m.Bandwidth
		}
	}
	coding := "4/5"
	if t.get("coding_rate").choice(&coding, "4/5", "4/6", "4/7", "4/8") {
		r.Tuning.CodingRate = coding[2] - '0'
	}
	sync := t.get("sync_word")
	if sync.text(&text) {
		switch n, err := strconv.ParseUint(text, 0, 8); {
		case text == "lorawan" || text == "public":
		case text == "private":
			r.Tuning.SyncWord = radio.SyncPrivate
		case err != nil:
			sync.mistake(short(text)+" is no sync word", "lorawan, private, or a byte such as 0x34")
		default:
			r.Tuning.SyncWord = byte(n)
		}
	}
	if known := dataRates(plan); plan != nil && r.Tuning.SyncWord == radio.SyncPublic && !slices.Contains(known, r.Tuning.DataRate()) {
		rate.warn(r.Tuning.DataRate()+" is no data rate of "+plan.Name()+" for uplinks", "one of "+strings.Join(known, ", ")+"; sync_word: private for devices without LoRaWAN")
	}
	var preamble = 8
	t.get("preamble").integer(&preamble, 6, 65535)
	r.Tuning.Preamble = uint16(preamble)
	t.get("power").integer(&r.Power, -9, 27)
	t.get("antenna_gain").float(&r.Gain)
}

// dataRates are those of a region's uplinks, as far as they are LoRa.
func dataRates(plan *region.Region) (names []string) {
	if plan == nil {
		return nil
	}
	for dr := range 16 {
		if m, ok := plan.DataRate(dr); ok && m.LoRa() && plan.Uplink(dr) {
			names = append(names, m.DataRate())
		}
	}
	return names
}

// megahertz reads a frequency in MHz into Hz; who writes Hz is understood too.
func (v value) megahertz(dst *uint32) bool {
	var f float64
	if !v.float(&f) {
		return false
	}
	if f < 1e6 {
		f *= 1e6
	}
	if f < 137e6 || f > 1020e6 {
		v.mistake("is no frequency of these radios", "in MHz, such as 868.1")
		return false
	}
	*dst = uint32(math.Round(f))
	return true
}

func mhz(hz uint32) string { return strconv.FormatFloat(float64(hz)/1e6, 'f', -1, 64) }

// hexText reads n bytes written as hex digits, and gives them in lower case.
func (v value) hexText(dst *string, n int) bool {
	var s string
	if !v.text(&s) {
		return false
	}
	if b, err := hex.DecodeString(s); err != nil || len(b) != n {
		v.mistake("not in hex", fmt.Sprintf("%d hex digits in quotes", 2*n))
		return false
	}
	*dst = strings.ToLower(s)
	return true
}

// hexKey reads 16 bytes written as hex digits. The message does not show them.
func (v value) hexKey(dst *[16]byte) bool {
	var s Secret
	if !v.secret(&s) {
		return false
	}
	b, err := hex.DecodeString(string(s))
	if err != nil || len(b) != len(dst) {
		v.mistake("not in hex", "32 hex digits in quotes")
		return false
	}
	if bytes.Count(b, []byte{0}) == len(b) {
		v.mistake("is all zeros, which is no key", "the key that the device has")
		return false
	}
	copy(dst[:], b)
	return true
}
