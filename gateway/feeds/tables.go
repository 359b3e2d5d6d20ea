package feeds

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/xively"
)

// maxWaypoints is how many former places of a feed are kept.
const maxWaypoints = 500

// cautious is a table without which the API starts if it cannot be read. What
// is in it would be overwritten by what is made meanwhile, so that it takes no
// changes then until the next start.
type cautious struct {
	gateway.Table
	log    *slog.Logger
	unread error
}

// Each is called once, at the start. Fn returns no errors.
func (t *cautious) Each(fn func(key string, value []byte) error) error {
	if t.unread = t.Table.Each(fn); t.unread != nil {
		t.log.Error("a table of the API cannot be read: it starts without, and takes no changes of it until the next start", "error", t.unread)
	}
	return nil
}

func (t *cautious) Write(pairs map[string][]byte) error {
	if t.unread != nil {
		return fmt.Errorf("feeds: the table could not be read at the start: %w", t.unread)
	}
	return t.Table.Write(pairs)
}

// savedFeed is an entry of Tables.Feeds.
type savedFeed struct {
	Born      time.Time             `json:"born,omitzero"`      // when the device was made: another one may get its id
	Extremes  map[string][2]float64 `json:"extremes,omitempty"` // least and greatest value by sensor
	Waypoints []xively.Waypoint     `json:"waypoints,omitempty"`
	Set       map[string]time.Time  `json:"set,omitempty"`  // when a client set the extremes, by sensor
	Saved     time.Time             `json:"saved,omitzero"` // up to when all this is complete
}

// savedRow is the key of Tables.Feeds, no device's id, under which lies up to
// when all of its entries are complete.
const savedRow = "\x00saved"

// present is what s knows of a sensor. A time from the future, if a clock that
// can tell says so, was set by one that was wrong.
func (s *savedFeed) present(sensor string, now gateway.Stamp) *present {
	v := &present{}
	if e, ok := s.Extremes[sensor]; ok {
		v.min, v.max, v.ranged = e[0], e[1], true
	}
	if at := s.Set[sensor]; now.Quality == gateway.ClockUnset || !at.After(now.Wall) {
		v.set = at
	}
	return v
}

// restored is v with r as the newest value. If it came before a client set the
// extremes, they are not its.
func (v *present) restored(r *gateway.Record) *present {
	n := v.after(r)
	if r.Stamp.Wall.Before(v.set) {
		n.min, n.max, n.ranged = v.min, v.max, v.ranged
	}
	return n
}

// loadFeeds reads Tables.Feeds and the Hub's present values. What cannot be read
// does not count: the API starts without it.
func (a *API) loadFeeds() {
	var saved time.Time
	err := a.cfg.Tables.Feeds.Each(func(device string, raw []byte) error {
		if device == savedRow {
			_ = json.Unmarshal(raw, &saved) // at worst, more history is read
			return nil
		}
		f := &feed{}
		if err := json.Unmarshal(raw, &f.saved); err != nil {
			a.log.Error("extremes and waypoints of a feed cannot be read", "device", device, "error", err)
			f.saved = savedFeed{}
		}
		f.waypoints = f.saved.Waypoints
		a.state.feeds[device] = f
		return nil
	})
	if err != nil {
		a.log.Error("extremes and waypoints cannot be read", "error", err)
	}
	for _, d := range a.cfg.Registry.Devices() {
		a.snapshotOf(d.ID)
	}
	a.rebuild(saved)
}

// save writes the extremes and waypoints that changed since the last time. What
// values made of them since then is read from the log after a crash.
func (a *API) save() error { return a.saveAll(false) }

// saveAll is save. Last: nothing comes after it, which is noted.
func (a *API) saveAll(last bool) error {
	a.saving.Lock()
	defer a.saving.Unlock()
	a.state.mu.Lock()
	now := a.now()
	all := maps.Clone(a.state.feeds)
	gone := a.state.gone
	a.state.gone = map[string]bool{}
	a.state.mu.Unlock()
	pairs := map[string][]byte{}
	for device := range gone {
		pairs[device] = nil
	}
	for device, f := range all {
		if raw := f.unwritten(now); raw != nil {
			pairs[device] = raw
		}
	}
	if len(pairs) > 0 || last {
		pairs[savedRow], _ = json.Marshal(now) // it always has a form
	}
	return a.writeFeeds(pairs, all)
}

func (a *API) now() time.Time { return a.cfg.Clock.Now().Wall.UTC().Truncate(time.Microsecond) }

// keep writes what a client itself set of a feed, its extremes and where it is:
// nothing else knows of that. The error is gateway.ErrNotKept.
func (a *API) keep(device string) error {
	f := a.feedFor(device)
	if f == nil {
		return nil
	}
	a.saving.Lock() // by which a write of it that goes on is over too
	defer a.saving.Unlock()
	f.mu.Lock()
	owed := f.owed
	f.mu.Unlock()
	if !owed {
		return nil
	}
	raw := f.unwritten(a.now())
	if raw == nil {
		return nil
	}
	a.state.mu.Lock()
	delete(a.state.gone, device) // a namesake was
	a.state.mu.Unlock()
	if err := a.writeFeeds(map[string][]byte{device: raw}, map[string]*feed{device: f}); err != nil {
		a.log.Error("extremes and waypoints of a feed are not saved", "device", device, "error", err)
		return gateway.ErrNotKept
	}
	return nil
}

func (a *API) writeFeeds(pairs map[string][]byte, of map[string]*feed) error {
	if len(pairs) == 0 {
		return nil
	}
	err := a.cfg.Tables.Feeds.Write(pairs)
	if err == nil {
		return nil
	}
	for device, raw := range pairs { // the next time
		if f := of[device]; f != nil {
			f.mu.Lock()
			f.unsaved, f.owed = true, true
			f.mu.Unlock()
		} else if raw == nil {
			a.forget(device)
		}
	}
	return fmt.Errorf("feeds: tables: %w", err)
}

// unwritten is the entry of f for the table, nil if nothing changed. API.saving
// is held.
func (f *feed) unwritten(now time.Time) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.unsaved || f.shape == nil {
		return nil
	}
	s := savedFeed{Born: f.shape.device.Created, Waypoints: f.waypoints, Extremes: map[string][2]float64{},
		Set: map[string]time.Time{}, Saved: now}
	for i, v := range f.values {
		if v.ranged {
			s.Extremes[f.shape.streams[i].sensor] = [2]float64{v.min, v.max}
		}
		if !v.set.IsZero() {
			s.Set[f.shape.streams[i].sensor] = v.set
		}
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return nil // numbers and times always have a form
	}
	f.unsaved, f.owed = false, false
	return raw
}

// addWaypoint notes where a mobile feed is now.
func (a *API) addWaypoint(device string, w xively.Waypoint) {
	f := a.feedFor(device)
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !a.sync(f, device) {
		return
	}
	all := append(f.waypoints[:len(f.waypoints):len(f.waypoints)], w)
	f.waypoints = all[max(0, len(all)-maxWaypoints):]
	f.snap, f.unsaved, f.owed = nil, true, true
}

// setExtremes sets minima and maxima, which then run on from there, and lists
// the sensors whose changed. An empty text forgets both.
func (a *API) setExtremes(device string, set []extremes) (changed []string) {
	f := a.feedFor(device)
	if f == nil || len(set) == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !a.sync(f, device) {
		return nil
	}
	for _, e := range set {
		i, ok := f.shape.index[e.sensor]
		if !ok {
			continue
		}
		old := *f.values[i]
		if v := old.reset(e); v != old {
			v.set = a.now()
			f.values[i], f.snap, f.unsaved, f.owed = &v, nil, true, true
			changed = append(changed, e.sensor)
		}
	}
	return changed
}

// reset is v with the extremes that e gives.
func (v present) reset(e extremes) present {
	if e.max != nil && *e.max == "" || e.min != nil && *e.min == "" {
		v.min, v.max, v.ranged = 0, 0, false
	}
	if e.max != nil {
		if x, ok := number(*e.max); ok {
			if !v.ranged {
				v.min = x
			}
			v.min, v.max, v.ranged = min(v.min, x), x, true
		}
	}
	if e.min != nil {
		if x, ok := number(*e.min); ok {
			if !v.ranged {
				v.max = x
			}
			v.min, v.max, v.ranged = x, max(v.max, x), true
		}
	}
	return v
}
