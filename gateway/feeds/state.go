package feeds

import (
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/xively"
)

// states is what all feeds show now, by device id.
type states struct {
	mu    sync.RWMutex
	feeds map[string]*feed
	gone  map[string]bool // devices whose entry in Tables.Feeds is to go
	marks marks
	// updates counts those of all feeds: a device that is made anew goes on from
	// where its namesake ended.
	updates atomic.Uint64
}

// feed is the present state of one device as a feed. The Registry knows what
// the device is; shape follows it.
type feed struct {
	meta sync.Mutex // one write of metadata at a time; taken before mu

	mu        sync.Mutex
	shape     *shape
	told      *shape     // what subscribers know of
	values    []*present // as shape.streams; an entry is never changed in place
	waypoints []xively.Waypoint
	version   uint64 // of states.updates, the last one of this feed
	unsaved   bool   // extremes or waypoints changed since they were written
	owed      bool   // so did what a client itself set of them, see keep
	saved     savedFeed
	snap      *snapshot // of all this; nil after a change
}

// present is the newest value of a datastream. The zero present has none.
type present struct {
	text     string
	at       time.Time // zero: it never had a value
	min, max float64
	ranged   bool      // min and max are known
	set      time.Time // when a client set them; zero: never
}

var nothing = &present{}

// snapshot is a feed at one moment. It is never changed.
type snapshot struct {
	*shape
	values    []*present
	waypoints []xively.Waypoint
	version   uint64
}

// updated is the time of the newest value; zero without one.
func (s *snapshot) updated() time.Time {
	var t time.Time
	for _, v := range s.values {
		if v.at.After(t) {
			t = v.at
		}
	}
	return t
}

// feedFor gives the feed of the device, nil if there is no such device.
func (a *API) feedFor(device string) *feed {
	a.state.mu.RLock()
	f := a.state.feeds[device]
	a.state.mu.RUnlock()
	if f != nil {
		return f
	}
	if _, ok := a.cfg.Registry.Device(device); !ok {
		return nil
	}
	a.state.mu.Lock()
	defer a.state.mu.Unlock()
	if f = a.state.feeds[device]; f == nil {
		f = &feed{}
		a.state.feeds[device] = f
	}
	return f
}

// snapshotOf gives what the feed of the device shows now; false without one.
func (a *API) snapshotOf(device string) (*snapshot, bool) {
	f := a.feedFor(device)
	if f == nil {
		return nil, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !a.sync(f, device) {
		return nil, false
	}
	return f.snapshot(), true
}

// snapshot gives what f is now. f.mu is held.
func (f *feed) snapshot() *snapshot {
	if f.snap == nil {
		f.snap = &snapshot{shape: f.shape, values: slices.Clone(f.values),
			waypoints: f.waypoints[:len(f.waypoints):len(f.waypoints)], version: f.version}
	}
	return f.snap
}

// sync makes f follow the Registry; false means that the device is gone. f.mu
// is held.
func (a *API) sync(f *feed, device string) bool {
	d, ok := a.cfg.Registry.Device(device)
	if !ok {
		return false
	}
	if f.shape != nil && f.shape.device == d {
		return true
	}
	old := f.shape
	born := f.saved.Born
	if old != nil {
		born = old.device.Created
	}
	if !born.Equal(d.Created) { // a namesake's
		old, f.saved, f.waypoints, f.unsaved = nil, savedFeed{}, nil, true
	}
	f.shape = newShape(d)
	values := make([]*present, len(f.shape.streams))
	kept := 0
	for i, st := range f.shape.streams {
		values[i] = nothing
		r, ok := a.cfg.Hub.Current(device, st.sensor, gateway.KindSensor)
		if old == nil { // as after a start
			values[i] = f.saved.present(st.sensor, a.cfg.Clock.Now())
			if ok {
				values[i] = values[i].restored(&r)
			}
		} else if j, was := old.index[st.sensor]; was && (ok || f.values[j].at.IsZero()) {
			values[i] = f.values[j] // else the Hub forgot it: another sensor has its id now
			kept++
		}
	}
	if old != nil && kept < len(old.streams) { // what is saved of these must not meet a namesake
		f.unsaved, f.owed = true, true
		select {
		case a.urgent <- struct{}{}:
		default:
		}
	}
	f.values, f.snap = values, nil
	if f.told == nil {
		f.told = f.shape
	}
	return true
}

// after is v with r as the newest value.
func (v *present) after(r *gateway.Record) *present {
	n := v.within(r)
	n.text, n.at = xively.Text(r.Value), r.At
	return n
}

// within is v with extremes that hold r's value too.
func (v *present) within(r *gateway.Record) *present {
	n := *v
	x, ok := number(xively.Text(r.Value))
	switch {
	case !ok:
	case !n.ranged:
		n.min, n.max, n.ranged = x, x, true
	default:
		n.min, n.max = min(n.min, x), max(n.max, x)
	}
	return &n
}

// number reads a decimal number; text that only Go takes for one is none.
func number(text string) (float64, bool) {
	if text == "" || len(text) > xively.MaxValue {
		return 0, false
	}
	for i := 0; i < len(text); i++ {
		if c := text[i]; (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return 0, false
		}
	}
	x, err := strconv.ParseFloat(text, 64)
	return x, err == nil
}

// Deliver implements gateway.Sink: it takes in new values and changes.
func (a *API) Deliver(b *gateway.Batch, records []gateway.Record, settled func(error)) {
	defer settled(nil)
	defer func() { // the log's goroutine must survive whatever is wrong here
		if p := recover(); p != nil {
			a.log.Error("delivery panicked", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	if b.Changed != "" {
		a.follow(b.Changed, a.state.marks.has(b))
	}
	for len(records) > 0 {
		n := 1
		for n < len(records) && records[n].Device == records[0].Device {
			n++
		}
		if records[0].Device != "" {
			a.take(records[0].Device, records[:n])
		}
		records = records[n:]
	}
}

// follow takes in a change of the device itself.
func (a *API) follow(device string, quiet bool) {
	f := a.feedFor(device)
	if f == nil {
		a.forget(device)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !a.sync(f, device) {
		a.forget(device)
		return
	}
	if !quiet {
		a.announce(f, nil)
	}
}

// take takes in records of one device.
func (a *API) take(device string, records []gateway.Record) {
	f := a.feedFor(device)
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !a.sync(f, device) {
		return
	}
	touched := make([]bool, len(f.values))
	fresh := false
	for i := range records {
		r := &records[i]
		if r.Kind != gateway.KindSensor {
			continue
		}
		at, ok := f.shape.index[r.Channel]
		if !ok {
			continue
		}
		old := f.values[at]
		v := old.within(r)
		f.unsaved = f.unsaved || v.min != old.min || v.max != old.max || v.ranged != old.ranged
		// As the Hub decides it: an older value is history, but one that claims
		// to be from the future does not stand in the way.
		if !r.At.Before(old.at) || old.at.After(r.Stamp.Wall) {
			v.text, v.at = xively.Text(r.Value), r.At
			touched[at], fresh = true, true
			a.triggers.observe(f.shape.device, r)
		}
		f.values[at], f.snap = v, nil
	}
	if fresh || f.told != f.shape {
		a.announce(f, touched)
	}
}

// announce makes the state of f an update for its subscribers, those of the
// touched streams and of streams whose metadata changed among them. Touched may
// be nil. f.mu is held.
func (a *API) announce(f *feed, touched []bool) {
	f.version = a.state.updates.Add(1)
	f.snap = nil
	old := f.told
	f.told = f.shape
	if !a.subs.any(f.shape.device.Feed) {
		return
	}
	u := &update{snapshot: f.snapshot(), touched: map[string]bool{}}
	for i, st := range f.shape.streams {
		if touched != nil && touched[i] {
			u.touched[st.sensor] = true
		}
	}
	if old != f.shape {
		for _, sensor := range f.shape.changed(old) {
			u.touched[sensor] = true
		}
	}
	a.pushes.add(u)
}

// forget drops what is known of a device that is gone.
func (a *API) forget(device string) {
	a.state.mu.Lock()
	defer a.state.mu.Unlock()
	if _, ok := a.cfg.Registry.Device(device); !ok {
		delete(a.state.feeds, device)
		a.state.gone[device] = true
	}
}

// marks are the batches of a write that goes on: what they change is told once,
// with the last one.
type marks struct {
	n     atomic.Int32
	mu    sync.Mutex
	quiet map[*gateway.Batch]bool
}

func (m *marks) add(b *gateway.Batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.quiet[b] = true
	m.n.Store(int32(len(m.quiet)))
}

func (m *marks) drop(b *gateway.Batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.quiet, b)
	m.n.Store(int32(len(m.quiet)))
}

func (m *marks) has(b *gateway.Batch) bool {
	if m.n.Load() == 0 {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.quiet[b]
}
