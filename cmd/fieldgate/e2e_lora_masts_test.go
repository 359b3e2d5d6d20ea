package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"fieldgate/radio"
	"fieldgate/radio/semtech/fakeforwarder"
)

var mastsYAML = `
id: gw-1
data: DATA
listen: {mqtt: "127.0.0.1:0", http: "127.0.0.1:0"}
access: {anonymous: true}
devices: [{id: Tank, visibility: public, public_write: true}]
radios: [{driver: semtech, listen: "127.0.0.1:0", gateways: ["aa555a0000000101", "aa555a0000000102", "aa555a0000000103"]}]
lorawan:
  region: EU868
  devices:
    - ` + abpYAML(1, "Tank", "codec: cayenne, actuators: [{from: digital_out_1, id: tap}]") + `
`

// TestLoRaSeveralMasts: what several packet forwarders hear is one reading, and the
// answer leaves where the device was heard best; if it cannot, by the next one, or
// in RX2.
func TestLoRaSeveralMasts(t *testing.T) {
	t.Parallel()
	g := startScripts(t, t.TempDir(), mastsYAML, nil)
	local := subscribe(t, g.mqtt, "-t", "devices/#")
	near := newMast(t, g, "aa555a0000000101")
	far := newMast(t, g, "aa555a0000000102", func(c *fakeforwarder.Config) { c.Counter = 1<<32 - 3_000_000 }) // which wraps soon
	// One that sends at no frequency of RX1.
	narrow := newMast(t, g, "aa555a0000000103", func(c *fakeforwarder.Config) { c.Low, c.High = 869_400_000, 869_650_000 })
	stranger := newMast(t, g, "aa555a00000001ff")
	masts := map[string]*mast{"near": near, "far": far, "narrow": narrow, "stranger": stranger}
	for _, m := range []*mast{near, far, narrow} {
		m.connected()
	}
	n := abp(t, 1)
	for i, c := range []struct {
		snr       map[*mast]float32
		leaves    string
		window    int
		frequency uint32 // 0: the uplink's
	}{
		{map[*mast]float32{near: 9, far: 2}, "near", 1, 0},
		{map[*mast]float32{near: -7, far: -2}, "far", 1, 0},
		{map[*mast]float32{far: 5}, "far", 1, 0},
		{map[*mast]float32{narrow: 9, near: -3}, "near", 1, 0},
		{map[*mast]float32{narrow: 9}, "narrow", 2, 869_525_000},
	} {
		command := []string{"1", "0"}[i%2]
		sendCommand(t, g, "Tank", "tap", command)
		local.untilState("Tank", "tap", "queued")
		u := must(n.Uplink(1, []byte{1, 103, 0, byte(i + 1)}, false))(t)
		ends := map[*mast]uint32{}
		for m, snr := range c.snr {
			ends[m] = m.push(u, snr)
		}
		within, cancel := context.WithTimeout(context.Background(), quietFor)
		if _, err := stranger.fw.Push(within, radio.Frame{Payload: u.Frame, Frequency: u.Frequency, Modulation: u.Modulation, SNR: 20, CRC: radio.CRCOK}); err == nil {
			t.Error("a stranger was answered")
		}
		cancel()
		m := masts[c.leaves]
		d, e := m.emission(n, ends[m])
		if c.frequency == 0 {
			c.frequency = u.Frequency
		}
		if d.Window != c.window || e.Frequency != c.frequency || !bytes.Equal(d.Payload, []byte{1, 1, command[0] - '0'}) {
			t.Errorf("%d: in RX%d at %d: %+v", i, d.Window, e.Frequency, d)
		}
		local.untilState("Tank", "tap", "sent")
	}
	for name, m := range masts {
		select {
		case e := <-m.emitted:
			t.Errorf("%s has sent %x", name, e.Payload)
		default:
		}
	}
	select {
	case <-stranger.fw.Pulled():
		t.Error("a stranger is answered")
	default:
	}
	_, log := exportUntil(t, g, `"channel":"temperature_1"`, 5)
	for _, v := range []string{"0.1", "0.2", "0.3", "0.4", "0.5"} {
		if k := strings.Count(log, `"channel":"temperature_1","value":`+v+","); k != 1 {
			t.Errorf("%s is %d times in the log:\n%s", v, k, log)
		}
	}
	if metrics := get(t, g, "/metrics"); !strings.Contains(metrics, "fieldgate_radio_garbage_total") {
		t.Errorf("no count of strangers:\n%s", metrics)
	}
}
