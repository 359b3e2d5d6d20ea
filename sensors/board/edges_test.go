package board

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warthog618/go-gpiocdev/uapi"

	"fieldgate/sensors"
)

// event is an edge as the kernel writes it.
func event(rising bool, ns uint64, seq uint32) []byte {
	b := make([]byte, eventSize)
	id := uint32(uapi.LineEventFallingEdge)
	if rising {
		id = uint32(uapi.LineEventRisingEdge)
	}
	binary.NativeEndian.PutUint64(b, ns)
	binary.NativeEndian.PutUint32(b[8:], id)
	binary.NativeEndian.PutUint32(b[16:], seq)
	binary.NativeEndian.PutUint32(b[20:], seq)
	return b
}

// pipeInput is an input whose kernel is a pipe.
func pipeInput(t *testing.T, queue int) (*input, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := r.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	in := &input{pin: "GPIO17", edges: newEdgeQueue(queue)}
	l := &line{file: r, raw: raw, read: make(chan struct{})}
	in.line = l
	begin := time.Now()
	go func() {
		defer close(l.read)
		readEdges(r, in.edges, func() (time.Time, time.Duration) { return begin.Add(time.Second), 10 * time.Second })
	}()
	t.Cleanup(func() { in.Close(); w.Close() })
	return in, w
}

// TestEdges: what the kernel writes is what Next gives, with the edges that the
// kernel lost.
func TestEdges(t *testing.T) {
	in, w := pipeInput(t, 16)
	var batch []byte
	for _, e := range []struct {
		rising bool
		seq    uint32
	}{{true, 1}, {false, 2}, {true, 7}, {false, 8}} {
		batch = append(batch, event(e.rising, uint64(9*time.Second)+uint64(e.seq), e.seq)...)
	}
	if _, err := w.Write(batch); err != nil {
		t.Fatal(err)
	}
	var before time.Time
	for i, want := range []sensors.Edge{{Rising: true}, {}, {Rising: true, Lost: 4}, {}} {
		e, err := in.Next(t.Context())
		if err != nil || e.Rising != want.Rising || e.Lost != want.Lost {
			t.Errorf("%d: %+v %v", i, e, err)
		}
		if i > 0 && !e.At.After(before) {
			t.Errorf("%d: %v is not after %v", i, e.At, before)
		}
		before = e.At
	}
}

// TestChipGone: Next says so, after the edges that came before.
func TestChipGone(t *testing.T) {
	q := newEdgeQueue(4)
	in := &input{pin: "GPIO17", edges: q}
	q.push(true, time.Now(), 1)
	q.fail(&os.PathError{Op: "read", Path: "gpiochip9:1", Err: syscall.ENODEV})
	if e, err := in.Next(t.Context()); err != nil || !e.Rising {
		t.Error(e, err)
	}
	for range 2 { // and goes on saying so
		if _, err := in.Next(t.Context()); !errors.Is(err, sensors.ErrAbsent) {
			t.Error(err)
		}
	}
}

// TestCloseEndsNext: Close from another goroutine ends a Next that waits, and
// waits itself for whoever reads.
func TestCloseEndsNext(t *testing.T) {
	in, _ := pipeInput(t, 4)
	ended := make(chan error)
	go func() {
		_, err := in.Next(context.Background())
		ended <- err
	}()
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-in.line.(*line).read:
	default:
		t.Error("the reader runs on")
	}
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	if _, err := in.Level(); err == nil {
		t.Error("a closed line has a level")
	}
	if err := in.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed twice: %v", err)
	}
}

// TestNextEnds: the error is that of the context, also when there are edges.
func TestNextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &input{pin: "GPIO17", edges: newEdgeQueue(4)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := in.Next(ctx); err != context.DeadlineExceeded {
			t.Error(err)
		}
		in.edges.push(true, time.Now(), 0)
		if _, err := in.Next(ctx); err != context.DeadlineExceeded {
			t.Error(err)
		}
		if e, err := in.Next(t.Context()); err != nil || !e.Rising {
			t.Error("the edge is gone", err)
		}
	})
	if _, err := (&input{pin: "GPIO17"}).Next(t.Context()); err == nil {
		t.Error("edges that nobody asked for")
	}
}

// TestQueueOverflow: when nobody takes them, the newest edges stay, and no edge
// is missing from the sum of edges and lost ones.
func TestQueueOverflow(t *testing.T) {
	for _, size := range []int{1, 2, 5} {
		q := newEdgeQueue(size)
		const total = 23
		gaps := uint32(0)
		seq := uint32(0)
		for i := range total {
			seq++
			if i%7 == 6 {
				seq += 3
				gaps += 3
			}
			q.push(i%2 == 0, time.Unix(int64(i), 0), seq)
		}
		var sum uint32
		for i := range size {
			e, err := q.next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if want := total - size + i; e.At != time.Unix(int64(want), 0) || e.Rising != (want%2 == 0) {
				t.Errorf("size %d: edge %d is of %v", size, i, e.At.Unix())
			}
			sum += 1 + e.Lost
		}
		if sum != total+gaps || q.n != 0 {
			t.Errorf("size %d: %d of %d edges, %d left", size, sum, total+gaps, q.n)
		}
	}
	if n := lostMore(math.MaxUint32, 5); n != math.MaxUint32 {
		t.Error(n)
	}
}

// TestNumbersTurn: the kernel's number of an edge may turn over.
func TestNumbersTurn(t *testing.T) {
	q := newEdgeQueue(4)
	q.last = math.MaxUint32 - 1
	q.push(true, time.Now(), math.MaxUint32)
	q.push(false, time.Now(), 3)
	for i, lost := range []uint32{0, 3} { // 0, 1 and 2 are missing
		if e, _ := q.next(t.Context()); e.Lost != lost {
			t.Errorf("%d: %d lost", i, e.Lost)
		}
	}
}

func TestStamp(t *testing.T) {
	now := time.Now()
	const monotonic = 2 * time.Hour
	for _, c := range []struct {
		ns   uint64
		back time.Duration
	}{
		{uint64(monotonic), 0},
		{uint64(monotonic - time.Second), time.Second},
		{uint64(monotonic + 1), 0},     // of another clock
		{uint64(time.Minute), 0},       // likewise
		{1_700_000_000_000_000_000, 0}, // the wall clock
		{math.MaxUint64, 0},            //
		{uint64(monotonic - time.Hour), time.Hour},
	} {
		if at := stamp(now, monotonic, c.ns); now.Sub(at) != c.back {
			t.Errorf("%d: %v back", c.ns, now.Sub(at))
		}
	}
	if wall, monotonic := clocks(); monotonic <= 0 || wall.IsZero() {
		t.Error(wall, monotonic)
	}
}

func FuzzReadEdges(f *testing.F) {
	f.Add(append(event(true, 5, 1), event(false, 6, 9)...))
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, w := io.Pipe()
		go func() {
			w.Write(b)
			w.Close()
		}()
		q := newEdgeQueue(8)
		now := time.Now()
		readEdges(r, q, func() (time.Time, time.Duration) { return now, time.Hour })
		r.Close()
		n := 0
		for {
			e, err := q.next(t.Context())
			if err != nil {
				break
			}
			n++
			if e.At.After(now) || now.Sub(e.At) > time.Hour {
				t.Fatalf("edge at %v", e.At)
			}
		}
		if n > 8 || n > len(b)/eventSize {
			t.Fatalf("%d edges of %d bytes", n, len(b))
		}
	})
}
