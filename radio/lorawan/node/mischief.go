package node

import "slices"

// Replay gives the last frame once more as it was, counter or nonce, channel and
// all, as somebody would who recorded it. The windows are those of an uplink.
func (n *Node) Replay() Uplink {
	n.mu.Lock()
	defer n.mu.Unlock()
	u := n.last
	u.Frame = slices.Clone(u.Frame)
	n.open = true
	return u
}

// SetDevNonce has the next join request take a nonce, used or not; those behind it
// count from there. It ends RandomNonce.
func (n *Node) SetDevNonce(next uint16) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.devNonce, n.c.RandomNonce = next, false
}

// SetFCntUp has the next uplink take a counter: an old one, one far ahead, or one
// shortly before the low half begins again.
func (n *Node) SetFCntUp(next uint32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.up = uint64(next)
}

// SetFCntDown has the device take downlinks from a counter on.
func (n *Node) SetFCntDown(next uint32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = uint64(next)
}

// BreakMIC has the next frame go out with a wrong MIC.
func (n *Node) BreakMIC() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.badMIC = true
}

// Restart has the device forget all that a device without non-volatile memory
// forgets: its session, or with ABP its counters, and what the network told it. It
// still knows which DevNonces it used.
func (n *Node) Restart() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reset()
	n.last = Uplink{}
	n.joined, n.up, n.down = n.c.ABP, 0, 0
}
