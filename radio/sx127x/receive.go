package sx127x

import (
	"fmt"
	"slices"
	"time"

	"fieldgate/radio"
)

// flags reads the IRQ flags. The mask beside them shows whether it is the chip
// that answers.
func (s *session) flags() (byte, error) {
	b, err := s.h.read(regIRQMask, 2)
	if err != nil {
		return 0, err
	}
	if b[0] != irqUnused {
		return 0, fmt.Errorf("%w: the mask of its interrupts is 0x%02x, 0x%02x was written", errSettings, b[0], irqUnused)
	}
	return b[1], nil
}

// poll hands on the frames that have come. Edge is when DIO0 rose, zero if it did
// not. While one is read, another one can come, but not many.
func (s *session) poll(edge time.Time) error {
	for range 4 {
		asked := time.Now()
		flags, err := s.flags()
		if err != nil {
			return err
		}
		if flags&irqRxDone == 0 {
			s.clean = asked
			s.coming = flags&irqHeader != 0
			return nil
		}
		if err := s.frame(s.stamp(edge, asked)); err != nil {
			return err
		}
		edge = time.Time{}
	}
	return fmt.Errorf("%w: its interrupts cannot be cleared", errSettings)
}

// stamp is the time of a frame: that of the edge, unless it is older than the
// last look that found none.
func (s *session) stamp(edge, asked time.Time) time.Time {
	for {
		select {
		case edge = <-s.edges:
			continue
		default:
		}
		break
	}
	if edge.IsZero() || edge.Before(s.clean) {
		s.missed++
		return asked
	}
	s.missed = 0
	return edge
}

// frame reads the frame that has come and hands it on.
func (s *session) frame(at time.Time) error {
	b, err := s.h.read(regFIFORxCurrent, len(snapshot{}))
	if err != nil {
		return err
	}
	snap := snapshot(b)
	if snap.mask() != irqUnused {
		return fmt.Errorf("%w: the mask of its interrupts is 0x%02x, 0x%02x was written", errSettings, snap.mask(), irqUnused)
	}
	// Before the FIFO is read, so that the flag of a next frame stays: its bytes come
	// behind those of this one.
	if err := s.h.put(regIRQFlags, snap.flags()); err != nil {
		return err
	}
	b, err = s.h.read(regFEI, 3)
	if err != nil {
		return err
	}
	fei := [3]byte(b)
	n := snap.length()
	if n == 0 || snap.flags()&irqRxDone == 0 {
		return nil
	}
	if err := s.h.put(regFIFOAddrPtr, snap.start()); err != nil {
		return err
	}
	if b, err = s.h.read(regFIFO, n); err != nil {
		return err
	}
	r := s.r
	f := &radio.Frame{
		Payload:        slices.Clone(b),
		Frequency:      r.rx.frequency,
		Modulation:     r.rx.Modulation,
		RSSI:           snap.rssi(r.lf),
		SNR:            snap.snr(),
		FrequencyError: frequencyError(fei, r.rx.Bandwidth),
		Radio:          r.c.Name,
		Counter:        r.counter.At(at),
		At:             at,
		Private:        r.rx.syncWord == radio.SyncPrivate,
	}
	if rate := snap.rate(); rate >= 5 && rate <= 8 {
		f.CodingRate = rate
	}
	switch {
	case !snap.hasCRC():
		f.CRC = radio.CRCNone
	case snap.flags()&irqCRCError != 0:
		f.CRC = radio.CRCBad
	default:
		f.CRC = radio.CRCOK
	}
	r.note(func(st *radio.Status) {
		switch f.CRC {
		case radio.CRCOK:
			st.Count.Received++
		case radio.CRCBad:
			st.Count.BadCRC++
		default:
			st.Count.NoCRC++
		}
	})
	s.receive(f)
	return nil
}
