package lorawan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio/lorawan/frame"
)

// The records of a device, by the first letters of their keys. The rest is the
// device's key.
const (
	stateKey  = "d/"
	noncesKey = "n/"
	queueKey  = "q/"
)

const recordVersion = 1

// errRecord: a record that cannot be read.
var errRecord = errors.New("damaged record")

// encode puts what is dirty of d into pairs.
func (s *Server) encode(d *device, pairs map[string][]byte) {
	if d.dirty&dirtyState != 0 {
		pairs[stateKey+d.key] = s.appendState(nil, d)
	}
	if d.dirty&dirtyNonces != 0 {
		pairs[noncesKey+d.key] = d.nonces.bytes()
	}
	if d.dirty&dirtyQueue != 0 {
		pairs[queueKey+d.key] = nil
		if len(d.queue) > 0 {
			pairs[queueKey+d.key] = s.appendQueue(nil, d)
		}
	}
}

// load reads the records of the devices that are known. Those of others stay
// where they are: a device that is configured again must not start anew. After an
// error nothing is read.
func (s *Server) load() error {
	byKey := s.byKey
	err := s.cfg.Table.Each(func(key string, value []byte) error { // those of the journal come last
		if strings.HasPrefix(key, journalKey) {
			s.readJournal(key, value, byKey)
			return nil
		}
		d := byKey[key[min(len(key), len(stateKey)):]]
		if d == nil {
			return nil
		}
		var err error
		switch {
		case strings.HasPrefix(key, stateKey):
			err = s.readState(d, value)
		case strings.HasPrefix(key, noncesKey):
			d.nonces, err = parseNonces(value)
		case strings.HasPrefix(key, queueKey):
			err = s.readQueue(d, value)
		}
		if err != nil {
			d.broken = true
			s.cfg.Log.Error("LoRaWAN device is shut out: its record is damaged; give it other keys", "device", d.cfg.Device, "error", err)
		}
		return nil
	})
	if err != nil {
		for _, d := range s.devices {
			*d = *newDevice(d.cfg, d.plan)
		}
		s.effects, s.done, s.journal = nil, nil, 0
		s.waiting.Store(0)
		return fmt.Errorf("lorawan: %w", err)
	}
	for _, d := range s.devices {
		if d.broken {
			d.now, d.next = nil, nil
			if d.cfg.joins() {
				delete(s.byEUI, d.cfg.DevEUI)
			}
			continue
		}
		if d.now == nil && !d.cfg.joins() {
			d.now = d.preset()
		}
		for _, n := range []*session{d.now, d.next} {
			if n != nil {
				s.index(n)
			}
		}
	}
	return nil
}

func (s *Server) appendState(b []byte, d *device) []byte {
	b = append(b, recordVersion)
	b = appendText(b, d.plan.region.Name())
	b = appendText(b, s.radios[d.radio])
	b = binary.BigEndian.AppendUint32(b, d.joinNonce)
	b = binary.BigEndian.AppendUint64(b, uint64(d.seen))
	b = binary.BigEndian.AppendUint64(b, uint64(d.asked))
	b = binary.BigEndian.AppendUint16(b, uint16(d.rssi))
	b = append(b, byte(d.snr), d.dr, d.battery, byte(d.margin))
	b = d.history.append(b)
	for _, n := range []*session{d.now, d.next} {
		if n == nil {
			b = append(b, 0)
			continue
		}
		b = n.append(append(b, 1))
	}
	return b
}

func (s *Server) readState(d *device, b []byte) error {
	r := reader{b: b}
	if r.byte() != recordVersion {
		return errRecord
	}
	sameRegion := r.text() == d.plan.region.Name()
	d.radio = s.radioNumber(r.text())
	d.joinNonce = r.uint32()
	d.seen, d.asked = int64(r.uint64()), int64(r.uint64())
	d.rssi = int16(r.uint16())
	d.snr, d.dr, d.battery, d.margin = int8(r.byte()), r.byte(), r.byte(), int8(r.byte())
	d.history = r.history()
	for _, n := range []**session{&d.now, &d.next} {
		if r.byte() == 0 {
			continue
		}
		*n = r.session(d)
		if !sameRegion {
			d.history = history{}
			(*n).link, (*n).pending = defaults(d.plan.region), nil
		}
		if !d.cfg.joins() {
			(*n).app = d.cfg.AppSKey
		}
	}
	return r.done()
}

func (n *session) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(n.addr))
	b = append(append(b, n.nwk[:]...), n.app[:]...)
	b = binary.BigEndian.AppendUint32(b, n.up)
	b = binary.BigEndian.AppendUint32(b, n.down)
	b = append(append(b, n.mic[:]...), bit(n.heard))
	b = appendText(b, string(n.pending))
	return n.link.append(b)
}

func (r *reader) session(d *device) *session {
	n := &session{dev: d, addr: frame.DevAddr(r.uint32())}
	copy(n.nwk[:], r.take(16))
	copy(n.app[:], r.take(16))
	n.up, n.down = r.uint32(), r.uint32()
	copy(n.mic[:], r.take(4))
	n.heard = r.byte() != 0
	if p := r.text(); p != "" {
		n.pending = []byte(p)
	}
	n.link = r.link()
	return n
}

func (l *link) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, l.rx2Freq)
	b = append(b, l.rx1Delay, l.rx1Offset, l.rx2DR, l.dr, l.power, l.nbTrans, l.dutyCycle, l.txParam)
	for _, m := range l.mask {
		b = binary.BigEndian.AppendUint16(b, m)
	}
	b = append(b, byte(len(l.channels)))
	for _, f := range l.channels {
		b = binary.BigEndian.AppendUint32(b, f)
	}
	b = append(b, byte(len(l.downFreq)))
	for _, f := range slices.Sorted(maps.Keys(l.downFreq)) {
		b = binary.BigEndian.AppendUint32(b, f)
		b = binary.BigEndian.AppendUint32(b, l.downFreq[f])
	}
	return b
}

func (r *reader) link() link {
	l := link{rx2Freq: r.uint32(), rx1Delay: r.byte(), rx1Offset: r.byte(), rx2DR: r.byte(), dr: r.byte(), power: r.byte(),
		nbTrans: r.byte(), dutyCycle: r.byte(), txParam: r.byte()}
	for i := range l.mask {
		l.mask[i] = r.uint16()
	}
	for range r.byte() {
		l.channels = append(l.channels, r.uint32())
	}
	for range r.byte() {
		if l.downFreq == nil {
			l.downFreq = map[uint32]uint32{}
		}
		up := r.uint32()
		l.downFreq[up] = r.uint32()
	}
	return l
}

// appendQueue stores what is queued, and last states that the application has not
// heard of yet. Besides the time when an item expires there is how long that is
// from now, for boards that do not know what time it is.
func (s *Server) appendQueue(b []byte, d *device) []byte {
	now := s.tick()
	b = append(b, recordVersion, bit(!time.Now().Before(gateway.Earliest)))
	for _, i := range d.queue {
		b = appendText(b, i.id)
		b = appendText(b, i.tag)
		b = appendText(b, i.why)
		b = appendText(b, string(i.payload))
		b = append(b, i.port, byte(i.priority), bit(i.confirmed), byte(i.state), bit(i.final), i.sends)
		b = binary.BigEndian.AppendUint32(b, i.fcnt)
		b = binary.BigEndian.AppendUint64(b, uint64(i.until))
		b = binary.BigEndian.AppendUint64(b, uint64(max(i.expires-now, 0)))
	}
	return b
}

func (s *Server) readQueue(d *device, b []byte) error {
	r := reader{b: b}
	if r.byte() != recordVersion {
		return errRecord
	}
	known := r.byte() != 0 && !time.Now().Before(gateway.Earliest) // the time, then and now
	for len(r.b) > 0 && !r.bad {
		s.sequence++
		i := &item{order: s.sequence, expires: never}
		i.id, i.tag, i.why, i.payload = r.text(), r.text(), r.text(), []byte(r.text())
		i.port, i.priority, i.confirmed = r.byte(), int8(r.byte()), r.byte() != 0
		i.state, i.final, i.sends = State(r.byte()), r.byte() != 0, r.byte()
		i.fcnt, i.until = r.uint32(), int64(r.uint64())
		left := time.Duration(r.uint64())
		if i.until != 0 {
			i.expires = s.tick() + left
			if known {
				i.expires = s.tick() + time.Until(time.UnixMilli(i.until))
			}
		}
		if i.confirmed && i.sends > 0 && !i.final { // it may have been sent
			i.waiting, i.sentAt = true, -classCAck/2 // before any uplink that comes now began
		}
		d.queue = append(d.queue, i)
		if i.final && !r.bad {
			s.effect(effect{dev: d, item: i, state: s.stateOf(d, i, i.state, i.why)})
		}
	}
	return r.done()
}
