package main

import "testing"

// TestRoomForTheCollector: more while it runs often, and back only after a
// while without work.
func TestRoomForTheCollector(t *testing.T) {
	var r room
	cycles := uint64(0)
	look := func(n uint64, want int) {
		t.Helper()
		if cycles += n; r.percent(cycles) != want {
			t.Errorf("after %d collections not %d", n, want)
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
}
