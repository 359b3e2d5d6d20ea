package main

import "testing"

// TestRoomForTheCollector: more while it runs often, and back only after a
// while without work.
func TestRoomForTheCollector(t *testing.T) {
	var r room
	cycles, live := uint64(0), uint64(4<<20)
	look := func(n uint64, want int) {
		t.Helper()
		cycles += n
		if got, over := r.percent(cycles, live); got != want || over != (want == usualPercent && n <= seldomCycles) {
			t.Errorf("after %d collections %d (over: %v), not %d", n, got, over, want)
		}
	}
	look(oftenCycles-1, 0)
	look(oftenCycles, busyPercent)
	look(50, 0) // once is enough
	for range idleLooks - 1 {
		look(seldomCycles, 0)
	}
	look(seldomCycles+1, 0) // work again: from the beginning
	for range idleLooks - 1 {
		look(0, 0)
	}
	look(0, usualPercent)
	look(0, 0)
	look(oftenCycles, busyPercent)
	live = mostRoom / 2 // and more: the room has a bound
	look(50, 200)
	live = 10 * mostRoom
	look(50, usualPercent)
	look(50, 0)
	live = 4 << 20
	look(50, busyPercent)
}
