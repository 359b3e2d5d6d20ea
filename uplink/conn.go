package uplink

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// errDiscarded is what reads and writes on a conn give after abort. It does
// not say "use of closed network connection": the client library takes these
// words for a wish to disconnect and would go on waiting.
var errDiscarded = errors.New("connection discarded")

// Sizes and times of a conn.
const (
	roomBytes   = 128 << 10              // bytes waiting above which it is crowded
	blockBytes  = 1 << 20                // bytes waiting above which Write blocks
	chunkBytes  = 16 << 10               // written to the socket at once
	chunkTime   = 20 * time.Second       // longest time for a chunk
	closeFlush  = 500 * time.Millisecond // longest time Close waits for what is written already
	writeBuffer = 4 << 10
)

// conn is the byte stream to the cloud with two additions. Writes are gathered
// while the socket is busy, so that a hundred publishes cost a few system calls
// and a write never blocks the client library on a stalled link. And abort ends
// everything that waits on it at once.
type conn struct {
	raw    net.Conn
	frames frames

	// Of the reading goroutine:
	in     []byte // from the socket
	buf    []byte // what frames let through of it
	passed []byte // the rest of buf that is still to be read
	broken error  // why there is no more

	mu      sync.Mutex
	room    *sync.Cond // pending has become less, or err is set
	work    *sync.Cond // pending has become more, or err or closing is set
	pending []byte
	spare   []byte
	busy    int // bytes being written now
	err     error
	closing bool
	ended   func(cause error) // called once, by abort, with mu held
	full    bool              // crowded said so
	news    chan struct{}     // of 1: something was answered, or there is room
	due     int               // answers until then
	open    map[uint16]*reply // by packet identifier: what was written by send and waits for its answer
	ours    uint16            // last identifier that send used
	theirs  uint16            // and the library
	ping    *time.Timer       // runs while a PINGREQ has no answer
	patient time.Duration     // longest time for that
	flushed chan struct{}     // the writing goroutine has ended
}

// newConn makes one of raw. Patient is how long a PINGREQ may be without an
// answer.
func newConn(raw net.Conn, mark string, patient time.Duration, ended func(error)) *conn {
	c := &conn{raw: raw, patient: patient, ended: ended, open: map[uint16]*reply{}, news: make(chan struct{}, 1), in: make([]byte, writeBuffer), pending: make([]byte, 0, writeBuffer), spare: make([]byte, 0, writeBuffer), flushed: make(chan struct{})}
	c.frames = frames{mark: mark, take: c.answered}
	c.room, c.work = sync.NewCond(&c.mu), sync.NewCond(&c.mu)
	go c.flush()
	return c
}

// flush writes what gathers until the connection ends.
func (c *conn) flush() {
	defer close(c.flushed)
	for {
		c.mu.Lock()
		for len(c.pending) == 0 && c.err == nil && !c.closing {
			c.work.Wait()
		}
		if c.err != nil || len(c.pending) == 0 {
			c.mu.Unlock()
			return
		}
		out := c.pending
		c.pending, c.busy = c.spare[:0], len(out)
		c.mu.Unlock()
		for rest := out; len(rest) > 0; {
			n := min(len(rest), chunkBytes)
			err := c.raw.SetWriteDeadline(time.Now().Add(chunkTime))
			if err == nil {
				_, err = c.raw.Write(rest[:n])
			}
			if err != nil {
				c.abort(err)
				return
			}
			rest = rest[n:]
		}
		if cap(out) > roomBytes {
			out = make([]byte, 0, writeBuffer) // give a burst's memory back
		}
		c.mu.Lock()
		c.spare, c.busy = out, 0
		c.room.Broadcast()
		if c.full && len(c.pending) <= roomBytes {
			c.full = false
			c.tell()
		}
		c.mu.Unlock()
	}
}

// Write takes p over. It blocks only while far more is waiting than an uplink
// ever has in flight.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.ready(); err != nil {
		return 0, err
	}
	if len(p) > 0 {
		c.note(p) // the library writes whole packets
	}
	c.pending = append(c.pending, p...)
	c.work.Signal()
	return len(p), nil
}

// ready waits until something may be written. The lock is held.
func (c *conn) ready() error {
	for len(c.pending) > blockBytes && c.err == nil {
		c.room.Wait()
	}
	if c.err == nil && c.closing {
		return errDiscarded
	}
	return c.err
}

// waiting is the number of bytes that are not with the socket yet.
func (c *conn) waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pending) + c.busy
}

// Read reads from the socket and looks at what comes.
func (c *conn) Read(p []byte) (int, error) {
	for len(c.passed) == 0 {
		if c.broken != nil {
			return 0, c.abort(c.broken)
		}
		c.gather()
		n, err := c.raw.Read(c.in)
		if n > 0 {
			c.heard()
		}
		var bad error
		c.buf, bad = c.frames.pass(c.buf[:0], c.in[:n])
		if err == nil {
			err = bad
		}
		c.passed, c.broken = c.buf, err
	}
	n := copy(p, c.passed)
	c.passed = c.passed[n:]
	return n, nil
}

// abort ends the connection now, whatever waits to be written. The first cause
// is kept and returned.
func (c *conn) abort(cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		if errors.Is(cause, net.ErrClosed) {
			cause = errDiscarded
		}
		c.err = cause
		c.quit()
		c.room.Broadcast()
		c.work.Broadcast()
		under := c.raw
		for {
			t, ok := under.(interface{ NetConn() net.Conn })
			if !ok {
				break
			}
			under = t.NetConn()
		}
		_ = under.Close() // first, because a TLS connection would wait to say goodbye
		_ = c.raw.Close()
		c.ended(c.err)
	}
	return c.err
}

// cause is why the connection ended, nil while it has not.
func (c *conn) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close waits a moment for what is written to leave, then ends the connection.
func (c *conn) Close() error {
	c.mu.Lock()
	c.closing = true
	c.work.Broadcast()
	c.mu.Unlock()
	timer := time.NewTimer(closeFlush)
	defer timer.Stop()
	select {
	case <-c.flushed:
	case <-timer.C:
	}
	c.abort(errDiscarded)
	return nil
}

// SetDeadline sets that of reading; writing has its own.
func (c *conn) SetDeadline(t time.Time) error { return c.raw.SetReadDeadline(t) }

// SetReadDeadline sets the deadline of reading.
func (c *conn) SetReadDeadline(t time.Time) error { return c.raw.SetReadDeadline(t) }

// SetWriteDeadline does nothing: writes are gathered, and the time of those to
// the socket is bounded here.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// LocalAddr is the socket's.
func (c *conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr is the socket's.
func (c *conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// closedByPeer reports whether err says that the other side ended the
// connection, rather than that the network between went away.
func closedByPeer(err error) bool {
	var ce *websocket.CloseError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.As(err, &ce)
}
