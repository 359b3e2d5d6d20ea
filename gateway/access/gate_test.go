package access

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a gate with a clock of its own, and one account: ann with a hash
// that costs little.
type bench struct {
	*Gate
	t *testing.T

	mu     sync.Mutex
	clock  time.Time
	waited []time.Duration
}

const annPassword = "open sesame"

func cheapHash(password string) string {
	h := argonHash{memory: 8, passes: 1, threads: 1, salt: []byte("saltsalt")}
	h.sum = h.compute([]byte(password), hashBytes)
	return h.String()
}

var annHash = cheapHash(annPassword)

func newBench(t *testing.T, opts GateOptions) *bench {
	b := &bench{t: t, clock: time.Date(1970, 1, 1, 0, 0, 5, 0, time.UTC)}
	opts.Now = func() time.Time {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.clock
	}
	opts.Wait = func(ctx context.Context, d time.Duration) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.waited = append(b.waited, d)
		return ctx.Err()
	}
	b.Gate = NewGate(opts)
	b.dummy.memory, b.dummy.passes = 8, 1
	return b
}

func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock = b.clock.Add(d)
}

// ann tries ann's account.
func (b *bench) ann(addr, password string) error {
	return b.Check(b.t.Context(), addr, "ann", []byte(password), annHash, true)
}

func (b *bench) nobody(addr, name string) error {
	return b.Check(b.t.Context(), addr, name, []byte("guess"), "", false)
}

func (b *bench) want(err, want error) {
	b.t.Helper()
	if !errors.Is(err, want) || want == nil && err != nil {
		b.t.Errorf("got %v, want %v", err, want)
	}
}

// delay is the last delay, 0 if there was none since the last call.
func (b *bench) delay() (d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.waited); n > 0 {
		d = b.waited[n-1]
	}
	b.waited = nil
	return d
}

func TestGateChecks(t *testing.T) {
	b := newBench(t, GateOptions{})
	b.want(b.ann("192.0.2.1:1", annPassword), nil)
	b.want(b.ann("192.0.2.1:1", annPassword+"!"), ErrBadCredentials)
	b.want(b.ann("192.0.2.1:1", ""), ErrBadCredentials)
	b.want(b.nobody("192.0.2.1:1", "bob"), ErrBadCredentials)
	ctx := t.Context()
	b.want(b.Check(ctx, "a", "ann", []byte(annPassword), annHash, false), ErrBadCredentials) // verdict or not
	b.want(b.Check(ctx, "a", "bob", []byte("x"), "", true), ErrBadCredentials)               // an account that lets nobody in
	b.want(b.Check(ctx, "a", "bob", nil, cheapHash(""), true), ErrBadCredentials)            // nor does one without password
	b.want(b.Check(ctx, "a", "bob", []byte("x"), "x", true), ErrBadCredentials)              // a damaged hash
	long := make([]byte, 100_000)
	b.want(b.Check(ctx, "b", "bob", long, cheapHash(string(long[:MaxPassword])), true), ErrBadCredentials)
}

func TestGateRemembersSuccess(t *testing.T) {
	b := newBench(t, GateOptions{})
	for range 5 {
		b.want(b.ann("192.0.2.1:1", annPassword), nil)
	}
	if s := b.Stats(); s.Hashed != 1 || s.OK != 5 || s.Cached != 4 {
		t.Errorf("%+v", s)
	}
	b.pass(10*time.Minute - 1)
	b.want(b.ann("192.0.2.1:1", annPassword), nil)
	if s := b.Stats(); s.Hashed != 1 {
		t.Errorf("forgotten too early: %+v", s)
	}
	b.pass(1)
	b.want(b.ann("192.0.2.1:1", annPassword), nil)
	if s := b.Stats(); s.Hashed != 2 {
		t.Errorf("a verdict outlives its time: %+v", s)
	}
}

func TestGateForgetsChangedPassword(t *testing.T) {
	b := newBench(t, GateOptions{})
	b.want(b.ann("192.0.2.1:1", annPassword), nil)
	other := cheapHash("another one")
	b.want(b.Check(t.Context(), "192.0.2.1:1", "ann", []byte(annPassword), other, true), ErrBadCredentials)
	b.want(b.Check(t.Context(), "192.0.2.1:1", "ann", []byte("another one"), other, true), nil)
}

func TestGateDoesTheSameWorkForUnknownNames(t *testing.T) {
	b := newBench(t, GateOptions{})
	b.want(b.nobody("a", "x"), ErrBadCredentials)
	if s := b.Stats(); s.Hashed != 1 {
		t.Fatalf("an unknown name is told apart by the work it takes: %+v", s)
	}
	h := argonHash{memory: 16, passes: 3, threads: 2, salt: []byte("saltsalt")}
	h.sum = h.compute([]byte("pw"), 32)
	b.want(b.Check(t.Context(), "a", "ann", []byte("wrong"), h.String(), true), ErrBadCredentials)
	if d := b.dummy; d.memory != h.memory || d.passes != h.passes || d.threads != h.threads {
		t.Errorf("unknown names cost %d KiB, %d passes, %d lanes", d.memory, d.passes, d.threads)
	}
	// Both are slowed alike, too.
	known, unknown := newBench(t, GateOptions{}), newBench(t, GateOptions{})
	for range 9 {
		known.want(known.ann("a", "wrong"), ErrBadCredentials)
		unknown.want(unknown.nobody("a", "ann"), ErrBadCredentials)
	}
	if k, u := fmt.Sprint(known.waited), fmt.Sprint(unknown.waited); k != u || len(known.waited) == 0 {
		t.Errorf("known waits %s, unknown %s", k, u)
	}
}

func TestGateBlocksAddress(t *testing.T) {
	b := newBench(t, GateOptions{})
	for i := range 10 {
		b.want(b.nobody("192.0.2.1:"+fmt.Sprint(i), fmt.Sprint("user", i)), ErrBadCredentials)
		b.pass(time.Second)
	}
	hashed := b.Stats().Hashed
	b.want(b.ann("192.0.2.1:99", annPassword), ErrThrottled)
	b.want(b.nobody("192.0.2.1:99", "x"), ErrThrottled)
	b.want(b.ann("192.0.2.2:1", annPassword), nil)
	b.want(b.ann("192.0.2.1:99", annPassword), ErrThrottled) // remembered or not
	if s := b.Stats(); s.Hashed != hashed+1 || s.Throttled != 3 {
		t.Errorf("%+v", s)
	}
	b.pass(59*time.Second - 1) // 9 s and the last second have passed
	b.want(b.ann("192.0.2.1:99", annPassword), ErrThrottled)
	b.pass(time.Second)
	b.want(b.ann("192.0.2.1:99", annPassword), nil)
	for range 9 { // it starts anew
		b.want(b.nobody("192.0.2.1:1", "x"), ErrBadCredentials)
	}
	b.want(b.ann("192.0.2.1:99", annPassword), nil)
}

func TestGateWindowSlides(t *testing.T) {
	b := newBench(t, GateOptions{})
	for i := range 40 { // never 10 within a minute
		b.want(b.nobody("192.0.2.1:1", fmt.Sprint(i)), ErrBadCredentials)
		b.pass(6700 * time.Millisecond)
	}
	b = newBench(t, GateOptions{})
	b.want(b.nobody("192.0.2.1:1", "x"), ErrBadCredentials)
	b.pass(55 * time.Second)
	for i := range 8 {
		b.want(b.nobody("192.0.2.1:1", fmt.Sprint(i)), ErrBadCredentials)
	}
	b.pass(10 * time.Second) // the first one is out of the window
	b.want(b.nobody("192.0.2.1:1", "y"), ErrBadCredentials)
	b.want(b.nobody("192.0.2.1:1", "y"), ErrBadCredentials)
	b.want(b.nobody("192.0.2.1:1", "y"), ErrThrottled)
}

func TestGateSuccessDoesNotExcuse(t *testing.T) {
	b := newBench(t, GateOptions{})
	for i := range 10 {
		b.want(b.nobody("192.0.2.1:1", fmt.Sprint(i)), ErrBadCredentials)
		if i < 9 {
			b.want(b.ann("192.0.2.1:1", annPassword), nil)
		}
	}
	b.want(b.ann("192.0.2.1:1", annPassword), ErrThrottled)
}

func TestGateSlowsName(t *testing.T) {
	b := newBench(t, GateOptions{})
	var got []time.Duration
	for i := range 12 { // each from an address of its own
		b.want(b.ann(fmt.Sprintf("192.0.2.%d:1", i+1), "wrong"), ErrBadCredentials)
		got = append(got, b.delay())
	}
	const ms = time.Millisecond
	if want := []time.Duration{0, 0, 0, 250 * ms, 500 * ms, 1000 * ms, 1000 * ms}; fmt.Sprint(got[:7]) != fmt.Sprint(want) {
		t.Errorf("delays %v, want %v", got, want)
	}
	// An address that failed waits longer, the owner elsewhere is let in.
	b.want(b.ann("192.0.2.1:1", "wrong"), ErrBadCredentials)
	if d := b.delay(); d != 4*time.Second {
		t.Errorf("delay %v for who failed before", d)
	}
	b.want(b.ann("198.51.100.1:1", annPassword), nil)
	if d := b.delay(); d != time.Second {
		t.Errorf("delay %v for the owner", d)
	}
	b.want(b.ann("198.51.100.1:1", annPassword), nil)
	if d := b.delay(); d != 0 {
		t.Errorf("delay %v for a remembered login", d)
	}
	b.want(b.nobody("198.51.100.2:1", "bob"), ErrBadCredentials)
	if d := b.delay(); d != 0 {
		t.Errorf("delay %v for another name", d)
	}
	b.pass(11 * time.Minute)
	b.want(b.ann("192.0.2.1:1", "wrong"), ErrBadCredentials)
	if d := b.delay(); d != 0 {
		t.Errorf("delay %v long after", d)
	}
}

func TestGateMemoryIsBounded(t *testing.T) {
	b := newBench(t, GateOptions{Entries: 50, Verdicts: 20})
	for i := range 500 {
		b.want(b.nobody(fmt.Sprintf("10.0.%d.%d:1", i/256, i%256), fmt.Sprint("user", i)), ErrBadCredentials)
		pw := fmt.Sprint("password", i)
		b.want(b.Check(t.Context(), "192.0.2.1:1", "u", []byte(pw), cheapHash(pw), true), nil)
	}
	if a, n, v := b.limiter.addrs.len(), b.limiter.names.len(), b.verdicts.len(); a > 50 || n > 50 || v > 20 {
		t.Errorf("%d addresses, %d names, %d verdicts", a, n, v)
	}
	if b.limiter.pending != 0 {
		t.Errorf("%d attempts pending", b.limiter.pending)
	}
}

func TestGateForgetsWhoDidNothingWrong(t *testing.T) {
	b := newBench(t, GateOptions{})
	b.want(b.ann("192.0.2.1:1", annPassword), nil)
	if n := b.limiter.addrs.len(); n != 0 {
		t.Errorf("%d addresses", n)
	}
}

// While one login is being computed, others wait in a bounded queue.
func TestGateQueue(t *testing.T) {
	b := newBench(t, GateOptions{Queue: 4})
	held, err := b.slots.acquire(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan error, 4)
	for i := range 4 {
		go func() { results <- b.ann(fmt.Sprintf("192.0.2.%d:1", i), annPassword) }()
	}
	awaitPending(b, 4)
	b.want(b.ann("192.0.2.9:1", annPassword), ErrBusy)
	b.slots.release(held)
	for range 4 {
		b.want(<-results, nil)
	}
	if s := b.Stats(); s.Hashed != 1 || s.OK != 4 || s.Busy != 1 {
		t.Errorf("four equal logins at once: %+v", s)
	}
}

// awaitPending returns once n attempts are being checked.
func awaitPending(b *bench, n int) {
	for {
		b.Gate.mu.Lock()
		now := b.limiter.pending
		b.Gate.mu.Unlock()
		if now == n {
			return
		}
		select {
		case <-b.t.Context().Done():
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// Whoever failed before may not fill the queue, nor one address all of it.
func TestGateQueueIsShared(t *testing.T) {
	b := newBench(t, GateOptions{Queue: 20, Failures: 6})
	b.want(b.ann("192.0.2.1:1", "wrong"), ErrBadCredentials)
	b.want(b.ann("192.0.2.2:1", "wrong"), ErrBadCredentials)
	held, err := b.slots.acquire(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan error, 20)
	start := func(addr, password string) { go func() { results <- b.ann(addr, password) }() }
	for range 5 { // with the one before: 6
		start("192.0.2.1:1", "wrong")
	}
	awaitPending(b, 5)
	b.want(b.ann("192.0.2.1:1", "wrong"), ErrBusy)
	for range 5 {
		start("192.0.2.2:1", "wrong")
	}
	awaitPending(b, 10)
	b.want(b.nobody("192.0.2.2:1", "x"), ErrBusy)
	start("192.0.2.3:1", annPassword) // there is room for the others
	awaitPending(b, 11)
	b.slots.release(held)
	failed := 0
	for range 11 {
		if errors.Is(<-results, ErrBadCredentials) {
			failed++
		}
	}
	if failed != 10 {
		t.Errorf("%d failed", failed)
	}
	b.want(b.ann("192.0.2.1:1", annPassword), ErrThrottled)
	b.want(b.ann("192.0.2.3:1", annPassword), nil)
}

func TestGateGivesUpWithContext(t *testing.T) {
	b := newBench(t, GateOptions{})
	held, err := b.slots.acquire(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- b.Check(ctx, "192.0.2.1:1", "ann", []byte(annPassword), annHash, true) }()
	awaitPending(b, 1)
	cancel()
	err = <-result
	b.want(err, ErrBusy)
	b.want(err, context.Canceled)
	b.slots.release(held)
	b.want(b.ann("192.0.2.1:1", annPassword), nil) // nothing is left behind
	if b.limiter.pending != 0 || b.slots.free != b.slots.total {
		t.Errorf("%d pending, %d of %d slots free", b.limiter.pending, b.slots.free, b.slots.total)
	}
	// The delay of a name ends with the context too.
	for range 9 {
		b.want(b.ann("192.0.2.7:1", "wrong"), ErrBadCredentials)
	}
	b.want(b.Check(ctx, "192.0.2.8:1", "ann", []byte("wrong"), annHash, true), ErrBusy)
}

// The memory of a hash is not kept.
func TestGateGivesMemoryBack(t *testing.T) {
	g := NewGate(GateOptions{}) // hashes of 19 MiB
	for i := range 3 {
		if err := g.Check(t.Context(), "192.0.2.1:1", fmt.Sprint(i), []byte("guess"), "", false); !errors.Is(err, ErrBadCredentials) {
			t.Fatal(err)
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if held := m.HeapSys - m.HeapReleased; held > 16<<20 {
			t.Errorf("%d MiB held after %d hashes", held>>20, i+1)
		}
	}
}

func TestSleepEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sleep(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := sleep(t.Context(), 1); err != nil {
		t.Error(err)
	}
}

func TestSlotsBoundMemory(t *testing.T) {
	s := newSlots(3)
	var used, most atomic.Int64
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%7 == 0 {
				cancel()
			}
			n, err := s.acquire(ctx, i%5+1)
			if err != nil {
				return
			}
			now := used.Add(int64(n))
			for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
			}
			used.Add(-int64(n))
			s.release(n)
		})
	}
	wg.Wait()
	if most.Load() > 3 || s.free != 3 || s.waiting.Len() != 0 {
		t.Errorf("%d used at once, %d free, %d waiting", most.Load(), s.free, s.waiting.Len())
	}
}

// A hash that takes more memory than usual takes more slots.
func TestSlotsAreServedInOrder(t *testing.T) {
	s := newSlots(2)
	first, _ := s.acquire(t.Context(), 1)
	big := make(chan int)
	go func() { n, _ := s.acquire(t.Context(), 99); big <- n }()
	for waiting := 0; waiting == 0; {
		s.mu.Lock()
		waiting = s.waiting.Len()
		s.mu.Unlock()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.acquire(ctx, 1); err == nil {
		t.Error("a small one overtook a big one")
	}
	s.release(first)
	if n := <-big; n != 2 {
		t.Errorf("got %d slots", n)
	}
	s.release(2)
}

func TestGateConcurrently(t *testing.T) {
	b := newBench(t, GateOptions{Parallel: 2, Queue: 8, Entries: 10, Verdicts: 4})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			addr := fmt.Sprintf("192.0.2.%d:1", i%12)
			for j := range 50 {
				switch (i + j) % 3 {
				case 0:
					_ = b.ann(addr, annPassword)
				case 1:
					_ = b.nobody(addr, fmt.Sprint(j))
				default:
					b.pass(time.Second)
				}
			}
		})
	}
	wg.Wait()
	if b.limiter.pending != 0 || b.slots.free != 2 {
		t.Errorf("%d pending, %d slots free", b.limiter.pending, b.slots.free)
	}
}

func TestAddressKey(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1:5000":             "192.0.2.1",
		"192.0.2.1":                  "192.0.2.1",
		"[::ffff:192.0.2.1]:5000":    "192.0.2.1",
		"[2001:db8:1:2:3::4]:5000":   "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::":        "2001:db8:1:2::/64",
		"[2001:db8:1:2:3::4]":        "2001:db8:1:2::/64",
		"[fe80::1%eth0]:5000":        "fe80::1%eth0",
		"[fe80::2%eth0]:5000":        "fe80::2%eth0",
		"[fd00:1:2:3:4::5%eth0]:500": "fd00:1:2:3::/64",
		"[::1]:80":                   "::/64",
		"@":                          "@",
		"":                           "",
	} {
		if got := AddressKey(in); got != want {
			t.Errorf("AddressKey(%q) = %q, want %q", in, got, want)
		}
	}
}

func BenchmarkGateCached(b *testing.B) {
	g := NewGate(GateOptions{})
	pw := []byte(annPassword)
	b.ReportAllocs()
	for b.Loop() {
		if err := g.Check(b.Context(), "192.0.2.1:1", "ann", pw, annHash, true); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHashPassword(b *testing.B) {
	h := argonHash{memory: hashMemory, passes: hashPasses, threads: hashThreads, salt: []byte("saltsalt")}
	for b.Loop() {
		h.compute([]byte(annPassword), hashBytes)
	}
}
