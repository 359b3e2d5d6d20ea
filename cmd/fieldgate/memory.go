package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"syscall"
	"time"
)

// boundMemory has the collector work harder before the process takes more than
// half of the machine's memory: what clients can make it hold is bounded, and
// would otherwise be doubled by what is waiting to be collected. GOMEMLIMIT in
// the environment says otherwise.
func boundMemory() {
	var info syscall.Sysinfo_t
	if os.Getenv("GOMEMLIMIT") != "" || syscall.Sysinfo(&info) != nil {
		return
	}
	if half := uint64(info.Totalram) * uint64(info.Unit) / 2; half > 0 {
		debug.SetMemoryLimit(int64(min(half, 1<<62)))
	}
}

// What is live is a few megabytes, so the collector of a busy gateway would run
// fifty times a second, and take a quarter of its CPU time. While it runs often
// it gets more room; when that is over the room is given back.
const (
	collectorLook = time.Second
	oftenCycles   = 5 // collections between two looks that count as often
	seldomCycles  = 1
	idleLooks     = 10  // looks without work until the room is given back
	usualPercent  = 100 // as GOGC
	busyPercent   = 300
)

// tradeMemory does that until ctx ends. GOGC in the environment says otherwise.
func tradeMemory(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	sample := []metrics.Sample{{Name: "/gc/cycles/automatic:gc-cycles"}}
	look := time.NewTicker(collectorLook)
	defer look.Stop()
	var r room
	for {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
		metrics.Read(sample)
		switch r.percent(sample[0].Value.Uint64()) {
		case busyPercent:
			debug.SetGCPercent(busyPercent)
		case usualPercent:
			debug.SetGCPercent(usualPercent)
			debug.FreeOSMemory()
		}
	}
}

// room decides how much memory there is for what waits to be collected.
type room struct {
	cycles uint64
	busy   bool
	quiet  int
}

// percent takes the number of collections so far and gives the percentage to
// be set from now on, 0 to leave it.
func (r *room) percent(cycles uint64) int {
	n := cycles - r.cycles
	r.cycles = cycles
	switch {
	case !r.busy && n >= oftenCycles:
		r.busy, r.quiet = true, 0
		return busyPercent
	case r.busy && n > seldomCycles:
		r.quiet = 0
	case r.busy:
		if r.quiet++; r.quiet == idleLooks {
			r.busy = false
			return usualPercent
		}
	}
	return 0
}
