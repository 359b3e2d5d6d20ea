package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// What Gate.Check answers.
var (
	// ErrBadCredentials: wrong name or wrong password, nobody tells which.
	ErrBadCredentials = errors.New("access: wrong user name or password")
	// ErrThrottled: too many failures from this address; nothing was checked.
	ErrThrottled = errors.New("access: too many failed logins from this address")
	// ErrBusy: too many logins at once, or the context ended before this one's
	// turn came; nothing was checked. Trying again later helps.
	ErrBusy = errors.New("access: too many logins at once")
)

// GateOptions are the limits of a Gate. Zero values stand for the defaults.
type GateOptions struct {
	Now  func() time.Time                                 // time.Now
	Wait func(ctx context.Context, d time.Duration) error // sleeps; the error is that of ctx

	Parallel int // password hashes computed at once, 19 MiB each: 1
	Queue    int // attempts waiting or being computed: 32

	// Rest is how many times as long as a hash took nothing is hashed after a
	// wrong password: guesses, however many, leave the processor to others. 3
	Rest int

	Failures int           // failures from one address within Window that block it: 10
	Window   time.Duration // 1 min
	Block    time.Duration // how long an address is blocked: 1 min

	NameFailures int           // failures of one name after which its attempts are delayed: 3
	NameMemory   time.Duration // after this time without a failure a name starts anew: 10 min
	Delay        time.Duration // the first delay, which doubles with each failure: 250 ms
	// MaxDelay is the longest delay. An address that has not failed itself
	// waits a quarter of it at most: 4 s
	MaxDelay time.Duration

	Entries int // addresses and names remembered, each: 4096

	Verdicts    int           // successful logins remembered: 256
	VerdictTime time.Duration // how long: 10 min
}

func orElse[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func (o *GateOptions) defaults() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Wait == nil {
		o.Wait = sleep
	}
	orElse(&o.Parallel, 1)
	orElse(&o.Queue, 32)
	orElse(&o.Rest, 3)
	orElse(&o.Failures, 10)
	orElse(&o.Window, time.Minute)
	orElse(&o.Block, time.Minute)
	orElse(&o.NameFailures, 3)
	orElse(&o.NameMemory, 10*time.Minute)
	orElse(&o.Delay, 250*time.Millisecond)
	orElse(&o.MaxDelay, 4*time.Second)
	orElse(&o.Entries, 4096)
	orElse(&o.Verdicts, 256)
	orElse(&o.VerdictTime, 10*time.Minute)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Gate checks passwords without letting anybody exhaust the machine or guess:
// it bounds the memory of password hashing, slows whoever fails, and remembers
// logins that succeeded so that a returning client costs next to nothing. A
// Gate is safe for concurrent use and starts no goroutine.
type Gate struct {
	opts   GateOptions
	start  time.Time
	secret [32]byte // keys the verdicts and the names, new with each process
	slots  *slots

	mu       sync.Mutex
	limiter  *limiter
	verdicts *lru[[32]byte, time.Duration] // until when a login needs no hashing
	tokens   *lru[[32]byte, tokenMark]     // API keys by address
	dummy    argonHash                     // what is computed for unknown names
	stats    GateStats
}

// GateStats counts what a Gate has answered.
type GateStats struct {
	OK        uint64 // logins that succeeded
	Cached    uint64 // those of them that needed no hashing
	Failed    uint64 // ErrBadCredentials
	Throttled uint64 // ErrThrottled
	Busy      uint64 // ErrBusy
	Hashed    uint64 // hashes computed
}

// releaseFrom is the memory of a hash, in KiB, that is given back to the system
// right away. Collecting garbage takes a small part of the time of such a hash.
const releaseFrom = 4 << 10

// NewGate makes a gate.
func NewGate(opts GateOptions) *Gate {
	opts.defaults()
	g := &Gate{
		opts:     opts,
		start:    opts.Now(),
		slots:    newSlots(opts.Parallel),
		verdicts: newLRU[[32]byte, time.Duration](opts.Verdicts, nil),
		tokens:   newLRU[[32]byte, tokenMark](opts.Entries, nil),
		dummy: argonHash{memory: hashMemory, passes: hashPasses, threads: hashThreads,
			salt: make([]byte, saltBytes), sum: make([]byte, hashBytes)},
	}
	g.limiter = newLimiter(&g.opts)
	_, _ = rand.Read(g.secret[:]) // never fails, see crypto/rand
	return g
}

// Check decides about one login: name from addr ("192.0.2.1:5000", with or
// without the port) with password. Known says whether there is such an account,
// hash is its PasswordHash. Nil means that the password is right; otherwise the
// error wraps ErrBadCredentials, ErrThrottled or ErrBusy. An unknown name takes
// the same work as a known one. It blocks while others are being checked or
// name is slowed down, until ctx ends.
func (g *Gate) Check(ctx context.Context, addr, name string, password []byte, hash string, known bool) error {
	err := g.check(ctx, addr, name, password, hash, known)
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case err == nil:
		g.stats.OK++
	case errors.Is(err, ErrThrottled):
		g.stats.Throttled++
	case errors.Is(err, ErrBusy):
		g.stats.Busy++
	default:
		g.stats.Failed++
	}
	return err
}

// Token is Check for an API key, which is compared without hashing a password:
// it counts one that nobody has as a failed login, and refuses an address that
// is blocked. The same wrong key again, as from a device that nobody told of its
// new one, is no further guess; and a key that was right from that address a
// while ago is let in though others there have failed since.
func (g *Gate) Token(addr, key string, known bool) error {
	addr = AddressKey(addr)
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	mark := g.mac("token", addr, []byte(key))
	seen := g.tokens.get(mark)
	fresh := seen != nil && now < seen.until
	if g.limiter.blocked(addr, now) && !(known && fresh && seen.good) {
		g.stats.Throttled++
		return ErrThrottled
	}
	if known {
		g.stats.OK++
		*g.tokens.add(mark) = tokenMark{good: true, until: now + g.opts.VerdictTime}
		return nil
	}
	g.stats.Failed++
	if fresh && !seen.good {
		return ErrBadCredentials
	}
	*g.tokens.add(mark) = tokenMark{until: now + g.opts.VerdictTime}
	var name nameKey
	copy(name[:], mark[:]) // keys have no names that could be slowed down
	if _, err := g.limiter.enter(addr, name, now); err != nil {
		return err
	}
	g.limiter.fail(addr, name, now)
	g.limiter.leave(addr)
	return ErrBadCredentials
}

// tokenMark is what came of an API key from an address.
type tokenMark struct {
	good  bool
	until time.Duration // since the gate was made
}

// Stats gives the counters.
func (g *Gate) Stats() GateStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stats
}

func (g *Gate) check(ctx context.Context, addr, name string, password []byte, hash string, known bool) error {
	addr = AddressKey(addr)
	if len(password) > MaxPassword {
		known, password = false, password[:MaxPassword]
	}
	want, err := parseHash(hash)
	known = known && err == nil
	verdict := g.mac("verdict", hash, password)
	var who nameKey
	whole := g.mac("name", name, nil)
	copy(who[:], whole[:])

	delay, done, err := g.enter(addr, who, &want, known, verdict, len(password) == 0)
	if done {
		return err
	}
	defer g.leave(addr)
	if delay > 0 {
		if err := g.opts.Wait(ctx, delay); err != nil {
			return fmt.Errorf("%w: %w", ErrBusy, err)
		}
	}
	n, err := g.slots.acquire(ctx, int(want.memory+hashMemory-1)/hashMemory)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	defer g.slots.release(n)
	if known && g.cached(verdict) { // somebody else just proved it
		return nil
	}
	begun := g.now()
	ok := want.matches(password) && known
	took := g.now() - begun
	if want.memory >= releaseFrom {
		// While the slot is held: the next hash finds the memory of this one
		// free, and an idle gateway does not keep it.
		debug.FreeOSMemory()
	}
	g.mu.Lock()
	g.stats.Hashed++
	if !ok {
		g.limiter.fail(addr, who, g.now())
		g.mu.Unlock()
		if took > 0 { // while the slot is held; that the context ends changes nothing
			_ = g.opts.Wait(ctx, time.Duration(g.opts.Rest)*took)
		}
		return ErrBadCredentials
	}
	defer g.mu.Unlock()
	*g.verdicts.add(verdict) = g.now() + g.opts.VerdictTime
	return nil
}

// enter answers what needs no hashing (done), or begins an attempt. For an
// unknown name it puts a hash into want that costs as much as a known one.
func (g *Gate) enter(addr string, who nameKey, want *argonHash, known bool, verdict [32]byte, empty bool) (delay time.Duration, done bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if g.limiter.blocked(addr, now) {
		return 0, true, ErrThrottled
	}
	if empty { // no account has an empty password: nothing is guessed or told
		return 0, true, ErrBadCredentials
	}
	if known {
		g.dummy.memory, g.dummy.passes, g.dummy.threads = want.memory, want.passes, want.threads
		if g.fresh(verdict, now) {
			g.stats.Cached++
			return 0, true, nil
		}
	} else {
		*want = g.dummy
	}
	delay, err = g.limiter.enter(addr, who, now)
	return delay, err != nil, err
}

func (g *Gate) leave(addr string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limiter.leave(addr)
}

func (g *Gate) cached(verdict [32]byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.fresh(verdict, g.now()) {
		return false
	}
	g.stats.Cached++
	return true
}

func (g *Gate) fresh(verdict [32]byte, now time.Duration) bool {
	until := g.verdicts.get(verdict)
	if until == nil {
		return false
	}
	if now >= *until {
		g.verdicts.remove(verdict)
		return false
	}
	return true
}

// now is the time since the gate was made; steps of the wall clock do not show.
func (g *Gate) now() time.Duration { return g.opts.Now().Sub(g.start) }

// mac is a keyed digest of a and b.
func (g *Gate) mac(purpose, a string, b []byte) (sum [32]byte) {
	h := hmac.New(sha256.New, g.secret[:])
	var size [8]byte
	h.Write([]byte(purpose))
	binary.BigEndian.PutUint64(size[:], uint64(len(a)))
	h.Write(size[:])
	h.Write([]byte(a))
	h.Write(b)
	h.Sum(sum[:0])
	return sum
}
