package lorawan

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
)

// An uplink whose counter is on disk will not be taken again, so it must not be
// lost with the process before the application has it. Each write therefore has,
// in a record of its own, the uplinks that are handed on after it; the next write
// after that deletes the record. What is still there at the start is handed on
// again.

// journalKey begins the keys of these records; a number in hexadecimal follows.
const journalKey = "u/"

// batch is a journal's record as long as the application has not got all of it.
type batch struct {
	key  string
	left int
}

// enter puts the uplinks of effects into pairs.
func (s *Server) enter(effects []effect, pairs map[string][]byte) {
	var b *batch
	var record []byte
	for i := range effects {
		e := &effects[i]
		if e.uplink == nil || e.batch != nil {
			continue
		}
		if b == nil {
			s.journal++
			b = &batch{key: fmt.Sprintf("%s%016x", journalKey, s.journal)}
			record = append(record, recordVersion)
		}
		e.batch = b
		b.left++
		record = appendUplink(record, e.dev.key, e.uplink)
	}
	if b != nil {
		pairs[b.key] = record
	}
	for _, key := range s.done {
		pairs[key] = nil
	}
}

// left takes the uplinks of effects out of the journal that could not be written.
func (s *Server) left(effects []effect, pairs map[string][]byte) {
	for i := range effects {
		if b := effects[i].batch; b != nil && pairs[b.key] != nil {
			effects[i].batch = nil
		}
	}
	for key, value := range pairs {
		if value == nil && strings.HasPrefix(key, journalKey) {
			s.done = append(s.done, key)
		}
	}
}

// handedOn notes that the application has an uplink.
func (s *Server) handedOn(e effect) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.dev.undelivered--
	if b := e.batch; b != nil {
		if b.left--; b.left == 0 {
			s.done = append(s.done, b.key)
		}
	}
}

func appendUplink(b []byte, device string, u *Uplink) []byte {
	f := u.Frame
	b = appendText(b, device)
	b = binary.BigEndian.AppendUint32(b, uint32(u.DevAddr))
	b = binary.BigEndian.AppendUint32(b, u.FCnt)
	b = append(b, u.FPort, bit(u.Confirmed), bit(u.ADR), byte(u.DataRate))
	b = appendText(b, string(u.Payload))
	b = binary.BigEndian.AppendUint64(b, uint64(u.Received.UnixNano()))
	b = appendText(b, f.Radio)
	b = appendText(b, string(f.Payload))
	b = binary.BigEndian.AppendUint32(b, f.Frequency)
	b = append(b, f.SF, f.CodingRate, byte(f.CRC), f.Channel, f.Chain)
	for _, v := range []uint32{f.Bandwidth, f.BitRate, math.Float32bits(f.RSSI), math.Float32bits(f.SNR), uint32(f.FrequencyError), f.Counter} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// uplink reads what appendUplink made.
func (r *reader) uplink() (device string, u *Uplink) {
	f := &radio.Frame{}
	device = r.text()
	u = &Uplink{Again: true, DevAddr: frame.DevAddr(r.uint32()), FCnt: r.uint32(), FPort: r.byte(), Confirmed: r.byte() != 0, ADR: r.byte() != 0,
		DataRate: int(r.byte()), Payload: []byte(r.text()), Received: time.Unix(0, int64(r.uint64())), Frame: f}
	f.Radio, f.Payload = r.text(), []byte(r.text())
	f.Frequency = r.uint32()
	f.SF, f.CodingRate, f.CRC, f.Channel, f.Chain = r.byte(), r.byte(), radio.CRC(r.byte()), r.byte(), r.byte()
	f.Bandwidth, f.BitRate = r.uint32(), r.uint32()
	f.RSSI, f.SNR = math.Float32frombits(r.uint32()), math.Float32frombits(r.uint32())
	f.FrequencyError, f.Counter = int32(r.uint32()), r.uint32()
	f.At = u.Received
	return device, u
}

// readJournal has the uplinks of a record handed on again.
func (s *Server) readJournal(key string, value []byte, byKey map[string]*device) {
	var n uint64
	if _, err := fmt.Sscanf(key[len(journalKey):], "%x", &n); err == nil {
		s.journal = max(s.journal, n)
	}
	b := &batch{key: key}
	r := reader{b: value}
	version := r.byte()
	for version == recordVersion && len(r.b) > 0 {
		device, u := r.uplink()
		d := byKey[device]
		if r.bad || d == nil || d.broken {
			continue // a device that is not configured any more
		}
		u.Device, u.DevEUI = d.cfg.Device, d.cfg.DevEUI
		d.undelivered++
		s.waiting.Add(1)
		b.left++
		s.effect(effect{dev: d, uplink: u, batch: b})
	}
	if r.done() != nil || version != recordVersion {
		s.cfg.Log.Error("LoRaWAN uplinks that were not handed on yet are lost: their record is damaged")
	}
	if b.left == 0 {
		s.done = append(s.done, key)
	}
}
