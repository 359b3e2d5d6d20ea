package main

import (
	"context"
	"io"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/store"
	"fieldgate/gateway/web"
)

// admin is what administrators may do over HTTP and the socket.
type admin struct{ *gatewayd }

func (a admin) Users() []access.User              { return a.registry.Users() }
func (a admin) PutUser(u access.User) error       { return a.registry.PutUser(u) }
func (a admin) DeleteUser(name string) error      { return a.registry.DeleteUser(name) }
func (a admin) Keys() []access.Key                { return a.registry.Keys() }
func (a admin) PutKey(k access.Key) error         { return a.registry.PutKey(k) }
func (a admin) DeleteKey(id string) error         { return a.registry.DeleteKey(id) }
func (a admin) PutDevice(d *gateway.Device) error { return a.registry.PutDevice(d) }
func (a admin) Log() web.LogAdmin                 { return logAdmin(a) }

// logAdmin looks into the log of a running gateway.
type logAdmin struct{ *gatewayd }

func (l logAdmin) Inspect(context.Context) (any, error)    { return l.records.Inspect() }
func (l logAdmin) Verify(ctx context.Context) (any, error) { return l.records.Verify(ctx) }

func (l logAdmin) Export(ctx context.Context, w io.Writer, q web.ExportQuery) error {
	return export(ctx, w, l.cfg.ID, q, l.records.Export())
}

// page gives the next run of records in the order of their sequence, none at
// the end.
type page func() ([]gateway.Record, error)

// export writes what q asks for.
func export(ctx context.Context, w io.Writer, id string, q web.ExportQuery, next page) error {
	wanted := func() ([]gateway.Record, error) {
		for {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			recs, err := next()
			if err != nil || len(recs) == 0 {
				return nil, err
			}
			out := recs[:0]
			for _, r := range recs {
				if (q.Device == "" || r.Device == q.Device) && (q.Sensor == "" || r.Channel == q.Sensor) && within(r.At, q.From, q.To) {
					out = append(out, r)
				}
			}
			if len(out) > 0 {
				return out, nil
			}
		}
	}
	if q.Format == "jsonl" {
		return store.ExportJSONLines(w, id, wanted)
	}
	return store.ExportCSV(w, id, wanted)
}

func within(at, from, to time.Time) bool {
	return (from.IsZero() || !at.Before(from)) && (to.IsZero() || !at.After(to))
}

// history reads values out of the log.
type history struct{ *gatewayd }

// Values implements web.History.
func (h history) Values(ctx context.Context, q web.HistoryQuery, fn func(gateway.Record) error) error {
	// An earlier device of the same id may have been somebody else's. Sensors
	// leave no history when they are deleted, actuators do.
	if d, ok := h.registry.Device(q.Device); ok && !d.Declared && q.Kind == gateway.KindActuator {
		q.Born = d.Created
	}
	return h.records.History(ctx, q, fn)
}
