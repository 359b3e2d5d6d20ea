package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/web"
	"fieldgate/radio"
	"fieldgate/radio/lorawan"
)

// radioStatus is the content of the retained topic gateways/{id}/radios/R/status
// on the local broker, for administrators, and of GET /admin/radios.
type radioStatus struct {
	Radio    string     `json:"radio"`
	State    string     `json:"state"` // waiting, ok or failing
	Error    string     `json:"error,omitempty"`
	Chip     string     `json:"chip,omitempty"`
	Since    *time.Time `json:"since,omitempty"` // absent while the clock is unset
	Received uint64     `json:"received"`        // frames with a right checksum
	NoCRC    uint64     `json:"no_crc,omitempty"`
	BadCRC   uint64     `json:"bad_crc,omitempty"`
	Sent     uint64     `json:"sent"`
	Unsent   uint64     `json:"unsent,omitempty"`
	Resets   uint64     `json:"resets,omitempty"`
	Garbage  uint64     `json:"garbage,omitempty"`
}

func (l *loraPart) statusOf(s *radio.Status) radioStatus {
	out := radioStatus{Radio: s.Radio, State: s.State.String(), Error: oneLine(s.Err, longestError), Chip: s.Chip,
		Received: s.Count.Received, NoCRC: s.Count.NoCRC, BadCRC: s.Count.BadCRC, Sent: s.Count.Sent, Unsent: s.Count.Unsent,
		Resets: s.Count.Resets, Garbage: s.Count.Garbage}
	if now := l.g.clock.Now(); now.Quality != gateway.ClockUnset && !s.Since.IsZero() {
		at := now.Wall.Add(-time.Since(s.Since)).UTC().Truncate(time.Second)
		out.Since = &at
	}
	return out
}

func (r *radioStatus) write(w *strings.Builder) {
	fmt.Fprintf(w, "%s: %s", r.Radio, r.State)
	if r.Chip != "" {
		fmt.Fprintf(w, ", %s", r.Chip)
	}
	fmt.Fprintf(w, "; heard %d (%d without checksum, %d with a wrong one), sent %d (%d not)", r.Received+r.NoCRC+r.BadCRC, r.NoCRC, r.BadCRC, r.Sent, r.Unsent)
	if r.Resets > 0 {
		fmt.Fprintf(w, ", set up anew %d times", r.Resets)
	}
	if r.Error != "" {
		fmt.Fprintf(w, "; %s", r.Error)
	}
	w.WriteByte('\n')
}

// nodeStatus is the content of the retained topic devices/D/lorawan/status on the
// local broker.
type nodeStatus struct {
	State    string     `json:"state"`             // joined, waiting (for a join or a first frame) or damaged
	Seen     *time.Time `json:"seen,omitempty"`    // its last frame
	Radio    string     `json:"radio,omitempty"`   // that heard it best
	RSSI     int        `json:"rssi,omitempty"`    // dBm
	SNR      float32    `json:"snr,omitempty"`     // dB
	DataRate int        `json:"data_rate"`         // DR of the region
	Battery  *int       `json:"battery,omitempty"` // percent; absent if it has not told
	External bool       `json:"external_power,omitempty"`
	FCntUp   uint32     `json:"fcnt_up"`
	FCntDown uint32     `json:"fcnt_down"`
	Queued   int        `json:"queued"`
}

// batteryTop is a full battery in DevStatusAns; 0 is external power, 255 unknown.
const batteryTop = 254

func (l *loraPart) nodeStatus(d *lorawan.DeviceStatus) nodeStatus {
	s := nodeStatus{State: "waiting", Radio: d.Radio, RSSI: d.RSSI, SNR: d.SNR, DataRate: d.DataRate,
		FCntUp: d.FCntUp, FCntDown: d.FCntDown, Queued: d.Queued}
	switch {
	case d.Broken:
		s.State = "damaged"
	case !d.Seen.IsZero() && d.Joined:
		s.State = "joined"
	}
	if now := l.g.clock.Now(); now.Quality != gateway.ClockUnset && !d.Seen.IsZero() {
		at := now.Wall.Add(-time.Since(d.Seen)).UTC().Round(time.Second) // Seen has seconds
		s.Seen = &at
	}
	if !d.Asked.IsZero() {
		switch {
		case d.Battery == 0:
			s.External = true
		case d.Battery <= batteryTop:
			percent := int(math.Round(float64(d.Battery) * 100 / batteryTop))
			s.Battery = &percent
		}
	}
	return s
}

// saidOfNode is what was published last of a device, and when.
type saidOfNode struct {
	lorawan.DeviceStatus
	at time.Time
}

// nodeEvery is how often the counters of a device are published at most; with
// thousands of devices each frame would be a message else.
const nodeEvery = 30 * time.Second

// news reports whether d is to be published: because it is another state, or
// because it is another one at all and the last was published a while ago.
func (s *saidOfNode) news(d *lorawan.DeviceStatus, now time.Time) bool {
	old := &s.DeviceStatus
	switch {
	case *old == *d:
		return false
	case old.Device == "", now.Sub(s.at) >= nodeEvery:
		return true
	}
	return old.Joined != d.Joined || old.Broken != d.Broken || old.Seen.IsZero() != d.Seen.IsZero() || old.DevAddr != d.DevAddr ||
		old.Queued != d.Queued || old.Battery != d.Battery
}

// keepStatus publishes how radios and devices are doing when it changes.
func (l *loraPart) keepStatus(ctx context.Context) {
	l.Announce()
	radios := map[string]string{} // what was said of each
	nodes := map[string]saidOfNode{}
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	say := func(topic string, v any) {
		if raw, err := json.Marshal(v); err == nil {
			l.g.broker.Publish(gateway.Message{Topic: topic, Payload: raw, QoS: 1, Retain: true})
		}
	}
	for {
		for _, s := range l.Status() {
			st := l.statusOf(&s)
			// Counts go up with each frame; they are at GET /admin/radios.
			now := radioStatus{Radio: st.Radio, State: st.State, Error: st.Error, Chip: st.Chip, Resets: st.Resets}
			if key := fmt.Sprint(now); radios[s.Radio] != key {
				radios[s.Radio], now.Since = key, st.Since
				say("gateways/"+l.g.cfg.ID+"/radios/"+st.Radio+"/status", now)
			}
		}
		now := time.Now()
		for _, d := range l.LoRaWAN() {
			if last := nodes[d.Device]; last.news(&d, now) {
				if _, ok := l.g.registry.Device(d.Device); !ok {
					continue // the configuration was reloaded without it
				}
				nodes[d.Device] = saidOfNode{d, now}
				say("devices/"+d.Device+"/lorawan/status", l.nodeStatus(&d))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// loraHealth counts the radios by how they are doing, and says which fail.
func (g *gatewayd) loraHealth() (count *hardwareStatus, failing map[string]string) {
	if g.lora == nil {
		return nil, nil
	}
	count, failing = &hardwareStatus{}, map[string]string{}
	for _, s := range g.lora.Status() {
		switch s.State {
		case radio.OK:
			count.OK++
		case radio.Waiting:
			count.Waiting++
		default:
			count.Failing++
			failing["radios/"+s.Radio] = oneLine(s.Err, longestError)
		}
	}
	return count, failing
}

// Radios implements web.Radio.
func (l *loraPart) Radios() any {
	out := []radioStatus{}
	for _, s := range l.Status() {
		out = append(out, l.statusOf(&s))
	}
	return out
}

// Listen implements web.Radio.
func (l *loraPart) Listen(ctx context.Context, fn func(event []byte) error) error {
	w := make(chan []byte, 256)
	l.mu.Lock()
	l.watchers[w] = struct{}{}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.watchers, w)
		l.mu.Unlock()
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.over:
			return nil
		case event := <-w:
			if err := fn(event); err != nil {
				return err
			}
		}
	}
}

// Send implements web.Radio.
func (l *loraPart) Send(ctx context.Context, f web.RadioSend) error {
	t, err := transmission(f)
	if err != nil {
		return err
	}
	all := l.Status()
	switch {
	case t.Radio != "":
	case len(all) == 1:
		t.Radio = all[0].Radio
	default:
		return fmt.Errorf("%w: there are %d radios, name one", web.ErrBadSend, len(all))
	}
	if t.Frequency == 0 {
		t.Frequency = l.g.listened(t.Radio)
	}
	if err := l.Station.Send(ctx, t); err != nil {
		return fmt.Errorf("%w: %w", web.ErrNotSent, err)
	}
	return nil
}

// listened is the frequency that a radio listens to, or that a region begins with.
func (g *gatewayd) listened(name string) uint32 {
	for i := range g.cfg.Radios {
		if r := &g.cfg.Radios[i]; r.Name == name && r.Tuning.Frequency != 0 {
			return r.Tuning.Frequency
		}
	}
	return firstChannel(g.cfg)
}

// transmission reads what is to be sent.
func transmission(f web.RadioSend) (*radio.Transmission, error) {
	payload, err := hex.DecodeString(f.Payload)
	if err != nil || len(payload) == 0 || len(payload) > radio.MaxPayload {
		return nil, fmt.Errorf("%w: the payload is 1 to %d bytes in hex", web.ErrBadSend, radio.MaxPayload)
	}
	m, err := radio.ParseDataRate(f.DataRate)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", web.ErrBadSend, err)
	}
	m.CodingRate = 5
	if f.Frequency != 0 && !(f.Frequency > 100 && f.Frequency < 1100) {
		return nil, fmt.Errorf("%w: a frequency in MHz, such as 868.1", web.ErrBadSend)
	}
	return &radio.Transmission{ID: "by hand", Radio: f.Radio, Payload: payload, Frequency: uint32(math.Round(f.Frequency * 1e6)), Modulation: m,
		Power: f.Power, InvertIQ: f.InvertIQ, CRC: f.CRC, Immediately: true}, nil
}

// collect gives the metrics.
func (l *loraPart) collect(count func(name, help string, v uint64, labels ...string), gauge func(name, help string, v float64, labels ...string)) {
	for _, s := range l.Status() {
		gauge("radio_ok", "1 if a radio, or a packet forwarder, works.", truth(s.State == radio.OK), "radio", s.Radio)
		for result, n := range map[string]uint64{"ok": s.Count.Received, "no_crc": s.Count.NoCRC, "bad_crc": s.Count.BadCRC} {
			count("radio_received", "Frames heard, by what their checksum told.", n, "radio", s.Radio, "crc", result)
		}
		count("radio_sent", "Frames sent.", s.Count.Sent, "radio", s.Radio)
		count("radio_unsent", "Frames that could not be sent.", s.Count.Unsent, "radio", s.Radio)
		count("radio_resets", "Times a chip had to be set up anew.", s.Count.Resets, "radio", s.Radio)
		count("radio_garbage", "Datagrams of a packet forwarder that were not understood, or came from a second host.", s.Count.Garbage, "radio", s.Radio)
	}
	refused := map[string]uint64{}
	for _, server := range l.g.semtech {
		c := server.Counters()
		for reason, n := range map[string]uint64{"malformed": c.Malformed, "stranger": c.Strangers, "second_host": c.Conflicts,
			"overload": c.Overflow, "bad_json": c.BadJSON, "bad_frame": c.BadFrames, "unasked": c.Unasked} {
			refused[reason] += n
		}
	}
	for reason, n := range refused {
		count("semtech_refused", "What packet forwarders, or strangers, sent and was not taken, by reason.", n, "reason", reason)
	}
	for i, f := range l.forwarders {
		server, s := l.g.cfg.LoRaWAN.Forward[i].Server, f.Status()
		gauge("forward_up", "1 if the network server that frames are forwarded to answers.", truth(s.Up), "server", server)
		gauge("forward_waiting_frames", "Frames that the network server has not acknowledged.", float64(s.Waiting), "server", server)
		count("forward_frames", "Frames that the network server has acknowledged.", s.Forwarded, "server", server)
		for reason, n := range map[string]uint64{"full": s.Full, "expired": s.Expired, "late": s.Late} {
			count("forward_dropped", "Frames that were not forwarded, by reason.", n, "server", server, "reason", reason)
		}
	}
	stats := l.Stats()
	for what, n := range stats.Taken {
		count("lora_frames", "Frames taken or sent, by what they were.", n, "kind", what)
	}
	for reason, n := range stats.Refused {
		count("lora_frames_refused", "Frames not taken, by reason.", n, "reason", reason)
	}
}

// forwardProblems says which network servers do not answer, for GET /healthz.
func (g *gatewayd) forwardProblems() (out []string) {
	if g.lora == nil {
		return nil
	}
	for i, f := range g.lora.forwarders {
		s, server := f.Status(), g.cfg.LoRaWAN.Forward[i].Server
		if !s.Up {
			line := "forward " + server + ": offline"
			if s.Err != nil {
				line += ": " + oneLine(s.Err, longestError)
			}
			out = append(out, line)
		}
		if s.Disk != nil {
			out = append(out, "forward "+server+": frames are not kept on disk: "+oneLine(s.Disk, longestError))
		}
	}
	return out
}
