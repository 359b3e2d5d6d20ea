package uplink

import (
	"encoding/json"
	"strings"
	"testing"

	"fieldgate/gateway"
)

func TestMessages(t *testing.T) {
	e := encoder{name: "cloud", gatewayID: "gw-1", dialect: Waziup, ids: true,
		filter:  []string{"devices/D/#"},
		forward: []Forward{{Topic: "#", Direction: Out, QoS: 1, LocalPrefix: "l/", RemotePrefix: "r/"}}}
	at := t0
	value := json.RawMessage(`{"lat":1,"lon":2.50}`)
	for name, c := range map[string]struct {
		rec  gateway.Record
		want string // topic, QoS and payload; "" if it does not go up
	}{
		"sensor": {gateway.Record{Seq: 17, Kind: gateway.KindSensor, Device: "D", Channel: "GPS", Value: value, At: at, Clock: gateway.ClockSynced},
			`devices/D/sensors/GPS/value 1 {"value":{"lat":1,"lon":2.50},"timestamp":"2026-11-22T10:00:00.123456Z","id":"gw-1/17"}`},
		"actuator": {gateway.Record{Seq: 18, Kind: gateway.KindActuator, Device: "D", Channel: "relay", Value: json.RawMessage("true"), At: at, Clock: gateway.ClockUnset},
			`devices/D/actuators/relay/value 1 {"value":true,"timestamp":"2026-11-22T10:00:00.123456Z","id":"gw-1/18","clock":"unset"}`},
		"no value":      {gateway.Record{Seq: 19, Kind: gateway.KindSensor, Device: "D", Channel: "S", Clock: gateway.ClockUnsynced}, `devices/D/sensors/S/value 1 {"value":null,"id":"gw-1/19"}`},
		"change":        {gateway.Record{Seq: 20, Kind: gateway.KindChange, Topic: "devices/D/name", Value: []byte("Pump")}, `devices/D/name 1 Pump`},
		"filtered":      {gateway.Record{Seq: 21, Kind: gateway.KindSensor, Device: "E", Channel: "S", Value: value}, ""},
		"change of E":   {gateway.Record{Seq: 22, Kind: gateway.KindChange, Topic: "devices/E/name", Value: []byte("x")}, ""},
		"command":       {gateway.Record{Seq: 23, Kind: gateway.KindCommand, Device: "D", Channel: "relay", Value: value, Origin: "other"}, ""},
		"back":          {gateway.Record{Seq: 24, Kind: gateway.KindActuator, Device: "D", Channel: "relay", Value: value, Origin: "cloud"}, ""},
		"message":       {gateway.Record{Seq: 25, Kind: gateway.KindMessage, Topic: "l/x", Value: []byte("\xff"), QoS: 2, Uplink: "cloud"}, "r/x 1 \xff"},
		"no rule":       {gateway.Record{Seq: 26, Kind: gateway.KindMessage, Topic: "m/x", Value: []byte("1"), Uplink: "cloud"}, ""},
		"unknown kind":  {gateway.Record{Seq: 27, Kind: 99, Device: "D", Channel: "S", Value: value}, ""},
		"gap of others": {gateway.Record{Seq: 28, Kind: gateway.KindGap, Uplink: "other", Lost: &gateway.Lost{}}, ""},
		"gap": {gateway.Record{Seq: 29, Kind: gateway.KindGap, Uplink: "cloud", Lost: &gateway.Lost{Reason: "damage", From: 3, To: 9, First: at, Last: at}},
			`gateways/gw-1/gaps 1 {"id":"gw-1/29","reason":"damage","from":3,"to":9,"count":0,"first":"2026-11-22T10:00:00.123456Z","last":"2026-11-22T10:00:00.123456Z"}`},
	} {
		m, ok, err := e.message(&c.rec)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		got := ""
		if ok {
			got = m.topic + " " + string('0'+rune(m.qos)) + " " + string(m.payload)
		}
		if got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
	}
	e.dialect = None
	if _, ok, _ := e.message(&gateway.Record{Kind: gateway.KindSensor, Device: "D", Channel: "S"}); ok {
		t.Error("dialect none sends readings")
	}
}

func TestBatchMessages(t *testing.T) {
	e := encoder{name: "cloud", gatewayID: "gw-1", dialect: Waziup, ids: true}
	var recs []gateway.Record
	for i := range 10 {
		r := reading("D", "S"+string('0'+rune(i%2)), i)
		r.Seq, r.At = uint64(i+1), t0
		recs = append(recs, r)
	}
	recs[4].Kind = gateway.KindActuator
	ms, refused, err := e.batch(recs, 3*130)
	if err != nil || len(refused) > 0 {
		t.Fatal(err)
	}
	seen := map[uint64]bool{}
	for _, m := range ms {
		if strings.HasSuffix(m.topic, "/value") {
			var one element
			if json.Unmarshal(m.payload, &one) != nil || one.seq() != 5 {
				t.Errorf("single %s", m.payload)
			}
			seen[5] = true
			continue
		}
		var es []element
		if err := json.Unmarshal(m.payload, &es); err != nil {
			t.Fatalf("%s: %v", m.payload, err)
		}
		if len(m.payload) > 3*130 || len(es) > 3 {
			t.Errorf("%d readings in %d bytes", len(es), len(m.payload))
		}
		last := uint64(0)
		for _, x := range es {
			if x.seq() <= last || m.topic != "devices/D/sensors/S"+string('0'+rune((x.seq()-1)%2))+"/values" {
				t.Errorf("record %d after %d on %s", x.seq(), last, m.topic)
			}
			last = x.seq()
			seen[last] = true
		}
	}
	if len(ms) != 5 {
		t.Errorf("%d messages, want two arrays of each sensor and the actuator", len(ms))
	}
	if len(seen) != 10 {
		t.Errorf("%d records in the messages", len(seen))
	}
}
