package radio

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/fakeclock"
)

// sent is a transmission by the true time.
type sent struct{ start, end time.Duration }

// most is the largest airtime in any hour: the sum of overlaps is largest where
// the hour begins with a transmission or ends with one.
func most(all []sent) time.Duration {
	var worst time.Duration
	for _, x := range all {
		for _, from := range []time.Duration{x.start, x.end - time.Hour} {
			var sum time.Duration
			for _, y := range all {
				sum += max(0, min(y.end, from+time.Hour)-max(y.start, from))
			}
			worst = max(worst, sum)
		}
	}
	return worst
}

// TestLedgerModel has a ledger live through crashes, reboots, wrong clocks and a
// disk that fails, and looks by brute force whether any hour had too much.
func TestLedgerModel(t *testing.T) {
	var granted, refused, crashes int
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			g, r, c := modelRun(t, rand.New(rand.NewPCG(seed, 1)))
			granted, refused, crashes = granted+g, refused+r, crashes+c
		})
	}
	t.Logf("%d granted, %d refused, %d restarts", granted, refused, crashes)
	if granted < 1000 || refused < 1000 || crashes < 1000 {
		t.Error("the model does not do enough")
	}
}

func modelRun(t *testing.T, rnd *rand.Rand) (granted, refused, crashes int) {
	var truth time.Duration // time that has really passed
	clock := fakeclock.New(noon, gateway.ClockSynced)
	table := &memTable{}
	ledger := NewLedger(table, clock)
	bands := []Band{bandM, bandK, bandP}
	longest := []time.Duration{4 * time.Second, 600 * time.Millisecond, 40 * time.Second}
	history := map[string][]sent{}
	pass := func(d time.Duration) {
		truth += d
		clock.Advance(d)
	}
	// One in four runs has no restarts, so that they cannot hide faults of others.
	restarts := rnd.IntN(4) > 0
	for range 3000 {
		switch n := rnd.IntN(100); {
		case n < 80:
			i := rnd.IntN(len(bands))
			name := fmt.Sprint("radio", rnd.IntN(2))
			airtime := time.Duration(rnd.Int64N(int64(longest[i]))) + time.Millisecond
			at, ahead := time.Time{}, time.Duration(0)
			if rnd.IntN(2) == 0 {
				ahead = time.Duration(rnd.Int64N(int64(20 * time.Second)))
				at = time.Now().Add(ahead)
			}
			err := ledger.Reserve(name, bands[i], airtime, at)
			var busy *Busy
			switch {
			case err == nil && rnd.IntN(10) == 0:
				ledger.Release(name, bands[i], airtime, at)
			case err == nil:
				granted++
				key := name + bands[i].Name
				history[key] = append(history[key], sent{truth + ahead, truth + ahead + airtime})
			case errors.As(err, &busy):
				refused++
				if busy.Wait <= 0 || busy.Wait > time.Hour+10*time.Minute {
					t.Fatalf("wait %v", busy.Wait)
				}
			case table.fail == nil:
				t.Fatal(err)
			}
		case n < 92:
			pass(time.Duration(rnd.Int64N(int64(90 * time.Second))))
		case n < 93 && rnd.IntN(4) == 0:
			pass(time.Duration(rnd.Int64N(int64(70 * time.Minute))))
		case n < 94: // somebody sets the clock wrong, or right
			if rnd.IntN(2) == 0 {
				clock.Set(noon.Add(time.Duration(rnd.Int64N(int64(48*time.Hour)))-24*time.Hour), gateway.ClockUnsynced)
			} else {
				clock.Set(noon.Add(truth), gateway.ClockSynced)
			}
		case n < 96:
			table.fail = nil
			if rnd.IntN(2) == 0 {
				table.fail = errors.New("disk full")
			}
		case n < 98 && restarts: // the process dies, or stops
			crashes++
			if rnd.IntN(2) == 0 {
				_ = ledger.Close() // it may fail
			}
			pass(time.Duration(rnd.Int64N(int64(10 * time.Second))))
			ledger = NewLedger(table, clock)
		case n < 99 && restarts: // the power fails
			crashes++
			truth += time.Duration(rnd.Int64N(int64(90 * time.Minute)))
			switch rnd.IntN(3) {
			case 0:
				clock.Reboot(time.Unix(int64(rnd.IntN(1000)), 0), gateway.ClockUnset)
			case 1:
				clock.Reboot(noon.Add(time.Duration(rnd.Int64N(int64(48*time.Hour)))-24*time.Hour), gateway.ClockUnsynced)
			case 2:
				clock.Reboot(noon.Add(truth), gateway.ClockSynced)
			}
			truth += time.Second // the uptime after it
			if clock.Now().Quality == gateway.ClockSynced {
				clock.Set(noon.Add(truth), gateway.ClockSynced)
			}
			ledger = NewLedger(table, clock)
		}
	}
	for key, all := range history {
		for _, b := range bands {
			if key[len("radio0"):] == b.Name && most(all) > b.limit() {
				t.Errorf("%s: %v in an hour, %v are allowed", key, most(all), b.limit())
			}
		}
	}
	return granted, refused, crashes
}

// TestLedgerReleaseLate: what is already on disk as sent does not make room for
// something later without a write.
func TestLedgerReleaseLate(t *testing.T) {
	table := &memTable{}
	clock := fakeclock.New(noon, gateway.ClockSynced)
	ledger := NewLedger(table, clock)
	reserve := func(airtime time.Duration) {
		t.Helper()
		if err := ledger.Reserve("r", bandM, airtime, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	reserve(3 * time.Second) // claims 4.8 s
	clock.Advance(10 * time.Minute)
	reserve(2 * time.Second) // claims 3.8 s
	ledger.Release("r", bandM, 3*time.Second, time.Time{})
	reserve(1800 * time.Millisecond) // all of the claim
	if table.writes != 2 {
		t.Fatalf("%d writes", table.writes)
	}
	reserve(time.Second)
	if table.writes != 3 {
		t.Error("a second was reserved that is not on disk")
	}
}

// TestLedgerAhead: what was reserved just before a crash may still go out after
// it, by the forwarder.
func TestLedgerAhead(t *testing.T) {
	for _, reboot := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			table := &memTable{}
			clock := fakeclock.New(noon, gateway.ClockSynced)
			ledger := NewLedger(table, clock)
			if err := ledger.Reserve("r", bandM, 34*time.Second, time.Now().Add(4*time.Minute)); err != nil {
				t.Fatal(err)
			}
			if reboot {
				clock.Reboot(noon, gateway.ClockSynced)
			}
			ledger = NewLedger(table, clock)
			clock.Advance(time.Hour + 4*time.Minute + 30*time.Second)
			if err := ledger.Reserve("r", bandM, 36*time.Second, time.Time{}); err == nil {
				t.Errorf("reboot %v: 4 s of the last hour forgotten", reboot)
			}
		})
	}
}

// TestLedgerRestart checks what each kind of restart makes of an hour used up.
func TestLedgerRestart(t *testing.T) {
	for _, c := range []struct {
		name   string
		stop   bool // clean
		reboot bool
		off    time.Duration
		wall   time.Time // after a reboot; zero: right
		q      gateway.ClockQuality
		synced bool          // ten minutes later
		want   time.Duration // from the use to the first transmission, at most; at least an hour
	}{
		{"the process stops", true, false, time.Second, time.Time{}, gateway.ClockSynced, false, time.Hour + 3*time.Minute},
		{"the process crashes", false, false, time.Second, time.Time{}, gateway.ClockSynced, false, time.Hour + 8*time.Minute},
		{"reboot, clock unset", true, true, 30 * time.Minute, time.Unix(5, 0), gateway.ClockUnset, false, 31*time.Minute + time.Hour + 3*time.Minute},
		{"reboot, clock a day ahead", true, true, 30 * time.Minute, noon.Add(24 * time.Hour), gateway.ClockUnsynced, false, 31*time.Minute + time.Hour + 3*time.Minute},
		{"reboot, clock right", true, true, 30 * time.Minute, time.Time{}, gateway.ClockSynced, false, time.Hour + 4*time.Minute},
		{"reboot, clock set later", true, true, 55 * time.Minute, time.Unix(5, 0), gateway.ClockUnset, true, time.Hour + 10*time.Minute},
		{"crash and reboot, clock right", false, true, 30 * time.Minute, time.Time{}, gateway.ClockSynced, false, 31*time.Minute + time.Hour + 8*time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			clock := fakeclock.New(noon, gateway.ClockSynced)
			table := &memTable{}
			ledger := NewLedger(table, clock)
			for range 36 {
				if err := ledger.Reserve("r", bandM, time.Second, time.Time{}); err != nil {
					t.Fatal(err)
				}
			}
			if c.stop {
				if err := ledger.Close(); err != nil {
					t.Fatal(err)
				}
			}
			clock.Advance(c.off)
			passed := c.off
			if c.reboot {
				wall := c.wall
				if wall.IsZero() {
					wall = clock.Now().Wall
				}
				clock.Reboot(wall, c.q)
			}
			ledger = NewLedger(table, clock)
			for start := passed; ; {
				err := ledger.Reserve("r", bandM, 36*time.Second, time.Time{})
				if err == nil {
					break
				}
				if passed > 5*time.Hour {
					t.Fatal(err)
				}
				clock.Advance(10 * time.Second)
				passed += 10 * time.Second
				if c.synced && passed-start == 10*time.Minute {
					clock.Set(noon.Add(passed), gateway.ClockSynced)
				}
			}
			t.Logf("after %v", passed)
			if passed < time.Hour || passed > c.want {
				t.Errorf("possible after %v, not an hour to %v", passed, c.want)
			}
		})
	}
}
