package gwmp

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"fieldgate/radio"
)

var (
	sf7  = radio.Modulation{SF: 7, Bandwidth: 125000, CodingRate: 5}
	when = time.Date(2013, 3, 31, 16, 21, 17, 528002000, time.UTC)
)

// packets have what is written for them; each is read back as it was.
var packets = []struct {
	name string
	r    Rxpk
	json string
}{
	{"LoRa", Rxpk{Time: when, Counter: 3512348611, Frequency: 868100000, Channel: 2, Chain: 1, CRC: radio.CRCOK, Modulation: sf7, RSSI: -35, SNR: 5.1, Data: []byte{1, 2, 3, 4}},
		`{"tmst":3512348611,"time":"2013-03-31T16:21:17.528002Z","chan":2,"rfch":1,"freq":868.100000,"stat":1,"modu":"LORA","datr":"SF7BW125","codr":"4/5","rssi":-35,"lsnr":5.1,"size":4,"data":"AQIDBA=="}`},
	{"no time, bad CRC, offset", Rxpk{Counter: 0, Frequency: 866349812, CRC: radio.CRCBad, Modulation: radio.Modulation{SF: 12, Bandwidth: 500000, CodingRate: 8}, RSSI: -120, SNR: -20.5, Offset: -1234, Data: []byte{0xff}},
		`{"tmst":0,"chan":0,"rfch":0,"freq":866.349812,"stat":-1,"modu":"LORA","datr":"SF12BW500","codr":"4/8","rssi":-120,"lsnr":-20.5,"foff":-1234,"size":1,"data":"/w=="}`},
	{"FSK, no CRC, GPS time", Rxpk{Counter: 1<<32 - 1, GPS: 1356451200123, Frequency: 869000001, CRC: radio.CRCNone, Modulation: radio.Modulation{BitRate: 50000}, RSSI: -75, Data: []byte("TEST_PACKET_1234")},
		`{"tmst":4294967295,"tmms":1356451200123,"chan":0,"rfch":0,"freq":869.000001,"stat":0,"modu":"FSK","datr":50000,"rssi":-75,"size":16,"data":"VEVTVF9QQUNLRVRfMTIzNA=="}`},
	{"narrow, no coding rate, nothing in it", Rxpk{Counter: 5, Frequency: 433175000, CRC: radio.CRCOK, Modulation: radio.Modulation{SF: 9, Bandwidth: 31250}, Data: []byte{}},
		`{"tmst":5,"chan":0,"rfch":0,"freq":433.175000,"stat":1,"modu":"LORA","datr":"SF9BW31.25","codr":"OFF","rssi":0,"lsnr":0,"size":0,"data":""}`},
}

func TestPushRoundTrip(t *testing.T) {
	var all []Rxpk
	for _, c := range packets {
		want := `{"rxpk":[` + c.json + `]}`
		got := AppendPush(nil, []Rxpk{c.r}, nil)
		if string(got) != want || !json.Valid(got) {
			t.Errorf("%s:\n%s, want\n%s", c.name, got, want)
		}
		var p Push
		if err := p.Parse(got); err != nil || p.Bad != 0 || p.Stat != nil || len(p.Packets) != 1 || !reflect.DeepEqual(p.Packets[0], c.r) {
			t.Errorf("%s: %+v, %v", c.name, p, err)
		}
		all = append(all, c.r)
	}
	st := Stat{Received: 1}
	var p Push
	if err := p.Parse(AppendPush(nil, all, &st)); err != nil || !reflect.DeepEqual(p.Packets, all) || !reflect.DeepEqual(*p.Stat, st) && p.Stat.Received != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	if got := string(AppendPush(nil, nil, nil)); got != "{}" {
		t.Error(got)
	}
}

// TestPushExample has the datagram of PROTOCOL.TXT section 4 (v1.2 and later).
// Its base64 has characters of the URL alphabet and of the standard one.
func TestPushExample(t *testing.T) {
	const example = ` {"rxpk":[
	{
		"time":"2013-03-31T16:21:17.528002Z",
		"tmst":3512348611,
		"chan":2,
		"rfch":0,
		"freq":866.349812,
		"stat":1,
		"modu":"LORA",
		"datr":"SF7BW125",
		"codr":"4/6",
		"rssi":-35,
		"lsnr":5.1,
		"size":32,
		"data":"-DS4CGaDCdG_48eJNM3Vai-zDpsR71Pn9CPA9uCON84"
	},{
		"time":"2013-03-31T16:21:17.530974Z",
		"tmst":3512348514,
		"chan":9,
		"rfch":1,
		"freq":869.1,
		"stat":1,
		"modu":"FSK",
		"datr":50000,
		"rssi":-75,
		"size":16,
		"data":"VEVTVF9QQUNLRVRfMTIzNA=="
	},{
		"time":"2013-03-31T16:21:17.532038Z",
		"tmst":3316387610,
		"chan":0,
		"rfch":0,
		"freq":863.00981,
		"stat":1,
		"modu":"LORA",
		"datr":"SF10BW125",
		"codr":"4/7",
		"rssi":-38,
		"lsnr":5.5,
		"size":32,
		"data":"ysgRl452xNLep9S1NTIg2lomKDxUgn3DJ7DE+b00Ass"
	}
]}` + "\n\x00"
	var p Push
	if err := p.Parse([]byte(example)); err != nil || p.Bad != 0 || len(p.Packets) != 3 {
		t.Fatalf("%+v, %v", p, err)
	}
	first, last := p.Packets[0], p.Packets[2]
	if !first.Time.Equal(when) || first.Frequency != 866349812 || first.Modulation.CodingRate != 6 || first.RSSI != -35 || first.SNR != 5.1 || len(first.Data) != 32 || first.Data[0] != 0xf8 {
		t.Errorf("%+v", first)
	}
	if string(p.Packets[1].Data) != "TEST_PACKET_1234" || p.Packets[1].Modulation != (radio.Modulation{BitRate: 50000}) {
		t.Errorf("%+v", p.Packets[1])
	}
	if last.Frequency != 863009810 || last.Modulation != (radio.Modulation{SF: 10, Bandwidth: 125000, CodingRate: 7}) || last.Data[31] != 0xcb {
		t.Errorf("%+v", last)
	}
}

// TestPushLenient has what forwarders send that is not as the specification has it.
func TestPushLenient(t *testing.T) {
	base := Rxpk{Counter: 7, Frequency: 868100000, Modulation: sf7, Data: []byte{1, 2}}
	with := func(f func(r *Rxpk)) Rxpk { r := base; f(&r); return r }
	const rest = `"tmst":7,"freq":868.1,"datr":"SF7BW125","codr":"4/5","data":"AQI="`
	for _, c := range []struct {
		json string
		want Rxpk
	}{
		{rest, base},
		{`"tmst":"7","freq":"868.1","stat":"1","rssi":"-35","lsnr":"5.5","datr":"SF7BW125","codr":"4/5","size":"2","data":"AQI"`,
			with(func(r *Rxpk) { r.CRC, r.RSSI, r.SNR = radio.CRCOK, -35, 5.5 })},
		{`"tmst":-1,"freq":868.1000000001,"datr":"SF7BW125","codr":"4/5","data":"AQI"`, with(func(r *Rxpk) { r.Counter = 1<<32 - 1 })},
		{rest + `,"time":"","chan":null,"foff":null`, base},
		{rest + `,"time":"yesterday"`, base},
		{rest + `,"time":12`, base},
		{rest + `,"time":"2013-03-31T16:21:17Z"`, with(func(r *Rxpk) { r.Time = when.Truncate(time.Second) })},
		{rest + `,"time":"2013-03-31T18:21:17.528002+02:00"`, with(func(r *Rxpk) { r.Time = when })},
		{rest + `,"time":"2013-03-31T16:21:17.528002"`, with(func(r *Rxpk) { r.Time = when })},
		{rest + `,"time":"2013-03-31 16:21:17 GMT"`, with(func(r *Rxpk) { r.Time = when.Truncate(time.Second) })},
		{rest + `,"lsnr":9,"rssi":-57.0,"mid": 3,"jver":1,"rssis":-58,"aesk":0,"ftime":12345,"hpw":1,"brd":0`, with(func(r *Rxpk) { r.SNR, r.RSSI = 9, -57 })},
		{rest + `,"lsnr":nan,"unknown":{"a":[1,{"b":"}]"}]},"meta":{"x":"y"}`, base},
		{rest + `,"stat":0`, base},
		{rest + `,"stat":-1`, with(func(r *Rxpk) { r.CRC = radio.CRCBad })},
		{rest + `,"modu":"LoRa"`, base},
		{`"tmst":7,"freq":868.1,"datr":"SF7BW125","codr":"2/3","data":"AQI="`, with(func(r *Rxpk) { r.Modulation.CodingRate = 6 })},
		{`"tmst":7,"freq":868.1,"datr":"SF7BW125","codr":"OFF","data":"AQI="`, with(func(r *Rxpk) { r.Modulation.CodingRate = 0 })},
		{`"tmst":7,"freq":868.1,"datr":"SF7BW125","codr":5,"data":"AQI="`, with(func(r *Rxpk) { r.Modulation.CodingRate = 0 })},
		{`"tmst":7,"freq":868.1,"datr":"50000","modu":"FSK","data":"AQI="`, with(func(r *Rxpk) { r.Modulation = radio.Modulation{BitRate: 50000} })},
		{`"tmst":7,"freq":868.1,"datr":50000,"data":"AQI="`, with(func(r *Rxpk) { r.Modulation = radio.Modulation{BitRate: 50000} })},
		{`"tmst":7,"freq":868.1,"datr":"SF7BW125","codr":"4\/5","data":"\/\/8="`, with(func(r *Rxpk) { r.Data = []byte{0xff, 0xff} })},
		{`"tmst":7,"freq":868.1,"datr":"SF7BW125","codr":"4/5","data":"__8"`, with(func(r *Rxpk) { r.Data = []byte{0xff, 0xff} })},
		// Two antennas, of which the second hears better, in front of and behind the
		// fields that are those of the first.
		{rest + `,"chan":1,"rssi":-90,"lsnr":1,"rsig":[{"ant":0,"chan":1,"rssic":-90,"lsnr":1},{"ant":1,"chan":9,"rssic":-80,"lsnr":5,"etime":"x","foff":11}]`,
			with(func(r *Rxpk) { r.Channel, r.RSSI, r.SNR, r.Offset = 9, -80, 5, 11 })},
		{`"rsig":[{"ant":0,"chan":1,"rssic":-90,"lsnr":1},{"ant":1,"chan":9,"rssic":-80,"lsnr":5}],"rssi":-90,"lsnr":1,"chan":1,` + rest,
			with(func(r *Rxpk) { r.Channel, r.RSSI, r.SNR = 9, -80, 5 })},
	} {
		for _, doc := range []string{`{"rxpk":[{` + c.json + `}]}`, `{"rxpk":{` + c.json + `}}`} {
			var p Push
			if err := p.Parse([]byte(doc)); err != nil || p.Bad != 0 || len(p.Packets) != 1 || !reflect.DeepEqual(p.Packets[0], c.want) {
				t.Errorf("%s: %+v, %v\nwant %+v", doc, p, err, c.want)
			}
		}
	}
}

// TestPushBad checks that a wrong packet is refused alone.
func TestPushBad(t *testing.T) {
	good := packets[0].json
	long := base64.StdEncoding.EncodeToString(make([]byte, 256))
	for _, c := range []struct{ bad, want string }{
		{`{}`, "no tmst"},
		{`{"tmst":1}`, "no freq"},
		{`{"tmst":1,"freq":868.1}`, "no datr"},
		{`{"tmst":1,"freq":868.1,"datr":"SF7BW125"}`, "no data"},
		{`{"tmst":true,"freq":868.1,"datr":"SF7BW125","data":"AQ=="}`, "tmst: a number is expected"},
		{`{"tmst":"x","freq":868.1,"datr":"SF7BW125","data":"AQ=="}`, "tmst: a number is expected"},
		{`{"tmst":4294967296,"freq":868.1,"datr":"SF7BW125","data":"AQ=="}`, "tmst: "},
		{`{"tmst":1,"freq":-868.1,"datr":"SF7BW125","data":"AQ=="}`, "freq: "},
		{`{"tmst":1,"freq":868100000,"datr":"SF7BW125","data":"AQ=="}`, "freq: "},
		{`{"tmst":1,"freq":{},"datr":"SF7BW125","data":"AQ=="}`, "freq: a number is expected"},
		{`{"tmst":1,"freq":1e999,"datr":"SF7BW125","data":"AQ=="}`, "freq: a number is expected"},
		{`{"tmst":1,"freq":868.1,"datr":"SF13BW125","data":"AQ=="}`, "datr: no data rate"},
		{`{"tmst":1,"freq":868.1,"datr":["SF7BW125"],"data":"AQ=="}`, "datr: no data rate"},
		{`{"tmst":1,"freq":868.1,"datr":7,"data":"AQ=="}`, "datr: no data rate"},
		{`{"tmst":1,"freq":868.1,"datr":"M0CW137","modu":"LR-FHSS","data":"AQ=="}`, "modu: "},
		{`{"tmst":1,"freq":868.1,"datr":"SF7BW125","modu":1,"data":"AQ=="}`, "modu: "},
		{`{"tmst":1,"freq":868.1,"datr":"SF7BW125","data":1}`, "data: a text is expected"},
		{`{"tmst":1,"freq":868.1,"datr":"SF7BW125","data":null}`, "data: a text is expected"},
		{`{"tmst":1,"freq":868.1,"datr":"SF7BW125","data":"A*=="}`, "data: not base64"},
		{`{"tmst":1,"freq":868.1,"datr":"SF7BW125","data":"A"}`, "data: not base64"},
		{`{"tmst":1,"freq":868.1,"datr":"SF7BW125","data":"\q"}`, "data: a wrong escape"},
		{`{"tmst":1,"freq":868.1,"datr":"SF7BW125","data":"` + long + `"}`, "at most 255 bytes"},
		{`{"tmst":1,"freq":868.1,"datr":"SF7BW125","data":"AQ==","size":2}`, "size is 2, data has 1 bytes"},
		{`{"tmst":1,"freq":868.1,"datr":"SF7BW125","data":"AQ==","stat":2}`, "stat: "},
		{`{"tmst":1,"freq":868.1,"datr":"SF7BW125","data":"AQ==","rssi":[]}`, "rssi: "},
		{`{"tmst":1,"freq":868.1,"datr":"SF7BW125","data":"AQ==","chan":256}`, "chan: "},
		{`{"tmst":1,"freq":868.1,"datr":"SF7BW125","data":"AQ==","rsig":{}}`, "rsig: an array is expected"},
		{`{"tmst":1,"freq":868.1,"datr":"SF7BW125","data":"AQ==","rsig":[1]}`, "rsig: an object is expected"},
		{`{"tmst":1,"freq":868.1,"datr":"SF7BW125","data":"AQ==","rsig":[{"lsnr":"a"}]}`, "rsig: a number is expected"},
		{`17`, "an object is expected"},
		{`null`, "an object is expected"},
		{`[{"tmst":1}]`, "an object is expected"},
	} {
		var p Push
		err := p.Parse([]byte(`{"rxpk":[` + good + `,` + c.bad + `,` + good + `]}`))
		if err != nil || p.Bad != 1 || len(p.Packets) != 2 || !errors.Is(p.BadErr, ErrField) || !strings.Contains(p.BadErr.Error(), c.want) {
			t.Errorf("%s: %d packets, %d bad, %v, %v, want %s", c.bad, len(p.Packets), p.Bad, p.BadErr, err, c.want)
		}
	}
	for _, doc := range []string{`{"rxpk":7}`, `{"rxpk":"x"}`} {
		var p Push
		if err := p.Parse([]byte(doc)); err != nil || p.Bad != 1 {
			t.Errorf("%s: %+v, %v", doc, p, err)
		}
	}
}

// TestPushDamaged checks that what stands in front of damage is kept.
func TestPushDamaged(t *testing.T) {
	good := packets[0].json
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	for _, c := range []struct {
		doc  string
		kept int
	}{
		{"", 0}, {"\x00", 0}, {"[]", 0}, {"7", 0}, {"{", 0}, {`{"`, 0}, {`{"a`, 0}, {`{"a"`, 0}, {`{"a":`, 0}, {`{"a":1`, 0}, {`{"a":1,`, 0}, {`{"a":1,}`, 0},
		{`{"a":truE}`, 0}, {`{"a":+1}`, 0}, {`{"a":x}`, 0}, {`{a:1}`, 0}, {`{"a" 1}`, 0}, {`{"a":"\`, 0}, {`{"a":"\"}`, 0},
		{`{"rxpk":[` + good + `,{"tmst":1`, 1},
		{`{"rxpk":[` + good + `;` + good + `]}`, 1},
		{`{"rxpk":[` + good + `,` + good + `]`, 2},
		{`{"rxpk":[` + good + `]}x`, 1},
		{`{"rxpk":[` + good + `,{"meta":` + deep + `}]}`, 1},
		{`{"x":` + deep + `}`, 0},
	} {
		var p Push
		if err := p.Parse([]byte(c.doc)); !errors.Is(err, ErrJSON) || len(p.Packets) != c.kept {
			t.Errorf("%s: %d packets, %v", c.doc, len(p.Packets), err)
		}
	}
}

func TestPushMany(t *testing.T) {
	many := strings.Repeat(packets[0].json+",", 299) + packets[0].json
	var p Push
	if err := p.Parse([]byte(`{"rxpk":[` + many + `]}`)); err != nil || len(p.Packets) != MaxPackets || p.Bad != 45 {
		t.Errorf("%d packets, %d bad, %v", len(p.Packets), p.Bad, err)
	}
	// Used again, nothing is left of it.
	if err := p.Parse([]byte(`{}`)); err != nil || len(p.Packets) != 0 || p.Bad != 0 || p.BadErr != nil {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestFrame(t *testing.T) {
	now := time.Now()
	f := radio.Frame{Payload: []byte{1}, Frequency: 868100000, Modulation: sf7, RSSI: -90, SNR: 7.5, CRC: radio.CRCOK, FrequencyError: 12,
		Radio: eui.String(), Counter: 99, At: now, Heard: when, Channel: 3, Chain: 1}
	r := FromFrame(&f)
	if got := r.Frame(eui.String(), now); !reflect.DeepEqual(*got, f) {
		t.Errorf("%+v, want %+v", *got, f)
	}
	// GPS time is told only in tmms: 1356451200 s are 2022-12-30T15:59:42Z.
	r.Time, r.GPS = time.Time{}, 1356451200500
	if got := r.Frame("x", now).Heard; !got.Equal(time.Date(2022, 12, 30, 15, 59, 42, 500e6, time.UTC)) {
		t.Error(got)
	}
	r.GPS = 1 << 53
	_ = r.Frame("x", now)
}

func TestLate(t *testing.T) {
	r := packets[0].r
	r.Late = 754*time.Second + 900*time.Millisecond
	doc := AppendPush(nil, []Rxpk{r}, nil)
	if !strings.Contains(string(doc), `"meta":{"late":"754"}`) || !json.Valid(doc) {
		t.Errorf("%s", doc)
	}
}

func FuzzPush(f *testing.F) {
	for _, c := range packets {
		f.Add([]byte(`{"rxpk":[` + c.json + `,` + c.json + `]}`))
	}
	f.Add([]byte(`{"rxpk":[{"tmst":7,"freq":868.1,"datr":"SF7BW125","data":"AQI","rsig":[{"ant":0,"lsnr":nan}]}],"stat":{"time":"2014-01-12 08:59:28 GMT","lati":46.24,"desc":"\u00e4"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p, again Push
		err := p.Parse(b)
		if len(p.Packets) > MaxPackets || (p.Bad > 0) != (p.BadErr != nil) {
			t.Fatalf("%d packets, %d bad, %v, %v", len(p.Packets), p.Bad, p.BadErr, err)
		}
		for i := range p.Packets {
			r := &p.Packets[i]
			_ = r.Frame("x", time.Time{})
			// What is not written to the last digit.
			r.RSSI, r.SNR = float32(int32(r.RSSI)), float32(int32(r.SNR))
			if r.Time = r.Time.Truncate(time.Microsecond); r.Time.Year() < 0 || r.Time.Year() > 9999 {
				r.Time = time.Time{}
			}
			if !r.Modulation.LoRa() {
				r.SNR = 0
			}
		}
		doc := AppendPush(nil, p.Packets, p.Stat)
		if err := again.Parse(doc); err != nil || again.Bad != 0 || len(again.Packets) != len(p.Packets) || !json.Valid(doc) {
			t.Fatalf("%q\nbecame %s: %+v, %v", b, doc, again, err)
		}
		for i := range p.Packets {
			a, b := fmt.Sprintf("%+v", p.Packets[i]), fmt.Sprintf("%+v", again.Packets[i])
			if a != b {
				t.Fatalf("%s\nbecame %s", a, b)
			}
		}
	})
}

// pushOf makes the JSON of n frames of 23 bytes.
func pushOf(n int) []byte {
	r := packets[0].r
	r.Data, r.Time = make([]byte, 23), time.Time{}
	rs := make([]Rxpk, n)
	for i := range rs {
		rs[i] = r
	}
	return AppendPush(nil, rs, nil)
}

func BenchmarkPush(b *testing.B) {
	doc := pushOf(1)
	var p Push
	b.ReportAllocs()
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		if err := p.Parse(doc); err != nil || len(p.Packets) != 1 {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncodingJSON is the same with encoding/json, without leniency.
func BenchmarkEncodingJSON(b *testing.B) {
	doc := pushOf(1)
	b.ReportAllocs()
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		var p struct {
			Rxpk []struct {
				Tmst             uint32
				Time             string
				Freq             float64
				Chan, Rfch       uint8
				Stat             int
				Modu, Datr, Codr string
				RSSI             float64
				LSNR             float64
				Size             int
				Data             []byte
			}
		}
		if err := json.Unmarshal(doc, &p); err != nil || len(p.Rxpk) != 1 {
			b.Fatal(err)
		}
	}
}
