package station

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio/codec"
	"fieldgate/radio/lorawan"
)

func TestCommand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, well())
		n := r.node(0)
		if !r.command("Well", "relay", "true").is(nil) {
			t.Error("not settled")
		}
		want(t, "states", r.published(), "Well/relay queued true")
		if got := r.hub.take(); got != nil {
			t.Errorf("%v before anything was sent", got)
		}
		d := r.uplink(n, 1, []byte{3, 103, 0, 235}, false)
		if d.Window != 1 || d.Port != 3 || !bytes.Equal(d.Payload, []byte{1, 1, 1}) {
			t.Errorf("the node heard %+v", d)
		}
		want(t, "readings", r.hub.take(), "Well/temperature_3=23.5", "Well/relay=true")
		want(t, "states", r.published(), "Well/relay sent true")
		if d := r.uplink(n, 1, nil, false); d.Payload != nil {
			t.Errorf("it was sent again: %+v", d)
		}
		want(t, "states", r.published())
	})
}

// TestCommandIsOnDiskWhenItIsSettled: killed at any time after that, the gateway
// sends it; killed before, it says that it did not.
func TestCommandIsOnDiskWhenItIsSettled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, well())
		r.lorawan.takes(20 * time.Millisecond)
		r.table.takes(20 * time.Millisecond)
		o := r.command("Well", "relay", "true")
		for o.is(nil) == false {
			if _, records := r.table.done(); records == 0 && len(r.station.lorawan.Queue("Well")) > 0 {
				t.Fatal("queued before it is noted")
			}
			time.Sleep(time.Millisecond)
		}
		r.restart(nil)
		r.station.Announce()
		want(t, "states", r.published(), "Well/relay queued true")
		n := r.node(0)
		if d := r.uplink(n, 1, nil, false); !bytes.Equal(d.Payload, []byte{1, 1, 1}) {
			t.Errorf("the node heard %+v", d)
		}
		want(t, "readings", r.hub.take(), "Well/relay=true")
		want(t, "states", r.published(), "Well/relay sent true")
	})
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, well())
		before := r.lorawan.clone()
		r.command("Well", "relay", "true")
		synctest.Wait()
		r.restart(func() { r.lorawan = before })
		want(t, "states", r.published(), "Well/relay refused true the gateway was stopped before it was known to be queued")
		if d := r.uplink(r.node(0), 1, nil, false); d.Payload != nil {
			t.Errorf("the node heard %+v", d)
		}
	})
}

// TestConfirmedCommand: what is not acknowledged is not reached.
func TestConfirmedCommand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := well()
		d.Confirmed = true
		r := newRig(t, nil, d)
		n := r.node(0)
		r.command("Well", "relay", "true")
		r.uplink(n, 1, nil, false)
		want(t, "states", r.published(), "Well/relay queued true", "Well/relay sent true")
		if got := r.hub.take(); got != nil {
			t.Errorf("reached %v", got)
		}
		r.uplink(n, 1, nil, false) // with the acknowledgement
		want(t, "states", r.published(), "Well/relay acknowledged true")
		want(t, "readings", r.hub.take(), "Well/relay=true")
	})
}

// TestNewerCommand: what an older one brings the actuator to is its state until the
// newer one is sent, though the newer one is what is told of.
func TestNewerCommand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := well()
		d.Confirmed = true
		r := newRig(t, nil, d)
		n := r.node(0)
		r.command("Well", "relay", "1")
		r.uplink(n, 1, nil, false) // sent, and not acknowledged yet
		r.command("Well", "relay", "0")
		want(t, "states", r.published(), "Well/relay queued 1", "Well/relay sent 1", "Well/relay queued 0")
		r.restart(nil)
		r.uplink(n, 1, nil, false) // acknowledges the older one, and hears the newer one
		want(t, "readings", r.hub.take(), "Well/relay=1")
		r.uplink(n, 1, nil, false)
		want(t, "readings", r.hub.take(), "Well/relay=0")
		if got := r.published(); len(got) == 0 || got[len(got)-1] != "Well/relay acknowledged 0" {
			t.Errorf("states %q", got)
		}
		if rec := r.station.book.get("Well/relay"); len(rec.Older) != 0 {
			t.Errorf("%+v", rec)
		}
	})
	bubble(t, func(t *testing.T) { // one that was not sent is not sent any more
		r := newRig(t, nil, well())
		for i := range 5 {
			r.command("Well", "relay", strconv.Itoa(i%2))
		}
		synctest.Wait()
		if d := r.uplink(r.node(0), 1, nil, false); !bytes.Equal(d.Payload, []byte{1, 1, 0}) || d.Pending {
			t.Errorf("%+v", d)
		}
		want(t, "readings", r.hub.take(), "Well/relay=0")
		if rec := r.station.book.get("Well/relay"); len(rec.Older) != 0 || rec.State != "sent" {
			t.Errorf("%+v", rec)
		}
	})
}

// TestCommandsStayInOrder: those to one device, whatever they wait for.
func TestCommandsStayInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := well()
		d.Actuators = nil
		d.Script, d.Codec = true, script(t, `function encodeDownlink(i) { return {bytes: [i.data.relay, 7], fPort: 9} }`)
		r := newRig(t, func(r *rig) { r.hub.devices["Well"].Actuators = []gateway.Actuator{{ID: "relay"}} }, d)
		r.lorawan.takes(10 * time.Millisecond)
		var all []*outcome
		for i := range 100 {
			all = append(all, r.command("Well", "relay", strconv.Itoa(i)))
		}
		time.Sleep(time.Second)
		for i, o := range all {
			if !o.is(nil) {
				t.Fatalf("command %d: %+v", i, o)
			}
		}
		if d := r.uplink(r.node(0), 1, nil, false); !bytes.Equal(d.Payload, []byte{99, 7}) || d.Port != 9 {
			t.Errorf("%+v", d)
		}
		if n, _ := r.table.done(); n > 50 {
			t.Errorf("%d writes", n)
		}
	})
}

// TestCommandsShareWrites: many that come at once cost the disk little.
func TestCommandsShareWrites(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var devices []Device
		for i := range 200 {
			d := well()
			d.Name = "D" + strconv.Itoa(i)
			devices = append(devices, d)
		}
		r := newRig(t, nil, devices...)
		r.lorawan.takes(20 * time.Millisecond)
		r.table.takes(20 * time.Millisecond)
		begin := time.Now()
		var all []*outcome
		for i := range devices {
			all = append(all, r.command(devices[i].Name, "relay", "true"))
		}
		for _, o := range all {
			for !o.is(nil) {
				time.Sleep(time.Millisecond)
			}
		}
		if n, _ := r.table.done(); n > 4 || time.Since(begin) > 200*time.Millisecond {
			t.Errorf("took %v and %d writes", time.Since(begin), n)
		}
	})
}

func TestCommandWhileTheDiskRefuses(t *testing.T) {
	for _, which := range []string{"commands", "lorawan"} {
		bubble(t, func(t *testing.T) {
			r := newRig(t, nil, well())
			n := r.node(0)
			r.command("Well", "relay", "true")
			r.uplink(n, 1, nil, false)
			r.published()
			refuses := map[string]*table{"commands": r.table, "lorawan": r.lorawan}[which]
			refuses.refuse(errDisk)
			if o := r.command("Well", "relay", "false"); !o.is(gateway.ErrNotKept) {
				t.Errorf("%s: %+v", which, o)
			}
			got := r.published()
			told := map[string]string{"commands": "station: command: input/output error", "lorawan": "lorawan: enqueue: input/output error"}[which]
			if last := got[len(got)-1]; last != "Well/relay refused false the disk did not take it: "+told || which == "commands" && len(got) != 1 {
				t.Errorf("%s: states %q", which, got)
			}
			refuses.refuse(nil)
			time.Sleep(5 * time.Second)
			r.hub.take()
			if d := r.uplink(n, 1, nil, false); d.Payload != nil {
				t.Errorf("%s: the node heard %+v", which, d)
			}
			if o := r.command("Well", "relay", "false"); !o.is(nil) {
				t.Errorf("%s: %+v", which, o)
			}
			if d := r.uplink(n, 1, nil, false); !bytes.Equal(d.Payload, []byte{1, 1, 0}) {
				t.Errorf("%s: the node heard %+v", which, d)
			}
			want(t, "readings", r.hub.take(), "Well/relay=false")
		})
	}
}

// TestFullQueue: what has no room is refused, and what was there before goes on.
func TestFullQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := well()
		d.Actuators = map[string]string{}
		for i := range lorawan.MaxQueue + 1 {
			d.Actuators["digital_out_"+strconv.Itoa(i)] = "a" + strconv.Itoa(i)
		}
		r := newRig(t, nil, d)
		for i := range lorawan.MaxQueue + 1 {
			if o := r.command("Well", "a"+strconv.Itoa(i), "1"); !o.is(nil) {
				t.Errorf("%d: %+v", i, o)
			}
		}
		got := r.published()
		if last := got[len(got)-1]; last != "Well/a16 refused 1 lorawan: enqueue: the device's queue is full: 16" {
			t.Error(last)
		}
		r.uplink(r.node(0), 1, nil, false)
		want(t, "readings", r.hub.take(), "Well/a0=1")
	})
}

// TestBatchOfCommands: it is settled once, when all of it is on disk.
func TestBatchOfCommands(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow := Device{Name: "Slow", Script: true, Codec: &sluggish{time.Second}, Port: 1, Actuators: map[string]string{"x": "lamp"}}
		r := newRig(t, nil, well(), slow)
		o := r.deliver(&gateway.Batch{}, "Well/relay=true", "Slow/lamp=1", "Well/valve=0")
		if !o.open() {
			t.Error("settled before all is on disk")
		}
		time.Sleep(time.Second)
		if !o.is(nil) {
			t.Errorf("%+v", o)
		}
		o = &outcome{} // nothing of it is ours, or it is no command
		r.station.Deliver(&gateway.Batch{Confirmed: true, Readings: []gateway.Reading{{Kind: gateway.KindCommand, Device: "Well", Channel: "relay", Value: json.RawMessage("1")}}}, nil, o.settled)
		if !o.is(nil) {
			t.Errorf("%+v", o)
		}
		o = &outcome{}
		r.station.Deliver(&gateway.Batch{Readings: []gateway.Reading{
			{Kind: gateway.KindSensor, Device: "Well", Channel: "relay", Value: json.RawMessage("1")},
			{Kind: gateway.KindCommand, Device: "Well", Channel: "none", Value: json.RawMessage("1")},
			{Kind: gateway.KindCommand, Device: "None", Channel: "relay", Value: json.RawMessage("1")}}}, nil, o.settled)
		if !o.is(nil) || len(r.station.lorawan.Queue("Well")) != 2 {
			t.Errorf("%+v", o)
		}
	})
}

// TestExpiry: a command is dropped when its device's time or that of its message is
// over, whichever comes first.
func TestExpiry(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := well()
		d.Expires = time.Hour
		r := newRig(t, nil, d)
		begin := time.Now()
		for _, c := range []struct {
			message, after time.Duration
		}{{0, time.Hour}, {time.Minute, time.Minute}, {2 * time.Hour, time.Hour}} {
			b := &gateway.Batch{Carrier: &gateway.Message{}}
			if c.message > 0 {
				b.Carrier.Expires = time.Now().Add(c.message)
			}
			if !r.deliver(b, "Well/relay=1").is(nil) {
				t.Error("not settled")
			}
			time.Sleep(c.after - time.Second)
			want(t, "states", r.published(), "Well/relay queued 1")
			time.Sleep(2 * time.Second)
			want(t, "states", r.published(), "Well/relay expired 1 the device was not heard in time")
		}
		b := &gateway.Batch{Carrier: &gateway.Message{Expires: begin.Add(time.Second)}} // it waited for the disk for too long
		if !r.deliver(b, "Well/relay=0").is(nil) {
			t.Error("not settled")
		}
		want(t, "states", r.published(), "Well/relay expired 0 its message was no longer good")
		if d := r.uplink(r.node(0), 1, nil, false); d.Payload != nil {
			t.Errorf("%+v", d)
		}
	})
}

func TestPriority(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := well()
		d.Priority, d.Priorities = -2, map[string]int8{"valve": 5}
		r := newRig(t, nil, d)
		r.command("Well", "relay", "1")
		r.command("Well", "valve", "1")
		synctest.Wait()
		n := r.node(0)
		if d := r.uplink(n, 1, nil, false); d.Payload[0] != 2 || !d.Pending {
			t.Errorf("%+v", d)
		}
		if d := r.uplink(n, 1, nil, false); d.Payload[0] != 1 {
			t.Errorf("%+v", d)
		}
	})
}

func TestCheck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		mute := well()
		mute.Name, mute.Mute, mute.Script, mute.Codec = "Mute", true, true, script(t, "function Decoder(b) { return {} }")
		slow := Device{Name: "Slow", Script: true, Codec: &sluggish{time.Hour}, Actuators: map[string]string{"x": "lamp"}}
		r := newRig(t, nil, well(), mute, slow)
		for _, c := range []struct {
			device, actuator, value string
			owned                   bool
			err                     error
		}{
			{"Well", "relay", "true", true, nil}, {"Well", "relay", `"open"`, true, gateway.ErrBadCommand}, {"Well", "relay", "300", true, gateway.ErrBadCommand},
			{"Well", "lamp", "true", false, nil}, {"Other", "relay", "true", false, nil},
			{"Mute", "relay", "true", true, gateway.ErrBadCommand}, {"Slow", "lamp", "1", true, nil},
		} {
			owned, err := r.station.Check(c.device, c.actuator, json.RawMessage(c.value))
			if owned != c.owned || !errors.Is(err, c.err) {
				t.Errorf("%+v: %v %v", c, owned, err)
			}
		}
		r.hub.mu.Lock()
		delete(r.hub.devices, "Well") // the configuration was reloaded without it
		r.hub.mu.Unlock()
		if owned, _ := r.station.Check("Well", "relay", json.RawMessage("true")); owned {
			t.Error("an actuator of a device that is not there")
		}
	})
}

// TestScriptThatRefuses: the command is recorded by then; its state tells.
func TestScriptThatRefuses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := well()
		d.Script, d.Codec = true, script(t, `function encodeDownlink(i) { if (i.data.digital_out_1 > 1) return {errors: ["too much"]}; return {bytes: [1]} }`)
		r := newRig(t, nil, d)
		if o := r.command("Well", "relay", "2"); !o.is(nil) {
			t.Errorf("%+v", o)
		}
		got := r.published()
		if len(got) != 1 || r.logged("a command is refused") != 1 {
			t.Errorf("%q", got)
		}
		for range 50 {
			r.command("Well", "relay", "2")
		}
		if n := r.logged("a command is refused"); n != 1 {
			t.Errorf("%d lines in the log", n)
		}
	})
}

// TestCommandsForAScriptThatDoesNotKeepUp: the state tells.
func TestCommandsForAScriptThatDoesNotKeepUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := Device{Name: "Slow", Script: true, Codec: &sluggish{time.Second}, Port: 1, Actuators: map[string]string{"x": "lamp"}}
		r := newRig(t, nil, d)
		var last *outcome
		for range laneRoom + 1 {
			last = r.command("Slow", "lamp", "1")
		}
		if !last.is(nil) {
			t.Errorf("%d times, %v", last.times, last.err)
		}
		got := r.published()
		if len(got) == 0 || got[len(got)-1] != "Slow/lamp refused 1 the codec's script does not keep up" {
			t.Errorf("%q", got)
		}
	})
}

// sluggish is a codec that takes its time.
type sluggish struct{ d time.Duration }

func (s *sluggish) Decode(ctx context.Context, u *codec.Uplink) (codec.Decoded, error) {
	select {
	case <-time.After(s.d):
		return codec.Decoded{Values: []codec.Value{{Name: "size", Value: json.RawMessage(strconv.Itoa(len(u.Bytes)))}}}, nil
	case <-ctx.Done():
		return codec.Decoded{}, ctx.Err()
	}
}

func (s *sluggish) Encode(ctx context.Context, _ *codec.Command) (codec.Encoded, error) {
	select {
	case <-time.After(s.d):
		return codec.Encoded{Bytes: []byte{1}}, nil
	case <-ctx.Done():
		return codec.Encoded{}, ctx.Err()
	}
}
