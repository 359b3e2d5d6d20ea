package station

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/raw"
)

// old is a device without LoRaWAN, with the text codec and the actuator pump. As the
// first of a rig it has the address 8.
func old() Device {
	return Device{Name: "Old", Raw: true, Codec: builtin("text"), Create: true, Actuators: map[string]string{"P": "pump"}}
}

// frameOf is a frame of the device with the address 8.
func frameOf(t raw.Type, sequence byte, payload string) *radio.Frame {
	b, err := (raw.Header{Destination: raw.Gateway, Type: raw.Data | t, Source: 8, Sequence: sequence}).Append(nil, []byte(payload))
	if err != nil {
		panic(err)
	}
	return &radio.Frame{Payload: b, Private: true}
}

func TestRawUplink(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, old())
		r.ether.hear(frameOf(0, 1, `\!TC/22.5/P/1`))
		want(t, "readings", r.hub.take(), "Old/TC=22.5", "Old/pump=1")
		want(t, "live", r.live(), `rx raw Old {"P":1,"TC":22.5}`)
		if sent := r.ether.take(); sent != nil {
			t.Errorf("%+v", sent)
		}
		end := time.Now()
		r.ether.hear(frameOf(raw.AckRequest, 2, `\!TC/23`))
		time.Sleep(time.Second)
		r.hub.take()
		if at := r.ether.left(); len(at) != 1 || at[0].Sub(end) != raw.AckDelay {
			t.Errorf("%v", at)
		}
		if sent := r.ether.take(); len(sent) != 1 || string(sent[0].Payload[:4]) != "\x08\x20\x01\x02" {
			t.Errorf("%+v", sent)
		}
		r.hub.mu.Lock()
		r.hub.err = fmt.Errorf("%w", gateway.ErrNotKept)
		r.hub.mu.Unlock()
		r.ether.hear(frameOf(raw.AckRequest, 3, `\!TC/24`))
		time.Sleep(time.Second)
		if sent := r.ether.take(); len(sent) != 0 {
			t.Error("acknowledged, and lost")
		}
		r.hub.mu.Lock()
		r.hub.err = nil
		r.hub.mu.Unlock()
		r.ether.hear(frameOf(raw.AckRequest, 3, `\!TC/24`)) // so it sends it again
		time.Sleep(time.Second)
		want(t, "readings", r.hub.take(), "Old/TC=24")
		if sent := r.ether.take(); len(sent) != 1 {
			t.Error("not acknowledged")
		}
		live := r.live()
		if live[len(live)-1] != "tx raw Old" {
			t.Errorf("%q", live)
		}
		r.ether.hear(frameOf(0, 9, "x")) // damaged, or a stranger's
		stranger := frameOf(0, 1, `\!TC/1`)
		stranger.Payload[2] = 77
		r.ether.hear(stranger)
		live = r.live()
		slices.Sort(live)
		want(t, "live", live, `rx raw Old {"DEF":"x"}`, "rx raw unknown_source")
	})
}

// TestRawCommand: it is on disk when it is settled, and sent at once by the radio
// that has heard the device.
func TestRawCommand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, old())
		r.ether.hear(frameOf(0, 1, `\!TC/22.5`))
		r.hub.take()
		if !r.command("Old", "pump", "true").is(nil) {
			t.Error("not settled")
		}
		time.Sleep(time.Second)
		sent := r.ether.take()
		if len(sent) != 1 || string(sent[0].Payload) != "\x08\x11\x01\x00\\!P/1" || sent[0].InvertIQ || !sent[0].CRC || !sent[0].Immediately {
			t.Errorf("%+v", sent)
		}
		want(t, "states", r.published(), "Old/pump queued true", "Old/pump sent true")
		want(t, "readings", r.hub.take(), "Old/pump=true")
	})
}

// TestRawCommandThatCannotBeSentNow: it waits for the device, for the duty cycle,
// through a restart, and not for ever.
func TestRawCommandThatCannotBeSentNow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := old()
		d.Expires = time.Hour
		r := newRig(t, nil, d)
		if !r.command("Old", "pump", "1").is(nil) {
			t.Error("not settled")
		}
		got := r.published()
		if len(got) != 2 || got[0] != "Old/pump queued 1" {
			t.Errorf("%q", got)
		}
		r.restart(nil)
		if sent := r.ether.take(); sent != nil {
			t.Errorf("%+v", sent)
		}
		r.ether.hear(frameOf(0, 1, `\!TC/1`))
		time.Sleep(time.Second)
		if sent := r.ether.take(); len(sent) != 1 || string(sent[0].Payload[4:]) != `\!P/1` {
			t.Errorf("%+v", sent)
		}
		want(t, "readings", r.hub.take(), "Old/TC=1", "Old/pump=1")
		r.published()

		r.ether.refuse(&radio.Busy{Wait: 10 * time.Minute})
		r.command("Old", "pump", "0")
		synctest.Wait()
		r.ether.refuse(nil)
		time.Sleep(10*time.Minute - time.Second)
		if sent := r.ether.take(); sent != nil {
			t.Errorf("sent too early: %+v", sent)
		}
		time.Sleep(2 * time.Second)
		if sent := r.ether.take(); len(sent) != 1 {
			t.Error("not sent")
		}
		r.published()

		r.ether.refuse(radio.ErrDown)
		r.command("Old", "pump", "1")
		time.Sleep(30 * time.Minute)
		r.command("Old", "pump", "0") // takes its place
		time.Sleep(59 * time.Minute)
		got = r.published()
		if last := got[len(got)-1]; last != "Old/pump queued 0 raw: send to \"Old\": the radio is down" || len(got) != 4 {
			t.Errorf("%q", got)
		}
		time.Sleep(2 * time.Minute)
		want(t, "states", r.published(), `Old/pump expired 0 raw: send to "Old": the radio is down`)
		r.ether.refuse(nil)
		time.Sleep(time.Hour)
		if sent := r.ether.take(); sent != nil {
			t.Errorf("sent although it is over: %+v", sent)
		}
	})
}

// TestRawDeviceThatListensAfterItsFrames: one command after each, behind the
// acknowledgement if there is one.
func TestRawDeviceThatListensAfterItsFrames(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := old()
		d.AfterUplink = true
		d.Actuators["Q"] = "lamp"
		r := newRig(t, nil, d)
		r.ether.hear(frameOf(0, 1, `\!TC/1`))
		time.Sleep(time.Minute)
		r.command("Old", "pump", "1")
		r.command("Old", "lamp", "1")
		time.Sleep(time.Minute)
		if sent := r.ether.take(); sent != nil {
			t.Errorf("%+v", sent)
		}
		end := time.Now()
		r.ether.hear(frameOf(0, 2, `\!TC/2`))
		time.Sleep(time.Minute)
		if at := r.ether.left(); len(at) != 1 || at[0].Sub(end) != raw.AckDelay {
			t.Errorf("%v", at)
		}
		if sent := r.ether.take(); string(sent[0].Payload[4:]) != `\!P/1` {
			t.Errorf("%+v", sent)
		}
		end = time.Now()
		r.ether.hear(frameOf(raw.AckRequest, 3, `\!TC/3`))
		time.Sleep(time.Minute)
		if at := r.ether.left(); len(at) != 2 || at[1].Sub(end) < 2*raw.AckDelay {
			t.Errorf("%v", at)
		}
		if sent := r.ether.take(); len(sent) != 2 || string(sent[1].Payload[4:]) != `\!Q/1` {
			t.Fatalf("%+v", sent)
		}
	})
}

func TestRawCommandThatNoFrameTakes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := old()
		d.Codec, d.Actuators = builtin("hex"), map[string]string{"payload": "all"}
		r := newRig(t, nil, d)
		r.ether.hear(frameOf(0, 1, "x"))
		long, _ := json.Marshal(fmt.Sprintf("%0504d", 0))
		if !r.command("Old", "all", string(long)).is(nil) {
			t.Error("not settled")
		}
		got := r.published()
		if len(got) != 2 || r.ether.take() != nil {
			t.Errorf("%q", got)
		}
		if rec := r.station.book.get("Old/all"); rec.State != "refused" {
			t.Errorf("%+v", rec.command)
		}
	})
}

// TestFrameThatLoRaWANHasNoUseFor: it may be one of a device without LoRaWAN whose
// sync word is the same.
func TestFrameThatLoRaWANHasNoUseFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, old(), well())
		f := frameOf(raw.AckRequest, 1, `\!TC/22.5`)
		f.Private = false
		r.ether.hear(f)
		time.Sleep(time.Second)
		want(t, "readings", r.hub.take(), "Old/TC=22.5")
		if sent := r.ether.take(); len(sent) != 1 {
			t.Errorf("%+v", sent)
		}
		r.live()
		other := &radio.Frame{Payload: append([]byte{0x40, 1, 2, 3, 4}, make([]byte, 12)...)}
		r.ether.hear(other)
		want(t, "live", r.live(), "rx unconfirmed uplink DevAddr 04030201 unknown_address")
		n := r.node(1)
		r.uplink(n, 1, []byte{3, 103, 0, 235}, false)
		want(t, "readings", r.hub.take(), "Well/temperature_3=23.5")
	})
}
