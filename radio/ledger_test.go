package radio

import (
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/fakeclock"
	"fieldgate/gateway/store"
)

// memTable is a gateway.Table that fails when told to and counts what it writes.
type memTable struct {
	mu     sync.Mutex
	pairs  map[string][]byte
	fail   error
	writes int
}

func (m *memTable) Each(fn func(key string, value []byte) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	for _, k := range slices.Sorted(maps.Keys(m.pairs)) {
		if err := fn(k, slices.Clone(m.pairs[k])); err != nil {
			return err
		}
	}
	return nil
}

func (m *memTable) Write(pairs map[string][]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if m.pairs == nil {
		m.pairs = map[string][]byte{}
	}
	m.writes++
	for k, v := range pairs {
		if v == nil {
			delete(m.pairs, k)
		} else {
			m.pairs[k] = slices.Clone(v)
		}
	}
	return nil
}

var (
	bandM = Band{"868.0-868.6", 0.01}
	bandK = Band{"863.0-865.0", 0.001}
	bandP = Band{"869.4-869.65", 0.1}
	noon  = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
)

// TestLedgerUse asks for more than is allowed for ten hours: nearly all of it is
// to be granted, and the disk is to be written rarely.
func TestLedgerUse(t *testing.T) {
	for _, stops := range []bool{false, true} {
		clock := fakeclock.New(noon, gateway.ClockSynced)
		table := &memTable{}
		ledger := NewLedger(table, clock)
		n := 0
		for range 10 * 360 {
			if ledger.Reserve("r", bandM, time.Second, time.Time{}) == nil {
				n++
			}
			clock.Advance(10 * time.Second)
			if stops && n%20 == 10 { // a clean stop costs nothing
				if err := ledger.Close(); err != nil {
					t.Fatal(err)
				}
				ledger = NewLedger(table, clock)
			}
		}
		t.Logf("stops %v: %d of 360 seconds used, %d writes", stops, n, table.writes)
		if n < 345 || n > 360 {
			t.Errorf("stops %v: %d of 360 seconds used", stops, n)
		}
		if !stops && table.writes > 200 { // 36 s an hour, in claims of 1.8 s and more
			t.Errorf("%d writes", table.writes)
		}
		if size := len(table.pairs[account{"r", bandM.Name}.key()]); size > 500 {
			t.Errorf("%d bytes on disk", size)
		}
	}
}

// TestLedgerRefusal checks what a refusal says, and that it is true.
func TestLedgerRefusal(t *testing.T) {
	clock := fakeclock.New(noon, gateway.ClockSynced)
	ledger := NewLedger(&memTable{}, clock)
	reserve := func(airtime time.Duration) error { return ledger.Reserve("r", bandM, airtime, time.Time{}) }
	for range 12 {
		if err := reserve(3 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	err := reserve(time.Second)
	var busy *Busy
	if !errors.As(err, &busy) {
		t.Fatal(err)
	}
	// Uptime is a second: the slot ends 59 s from now, and an hour and 2 s later it is out.
	if want := "sub-band 868.0-868.6: 1 % used up, possible at 13:01:01 UTC"; err.Error() != want {
		t.Errorf("%s", err)
	}
	if busy.Radio != "r" || busy.Band != bandM || !busy.Until.Equal(noon.Add(busy.Wait)) {
		t.Errorf("%+v", busy)
	}
	clock.Set(time.Unix(100, 0), gateway.ClockUnset)
	if err := reserve(time.Second); err.Error() != "sub-band 868.0-868.6: 1 % used up, possible in 1h1m1s" {
		t.Errorf("%s", err)
	}
	if err := ledger.Reserve("other", bandM, time.Second, time.Time{}); err != nil {
		t.Error("another radio:", err)
	}
	if err := ledger.Reserve("r", bandP, time.Second, time.Time{}); err != nil {
		t.Error("another band:", err)
	}
	clock.Advance(busy.Wait - time.Millisecond)
	if err := reserve(time.Second); err == nil {
		t.Error("possible before it said so")
	}
	clock.Advance(time.Millisecond)
	if err := reserve(36 * time.Second); err != nil {
		t.Error("not possible when it said so:", err)
	}
}

// TestLedgerWait has uses of several slots: it is possible when enough of them
// have left, not all.
func TestLedgerWait(t *testing.T) {
	clock := fakeclock.New(noon, gateway.ClockSynced)
	ledger := NewLedger(&memTable{}, clock)
	for range 12 {
		if err := ledger.Reserve("r", bandM, 3*time.Second, time.Time{}); err != nil {
			t.Fatal(err)
		}
		clock.Advance(3 * time.Minute)
	}
	var busy *Busy
	if err := ledger.Reserve("r", bandM, 7*time.Second, time.Time{}); !errors.As(err, &busy) {
		t.Fatal(err)
	}
	// Three of the first must leave. The third went at 6 minutes, its slot ended
	// at 6m59s by the wall clock.
	if want := noon.Add(6*time.Minute + 59*time.Second + kept); !busy.Until.Equal(want) {
		t.Errorf("%v, not %v", busy.Until, want)
	}
	clock.Advance(busy.Wait)
	if err := ledger.Reserve("r", bandM, 7*time.Second, time.Time{}); err != nil {
		t.Error(err)
	}
}

// TestLedgerErrors is for what is refused whatever was sent, and what is free.
func TestLedgerErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := &memTable{}
		ledger := NewLedger(table, fakeclock.New(noon, gateway.ClockSynced))
		if err := ledger.Reserve("r", bandK, 3601*time.Millisecond, time.Time{}); !errors.Is(err, ErrTooLong) {
			t.Error(err)
		}
		if err := ledger.Reserve("r", Band{"none", 0}, 1, time.Time{}); !errors.Is(err, ErrTooLong) {
			t.Error(err)
		}
		if err := ledger.Reserve("r", bandM, time.Second, time.Now().Add(5*time.Minute)); !errors.Is(err, ErrTooEarly) {
			t.Error(err)
		}
		for range 100 {
			if err := ledger.Reserve("r", Band{"all", 1}, time.Hour, time.Time{}); err != nil {
				t.Error(err)
			}
		}
		if table.writes != 0 || len(ledger.Usage()) != 0 {
			t.Error("something was booked")
		}
		broken := errors.New("disk gone")
		table.fail = broken
		if err := ledger.Reserve("r", bandM, time.Second, time.Time{}); !errors.Is(err, broken) {
			t.Error(err)
		}
		table.fail = nil
		if err := ledger.Reserve("r", bandM, 36*time.Second, time.Now().Add(-time.Hour)); err != nil {
			t.Error("the failed one was booked:", err)
		}
		table.fail = broken
		blind := NewLedger(table, fakeclock.New(noon, gateway.ClockSynced))
		if err := blind.Reserve("r", bandM, time.Second, time.Time{}); !errors.Is(err, broken) {
			t.Error(err)
		}
		table.fail = nil
		var busy *Busy
		if err := blind.Reserve("r", bandM, time.Second, time.Time{}); !errors.As(err, &busy) {
			t.Error("it forgot what it could not read at first:", err)
		}
	})
}

// TestLedgerRelease gives back what was not sent, once.
func TestLedgerRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := &memTable{}
		clock := fakeclock.New(noon, gateway.ClockSynced)
		ledger := NewLedger(table, clock)
		at := time.Now().Add(time.Second)
		used := func() time.Duration {
			var sum time.Duration
			for _, u := range ledger.Usage() {
				sum += u.Used
			}
			return sum
		}
		for range 1000 { // without a write each
			if err := ledger.Reserve("r", bandM, time.Second, at); err != nil {
				t.Fatal(err)
			}
			ledger.Release("r", bandM, time.Second, at)
		}
		if used() != 0 || table.writes != 1 {
			t.Errorf("%v used, %d writes", used(), table.writes)
		}
		if err := ledger.Reserve("r", bandM, time.Second, at); err != nil {
			t.Fatal(err)
		}
		ledger.Release("r", bandM, time.Second, at.Add(1))
		ledger.Release("r", bandM, 2*time.Second, at)
		ledger.Release("x", bandM, time.Second, at)
		if used() != time.Second {
			t.Errorf("%v used: something else was released", used())
		}
		ledger.Release("r", bandM, time.Second, at)
		ledger.Release("r", bandM, time.Second, at)
		if used() != 0 {
			t.Errorf("%v used", used())
		}
		// Released after it went to disk as sent: a crash counts it, this ledger not.
		for i := range 3 {
			if err := ledger.Reserve("r", bandM, 2*time.Second, at.Add(time.Duration(i))); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 3 {
			ledger.Release("r", bandM, 2*time.Second, at.Add(time.Duration(i)))
		}
		if used() != 0 {
			t.Errorf("%v used", used())
		}
		if again := NewLedger(table, clock).Usage(); len(again) != 1 || again[0].Used < 4*time.Second {
			t.Errorf("after a crash: %v", again)
		}
	})
}

// TestLedgerStore has the ledger in a real file that is opened again.
func TestLedgerStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tables.db")
	clock := fakeclock.New(noon, gateway.ClockSynced)
	open := func() (*Ledger, func()) {
		tables, err := store.OpenTables(path, store.TableOptions{})
		if err != nil {
			t.Fatal(err)
		}
		table, err := tables.Table("duty")
		if err != nil {
			t.Fatal(err)
		}
		return NewLedger(table, clock), func() {
			if err := tables.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	ledger, closeFile := open()
	for range 3 {
		if err := ledger.Reserve("aa555a0000000101", bandM, 10*time.Second, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	closeFile()
	ledger, closeFile = open()
	var busy *Busy
	if err := ledger.Reserve("aa555a0000000101", bandM, 10*time.Second, time.Time{}); !errors.As(err, &busy) {
		t.Error(err)
	}
	clock.Advance(2 * time.Hour)
	if err := ledger.Reserve("other", bandM, time.Second, time.Time{}); err != nil {
		t.Error(err)
	}
	closeFile()
	ledger, closeFile = open() // what nobody needs any more goes with the next write
	if err := ledger.Reserve("other", bandP, time.Second, time.Time{}); err != nil {
		t.Error(err)
	}
	closeFile()
}

// TestLedgerForget looks that old entries leave the table, and strange keys.
func TestLedgerForget(t *testing.T) {
	clock := fakeclock.New(noon, gateway.ClockSynced)
	table := &memTable{pairs: map[string][]byte{"x": {1}, "99:a": {1}, "01:rb": {1}}}
	ledger := NewLedger(table, clock)
	for _, radio := range []string{"a", "b"} {
		if err := ledger.Reserve(radio, bandM, time.Second, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := ledger.Close(); err != nil {
		t.Fatal(err)
	}
	clock.Advance(2 * time.Hour)
	ledger = NewLedger(table, clock)
	if err := ledger.Reserve("b", bandM, time.Second, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if keys := slices.Sorted(maps.Keys(table.pairs)); !slices.Equal(keys, []string{"1:b868.0-868.6"}) {
		t.Errorf("%q", keys)
	}
}

// TestLedgerDamage: an entry that cannot be read counts as an hour used up.
func TestLedgerDamage(t *testing.T) {
	clock := fakeclock.New(noon, gateway.ClockSynced)
	table := &memTable{pairs: map[string][]byte{account{"r", bandP.Name}.key(): []byte("rubbish")}}
	ledger := NewLedger(table, clock)
	var busy *Busy
	if err := ledger.Reserve("r", bandP, time.Millisecond, time.Time{}); !errors.As(err, &busy) {
		t.Fatal(err)
	}
	if busy.Wait < time.Hour || busy.Wait > time.Hour+8*time.Minute {
		t.Error(busy.Wait)
	}
}

// TestLedgerTogether reserves from many goroutines: no second is granted twice.
func TestLedgerTogether(t *testing.T) {
	table := &memTable{}
	ledger := NewLedger(table, fakeclock.New(noon, gateway.ClockSynced))
	var wg sync.WaitGroup
	var mu sync.Mutex
	granted := 0
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if ledger.Reserve("r", bandM, time.Second, time.Time{}) == nil {
					mu.Lock()
					granted++
					mu.Unlock()
				}
				ledger.Usage()
			}
		})
	}
	wg.Wait()
	if granted != 36 {
		t.Errorf("%d granted", granted)
	}
}

// FuzzLedgerEntry: whatever the table has, reading it does not panic, and what is
// read is written and read as the same.
func FuzzLedgerEntry(f *testing.F) {
	clock := fakeclock.New(noon, gateway.ClockSynced)
	f.Add([]byte{})
	f.Add(entry{stamp: clock.Now(), claim: time.Second}.append(nil))
	f.Add(entry{stamp: clock.Now(), uses: []use{{-time.Minute, time.Second}, {time.Minute, time.Millisecond}}}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEntry(b)
		if err != nil {
			if !errors.Is(err, errEntry) {
				t.Fatal(err)
			}
			return
		}
		again, err := parseEntry(e.append(nil))
		if err != nil || again.stamp != e.stamp || again.claim != e.claim || !slices.Equal(again.uses, e.uses) {
			t.Fatalf("%+v became %+v, %v", e, again, err)
		}
		for _, reboot := range []bool{false, true} {
			now := e.stamp
			if reboot {
				now.Boot[0]++
			}
			book := bookOf(e, now)
			if book.used(now.Mono) < 0 {
				t.Fatal("less than nothing was used")
			}
		}
	})
}

func BenchmarkReserve(b *testing.B) {
	clock := fakeclock.New(noon, gateway.ClockSynced)
	ledger := NewLedger(&memTable{}, clock)
	for b.Loop() {
		_ = ledger.Reserve("r", bandM, 50*time.Millisecond, time.Time{})
		clock.Advance(5 * time.Second)
	}
}
