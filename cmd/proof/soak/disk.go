package main

import (
	"encoding/binary"
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

// Pages of the log's file (bbolt): their size, and the flag of those that lead
// to others.
const (
	page       = 4096
	branchPage = 1
)

// damage spoils a file of a gateway that was stopped. Of the log it spares the
// pages with records, which would then be missing with reason: without the
// others it has to be put together anew.
func (d *disk) damage(data string, rnd *rand.Rand) error {
	path := filepath.Join(data, []string{"registry.db", "sessions.db", "log.db", "log.db.journal"}[rnd.IntN(4)])
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if filepath.Base(path) == "log.db" {
		if rnd.IntN(2) == 0 {
			at := page * rnd.IntN(2) // one of the two that say where all the others are
			clear(b[at:min(len(b), at+page)])
		} else {
			for at := 0; at+page <= len(b); at += page {
				if binary.LittleEndian.Uint64(b[at:]) == uint64(at/page) && b[at+8] == branchPage {
					clear(b[at : at+16])
				}
			}
		}
		return os.WriteFile(path, b, 0o600)
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
