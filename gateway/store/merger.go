package store

// value is one that is loaded.
type value struct {
	entry
	place place
	base  uint64
}

// merger is runs of values, each in order, the one with the least first value
// at the top: a heap.
type merger []mergeRun

type mergeRun struct {
	place place // of its first value
	rest  []value
}

func (m *merger) add(run []value) {
	if len(run) == 0 {
		return
	}
	a := append(*m, mergeRun{run[0].place, run})
	for i := len(a) - 1; i > 0 && a[i].place.compare(a[(i-1)/2].place) < 0; i = (i - 1) / 2 {
		a[i], a[(i-1)/2] = a[(i-1)/2], a[i]
	}
	*m = a
}

func (m *merger) next() value {
	a := *m
	v := a[0].rest[0]
	if a[0].rest = a[0].rest[1:]; len(a[0].rest) > 0 {
		a[0].place = a[0].rest[0].place
	} else {
		a[0] = a[len(a)-1]
		a[len(a)-1] = mergeRun{}
		a = a[:len(a)-1]
	}
	for i := 0; ; {
		c := 2*i + 1
		if c+1 < len(a) && a[c+1].place.compare(a[c].place) < 0 {
			c++
		}
		if c >= len(a) || a[c].place.compare(a[i].place) >= 0 {
			break
		}
		a[i], a[c] = a[c], a[i]
		i = c
	}
	*m = a
	return v
}
