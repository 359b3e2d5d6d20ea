package lorawan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/region"
)

// join takes a join request.
func (s *Server) join(h heard) outcome {
	j, err := frame.ParseJoin(h.Payload)
	if err != nil {
		return s.refuse(Malformed, h.Frame, "", "error", err)
	}
	d := s.byEUI[j.DevEUI]
	switch {
	case d == nil:
		return s.refuse(UnknownDevice, h.Frame, "", "dev_eui", j.DevEUI, "join_eui", j.JoinEUI)
	case d.cfg.JoinEUI != frame.EUI{} && d.cfg.JoinEUI != j.JoinEUI:
		return s.refuse(WrongJoinEUI, h.Frame, d.cfg.Device, "dev_eui", j.DevEUI, "join_eui", j.JoinEUI)
	case !frame.CheckJoin(h.Payload, d.cfg.AppKey):
		s.say(d, saidKeys, "LoRaWAN join request with a wrong MIC: the device has another AppKey, or somebody uses its DevEUI", "dev_eui", j.DevEUI)
		return s.refuse(WrongMIC, h.Frame, d.cfg.Device, "dev_eui", j.DevEUI)
	}
	highest, any := d.nonces.highest()
	if d.nonces.has(j.DevNonce) && h.at < d.lastAt+retransmit {
		return s.refuse(Late, h.Frame, d.cfg.Device)
	}
	used := d.nonces.has(j.DevNonce) || d.cfg.Version >= V104 && any && j.DevNonce <= highest
	if used && d.cfg.NonceReset && h.at < d.lastAt+region.JoinDelay2 {
		return s.refuse(Late, h.Frame, d.cfg.Device)
	}
	if used && !d.cfg.NonceReset {
		s.say(d, saidCounter, "LoRaWAN device joins with a DevNonce that was used: it has forgotten which were", "dev_eui", j.DevEUI, "dev_nonce", j.DevNonce)
		return s.refuse(UsedNonce, h.Frame, d.cfg.Device, "dev_eui", j.DevEUI, "dev_nonce", j.DevNonce)
	}
	nonce, addr, err := s.newJoinNonce(d), frame.DevAddr(0), error(nil)
	if nonce < 1<<24 {
		addr, err = s.newDevAddr()
	}
	if nonce >= 1<<24 || err != nil {
		return s.refuse(NonceLimit, h.Frame, d.cfg.Device, "dev_eui", j.DevEUI, "error", err)
	}
	p := d.plan
	accept := frame.Accept{JoinNonce: nonce, NetID: s.cfg.NetID, DevAddr: addr, RX1Offset: p.rx1Offset, RX2DataRate: p.rx2DR,
		RxDelay: p.rx1Delay, CFList: p.cfList}
	b, err := accept.Append(nil, d.cfg.AppKey)
	if err != nil {
		s.cfg.Log.Error("LoRaWAN join accept cannot be made", "device", d.cfg.Device, "error", err)
		return outcome{device: d.cfg.Device}
	}
	n := &session{dev: d, addr: addr, link: p.joined()}
	n.nwk, n.app = frame.SessionKeys(d.cfg.AppKey, nonce, s.cfg.NetID, j.DevNonce)
	d.nonces, d.joinNonce = d.nonces.with(j.DevNonce), nonce
	s.forget(d.next)
	d.next = n
	s.index(n)
	s.change(d, dirtyState|dirtyNonces)
	s.copies.put(h.hash, h.at, d)
	s.count.joins.Add(1)
	d.lastAt, d.joining = h.at, true
	s.note(d, h)
	s.say(d, saidJoin, "LoRaWAN device joins", "dev_eui", j.DevEUI, "addr", addr, "radio", h.Radio)

	w := newWindow(h)
	w.accept, w.delay = b, region.JoinDelay1
	w.setDecide(s.cfg.Lead)
	d.window = w
	s.quiet(d, w)
	s.schedule(d)
	s.write.soon()
	return outcome{device: d.cfg.Device}
}

// newJoinNonce gives the next nonce of d. It goes on from the last one, or from
// the minutes since 2026 if the clock is good and they are more: with a table that
// was lost, nonces are not used again. 2^24 and more: none is left.
func (s *Server) newJoinNonce(d *device) uint32 {
	n := d.joinNonce + 1
	if s.cfg.Clock != nil {
		if c := s.cfg.Clock.Now(); c.Quality == gateway.ClockSynced {
			minutes := c.Wall.Sub(gateway.Earliest) / time.Minute
			n = max(n, uint32(min(max(minutes, 0), 1<<24-1<<16)))
		}
	}
	return n
}

// errNoAddr: the addresses of the NetID are taken.
var errNoAddr = errors.New("no DevAddr is left")

// newDevAddr gives an address of the NetID that no device has.
func (s *Server) newDevAddr() (frame.DevAddr, error) {
	var b [4]byte
	for range 1000 {
		if _, err := io.ReadFull(s.cfg.Rand, b[:]); err != nil {
			return 0, fmt.Errorf("lorawan: random: %w", err)
		}
		a := devAddr(s.cfg.NetID, binary.BigEndian.Uint32(b[:]))
		if s.sessions[a] == nil {
			return a, nil
		}
	}
	return 0, errNoAddr
}

// netIDTypes has, for each type of NetID, the bits of the NwkID and those of the
// address within the network (LoRaWAN Backend Interfaces 1.0, table 3).
var netIDTypes = [8][2]uint8{{6, 25}, {6, 24}, {9, 20}, {11, 17}, {12, 15}, {13, 13}, {15, 10}, {17, 7}}

// devAddr is an address in a network. The type's prefix comes first: as many ones
// as the type's number, and a zero.
func devAddr(netID, n uint32) frame.DevAddr {
	kind := netID >> 21
	nwkID, own := netIDTypes[kind][0], netIDTypes[kind][1]
	prefix := ^uint32(0) << (32 - kind) // 0 for type 0, as a shift by 32 is
	return frame.DevAddr(prefix | netID&(1<<nwkID-1)<<own | n&(1<<own-1))
}
