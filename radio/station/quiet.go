package station

import (
	"log/slog"
	"sync"
	"time"
)

// quiet bounds what is logged about things that happen again and again: a line a
// minute for each of them.
type quiet struct {
	log *slog.Logger

	mu   sync.Mutex
	last map[string]*said
}

type said struct {
	at     time.Time
	silent int // times since then
}

const (
	saidAgain = time.Minute
	saidMost  = 4096 // things that are kept in mind
)

func newQuiet(log *slog.Logger) *quiet { return &quiet{log: log, last: map[string]*said{}} }

// warn logs what happened to a device, unless the same was said lately.
func (q *quiet) warn(what, device string, args ...any) {
	key := what + "\x00" + device
	now := time.Now()
	q.mu.Lock()
	s := q.last[key]
	if s != nil && now.Sub(s.at) < saidAgain {
		s.silent++
		q.mu.Unlock()
		return
	}
	if s == nil {
		if len(q.last) >= saidMost {
			clear(q.last)
		}
		s = &said{}
		q.last[key] = s
	}
	if s.silent > 0 {
		args = append(args, "since_last_line", s.silent)
	}
	s.at, s.silent = now, 0
	q.mu.Unlock()
	q.log.Warn(what, append([]any{"device", device}, args...)...)
}
