package feeds

import (
	"context"
	"time"

	"fieldgate/gateway"
)

// Bounds of what is read at the start, so that it comes soon whatever happened.
const (
	rebuiltValues = 10_000           // of one sensor, the newest
	rebuildTime   = 10 * time.Second // in all
	rebuildBefore = time.Minute      // values may have been on their way for as long when their extremes were written
)

// rebuild extends extremes by the values that came after they were written, as
// before a crash. Saved is up to when all entries of the table are complete, so
// that a feed without one had no extremes then; zero: nobody knows. It is called
// before anybody else sees the feeds.
func (a *API) rebuild(saved time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), rebuildTime)
	defer cancel()
	failed := 0
	var why error
	for _, d := range a.cfg.Registry.Devices() {
		f := a.feedFor(d.ID)
		snap, ok := a.snapshotOf(d.ID)
		if f == nil || !ok {
			continue
		}
		from := f.saved.Saved
		if saved.After(from) {
			from = saved
		}
		if from.IsZero() {
			continue
		}
		from = from.Add(-rebuildBefore)
		for i, st := range snap.streams {
			if snap.values[i].at.Before(from) {
				continue // it has had no value since
			}
			if err := a.extend(ctx, f, snap, i, from); err != nil {
				a.log.Debug("extremes are not brought up to date", "device", d.ID, "sensor", st.sensor, "error", err)
				failed, why = failed+1, err
			}
		}
	}
	if failed > 0 {
		a.log.Error("extremes of sensors may lack values from before the start", "sensors", failed, "error", why)
	}
}

// extend extends the extremes of the i-th stream of f by its values since from.
func (a *API) extend(ctx context.Context, f *feed, snap *snapshot, i int, from time.Time) error {
	old := snap.values[i]
	v := old
	q := a.query(snap, snap.streams[i].sensor)
	q.From, q.Limit, q.Backward = from, rebuiltValues, true
	err := a.cfg.History.History(ctx, q, func(r gateway.Record) error {
		if !r.Stamp.Wall.Before(old.set) {
			v = v.within(&r)
		}
		return nil
	})
	if *v != *old {
		f.mu.Lock()
		f.values[i], f.snap, f.unsaved = v, nil, true
		f.mu.Unlock()
	}
	return err
}
