package gateway

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Refusals counts what was refused, by reason, and logs one line per minute
// and reason, so that a device gone mad fills neither the log nor the card.
type Refusals struct {
	log    *slog.Logger
	now    func() time.Time
	counts map[string]*atomic.Uint64

	mu     sync.Mutex
	logged map[string]time.Time // reason to the last line about it
	silent map[string]uint64    // reason to refusals since that line
}

// NewRefusals logs to log, by the clock now.
func NewRefusals(log *slog.Logger, now func() time.Time) *Refusals {
	r := &Refusals{log: log, now: now, counts: map[string]*atomic.Uint64{},
		logged: map[string]time.Time{}, silent: map[string]uint64{}}
	for _, reason := range Reasons() {
		r.counts[reason] = new(atomic.Uint64)
	}
	return r
}

// Refused counts one refusal of what source sent to topic.
func (r *Refusals) Refused(source, topic string, err error) {
	reason := Reason(err)
	r.counts[reason].Add(1)
	now := r.now()
	r.mu.Lock()
	last, ever := r.logged[reason]
	if since := now.Sub(last); ever && since >= 0 && since < time.Minute {
		r.silent[reason]++
		r.mu.Unlock()
		return
	}
	silent := r.silent[reason]
	r.logged[reason] = now
	r.silent[reason] = 0
	r.mu.Unlock()
	r.log.Warn("refused", "reason", reason, "source", source, "topic", shorten(topic, 128), "error", err, "since_last_line", silent)
}

// Counts gives the refusals since the start by reason, all reasons included.
func (r *Refusals) Counts() map[string]uint64 {
	out := make(map[string]uint64, len(r.counts))
	for reason, n := range r.counts {
		out[reason] = n.Load()
	}
	return out
}

func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "..."
}
