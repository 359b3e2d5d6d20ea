// Command power cuts the power of a machine that runs the gateway, again and
// again, and looks whether all that was acknowledged is there afterwards.
//
//	go run ./power -files FOLDER [-rounds 10] [-faults 5] [-seed N] [-v]
//
// The machine is QEMU without KVM with Debian's kernel and ext4; its disk is
// package nbd, which loses a random share of the sectors that were not flushed.
// FOLDER holds kernel, initrd (with the gateway), initrd-nosync (with one whose
// bbolt does not sync) and disk, an empty file system; .ci/power makes it.
//
// It shows the way from fdatasync in the gateway over the kernel's file system to
// a disk that keeps what it said it has. What it cannot show: disks that lie
// (the control shows what becomes of that), and cards that damage what lies
// beside the sector that they were writing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

type host struct {
	kernel, initrd string
	kept           map[string]bool // states that were made
	boots          map[string]bool // identifiers that the kernel gave
	content        []byte          // of an empty disk
	rnd            *rand.Rand
	verbose        bool
	total          sum
}

type sum struct {
	rounds, acked, checked, lost, damaged int
	flushes, dropped                      uint64
}

func main() {
	files := flag.String("files", "", "folder of kernel, initrd, initrd-nosync and disk")
	rounds := flag.Int("rounds", 10, "power cuts")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()%1_000_000), "of what is random")
	verbose := flag.Bool("v", false, "show the console")
	single := flag.Int("faults", 5, "requests of the disk of which each fails in a run of its own: the first and so on")
	only := flag.String("only", "", "cuts, controls or faults")
	flag.Parse()
	if err := run(*files, *rounds, *single, *seed, *only, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "power:", err)
		os.Exit(1)
	}
}

func run(files string, rounds, single int, seed uint64, only string, verbose bool) error {
	content, err := os.ReadFile(filepath.Join(files, "disk"))
	if err != nil {
		return err
	}
	fmt.Printf("seed %d\n", seed)
	h := &host{
		kernel: filepath.Join(files, "kernel"), initrd: filepath.Join(files, "initrd"), content: content, kept: map[string]bool{}, boots: map[string]bool{},
		rnd: rand.New(rand.NewPCG(seed, 0)), verbose: verbose,
	}
	if only == "" || only == "cuts" {
		if err := h.cuts(rounds); err != nil {
			return err
		}
	}
	if only == "" || only == "faults" {
		if err := h.faults(single); err != nil {
			return err
		}
	}
	if only == "" || only == "controls" {
		return h.controls(filepath.Join(files, "initrd-nosync"))
	}
	return nil
}

// lifetime is how many cuts one disk goes through.
const lifetime = 5

func (h *host) cuts(rounds int) error {
	var l *life
	for i := range rounds {
		if i%lifetime == 0 {
			if l != nil {
				if err := h.look(l); err != nil {
					return err
				}
			}
			// With one disk the log grows, with the next it drops its oldest
			// all the time.
			l = newLife(h.content, i/lifetime%2 == 1)
		}
		if err := h.round(l); err != nil {
			return fmt.Errorf("round %d: %w", i+1, err)
		}
	}
	if err := h.look(l); err != nil {
		return err
	}
	t := h.total
	fmt.Printf("cuts: rounds %d, acknowledged %d, looked for %d, lost %d, logs damaged %d, flushes %d, sectors dropped %d\n",
		t.rounds, t.acked, t.checked, t.lost, t.damaged, t.flushes, t.dropped)
	if t.lost > 0 || t.damaged > 0 {
		return errors.New("something acknowledged was lost or damaged")
	}
	if t.acked < 50*t.rounds || t.flushes == 0 || t.dropped == 0 {
		return errors.New("too little happened to show anything")
	}
	return nil
}

// open boots the machine on l, waits until the gateway is ready, and books what
// is there of what was acknowledged before. The caller cuts the power, also after
// an error if there is a boot.
func (h *host) open(ctx context.Context, l *life) (b *boot, checked, lost int, err error) {
	acked := clone(l.acked)
	if b, err = h.start(l); err != nil {
		return nil, 0, 0, err
	}
	if err = b.await(ctx, "ready gateway", func() bool { return b.ready }); err != nil {
		return b, 0, 0, err
	}
	if h.boots[b.id] || b.id == "" {
		return b, 0, 0, fmt.Errorf("boot %q is not a new one", b.id)
	}
	h.boots[b.id] = true
	checked, lost = b.missing(acked)
	if len(acked) > 0 && !strings.HasPrefix(b.verify, "0 ") || strings.Contains(b.verify, "export") {
		h.total.damaged++
		fmt.Println("  verify:", b.verify)
	}
	h.total.checked += checked
	h.total.lost += lost
	return b, checked, lost, nil
}

// round boots, checks, publishes, and cuts the power.
func (h *host) round(l *life) error {
	before, fresh := l.disk.Counts(), len(l.acked) == 0
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, checked, lost, err := h.open(ctx, l)
	if b != nil {
		defer b.cut(h.rnd)
	}
	if err != nil {
		return err
	}
	want := 1 + h.rnd.IntN(3000)
	if l.small && fresh {
		want += 12_000 // more than it has room for
	}
	if err := b.await(ctx, "acknowledgements", func() bool { return b.acks >= want }); err != nil {
		return err
	}
	time.Sleep(time.Duration(h.rnd.Int64N(int64(100 * time.Millisecond)))) // the moment is to be a random one
	b.cut(h.rnd)
	after := l.disk.Counts()
	t := &h.total
	t.rounds++
	t.acked += b.acks
	t.flushes += after.Flushes - before.Flushes
	t.dropped += after.Dropped - before.Dropped
	fmt.Printf("round %d: looked for %d, lost %d, announced as dropped %d; acknowledged %d, flushes %d, sectors dropped %d\n",
		t.rounds, checked, lost, b.gaps, b.acks, after.Flushes-before.Flushes, after.Dropped-before.Dropped)
	return nil
}

// look boots once more, to see what the last cut has left.
func (h *host) look(l *life) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, _, _, err := h.open(ctx, l)
	if b != nil {
		b.cut(h.rnd)
	}
	return err
}

// controls shows that the proof can fail.
func (h *host) controls(nosync string) error {
	good := h.initrd
	for _, c := range []struct {
		name   string
		initrd string
		deaf   bool
	}{{"bbolt without sync", nosync, false}, {"a disk that ignores FLUSH", good, true}} {
		h.initrd = c.initrd
		lost := false
		tries := 0
		for ; tries < 5 && !lost; tries++ {
			h.total = sum{}
			l := newLife(h.content, false)
			if c.deaf {
				l.disk.IgnoreFlush()
			}
			err := h.round(l)
			if err == nil {
				err = h.look(l)
			}
			// A file system that cannot be mounted any more has lost all.
			lost = err != nil || h.total.lost > 0 || h.total.damaged > 0
			if err != nil {
				fmt.Println("  ", firstLine(err.Error()))
			}
		}
		fmt.Printf("control: %s: lost %d of %d after %d cuts\n", c.name, h.total.lost, h.total.acked, tries)
		if !lost {
			return fmt.Errorf("%s lost nothing: the proof shows nothing", c.name)
		}
	}
	h.initrd = good
	return nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
