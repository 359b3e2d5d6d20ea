package sim

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/sensors"
)

func TestDebounce(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		in := takeInput(t, b, 0, sensors.InputConfig{Edges: sensors.BothEdges, Debounce: 10 * time.Millisecond})
		edges := make(chan sensors.Edge, 10)
		go func() {
			for {
				e, err := in.Next(context.Background())
				if err != nil {
					close(edges)
					return
				}
				edges <- e
			}
		}()
		start := time.Now()
		bounce := func(ms int, high bool) {
			time.Sleep(time.Duration(ms)*time.Millisecond - time.Since(start))
			b.Drive(0, high)
		}
		expect := func(ms int, rising bool) {
			t.Helper()
			if e := <-edges; e.Rising != rising || e.At.Sub(start) != time.Duration(ms)*time.Millisecond {
				t.Errorf("edge %v after %v, want %v after %d ms", e.Rising, e.At.Sub(start), rising, ms)
			}
			if now := time.Since(start); now != time.Duration(ms)*time.Millisecond {
				t.Errorf("it came after %v, not after %d ms", now, ms)
			}
			if high, err := in.Level(); err != nil || high != rising {
				t.Errorf("level %v, %v", high, err)
			}
		}
		for ms := 100; ms < 150; ms += 6 { // too short each
			bounce(ms, true)
			bounce(ms+3, false)
			if high, err := in.Level(); err != nil || high {
				t.Errorf("level %v, %v", high, err)
			}
		}
		bounce(200, true)
		bounce(209, false)
		bounce(212, true)
		expect(222, true)
		bounce(300, false)
		expect(310, false)
		synctest.Wait()
		if len(edges) > 0 {
			t.Error("more edges:", <-edges)
		}
		_ = in.Close()
		<-edges
	})

	// Without anybody who waits, the edges are the same.
	powered(t, func(t *testing.T, b *Board) {
		in := takeInput(t, b, 0, sensors.InputConfig{Edges: sensors.BothEdges, Debounce: 10 * time.Millisecond})
		start := time.Now()
		for range 3 {
			b.Drive(0, true)
			time.Sleep(10 * time.Millisecond)
			b.Drive(0, false)
			time.Sleep(9 * time.Millisecond)
		}
		time.Sleep(time.Second)
		for i, ms := range []int{10, 58} { // low for 9 ms only in between, and at the end from 48 on
			if e := next(t, in); e.Rising != (i == 0) || e.At.Sub(start) != time.Duration(ms)*time.Millisecond {
				t.Errorf("edge %d: %v after %v", i, e.Rising, e.At.Sub(start))
			}
		}
		quiet(t, in)
	})
}

// No edge goes without being counted, whatever the reader does.
func TestManyEdges(t *testing.T) {
	const all = 100_000
	for name, step := range map[string]int{"paced by the reader": queueSize, "as fast as it goes": all} {
		b := New(nil, time.Now)
		in := takeInput(t, b, 0, sensors.InputConfig{Edges: sensors.BothEdges})
		read := make(chan int)
		go func() {
			for i := range all {
				if i%step == 0 && i > 0 {
					<-read
				}
				b.Drive(0, i%2 == 0)
			}
		}()
		seen, lost := 0, 0
		last := time.Time{}
		for seen+lost < all {
			e := next(t, in)
			lost += int(e.Lost)
			if e.Rising != ((seen+lost)%2 == 0) || e.At.Before(last) {
				t.Fatalf("%s: edge %d is %v", name, seen+lost, e)
			}
			last = e.At
			seen++
			if (seen+lost)%step == 0 && seen+lost < all {
				read <- seen
			}
		}
		if step == queueSize && lost > 0 {
			t.Errorf("%s: %d edges are lost", name, lost)
		}
		quiet(t, in)
	}
}

func TestQueueGrows(t *testing.T) {
	q := newQueue[int]()
	in, out := 0, 0
	for range 1000 { // three in, two out
		for range 3 {
			q.push(in)
			in++
		}
		for range 2 {
			if e, lost, ok := q.take(); e != out || lost != 0 || !ok {
				t.Fatalf("%d, %d, %v; want %d", e, lost, ok, out)
			}
			out++
		}
	}
	for ; out < in; out++ {
		if e, _, ok := q.take(); e != out || !ok {
			t.Fatalf("%d, %v; want %d", e, ok, out)
		}
	}
	if _, _, ok := q.take(); ok {
		t.Error("it is not empty")
	}
}

func TestQueueDropsTheOldest(t *testing.T) {
	b := New(nil, time.Now)
	in := takeInput(t, b, 0, sensors.InputConfig{Edges: sensors.BothEdges})
	for i := range queueSize + 101 {
		b.Drive(0, i%2 == 0)
	}
	if e := next(t, in); e.Lost != 101 || e.Rising {
		t.Errorf("the first edge is %v, want a falling one with 101 lost", e)
	}
	for range queueSize - 1 {
		if e := next(t, in); e.Lost != 0 {
			t.Fatal("lost", e.Lost)
		}
	}
	quiet(t, in)
}
