package js

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/dop251/goja"
)

// watchEvery is how often a running script is looked at: its time, its memory
// and its caller's context.
const watchEvery = 2 * time.Millisecond

// patience is how long, at least, a script that was told to stop may take to do
// so. A regular expression that backtracks ends within MaxTimeout and two ticks of
// regexp2's clock (100 ms).
const patience = 600 * time.Millisecond

// errStopped is what work gives that ended because the watch stopped it.
var errStopped = errors.New("stopped")

// outcome is what work gave.
type outcome[T any] struct {
	value T
	err   error
}

// run does work in a realm of its own, on a goroutine of its own, and stops it
// when it runs out of its bounds. Work that does not stop is given up: run
// returns, and the codec is refused until the work has ended.
func run[T any](ctx context.Context, c *Codec, work func(*realm) (T, error)) (T, error) {
	var none T
	if err := c.enter(ctx); err != nil {
		return none, err
	}
	r := newRealm(c)
	before := heap()
	done := make(chan outcome[T], 1)
	go func() {
		defer func() { // the last to happen: a new call may begin
			c.stuck.Store(false)
			<-c.turn
		}()
		value, err := protect(r, work)
		done <- outcome[T]{value, err}
	}()

	var why error
	used, last := time.Duration(0), time.Now()
	cancelled := ctx.Done()
	tick := time.NewTimer(watchEvery)
	defer tick.Stop()
	for {
		select {
		case o := <-done:
			if why == nil {
				c.ended(nil)
				return o.value, o.err
			}
			c.ended(why)
			return none, why // whatever it gave: a regular expression may have given up
		case <-cancelled:
			cancelled = nil
			why = ctx.Err()
			r.stop(why)
			continue
		case <-tick.C:
		}
		// A process that got no CPU is not the script's fault.
		now := time.Now()
		used += min(now.Sub(last), 4*watchEvery)
		last = now
		if grown := growth(&before); why == nil && grown > uint64(c.o.Memory) {
			why = fmt.Errorf("%w: more than %d MiB", ErrMemory, c.o.Memory>>20)
			r.stop(why)
		}
		if why == nil && used >= c.o.Timeout {
			why = fmt.Errorf("%w: more than %v", ErrTimeout, c.o.Timeout)
			r.stop(why)
		}
		if why != nil && used >= c.o.Timeout+max(c.o.Timeout, patience) {
			c.stuck.Store(true)
			select {
			case <-done: // just now
				c.stuck.Store(false)
				c.ended(why)
				return none, why
			default:
			}
			c.ended(why)
			return none, fmt.Errorf("%w in a built-in function: %w", ErrStuck, why)
		}
		tick.Reset(watchEvery)
	}
}

// enter waits for the codec's turn.
func (c *Codec) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.stuck.Load() {
		return fmt.Errorf("%w in a built-in function", ErrStuck)
	}
	c.mu.Lock()
	err := c.pauses.refused(time.Now())
	c.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case c.turn <- struct{}{}:
		return nil
	default:
	}
	wait := time.NewTimer(3*c.o.Timeout + time.Second)
	defer wait.Stop()
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
		return fmt.Errorf("%w: other calls wait for it", ErrStuck)
	}
}

// ended notes how a call ended; being cancelled is not the script's fault.
func (c *Codec) ended(why error) {
	if why != nil && !errors.Is(why, ErrTimeout) && !errors.Is(why, ErrMemory) {
		return
	}
	c.mu.Lock()
	c.pauses.ended(time.Now(), why)
	c.mu.Unlock()
}

// protect does work and turns what goja panics with into an error: its own
// signal to stop, and faults of the interpreter.
func protect[T any](r *realm, work func(*realm) (T, error)) (value T, err error) {
	defer func() {
		switch x := recover().(type) {
		case nil:
		case *goja.InterruptedError:
			err = errStopped
		case *goja.StackOverflowError:
			err = errTooDeep
		default:
			if r.c.o.Log != nil {
				r.c.o.Log.Debug("fault of the interpreter", "script", r.c.name, "fault", x, "stack", string(debug.Stack()))
			}
			err = fmt.Errorf("%w: fault of the interpreter: %.200s", ErrScript, fmt.Sprint(x))
		}
	}()
	if ex := r.rt.Try(func() { value, err = work(r) }); ex != nil {
		err = r.thrown(ex)
	}
	return value, err
}

// errTooDeep: calls nested deeper than maxDepth.
var errTooDeep = fmt.Errorf("%w: calls nested more than %d deep", ErrScript, maxDepth)

// heap is how many bytes are in use on the heap of the process, garbage that is
// not yet collected included.
func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// growth is by how much the heap has grown since it was smallest.
func growth(smallest *uint64) uint64 {
	now := heap()
	*smallest = min(*smallest, now)
	return now - *smallest
}
