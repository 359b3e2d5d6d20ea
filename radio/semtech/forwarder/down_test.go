package forwarder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/semtech/gwmp"
)

// hat is a radio that says what it was told to.
type hat struct {
	mu   sync.Mutex
	sent []radio.Transmission
	err  error
	wait time.Duration
}

func (h *hat) Send(ctx context.Context, t *radio.Transmission) error {
	h.mu.Lock()
	h.sent = append(h.sent, *t)
	err, wait := h.err, h.wait
	h.mu.Unlock()
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return ctx.Err()
	}
	return err
}

func (h *hat) got() []radio.Transmission {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.sent
	h.sent = nil
	return list
}

// ask has the server ask for a transmission, and gives the answer.
func ask(t *testing.T, r *rig, txpk string) gwmp.Ack {
	t.Helper()
	r.srv.got(gwmp.TxAck)
	token := newToken()
	r.srv.say(gwmp.Datagram{Version: 2, Token: token, Kind: gwmp.PullResp, Body: []byte(txpk)})
	got := r.srv.got(gwmp.TxAck)
	if len(got) != 1 || got[0].Token != token {
		t.Fatalf("%s: %+v", txpk, got)
	}
	a, err := gwmp.ParseAck(got[0].Body)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func txpk(when string) string {
	return `{"txpk":{` + when + `,"freq":868.1,"rfch":0,"powe":14,"modu":"LORA","datr":"SF7BW125","codr":"4/5","ipol":true,"ncrc":true,"size":3,"data":"YAEC"}}`
}

func TestDownlink(t *testing.T) {
	h := &hat{}
	bubble(t, Config{Radio: h, Name: "usual"}, func(t *testing.T, r *rig) {
		f := frame(3)
		f.Counter, f.Radio = 1<<32-1_000_000, "second"
		r.Take(frame(1))
		r.Take(f)
		for _, c := range []struct{ when, radio string }{
			{`"tmst":0`, "second"}, // the counter wraps
			{`"tmst":15000000`, "second"},
			{`"tmst":15000002`, "usual"},
			{`"tmst":4293967296`, "usual"}, // no window opens at the end of the frame itself
			{fmt.Sprintf(`"tmst":%d`, frame(1).Counter+5_000_000), "hat"},
			{`"imme":true`, "usual"},
		} {
			if a := ask(t, r, txpk(c.when)); a != (gwmp.Ack{}) {
				t.Errorf("%s: %+v", c.when, a)
			}
			got := h.got()
			if len(got) != 1 || got[0].Radio != c.radio || got[0].ID == "" || string(got[0].Payload) != "\x60\x01\x02" || !got[0].InvertIQ || got[0].CRC || got[0].Power != 14 {
				t.Errorf("%s: %+v", c.when, got)
			}
		}
		for err, word := range map[error]string{
			fmt.Errorf("x: %w", radio.ErrTooLate): gwmp.TooLate, radio.ErrTooEarly: gwmp.TooEarly, radio.ErrCollision: gwmp.CollisionPacket,
			radio.ErrFrequency: gwmp.TxFreq, radio.ErrPower: gwmp.TxPower, radio.ErrDown: gwmp.Unknown,
		} {
			h.mu.Lock()
			h.err = err
			h.mu.Unlock()
			if a := ask(t, r, txpk(`"imme":true`)); a.Error != word {
				t.Errorf("%v: %+v", err, a)
			}
		}
		h.got()
		for doc, word := range map[string]string{
			``: gwmp.Unknown, `{`: gwmp.Unknown, `{"txpk":{}}`: gwmp.Unknown, txpk(`"imme":7`): gwmp.Unknown, txpk(`"tmms":1356451200500`): gwmp.GPSUnlocked,
		} {
			if a := ask(t, r, doc); a.Error != word {
				t.Errorf("%s: %+v", doc, a)
			}
		}
		if got := h.got(); got != nil {
			t.Errorf("%+v", got)
		}
		if st := r.Status(); st.Asked != 13 || st.Sent != 6 {
			t.Errorf("%+v", st)
		}
	})
}

// TestDownlinkLate checks that nothing is sent for a frame that was late, even if
// the counter has come round to where its window lies ahead.
func TestDownlinkLate(t *testing.T) {
	h := &hat{}
	bubble(t, Config{Radio: h}, func(t *testing.T, r *rig) {
		r.Take(frame(0))
		if a := ask(t, r, txpk(`"imme":true`)); a.Error != "" {
			t.Errorf("%+v", a)
		}
		if got := h.got(); len(got) != 1 || got[0].Radio != "hat" {
			t.Errorf("%+v", got)
		}
		sleep(time.Second)
		r.srv.answers(false, false)
		r.Take(frame(1))
		sleep(time.Hour)
		r.srv.answers(true, true)
		sleep(10 * time.Second)
		r.Take(frame(2))
		for _, window := range []uint32{1, 2, 5, 6} {
			if a := ask(t, r, txpk(fmt.Sprintf(`"tmst":%d`, frame(1).Counter+window*1_000_000))); a.Error != gwmp.TooLate {
				t.Errorf("%+v", a)
			}
		}
		if a := ask(t, r, txpk(fmt.Sprintf(`"tmst":%d`, frame(2).Counter+1_000_000))); a.Error != "" {
			t.Errorf("%+v", a)
		}
		if got := h.got(); len(got) != 1 || got[0].Counter != frame(2).Counter+1_000_000 {
			t.Errorf("%+v", got)
		}
	})
}

// TestDownlinkBusy checks the bound on what the radio works on, and that frames go
// on while it does.
func TestDownlinkBusy(t *testing.T) {
	h := &hat{wait: time.Second}
	bubble(t, Config{Radio: h}, func(t *testing.T, r *rig) {
		sleep(time.Second)
		for range maxDowns {
			r.srv.say(gwmp.Datagram{Version: 2, Kind: gwmp.PullResp, Body: []byte(txpk(`"imme":true`))})
		}
		synctest.Wait()
		if a := ask(t, r, txpk(`"imme":true`)); a.Error != gwmp.CollisionPacket {
			t.Errorf("%+v", a)
		}
		r.Take(frame(1))
		if got := r.srv.frames(); len(got) != 1 {
			t.Errorf("%+v", got)
		}
		sleep(2 * time.Second)
		if n := len(r.srv.got(gwmp.TxAck)); n != maxDowns || len(h.got()) != maxDowns {
			t.Errorf("%d answers", n)
		}
	})
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		if a := ask(t, r, txpk(`"imme":true`)); a.Error != gwmp.Unknown {
			t.Errorf("%+v", a)
		}
	})
}

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want []string
	}{
		{Config{}, []string{"host:port is expected", "no EUI"}},
		{Config{Server: "lora.example", EUI: eui}, []string{`"lora.example"`}},
		{Config{Server: ":1700", EUI: eui, Late: 9}, []string{"host:port", "late is 9"}},
	} {
		_, err := New(c.cfg)
		for _, w := range c.want {
			if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), w) {
				t.Errorf("%v, want %s", err, w)
			}
		}
	}
	var names []string
	for _, s := range []string{"send", "drop", "mark", "", "later"} {
		l, err := ParseLate(s)
		names = append(names, fmt.Sprint(l, err != nil))
	}
	if want := []string{"0 false", "1 false", "2 false", "0 true", "0 true"}; !slices.Equal(names, want) {
		t.Error(names)
	}
}
