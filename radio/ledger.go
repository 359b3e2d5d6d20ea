package radio

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"fieldgate/gateway"
)

// Band is a sub-band as far as its duty cycle goes.
type Band struct {
	Name  string  // such as "868.0-868.6"
	Share float64 // of any hour, 0.01 for 1 %; 1 or more: not limited
}

// limit is what may be used in an hour.
func (b Band) limit() time.Duration {
	return time.Duration(math.Round(min(max(b.Share, 0), 1) * float64(time.Hour)))
}

// Busy says that a transmission would exceed the duty cycle.
type Busy struct {
	Radio string
	Band  Band
	Wait  time.Duration // from now until it is possible
	Until time.Time     // the same by the wall clock, which may be unset
}

// Error is such as "sub-band 868.0-868.6: 1 % used up, possible at 14:03:10 UTC",
// or "possible in 12m30s" as long as the clock is unset.
func (b *Busy) Error() string {
	when := "in " + (b.Wait + time.Second - 1).Truncate(time.Second).String()
	if !b.Until.Before(gateway.Earliest) {
		when = "at " + b.Until.Add(time.Second-1).Format("15:04:05 MST")
	}
	return fmt.Sprintf("sub-band %s: %s used up, possible %s", b.Band.Name, percent(b.Band.Share), when)
}

// percent is a share such as "1 %" or "0.1 %".
func percent(share float64) string {
	return strconv.FormatFloat(share*100, 'g', 4, 64) + " %"
}

// ErrTooLong: a transmission alone takes more than the duty cycle of an hour.
var ErrTooLong = errors.New("longer than the duty cycle ever allows")

const (
	// slot is how exact the ledger remembers when something was sent; it counts
	// until the slot in which it ended has left the hour.
	slot = time.Minute
	// kept is how long that is: an hour, and what clocks may differ in one.
	kept = time.Hour + 2*time.Second
	// maxAhead is how long before its end a transmission may be reserved. It is
	// also how late one can end that was reserved just before a crash.
	maxAhead = 5 * time.Minute
	// claims is into how many parts the hour's use is divided for the disk.
	claims = 20
	// wallMargin is how far two readings of a synchronised clock may be off.
	wallMargin = time.Minute
)

// Ledger keeps to the duty cycles of sub-bands: in no hour whatever does a radio
// send longer in a band than its share, restarts and jumps of the clock included.
// Its methods may be called from any goroutine.
//
// What is sent is on disk before it is: the ledger claims airtime there ahead, a
// twentieth of what an hour allows at a time, and writes again when that is used
// up, so that a busy band is written some twenty times an hour and an idle one not
// at all. After a crash the last claim counts as used in full, then: at most a
// twentieth and one transmission too much, for an hour. Close writes what is true,
// nothing is lost then.
//
// Times are of the kernel's monotonic clock. In the same boot they go on. In
// another one, all that is known of a clock that nobody set is that it was before
// this boot; as soon as the clock is synchronised, as it was when the ledger was
// written, the true times count. A radio and band take some kilobytes in memory,
// at most half of one on disk.
type Ledger struct {
	table gateway.Table
	clock gateway.Clock

	mu    sync.Mutex
	ready bool // loaded
	books map[account]*book
	stale []string // keys to delete with the next write
}

type account struct{ radio, band string }

// key is the account's key in the table.
func (a account) key() string { return strconv.Itoa(len(a.radio)) + ":" + a.radio + a.band }

// accountOf reads a key.
func accountOf(key string) (account, bool) {
	length, rest, _ := strings.Cut(key, ":")
	n, err := strconv.Atoi(length)
	if err != nil || n < 0 || n > len(rest) {
		return account{}, false
	}
	a := account{rest[:n], rest[n:]}
	return a, a.key() == key
}

// book is the use of one band by one radio.
type book struct {
	limit  time.Duration           // as last asked for; 0: not yet
	slots  map[int64]time.Duration // airtime by the slot, counted from boot, that it ended in
	old    page                    // of another boot
	claim  time.Duration           // on disk, not used yet
	open   bool                    // there is a claim on disk, used or not
	recent []reservation           // that can be released
	writes uint64                  // since the start
}

// page is use that was written in another boot. Base is the latest monotonic time
// of this boot at which it can have been written.
type page struct {
	entry
	base  time.Duration
	timed bool // base is as good as it gets
}

type reservation struct {
	at      time.Time
	airtime time.Duration
	slot    int64
	writes  uint64
}

// NewLedger makes a ledger that is kept in a table of its own. If that cannot be
// read, Reserve says so each time until it can.
func NewLedger(table gateway.Table, clock gateway.Clock) *Ledger {
	l := &Ledger{table: table, clock: clock, books: map[account]*book{}}
	_ = l.load(clock.Now()) // tried again by Reserve
	return l
}

// Reserve books a transmission of that radio in band, that begins at the time at
// and takes airtime. The zero time is now, as is what has passed. If it returns
// nil, the transmission is on disk and may be sent. If it is not sent after all,
// Release gives the airtime back.
//
// The error is a *Busy if the hour's share is used up; it wraps ErrTooLong if the
// transmission can never be sent, ErrTooEarly if it ends more than 5 minutes from
// now, else it is that of the disk. Nothing is booked then.
func (l *Ledger) Reserve(radio string, band Band, airtime time.Duration, at time.Time) error {
	if band.Share >= 1 || airtime <= 0 {
		return nil
	}
	limit := band.limit()
	if airtime > limit {
		return fmt.Errorf("radio: duty cycle: sub-band %s: %v of %s: %w", band.Name, airtime, percent(band.Share), ErrTooLong)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	if err := l.load(now); err != nil {
		return fmt.Errorf("radio: duty cycle: %w", err)
	}
	start := now.Mono
	if !at.IsZero() {
		start += max(time.Until(at), 0)
	}
	end := start + airtime
	if end-now.Mono > maxAhead {
		return fmt.Errorf("radio: duty cycle: sub-band %s: %w", band.Name, ErrTooEarly)
	}
	a := account{radio, band.Name}
	b := l.books[a]
	if b == nil {
		b = &book{}
		l.books[a] = b
	}
	b.limit = limit
	b.prune(now)
	used := b.used(start)
	if used+airtime > limit {
		wait := b.free(start, limit-airtime) - now.Mono
		return &Busy{Radio: radio, Band: band, Wait: wait, Until: now.Wall.Add(wait)}
	}
	if b.claim < airtime {
		claim := min(airtime+limit/claims, limit-used)
		if err := l.write(now, a, b, claim); err != nil {
			return fmt.Errorf("radio: duty cycle: %w", err)
		}
	}
	k := int64(end / slot)
	b.claim -= airtime
	b.add(k, airtime)
	if len(b.recent) == 64 {
		b.recent = slices.Delete(b.recent, 0, 1)
	}
	b.recent = append(b.recent, reservation{at, airtime, k, b.writes})
	return nil
}

// Release gives back what Reserve booked with the same arguments, because it was
// not sent. It does nothing if there is no such reservation among the last 64 of
// that radio and band.
func (l *Ledger) Release(radio string, band Band, airtime time.Duration, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.books[account{radio, band.Name}]
	if b == nil {
		return
	}
	for i, r := range slices.Backward(b.recent) {
		if r.airtime != airtime || !r.at.Equal(at) {
			continue
		}
		b.recent = slices.Delete(b.recent, i, i+1)
		if left := b.slots[r.slot] - airtime; left > 0 {
			b.slots[r.slot] = left
		} else {
			delete(b.slots, r.slot)
		}
		if r.writes == b.writes { // what it took of the claim is not on disk by its slot
			b.claim += airtime
		}
		return
	}
}

// Usage is what a radio used of a band in the last hour.
type Usage struct {
	Radio, Band string
	Used        time.Duration
	Limit       time.Duration // 0: nothing was reserved since the start
}

// Usage gives all use that still counts, sorted by radio and band. As Reserve does
// it counts in slots of a minute, and a claim that a crash left.
func (l *Ledger) Usage() []Usage {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	var all []Usage
	for a, b := range l.books {
		b.prune(now)
		if used := b.used(now.Mono); used > 0 || b.limit > 0 {
			all = append(all, Usage{a.radio, a.band, used, b.limit})
		}
	}
	slices.SortFunc(all, func(x, y Usage) int {
		return cmp.Or(cmp.Compare(x.Radio, y.Radio), cmp.Compare(x.Band, y.Band))
	})
	return all
}

// Close writes what was used, so that the next start need not assume more. The
// ledger can still be used.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	pairs := map[string][]byte{}
	for a, b := range l.books {
		b.prune(now)
		if b.open {
			pairs[a.key()] = b.entry(now, 0).append(nil)
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	if err := l.table.Write(pairs); err != nil {
		return fmt.Errorf("radio: duty cycle: %w", err)
	}
	for _, b := range l.books {
		if b.open {
			b.claim, b.open = 0, false
			b.writes++
		}
	}
	return nil
}

// load reads the table once.
func (l *Ledger) load(now gateway.Stamp) error {
	if l.ready {
		return nil
	}
	books := map[account]*book{}
	var stale []string
	err := l.table.Each(func(key string, value []byte) error {
		a, ok := accountOf(key)
		if !ok {
			stale = append(stale, key)
			return nil
		}
		e, err := parseEntry(value)
		if err != nil { // nobody knows what it said: everything is used
			e = entry{stamp: gateway.Stamp{Boot: now.Boot, Mono: now.Mono}, claim: time.Hour}
		}
		b := bookOf(e, now)
		if b.used(now.Mono) == 0 {
			stale = append(stale, key)
			return nil
		}
		books[a] = b
		return nil
	})
	if err != nil {
		return err
	}
	l.books, l.stale, l.ready = books, stale, true
	return nil
}

// bookOf opens the book that e has been written of.
func bookOf(e entry, now gateway.Stamp) *book {
	b := &book{open: e.claim > 0}
	same := e.stamp.Boot == now.Boot
	if same {
		base := min(e.stamp.Mono, now.Mono)
		for _, u := range e.uses {
			b.add(slotBefore(base+u.end), u.airtime)
		}
	} else {
		b.old = page{entry: e}
	}
	if e.claim > 0 { // it may have been used until now, or before this boot
		until := maxAhead
		if same {
			until += now.Mono
		}
		b.add(slotBefore(until), e.claim)
	}
	b.prune(now)
	return b
}

// slotBefore is the slot that ends at t or next after it.
func slotBefore(t time.Duration) int64 {
	k := int64(t / slot)
	if t%slot > 0 { // division truncates: below 0 it has rounded up already
		k++
	}
	return k - 1
}

// write puts the book and a new claim on disk.
func (l *Ledger) write(now gateway.Stamp, a account, b *book, claim time.Duration) error {
	pairs := map[string][]byte{a.key(): b.entry(now, claim).append(nil)}
	for _, key := range l.stale {
		if _, taken := pairs[key]; !taken {
			pairs[key] = nil
		}
	}
	if err := l.table.Write(pairs); err != nil {
		return err
	}
	l.stale = nil
	b.claim, b.open = claim, true
	b.writes++
	return nil
}

// add books airtime that ended in slot k.
func (b *book) add(k int64, airtime time.Duration) {
	if b.slots == nil {
		b.slots = map[int64]time.Duration{}
	}
	b.slots[k] = min(b.slots[k]+airtime, 2*time.Hour)
}

// all calls fn with when each use ended, at the latest, and how long it was.
func (b *book) all(fn func(end, airtime time.Duration)) {
	for k, airtime := range b.slots {
		fn(time.Duration(k+1)*slot, airtime)
	}
	for _, u := range b.old.uses {
		fn(b.old.base+u.end, u.airtime)
	}
}

// used is what counts for a transmission that starts at start.
func (b *book) used(start time.Duration) time.Duration {
	var sum time.Duration
	b.all(func(end, airtime time.Duration) {
		if end+kept > start {
			sum += airtime
		}
	})
	return sum
}

// free is the first time from start on at which no more than left is used.
func (b *book) free(start, left time.Duration) time.Duration {
	var uses []use
	b.all(func(end, airtime time.Duration) { uses = append(uses, use{end, airtime}) })
	slices.SortFunc(uses, func(x, y use) int { return cmp.Compare(x.end, y.end) })
	used := b.used(start)
	for _, u := range uses {
		if used <= left {
			break
		}
		if u.end+kept > start {
			used -= u.airtime
			start = u.end + kept
		}
	}
	return start
}

// prune forgets what no hour has in it any more, and finds the true times of what
// another boot wrote once the clock tells.
func (b *book) prune(now gateway.Stamp) {
	old := &b.old
	if len(old.uses) > 0 && !old.timed && now.Quality == gateway.ClockSynced && old.stamp.Quality == gateway.ClockSynced {
		old.timed = true
		old.base = min(old.base, now.Mono-(now.Wall.Sub(old.stamp.Wall)-wallMargin))
	}
	old.uses = slices.DeleteFunc(old.uses, func(u use) bool { return old.base+u.end+kept <= now.Mono })
	for k := range b.slots {
		if time.Duration(k+1)*slot+kept <= now.Mono {
			delete(b.slots, k)
		}
	}
}

// entry is the book as it is written. Its stamp is cut to what the disk keeps, and
// all uses are of this boot's slots.
func (b *book) entry(now gateway.Stamp, claim time.Duration) entry {
	now.Mono = now.Mono.Truncate(time.Millisecond)
	slots := map[int64]time.Duration{}
	b.all(func(end, airtime time.Duration) { slots[slotBefore(end)] += airtime })
	e := entry{stamp: now, claim: claim}
	for k, airtime := range slots {
		e.uses = append(e.uses, use{time.Duration(k+1)*slot - now.Mono, airtime})
	}
	return e
}
