package sensors

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"time"
)

// read opens the sensor if need be and measures. After a failure it is closed,
// so that the next attempt opens it anew.
func (p *Poller) read(ctx context.Context, t *task) (samples []Sample, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("sensors: %s: the driver panicked: %v\n%s", t.driver.Name, r, debug.Stack())
		}
		if err != nil {
			_ = t.close()
		}
	}()
	if t.sampler == nil {
		env := Env{Bus: t.item.Bus, Device: t.item.Device, Sensor: t.item.SensorID(""), Now: time.Now, Board: p.board,
			Last: func(suffix string) (json.RawMessage, bool) { return p.lastValue(t, suffix) }}
		if t.sampler, err = t.driver.Open(ctx, env, t.item.Options); err != nil {
			t.sampler = nil // whatever came with the error
			return nil, err
		}
		if w, ok := t.sampler.(Watcher); ok {
			t.watch = p.startWatch(t, w)
		}
	}
	if err := t.watch.failed(); err != nil {
		return nil, err
	}
	return t.sampler.Sample(ctx)
}

// farewell closes a sensor when the gateway stops. One that has news by itself
// is asked for the last of it.
func (p *Poller) farewell(t *task) {
	t.line.mu.Lock()
	t.line.busy = &call{task: t}
	t.line.mu.Unlock()
	if t.watch != nil && t.sampler != nil && t.watch.failed() == nil {
		t.watch.stop()
		t.watch = nil
		ctx, cancel := context.WithTimeout(context.Background(), Grace/2)
		defer cancel()
		if samples, err := p.read(ctx, t); err == nil {
			_ = p.submit(t, samples, time.Now(), true)
		}
	}
	_ = t.close()
}

// close lets go of the sensor if it is open.
func (t *task) close() (err error) {
	if t.sampler == nil {
		return nil
	}
	s, w := t.sampler, t.watch
	t.sampler, t.watch = nil, nil
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("sensors: %s: the driver panicked on closing: %v", t.driver.Name, r)
		}
	}()
	w.stop()
	return s.Close()
}

// watch is a Watcher's Watch that runs. A nil *watch is one that nobody runs.
type watch struct {
	began  time.Time
	cancel context.CancelFunc
	done   chan struct{}
	err    error // after done
}

// startWatch runs Watch and has its task read at once when it fails.
func (p *Poller) startWatch(t *task, w Watcher) *watch {
	ctx, cancel := context.WithCancel(context.Background())
	run := &watch{began: time.Now(), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer func() {
			if r := recover(); r != nil {
				run.err = fmt.Errorf("sensors: %s: the driver panicked: %v\n%s", t.driver.Name, r, debug.Stack())
			}
			if run.err == nil && ctx.Err() == nil {
				run.err = fmt.Errorf("sensors: %s: stopped watching", t.driver.Name)
			}
			close(run.done)
			select {
			case t.line.broken <- struct{}{}:
			default:
			}
		}()
		run.err = w.Watch(ctx, func(samples []Sample) {
			if err := p.submit(t, samples, time.Now(), false); err != nil {
				p.change(t, Failing, err)
				return
			}
			p.well(t)
		})
	}()
	return run
}

// failed is why Watch has ended, nil while it runs.
func (w *watch) failed() error {
	if w == nil {
		return nil
	}
	select {
	case <-w.done:
		return w.err
	default:
		return nil
	}
}

// stop ends Watch and waits until it has returned.
func (w *watch) stop() {
	if w != nil {
		w.cancel()
		<-w.done
	}
}
