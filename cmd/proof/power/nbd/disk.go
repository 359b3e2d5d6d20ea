// Package nbd is a disk that loses what was not flushed: an NBD server
// (github.com/NetworkBlockDevice/nbd, doc/proto.md) with a volatile write cache,
// and with faults on command.
package nbd

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// SectorSize is what a disk writes as a whole, in bytes.
const SectorSize = 512

// ErrIO is what a request gets that the disk lets fail.
var ErrIO = errors.New("nbd: input/output error")

// Disk is in memory. Its methods may be called by several goroutines.
type Disk struct {
	mu       sync.Mutex
	durable  []byte
	volatile map[int64]*sector // by number: written, not flushed
	deaf     bool              // FLUSH is answered and does nothing
	failAt   uint64            // the write or flush of this number fails; 0: none
	failing  bool              // and all after it
	stall    time.Duration     // of the next flush
	latency  time.Duration     // of each flush
	off      bool              // without power: nothing is done any more
	counts   Counts
}

type sector struct {
	data [SectorSize]byte
	at   time.Time
}

// Counts is what a disk was asked for.
type Counts struct {
	Writes, Flushes uint64 // requests
	Sectors         uint64 // written
	Dropped         uint64 // sectors lost in cuts
	Failed          uint64 // requests
}

// lazily is after what time a disk that ignores FLUSH has written a sector by
// itself.
const lazily = 300 * time.Millisecond

// NewDisk has content, whose length is a multiple of SectorSize.
func NewDisk(content []byte) *Disk {
	return &Disk{durable: content, volatile: map[int64]*sector{}}
}

// Size is in bytes.
func (d *Disk) Size() int64 { return int64(len(d.durable)) }

// IgnoreFlush makes the disk answer FLUSH without doing anything, as some do.
func (d *Disk) IgnoreFlush() { d.mu.Lock(); defer d.mu.Unlock(); d.deaf = true }

// FailFrom lets the nth write or flush from now on fail, and all after it if
// lasting; Mend ends that.
func (d *Disk) FailFrom(nth uint64, lasting bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failAt, d.failing = d.counts.Writes+d.counts.Flushes+nth, lasting
}

// Latency is what each flush takes, as on a card: most cuts then come while
// something is not flushed.
func (d *Disk) Latency(t time.Duration) { d.mu.Lock(); defer d.mu.Unlock(); d.latency = t }

// Off is the moment in which the power goes: requests fail from here on, those
// that are being done too. Cut says what is left.
func (d *Disk) Off() { d.mu.Lock(); defer d.mu.Unlock(); d.off = true }

// Stall makes the next flush take so long.
func (d *Disk) Stall(t time.Duration) { d.mu.Lock(); defer d.mu.Unlock(); d.stall = t }

// Mend ends all faults.
func (d *Disk) Mend() { d.mu.Lock(); defer d.mu.Unlock(); d.failAt, d.failing, d.stall = 0, false, 0 }

// Counts is what the disk was asked for so far.
func (d *Disk) Counts() Counts { d.mu.Lock(); defer d.mu.Unlock(); return d.counts }

// ReadAt reads len(p) bytes; the range must be within the disk.
func (d *Disk) ReadAt(p []byte, off int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	copy(p, d.durable[off:])
	for n := off / SectorSize; n*SectorSize < off+int64(len(p)); n++ {
		s := d.volatile[n]
		if s == nil {
			continue
		}
		if at := n*SectorSize - off; at >= 0 {
			copy(p[at:], s.data[:])
		} else {
			copy(p, s.data[-at:])
		}
	}
}

// fails says that this write or flush does. Needs mu.
func (d *Disk) fails() bool {
	if d.off {
		return true
	}
	n := d.counts.Writes + d.counts.Flushes
	if d.failAt == 0 || n < d.failAt || n > d.failAt && !d.failing {
		return false
	}
	d.counts.Failed++
	return true
}

// WriteAt puts p into the cache; the range must be within the disk. With fua it
// is durable when WriteAt returns.
func (d *Disk) WriteAt(p []byte, off int64, fua bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts.Writes++
	if d.fails() {
		return ErrIO
	}
	now := time.Now()
	for len(p) > 0 {
		n, in := off/SectorSize, off%SectorSize
		s := &sector{at: now}
		if old := d.volatile[n]; old != nil {
			s.data = old.data
		} else {
			copy(s.data[:], d.durable[n*SectorSize:])
		}
		k := copy(s.data[in:], p)
		d.volatile[n] = s
		if fua && !d.deaf {
			d.settle(n)
		}
		d.counts.Sectors++
		p, off = p[k:], off+int64(k)
	}
	return nil
}

// settle makes a sector durable. Needs mu.
func (d *Disk) settle(n int64) {
	copy(d.durable[n*SectorSize:], d.volatile[n].data[:])
	delete(d.volatile, n)
}

// Flush makes durable what was written before.
func (d *Disk) Flush() error {
	d.mu.Lock()
	wait := d.stall + d.latency
	d.stall = 0
	d.mu.Unlock()
	time.Sleep(wait)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts.Flushes++
	if d.fails() {
		return ErrIO
	}
	for n, s := range d.volatile {
		if !d.deaf || time.Since(s.at) > lazily {
			d.settle(n)
		}
	}
	return nil
}

// Cut is what the loss of power leaves: of the sectors in the cache a random share survives,
// each as a whole. Which ones is decided by rnd alone.
func (d *Disk) Cut(rnd *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = false
	share := rnd.Float64()
	var numbers []int64
	for n := range d.volatile {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		if rnd.Float64() < share {
			d.settle(n)
			continue
		}
		delete(d.volatile, n)
		d.counts.Dropped++
	}
}
