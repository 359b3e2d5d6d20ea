package sensors

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"fieldgate/gateway"
)

// outputRecord is what is known of an output after a restart. None means that it
// is off.
type outputRecord struct {
	Level Level `json:"level"` // what Keep goes back to
	// On is since when the output is on, or a later moment; nil: it was switched
	// off when the gateway stopped.
	On *gateway.Stamp `json:"on,omitempty"`
	// Used is how long it had been on until On, or until the gateway stopped.
	Used time.Duration `json:"used_ns,omitempty"`
}

// on is how long the output has been on at a moment. Known is false if no clock
// can tell: the wall clock of this boot or of that one was not set, or went back
// in between.
func (r *outputRecord) on(now gateway.Stamp) (d time.Duration, known bool) {
	if r.On == nil {
		return r.Used, true
	}
	switch {
	case r.On.Boot == now.Boot:
		d = now.Mono - r.On.Mono
	case r.On.Quality == gateway.ClockUnset || now.Quality == gateway.ClockUnset:
		return 0, false
	default:
		d = now.Wall.Sub(r.On.Wall)
	}
	return r.Used + d, d >= 0
}

// recalled is what the table says of an output.
type recalled struct {
	record *outputRecord // nil: nothing
	err    error         // there is something, and it cannot be read
}

// ledger keeps the records of the outputs in a table. Values that are put while
// it writes go with the next write, the newest of each key; what the table
// refuses is tried again.
type ledger struct {
	table gateway.Table // nil: nothing is kept
	log   *slog.Logger
	wake  chan struct{}

	mu      sync.Mutex
	pending map[string][]byte // nil values delete
	waiters []chan struct{}
}

func newLedger(table gateway.Table, log *slog.Logger) *ledger {
	return &ledger{table: table, log: log, wake: make(chan struct{}, 1), pending: map[string][]byte{}}
}

// read gives all records by key.
func (l *ledger) read() map[string]recalled {
	out := map[string]recalled{}
	if l.table == nil {
		return out
	}
	err := l.table.Each(func(key string, value []byte) error {
		var r outputRecord
		if err := json.Unmarshal(value, &r); err != nil || r.Level < Off || r.Level > On || r.Used < 0 {
			out[key] = recalled{err: fmt.Errorf("sensors: the record of output %s cannot be read: %.100q", key, value)}
			return nil
		}
		out[key] = recalled{record: &r}
		return nil
	})
	if err != nil {
		l.log.Error("it is not known which outputs were on", "err", err)
	}
	return out
}

// put stores r, or forgets the output if r is nil. What it returns is closed when
// a write of it was tried.
func (l *ledger) put(key string, r *outputRecord) <-chan struct{} {
	done := make(chan struct{})
	if l.table == nil {
		close(done)
		return done
	}
	var value []byte
	if r != nil {
		var err error
		if value, err = json.Marshal(r); err != nil { // a clock before the year 0 or after 9999
			l.log.Error("the state of an output cannot be recorded", "output", key, "err", err)
			close(done)
			return done
		}
	}
	l.mu.Lock()
	l.pending[key] = value
	l.waiters = append(l.waiters, done)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return done
}

// run writes what is put until over is closed; then once more.
func (l *ledger) run(over <-chan struct{}) {
	var pause time.Duration
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	for {
		last := false
		select {
		case <-over:
			last = true
		case <-l.wake:
		case <-timer.C:
		}
		err := l.write()
		switch {
		case err == nil:
			pause = 0
		case pause == 0:
			l.log.Error("the states of the outputs cannot be recorded", "err", err)
			fallthrough
		default:
			pause = min(max(2*pause, firstPause), longestOutputPause)
			timer.Reset(pause)
		}
		if last {
			return
		}
	}
}

// write writes what is pending, and keeps it if the table refuses.
func (l *ledger) write() error {
	l.mu.Lock()
	pairs, waiters := l.pending, l.waiters
	l.pending, l.waiters = map[string][]byte{}, nil
	l.mu.Unlock()
	if len(pairs) == 0 {
		return nil
	}
	err := l.table.Write(pairs)
	l.mu.Lock()
	if err != nil {
		maps.Copy(pairs, l.pending) // newer
		l.pending = pairs
	}
	l.mu.Unlock()
	for _, w := range waiters {
		close(w)
	}
	return err
}
