package drivers

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/sensors"
	"fieldgate/sensors/sim"
)

func endedContext(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// watched is a Watcher that runs, and what it published.
type watched struct {
	sensors.Watcher
	mu     sync.Mutex
	got    []string
	cancel context.CancelFunc
	done   chan error
}

// watch opens a driver and runs its Watch.
func watch(t *testing.T, b sensors.Board, driver string, written map[string]string) *watched {
	t.Helper()
	s, err := attach(t, b, driver, written)
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{Watcher: s.(sensors.Watcher), done: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	w.cancel = cancel
	go func() { w.done <- w.Watch(ctx, w.emit) }()
	return w
}

func (w *watched) emit(samples []sensors.Sample) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range samples {
		w.got = append(w.got, s.Suffix+"="+string(s.Value))
	}
}

// take gives what was published since it was asked last, in a synctest bubble.
func (w *watched) take() string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	out := strings.Join(w.got, " ")
	w.got = nil
	return out
}

// end stops Watch and closes the sensor.
func (w *watched) end(t *testing.T) {
	t.Helper()
	w.cancel()
	if err := <-w.done; !errors.Is(err, context.Canceled) {
		t.Errorf("watch: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func (w *watched) want(t *testing.T, want string) {
	t.Helper()
	if got := w.take(); got != want {
		t.Errorf("published %q, want %q", got, want)
	}
}

func TestGPIOIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := sim.New(nil, time.Now)
		w := watch(t, b, "gpio-in", map[string]string{"pin": "sim:3"})
		synctest.Wait()
		if got, err := take(t.Context(), w); got != "" || err != nil {
			t.Errorf("%q, %v: published twice", got, err)
		}
		w.want(t, "=false")
		b.Drive(3, true)
		w.want(t, "=true")
		b.Drive(3, false)
		b.Drive(3, true)
		w.want(t, "=false =true")
		for range 2 { // the heartbeat
			if _, err := w.Sample(t.Context()); err != nil {
				t.Error(err)
			}
		}
		w.want(t, "=true =true")
		w.cancel()
		<-w.done
		if got, err := take(t.Context(), w); got != "=true" || err != nil {
			t.Errorf("the last sample: %q, %v", got, err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestGPIOInOptions(t *testing.T) {
	for _, c := range []struct {
		written map[string]string
		driven  string // low, high or nothing
		want    string
	}{
		{map[string]string{"pull": "up"}, "", "=true"},
		{map[string]string{"pull": "up", "active_low": "true"}, "", "=false"},
		{map[string]string{"pull": "up", "active_low": "true"}, "low", "=true"},
		{map[string]string{"pull": "down"}, "", "=false"},
		{map[string]string{"values": "number"}, "high", "=1"},
		{map[string]string{"values": "number", "active_low": "true"}, "high", "=0"},
		{nil, "high", "=true"},
	} {
		b := sim.New(nil, time.Now)
		if c.driven != "" {
			b.Drive(3, c.driven == "high")
		}
		written := map[string]string{"pin": "sim:3"}
		for k, v := range c.written {
			written[k] = v
		}
		if got, err := measure(t, b, "gpio-in", written); got != c.want || err != nil {
			t.Errorf("%v, driven %s: %q, %v; want %q", c.written, c.driven, got, err, c.want)
		}
	}
	var asked sensors.InputConfig
	line := &scriptedLine{}
	for pull, want := range map[string]sensors.Pull{"up": sensors.PullUp, "down": sensors.PullDown, "none": sensors.PullNone, "as-is": sensors.PullAsIs} {
		board := askedBoard{&bench{inputs: map[string]sensors.Input{"GPIO17": line}}, &asked}
		if _, err := measure(t, board, "gpio-in", map[string]string{"pin": "GPIO17", "pull": pull, "debounce": "20ms"}); err != nil {
			t.Error(err)
		}
		if asked != (sensors.InputConfig{Pull: want, Edges: sensors.BothEdges, Debounce: 20 * time.Millisecond}) {
			t.Errorf("pull %s: %+v", pull, asked)
		}
	}
}

// askedBoard notes how a line was asked for.
type askedBoard struct {
	*bench
	asked *sensors.InputConfig
}

func (b askedBoard) Input(pin string, c sensors.InputConfig) (sensors.Input, error) {
	*b.asked = c
	return b.bench.Input(pin, c)
}

func TestGPIOInDebounces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := sim.New(nil, time.Now)
		w := watch(t, b, "gpio-in", map[string]string{"pin": "sim:3", "debounce": "20ms"})
		for range 5 {
			b.Drive(3, true)
			time.Sleep(time.Millisecond)
			b.Drive(3, false)
			time.Sleep(time.Millisecond)
		}
		b.Drive(3, true)
		time.Sleep(time.Second)
		w.want(t, "=true")
		w.end(t)
	})
}

// scriptedLine is an input with the edges that a test gives, in any order.
type scriptedLine struct {
	edges  chan sensors.Edge
	mu     sync.Mutex
	level  bool
	broken error
	closed int
}

func (l *scriptedLine) set(level bool, broken error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.level, l.broken = level, broken
}

func (l *scriptedLine) Level() (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.level, l.broken
}

func (l *scriptedLine) Next(ctx context.Context) (sensors.Edge, error) {
	select {
	case e, ok := <-l.edges:
		if !ok {
			return e, sensors.ErrAbsent
		}
		return e, nil
	default:
	}
	select {
	case e, ok := <-l.edges:
		if !ok {
			return e, sensors.ErrAbsent
		}
		return e, nil
	case <-ctx.Done():
		return sensors.Edge{}, ctx.Err()
	}
}

func (l *scriptedLine) Close() error { l.closed++; return nil }

// TestGPIOInBelievesTheLevel: edges may be lost, and the kernel may take one for
// the other.
func TestGPIOInBelievesTheLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := &scriptedLine{edges: make(chan sensors.Edge, 8)}
		w := watch(t, &bench{inputs: map[string]sensors.Input{"GPIO17": line}}, "gpio-in", map[string]string{"pin": "GPIO17"})
		line.set(true, nil)
		line.edges <- sensors.Edge{Rising: true}
		w.want(t, "=true")
		line.edges <- sensors.Edge{Rising: true} // no change
		w.want(t, "")
		line.set(false, nil)
		line.edges <- sensors.Edge{Rising: true, Lost: 3}
		w.want(t, "=false")
		line.set(true, nil)
		line.edges <- sensors.Edge{Rising: false}
		w.want(t, "=true")
		line.set(true, errors.New("I/O error"))
		line.edges <- sensors.Edge{Rising: false, Lost: 1}
		if err := <-w.done; err == nil || !strings.Contains(err.Error(), "gpio-in at GPIO17: I/O error") {
			t.Errorf("watch: %v", err)
		}
		if got, err := take(t.Context(), w); err == nil || got != "" {
			t.Errorf("sample: %q, %v", got, err)
		}
		if err := w.Close(); err != nil || line.closed != 1 {
			t.Errorf("close: %v, %d times", err, line.closed)
		}
	})
}

func TestGPIOInThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := sim.New(nil, time.Now)
		w := watch(t, b, "gpio-in", map[string]string{"pin": "sim:3"})
		_, err := attach(t, b, "gpio-in", map[string]string{"pin": "sim:3"})
		if !errors.Is(err, sensors.ErrTaken) || !strings.Contains(err.Error(), "gpio-in at sim:3") {
			t.Errorf("taken: %v", err)
		}
		b.Unplug()
		if err := <-w.done; !errors.Is(err, sensors.ErrAbsent) || !strings.Contains(err.Error(), "gpio-in at sim:3") {
			t.Errorf("watch: %v", err)
		}
		if got, err := take(t.Context(), w); !errors.Is(err, sensors.ErrAbsent) || got != "" {
			t.Errorf("sample: %q, %v", got, err)
		}
		if err := w.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
			t.Error(err)
		}
		b.Plug()
		if got, err := measure(t, b, "gpio-in", map[string]string{"pin": "sim:3"}); got != "=false" || err != nil {
			t.Errorf("plugged in again: %q, %v", got, err)
		}
	})
}

// TestGPIOInSampleAndEdgeKeepTheirOrder: what was published last is the level of
// the line, however sampling and edges meet.
func TestGPIOInSampleAndEdgeKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := sim.New(nil, time.Now)
		w := watch(t, b, "gpio-in", map[string]string{"pin": "sim:3"})
		synctest.Wait()
		for i := range 2000 {
			var both sync.WaitGroup
			both.Go(func() { b.Drive(3, i%2 == 0) })
			both.Go(func() {
				if samples, err := w.Sample(t.Context()); err != nil || len(samples) > 0 {
					t.Errorf("%v, %v", samples, err)
				}
			})
			both.Wait()
			want := map[bool]string{true: "=true", false: "=false"}[i%2 == 0]
			if got := w.take(); !strings.HasSuffix(got, want) {
				t.Fatalf("%d: published %q, the line is %s", i, got, want)
			}
		}
		w.end(t)
	})
}

// BenchmarkEdgeToSample measures the time from an edge of a line to the sample.
func BenchmarkEdgeToSample(b *testing.B) {
	board := sim.New(nil, time.Now)
	d, _ := sensors.Builtin().Lookup("gpio-in")
	o, wrong := d.Parse(map[string]string{"pin": "sim:3"})
	if len(wrong) > 0 {
		b.Fatal(wrong)
	}
	s, err := d.Open(b.Context(), sensors.Env{Board: board, Now: time.Now,
		Last: func(string) (json.RawMessage, bool) { return nil, false }}, o)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(b.Context())
	emitted, done := make(chan time.Time, 1), make(chan error, 1)
	go func() {
		done <- s.(sensors.Watcher).Watch(ctx, func([]sensors.Sample) { emitted <- time.Now() })
	}()
	took := make([]time.Duration, 0, b.N)
	high := false
	for b.Loop() {
		high = !high
		begin := time.Now()
		board.Drive(3, high)
		took = append(took, (<-emitted).Sub(begin))
	}
	cancel()
	<-done
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
}
