package drivers

import (
	"context"
	"fmt"
	"sync"
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
		Doc:      "Sensirion SGP30: TVOC 0 to 60000 ppb, ±15 %, and equivalent CO2 400 to 60000 ppm; is measured each second; nothing for the first 16 s; I2C",
		Bus:      sensors.I2C,
		Options:  []sensors.Option{addressOption(0x58, 0x58, 0x58)},
		Channels: func(sensors.Options) []sensors.Channel { return sgp30Channels() },
		Open: func(ctx context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			c, err := openI2C(env, o, "sgp30")
			if err != nil {
				return nil, err
			}
			s := &sgp30{i2cChip: c, now: env.Now}
			if err := s.ready(ctx); err != nil {
				return nil, c.abandon(err)
			}
			return s, nil
		},
	})
}

func sgp30Channels() []sensors.Channel {
	return []sensors.Channel{
		{Suffix: "eco2", Kind: "CO2Sensor", Quantity: "CO2", Unit: "PartsPerMillion"},
		{Suffix: "tvoc", Kind: "VOCSensor", Quantity: "ChemicalAgentAtmosphericConcentrationVOC", Unit: "PartsPerBillion"},
	}
}

// Commands, table 10.
const (
	sgp30Features = 0x202f
	sgp30Start    = 0x2003
	sgp30Measure  = 0x2008
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

// sgp30 is an opened chip. Watch and Sample run in goroutines of their own.
type sgp30 struct {
	*i2cChip
	now     func() time.Time
	started time.Time

	mu         sync.Mutex // one measurement at a time
	measured   time.Time  // when the last one was; zero: there is none, or it failed
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
	if err := s.send(sgp30Start); err != nil {
		return err
	}
	s.started = s.now()
	return pause(ctx, sgp30CommandTime)
}

// Sample implements sensors.Sampler. It gives nothing while the chip warms up.
func (s *sgp30) Sample(ctx context.Context) ([]sensors.Sample, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.measured.IsZero() || s.now().Sub(s.measured) > sgp30Fresh {
		if err := s.measure(ctx); err != nil {
			return nil, s.wrap(err)
		}
	}
	if s.measured.Sub(s.started) < sgp30WarmUp {
		return nil, nil
	}
	return samplesOf(sgp30Channels(), s.eco2, s.tvoc)
}

// Watch implements sensors.Watcher: it measures each second, for the chip's own
// sake, and emits nothing.
func (s *sgp30) Watch(ctx context.Context, _ func([]sensors.Sample)) error {
	ticker := time.NewTicker(sgp30Interval)
	defer ticker.Stop()
	for misses := 0; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		s.mu.Lock()
		err := s.measure(ctx)
		s.mu.Unlock()
		if misses++; err == nil {
			misses = 0
		}
		if misses == sgp30Misses {
			return s.wrap(err)
		}
	}
}

// measure measures once and keeps the result, or none if it fails. mu is held.
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
	switch {
	case w[0] < 400 || w[0] >= 60000:
		err = fmt.Errorf("equivalent CO2 of %d ppm is outside the chip's range of 400 to 60000", w[0])
	case w[1] >= 60000:
		err = fmt.Errorf("TVOC of %d ppb is outside the chip's range of 0 to 60000", w[1])
	}
	return float64(w[0]), float64(w[1]), err
}

func (s *sgp30) send(command uint16) error {
	return s.open.Tx(s.addr, []byte{byte(command >> 8), byte(command)}, nil)
}

// ask sends a command, waits, and reads its answer of n words.
func (s *sgp30) ask(ctx context.Context, command uint16, wait time.Duration, n int) ([]uint16, error) {
	if err := s.send(command); err != nil {
		return nil, err
	}
	if err := pause(ctx, wait); err != nil {
		return nil, err
	}
	b := make([]byte, 3*n)
	if err := s.open.Tx(s.addr, nil, b); err != nil {
		return nil, err
	}
	return checkedWords(b)
}
