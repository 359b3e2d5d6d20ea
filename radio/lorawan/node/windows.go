package node

import (
	"context"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/sim"
)

// Listening is for sim.Air.
func (r *Runner) Listening() (sim.Listening, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.listening, r.on
}

// Hear is for sim.Air.
func (r *Runner) Hear(rec sim.Reception) {
	select {
	case r.heard <- rec:
	default: // a chip has one buffer
	}
}

// tune listens as w says from now on.
func (r *Runner) tune(w Window) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := radio.Tuning{Frequency: w.Frequency, Modulation: w.Modulation, SyncWord: r.c.SyncWord}
	if r.on && r.listening.Tuning == t {
		return // it goes on
	}
	r.listening, r.on = sim.Listening{Tuning: t, InvertIQ: true, Since: time.Now()}, true
}

// rest listens as the device does outside of RX1 and RX2.
func (r *Runner) rest() {
	if w, ok := r.n.ClassC(); ok {
		r.tune(w)
		return
	}
	r.deafen()
}

func (r *Runner) deafen() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on = false
}

// symbols of a preamble within which a window that hears nothing closes.
const symbols = 8

// early is by how much a receiver is on before its window, so that timers may be
// late.
const early = 2 * time.Millisecond

// transmit sends one frame and listens in its windows, to the second one only if
// nothing came in the first.
func (r *Runner) transmit(ctx context.Context, u Uplink) error {
	r.deafen()
	r.end = r.antenna.Send(sim.Emission{
		Payload: u.Frame, Frequency: u.Frequency, Modulation: u.Modulation, SyncWord: r.c.SyncWord, CRC: true, Power: float64(u.Power),
	})
	r.log.Debug("uplink", "frequency", u.Frequency, "rate", u.DataRate, "join", u.Join, "fcnt", u.FCnt, "bytes", len(u.Frame))
	if err := r.wait(ctx, r.end); err != nil {
		return err
	}
	r.rest()
	rx1, rx2 := r.n.Windows()
	for _, w := range []Window{rx1, rx2} {
		opens, slack := r.end.Add(w.Delay), r.n.c.Slack
		if err := r.wait(ctx, opens.Add(-early-slack)); err != nil {
			return err
		}
		if r.answered() {
			return nil
		}
		if time.Now().After(opens.Add(Tolerance(w.Modulation) + slack)) {
			continue // the frame in the first one took too long
		}
		r.tune(w)
		if err := r.wait(ctx, opens.Add(symbols*w.Symbol()+slack)); err != nil {
			return err
		}
		if err := r.linger(ctx, w); err != nil {
			return err
		}
		r.rest()
		if r.answered() {
			return nil
		}
	}
	return nil
}

// answered reports whether RX1 or RX2 had a downlink.
func (r *Runner) answered() bool {
	for _, d := range r.exchange.Downlinks {
		if d.Window != 0 {
			return true
		}
	}
	return false
}

// linger waits until the frame that is being received is there.
func (r *Runner) linger(ctx context.Context, w Window) error {
	for {
		l, on := r.Listening()
		busy := on && r.antenna.Activity(l).Receiving
		if err := r.wait(ctx, time.Now().Add(symbols*w.Symbol()+early)); err != nil || !busy {
			return err
		}
	}
}

// wait hears what comes until then. The error is that of ctx.
func (r *Runner) wait(ctx context.Context, until time.Time) error {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case rec := <-r.heard:
			r.hear(rec)
		case <-t.C:
			return nil
		}
	}
}

// hear gives the device a frame.
func (r *Runner) hear(rec sim.Reception) (Downlink, bool) {
	got := Received{Frame: rec.Payload, Frequency: rec.Frequency, Modulation: rec.Modulation, After: rec.Start.Sub(r.end), SNR: rec.SNR}
	d, err := r.n.Downlink(got)
	if err != nil {
		r.log.Debug("downlink ignored", "err", err)
		if r.c.Ignored != nil {
			r.c.Ignored(got, err)
		}
		return d, false
	}
	r.log.Debug("downlink", "window", d.Window, "fcnt", d.FCnt, "port", d.Port, "ack", d.ACK, "joined", d.Joined)
	if r.exchange != nil {
		r.exchange.ACK = r.exchange.ACK || d.ACK
		r.exchange.Joined = r.exchange.Joined || d.Joined
		r.exchange.Downlinks = append(r.exchange.Downlinks, d)
	}
	if r.c.Heard != nil {
		r.c.Heard(d)
	}
	return d, true
}
