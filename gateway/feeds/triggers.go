package feeds

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/xively"
)

// Bounds and times of triggers.
const (
	maxTriggers     = 1000
	maxFeedTriggers = 100             // of one feed
	notifyEvery     = 5 * time.Second // least time between notifications of one trigger
	checkEvery      = 5 * time.Second // how often is looked for what has frozen
	saveNotified    = time.Minute     // least time between two writes of a trigger's NotifiedAt
	lastKey         = "last"          // in the table: the highest id that was ever given
)

// triggers watches datastreams. A trigger fires once when its condition begins
// to hold. What holds when the trigger is made, and what already did when the
// gateway starts, is no beginning.
type triggers struct {
	cfg      Config
	log      *slog.Logger
	describe describer
	client   *http.Client
	ticks    <-chan time.Time                                 // instead of checkEvery; nil except in tests
	pause    func(ctx context.Context, d time.Duration) error // before another attempt
	queue    chan *firing
	slots    chan struct{} // a delivery that is being made holds one
	dropped  atomic.Uint64 // notifications that newer ones pushed out of queue
	started  atomic.Bool   // present values were looked at

	writing sync.Mutex // one change of the table at a time; taken before mu
	mu      sync.RWMutex
	last    uint64
	byID    map[uint64]*trigger
	sensors map[sensorKey][]*trigger // a slice is never changed in place
}

// describer says what a device and a sensor of it are as a feed and a
// datastream now; false if they are gone.
type describer func(device, sensor string) (*xively.Feed, xively.Datastream, bool)

// sensorKey is the datastream that a trigger watches.
type sensorKey struct {
	feed   uint64
	sensor string
}

// rule is a trigger as it is stored.
type rule struct {
	ID         uint64    `json:"id"`
	URL        string    `json:"url"`
	Type       string    `json:"type"`
	Threshold  string    `json:"threshold,omitempty"`
	Feed       uint64    `json:"feed"`
	Datastream string    `json:"datastream"`
	User       string    `json:"user"`
	Born       time.Time `json:"born,omitzero"` // when the feed's device was made: another one may get its number
	Notified   time.Time `json:"notified_at,omitzero"`
}

// trigger is a rule and what it has seen. A change replaces it.
type trigger struct {
	rule // Notified is guarded by mu, the rest does not change

	mu      sync.Mutex
	known   bool          // there was a value
	text    string        // of the last one
	seen    time.Duration // when that came, in Stamp.Mono
	entered bool          // the condition holds
	frozen  bool
	fired   time.Duration // the last notification, in Stamp.Mono
	ever    bool          // there was one
	unsaved bool          // Notified is not in the table
	saved   time.Duration // when Notified was written, in Stamp.Mono
}

// newTriggers loads the triggers. Describe may be called from any goroutine,
// but for those that observe is called from.
func newTriggers(cfg Config, describe describer) (*triggers, error) {
	t := &triggers{cfg: cfg, log: cfg.Logger, describe: describe, pause: pause,
		queue: make(chan *firing, queueLength), slots: make(chan struct{}, deliveries),
		byID: map[uint64]*trigger{}, sensors: map[sensorKey][]*trigger{}}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	t.client = newClient(cfg.Transport)
	err := cfg.Tables.Triggers.Each(func(key string, raw []byte) error {
		if key == lastKey {
			n, _ := strconv.ParseUint(string(raw), 10, 64) // at worst, the highest one that is left
			t.last = max(t.last, n)
			return nil
		}
		var r rule
		if err := json.Unmarshal(raw, &r); err != nil || strconv.FormatUint(r.ID, 10) != key {
			t.log.Warn("trigger cannot be read and is skipped", "key", key, "error", err)
			return nil
		}
		t.last = max(t.last, r.ID)
		t.put(&trigger{rule: r})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("feeds: triggers: %w", err)
	}
	return t, nil
}

func (r *rule) sensor() sensorKey { return sensorKey{r.Feed, xively.SensorID(r.Datastream)} }

// put makes tr one of the triggers, instead of that with its id.
func (t *triggers) put(tr *trigger) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(tr.ID)
	t.byID[tr.ID] = tr
	key := tr.sensor()
	t.sensors[key] = append(slices.Clone(t.sensors[key]), tr)
}

// remove takes a trigger away. t.mu is held.
func (t *triggers) remove(id uint64) {
	old := t.byID[id]
	if old == nil {
		return
	}
	delete(t.byID, id)
	key := old.sensor()
	rest := slices.DeleteFunc(slices.Clone(t.sensors[key]), func(tr *trigger) bool { return tr == old })
	if t.sensors[key] = rest; len(rest) == 0 {
		delete(t.sensors, key)
	}
}

func (t *triggers) get(id uint64) *trigger {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byID[id]
}

// all lists the triggers by id.
func (t *triggers) all() []*trigger {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.SortedFunc(maps.Values(t.byID), func(a, b *trigger) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
}

// observe takes in a new present value of a sensor. It does not block.
func (t *triggers) observe(d *gateway.Device, r *gateway.Record) {
	t.mu.RLock()
	watching := t.sensors[sensorKey{d.Feed, r.Channel}]
	t.mu.RUnlock()
	if len(watching) == 0 {
		return
	}
	now := t.cfg.Clock.Now()
	text := xively.Text(r.Value)
	for _, tr := range watching {
		if tr.take(text, now.Mono, t.started.Load()) {
			t.fire(tr, d, text, r.At, now)
		}
	}
}

// take takes in a new value and reports whether tr fires. Until the present
// values were looked at, the first value may be one from before the start.
func (tr *trigger) take(text string, now time.Duration, started bool) bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	first, former := !tr.known, tr.text
	back := tr.known && (tr.frozen || now-tr.seen >= frozenAfter)
	tr.known, tr.text, tr.seen, tr.frozen = true, text, now, false
	hit := false
	switch tr.Type {
	case xively.TriggerFrozen:
	case xively.TriggerLive:
		hit = back
	case xively.TriggerChange:
		hit = !first && text != former
	default:
		holds := tr.holds(text)
		hit = holds && !tr.entered && (started || !first)
		tr.entered = holds
	}
	return hit && tr.due(now)
}

// due reports whether a notification may go out now, which then counts as sent.
// tr.mu is held.
func (tr *trigger) due(now time.Duration) bool {
	if tr.ever && now-tr.fired < notifyEvery {
		return false
	}
	tr.fired, tr.ever = now, true
	return true
}

// holds reports whether a value of this text fulfils the condition. Text that
// is no number is neither above nor below anything.
func (r *rule) holds(text string) bool {
	x, isNumber := number(text)
	limit, ok := number(r.Threshold)
	if !isNumber || !ok {
		return r.Type == xively.TriggerEQ && text == r.Threshold
	}
	switch r.Type {
	case xively.TriggerGT:
		return x > limit
	case xively.TriggerGTE:
		return x >= limit
	case xively.TriggerLT:
		return x < limit
	case xively.TriggerLTE:
		return x <= limit
	case xively.TriggerEQ:
		return x == limit
	}
	return false
}

// prime gives tr the present value of its datastream, unless it has seen one.
func (t *triggers) prime(tr *trigger) {
	d, ok := t.device(tr)
	if !ok {
		return
	}
	r, ok := t.cfg.Hub.Current(d.ID, tr.sensor().sensor, gateway.KindSensor)
	if !ok {
		return
	}
	now := t.cfg.Clock.Now()
	age := max(0, ageOf(r.Stamp, now))
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.known {
		return
	}
	tr.known, tr.text = true, xively.Text(r.Value)
	tr.entered = tr.holds(tr.text)
	tr.seen, tr.frozen = now.Mono-age, age >= frozenAfter
}

// ageOf is the time from then to now. It is zero where no clock can tell: the
// time without an update counts from now on then.
func ageOf(then, now gateway.Stamp) time.Duration {
	switch {
	case then.Boot == now.Boot:
		return now.Mono - then.Mono
	case then.Quality == gateway.ClockUnset || now.Quality == gateway.ClockUnset:
		return 0
	}
	return now.Wall.Sub(then.Wall)
}

// device is the device that tr is about; false if it is gone, or another one
// has its number now.
func (t *triggers) device(tr *trigger) (*gateway.Device, bool) {
	d, ok := t.cfg.Registry.Feed(tr.Feed)
	return d, ok && d.Created.Equal(tr.Born)
}

// permitted reports whether the user of tr, or a key of that user, may still
// manage the device: who may not any more learns nothing more of it either.
func (t *triggers) permitted(tr *trigger, d *gateway.Device) bool {
	reg := t.cfg.Registry
	if !d.Created.Equal(tr.Born) {
		return false
	}
	if reg.Can(access.Subject{User: tr.User}, access.Manage, d.ID) {
		return true
	}
	return slices.ContainsFunc(reg.Keys(), func(k access.Key) bool { // an owner without an account
		return k.Owner == tr.User && reg.Can(access.Subject{User: k.Owner, Key: k.ID}, access.Manage, d.ID)
	})
}

// freeze looks for datastreams that have had no update for too long.
func (t *triggers) freeze() {
	for _, tr := range t.all() {
		if tr.Type != xively.TriggerFrozen {
			continue
		}
		d, ok := t.device(tr)
		if !ok {
			continue
		}
		r, ok := t.cfg.Hub.Current(d.ID, tr.sensor().sensor, gateway.KindSensor)
		if !ok {
			continue // deleted, or it never had a value
		}
		now := t.cfg.Clock.Now()
		tr.mu.Lock()
		hit := tr.known && !tr.frozen && now.Mono-tr.seen >= frozenAfter
		tr.frozen = tr.frozen || hit
		hit = hit && tr.due(now.Mono)
		tr.mu.Unlock()
		if hit {
			t.fire(tr, d, xively.Text(r.Value), r.At, now)
		}
	}
}

// store writes tr to the table, then puts it in force. t.writing is held.
func (t *triggers) store(tr *trigger) error {
	tr.mu.Lock()
	raw, err := json.Marshal(tr.rule)
	tr.mu.Unlock()
	if err != nil {
		return fmt.Errorf("feeds: trigger: %w", err)
	}
	pairs := map[string][]byte{strconv.FormatUint(tr.ID, 10): raw}
	if t.get(tr.ID) == nil {
		pairs[lastKey] = []byte(strconv.FormatUint(t.last, 10))
	}
	if err := t.cfg.Tables.Triggers.Write(pairs); err != nil {
		return fmt.Errorf("feeds: trigger: %w", err)
	}
	t.put(tr)
	return nil
}

// drop deletes triggers. t.writing is held.
func (t *triggers) drop(gone ...*trigger) error {
	pairs := map[string][]byte{}
	for _, tr := range gone {
		pairs[strconv.FormatUint(tr.ID, 10)] = nil
	}
	if len(pairs) == 0 {
		return nil
	}
	if err := t.cfg.Tables.Triggers.Write(pairs); err != nil {
		return fmt.Errorf("feeds: trigger: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, tr := range gone {
		t.remove(tr.ID)
	}
	return nil
}

// dropOf deletes the triggers of an account: its feeds may pass to the next one
// of that name, who is not to be reported on.
func (t *triggers) dropOf(user string) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	return t.drop(slices.DeleteFunc(t.all(), func(tr *trigger) bool { return tr.User != user })...)
}

// notified notes that a notification of tr has arrived.
func (t *triggers) notified(tr *trigger) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.Notified, tr.unsaved = t.cfg.Clock.Now().Wall.Truncate(time.Second), true
}

// save writes when triggers were last notified, each at most once in
// saveNotified unless all is true: a card must not wear for it.
func (t *triggers) save(all bool) {
	t.writing.Lock()
	defer t.writing.Unlock()
	now := t.cfg.Clock.Now().Mono
	pairs := map[string][]byte{}
	var written []*trigger
	for _, tr := range t.all() {
		tr.mu.Lock()
		if tr.unsaved && (all || tr.saved == 0 || now-tr.saved >= saveNotified) {
			if raw, err := json.Marshal(tr.rule); err == nil {
				pairs[strconv.FormatUint(tr.ID, 10)] = raw
				written = append(written, tr)
				tr.unsaved, tr.saved = false, now
			}
		}
		tr.mu.Unlock()
	}
	if len(pairs) == 0 {
		return
	}
	if err := t.cfg.Tables.Triggers.Write(pairs); err != nil {
		t.log.Error("times of notifications are not saved", "error", err)
		for _, tr := range written { // the next time
			tr.mu.Lock()
			tr.unsaved = true
			tr.mu.Unlock()
		}
	}
}
