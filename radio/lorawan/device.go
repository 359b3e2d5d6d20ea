package lorawan

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"fieldgate/radio/lorawan/frame"
)

// device is a device with what the server remembers of it. All of it is guarded by
// Server.mu. There are many of them: what only few need at a time is behind a
// pointer.
type device struct {
	cfg  *Device
	plan *plan
	key  string // of its records in the table

	now  *session // with which it was heard, or that of the factory
	next *session // after a join, until it is heard with it

	nonces    nonces
	joinNonce uint32 // the last that was used
	queue     []*item
	window    *window
	radio     uint16 // by which it was heard best, see Server.radios; 0: not yet

	dirty       dirty
	flights     uint8 // downlinks that are on their way to a radio
	failures    uint8 // downlinks of class C, in a row, that no radio took
	undelivered uint32
	unkept      bool // the application does not vouch for the last uplink
	joining     bool // it may have taken the keys of next already
	broken      bool // its record is damaged: what it used up is not known

	heap int           // position in Server.due, -1: not in it
	due  time.Duration // when something is to be done

	lastAt     time.Duration   // of its last frame
	quietUntil time.Duration   // class C: no downlink before, because of the windows
	retryAt    time.Duration   // class C: no downlink before, because the last one failed
	askStatus  time.Duration   // no DevStatusReq before
	said       [remarks]uint32 // when it was said last, s; see say
	repeats    uint8           // retransmissions of the last frame

	seen    int64 // s since 1970, of its last uplink; 0: never
	asked   int64 // s since 1970, of its last DevStatusAns; 0: never
	rssi    int16
	snr     int8 // dB/4
	dr      uint8
	battery uint8
	margin  int8
	history history
}

// session is a device's address, keys, counters and settings.
type session struct {
	dev      *device
	sibling  *session // another with the same address
	addr     frame.DevAddr
	nwk, app frame.Key
	up       uint32 // the counter of the last uplink, if heard
	down     uint32 // the counter of the next downlink
	mic      [4]byte
	heard    bool
	link     link
	pending  []byte // MAC commands of the last downlink that are to be answered
	asks     asks
}

// dirty says which records of a device are not on disk yet.
type dirty uint8

const (
	dirtyState dirty = 1 << iota
	dirtyNonces
	dirtyQueue
)

func newDevice(cfg *Device, p *plan) *device {
	d := &device{cfg: cfg, plan: p, heap: -1, battery: frame.BatteryUnknown, lastAt: -time.Hour}
	// The records are those of the key: with another, other counters and nonces are used.
	h := sha256.New()
	if cfg.joins() {
		h.Write(cfg.AppKey[:])
		d.key = cfg.DevEUI.String()
	} else {
		h.Write(cfg.NwkSKey[:])
		d.key = cfg.DevAddr.String()
	}
	d.key += "-" + hex.EncodeToString(h.Sum(nil)[:6])
	return d
}

// joins reports whether the device is an OTAA device.
func (d *Device) joins() bool { return !d.AppKey.Zero() }

func (d *Device) classC() bool { return d.Class == ClassC }

// sends is how often a confirmed downlink is sent at most.
func (d *Device) sends() uint8 {
	switch {
	case d.Retries < 0:
		return 1
	case d.Retries == 0:
		return 1 + defaultRetries
	}
	return uint8(min(1+d.Retries, 200))
}

// preset is the session of an ABP device that was never heard.
func (d *device) preset() *session {
	l := defaults(d.plan.region)
	if d.cfg.Preset != nil {
		if p, err := newPlan(d.plan.region, d.cfg.Preset); err == nil { // New has checked it
			l = p.link.clone()
			if p.single {
				l.dr = p.singleDR
			}
		}
	}
	return &session{dev: d, addr: d.cfg.DevAddr, nwk: d.cfg.NwkSKey, app: d.cfg.AppSKey, link: l}
}

// index makes a session known by its address.
func (s *Server) index(n *session) {
	n.sibling = s.sessions[n.addr]
	s.sessions[n.addr] = n
}

// forget takes a session out of the index.
func (s *Server) forget(n *session) {
	if n == nil {
		return
	}
	if s.sessions[n.addr] == n {
		if n.sibling == nil {
			delete(s.sessions, n.addr)
		} else {
			s.sessions[n.addr] = n.sibling
		}
		return
	}
	for at := s.sessions[n.addr]; at != nil; at = at.sibling {
		if at.sibling == n {
			at.sibling = n.sibling
			return
		}
	}
}

// radioNumber gives a radio's name a number, so that devices need not keep it.
func (s *Server) radioNumber(name string) uint16 {
	if n, ok := s.radioNumbers[name]; ok {
		return n
	}
	if len(s.radios) > 1<<15 {
		return 0
	}
	n := uint16(len(s.radios))
	s.radios = append(s.radios, name)
	s.radioNumbers[name] = n
	return n
}

// change marks records of d as to be written. With the next write they are.
func (s *Server) change(d *device, what dirty) {
	if d.dirty == 0 {
		s.changed = append(s.changed, d)
	}
	d.dirty |= what
}
