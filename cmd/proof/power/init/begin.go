package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The requests of random(4) and of linux/fs.h.
const (
	rndAddEntropy = 0x40085203
	rndReseedCRNG = 0x5207
	blkFlushBuf   = 0x1261
)

// begin makes a machine that was woken from a kept state one that has just been
// booted: it has the time, random numbers and so a boot_id of its own, and knows
// nothing of the disk.
func begin(setting map[string]string) error {
	seconds, err := strconv.ParseInt(setting["time"], 10, 64)
	if err != nil {
		return fmt.Errorf("time: %w", err)
	}
	if err := unix.Settimeofday(&unix.Timeval{Sec: seconds}); err != nil {
		return fmt.Errorf("time: %w", err)
	}
	seed, err := hex.DecodeString(setting["seed"])
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	entropy := struct {
		bits, size int32
		seed       [64]byte
	}{bits: int32(8 * len(seed)), size: int32(len(seed))}
	copy(entropy.seed[:], seed)
	if err := control("/dev/urandom", rndAddEntropy, uintptr(unsafe.Pointer(&entropy))); err != nil {
		return err
	}
	if err := control("/dev/urandom", rndReseedCRNG, 0); err != nil {
		return err
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	say("boot %s", bytes.TrimSpace(id))
	return control("/dev/vda", blkFlushBuf, 0) // what the kernel read when it looked for partitions
}

func control(file string, request uint, arg uintptr) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), uintptr(request), arg); e != 0 {
		return fmt.Errorf("%s: request %#x: %w", file, request, e)
	}
	return nil
}
