package semtech

import (
	"fmt"
	"net/netip"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/semtech/gwmp"
)

// gateway is one packet forwarder. Server.mu guards it.
type gateway struct {
	eui     gwmp.EUI
	name    string
	version uint8
	about   string         // what it says of itself
	down    netip.AddrPort // of the last PULL_DATA
	pulled  time.Time      // when that was
	heard   time.Time      // the last datagram; zero: none
	since   time.Time      // of heard without a silence; before, of the start
	warned  time.Time      // of a second host
	answers bool           // it has sent a TX_ACK
	free    time.Time      // when the last immediate transmission has left
	pending map[gwmp.Token]chan gwmp.Ack
	count   radio.Counts
}

func (g *gateway) heardAt(now time.Time, version uint8) {
	if g.heard.IsZero() || now.Sub(g.heard) >= silence {
		g.since = now
	}
	g.heard, g.version = now, version
}

func (g *gateway) status(now time.Time) radio.Status {
	st := radio.Status{Radio: g.name, Since: g.since, Count: g.count}
	if g.heard.IsZero() {
		return st
	}
	st.State = radio.OK
	st.Chip = fmt.Sprintf("packet forwarder v%d", g.version)
	if g.about != "" {
		st.Chip += ", " + g.about
	}
	if quiet := g.heard.Add(silence); !now.Before(quiet) {
		st.State, st.Since = radio.Failing, quiet
		st.Err = fmt.Errorf("semtech: %w: nothing was heard of the packet forwarder for %v", radio.ErrDown, silence)
	}
	return st
}

// took counts a frame.
func (g *gateway) took(r *gwmp.Rxpk) {
	switch r.CRC {
	case radio.CRCOK:
		g.count.Received++
	case radio.CRCBad:
		g.count.BadCRC++
	default:
		g.count.NoCRC++
	}
}

// told takes a report. Frames that the forwarder kept to itself count as those
// with a bad checksum: as delivered it forwards only those with a right one.
func (g *gateway) told(st *gwmp.Stat) {
	g.about = st.Descriptor
	if st.Platform != "" {
		if g.about != "" {
			g.about += ", "
		}
		g.about += st.Platform
	}
	const most = 1 << 20 // in 30 s
	if kept := st.Received - st.Forwarded; st.Received > st.Forwarded && kept < most {
		g.count.BadCRC += uint64(kept)
	}
}
