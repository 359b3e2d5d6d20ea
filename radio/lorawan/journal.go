package lorawan

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
)

// An uplink whose counter is on disk will not be taken again, so it must not be
// lost with the process before the application has it. Each write therefore has,
// in a record of its own, the uplinks that are handed on after it; the next write
// after that deletes the record, or one for this alone if none comes soon. What is
// still there at the start is handed on again.

// journalKey begins the keys of these records; a number in hexadecimal follows.
const journalKey = "u/"

// batch is a journal's record as long as the application has not got all of it.
type batch struct {
	key   string
	left  int
	again bool // the last run left it
}

// maxBatch is how long a record is made before another is begun, in bytes: a table
// takes no values of any length.
const maxBatch = 64 << 10

// enter puts the uplinks of effects into pairs.
func (s *Server) enter(effects []effect, pairs map[string][]byte) {
	var b *batch
	var record []byte
	for i := range effects {
		e := &effects[i]
		if e.uplink == nil || e.batch != nil {
			continue
		}
		if b == nil || len(record) > maxBatch {
			if b != nil {
				pairs[b.key] = record
			}
			s.journal++
			b = &batch{key: fmt.Sprintf("%s%016x", journalKey, s.journal)}
			record = []byte{recordVersion}
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

// unwritten takes the uplinks of effects out of the journal that could not be written.
func (s *Server) unwritten(effects []effect, pairs map[string][]byte) {
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

// handOn gives an uplink to the application.
func (s *Server) handOn(e effect) {
	u := e.uplink
	dev, batch, fcnt := e.dev, e.batch, u.FCnt // what is settled late keeps no more
	var settled func(bool)
	u.later = func() func(bool) {
		if settled != nil {
			return settled
		}
		s.unsettled.Add(1)
		var once sync.Once
		settled = func(kept bool) {
			once.Do(func() {
				s.handedOn(dev, batch, fcnt, kept)
				s.unsettled.Add(-1)
				notify(s.settled)
			})
		}
		return settled
	}
	s.cfg.OnUplink(u)
	s.waiting.Add(-1)
	if settled == nil {
		s.handedOn(dev, batch, fcnt, !u.Unkept)
	}
}

// settleWithin is how long Run waits at its end for what OnUplink has put off.
const settleWithin = 2 * time.Second

// awaitSettled waits for that.
func (s *Server) awaitSettled() {
	t := time.NewTimer(settleWithin)
	defer t.Stop()
	for s.unsettled.Load() > 0 {
		select {
		case <-s.settled:
		case <-t.C:
			return
		}
	}
}

// handedOn notes that the application has an uplink, and whether it vouches for it.
func (s *Server) handedOn(dev *device, b *batch, fcnt uint32, kept bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dev.undelivered--
	if n := dev.now; n != nil && n.up == fcnt {
		dev.unkept = !kept
	}
	if b == nil {
		return
	}
	if b.left--; b.left == 0 {
		s.done = append(s.done, b.key)
		if b.again { // twice is enough
			s.tidy = true
			s.write.soon()
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
	if u.Received.After(gateway.Earliest) { // it is not from now
		f.Heard = u.Received
	}
	return device, u
}

// readJournal has the uplinks of a record handed on again.
func (s *Server) readJournal(key string, value []byte, byKey map[string]*device) {
	var n uint64
	if _, err := fmt.Sscanf(key[len(journalKey):], "%x", &n); err == nil {
		s.journal = max(s.journal, n)
	}
	b := &batch{key: key, again: true}
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
