package station

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/codec"
	"fieldgate/radio/lorawan"
)

func TestReadings(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := well()
		d.Sensors = map[string]string{"temperature_3": "water"}
		r := newRig(t, nil, d)
		n := r.node(0)
		r.uplink(n, 1, []byte{3, 103, 0, 235, 2, 1, 1, 4, 1, 0, 5, 104, 100}, false)
		want(t, "readings", r.hub.take(), "Well/water=23.5", "Well/relative_humidity_5=50", "Well/valve=1", "Well/digital_out_4=0")
		known, _ := r.hub.Device("Well")
		s, _ := known.Sensor("water")
		if s == nil || s.Unit != "DegreeCelsius" || s.Kind != "Thermometer" || s.Quantity != "Temperature" || s.Name != "temperature 3" {
			t.Errorf("%+v", s)
		}
		if r.hub.changes != 2 { // the sensors in one step
			t.Errorf("%d changes", r.hub.changes)
		}
		want(t, "live", r.live(), `rx unconfirmed uplink Well {"digital_out_2":1,"digital_out_4":0,"relative_humidity_5":50,"temperature_3":23.5}`)
		e := r.raw[0]
		if e.Radio != "r1" || e.Frequency != 868.1 || e.DataRate != "SF7BW125" || e.RSSI != -80 || *e.SNR != 7 || *e.FCnt != 0 || *e.FPort != 1 || e.Time == nil || e.CRC != "ok" || e.Size == 0 || e.Payload == "" {
			t.Errorf("%+v", e)
		}
	})
}

func TestNothingIsCreatedUnlessItMayBe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := well()
		d.Create = false
		r := newRig(t, nil, d)
		r.uplink(r.node(0), 1, []byte{3, 103, 0, 235, 2, 1, 1, 9, 1, 1}, false)
		want(t, "readings", r.hub.take(), "Well/valve=1")
		if r.hub.changes != 0 {
			t.Error("something was made")
		}
	})
}

// TestManyNames: a script that gives its values new names each time fills no
// registry, and what it had before goes on.
func TestManyNames(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := well()
		d.Actuators, d.Sensors = nil, map[string]string{"mapped": "m"}
		d.Script, d.Codec = true, script(t, `function decodeUplink(i) { var d = {n0: 1}; d["n" + i.bytes[0]] = 1; if (i.bytes[0] > 90) d.mapped = 1; return {data: d} }`)
		r := newRig(t, nil, d)
		n := r.node(0)
		for i := range 100 {
			r.uplink(n, 1, []byte{byte(i)}, false)
		}
		known, _ := r.hub.Device("Well")
		if len(known.Sensors) != maxFound+1 {
			t.Errorf("%d sensors", len(known.Sensors))
		}
		if got := r.hub.take(); got[len(got)-1] != "Well/m=1" || got[len(got)-2] != "Well/n0=1" {
			t.Error(got[len(got)-2:])
		}
		if n := r.logged("can add no more"); n < 1 || n > 3 { // in two minutes
			t.Errorf("%d lines", n)
		}
	})
}

// TestPartOfAPayload: what stands in front of the damage counts, and a device that
// goes on so does not fill the log.
func TestPartOfAPayload(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, well())
		n := r.node(0)
		for range 10 {
			r.uplink(n, 1, []byte{3, 103, 0, 235, 7, 99}, false)
		}
		got := r.hub.take()
		if len(got) != 10 || got[9] != "Well/temperature_3=23.5" {
			t.Errorf("%q", got)
		}
		if n := r.logged("not understood"); n != 1 {
			t.Errorf("%d lines in the log", n)
		}
		time.Sleep(time.Minute)
		r.uplink(n, 1, []byte{7, 99}, false)
		if r.logged("since_last_line=9") != 1 {
			t.Error(r.log.String())
		}
		live := r.live()
		if last := live[len(live)-1]; !strings.HasPrefix(last, "rx unconfirmed uplink Well codec: cayenne: bad payload") {
			t.Error(last)
		}
	})
}

// TestValuesThatAreNoReadings: one of them takes none of the others with it.
func TestValuesThatAreNoReadings(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := well()
		d.Codec = fixed{list: []codec.Value{
			{Name: "deep", Value: json.RawMessage(strings.Repeat("[", 40) + strings.Repeat("]", 40))},
			{Name: "large", Value: json.RawMessage(`"` + strings.Repeat("x", gateway.MaxValue) + `"`)},
			{Name: "text", Value: json.RawMessage(`"a"`)},
			{Name: "a/b", Value: json.RawMessage("1")},
			{Name: "relay", Actuator: true, Value: json.RawMessage("null")},
		}}
		r := newRig(t, nil, d)
		r.uplink(r.node(0), 1, []byte{1}, false)
		want(t, "readings", r.hub.take(), `Well/text="a"`, "Well/a_b=1")
	})
}

// TestTimes: a reading has a time of its own where it says more than the Hub's stamp
// will.
func TestTimes(t *testing.T) {
	values := []codec.Value{{Name: "now", Value: json.RawMessage("1")}, {Name: "old", Value: json.RawMessage("2"), Age: time.Hour}, {Name: "now", Value: json.RawMessage("0"), Age: time.Minute}}
	for _, c := range []struct {
		name    string
		quality gateway.ClockQuality
		heard   time.Duration // before it came here, by the packet forwarder; 0: it does not say
		want    []string
	}{
		{"", gateway.ClockSynced, 0, []string{"old=2 at -59m59.9s", "now=0 at -59.9s", "now=1"}},
		{"not sure", gateway.ClockUnsynced, 0, []string{"old=2 at -59m59.9s", "now=0 at -59.9s", "now=1"}},
		{"no clock", gateway.ClockUnset, time.Minute, []string{"old=2", "now=0", "now=1"}},
		{"the forwarder says about the same", gateway.ClockSynced, 2 * time.Second, []string{"old=2 at -59m59.9s", "now=0 at -59.9s", "now=1"}},
		{"it came late", gateway.ClockSynced, time.Minute, []string{"old=2 at -1h0m59.9s", "now=0 at -1m59.9s", "now=1 at -59.9s"}},
		{"the forwarder's clock is not set", gateway.ClockSynced, 20 * 365 * 24 * time.Hour, []string{"old=2 at -59m59.9s", "now=0 at -59.9s", "now=1"}},
		{"the forwarder's clock is ahead", gateway.ClockSynced, -time.Hour, []string{"old=2 at -59m59.9s", "now=0 at -59.9s", "now=1"}},
	} {
		bubble(t, func(t *testing.T) {
			time.Sleep(time.Until(gateway.Earliest.Add(1000 * time.Hour))) // the bubble begins in 2000
			d := well()
			d.Codec = fixed{list: values}
			r := newRig(t, func(r *rig) { r.clock.quality = c.quality }, d)
			n := r.node(0)
			u, _ := n.Uplink(1, []byte{1}, false)
			f := &radio.Frame{Payload: u.Frame, Frequency: u.Frequency, Modulation: u.Modulation}
			if c.heard != 0 {
				f.Heard = time.Now().Add(-c.heard)
			}
			r.ether.hear(f)
			var all []string
			for _, l := range c.want {
				all = append(all, "Well/"+l)
			}
			want(t, c.name, r.hub.take(), all...)
		})
	}
}

// TestTimeOfWhatWaitedForItsScript: it is that of the frame.
func TestTimeOfWhatWaitedForItsScript(t *testing.T) {
	bubble(t, func(t *testing.T) {
		time.Sleep(time.Until(gateway.Earliest.Add(1000 * time.Hour)))
		d := well()
		d.Script, d.Codec = true, &sluggish{1900 * time.Millisecond}
		r := newRig(t, nil, d)
		n := r.node(0)
		for range 5 {
			u, _ := n.Uplink(1, []byte{1}, false)
			r.ether.hear(&radio.Frame{Payload: u.Frame, Frequency: u.Frequency, Modulation: u.Modulation})
			synctest.Wait()
		}
		time.Sleep(20 * time.Second)
		want(t, "readings", r.hub.take(), "Well/size=1", "Well/size=1", "Well/size=1", "Well/size=1 at 100ms", "Well/size=1 at 100ms")
	})
}

// TestDeviceThatIsGone: the configuration was reloaded without it.
func TestDeviceThatIsGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, well())
		r.command("Well", "relay", "1")
		synctest.Wait()
		r.hub.mu.Lock()
		delete(r.hub.devices, "Well")
		r.hub.mu.Unlock()
		d := r.uplink(r.node(0), 1, []byte{3, 103, 0, 235}, true)
		if !d.ACK {
			t.Error("it would send the same again and again")
		}
		want(t, "readings", r.hub.take())
		r.restart(func() {
			r.cfg.Devices, r.cfg.LoRaWAN.Devices = nil, nil
		})
		if len(r.table.pairs) != 0 {
			t.Errorf("%q is left", r.table.pairs)
		}
	})
}

// TestConfirmedUplink: it is acknowledged when its values are on disk, and only
// then.
func TestConfirmedUplink(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, well())
		n := r.node(0)
		if d := r.uplink(n, 1, []byte{3, 103, 0, 235}, true); !d.ACK || d.Window != 1 {
			t.Errorf("%+v", d)
		}
		if d := r.uplink(n, 1, []byte{7, 99}, true); !d.ACK { // there is nothing to keep
			t.Errorf("%+v", d)
		}
		r.hub.mu.Lock()
		r.hub.err = fmt.Errorf("gateway: submit: %w", gateway.ErrNotKept)
		r.hub.mu.Unlock()
		if d := r.uplink(n, 1, []byte{3, 103, 0, 1}, true); d.ACK {
			t.Error("acknowledged, and lost")
		}
		r.hub.mu.Lock()
		r.hub.err, r.hub.stall = nil, true
		r.hub.mu.Unlock()
		if d := r.uplink(n, 1, []byte{3, 103, 0, 2}, true); d.ACK {
			t.Error("acknowledged before it is on disk")
		}
		r.hub.mu.Lock()
		r.hub.stall = false
		r.hub.mu.Unlock()
		r.hub.settle(nil)
		if d := r.uplink(n, 1, []byte{3, 103, 0, 3}, true); !d.ACK {
			t.Error("the disk works again")
		}
	})
}

// TestSlowWordOfTheDisk: with a long delay of RX1 there is more time for it; what is
// refused is not acknowledged then either.
func TestSlowWordOfTheDisk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) {
			s := &lorawan.Settings{RX1Delay: 5}
			r.cfg.LoRaWAN.Devices[0].Settings, r.cfg.LoRaWAN.Devices[0].Preset = s, s
		}, well())
		r.hub.mu.Lock()
		r.hub.stall = true
		r.hub.mu.Unlock()
		n := r.node(0)
		for _, c := range []struct {
			err error
			ack bool
		}{{nil, true}, {fmt.Errorf("store: %w", gateway.ErrClosed), false}} {
			u := must(n.Uplink(1, []byte{3, 103, 0, 235}, true))
			end := time.Now()
			r.ether.hear(&radio.Frame{Payload: u.Frame, Frequency: u.Frequency, Modulation: u.Modulation})
			time.Sleep(4 * time.Second)
			r.hub.settle(c.err)
			time.Sleep(6 * time.Second)
			sent := r.ether.left()
			if (len(sent) > 0) != c.ack || c.ack && sent[0].Sub(end) != 5*time.Second {
				t.Errorf("%v: answered at %v", c.err, sent)
			}
			r.ether.take()
		}
	})
}

// TestKilledBeforeItIsOnDisk: a counter that is on disk is of no use if the values
// are not.
func TestKilledBeforeItIsOnDisk(t *testing.T) {
	for _, slow := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			time.Sleep(time.Until(gateway.Earliest.Add(1000 * time.Hour)))
			d := well()
			if slow {
				d.Script, d.Codec = true, &sluggish{time.Second}
			}
			r := newRig(t, nil, d)
			n := r.node(0)
			r.hub.mu.Lock()
			r.hub.stall = true
			r.hub.mu.Unlock()
			u := must(n.Uplink(1, []byte{3, 103, 0, 235}, false))
			r.ether.hear(&radio.Frame{Payload: u.Frame, Frequency: u.Frequency, Modulation: u.Modulation})
			time.Sleep(20 * time.Millisecond)
			synctest.Wait()
			r.restart(func() {
				time.Sleep(time.Hour - time.Until(r.hub.begin))
				r.hub.stall = false
			})
			time.Sleep(2 * time.Second)
			name := "temperature_3=23.5"
			if slow {
				name = "size=4"
			}
			want(t, "readings", r.hub.take(), "Well/"+name+" at 100ms")
			r.restart(nil)
			time.Sleep(2 * time.Second)
			want(t, "readings once more", r.hub.take())
		})
	}
}

// TestScriptThatDoesNotKeepUp: what is too much is dropped and counted, and other
// devices do not notice.
func TestScriptThatDoesNotKeepUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := well()
		d.Name, d.Script, d.Codec = "Slow", true, &sluggish{time.Second}
		r := newRig(t, nil, d, well())
		slow, quick := r.node(0), r.node(1)
		for i := range 3 * laneRoom {
			u, _ := slow.Uplink(1, []byte{1}, i%2 == 0)
			r.ether.hear(&radio.Frame{Payload: u.Frame, Frequency: u.Frequency, Modulation: u.Modulation})
			time.Sleep(5 * time.Millisecond)
		}
		if n := r.station.Stats().Refused["script_busy"]; n < laneRoom/2 {
			t.Errorf("%d dropped", n)
		}
		if r.logged("uplinks of a device are dropped") != 1 {
			t.Error("not told once")
		}
		begin := time.Now()
		u, _ := quick.Uplink(1, []byte{3, 103, 0, 235}, true)
		r.ether.hear(&radio.Frame{Payload: u.Frame, Frequency: u.Frequency, Modulation: u.Modulation})
		for got := r.hub.take(); len(got) == 0 || got[len(got)-1] != "Well/temperature_3=23.5"; got = r.hub.take() {
			time.Sleep(time.Millisecond)
			if time.Since(begin) > 100*time.Millisecond {
				t.Fatal("a slow script holds up another device")
			}
		}
	})
}

// TestCreationThatFails: what is there goes on.
func TestCreationThatFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, well())
		n := r.node(0)
		r.uplink(n, 1, []byte{3, 103, 0, 235}, false)
		r.hub.mu.Lock()
		r.hub.failing = errors.New("disk")
		r.hub.mu.Unlock()
		r.uplink(n, 1, []byte{3, 103, 0, 236, 4, 103, 0, 1, 1, 1, 1}, false)
		want(t, "readings", r.hub.take(), "Well/temperature_3=23.5", "Well/temperature_3=23.6", "Well/relay=1")
	})
}

func TestIDs(t *testing.T) {
	long := strings.Repeat("x", 100)
	for name, id := range map[string]string{"temperature_1": "temperature_1", "a b": "a b", "a/b": "a_b", "": "value", long: long[:gateway.MaxID], "é/": "__"} {
		if got := idOf(name); got != id {
			t.Errorf("%q: %q, want %q", name, got, id)
		}
	}
}

// fixed is a codec that gives always the same.
type fixed struct {
	codec.Codec
	list []codec.Value
}

func (f fixed) Decode(context.Context, *codec.Uplink) (codec.Decoded, error) {
	return codec.Decoded{Values: f.list}, nil
}
