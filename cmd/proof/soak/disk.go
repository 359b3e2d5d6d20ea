package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// diskBytes is what the gateway's disk holds; its log may have half of it.
const diskBytes = 64 << 20

// disk is the gateway's, in memory, so that it can be filled. Without root it is
// a folder, and never full.
type disk struct {
	path    string
	mounted bool
}

func newDisk(path string) *disk {
	d := &disk{path: path}
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", diskBytes), "tmpfs", path).CombinedOutput()
	if d.mounted = err == nil; !d.mounted {
		fmt.Printf("no small disk, so it is never full: %v %s", err, out)
	}
	return d
}

func (d *disk) close() error {
	if !d.mounted {
		return nil
	}
	return exec.Command("umount", "-l", d.path).Run()
}

func (d *disk) ballast() string { return filepath.Join(d.path, "ballast") }

// fill leaves no room.
func (d *disk) fill() error {
	if !d.mounted {
		return nil
	}
	f, err := os.Create(d.ballast())
	if err != nil {
		return err
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) >= 4096; {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			return err
		}
	}
	return nil
}

// free gives the room back.
func (d *disk) free() error {
	if err := os.Remove(d.ballast()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// damage spoils a file of a gateway that is not running: not the log, whose
// records would then be missing with reason.
func (d *disk) damage(data string, rnd *rand.Rand) error {
	path := filepath.Join(data, []string{"registry.db", "sessions.db"}[rnd.IntN(2)])
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	switch rnd.IntN(3) {
	case 0:
		b = b[:rnd.IntN(len(b)+1)]
	case 1:
		for range 20 {
			if len(b) > 0 {
				b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
			}
		}
	case 2:
		at := rnd.IntN(len(b) + 1)
		clear(b[at:min(len(b), at+4096)])
	}
	return os.WriteFile(path, b, 0o600)
}
