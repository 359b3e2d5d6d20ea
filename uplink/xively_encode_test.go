package uplink

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"fieldgate/gateway"
	"fieldgate/gateway/xively"
)

var update = flag.Bool("update", false, "write the golden files anew")

// twoFeeds knows D as feed 504 and E as feed 505.
func twoFeeds(device string) (uint64, bool) {
	n, ok := map[string]uint64{"D": 504, "E": 505}[device]
	return n, ok
}

func xivelyEncoder(qos byte) encoder {
	return encoder{name: "cloud", gatewayID: "gw-1", dialect: Xively, ids: true, xively: XivelyOptions{QoS: qos}, feed: twoFeeds}
}

func TestXivelyMessages(t *testing.T) {
	e := xivelyEncoder(0)
	e.forward = []Forward{{Topic: "#", Direction: Out, QoS: 2, LocalPrefix: "l/", RemotePrefix: "r/"}}
	sensor := func(device, channel, value string) gateway.Record {
		return gateway.Record{Seq: 17, Kind: gateway.KindSensor, Device: device, Channel: channel, Value: json.RawMessage(value), At: t0, Clock: gateway.ClockSynced}
	}
	of := func(kind gateway.Kind, r gateway.Record) gateway.Record {
		r.Kind = kind
		return r
	}
	const at = ",2026-11-22T10:00:00.123456Z,"
	back := sensor("D", "S", "1")
	back.Origin = "cloud"
	for name, c := range map[string]struct {
		rec  gateway.Record
		want string // topic, QoS and payload; "" if it does not go up
	}{
		"number":         {sensor("D", "TC1", "21.50"), "/v2/feeds/504.csv 0 TC1" + at + "21.50"},
		"zeros":          {sensor("E", "TC1", `"0000017"`), "/v2/feeds/505.csv 0 TC1" + at + "0000017"},
		"text":           {sensor("D", "TC1", `"red, \"car\"\nor not"`), "/v2/feeds/504.csv 0 TC1" + at + "\"red, \"\"car\"\"\nor not\""},
		"object":         {sensor("D", "GPS", `{"lat":1,"lon":2.50}`), "/v2/feeds/504.csv 0 GPS" + at + `"{""lat"":1,""lon"":2.50}"`},
		"true":           {sensor("D", "door", "true"), "/v2/feeds/504.csv 0 door" + at + "true"},
		"null":           {sensor("D", "S", "null"), "/v2/feeds/504.csv 0 S" + at + `""`},
		"no value":       {sensor("D", "S", ""), "/v2/feeds/504.csv 0 S" + at + `""`},
		"plus":           {sensor("D", "a%2Bb", "1"), "/v2/feeds/504.csv 0 a+b" + at + "1"},
		"letters":        {sensor("D", "üöä", "1"), "/v2/feeds/504.csv 0 üöä" + at + "1"},
		"255 characters": {sensor("D", "S", `"`+strings.Repeat("ü", 255)+`"`), "/v2/feeds/504.csv 0 S" + at + strings.Repeat("ü", 255)},
		"no feed":        {sensor("F", "S", "1"), ""},
		"back":           {back, ""},
		"actuator":       {of(gateway.KindActuator, sensor("D", "relay", "1")), ""},
		"command":        {of(gateway.KindCommand, sensor("D", "relay", "1")), ""},
		"erasure":        {of(gateway.KindErase, sensor("D", "S", "{}")), ""},
		"change":         {gateway.Record{Seq: 20, Kind: gateway.KindChange, Topic: "devices/D/name", Value: []byte("Pump")}, ""},
		"gap":            {gateway.Record{Seq: 21, Kind: gateway.KindGap, Uplink: "cloud", Lost: &gateway.Lost{}}, ""},
		"message":        {gateway.Record{Seq: 22, Kind: gateway.KindMessage, Topic: "l/x", Value: []byte("\xff"), QoS: 2, Uplink: "cloud"}, "r/x 2 \xff"},
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
		if ok && (m.retain || m.marked || m.asked != (m.qos == 0)) {
			t.Errorf("%s: %+v", name, m)
		}
	}
	for name, rec := range map[string]gateway.Record{
		"256 characters":  sensor("D", "S", `"`+strings.Repeat("ü", 256)+`"`),
		"no datastream":   sensor("D", "KYB:FOO", "1"),
		"space in its id": sensor("D", "red hat", "1"),
		"not UTF-8":       sensor("D", "S", "\xff"),
	} {
		if _, ok, err := e.message(&rec); !ok || !errors.Is(err, errUnsendable) {
			t.Errorf("%s: %t, %v", name, ok, err)
		}
	}
	e.filter = []string{"devices/+/sensors/TC1/value"}
	for channel, want := range map[string]bool{"TC1": true, "TC2": false} {
		r := sensor("D", channel, "1")
		if _, ok, _ := e.message(&r); ok != want {
			t.Errorf("%s passes the filter: %t", channel, ok)
		}
	}
	e = xivelyEncoder(1)
	r := sensor("D", "TC1", "1")
	if m, _, _ := e.message(&r); m.qos != 1 || m.asked {
		t.Errorf("at QoS 1: %+v", m)
	}
}

// TestXivelyBatchMessages compares with testdata/xively-batch.txt.
func TestXivelyBatchMessages(t *testing.T) {
	e := xivelyEncoder(1)
	e.forward = []Forward{{Topic: "x", Direction: Out, QoS: 1}}
	add := func(recs []gateway.Record, device, sensor string, value any) []gateway.Record {
		r := reading(device, sensor, value)
		r.Seq, r.At = uint64(len(recs)+1), t0.Add(time.Duration(len(recs))*time.Second)
		return append(recs, r)
	}
	var recs []gateway.Record
	recs = add(recs, "D", "a", 1)
	recs = add(recs, "E", "a", 2)
	recs = add(recs, "D", "b", "three, or so")
	recs = add(recs, "F", "a", "has no feed")
	recs = add(recs, "D", "a", 5)
	recs[4].At = recs[0].At // the same time: the later record counts
	recs = add(recs, "D", "a", strings.Repeat("x", 256))
	recs = add(recs, "D", "red hat", 7)
	recs = add(recs, "D", "a", "") // blank: no datapoint can be that
	recs = add(recs, "D", "a", 9)
	recs = append(recs, gateway.Record{Seq: 10, Kind: gateway.KindMessage, Topic: "x", Uplink: "cloud", QoS: 1, Value: []byte("message")})
	recs = add(recs, "D", "b", 11)
	recs[10].At = time.Time{} // no time: a row of its own
	recs = add(recs, "E", "c", 12)
	out, refused, err := e.batch(recs, batchBytes)
	var b strings.Builder
	for _, m := range out {
		fmt.Fprintf(&b, "%s at QoS %d\n%s\n\n", m.topic, m.qos, m.payload)
	}
	fmt.Fprintf(&b, "refused: %v: %v\n", refused, err)
	const golden = "testdata/xively-batch.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestXivelyBatchLimits(t *testing.T) {
	var recs []gateway.Record
	for i := range 1700 {
		r := reading("D", "S"+strconv.Itoa(i%7), i)
		r.Seq, r.At = uint64(i+1), t0.Add(time.Duration(i)*time.Second)
		recs = append(recs, r)
	}
	e := xivelyEncoder(0)
	for limit, want := range map[int]int{batchBytes: 4, 2000: 0} {
		out, refused, err := e.batch(recs, limit)
		if len(refused) > 0 || err != nil {
			t.Fatal(refused, err)
		}
		if want > 0 && len(out) != want {
			t.Errorf("%d messages, want %d of 500 rows at most", len(out), want)
		}
		total := 0
		for _, m := range out {
			w, err := xively.DecodeFeed(xively.V2, xively.CSV, m.payload)
			if err != nil {
				t.Fatalf("a cloud would refuse this: %v", err)
			}
			n := 0
			for _, d := range w.Datastreams {
				n += max(1, len(d.Datapoints))
			}
			if n > xively.MaxDatapoints || len(m.payload) > limit || !m.asked {
				t.Errorf("%d rows in %d bytes, limit %d", n, len(m.payload), limit)
			}
			total += n
		}
		if total != len(recs) {
			t.Errorf("%d rows of %d records", total, len(recs))
		}
	}
}

// FuzzXivelyBatch: whatever sensors say, a cloud takes each message, and finds
// in it the values that were sent.
func FuzzXivelyBatch(f *testing.F) {
	f.Add("a", "b", "1", `"two"`, "null", byte(0))
	f.Add("a", "a", `"x\r\ny"`, `" \""`, `{"a":[1,"\u0000"]}`, byte(1))
	f.Add("a%2Bb", "üöä", `" , "`, `"\ufeff"`, `"\ud800"`, byte(2))
	f.Fuzz(func(t *testing.T, s1, s2, v1, v2, v3 string, gap byte) {
		var recs []gateway.Record
		for i, v := range []string{v1, v2, v3, v1} {
			if !json.Valid([]byte(v)) {
				v = string(xively.Value(v))
			}
			r := gateway.Record{Seq: uint64(i + 1), Kind: gateway.KindSensor, Device: "D", Channel: []string{s1, s2}[i%2],
				Value: json.RawMessage(v), At: t0.Add(time.Duration(i*int(gap)) * time.Second)}
			recs = append(recs, r)
		}
		e := xivelyEncoder(0)
		out, refused, err := e.batch(recs, batchBytes)
		if (len(refused) > 0) != (err != nil) {
			t.Fatalf("refused %v: %v", refused, err)
		}
		found := 0
		for _, m := range out {
			w, err := xively.DecodeFeed(xively.V2, xively.CSV, m.payload)
			if err != nil {
				t.Fatalf("%q: %v", m.payload, err)
			}
			for _, d := range w.Datastreams {
				points := d.Datapoints
				if d.Value != nil {
					points = append(points, xively.Datapoint{At: d.At, Value: *d.Value})
				}
				found += len(points)
				for _, p := range points {
					if utf8.RuneCountInString(p.Value) > xively.MaxValue || !sentAt(recs, d.ID, p) {
						t.Errorf("%s has %q at %s, which nobody measured", d.ID, p.Value, p.At)
					}
				}
			}
		}
		if found+len(refused) != len(recs) {
			t.Errorf("%d rows and %d refused of %d records", found, len(refused), len(recs))
		}
	})
}

// sentAt reports whether one of recs is p.
func sentAt(recs []gateway.Record, id string, p xively.Datapoint) bool {
	for _, r := range recs {
		if xively.DatastreamID(r.Channel) == id && strings.TrimSpace(xively.Text(r.Value)) == p.Value && r.At.Equal(p.At) {
			return true
		}
	}
	return false
}
