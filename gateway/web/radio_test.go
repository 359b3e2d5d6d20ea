package web

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"fieldgate/gateway"
)

// radios is a Radio that has heard two frames.
type radios struct {
	sent []RadioSend
	err  error
}

func (r *radios) Radios() any { return []map[string]any{{"radio": "mast", "state": "ok"}} }

func (r *radios) Listen(_ context.Context, fn func([]byte) error) error {
	for _, e := range []string{`{"size":1}`, `{"size":2}`} {
		if err := fn([]byte(e)); err != nil {
			return err
		}
	}
	return nil
}

func (r *radios) Send(_ context.Context, f RadioSend) error {
	r.sent = append(r.sent, f)
	return r.err
}

func TestRadios(t *testing.T) {
	r := &radios{}
	b := newBench(t, func(c *Config, _ *gateway.Declared) { c.Radio = r })
	const send = `{"radio":"mast","frequency":868.1,"data_rate":"SF7BW125","power":14,"crc":true,"payload":"00"}`
	for _, line := range []string{"GET /admin/radios", "GET /admin/radio/frames", "POST /admin/radio/send"} {
		b.want(b.ask("", line, send), 401, "*")
		b.want(b.ask("ann", line, send), 403, "*")
	}
	if len(r.sent) != 0 {
		t.Error("sent for somebody who may not")
	}
	b.want(b.ask("root", "GET /admin/radios", ""), 200, `[{"radio":"mast","state":"ok"}]`)
	w := b.ask("root", "GET /admin/radio/frames", "")
	b.want(w, 200, "*")
	if got := w.Body.String(); got != "{\"size\":1}\n{\"size\":2}\n" {
		t.Errorf("frames %q", got)
	}
	b.want(b.ask("root", "POST /admin/radio/send", send), 204, "")
	if len(r.sent) != 1 || r.sent[0] != (RadioSend{Radio: "mast", Frequency: 868.1, DataRate: "SF7BW125", Power: 14, CRC: true, Payload: "00"}) {
		t.Errorf("%+v", r.sent)
	}
	for _, body := range []string{``, `[]`, `{"payload":1}`, `{"power":1000}`, `{"frequncy":868.1}`} {
		b.want(b.ask("root", "POST /admin/radio/send", body), 400, "*")
	}
	if len(r.sent) != 1 {
		t.Error("sent what is none")
	}
	for _, c := range []struct {
		err    error
		status int
		says   string
	}{
		{fmt.Errorf("%w: the payload is 1 to 255 bytes in hex", ErrBadSend), 400, "1 to 255 bytes"},
		{fmt.Errorf("%w: the radio is down", ErrNotSent), 503, "the radio is down"},
		{errors.New("secret"), 500, "internal error"},
	} {
		r.err = c.err
		w := b.ask("root", "POST /admin/radio/send", send)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%v: %d %s", c.err, w.Code, w.Body)
		}
	}
}

func TestNoRadios(t *testing.T) {
	b := newBench(t, nil)
	for _, line := range []string{"GET /admin/radios", "GET /admin/radio/frames", "POST /admin/radio/send"} {
		b.want(b.ask("root", line, "{}"), 404, "*")
	}
}
