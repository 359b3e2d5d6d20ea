package station

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/lorawan"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/raw"
)

// TestStop: each command is settled once, whatever it waits for, and later ones are
// answered too.
func TestStop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow := Device{Name: "Slow", Script: true, Codec: &sluggish{time.Second}, Port: 1, Actuators: map[string]string{"x": "lamp"}}
		r := newRig(t, nil, well(), slow, old())
		r.lorawan.takes(100 * time.Millisecond)
		commands := []*outcome{r.command("Well", "relay", "1"), r.command("Slow", "lamp", "1"), r.command("Old", "pump", "1")}
		begin := time.Now()
		r.stop()
		if d := time.Since(begin); d > grace {
			t.Errorf("took %v", d)
		}
		for i, o := range commands {
			if !o.is(nil) {
				t.Errorf("command %d: %+v", i, o)
			}
		}
		for _, o := range []*outcome{r.command("Well", "relay", "0"), r.command("Slow", "lamp", "0"), r.command("Old", "pump", "0")} {
			if !o.is(gateway.ErrClosed) {
				t.Errorf("after the end: %+v", o)
			}
		}
		r.published()
		r.start()
		if d := r.uplink(r.node(0), 1, nil, false); !bytes.Equal(d.Payload, []byte{1, 1, 1}) {
			t.Errorf("%+v", d)
		}
	})
}

// TestStopWhileAScriptHangs: its commands are not acknowledged, and the stop does
// not wait for it.
func TestStopWhileAScriptHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow := Device{Name: "Slow", Script: true, Codec: &sluggish{time.Hour}, Port: 1, Actuators: map[string]string{"x": "lamp"}}
		r := newRig(t, nil, slow)
		var all []*outcome
		for range 10 {
			all = append(all, r.command("Slow", "lamp", "1"))
		}
		begin := time.Now()
		r.stop()
		if d := time.Since(begin); d > 2*grace {
			t.Errorf("took %v", d)
		}
		settled := 0
		for _, o := range all {
			if !o.is(nil) && !o.is(gateway.ErrClosed) {
				t.Errorf("%+v", o)
			}
			if o.is(gateway.ErrClosed) {
				settled++
			}
		}
		if settled == 0 {
			t.Error("acknowledged what was not encoded")
		}
	})
}

// TestUplinksAtTheStop: what was heard before is handed on, through scripts too.
func TestUplinksAtTheStop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow := well()
		slow.Script, slow.Codec = true, &sluggish{500 * time.Millisecond}
		r := newRig(t, nil, slow)
		r.lorawan.takes(100 * time.Millisecond)
		n := r.node(0)
		for range 3 {
			u, _ := n.Uplink(1, []byte{1}, false)
			r.ether.hear(&radio.Frame{Payload: u.Frame, Frequency: u.Frequency, Modulation: u.Modulation})
		}
		r.stop()
		want(t, "readings", r.hub.take(), "Well/size=1", "Well/size=1", "Well/size=1")
		r.start()
		time.Sleep(time.Minute)
		if again := r.hub.take(); len(again) != 0 {
			t.Errorf("once more: %q", again)
		}
	})
}

// TestUplinksThatAScriptHasNoTimeForAtTheStop: they are decoded after the next
// start.
func TestUplinksThatAScriptHasNoTimeForAtTheStop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow := well()
		slow.Script, slow.Codec = true, &sluggish{1200 * time.Millisecond}
		r := newRig(t, nil, slow)
		n := r.node(0)
		for i := range 3 {
			u := must(n.Uplink(1, make([]byte, i+1), false))
			r.ether.hear(&radio.Frame{Payload: u.Frame, Frequency: u.Frequency, Modulation: u.Modulation})
			time.Sleep(10 * time.Millisecond)
		}
		begin := time.Now()
		r.stop()
		if d := time.Since(begin); d > 2*grace {
			t.Errorf("took %v", d)
		}
		want(t, "readings", r.hub.take(), "Well/size=1")
		r.start()
		time.Sleep(10 * time.Second)
		want(t, "readings", r.hub.take(), "Well/size=2", "Well/size=3")
	})
}

// deadRadio is a radio that cannot run.
type deadRadio struct{ ether }

func (d *deadRadio) Run(context.Context, func(*radio.Frame)) error { return errors.New("no such bus") }

func (d *deadRadio) Status() []radio.Status {
	return []radio.Status{{Radio: "dead", State: radio.Failing, Err: errors.New("no such bus")}}
}

// TestRadioThatEnds: the others go on.
func TestRadioThatEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.cfg.Radios = append(r.cfg.Radios, &deadRadio{}) }, well())
		if r.logged("no such bus") != 1 {
			t.Error("nobody is told")
		}
		r.uplink(r.node(0), 1, []byte{3, 103, 0, 235}, false)
		want(t, "readings", r.hub.take(), "Well/temperature_3=23.5")
		if st := r.station.Status(); len(st) != 2 || st[0].Radio != "dead" || st[1].State != radio.OK {
			t.Errorf("%+v", st)
		}
		err := r.station.Send(t.Context(), &radio.Transmission{Radio: "none"})
		if !errors.Is(err, radio.ErrNoRadio) {
			t.Error(err)
		}
		want(t, "live", r.live(), `rx unconfirmed uplink Well {"temperature_3":23.5}`, `tx there is no such radio: "none"`)
	})
}

func TestNewRefuses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, well())
		c := r.cfg
		c.LoRaWAN.Table = &table{}
		c.Devices = append(slices.Clone(c.Devices), well())
		if _, err := New(c); err == nil {
			t.Error("a device that is there twice")
		}
		c.Devices = c.Devices[:1]
		c.Raw.Rules = []raw.Rule{{Device: "Well"}}
		if _, err := New(c); !errors.Is(err, raw.ErrConfig) {
			t.Error(err)
		}
		c.Raw.Rules, c.LoRaWAN.Region = nil, nil
		if _, err := New(c); !errors.Is(err, lorawan.ErrConfig) {
			t.Error(err)
		}
	})
}

// forwarded is a Forwarder.
type forwarded struct {
	mu    sync.Mutex
	known []bool
}

func (f *forwarded) Take(_ *radio.Frame, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known = append(f.known, known)
}

// TestLiveFramesAndForwarders: each frame is told of once, and forwarded once, with
// what is known of it.
func TestLiveFramesAndForwarders(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fw := &forwarded{}
		r := newRig(t, func(r *rig) { r.cfg.Forwarders = []Forwarder{fw} }, well(), Device{Name: "Joins", Codec: builtin("cayenne")})
		n := r.node(0)
		told := func(what string, known []bool, lines ...string) {
			t.Helper()
			want(t, what, r.live(), lines...)
			fw.mu.Lock()
			defer fw.mu.Unlock()
			if !slices.Equal(fw.known, known) {
				t.Errorf("%s: forwarded %v", what, fw.known)
			}
			fw.known = nil
		}
		u, _ := n.Uplink(1, []byte{3, 103, 0, 235}, false)
		r.send(n, u)
		told("data", []bool{true}, `rx unconfirmed uplink Well {"temperature_3":23.5}`)
		copied, _ := n.Uplink(1, []byte{3, 103, 0, 1}, false)
		for range 2 {
			r.ether.hear(&radio.Frame{Payload: copied.Frame, Frequency: copied.Frequency, Modulation: copied.Modulation})
			synctest.Wait()
		}
		told("copies", []bool{true, true}, `rx unconfirmed uplink Well {"temperature_3":0.1}`, "rx unconfirmed uplink Well copy")
		time.Sleep(10 * time.Second)
		r.send(n, u)
		told("replay", []bool{true}, "rx unconfirmed uplink Well replayed")
		broken := u
		broken.Frame = bytes.Clone(u.Frame)
		broken.Frame[len(broken.Frame)-1] ^= 1
		r.send(n, broken)
		told("MIC", []bool{false}, "rx unconfirmed uplink DevAddr 26011bda wrong_mic")
		r.ether.hear(&radio.Frame{Payload: []byte{0xff, 1, 2}})
		synctest.Wait()
		r.ether.hear(&radio.Frame{Payload: u.Frame, CRC: radio.CRCBad})
		synctest.Wait()
		live := r.live()
		if len(live) != 2 || !strings.HasSuffix(live[0], "foreign") || !strings.HasSuffix(live[1], "bad_crc") {
			t.Errorf("%q", live)
		}
		fw.known = nil
		r.send(n, must(n.Uplink(0, nil, false)))
		told("nothing for a codec", []bool{true}, "rx unconfirmed uplink Well")
		join := frame.Join{DevEUI: devEUI, DevNonce: 1}.Append(nil, appKey)
		r.ether.hear(&radio.Frame{Payload: join})
		time.Sleep(7 * time.Second)
		told("join", []bool{true}, "rx join request Joins", "tx join accept Joins")
		stats := r.station.Stats()
		if stats.Taken["join"] != 1 || stats.Taken["uplink"] != 3 || stats.Taken["copy"] != 1 || stats.Refused["replayed"] != 1 || stats.Refused["bad_crc"] != 1 {
			t.Errorf("%+v", stats)
		}
		private := frameOf(0, 1, "x")
		r.ether.hear(private)
		synctest.Wait()
		if len(fw.known) != 0 {
			t.Error("a frame of a private network is forwarded")
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestDamagedRecord: what cannot be read is left out, and told.
func TestDamagedRecord(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, well())
		r.command("Well", "relay", "1")
		synctest.Wait()
		r.restart(func() {
			r.table.pairs["Well/valve"] = []byte(`{"state":`)
			r.table.pairs["Well/other"] = r.table.pairs["Well/relay"]
		})
		if r.logged("cannot be read") != 2 {
			t.Error(r.log.String())
		}
		r.station.Announce()
		want(t, "states", r.published(), "Well/relay queued 1")
	})
}

// TestStatusPayload: the form of the topic devices/D/actuators/A/status.
func TestStatusPayload(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var got gateway.Message
		r := newRig(t, func(r *rig) { r.cfg.Publish = func(m gateway.Message) { got = m } }, well())
		r.command("Well", "relay", "1")
		synctest.Wait()
		var c map[string]any
		if err := json.Unmarshal(got.Payload, &c); err != nil {
			t.Fatal(err)
		}
		if got.Topic != "devices/Well/actuators/relay/status" || !got.Retain || c["state"] != "queued" || c["value"] != 1.0 || c["since"] != "2000-01-01T00:00:00Z" || len(c["id"].(string)) != 13 || len(c) != 4 {
			t.Errorf("%s %s", got.Topic, got.Payload)
		}
		r.clock.set(gateway.ClockUnset)
		r.command("Well", "relay", "0")
		synctest.Wait()
		if bytes.Contains(got.Payload, []byte("since")) {
			t.Errorf("%s", got.Payload)
		}
	})
}
