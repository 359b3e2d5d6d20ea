package sensors

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// worker talks to the drivers of one bus in a goroutine of its own, so that
// somebody can tell when they do not return.
type worker struct {
	jobs    chan job
	results chan outcome // holds one, so that a late result blocks nobody
	done    chan struct{}
}

type job struct {
	ctx context.Context
	t   *task
}

type outcome struct {
	samples []Sample
	err     error
}

// newWorker starts a worker for these tasks; stop ends it.
func newWorker(tasks []*task) *worker {
	w := &worker{jobs: make(chan job), results: make(chan outcome, 1), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for j := range w.jobs {
			samples, err := j.t.read(j.ctx)
			w.results <- outcome{samples, err}
		}
		for _, t := range tasks {
			_ = t.close()
		}
	}()
	return w
}

// stop closes the sensors, or gives up on them after Grace.
func (w *worker) stop() error {
	close(w.jobs)
	timer := time.NewTimer(Grace)
	defer timer.Stop()
	select {
	case <-w.done:
		return nil
	case <-timer.C:
		return ErrHung
	}
}

// read opens the sensor if need be and measures. After a failure it is closed,
// so that the next attempt opens it anew.
func (t *task) read(ctx context.Context) (samples []Sample, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("sensors: %s: the driver panicked: %v\n%s", t.driver.Name, p, debug.Stack())
		}
		if err != nil {
			_ = t.close()
		}
	}()
	if t.sampler == nil {
		env := Env{Bus: t.item.Bus, Device: t.item.Device, Sensor: t.item.SensorID(""), Now: time.Now}
		if t.sampler, err = t.driver.Open(ctx, env, t.item.Options); err != nil {
			t.sampler = nil // whatever came with the error
			return nil, err
		}
	}
	return t.sampler.Sample(ctx)
}

// close lets go of the sensor if it is open.
func (t *task) close() (err error) {
	if t.sampler == nil {
		return nil
	}
	s := t.sampler
	t.sampler = nil
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("sensors: %s: the driver panicked on closing: %v", t.driver.Name, p)
		}
	}()
	return s.Close()
}
