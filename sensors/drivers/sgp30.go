package drivers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fieldgate/sensors"
)

// Sensirion SGP30: volatile organic compounds (TVOC), and an equivalent of CO2
// that is estimated from them.
//
// Datasheet: Sensirion SGP30, version 1.0 of May 2020: ranges (section 1.1),
// sequence (6.2), commands (6.3, table 10), checksum (6.6).
//
// The chip has to be told to measure once a second: its algorithm learns what
// clean air is from every measurement. The interval of readings is longer, so
// this sampler is a sensors.Watcher: Watch measures each second (12 ms, for
// which it holds nobody up) and Sample gives the newest of these measurements.
// Where Watch does not run, as when a chip is read once, Sample measures itself.
//
// For 15 s after the start the chip sends 400 ppm and 0 ppb without measuring.
// Nothing is given during that time. After it the same values are measurements:
// those of clean air. Sample does not wait for its end, since other sensors are
// on the bus.
//
// Limits: what clean air is has to be learned for 12 hours, and anew after each
// opening. Humidity is not corrected for. A chip that lost its supply for less
// than a second between two measurements is not found out; it would have to be
// started again.
//
// Periph's sgp30 is not used. It ignores the checksum; it starts a goroutine
// that nobody can wait for and that only logs errors, so that the last values
// are given forever; before the first measurement it gives 400 ppm and 0 ppb; and
// it blocks for 20 s in NewI2C.
func init() {
	sensors.Register(sensors.Driver{
		Name:     "sgp30",
		Doc:      "Sensirion SGP30: TVOC 0 to 60000 ppb, ±15 %, eCO2 400 to 60000 ppm; measures each second; nothing for the first 16 s; I2C",
		Bus:      sensors.I2C,
		Options:  []sensors.Option{addressOption(0x58, 0x58, 0x58)},
		Channels: func(sensors.Options) []sensors.Channel { return gasChannels() },
		Open: func(ctx context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			c, err := openI2C(env, o, "sgp30")
			if err != nil {
				return nil, err
			}
			s := &sgp30{i2cChip: c, now: env.Now, turn: make(chan struct{}, 1)}
			open, err := c.sampler(s.ready(ctx), s.newest)
			if err != nil {
				return nil, err
			}
			return sgp30Watcher{open, s}, nil
		},
	})
}

// Commands, table 10; read only.
var (
	sgp30Features = []byte{0x20, 0x2f}
	sgp30Start    = []byte{0x20, 0x03}
	sgp30Measure  = []byte{0x20, 0x08}
)

const (
	sgp30CommandTime = 10 * time.Millisecond // of the first two
	sgp30MeasureTime = 12 * time.Millisecond
	sgp30WarmUp      = 16 * time.Second // 15, and the chip's clock may be slow
	sgp30Interval    = time.Second
	sgp30Fresh       = 1500 * time.Millisecond // up to which age Watch's measurement is the newest

	// sgp30Tries are made for one measurement, and sgp30Misses measurements in a
	// row may fail before Watch gives up: opening the chip anew costs it what it
	// has learned.
	sgp30Tries  = 3
	sgp30Again  = 100 * time.Millisecond
	sgp30Misses = 5
)

// sgp30Watcher is an opened chip. Watch and Sample run in goroutines of their own.
type sgp30Watcher struct {
	sensors.Sampler
	chip *sgp30
}

// Watch implements sensors.Watcher: it measures each second, for the chip's own
// sake, and emits nothing.
func (w sgp30Watcher) Watch(ctx context.Context, _ func([]sensors.Sample)) error {
	return w.chip.wrap(w.chip.watch(ctx))
}

// sgp30 measures.
type sgp30 struct {
	*i2cChip
	now     func() time.Time
	started time.Time

	turn       chan struct{} // who measures has it; what follows belongs to it
	measured   time.Time     // when the last measurement was; zero: there is none, or it failed
	eco2, tvoc float64
}

// ready asks the chip who it is and starts its algorithm.
func (s *sgp30) ready(ctx context.Context) error {
	w, err := s.ask(ctx, sgp30Features, sgp30CommandTime, 1)
	if err != nil {
		return fmt.Errorf("feature set: %w", err)
	}
	// Table 9: the upper 4 bits are the product, 0; the lower 8 its version.
	if w[0]>>12 != 0 || w[0]&0xff == 0 {
		return fmt.Errorf("feature set is 0x%04x: no SGP30", w[0])
	}
	s.started = s.now()
	return s.send(ctx, sgp30Start, sgp30CommandTime)
}

// newest gives the newest measurement, or nothing while the chip warms up.
func (s *sgp30) newest(ctx context.Context) ([]sensors.Sample, error) {
	if err := s.take(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	if s.measured.IsZero() || s.now().Sub(s.measured) > sgp30Fresh {
		if err := s.measure(ctx); err != nil {
			return nil, err
		}
	}
	if s.measured.Sub(s.started) < sgp30WarmUp {
		return nil, nil
	}
	return samplesOf(gasChannels(), s.eco2, s.tvoc)
}

// watch measures each second until ctx ends or too many measurements in a row
// failed.
func (s *sgp30) watch(ctx context.Context) error {
	ticker := time.NewTicker(sgp30Interval)
	defer ticker.Stop()
	for misses := 0; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if err := s.take(ctx); err != nil {
			return err
		}
		err := s.measure(ctx)
		s.leave()
		if misses++; err == nil {
			misses = 0
		}
		if misses == sgp30Misses {
			return err
		}
	}
}

// take waits for the turn to measure, and leave ends it. No mutex: a measurement
// takes its time, and who waits for it must be able to give up.
func (s *sgp30) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *sgp30) leave() { <-s.turn }

// measure measures once and keeps the result, or none if it fails. It is called
// by who has the turn.
func (s *sgp30) measure(ctx context.Context) error {
	s.measured = time.Time{}
	var err error
	for try := range sgp30Tries {
		if try > 0 {
			if err := pause(ctx, sgp30Again); err != nil {
				return err
			}
		}
		var w []uint16
		if w, err = s.ask(ctx, sgp30Measure, sgp30MeasureTime, 2); err != nil {
			continue
		}
		var eco2, tvoc float64
		if eco2, tvoc, err = sgp30Decode(w); err == nil {
			s.eco2, s.tvoc, s.measured = eco2, tvoc, s.now()
			return nil
		}
	}
	return err
}

// sgp30Decode gives ppm and ppb of the two words of a measurement. The ends of
// the scale are refused: chips that hang send them.
func sgp30Decode(w []uint16) (eco2, tvoc float64, err error) {
	eco2, tvoc = float64(w[0]), float64(w[1])
	return eco2, tvoc, errors.Join(within("equivalent CO2", eco2, 400, 59999, "ppm"), within("TVOC", tvoc, 0, 59999, "ppb"))
}
