package broker

import (
	"bytes"
	"errors"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

func TestCheckAccepts(t *testing.T) {
	will := rawConnect(5, 4|8, props([]byte{packets.PropReceiveMaximum, 0, 9}), text("c"),
		props([]byte{packets.PropWillDelayInterval, 0, 0, 0, 9, packets.PropPayloadFormat, 1}), text("plain/w"), text(""))
	for name, tc := range map[string]struct {
		v   byte
		raw []byte
	}{
		"CONNECT":                           {0, rawConnect(4, 0, text("c"))},
		"CONNECT with all":                  {0, rawConnect(4, 0xc0, text("c"), text("user"), text("pw"))},
		"CONNECT, v5 will":                  {0, will},
		"CONNECT, v5 password only":         {0, rawConnect(5, 0x40, none, text("c"), text("pw"))},
		"CONNECT, unknown level":            {0, packet(0x10, text("MQTT"), []byte{9, 1, 2, 3, 4, 5})},
		"PUBLISH":                           {4, packet(0x30, text("a/b"), []byte{0xff, 0})},
		"PUBLISH, v5 with all":              {5, packet(0x3d, text("a"), id1, props([]byte{1, 1, 2, 0, 0, 0, 1}, []byte{3}, text("x"), []byte{8}, text("r"), []byte{9}, text("c"), []byte{38}, text("k"), text("v")))},
		"PUBLISH with U+FEFF":               {4, packet(0x30, text("\ufeffa"))},
		"PUBLISH on $SYS":                   {4, packet(0x30, text("$SYS/x"))},
		"PUBACK":                            {4, packet(0x40, id1)},
		"PUBACK, v5 short":                  {5, packet(0x40, id1)},
		"PUBREC, v5 with code":              {5, packet(0x50, id1, []byte{0x10})},
		"PUBREL, v5 with reason":            {5, packet(0x62, id1, []byte{0x92}, props([]byte{31}, text("why")))},
		"SUBSCRIBE":                         {4, packet(0x82, id1, text("a/+/#"), []byte{2}, text("#"), []byte{0}, text("/"), []byte{1})},
		"SUBSCRIBE, v5 share":               {5, packet(0x82, id1, props([]byte{11, 0xff, 0xff, 0xff, 0x7f}), text("$share/g/+"), []byte{0x2a})},
		"SUBSCRIBE to something like share": {4, packet(0x82, id1, text("$shared/x"), []byte{2})},
		"UNSUBSCRIBE":                       {5, packet(0xa2, id1, none, text("a"), text("b/#"))},
		"PINGREQ":                           {4, packet(0xc0)},
		"DISCONNECT":                        {4, packet(0xe0)},
		"DISCONNECT, v5":                    {5, packet(0xe0, []byte{4}, props([]byte{17, 0, 0, 0, 1}, []byte{31}, text("r")))},
	} {
		n := 2
		if tc.raw[1]&0x80 != 0 {
			n = 3
		}
		if err := Check(tc.v, tc.raw[0], tc.raw[n:]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzCheck makes sure that mochi can decode, without a panic or an error,
// whatever Check lets through.
func FuzzCheck(f *testing.F) {
	for _, raw := range [][]byte{
		rawConnect(4, 0xc4, text("c"), text("w"), text("x"), text("user"), text("pw")),
		rawConnect(5, 4, none, text("c"), props([]byte{24, 0, 0, 0, 9}), text("plain/w"), text("x")),
		packet(0x32, text("a/b"), id1, []byte("payload")),
		packet(0x3b, text("a"), id1, props([]byte{1, 1}, []byte{38}, text("k"), text("v")), []byte("x")),
		packet(0x82, id1, text("a/+/#"), []byte{2}),
		packet(0x82, id1, props([]byte{11, 5}), text("$share/g/a"), []byte{0x2a}),
		packet(0x82, []byte{0, 1, 0, 0, 3, 'a', '/', 'b'}),
		packet(0xa2, id1, none, text("a"), text("b/#")),
		packet(0x50, id1, []byte{0x10}, props([]byte{31}, text("why"))),
		packet(0xe0, []byte{4}, props([]byte{17, 0, 0, 0, 1})),
		packet(0xc0),
		packet(0x6a, id1), // MQTT 3.1, sent again
	} {
		for _, v := range []byte{3, 4, 5} {
			f.Add(v, raw[0], raw[2:])
		}
	}
	f.Fuzz(func(t *testing.T, version, header byte, body []byte) {
		version = 3 + version%3
		err := Check(version, header, body)
		if err != nil {
			var v *Violation
			if !errors.As(err, &v) || v.Code < codeUnspecified || v.What == "" {
				t.Fatalf("%#v", err)
			}
			return
		}
		if header>>4 == packets.Connect {
			name, level, ok := versionOf(body)
			if !ok {
				t.Fatal("CONNECT without a version passes")
			}
			if !spoken(name, level) {
				return // answered without decoding
			}
		}
		var pk packets.Packet
		if header>>4 == packets.Connect {
			pk.ProtocolVersion = version
			err = pk.ConnectDecode(bytes.Clone(body))
		} else {
			err = decode(&pk, version, header, bytes.Clone(body))
		}
		if err != nil {
			t.Fatalf("mochi cannot decode what passes: %v", err)
		}
		if header>>4 == packets.Disconnect {
			readBye(version, body)
		}
	})
}

// FuzzFilter compares the index and the store of retained messages with the
// rule that MQTT gives for a match.
func FuzzFilter(f *testing.F) {
	for _, s := range [][2]string{{"a/b", "a/+"}, {"a", "a/#"}, {"a/b", "a/+/#"}, {"$SYS/x", "#"}, {"$SYS/x", "+/x"}, {"/", "+/+"}, {"a//b", "a/+/b"}, {"a/b/c", "+/#"}, {"a", "$share/g/#"}, {"$a", "$share/g/#"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, topic, filter string) {
		if topicFilter(filter) != nil || topicName(topic) != nil {
			return
		}
		s := &session{}
		sub := &subscription{sess: s, filter: filter, share: shareOf(filter)}
		want := matches(sub.inner(), topic)
		var x index
		x.add(sub)
		x.add(&subscription{sess: s, filter: topic + "/more"})
		got := 0
		x.match(topic, func(o *subscription) {
			if o == sub {
				got++
			}
		}, func(g *group) {
			if g.members[0] == sub {
				got++
			}
		})
		if (got == 1) != want || got > 1 {
			t.Fatalf("%q matches %q: %d, want %v", filter, topic, got, want)
		}
		r := retained{maxN: 10, maxBytes: 1 << 30, dirty: map[string]bool{}}
		r.set(&message{topic: topic, payload: []byte("x"), size: 1})
		if list := r.match(sub.inner(), 0); (len(list) == 1) != want {
			t.Fatalf("%q finds retained %q: %d, want %v", filter, topic, len(list), want)
		}
		r.set(&message{topic: topic})
		if n, bytes := r.size(); n != 0 || bytes != 0 || len(r.root.next) != 0 {
			t.Fatal("not empty after clearing")
		}
		x.remove(sub)
		if x.len() != 1 {
			t.Fatal(x.len())
		}
	})
}

// matches says whether topic matches filter, written as MQTT 5.0 section 4.7
// tells it.
func matches(filter, topic string) bool {
	f, tp := bytes.Split([]byte(filter), []byte("/")), bytes.Split([]byte(topic), []byte("/"))
	if topic[0] == '$' && (filter[0] == '+' || filter[0] == '#') {
		return false
	}
	for i, level := range f {
		if string(level) == "#" {
			return true
		}
		if i >= len(tp) || string(level) != "+" && !bytes.Equal(level, tp[i]) {
			return false
		}
		if i == len(tp)-1 && len(f) == len(tp)+1 && string(f[i+1]) == "#" {
			return true // the level above
		}
	}
	return len(f) == len(tp)
}

func FuzzDecodeSession(f *testing.F) {
	s := &storedSession{clientID: "c", version: 5, expiry: 1e12, remaining: 1e9, subs: []subscription{{filter: "$share/g/a/#", share: "g", qos: 2, id: 7}, {filter: "b", noLocal: true, asPublished: true, retainHandling: 2}}}
	s.subject.User = "ann"
	f.Add(encodeSession(s))
	s.received = []uint16{1, 7, 65535}
	f.Add(encodeSession(s))
	s.mark, s.known, s.recorded = 1<<63+5, 300, []uint16{2, 65535}
	f.Add(encodeSession(s))
	f.Fuzz(func(t *testing.T, raw []byte) {
		newer := append(encoder{encodingReceived}, raw...)
		newest := append(encoder{encodingMarked}, raw...)
		for _, raw := range [][]byte{raw, encodeSealed(raw), newer.sum(), newest.sum()} {
			s, err := decodeSession(raw)
			if err != nil {
				continue
			}
			again, err := decodeSession(encodeSession(s))
			if err != nil || !bytes.Equal(encodeSession(again), encodeSession(s)) {
				t.Fatalf("%+v becomes %+v (%v)", s, again, err)
			}
		}
	})
}

func FuzzDecodeMessage(f *testing.F) {
	p := &packets.Properties{ContentType: "t", ResponseTopic: "r", CorrelationData: []byte{1}, PayloadFormat: 1, PayloadFormatFlag: true, User: []packets.UserProperty{{Key: "k", Val: "v"}}}
	f.Add(encodeMessage(&storedMessage{msg: &message{topic: "a", payload: []byte("x"), qos: 2, retain: true, client: "c", from: "user:ann", props: p}, qos: 1, retain: true, packet: 9, ids: []int{1, 2}, remaining: 5e9}))
	f.Add(encodeMessage(&storedMessage{qos: 2, released: true, packet: 3}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, raw := range [][]byte{raw, encodeSealed(raw)} {
			m, err := decodeMessage(raw)
			if err != nil {
				continue
			}
			again, err := decodeMessage(encodeMessage(m))
			if err != nil || !bytes.Equal(encodeMessage(again), encodeMessage(m)) {
				t.Fatalf("%+v becomes %+v (%v)", m, again, err)
			}
		}
	})
}

// encodeSealed makes any bytes an entry with a right checksum.
func encodeSealed(raw []byte) []byte {
	e := encoder{encodingVersion}
	e = append(e, raw...)
	return e.sum()
}
