package broker

import (
	"strings"
	"testing"
)

// TestConversations has a client say and hear bytes: "> ..." is what it sends,
// "< ..." what must come next, "x ..." what must come before the connection
// ends. A second client is "2> ..." and so on. They begin behind CONNECT and
// CONNACK; those of MQTT 5 do without reasons in words.
func TestConversations(t *testing.T) {
	hello := map[byte]string{
		3: `10 0f "MQIsdp" 03 02 00 3c "a"`,
		4: `10 0d "MQTT" 04 02 00 3c "a"`,
		5: `10 10 "MQTT" 05 02 00 3c 02 17 00 "a"`,
	}
	for _, c := range []struct {
		name  string
		v     byte
		steps string
	}{
		{"ping", 4, `
			> c0 00
			< d0 00`},
		{"filters", 4, `
			> 82 1e 0001 "plain/+" 00 "plain//" 01 "/" 00 "#" 02
			< 90 06 0001 00 01 80 02`},
		{"filters", 5, `
			> 82 1f 0001 00 "plain/+" 00 "plain//" 01 "/" 00 "#" 02
			< 90 07 0001 00 00 01 87 02`},
		{"part of a level is a wildcard (4.7.1)", 4, `
			> 82 0d 0001 "plain/a+" 00
			x`},
		{"part of a level is a wildcard (4.7.1)", 5, `
			> 82 0e 0001 00 "plain/a+" 00
			x e0 01 8f`},
		{"something behind # (4.7.1)", 5, `
			> 82 0f 0001 00 "plain/#/b" 00
			x e0 01 8f`},
		{"a filter that may not be", 5, `
			> 82 0b 0001 00 "other" 01
			< 90 04 0001 00 87`},
		{"a shared subscription", 5, `
			> 82 16 0001 00 "$share/g/plain/x" 01
			< 90 04 0001 00 01
			2> 32 0d "plain/x" 0001 00 'x'
			< 32 0d "plain/x" 0001 00 'x'
			2< 40 02 0001
			> 40 02 0001`},
		{"a share without a name (4.8.2)", 5, `
			> 82 15 0001 00 "$share//plain/x" 01
			x e0 01 8f`},
		{"a share without a filter (4.8.2)", 5, `
			> 82 0e 0001 00 "$share/g" 01
			x e0 01 8f`},
		{"no-local of a share (3.8.3.1)", 5, `
			> 82 16 0001 00 "$share/g/plain/x" 05
			x e0 01 82`},
		{"topic with a wildcard (3.3.2.1)", 5, `
			> 30 0b "plain/+" 00 'x'
			x e0 01 90`},
		{"topic with a wildcard", 4, `
			> 30 0a "plain/+" 'x'
			x`},
		{"nobody listens (3.4.2.1)", 5, `
			> 32 0d "plain/t" 0001 00 'x'
			< 40 03 0001 10`},
		{"not allowed, at QoS 1 and 2", 5, `
			> 32 0b "other" 0001 00 'x'
			< 40 03 0001 87
			> 34 0b "other" 0002 00 'x'
			< 50 03 0002 87`},
		{"a reserved topic", 5, `
			> 32 0f "$SYS/abcd" 0001 00 'x'
			< 40 03 0001 87`},
		{"unsubscribe (3.11.3)", 5, `
			> 82 0d 0001 00 "plain/a" 00
			< 90 04 0001 00 00
			> a2 15 0002 00 "plain/a" "plain/b"
			< b0 05 0002 00 00 11
			> a2 0c 0003 00 "plain/a"
			< b0 04 0003 00 11`},
		{"unsubscribe", 4, `
			> a2 0b 0002 "plain/a"
			< b0 02 0002`},
		{"identifiers of overlapping subscriptions (3.3.2.3.8)", 5, `
			> 82 0f 0001 02 0b 01 "plain/#" 00
			< 90 04 0001 00 00
			> 82 10 0002 03 0b 80 01 "plain/a" 00
			< 90 04 0002 00 00
			> 30 0b "plain/a" 00 'x'
			< 30 10 "plain/a" 05 0b 01 0b 80 01 'x'`},
		{"overlapping subscriptions, the highest QoS once", 4, `
			> 82 0c 0001 "plain/#" 02
			< 90 03 0001 02
			> 82 0c 0002 "plain/a" 00
			< 90 03 0002 00
			> 32 0c "plain/a" 0007 'x'
			< 32 0c "plain/a" 0001 'x'
			< 40 02 0007`},
		{"QoS is that of the subscription at most", 4, `
			> 82 0c 0001 "plain/a" 00
			< 90 03 0001 00
			> 34 0c "plain/a" 0007 'x'
			< 30 0a "plain/a" 'x'
			< 50 02 0007
			> 62 02 0007
			< 70 02 0007`},
		{"retained, and retain handling (3.8.3.1)", 5, `
			> 31 0b "plain/a" 00 'x'
			> 82 0d 0001 00 "plain/a" 00
			< 90 04 0001 00 00
			< 31 0b "plain/a" 00 'x'
			> 82 0d 0002 00 "plain/a" 10
			< 90 04 0002 00 00
			> 82 0d 0003 00 "plain/a" 20
			< 90 04 0003 00 00
			> 82 0d 0004 00 "plain/a" 00
			< 90 04 0004 00 00
			< 31 0b "plain/a" 00 'x'
			> a2 0c 0005 00 "plain/a"
			< b0 04 0005 00 00
			> 82 0d 0006 00 "plain/a" 20
			< 90 04 0006 00 00
			> a2 0c 0007 00 "plain/a"
			< b0 04 0007 00 00
			> 82 0d 0008 00 "plain/a" 10
			< 90 04 0008 00 00
			< 31 0b "plain/a" 00 'x'`},
		{"retained, cleared", 4, `
			> 31 0a "plain/a" 'x'
			> 31 09 "plain/a"
			> 82 0c 0001 "plain/a" 00
			< 90 03 0001 00`},
		{"retain as published (3.8.3.1)", 5, `
			> 82 0d 0001 00 "plain/a" 00
			< 90 04 0001 00 00
			> 31 0b "plain/a" 00 'x'
			< 30 0b "plain/a" 00 'x'
			> 82 0d 0002 00 "plain/a" 28
			< 90 04 0002 00 00
			> 31 0b "plain/a" 00 'y'
			< 31 0b "plain/a" 00 'y'`},
		{"no local (3.8.3.1)", 5, `
			> 82 0d 0001 00 "plain/a" 04
			< 90 04 0001 00 00
			> 30 0b "plain/a" 00 'x'
			2> 30 0b "plain/a" 00 'y'
			< 30 0b "plain/a" 00 'y'`},
		{"what goes on to subscribers, in its order (3.3.2.3)", 5, `
			> 82 0d 0001 00 "plain/a" 00
			< 90 04 0001 00 00
			> 30 36 "plain/a" 2b 01 01 02 0000000a 08 "re" 09 0002 'cd' 03 "ty" 26 "k" "1" 26 "a" "2" 26 "k" "3" 'x'
			< 30 36 "plain/a" 2b 01 01 02 0000000a 03 "ty" 08 "re" 09 0002 'cd' 26 "k" "1" 26 "a" "2" 26 "k" "3" 'x'`},
		{"no payload at all", 4, `
			> 82 0c 0001 "plain/a" 00
			< 90 03 0001 00
			> 30 09 "plain/a"
			< 30 09 "plain/a"`},
		{"a topic alias (3.3.2.3.4)", 5, `
			> 82 0d 0001 00 "plain/a" 00
			< 90 04 0001 00 00
			> 30 0e "plain/a" 03 23 0001 'x'
			< 30 0b "plain/a" 00 'x'
			> 30 07 "" 03 23 0001 'y'
			< 30 0b "plain/a" 00 'y'
			> 30 07 "" 03 23 0002 'z'
			x e0 01 82`},
		{"a topic alias beyond the maximum (3.3.2.3.4)", 5, `
			> 30 0e "plain/a" 03 23 000b 'x'
			x e0 01 94`},
		{"PUBREL of nothing", 4, `
			> 62 02 0009
			< 70 02 0009`},
		{"PUBREL of nothing (3.7.2.1)", 5, `
			> 62 02 0009
			< 70 03 0009 92`},
		{"PUBREC of nothing (3.6.2.1)", 5, `
			> 50 02 0009
			< 62 03 0009 92`},
		{"acknowledgements with a code and properties", 5, `
			> 82 0d 0001 00 "plain/a" 02
			< 90 04 0001 00 02
			2> 30 0b "plain/a" 00 'x'
			< 30 0b "plain/a" 00 'x'
			2> 32 0d "plain/a" 0001 00 'x'
			< 32 0d "plain/a" 0001 00 'x'
			2< 40 02 0001
			> 40 04 0001 00 00
			2> 34 0d "plain/a" 0002 00 'x'
			< 34 0d "plain/a" 0002 00 'x'
			2< 50 02 0002
			> 50 04 0002 00 00
			< 62 02 0002
			> 70 04 0002 00 00
			2> 62 03 0002 00
			2< 70 02 0002`},
		{"a refused delivery is over (4.3.3)", 5, `
			> 82 0d 0001 00 "plain/a" 02
			< 90 04 0001 00 02
			2> 34 0d "plain/a" 0002 00 'x'
			< 34 0d "plain/a" 0001 00 'x'
			> 50 03 0001 83
			2< 50 02 0002
			> c0 00
			< d0 00`},
		{"a session expiry that CONNECT did not have (3.14.2.2.2)", 5, `
			> e0 07 00 05 11 00000001
			x e0 01 82`},
		{"goodbye", 5, `
			> e0 00
			x`},
		{"taken over (3.1.4)", 5, `
			2> e0 00
			3> 10 10 "MQTT" 05 02 00 3c 02 17 00 "a"
			x e0 01 8e`},
		{"a second CONNECT", 5, `
			> 10 10 "MQTT" 05 02 00 3c 02 17 00 "a"
			x e0 01 82`},
		{"a packet that only a server sends", 5, `
			> d0 00
			x e0 01 82`},
		{"packet identifier 0", 5, `
			> 32 0d "plain/t" 0000 00 'x'
			x e0 01 81`},
		{"QoS 3 (3.3.1.2)", 5, `
			> 36 0d "plain/t" 0001 00 'x'
			x e0 01 81`},
		{"QoS 3", 4, `
			> 36 0c "plain/t" 0001 'x'
			x`},
		{"DUP of QoS 0 (3.3.1.1)", 5, `
			> 38 0b "plain/t" 00 'x'
			x e0 01 81`},
		{"3.1: DUP of SUBSCRIBE", 3, `
			> 8a 0c 0001 "plain/a" 00
			< 90 03 0001 00
			> 30 0a "plain/a" 'x'
			< 30 0a "plain/a" 'x'`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t)
			clients := map[string]*client{}
			get := func(name string) *client {
				if clients[name] == nil {
					clients[name] = r.dial()
					if name == "3" {
						return clients[name] // says CONNECT itself
					}
					line := hello[c.v]
					if name == "2" {
						line = strings.Replace(line, `"a"`, `"b"`, 1)
					}
					clients[name].v = c.v
					clients[name].raw(stream(t, line))
					if ack, err := clients[name].next(); err != nil || ack.ReasonCode != 0 {
						t.Fatalf("CONNACK %+v, %v", ack, err)
					}
				}
				return clients[name]
			}
			get("")
			for _, line := range strings.Split(strings.TrimSpace(c.steps), "\n") {
				line = strings.TrimSpace(line)
				at := strings.IndexAny(line, "<>x")
				name, bytes := line[:at], stream(t, line[at+1:])
				switch line[at] {
				case '>':
					get(name).raw(bytes)
				case '<':
					get(name).exactly(line, bytes)
				case 'x':
					if got := get(name).ended(); string(got) != string(bytes) {
						t.Errorf("%s: got % x", line, got)
					}
					return
				}
				if t.Failed() {
					return
				}
			}
			for _, one := range clients {
				one.quiet()
			}
		})
	}
}
