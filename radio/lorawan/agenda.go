package lorawan

import (
	"container/heap"
	"time"
)

// agenda is a heap of devices by when something is to be done for them.
type agenda []*device

// set puts d where it belongs; never takes it out.
func (a *agenda) set(d *device, due time.Duration) {
	in := d.heap >= 0
	d.due = due
	switch {
	case in && due == never:
		heap.Remove(a, d.heap)
	case in:
		heap.Fix(a, d.heap)
	case due != never:
		heap.Push(a, d)
	}
}

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].due < a[j].due }

func (a agenda) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].heap, a[j].heap = i, j
}

func (a *agenda) Push(x any) {
	d := x.(*device)
	d.heap = len(*a)
	*a = append(*a, d)
}

func (a *agenda) Pop() any {
	d := (*a)[len(*a)-1]
	(*a)[len(*a)-1] = nil
	*a = (*a)[:len(*a)-1]
	d.heap = -1
	return d
}
