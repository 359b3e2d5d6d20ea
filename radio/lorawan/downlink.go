package lorawan

import (
	"fmt"
	"slices"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
)

// outgoing is a downlink with a counter of its own, whose places are tried one
// after the other.
type outgoing struct {
	dev     *device
	session *session // nil: a join accept
	bytes   []byte
	fcnt    uint32
	item    *item // nil: MAC commands or an acknowledgement only
	tries   []attempt
	classC  bool
	// commands: it has MAC commands that are to be answered.
	commands bool
}

// attempt is a place for a downlink.
type attempt struct {
	window string // "RX1", "RX2"
	radio  string
	slot
	counter uint32
	at      time.Time
	now     bool
}

// latest is when its last window opens.
func (o *outgoing) latest() time.Time {
	var at time.Time
	for _, a := range o.tries {
		if a.at.After(at) {
			at = a.at
		}
	}
	return at
}

// decide makes the downlink of a window, if there is anything to say.
func (s *Server) decide(d *device, w *window) {
	if w.session == nil {
		l := defaults(d.plan.region)
		s.launch(&outgoing{dev: d, bytes: w.accept, tries: w.attempts(d.plan.rx1(&l, w.best.Frequency, w.dr), d.plan.rx2(&l), len(w.accept))})
		return
	}
	n := w.session
	if n != d.now { // it has joined meanwhile
		return
	}
	ack := w.ack
	if ack && (d.undelivered > 0 || d.unkept) { // nobody vouches for it
		if !d.unkept && !w.late { // yet: there is RX2 still
			w.late, w.decide = true, w.decide+rx2Later
			d.window = w
			return
		}
		ack = false // the device will ask again
		s.count.unacknowledged.Add(1)
	}
	rx1, rx2 := d.plan.rx1(&n.link, w.best.Frequency, w.dr), d.plan.rx2(&n.link)
	if w.late {
		rx1 = slot{}
	}
	answers := s.answers(w)
	it := d.pick(max(rx1.size, rx2.size))
	if w.repeat && it != nil && !it.confirmed { // whoever plays an uplink back must not have it sent to nobody
		it = nil
	}
	requests := s.requests(d, n, w, !ack && !w.answer && len(answers) == 0 && it == nil)
	if !ack && !w.answer && len(answers) == 0 && len(requests) == 0 && it == nil {
		return
	}
	data := frame.Data{Kind: frame.UnconfirmedDown, DevAddr: n.addr, ADR: d.cfg.ADR && !d.plan.single, ACK: ack, FPort: frame.NoFPort}
	room := frame.MaxFOpts
	size := rx1.size
	if size == 0 || it != nil && size < len(it.payload) {
		size = rx2.size
	}
	if it != nil {
		room = min(room, size-len(it.payload))
		data.FPort, data.Payload = int(it.port), it.payload
		if it.confirmed {
			data.Kind = frame.ConfirmedDown
		}
	} else if len(frame.AppendCommands(nil, answers...))+len(frame.AppendCommands(nil, slices.Concat(requests...)...)) > room {
		room = size
	}
	sent, left := fit(answers, requests, room)
	commands := frame.AppendCommands(nil, sent...)
	if len(commands) > frame.MaxFOpts {
		data.FPort, data.Payload = 0, commands
	} else {
		data.FOpts = commands
	}
	data.Pending = left || d.more(it, max(rx1.size, rx2.size))
	o := s.build(d, n, &data, it)
	if o == nil {
		return
	}
	if it != nil {
		it.answered = ack
	}
	o.commands = n.await(sent)
	o.tries = w.attempts(rx1, rx2, len(data.FOpts)+len(data.Payload))
	s.launch(o)
}

// attempts are the places where a downlink of size bytes can go: RX1, then RX2,
// each by the radio that heard the device best and by the next best one.
func (w *window) attempts(rx1, rx2 slot, size int) []attempt {
	var tries []attempt
	for i, sl := range []slot{rx1, rx2} {
		if sl.size == 0 || size > sl.size && w.session != nil {
			continue
		}
		delay, name := w.delay+time.Duration(i)*rx2Later, [...]string{"RX1", "RX2"}[i]
		for _, f := range []*radio.Frame{w.best, w.other} {
			if f != nil {
				at := f.At
				if at.IsZero() {
					at = time.Now()
				}
				tries = append(tries, attempt{window: name, radio: f.Radio, slot: sl,
					counter: f.Counter + uint32(delay.Microseconds()), at: at.Add(delay)})
			}
		}
	}
	return tries
}

// build makes the frame and takes its counter.
func (s *Server) build(d *device, n *session, data *frame.Data, it *item) *outgoing {
	if n.down == 1<<32-1 {
		s.cfg.Log.Error("LoRaWAN device has no downlink counter left; it must join again", "device", d.cfg.Device)
		return nil
	}
	b, err := data.Append(nil, n.nwk, n.app, n.down)
	if err != nil {
		s.cfg.Log.Error("LoRaWAN downlink cannot be made", "device", d.cfg.Device, "error", err)
		return nil
	}
	o := &outgoing{dev: d, session: n, bytes: b, fcnt: n.down, item: it}
	n.down++
	s.change(d, dirtyState)
	if it != nil {
		it.flying, it.fcnt = true, o.fcnt
		it.sends++
		s.change(d, dirtyQueue)
	}
	return o
}

// sendNow sends what is queued for a device of class C, which listens on RX2.
func (s *Server) sendNow(d *device, now time.Duration) {
	n := d.now
	sl := d.plan.rx2(&n.link)
	it := d.pick(sl.size)
	if it == nil {
		d.retryAt = now + time.Minute // what there is does not fit
		return
	}
	data := frame.Data{Kind: frame.UnconfirmedDown, DevAddr: n.addr, ADR: d.cfg.ADR && !d.plan.single, FPort: int(it.port), Payload: it.payload,
		Pending: d.more(it, sl.size)}
	if it.confirmed {
		data.Kind = frame.ConfirmedDown
	}
	o := s.build(d, n, &data, it)
	if o == nil {
		d.retryAt = now + time.Hour
		return
	}
	o.classC = true
	o.tries = []attempt{{window: "RX2", radio: s.radios[d.radio], slot: sl, at: time.Now(), now: true}}
	s.launch(o)
}

// launch sends a downlink as soon as what it uses up is on disk.
func (s *Server) launch(o *outgoing) {
	o.dev.flights++
	s.flights++
	s.effect(effect{dev: o.dev, send: o})
	s.write.now()
}

// id names the downlink in logs.
func (o *outgoing) id() string {
	if o.session == nil {
		return o.dev.cfg.Device + "/join"
	}
	return fmt.Sprintf("%s/%d", o.dev.cfg.Device, o.fcnt)
}
