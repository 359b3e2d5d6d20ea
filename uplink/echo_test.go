package uplink

import (
	"strconv"
	"testing"
	"time"
)

func newEchoes(now *time.Time) *echoes {
	var e echoes
	e.init("gw-1")
	e.now = func() time.Time { return *now }
	e.listen(map[string]byte{"a/#": 1})
	return &e
}

func TestEchoesCountEachPublish(t *testing.T) {
	now := t0
	e := newEchoes(&now)
	e.sent(message{topic: "a/x", payload: []byte("1")})
	e.sent(message{topic: "a/x", payload: []byte("1")})
	e.sent(message{topic: "b/x", payload: []byte("1")}) // not subscribed to
	for i, want := range []bool{true, true, false} {
		if got := e.own("a/x", []byte("1")); got != want {
			t.Errorf("number %d: %t", i, got)
		}
	}
	if e.own("b/x", []byte("1")) || e.own("a/x", []byte("2")) || e.own("a/y", []byte("1")) {
		t.Error("something else is taken for an echo")
	}
}

func TestEchoesKnowTheirIDs(t *testing.T) {
	now := t0
	e := newEchoes(&now)
	for payload, want := range map[string]bool{
		`{"value":1,"id":"gw-1/17"}`:   true,
		`{"value":1,"id":"gw-12/17"}`:  false,
		`{"value":{"id":"gw-1/17"}}`:   false,
		`{"value":"\"id\":\"gw-1/1"}`:  false,
		`"gw-1/17"`:                    false,
		`{"value":1, "id" : "gw-1/1"}`: true,
	} {
		if got := e.own("a/x", []byte(payload)); got != want {
			t.Errorf("%s: %t", payload, got)
		}
	}
	e.sent(message{topic: "a/x", payload: []byte("1"), marked: true})
	if len(e.queue) != 0 {
		t.Error("what has an id is remembered")
	}
}

func TestEchoesAreForgotten(t *testing.T) {
	now := t0
	e := newEchoes(&now)
	m := message{topic: "a/x", payload: []byte("1")}
	e.up(true)
	e.sent(m)
	now = now.Add(echoAge + 1)
	if e.own(m.topic, m.payload) {
		t.Error("an echo after its time")
	}
	e.sent(m)
	e.up(false) // the cloud keeps it for us
	now = now.Add(24 * time.Hour)
	e.up(true)
	now = now.Add(echoAge)
	if !e.own(m.topic, m.payload) {
		t.Error("forgotten while the down connection was away")
	}
	for i := range 3 * echoMax {
		e.sent(message{topic: "a/x", payload: []byte(strconv.Itoa(i))})
		if i%3 == 0 {
			e.own("a/x", []byte(strconv.Itoa(i)))
		}
	}
	if len(e.queue) > echoMax || len(e.sentBy) > echoMax {
		t.Errorf("%d remembered", len(e.queue))
	}
	now = now.Add(24 * time.Hour)
	e.forget()
	if len(e.queue) != 0 || len(e.sentBy) != 0 {
		t.Errorf("%d and %d left", len(e.queue), len(e.sentBy))
	}
}
