package sx127x

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fieldgate/radio"
)

// latest is how late a frame may leave: a device listens for some milliseconds.
const latest = 5 * time.Millisecond

// transmit sends e at its time, and has the chip receive again. The error is one
// of the chip; e has its own.
func (s *session) transmit(ctx context.Context, e *entry) error {
	err := s.prepare(e)
	if err != nil {
		s.r.queue.finish(fmt.Errorf("%w: %w", radio.ErrDown, err))
		return err
	}
	waitUntil(e.due)
	if late := time.Since(e.due); late > latest {
		s.r.queue.finish(fmt.Errorf("%w: by %v", radio.ErrTooLate, late))
		return s.listen()
	}
	err = s.h.put(regOpMode, s.r.mode(opTX))
	if err == nil {
		err = s.sent(ctx, e)
	}
	if err != nil {
		s.r.queue.finish(fmt.Errorf("%w: %w", radio.ErrDown, err))
		return err
	}
	err = s.listen()
	s.r.note(func(st *radio.Status) { st.Count.Sent++ })
	s.r.queue.finish(nil)
	return err
}

// prepare ends receiving and leaves the chip so that it sends as soon as its mode
// is TX. What is written is read back: a wrong bit would be another frequency.
func (s *session) prepare(e *entry) error {
	if err := s.h.put(regOpMode, s.r.mode(opStandby)); err != nil {
		return err
	}
	if err := s.poll(time.Time{}); err != nil { // one that has come just now
		return err
	}
	settings := append(modem(e.air), power(e.power, s.r.c.RFO)...)
	settings = append(settings,
		write{regDioMapping1, []byte{dio0TxDone}},
		write{regPayloadLength, []byte{byte(len(e.payload))}})
	if err := s.h.putAll(settings); err != nil {
		return err
	}
	if err := s.h.verify(settings); err != nil {
		return err
	}
	return s.h.putAll([]write{
		{regIRQFlags, []byte{0xff}},
		{regFIFOAddrPtr, []byte{0}},
		{regFIFO, e.payload},
	})
}

// errNoEnd: the chip does not say that the frame has been sent.
var errNoEnd = errors.New("the frame does not end")

// sent waits for the end of the frame.
func (s *session) sent(ctx context.Context, e *entry) error {
	deadline := e.due.Add(e.airtime + txMargin)
	timer := time.NewTimer(time.Until(e.due.Add(e.airtime)))
	defer timer.Stop()
	for {
		select {
		case <-s.edges:
		case <-timer.C:
			timer.Reset(time.Millisecond)
		case <-ctx.Done():
			return ctx.Err()
		}
		flags, err := s.flags()
		switch {
		case err != nil:
			return err
		case flags&irqTxDone != 0:
			return nil
		case time.Now().After(deadline):
			return errNoEnd
		}
	}
}

// listen has the chip receive.
func (s *session) listen() error {
	settings := append(modem(s.r.rx), write{regDioMapping1, []byte{dio0RxDone}}, write{regIRQFlags, []byte{0xff}})
	if err := s.h.putAll([]write{{regOpMode, []byte{s.r.mode(opStandby)}}}, settings); err != nil {
		return err
	}
	for {
		select {
		case <-s.edges: // of TxDone
			continue
		default:
		}
		break
	}
	if err := s.h.put(regOpMode, s.r.mode(opRXContinuous)); err != nil {
		return err
	}
	s.clean, s.listening, s.coming = time.Now(), time.Now(), false
	return nil
}
