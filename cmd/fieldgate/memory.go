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
// it gets more room; when that is over, or what is live is more, the room is
// given back.
const (
	collectorLook = time.Second
	oftenCycles   = 5 // collections between two looks that count as often
	seldomCycles  = 1
	idleLooks     = 10  // looks without work until the room is given back
	usualPercent  = 100 // as GOGC
	busyPercent   = 300
	mostRoom      = 48 << 20 // bytes beside what is live that are worth the time
)

// tradeMemory does that until ctx ends. GOGC in the environment says otherwise.
func tradeMemory(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	sample := []metrics.Sample{{Name: "/gc/cycles/automatic:gc-cycles"}, {Name: "/gc/heap/live:bytes"}}
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
		percent, over := r.percent(sample[0].Value.Uint64(), sample[1].Value.Uint64())
		if percent > 0 {
			debug.SetGCPercent(percent)
		}
		if over {
			debug.FreeOSMemory()
		}
	}
}

// room decides how much memory there is for what waits to be collected.
type room struct {
	cycles uint64
	now    int // percent; 0: as usual
	quiet  int
}

// percent takes the number of collections so far and the bytes that the last one
// left, and gives the percentage to be set from now on, 0 to leave it, and
// whether a time of much work is over.
func (r *room) percent(cycles, live uint64) (percent int, over bool) {
	n := cycles - r.cycles
	r.cycles = cycles
	switch {
	case r.now == 0 && n < oftenCycles:
		return 0, false
	case r.now == 0 || n > seldomCycles:
		r.quiet = 0
	default:
		if r.quiet++; r.quiet == idleLooks {
			r.now = 0
			return usualPercent, true
		}
	}
	is := int(min(busyPercent, max(usualPercent, mostRoom*100/max(live, 1))))
	if is == r.now {
		return 0, false
	}
	r.now = is
	return is, false
}
