package uplink

import "time"

// Backoff is how long to wait between attempts to connect. The first retry
// comes at once (within First), the further ones after Min, doubling up to Max;
// each wait is shortened at random by up to a half, so that many gateways that
// lost the same cloud do not come back in step.
type Backoff struct {
	First time.Duration // default 200 ms
	Min   time.Duration // default 1 s
	Max   time.Duration // default 2 min
	// Unreached bounds the waits while nobody answers at all, which costs next
	// to nothing on a metered link: when the cloud is back, data should be too.
	// Default 15 s.
	Unreached time.Duration
	Good      time.Duration // after a connection that lasted this long the waits start over; default 30 s
}

func (b *Backoff) fill() {
	setDefault(&b.First, 200*time.Millisecond)
	setDefault(&b.Min, time.Second)
	setDefault(&b.Max, 2*time.Minute)
	setDefault(&b.Unreached, 15*time.Second)
	setDefault(&b.Good, 30*time.Second)
}

// delay is the wait before retry number n (from 0), at most most, with the
// random number r, 0 <= r < 1.
func (b Backoff) delay(n int, most time.Duration, r float64) time.Duration {
	d := b.First
	if n > 0 {
		d = b.Min
		for i := 1; i < n && d < most; i++ {
			d *= 2
		}
	}
	d = min(d, most)
	return d - time.Duration(r*float64(d)/2)
}

// retries counts the attempts since the last good connection.
type retries struct {
	backoff Backoff
	rand    func() float64
	n       int
	useful  bool // what was said of the connection before
}

// next gives the wait after a connection that lasted for held (0 if there was
// none). Useful says that it served its purpose, however short; a cloud that
// ends one such connection after the other is asked again after Min each time.
// Unreached says that nobody answered.
func (r *retries) next(held time.Duration, useful, unreached bool) time.Duration {
	switch {
	case held >= r.backoff.Good, useful && !r.useful:
		r.n = 0
	case useful:
		r.n = min(r.n, 1)
	}
	r.useful = useful
	most := r.backoff.Max
	if unreached {
		most = min(most, r.backoff.Unreached)
	}
	d := r.backoff.delay(r.n, most, r.rand())
	r.n++
	return d
}
