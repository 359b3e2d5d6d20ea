package uplink

import (
	"fieldgate/gateway"
)

// parcel is one publish on its way.
type parcel struct {
	message
	covers  gateway.Range // records that are acknowledged with it; From > To: none
	about   gateway.Range // records that it is made of, or part of (a batch)
	batch   bool
	back    bool    // of the backlog stream
	receipt receipt // nil: nothing is asked yet that would answer for it
}

// lane writes parcels in order. What is to be asked for at QoS 0 it sends in
// groups with a round trip behind each, whose answer counts for the group.
type lane struct {
	conn  *conn
	group int       // parcels with one round trip, at most
	open  []*parcel // sent, with no round trip behind them yet
	count int64     // parcels that went out
}

// send writes p; it leaves with push.
func (l *lane) send(p *parcel) {
	if !p.asked {
		l.ask()
	}
	r := l.conn.write(&p.message)
	l.count++
	if !p.asked || r.err != nil {
		p.receipt = r
		return
	}
	if l.open = append(l.open, p); len(l.open) >= l.group {
		l.ask()
	}
}

// ask sends a round trip behind the parcels that have none.
func (l *lane) ask() {
	if len(l.open) == 0 {
		return
	}
	r := l.conn.writeAsk()
	for i, p := range l.open {
		p.receipt = r
		l.open[i] = nil
	}
	l.open = l.open[:0]
}

// push has everything leave.
func (l *lane) push() {
	l.ask()
	l.conn.push()
}

// done reports whether the outcome of p is known.
func (p *parcel) done() bool {
	if p.receipt == nil {
		return false
	}
	select {
	case <-p.receipt.Done():
		return true
	default:
		return false
	}
}

// completed reports whether the cloud has acknowledged p.
func (p *parcel) completed() bool { return p.done() && p.receipt.Error() == nil }
