package raw

import "sync/atomic"

// Reason says why a frame has no uplink.
type Reason uint8

// The reasons.
const (
	Accepted      Reason = iota // it has one
	Duplicate                   // of a frame that came before
	BadCRC                      // the checksum was wrong
	NoCRC                       // the sender sent none: nothing vouches for the frame
	Malformed                   // nothing in it, or too much
	NoRule                      // no rule takes it
	UnknownSource               // a header with a source that no rule has
	Foreign                     // for another destination
	NotData                     // an acknowledgement, or a request to send
	FromGateway                 // another gateway's downlink
	IsEncrypted                 // the flag Encrypted: there is no key for it
	HasAppKey                   // the flag AppKey: application keys are not supported
	Overload                    // more frames than can be handled
	reasons
)

var reasonNames = [reasons]string{
	"accepted", "duplicate", "bad_crc", "no_crc", "malformed", "no_rule", "unknown_source", "foreign", "not_data", "from_gateway",
	"encrypted", "app_key", "overload",
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
	Frames         uint64 // that Receive got
	Uplinks        uint64 // that were new and kept
	Lost           uint64 // uplinks that OnUplink could not keep
	Acknowledged   uint64 // acknowledgements that a radio has sent
	Unacknowledged uint64 // that no radio sent
	Downlinks      uint64 // of Send
	Unsent         uint64
	Refused        map[Reason]uint64 // only those that happened
}

type counters struct {
	frames, uplinks, lost, acknowledged, unacknowledged, downlinks, unsent atomic.Uint64
	refused                                                                [reasons]atomic.Uint64
}

// Stats gives the counts. It may be called from any goroutine.
func (s *Server) Stats() Stats {
	c := &s.count
	st := Stats{
		Frames: c.frames.Load(), Uplinks: c.uplinks.Load(), Lost: c.lost.Load(), Acknowledged: c.acknowledged.Load(),
		Unacknowledged: c.unacknowledged.Load(), Downlinks: c.downlinks.Load(), Unsent: c.unsent.Load(), Refused: map[Reason]uint64{},
	}
	for r := Accepted + 1; r < reasons; r++ {
		if n := c.refused[r].Load(); n > 0 {
			st.Refused[r] = n
		}
	}
	return st
}
