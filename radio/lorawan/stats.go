package lorawan

import "sync/atomic"

// Reason says why a frame was not taken.
type Reason uint8

// The reasons.
const (
	NoCRC          Reason = iota // the sender sent no checksum
	BadCRC                       // the checksum was wrong
	Malformed                    // no LoRaWAN frame, or a damaged one
	Foreign                      // a downlink of another gateway, a rejoin request, a proprietary frame
	UnknownDevice                // a join request of a DevEUI that is not known
	UnknownAddress               // a DevAddr that is not known
	WrongJoinEUI                 // a join request for another join server
	WrongMIC                     // a known device's DevEUI or DevAddr, another key
	Replayed                     // a counter that was used
	Gap                          // a counter too far ahead
	UsedNonce                    // a DevNonce that was used
	NonceLimit                   // no JoinNonce or DevAddr is left
	UnknownRate                  // no data rate or frequency of the region
	Late                         // another copy that came too late to be one
	Overload                     // more frames than can be handled
	Unready                      // the devices' records cannot be read yet
	reasons
)

var reasonNames = [reasons]string{
	"no_crc", "bad_crc", "malformed", "foreign", "unknown_device", "unknown_address", "wrong_join_eui", "wrong_mic",
	"replayed", "gap", "used_nonce", "nonce_limit", "unknown_rate", "late", "overload", "unready",
}

// String is the reason as it is called in metrics.
func (r Reason) String() string {
	if r < reasons {
		return reasonNames[r]
	}
	return "unknown"
}

// Stats are counts since the start.
type Stats struct {
	Frames          uint64 // that Receive got
	Uplinks         uint64 // that were new
	Joins           uint64
	Copies          uint64 // of uplinks and join requests heard by several radios
	Retransmissions uint64 // that devices sent again
	Downlinks       uint64 // that a radio has sent, join accepts included
	Unsent          uint64 // downlinks that no window took, or of which that is not known
	Unacknowledged  uint64 // confirmed uplinks whose OnUplink was not back in time
	Writes          uint64 // of the table
	WriteErrors     uint64
	Refused         map[Reason]uint64 // only those that happened
}

type counters struct {
	frames, uplinks, joins, copies, retransmissions, downlinks, unsent, unacknowledged, writes, writeErrors atomic.Uint64
	refused                                                                                                 [reasons]atomic.Uint64
}

// Stats gives the counts. It may be called from any goroutine.
func (s *Server) Stats() Stats {
	c := &s.count
	st := Stats{
		Frames: c.frames.Load(), Uplinks: c.uplinks.Load(), Joins: c.joins.Load(), Copies: c.copies.Load(),
		Retransmissions: c.retransmissions.Load(), Downlinks: c.downlinks.Load(), Unsent: c.unsent.Load(),
		Unacknowledged: c.unacknowledged.Load(), Writes: c.writes.Load(), WriteErrors: c.writeErrors.Load(),
		Refused: map[Reason]uint64{},
	}
	for r := range reasons {
		if n := c.refused[r].Load(); n > 0 {
			st.Refused[r] = n
		}
	}
	return st
}
