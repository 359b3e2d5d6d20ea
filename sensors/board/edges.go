package board

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/warthog618/go-gpiocdev"
	"github.com/warthog618/go-gpiocdev/uapi"
	"golang.org/x/sys/unix"

	"fieldgate/sensors"
)

const (
	kernelEdges = 1024 // the most that the kernel queues for one line (gpiolib-cdev.c, GPIO_V2_LINES_MAX * 16)
	queuedEdges = 4096 // here, for a reader that is late
	eventSize   = 48   // of struct gpio_v2_line_event (linux/gpio.h)
)

// input is a line that the gateway reads.
type input struct {
	pin   string
	line  valueCloser
	edges *edgeQueue // nil: nobody asked for edges
}

// valueCloser is what an input needs of a line.
type valueCloser interface {
	Value() (int, error)
	Close() error
}

// openInput takes a line. It does not use gpiocdev's own watcher: that spins when
// the chip is gone, and nobody hears of it.
func openInput(pin string, chip *GPIOChip, offset int, c sensors.InputConfig) (*input, error) {
	in := &input{pin: pin}
	if c.Edges != sensors.NoEdges {
		in.edges = newEdgeQueue(queuedEdges)
	}
	if chip.ABI == 1 {
		l, err := requestOld(chip.Name, offset, c, in.edges)
		in.line = l
		return in, err
	}
	f, err := request(chip.Name, offset, c)
	if err != nil {
		return nil, err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	l := &line{file: f, raw: raw, read: make(chan struct{})}
	if c.Edges != sensors.NoEdges {
		go func() {
			defer close(l.read)
			readEdges(f, in.edges, clocks)
		}()
	} else {
		close(l.read)
	}
	in.line = l
	return in, nil
}

// request asks the kernel for a line as an input. If it refuses to debounce, it
// is asked for one that does not.
func request(chip string, offset int, c sensors.InputConfig) (*os.File, error) {
	dev, err := os.Open("/dev/" + chip)
	if err != nil {
		return nil, err
	}
	defer dev.Close()
	req := uapi.LineRequest{Lines: 1}
	req.Offsets[0] = uint32(offset)
	copy(req.Consumer[:], consumer)
	req.Config.Flags = uapi.LineFlagV2Input
	switch c.Pull {
	case sensors.PullNone:
		req.Config.Flags |= uapi.LineFlagV2BiasDisabled
	case sensors.PullUp:
		req.Config.Flags |= uapi.LineFlagV2BiasPullUp
	case sensors.PullDown:
		req.Config.Flags |= uapi.LineFlagV2BiasPullDown
	}
	if c.Edges&sensors.RisingEdge != 0 {
		req.Config.Flags |= uapi.LineFlagV2EdgeRising
	}
	if c.Edges&sensors.FallingEdge != 0 {
		req.Config.Flags |= uapi.LineFlagV2EdgeFalling
	}
	if c.Edges != sensors.NoEdges {
		req.EventBufferSize = kernelEdges
	}
	if c.Debounce > 0 {
		d := min(c.Debounce, math.MaxUint32*time.Microsecond)
		req.Config.AddAttribute(uapi.LineConfigAttribute{Attr: uapi.DebouncePeriod(d).Encode(), Mask: 1})
	}
	err = uapi.GetLine(dev.Fd(), &req)
	if c.Debounce > 0 && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP)) {
		req.Config.RemoveAttributeID(uapi.LineAttributeIDDebounce)
		err = uapi.GetLine(dev.Fd(), &req)
	}
	if err != nil {
		return nil, err
	}
	// Without blocking, so that Close ends a Read.
	if err := unix.SetNonblock(int(req.Fd), true); err != nil {
		return nil, errors.Join(err, unix.Close(int(req.Fd)))
	}
	return os.NewFile(uintptr(req.Fd), fmt.Sprintf("%s:%d", chip, offset)), nil
}

// requestOld takes a line by the interface of kernels before 5.10. Which clock
// their edges are stamped by is not certain: they happened when they are read.
func requestOld(chip string, offset int, c sensors.InputConfig, q *edgeQueue) (*gpiocdev.Line, error) {
	options := []gpiocdev.LineReqOption{gpiocdev.WithConsumer(consumer), gpiocdev.AsInput}
	switch c.Pull {
	case sensors.PullNone:
		options = append(options, gpiocdev.WithBiasDisabled)
	case sensors.PullUp:
		options = append(options, gpiocdev.WithPullUp)
	case sensors.PullDown:
		options = append(options, gpiocdev.WithPullDown)
	}
	if q != nil {
		which := gpiocdev.LineReqOption(gpiocdev.WithBothEdges)
		switch c.Edges {
		case sensors.RisingEdge:
			which = gpiocdev.WithRisingEdge
		case sensors.FallingEdge:
			which = gpiocdev.WithFallingEdge
		}
		options = append(options, which, gpiocdev.WithEventHandler(func(e gpiocdev.LineEvent) {
			q.push(e.Type == gpiocdev.LineEventRisingEdge, time.Now(), 0)
		}))
	}
	return gpiocdev.RequestLine(chip, offset, options...)
}

// line is a line that the kernel gave, as a file.
type line struct {
	file *os.File
	raw  syscall.RawConn
	read chan struct{} // closed when nobody reads edges any more
}

// Value is 1 if the line is high.
func (l *line) Value() (int, error) {
	values := uapi.LineValues{Mask: 1}
	var err error
	if cerr := l.raw.Control(func(fd uintptr) { err = uapi.GetLineValuesV2(fd, &values) }); cerr != nil {
		return 0, cerr
	}
	return values.Get(0), err
}

// Close lets go of the line and waits for the reader.
func (l *line) Close() error {
	err := l.file.Close()
	<-l.read
	return err
}

// Level implements sensors.Input.
func (in *input) Level() (bool, error) {
	v, err := in.line.Value()
	return v != 0, lineError(in.pin, err)
}

// Next implements sensors.Input.
func (in *input) Next(ctx context.Context) (sensors.Edge, error) {
	if in.edges == nil {
		return sensors.Edge{}, fmt.Errorf("board: %s was opened without edges", in.pin)
	}
	e, err := in.edges.next(ctx)
	if err != nil && err != ctx.Err() {
		err = lineError(in.pin, err)
	}
	return e, err
}

// Close implements sensors.Input.
func (in *input) Close() error {
	err := in.line.Close()
	if in.edges != nil {
		in.edges.fail(os.ErrClosed)
	}
	return lineError(in.pin, err)
}

// clocks reads the wall clock and the one that the kernel stamps edges by, at
// once.
func clocks() (now time.Time, monotonic time.Duration) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return time.Now(), 0
	}
	return time.Now(), time.Duration(ts.Nano())
}

// readEdges puts the edges that r gives into q until r fails, as a line does when
// it is closed or its chip is gone.
func readEdges(r io.Reader, q *edgeQueue, clocks func() (time.Time, time.Duration)) {
	buf := make([]byte, 64*eventSize)
	for {
		n, err := r.Read(buf)
		if err != nil {
			q.fail(err)
			return
		}
		now, monotonic := clocks()
		for b := buf[:n]; len(b) > 0; b = b[eventSize:] {
			e, ok := decodeEvent(b)
			if !ok {
				q.fail(fmt.Errorf("the kernel gave %d bytes of an edge", len(b)))
				return
			}
			if e.ID == uapi.LineEventRisingEdge || e.ID == uapi.LineEventFallingEdge {
				q.push(e.ID == uapi.LineEventRisingEdge, stamp(now, monotonic, e.Timestamp), e.LineSeqno)
			}
		}
	}
}

// decodeEvent reads the struct gpio_v2_line_event (linux/gpio.h) at the front of b.
func decodeEvent(b []byte) (uapi.LineEvent, bool) {
	if len(b) < eventSize {
		return uapi.LineEvent{}, false
	}
	return uapi.LineEvent{
		Timestamp: binary.NativeEndian.Uint64(b),
		ID:        uapi.LineEventID(binary.NativeEndian.Uint32(b[8:])),
		Offset:    binary.NativeEndian.Uint32(b[12:]),
		Seqno:     binary.NativeEndian.Uint32(b[16:]),
		LineSeqno: binary.NativeEndian.Uint32(b[20:]),
	}, true
}

// stamp gives the time of an edge from its stamp on the kernel's monotonic clock.
// A stamp that cannot be of that clock is taken as now.
func stamp(now time.Time, monotonic time.Duration, ns uint64) time.Time {
	if ns > uint64(monotonic) || uint64(monotonic)-ns > uint64(time.Hour) {
		return now
	}
	return now.Add(-time.Duration(uint64(monotonic) - ns))
}

// edgeQueue holds the edges that were read and not yet asked for. When it is full
// the oldest make room, as in the kernel's own queue: the newest tell the state
// that the line is in.
type edgeQueue struct {
	mu    sync.Mutex
	ring  []sensors.Edge
	first int
	n     int
	last  uint32        // the kernel's number of the edge before; 0: none yet
	err   error         // why there will be no more
	ready chan struct{} // holds a token if there may be something to take
}

func newEdgeQueue(size int) *edgeQueue {
	return &edgeQueue{ring: make([]sensors.Edge, size), ready: make(chan struct{}, 1)}
}

// push adds an edge. seq is the kernel's number of it, which counts the edges of
// the line from 1; 0 if there is none.
func (q *edgeQueue) push(rising bool, at time.Time, seq uint32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := sensors.Edge{Rising: rising, At: at}
	if seq != 0 {
		e.Lost = seq - q.last - 1 // also across the number's turn to 0
		q.last = seq
	}
	if q.n == len(q.ring) {
		gone := q.ring[q.first]
		q.first = (q.first + 1) % len(q.ring)
		q.n--
		next := &e
		if q.n > 0 {
			next = &q.ring[q.first]
		}
		next.Lost = lostMore(next.Lost, lostMore(gone.Lost, 1))
	}
	q.ring[(q.first+q.n)%len(q.ring)] = e
	q.n++
	q.wake()
}

// lostMore adds two counts; the greatest stands for all above.
func lostMore(a, b uint32) uint32 {
	return uint32(min(uint64(a)+uint64(b), math.MaxUint32))
}

// fail says that there will be no more edges. The first reason stays.
func (q *edgeQueue) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
	q.wake()
}

func (q *edgeQueue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// next takes the oldest edge, or waits for one. Those that are queued come before
// the reason why there are no more.
func (q *edgeQueue) next(ctx context.Context) (sensors.Edge, error) {
	for {
		if err := ctx.Err(); err != nil {
			return sensors.Edge{}, err
		}
		if e, ok, err := q.take(); ok || err != nil {
			return e, err
		}
		select {
		case <-q.ready:
		case <-ctx.Done():
		}
	}
}

func (q *edgeQueue) take() (sensors.Edge, bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.n == 0 {
		return sensors.Edge{}, false, q.err
	}
	e := q.ring[q.first]
	q.first = (q.first + 1) % len(q.ring)
	q.n--
	return e, true, nil
}
