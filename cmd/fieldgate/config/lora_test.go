package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fieldgate/gateway"
	"fieldgate/radio/lorawan"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/region"
)

const (
	keyA = "00112233445566778899aabbccddeeff"
	keyB = "00112233445566778899aabbccddee01"
	keyC = "00112233445566778899aabbccddee02"
)

// joins and abp are devices with what they need.
func joins(more string) string {
	return `{device: Joins, dev_eui: "70b3d57ed0000001", join_eui: "0000000000000000", app_key: "` + keyA + `"` + more + `}`
}

func abp(more string) string {
	return `{device: Abp, dev_addr: "26011bda", nwk_skey: "` + keyB + `", app_skey: "` + keyC + `"` + more + `}`
}

// parseLoRa reads a configuration that must have no mistakes.
func parseLoRa(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("t.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return c
}

func warnings(c *Config) string {
	var all []string
	for _, w := range c.Warnings {
		all = append(all, w.Error())
	}
	return strings.Join(all, "\n")
}

const forwarderYAML = `radios: [{driver: semtech, listen: "127.0.0.1:1700", gateways: ["aa555a0000000101", "aa555a0000000102"]}]
`

// TestSingleChannelIsTheDefaultOfChips: where no radio hears several channels,
// devices are kept on the one there is.
func TestSingleChannelIsTheDefaultOfChips(t *testing.T) {
	for _, test := range []struct {
		radios string
		single bool
	}{
		{forwarderYAML, false},
		{"radios: [{board: dragino-hat}]\n", true},
		{"radios: [{driver: sx127x, sync_word: private}, {driver: sx126x, bus: \"spi:0.1\", busy: GPIO5}]\n", true},
		{"radios: [{driver: sx127x, sync_word: private}]\n", false}, // it hears no LoRaWAN
		{strings.Replace(forwarderYAML, "radios: [", "radios: [{driver: fake}, ", 1), false},
		{"", false},
	} {
		c := parseLoRa(t, test.radios+"lorawan: {region: EU868, profiles: [{name: p}], devices: ["+joins(", profile: p")+", "+abp("")+"]}")
		for _, d := range c.LoRaWAN.Devices {
			if d.SingleChannel != test.single || d.ADR == test.single {
				t.Errorf("%q: %s: single channel %v, ADR %v", test.radios, d.Device, d.SingleChannel, d.ADR)
			}
		}
		n, err := c.NetworkServer()
		if err != nil {
			t.Fatal(err)
		}
		if single := n.Devices[0].Settings.Single != nil; single != test.single {
			t.Errorf("%q: %+v", test.radios, n.Devices[0].Settings)
		}
	}
}

// TestNetworkServer: what the file says reaches the network server, which takes it.
func TestNetworkServer(t *testing.T) {
	c := parseLoRa(t, forwarderYAML+`
lorawan:
  region: US915
  net_id: "000013"
  sub_band: 2
  profiles: [{name: c, class: C, version: 1.0.4, retries: 0, rx1_delay: 5s, rx1_offset: 3, adr: false}]
  devices:
    - `+joins(", profile: c")+`
    - `+abp(", rx1_delay: 5s, rx2_data_rate: 9, counter_reset: true")+`
    - `+strings.NewReplacer("Joins", "Third", "0000001", "0000002").Replace(joins(", profile: c"))+`
`)
	n, err := c.NetworkServer()
	if err != nil {
		t.Fatal(err)
	}
	plan, _ := region.Get("US915")
	rx2, _ := plan.RX2()
	if n.Region != plan || n.NetID != 0x13 || len(n.Settings.Channels) != 9 || n.Settings.Channels[0] != 903_900_000 || len(n.Devices) != 3 {
		t.Fatalf("%+v", n)
	}
	d := n.Devices[0]
	equal(t, "settings", *d.Settings, lorawan.Settings{RX1Delay: 5, RX1Offset: 3, Channels: n.Settings.Channels})
	if d.Class != lorawan.ClassC || d.Version != lorawan.V104 || d.Retries != -1 || d.ADR || d.Preset != nil {
		t.Errorf("%+v", d)
	}
	if n.Devices[2].Settings != d.Settings {
		t.Error("settings that are the same take memory twice")
	}
	d = n.Devices[1]
	equal(t, "settings with a session", *d.Settings, lorawan.Settings{RX1Delay: 5, RX2: &lorawan.RX2{Frequency: rx2, DataRate: 9}, Channels: n.Settings.Channels})
	equal(t, "preset", *d.Preset, lorawan.Settings{RX1Delay: 5})
	if !d.CounterReset || d.Class != lorawan.ClassA || d.Retries != 3 || !d.ADR {
		t.Errorf("%+v", d)
	}
	n.Table, n.Radio = nothing{}, nothing{}
	if _, err := lorawan.New(n); err != nil {
		t.Error(err)
	}
}

// TestNetworkServerMore: further channels, and what devices are told of air time
// and power.
func TestNetworkServerMore(t *testing.T) {
	c := parseLoRa(t, forwarderYAML+`
lorawan:
  region: EU868
  channels: [867.1, 868.1, 867.3]
  devices: [`+joins(", duty_cycle: 7, nonce_reset: true")+`]
`)
	n, err := c.NetworkServer()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "settings", *n.Devices[0].Settings, lorawan.Settings{RX1Delay: 1, DutyCycle: 7, Channels: []uint32{867_100_000, 867_300_000}})
	if !n.Devices[0].NonceReset {
		t.Error("nonce_reset is lost")
	}
	c = parseLoRa(t, forwarderYAML+`
lorawan:
  region: AS923
  devices: [`+joins(", tx_param: {uplink_dwell: true, max_eirp: 15}")+`]
`)
	if n, err = c.NetworkServer(); err != nil {
		t.Fatal(err)
	}
	equal(t, "settings", *n.Devices[0].Settings, lorawan.Settings{RX1Delay: 1, TxParam: &frame.TxParamSetupReq{UplinkDwell: true, MaxEIRP: 4}})
}

// TestSingleChannelDevices: they are kept on the chip's channel, and how a device
// with a session of its own begins is what it was programmed with.
func TestSingleChannelDevices(t *testing.T) {
	c := parseLoRa(t, "radios: [{driver: sx127x, sync_word: private}, {board: waveshare-sx1262, frequency: 868.3, data_rate: SF9BW125}]\n"+
		"lorawan: {region: EU868, devices: ["+abp("")+", "+joins(", single_channel: false, adr: true")+"]}")
	n, err := c.NetworkServer()
	if err != nil {
		t.Fatal(err)
	}
	d := n.Devices[0]
	if s := d.Settings.Single; s == nil || *s != (lorawan.Single{Frequency: 868_300_000, DataRate: 3}) || d.ADR || d.Preset.Single != nil {
		t.Errorf("%+v %+v", d, s)
	}
	if d = n.Devices[1]; d.Settings.Single != nil || !d.ADR {
		t.Errorf("%+v", d)
	}
}

// TestTuningFollowsTheRegion: the lowest data rate of a region's uplinks, and its
// first channel.
func TestTuningFollowsTheRegion(t *testing.T) {
	for name, want := range map[string]string{"EU868": "SF12BW125", "US915": "SF10BW125", "AS923": "SF12BW125", "AU915": "SF12BW125"} {
		c := parseLoRa(t, "radios: [{board: dragino-hat}]\nlorawan: {region: "+name+"}")
		if got := c.Radios[0].Tuning; got.DataRate() != want || got.CodingRate != 5 || got.Frequency == 0 {
			t.Errorf("%s: %+v", name, got)
		}
		if len(c.Warnings) > 0 {
			t.Error(warnings(c))
		}
	}
}

// TestLoRaWarnings: what is no mistake but does not work.
func TestLoRaWarnings(t *testing.T) {
	dir := t.TempDir()
	for name, source := range map[string]string{"mute.js": "function decodeUplink(i) { return {data: {}} }", "both.js": "function Decoder(b, p) {} function Encoder(d, p) { return [] }"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const device = "devices: [{id: Joins, actuators: [{id: valve}]}]\n"
	for _, test := range []struct{ text, want string }{
		{device + forwarderYAML + "lorawan: {region: EU868, devices: [" + joins(", codec: cayenne") + "]}",
			"the codec cayenne has no name valve: the actuator valve of Joins cannot be set; say which it is, such as actuators: [{from: digital_out_1, id: valve}]"},
		{device + forwarderYAML + "lorawan: {region: EU868, devices: [" + joins("") + "]}", "actuators: [{from: payload, id: valve}]"},
		{device + forwarderYAML + "lorawan: {region: EU868, devices: [" + joins(", codec: cayenne, actuators: [{from: digital_out_1, id: valve}]") + "]}", ""},
		{device + forwarderYAML + "lorawan: {region: EU868, devices: [" + joins(", codec: xlpp, variables: {valve: digital_out_1}") + "]}", ""},
		{device + forwarderYAML + "lorawan: {region: EU868, devices: [" + joins(", codec: json") + "]}", ""},
		{device + forwarderYAML + "lora: {devices: [{device: Joins, address: 8}]}", ""},
		{device + forwarderYAML + "lorawan: {region: EU868, devices: [" + joins(", codec: mute.js") + "]}", "has no encodeDownlink: its actuator valve cannot be set"},
		{device + forwarderYAML + "lorawan: {region: EU868, devices: [" + joins(", codec: both.js") + "]}", ""},
		// It is on a line of this machine.
		{device + "actuators: [{driver: gpio-out, device: Joins, actuator: valve, pin: GPIO5}]\n" + forwarderYAML + "lorawan: {region: EU868, devices: [" + joins(", codec: cayenne") + "]}", ""},
		{"radios: [{driver: sx127x, data_rate: SF12BW250}]\nlorawan: {region: EU868}", "SF12BW250 is no data rate of EU868 for uplinks; one of SF12BW125,"},
		{"radios: [{driver: sx127x, data_rate: SF12BW250, sync_word: private}]\nlorawan: {region: EU868}", ""},
		{"radios: [{driver: sx127x, frequency: 915}]\nlorawan: {region: EU868}", "915 MHz is outside of EU868"},
	} {
		file := filepath.Join(dir, "t.yaml")
		if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(file)
		if err != nil {
			t.Errorf("%v\n%s", err, test.text)
			continue
		}
		if got := warnings(c); test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("warnings %q, want %q, of\n%s", got, test.want, test.text)
		}
	}
}

// TestKeysInAReadableFile: LoRaWAN's keys are secrets.
func TestKeysInAReadableFile(t *testing.T) {
	for _, device := range []string{joins(""), abp("")} {
		file := filepath.Join(t.TempDir(), "t.yaml")
		if err := os.WriteFile(file, []byte(forwarderYAML+"lorawan: {region: EU868, devices: ["+device+"]}"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
		c, err := Load(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(warnings(c), "can be read by every user") {
			t.Errorf("no warning of %s", device)
		}
	}
}

// TestMappedSensors: what the codec knows of a sensor it creates; what it does not
// is declared.
func TestMappedSensors(t *testing.T) {
	const maps = `, codec: cayenne, sensors: [{from: temperature_1, id: water}, {from: analog_in_2, id: level, name: Level, sensor_kind: LevelSensor, quantity: Level, unit: Metre}], actuators: [{from: digital_out_3, id: valve}]`
	c := parseLoRa(t, forwarderYAML+"lorawan: {region: EU868, devices: ["+joins(maps)+"]}")
	equal(t, "sensors", c.Devices[0].Sensors, []gateway.Sensor{{ID: "level", Name: "Level", Kind: "LevelSensor", Quantity: "Level", Unit: "Metre"}})
	equal(t, "actuators", c.Devices[0].Actuators, []gateway.Actuator{{ID: "valve"}})
	c = parseLoRa(t, forwarderYAML+"lorawan: {region: EU868, devices: ["+joins(maps+", create: false")+"]}")
	if len(c.Devices[0].Sensors) != 2 {
		t.Errorf("%+v", c.Devices[0])
	}
}

// TestRawRules: frames of packet forwarders come with their EUIs.
func TestRawRules(t *testing.T) {
	c := parseLoRa(t, forwarderYAML+`
lora:
  devices:
    - {device: A, address: 8, listens: after_uplink}
    - {device: B, prefix: "beef", radio: semtech}
    - {device: C, match: "^TC/", radio: aa555a0000000102}
`)
	var got []string
	for _, r := range c.RawRules() {
		got = append(got, r.Device+" "+r.Radio)
	}
	equal(t, "rules", got, []string{"A ", "B aa555a0000000101", "B aa555a0000000102", "C aa555a0000000102"})
	if !c.LoRa[0].AfterUplink || c.LoRa[1].AfterUplink {
		t.Errorf("%+v", c.LoRa)
	}
}
