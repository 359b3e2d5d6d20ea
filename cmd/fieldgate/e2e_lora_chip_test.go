package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// stationJS reads Cayenne LPP as the simulated node sends it, and knows one
// command, which the node reads with the same script.
const stationJS = `
function decodeUplink(input) {
  var b = input.bytes, data = {}, i = 0;
  while (i < b.length) {
    var channel = b[i], type = b[i + 1];
    if (type === 0x67) { data["temperature_" + channel] = ((b[i + 2] << 24 >> 16) | b[i + 3]) / 10; i += 4; }
    else if (type === 0x68) { data["relative_humidity_" + channel] = b[i + 2] / 2; i += 3; }
    else if (type === 0x01) { data["digital_out_" + channel] = b[i + 2]; i += 3; }
    else return {errors: ["type " + type]};
  }
  return {data: data};
}
function encodeDownlink(input) {
  var keys = Object.keys(input.data);
  if (keys.length !== 1 || keys[0] !== "digital_out_3") return {errors: ["no such command"]};
  return {bytes: [3, 1, input.data.digital_out_3 ? 1 : 0], fPort: 7};
}
`

const chipYAML = `
id: gw-1
data: DATA
listen: {mqtt: "127.0.0.1:0", http: "127.0.0.1:0"}
access: {anonymous: true, users: [{name: boss, password_hash: "HASH", admin: true}]}
devices: [{id: Station, visibility: public, public_write: true}]
radios: [{driver: fake, chip: CHIP, name: air, nodes: [Station], every: 1s, data_rate: SF7BW125}]
lorawan:
  region: EU868
  devices:
    - {device: Station, dev_eui: "` + nodeEUI + `", join_eui: "0000000000000000", app_key: "` + nodeKey + `", codec: station.js,
       actuators: [{from: digital_out_3, id: valve}]}
uplink: [{name: cloud, url: CLOUD}]
`

// TestLoRaWANThroughChip: a node joins through a chip, played by its registers, at
// the times that LoRaWAN has for it; its readings reach the local network and the
// cloud, and it obeys a command and says so.
func TestLoRaWANThroughChip(t *testing.T) {
	hash := passwordHash(t)
	for _, chip := range []string{"sx1276", "sx1262"} {
		t.Run(chip, func(t *testing.T) {
			t.Parallel()
			cloud := startMosquitto(t)
			atCloud := subscribe(t, "127.0.0.1:"+cloud.port, "-t", "devices/#")
			g := startScripts(t, t.TempDir(), strings.NewReplacer("CHIP", chip, "CLOUD", cloud.url(), "HASH", hash).Replace(chipYAML),
				map[string]string{"station.js": stationJS})
			local := subscribe(t, g.mqtt, "-t", "devices/#")
			boss := subscribe(t, g.mqtt, "-u", "boss", "-P", "password", "-t", "gateways/gw-1/radio/+", "-t", "gateways/gw-1/radios/air/status")
			if payload := boss.until("gateways/gw-1/radios/air/status", containing(`"state":"ok"`)); !strings.Contains(strings.ToLower(payload), chip[:5]) {
				t.Errorf("the radio tells %s", payload)
			}
			number := regexp.MustCompile(`"value":-?\d+(\.\d)?[,}]`)
			for what, s := range map[string]*subscriber{"local": local, "cloud": atCloud} {
				for _, sensor := range []string{"temperature_1", "relative_humidity_2"} {
					payload := s.until("devices/Station/sensors/"+sensor+"/value", containing("value"))
					if !number.MatchString(payload) {
						t.Errorf("%s: %s is %s", what, sensor, payload)
					}
				}
			}
			if status := get(t, g, "/devices/Station/sensors"); !strings.Contains(status, "temperature_1") {
				t.Errorf("the sensors are %s", status)
			}

			// A command; the node answers with the state that it has now, as a number.
			sendCommand(t, g, "Station", "valve", "true")
			st := local.untilState("Station", "valve", "sent")
			if st.Sends != 1 || string(st.Value) != "true" {
				t.Errorf("%+v", st)
			}
			local.until("devices/Station/actuators/valve/value", containing(`"value":1`))
			atCloud.until("devices/Station/actuators/valve/value", containing(`"value":1`))
			sendCommand(t, g, "Station", "valve", "false")
			local.untilState("Station", "valve", "sent")
			local.until("devices/Station/actuators/valve/value", containing(`"value":0`))

			// What was sent: the accept and the commands, in RX1 or, if this machine was too
			// slow for it, in RX2.
			var sent []int
			for len(sent) < 3 {
				payload := boss.until("gateways/gw-1/radio/tx", containing("payload"))
				var e struct {
					Frequency float64
					Rate      string `json:"data_rate"`
					Size      int
					Error     string
				}
				err := json.Unmarshal([]byte(payload), &e)
				first, second := e.Frequency == 868.1 && e.Rate == "SF7BW125", e.Frequency == 869.525 && (e.Rate == "SF7BW125" || e.Rate == "SF12BW125")
				if err != nil || !first && !second {
					t.Errorf("sent: %s (%v)", payload, err)
				}
				sent = append(sent, e.Size)
			}
			if sent[0] != 17 {
				t.Errorf("the first frame has %d bytes, a join accept without CFList 17", sent[0])
			}
			boss.until("gateways/gw-1/radio/rx", containing(`"device":"Station"`))
			if code := g.stop(); code != 0 {
				t.Errorf("exit status %d", code)
			}
		})
	}
}
