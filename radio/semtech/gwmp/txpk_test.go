package gwmp

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"fieldgate/radio"
)

var transmissions = []struct {
	name string
	t    radio.Transmission
	json string
}{
	{"LoRaWAN", radio.Transmission{Payload: []byte{0x60, 1, 2}, Frequency: 868100000, Modulation: sf7, Power: 14, InvertIQ: true, Preamble: 8, Counter: 4294967295},
		`{"txpk":{"imme":false,"tmst":4294967295,"freq":868.100000,"rfch":0,"powe":14,"modu":"LORA","datr":"SF7BW125","codr":"4/5","ipol":true,"prea":8,"ncrc":true,"size":3,"data":"YAEC"}}`},
	{"raw, at once", radio.Transmission{Payload: []byte{1}, Frequency: 865200000, Modulation: radio.Modulation{SF: 12, Bandwidth: 125000, CodingRate: 8}, Power: -3, CRC: true, Preamble: 12, Immediately: true},
		`{"txpk":{"imme":true,"freq":865.200000,"rfch":0,"powe":-3,"modu":"LORA","datr":"SF12BW125","codr":"4/8","ipol":false,"prea":12,"ncrc":false,"size":1,"data":"AQ=="}}`},
	{"FSK", radio.Transmission{Payload: []byte{}, Frequency: 868800000, Modulation: radio.Modulation{BitRate: 50000}, Power: 27, CRC: true, Preamble: 5, Counter: 0},
		`{"txpk":{"imme":false,"tmst":0,"freq":868.800000,"rfch":0,"powe":27,"modu":"FSK","datr":50000,"fdev":25000,"prea":5,"ncrc":false,"size":0,"data":""}}`},
}

func TestTxpkRoundTrip(t *testing.T) {
	for _, c := range transmissions {
		doc, err := AppendTxpk(nil, &c.t, 0)
		if err != nil || string(doc) != c.json || !json.Valid(doc) {
			t.Errorf("%s: %v\n%s, want\n%s", c.name, err, doc, c.json)
		}
		got, err := ParseTxpk(doc)
		if err != nil || !reflect.DeepEqual(got.Transmission, c.t) || got.Chain != 0 || got.GPS != 0 {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	// What is left to the protocol's usual values.
	for _, c := range []struct {
		t    radio.Transmission
		want string
	}{
		{radio.Transmission{Frequency: 868100000, Modulation: radio.Modulation{SF: 7, Bandwidth: 125000}}, `"codr":"4/5","ipol":false,"prea":8,`},
		{radio.Transmission{Frequency: 868100000, Modulation: radio.Modulation{BitRate: 50000}}, `"prea":5,`},
	} {
		if doc, err := AppendTxpk(nil, &c.t, 1); err != nil || !strings.Contains(string(doc), c.want) || !strings.Contains(string(doc), `"rfch":1`) {
			t.Errorf("%s, %v", doc, err)
		}
	}
	for _, c := range []struct {
		t    radio.Transmission
		want error
	}{
		{radio.Transmission{Modulation: sf7}, radio.ErrFrequency},
		{radio.Transmission{Frequency: 1}, radio.ErrDataRate},
		{radio.Transmission{Frequency: 1, Modulation: radio.Modulation{SF: 7}}, radio.ErrDataRate},
		{radio.Transmission{Frequency: 1, Modulation: sf7, Payload: make([]byte, 256)}, ErrField},
	} {
		if doc, err := AppendTxpk([]byte("x"), &c.t, 0); !errors.Is(err, c.want) || string(doc) != "x" {
			t.Errorf("%s, %v", doc, err)
		}
	}
}

// TestTxpkExamples has the documents of PROTOCOL.TXT section 6, and what servers
// send.
func TestTxpkExamples(t *testing.T) {
	for _, c := range []struct {
		doc  string
		want Txpk
	}{
		{`{"txpk":{"imme":true,"freq":864.123456,"rfch":0,"powe":14,"modu":"LORA","datr":"SF11BW125","codr":"4/6","ipol":false,"size":3,"data":"H3P3"}}`,
			Txpk{Transmission: radio.Transmission{Payload: []byte{0x1f, 0x73, 0xf7}, Frequency: 864123456, Modulation: radio.Modulation{SF: 11, Bandwidth: 125000, CodingRate: 6}, Power: 14, CRC: true, Immediately: true}}},
		{`{"txpk":{"imme":true,"freq":861.3,"rfch":0,"powe":12,"modu":"FSK","datr":50000,"fdev":3000,"size":3,"data":"H3P3"}}`,
			Txpk{Transmission: radio.Transmission{Payload: []byte{0x1f, 0x73, 0xf7}, Frequency: 861300000, Modulation: radio.Modulation{BitRate: 50000}, Power: 12, CRC: true, Immediately: true}, Deviation: 3000}},
		// Single precision of a server, a null, a boolean as a number, no power, no coding rate.
		{`{"txpk":{"imme":0,"tmst":845299123,"freq":867.7000122070312,"rfch":1,"modu":"LORA","datr":"SF7BW125","ipol":1,"prea":null,"ncrc":true,"brd":0,"ant":0,"data":"IL8="}}`,
			Txpk{Transmission: radio.Transmission{Payload: []byte{0x20, 0xbf}, Frequency: 867700012, Modulation: sf7, Power: 14, InvertIQ: true, Counter: 845299123}, Chain: 1}},
		{`{"x":1,"txpk":{"tmms":1356451200500,"freq":869.525,"modu":"LORA","datr":"SF7BW125","codr":"4/5","data":""}}`,
			Txpk{Transmission: radio.Transmission{Payload: []byte{}, Frequency: 869525000, Modulation: sf7, Power: 14, CRC: true}, GPS: 1356451200500}},
	} {
		if got, err := ParseTxpk([]byte(c.doc)); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n%+v, %v, want\n%+v", c.doc, got, err, c.want)
		}
	}
}

func TestTxpkRefused(t *testing.T) {
	for _, c := range []struct {
		doc  string
		want error
	}{
		{``, ErrJSON}, {`{`, ErrJSON}, {`{"txpk":{"imme":true}`, ErrJSON}, {`{"txpk":{"imme":true}}}`, ErrJSON},
		{`{}`, ErrField}, {`{"txpk":[]}`, ErrField}, {`{"txpk":{}}`, ErrField},
		{`{"txpk":{"imme":"yes","freq":868.1,"datr":"SF7BW125","data":""}}`, ErrField},
		{`{"txpk":{"freq":868.1,"datr":"SF7BW125","data":""}}`, ErrField},
		{`{"txpk":{"imme":true,"datr":"SF7BW125","data":""}}`, ErrField},
		{`{"txpk":{"imme":true,"freq":868.1,"data":""}}`, ErrField},
		{`{"txpk":{"imme":true,"freq":868.1,"datr":"SF7BW125"}}`, ErrField},
		{`{"txpk":{"imme":true,"freq":868.1,"datr":"SF7BW125","data":"AQ==","size":9}}`, ErrField},
		{`{"txpk":{"imme":true,"freq":868.1,"datr":"SF7BW125","data":"AQ==","powe":200}}`, ErrField},
	} {
		if got, err := ParseTxpk([]byte(c.doc)); !errors.Is(err, c.want) || !reflect.DeepEqual(got, Txpk{}) {
			t.Errorf("%s: %+v, %v", c.doc, got, err)
		}
	}
}

func TestAck(t *testing.T) {
	for _, c := range []struct {
		doc  string
		want Ack
		err  error
	}{
		{``, Ack{}, nil},
		{" \x00", Ack{}, nil},
		{`{}`, Ack{}, nil},
		{`{"txpk_ack":{}}`, Ack{}, nil},
		{`{"txpk_ack":null}`, Ack{}, nil},
		{`{"txpk_ack":{"error":"NONE"}}`, Ack{}, nil},
		{`{"txpk_ack":{"error":""}}` + "\x00", Ack{}, nil},
		{`{"txpk_ack":{"error":null}}`, Ack{}, nil},
		{`{"txpk_ack":{"error":"TOO_LATE"}}`, Ack{Error: TooLate}, radio.ErrTooLate},
		{`{"txpk_ack":{"error":"TOO_EARLY"}}`, Ack{Error: TooEarly}, radio.ErrTooEarly},
		{`{"txpk_ack":{"error":"COLLISION_PACKET"}}`, Ack{Error: CollisionPacket}, radio.ErrCollision},
		{`{"txpk_ack":{"error":"COLLISION_BEACON"}}`, Ack{Error: CollisionBeacon}, radio.ErrCollision},
		{`{"txpk_ack":{"error":"TX_FREQ"}}`, Ack{Error: TxFreq}, radio.ErrFrequency},
		{`{"txpk_ack":{"error":"TX_POWER"}}`, Ack{Error: TxPower}, radio.ErrPower}, // before v1.5
		{`{"txpk_ack":{"error":"GPS_UNLOCKED"}}`, Ack{Error: GPSUnlocked}, radio.ErrRefused},
		{`{"txpk_ack":{"error":"DUTY_CYCLE_OVERFLOW"}}`, Ack{Error: "DUTY_CYCLE_OVERFLOW"}, radio.ErrRefused},
		{`{"txpk_ack":{"warn":"TX_POWER","value":20}}`, Ack{Warning: TxPower, Value: 20}, nil},
		{`{"txpk_ack":{"warn":"NONE"}}`, Ack{}, nil},
	} {
		got, err := ParseAck([]byte(c.doc))
		if err != nil || got != c.want || !errors.Is(got.Err(), c.err) || c.err == nil && got.Err() != nil {
			t.Errorf("%s: %+v, %v, %v", c.doc, got, err, got.Err())
		}
		if again, err := ParseAck(got.Append(nil)); err != nil || again != got {
			t.Errorf("%s became %+v, %v", c.doc, again, err)
		}
	}
	for _, doc := range []string{`x`, `{"txpk_ack":{"error":"TOO`, `[]`, `{}{}`} {
		if got, err := ParseAck([]byte(doc)); !errors.Is(err, ErrJSON) || got != (Ack{}) {
			t.Errorf("%s: %+v, %v", doc, got, err)
		}
	}
	if got := (Ack{}).Append(nil); len(got) != 0 {
		t.Errorf("%s", got)
	}
	long := Ack{Error: strings.Repeat("\x1b[31mA\"", 50)}
	got, err := ParseAck(long.Append(nil))
	if err != nil || len(got.Error) > maxText || strings.ContainsRune(got.Error, 0x1b) {
		t.Errorf("%q, %v", got.Error, err)
	}
}

func TestAckOf(t *testing.T) {
	for err, want := range map[error]string{
		nil: "", radio.ErrTooLate: TooLate, radio.ErrTooEarly: TooEarly, radio.ErrCollision: CollisionPacket, radio.ErrFrequency: TxFreq,
		radio.ErrPower: TxPower, radio.ErrDown: Unknown, errors.New("x"): Unknown,
	} {
		if got := AckOf(err); got.Error != want {
			t.Errorf("%v: %+v", err, got)
		}
	}
}

func TestStatRoundTrip(t *testing.T) {
	full := Stat{Time: time.Date(2014, 1, 12, 8, 59, 28, 0, time.UTC), Position: &Position{46.24, 3.2523, 145}, Received: 2, OK: 3, Forwarded: 4, Acked: 99.5,
		Downlinks: 5, Sent: 6, Platform: "Pi 4", Mail: "a@example", Descriptor: `the "roof" ä`}
	for _, c := range []struct {
		s    Stat
		json string
	}{
		{full, `{"stat":{"time":"2014-01-12 08:59:28 GMT","lati":46.24,"long":3.2523,"alti":145,"rxnb":2,"rxok":3,"rxfw":4,"dwnb":5,"txnb":6,"ackr":99.5,"pfrm":"Pi 4","mail":"a@example","desc":"the \"roof\" ä"}}`},
		{Stat{Time: time.Unix(0, 0).UTC()}, `{"stat":{"time":"1970-01-01 00:00:00 GMT","rxnb":0,"rxok":0,"rxfw":0,"dwnb":0,"txnb":0,"ackr":0}}`},
	} {
		doc := AppendPush(nil, nil, &c.s)
		if string(doc) != c.json {
			t.Errorf("%s, want\n%s", doc, c.json)
		}
		var p Push
		if err := p.Parse(doc); err != nil || p.Stat == nil || !reflect.DeepEqual(*p.Stat, c.s) {
			t.Errorf("%+v, %v", p.Stat, err)
		}
	}
}

// TestStatExample has the document of PROTOCOL.md section 4, and odd ones.
func TestStatExample(t *testing.T) {
	for doc, want := range map[string]Stat{
		`{"stat":{"time":"2014-01-12 08:59:28 GMT","lati":46.24000,"long":3.25230,"alti":145,"rxnb":2,"rxok":2,"rxfw":2,"ackr":100.0,"dwnb":2,"txnb":2,"temp": 23.2}}`: {
			Time: time.Date(2014, 1, 12, 8, 59, 28, 0, time.UTC), Position: &Position{46.24, 3.2523, 145}, Received: 2, OK: 2, Forwarded: 2, Acked: 100, Downlinks: 2, Sent: 2},
		`{"stat":{"time":"2014-01-12 08:59:28 CET","rxnb":"2","rxok":-1,"rxfw":[],"lati":146,"long":7,"desc":7,"pfrm":"a` + strings.Repeat("ä", 40) + `","mail":null,"ackr":nan}}`: {
			Time: time.Date(2014, 1, 12, 8, 59, 28, 0, time.UTC), Received: 2, Platform: "a" + strings.Repeat("ä", 31)},
	} {
		var p Push
		if err := p.Parse([]byte(doc)); err != nil || p.Stat == nil || !reflect.DeepEqual(*p.Stat, want) {
			t.Errorf("%s: %+v, %v", doc, p.Stat, err)
		}
	}
}

func FuzzTxpk(f *testing.F) {
	for _, c := range transmissions {
		f.Add([]byte(c.json))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseTxpk(b)
		if err != nil {
			return
		}
		doc, err := AppendTxpk(nil, &got.Transmission, got.Chain)
		if err != nil {
			t.Fatalf("%q: %+v: %v", b, got, err)
		}
		again, err := ParseTxpk(doc)
		if got.Preamble == 0 {
			got.Preamble = again.Preamble
		}
		if got.Immediately {
			got.Counter = 0
		}
		if !got.LoRa() {
			got.InvertIQ = false
		}
		if got.GPS != 0 {
			got.GPS, got.Counter = 0, 0
		}
		got.Deviation, again.Deviation = 0, 0
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("%q:\n%+v became\n%+v, %v", b, got, again, err)
		}
	})
}

func FuzzAck(f *testing.F) {
	f.Add([]byte(`{"txpk_ack":{"error":"TOO_LATE"}}`))
	f.Add([]byte(`{"txpk_ack":{"warn":"TX_POWER","value":20}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseAck(b)
		if err != nil {
			return
		}
		_ = a.Err()
		if a.Error != "" {
			a.Warning = ""
		}
		if a.Warning == "" {
			a.Value = 0
		}
		if again, err := ParseAck(a.Append(nil)); err != nil || again != a {
			t.Fatalf("%q: %+v became %+v, %v", b, a, again, err)
		}
	})
}
