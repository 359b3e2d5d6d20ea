package main

import (
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"

	"fieldgate/gateway"
	"fieldgate/gateway/store"
)

// stateFile is a file of tables, or, while the disk refuses it, tables in
// memory: a gateway whose card has failed goes on as its configuration says.
type stateFile struct {
	tables *store.Tables // nil: memory only
	log    *slog.Logger
}

// openState fails only if another gateway has the file: two must not share one.
func openState(path string, log *slog.Logger, clock gateway.Clock) (*stateFile, error) {
	t, err := store.OpenTables(path, store.TableOptions{Logger: log.With("part", "store"), Clock: clock})
	if errors.Is(err, store.ErrLocked) {
		return nil, err
	}
	if err != nil {
		log.Error("a database cannot be opened; what it would keep ends with this run", "file", path, "error", err)
		return &stateFile{log: log}, nil
	}
	if aside := t.SetAside(); aside != "" {
		log.Error("a damaged database was set aside", "file", path, "set_aside", aside)
	}
	return &stateFile{tables: t, log: log}, nil
}

func (f *stateFile) table(name string) gateway.Table {
	if f.tables != nil {
		t, err := f.tables.Table(name)
		if err == nil {
			return t
		}
		f.log.Error("a table cannot be opened; what it would keep ends with this run", "table", name, "error", err)
	}
	return &memoryTable{pairs: map[string][]byte{}}
}

func (f *stateFile) close() error {
	if f.tables == nil {
		return nil
	}
	return f.tables.Close()
}

// memoryTable is a gateway.Table that keeps nothing.
type memoryTable struct {
	mu    sync.Mutex
	pairs map[string][]byte
}

// Each implements gateway.Table.
func (m *memoryTable) Each(fn func(key string, value []byte) error) error {
	m.mu.Lock()
	keys := make([]string, 0, len(m.pairs))
	pairs := make(map[string][]byte, len(m.pairs))
	for k, v := range m.pairs {
		keys, pairs[k] = append(keys, k), slices.Clone(v)
	}
	m.mu.Unlock()
	slices.Sort(keys)
	for _, k := range keys {
		if err := fn(k, pairs[k]); err != nil {
			return err
		}
	}
	return nil
}

// Write implements gateway.Table.
func (m *memoryTable) Write(pairs map[string][]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, v := range pairs {
		if v == nil {
			delete(m.pairs, k)
			continue
		}
		m.pairs[k] = slices.Clone(v)
	}
	return nil
}

// sessionNumbers numbers connections to clouds, and runs of the gateway, in
// one rising series.
type sessionNumbers struct {
	mu    sync.Mutex
	table gateway.Table
	clock gateway.Clock
	last  uint64
	known bool
}

const sessionKey = "session"

// NextSession gives a number larger than all before. It is usable even with an
// error, which says that it could not be kept.
func (s *sessionNumbers) NextSession() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known {
		err := s.table.Each(func(k string, v []byte) error {
			if n, err := strconv.ParseUint(string(v), 10, 64); k == sessionKey && err == nil {
				s.last = max(s.last, n)
			}
			return nil
		})
		if err != nil || s.last == 0 {
			// Without a memory, the clock is the best guess at a rising number.
			if now := s.clock.Now(); now.Quality != gateway.ClockUnset {
				s.last = max(s.last, uint64(now.Wall.Unix()-gateway.Earliest.Unix()))
			}
		}
		s.known = true
	}
	s.last++
	return s.last, s.table.Write(map[string][]byte{sessionKey: []byte(strconv.FormatUint(s.last, 10))})
}

// flushWatch notices that the sessions file works again, from its count of
// failed writes. Publishes that could not be acknowledged meanwhile then have
// to come again.
type flushWatch struct {
	errors  uint64
	failing bool
	quiet   int // looks without a new error
}

// quietLooks is longer than the broker's pause between two attempts.
const quietLooks = 6

// recovered is asked every two seconds.
func (w *flushWatch) recovered(errors uint64) bool {
	if errors > w.errors {
		w.errors, w.failing, w.quiet = errors, true, 0
		return false
	}
	if !w.failing {
		return false
	}
	if w.quiet++; w.quiet < quietLooks {
		return false
	}
	w.failing = false
	return true
}
