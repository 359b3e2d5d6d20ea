package main

import (
	"os"
	"runtime/debug"
	"syscall"
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
