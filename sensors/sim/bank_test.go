package sim

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/sensors"
)

func takeInput(t *testing.T, b *Board, n int, c sensors.InputConfig) sensors.Input {
	t.Helper()
	in, err := b.Input(fmt.Sprint("sim:", n), c)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func takeOutput(t *testing.T, b *Board, n int, high bool) sensors.Output {
	t.Helper()
	o, err := b.Output(fmt.Sprint("sim:", n), high)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func next(t *testing.T, in sensors.Input) sensors.Edge {
	t.Helper()
	e, err := in.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// quiet checks that no edge is there.
func quiet(t *testing.T, in sensors.Input) {
	t.Helper()
	if e, ok, _, err := in.(*input).poll(); ok || err != nil {
		t.Errorf("edge %v, %v; want none", e, err)
	}
}

func level(t *testing.T, b *Board, n int, want bool) {
	t.Helper()
	if got := b.Level(n); got != want {
		t.Errorf("sim:%d is %v, want %v", n, got, want)
	}
}

func TestWiring(t *testing.T) {
	b := New(nil, time.Now)
	for n := range 16 {
		o := takeOutput(t, b, n, true)
		in := takeInput(t, b, n+16, sensors.InputConfig{Edges: sensors.BothEdges})
		for m := range Lines {
			level(t, b, m, m%16 == n)
		}
		quiet(t, in)
		if err := o.Set(false); err != nil {
			t.Fatal(err)
		}
		if e := next(t, in); e.Rising {
			t.Errorf("sim:%d: a rising edge", n+16)
		}
		level(t, b, n, false)
		if err := errors.Join(o.Close(), in.Close()); err != nil {
			t.Error(err)
		}
		// The other way round.
		o = takeOutput(t, b, n+16, true)
		in = takeInput(t, b, n, sensors.InputConfig{})
		if high, err := in.Level(); err != nil || !high {
			t.Errorf("sim:%d: %v, %v", n, high, err)
		}
		if err := errors.Join(o.Set(false), o.Close(), in.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatDecides(t *testing.T) {
	b := New(nil, time.Now)
	level(t, b, 3, false) // nothing
	in := takeInput(t, b, 3, sensors.InputConfig{Pull: sensors.PullUp})
	level(t, b, 3, true)
	level(t, b, 19, true) // the pull reaches the other end
	far := takeInput(t, b, 19, sensors.InputConfig{Pull: sensors.PullDown})
	level(t, b, 19, false)
	level(t, b, 3, true) // its own pull first
	b.Drive(19, false)
	level(t, b, 3, false)
	b.Drive(3, true)
	level(t, b, 3, true)
	level(t, b, 19, false)
	b.Release(3)
	level(t, b, 3, false)
	b.Release(19)
	level(t, b, 3, true)

	// As is: the pull stays. None: it goes.
	if err := errors.Join(in.Close(), far.Close()); err != nil {
		t.Error(err)
	}
	in = takeInput(t, b, 3, sensors.InputConfig{})
	level(t, b, 3, true)
	_ = in.Close()
	in = takeInput(t, b, 3, sensors.InputConfig{Pull: sensors.PullNone})
	level(t, b, 3, false)
	_ = in.Close()

	// An output wins over the rest, and keeps its level when it is let go of.
	o := takeOutput(t, b, 3, true)
	b.Drive(3, false)
	level(t, b, 3, true)
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	level(t, b, 3, true)
	level(t, b, 19, true)
	if err := o.Set(false); !errors.Is(err, fs.ErrClosed) {
		t.Error("set after Close:", err)
	}
	level(t, b, 3, true)
	again := takeOutput(t, b, 3, false)
	level(t, b, 3, false)
	_ = o.Close() // once more; it must not let go of what is another's now
	if _, err := b.Output("sim:3", true); !errors.Is(err, sensors.ErrTaken) {
		t.Error("taken twice:", err)
	}
	_ = again.Set(true)
	_ = again.Close()
	in = takeInput(t, b, 3, sensors.InputConfig{})
	level(t, b, 3, false) // what drives it from outside
	_ = in.Close()
}

func TestTaken(t *testing.T) {
	b := New(nil, time.Now)
	in := takeInput(t, b, 7, sensors.InputConfig{})
	o := takeOutput(t, b, 8, true)
	for _, n := range []int{7, 8} {
		for _, kind := range []string{"in", "out"} {
			if err := open(b, kind, fmt.Sprint("sim:", n)); !errors.Is(err, sensors.ErrTaken) {
				t.Errorf("sim:%d: %v", n, err)
			}
		}
	}
	level(t, b, 7, false)
	level(t, b, 8, true)
	if err := errors.Join(in.Close(), in.Close(), o.Close()); err != nil {
		t.Error(err)
	}
	if _, err := in.Level(); !errors.Is(err, fs.ErrClosed) {
		t.Error("level after Close:", err)
	}
	takeInput(t, b, 8, sensors.InputConfig{})
	takeOutput(t, b, 7, true)
}

func TestEdges(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		in := takeInput(t, b, 20, sensors.InputConfig{Edges: sensors.BothEdges})
		o := takeOutput(t, b, 4, false)
		quiet(t, in)
		for i := range 10 {
			time.Sleep(time.Second)
			at := time.Now()
			if err := errors.Join(o.Set(i%2 == 0), o.Set(i%2 == 0)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if e := next(t, in); e.Rising != (i%2 == 0) || !e.At.Equal(at) || e.Lost != 0 {
				t.Errorf("edge %d is %v", i, e)
			}
		}
		quiet(t, in)

		// One that waits is woken.
		got := make(chan error, 1)
		wait := func(ctx context.Context) { go func() { _, err := in.Next(ctx); got <- err }() }
		ctx, cancel := context.WithCancel(t.Context())
		wait(ctx)
		synctest.Wait()
		_ = o.Set(true)
		if err := <-got; err != nil {
			t.Error(err)
		}
		wait(ctx)
		synctest.Wait()
		cancel()
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Error("cancelled:", err)
		}
		wait(t.Context())
		synctest.Wait()
		b.Unplug()
		if err := <-got; !errors.Is(err, sensors.ErrAbsent) {
			t.Error("unplugged:", err)
		}
		if _, err := in.Level(); !errors.Is(err, sensors.ErrAbsent) {
			t.Error("unplugged:", err)
		}
		if err := o.Set(false); !errors.Is(err, sensors.ErrAbsent) {
			t.Error("unplugged:", err)
		}
		if err := open(b, "in", "sim:1"); !errors.Is(err, sensors.ErrAbsent) {
			t.Error("unplugged:", err)
		}
		b.Plug()
		if err := o.Set(false); err != nil {
			t.Error(err)
		}
		next(t, in)
		wait(t.Context())
		synctest.Wait()
		_ = in.Close()
		if err := <-got; !errors.Is(err, fs.ErrClosed) {
			t.Error("closed:", err)
		}

		// What is queued comes before the reason why there is no more.
		in = takeInput(t, b, 20, sensors.InputConfig{Edges: sensors.BothEdges})
		_ = o.Set(true)
		if _, err := in.Next(ctx); !errors.Is(err, context.Canceled) {
			t.Error("cancelled:", err)
		}
		b.Unplug()
		next(t, in)
		if _, err := in.Next(t.Context()); !errors.Is(err, sensors.ErrAbsent) {
			t.Error("unplugged:", err)
		}
		b.Plug()
		_ = o.Set(false)
		_ = in.Close()
		next(t, in)
		if _, err := in.Next(t.Context()); !errors.Is(err, fs.ErrClosed) {
			t.Error("closed:", err)
		}
		without := takeInput(t, b, 1, sensors.InputConfig{})
		if _, err := without.Next(t.Context()); err == nil {
			t.Error("an edge without having asked for edges")
		}
	})
}

func TestWatch(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		w := b.Watch()
		o := takeOutput(t, b, 2, true)
		time.Sleep(time.Second)
		b.Drive(5, true)
		if err := o.Set(false); err != nil {
			t.Fatal(err)
		}
		start := time.Now().Add(-time.Second)
		for _, want := range []Change{{2, true, start, 0}, {18, true, start, 0}, {5, true, time.Now(), 0}, {21, true, time.Now(), 0}, {2, false, time.Now(), 0}, {18, false, time.Now(), 0}} {
			c, err := w.Next(t.Context())
			if err != nil || c.Line != want.Line || c.High != want.High || !c.At.Equal(want.At) {
				t.Errorf("%v, %v; want %v", c, err, want)
			}
		}
		w.Close()
		_ = o.Set(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if c, err := w.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after Close: %v, %v", c, err)
		}

		if err := b.Await(t.Context(), 2, true); err != nil {
			t.Error(err)
		}
		got := make(chan error)
		go func() { got <- b.Await(t.Context(), 2, false) }()
		synctest.Wait()
		b.Drive(9, true)
		synctest.Wait()
		_ = o.Set(false)
		if err := <-got; err != nil {
			t.Error(err)
		}
		if err := b.Await(ctx, 2, true); err == nil {
			t.Error("a level that did not come")
		}
	})
}

// The way of an edge from who makes it to who waits for it.
func BenchmarkEdge(b *testing.B) {
	board := New(nil, time.Now)
	in, err := board.Input("sim:20", sensors.InputConfig{Edges: sensors.BothEdges})
	if err != nil {
		b.Fatal(err)
	}
	o, err := board.Output("sim:4", false)
	if err != nil {
		b.Fatal(err)
	}
	high := false
	for b.Loop() {
		high = !high
		if err := o.Set(high); err != nil {
			b.Fatal(err)
		}
		if _, err := in.Next(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
