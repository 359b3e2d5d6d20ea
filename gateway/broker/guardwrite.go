package broker

import (
	"io"
	"net"
	"time"
)

const (
	writeChunk = 16 << 10        // bytes that must leave within the write timeout
	flushIdle  = time.Second     // without work until the writing goroutine ends
	linger     = 2 * time.Second // for the last packets of a connection
	discardFor = 200 * time.Millisecond
	discardMax = 1 << 20 // bytes taken in before closing
)

// Write takes all of p or ends the connection, and never waits for the peer. One
// packet of any size is always taken by an empty buffer.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.startWrite(len(p)); err != nil {
		return 0, err
	}
	c.buf.write(p)
	c.endWrite(len(p))
	return len(p), nil
}

// startWrite takes wmu for n bytes to be appended to buf, and endWrite to
// follow; or it fails, without wmu.
func (c *conn) startWrite(n int) error {
	c.wmu.Lock()
	if c.closing {
		c.wmu.Unlock()
		return net.ErrClosed
	}
	if held := c.buf.n + c.writing; held > 0 && held+n > c.b.limits.WriteBuffer {
		c.wmu.Unlock()
		c.b.count.closed.add("write_buffer_full")
		c.b.notice("stuck", "connection closed: the client does not read", "source", c.name())
		c.abort()
		return net.ErrClosed
	}
	return nil
}

func (c *conn) endWrite(n int) {
	c.recount()
	c.kick()
	c.wmu.Unlock()
	c.b.count.bytesOut.Add(uint64(n))
}

// leastBuffer is what a connection may have waiting however many others have.
const leastBuffer = 32 << 10

// allowed is how many bytes may wait for this connection now. The more wait for
// all of them, the fewer: those that do not read leave room for the others.
func (c *conn) allowed() int {
	free := c.b.limits.WriteTotal - int(c.b.buffered.Load())
	return min(c.b.limits.WriteBuffer, max(free/8, leastBuffer))
}

// recount tells the broker how much memory this connection has for what waits.
// It counts pieces, not bytes: all connections share that counter. Needs wmu.
func (c *conn) recount() {
	held := c.buf.count()
	if c.writing > 0 {
		held += (c.writing + pieceSize - 1) / pieceSize
	}
	if held != c.counted {
		c.b.buffered.Add(int64(held-c.counted) * pieceSize)
		c.counted = held
	}
}

// room says whether n bytes fit now. If not, onDrain is called once when half
// of what is allowed is free.
func (c *conn) room(n int) bool {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	held := c.buf.n + c.writing
	if held == 0 || held+n <= c.allowed() {
		return true
	}
	c.wantDrain = true
	return false
}

// fits is room without the promise, for what is dropped if it does not fit.
func (c *conn) fits(n int) bool {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	held := c.buf.n + c.writing
	return !c.closing && (held == 0 || held+n <= c.allowed())
}

// kick sees to it that somebody writes. Needs wmu.
func (c *conn) kick() {
	if !c.flushing {
		c.flushing = true
		go c.flush()
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// flush writes the buffer out, until the connection is closed or there was
// nothing to write for flushIdle: a silent client has no goroutine for it. It
// is the only one that writes to the socket.
func (c *conn) flush() {
	gone := false // for want of work
	defer func() {
		if !gone {
			_ = c.raw.Close()
			c.wmu.Lock()
			c.buf.clear()
			c.writing = 0
			c.recount()
			c.wmu.Unlock()
			close(c.flushed)
		}
	}()
	defer c.b.caught("writer")
	idle := time.NewTimer(flushIdle)
	defer idle.Stop()
	var out, spare pieces
	defer out.clear()
	bufs := make([][]byte, 0, writeChunk/pieceSize)
	for {
		c.wmu.Lock()
		closing, drain := c.closing, c.discard
		out, c.buf = c.buf, spare
		c.writing = out.n
		c.wmu.Unlock()
		if out.n == 0 {
			if closing {
				if drain {
					c.takeIn()
				}
				return
			}
			spare = out
			idle.Reset(flushIdle)
			select {
			case <-c.wake:
				continue
			case <-idle.C:
			}
			c.wmu.Lock()
			if gone = c.buf.n == 0 && !c.closing; gone {
				c.flushing, c.buf = false, pieces{}
			}
			c.wmu.Unlock()
			if gone {
				return
			}
			continue
		}
		if err := c.writeOut(&out, bufs); err != nil {
			if !c.isClosed() {
				c.b.count.closed.add("write_timeout")
				c.b.notice("stuck", "connection closed: the client does not read", "source", c.name(), "error", err)
			}
			c.abort()
			return
		}
		spare = out
	}
}

// writeOut writes all of out, as many pieces at a time as bufs has room for.
func (c *conn) writeOut(out *pieces, bufs [][]byte) error {
	for out.n > 0 {
		now, n := out.first(bufs)
		count := len(now)
		c.wmu.Lock()
		deadline := time.Now().Add(c.b.limits.WriteTimeout)
		if c.closing && c.closeBy.Before(deadline) {
			deadline = c.closeBy
		}
		_ = c.raw.SetWriteDeadline(deadline)
		c.wmu.Unlock()
		if err := writeAll(c.raw, now); err != nil {
			return err
		}
		out.drop(count)
		c.wmu.Lock()
		c.writing -= n
		c.recount()
		call := c.wantDrain && c.buf.n+c.writing <= c.allowed()/2
		if call {
			c.wantDrain = false
		}
		fn := c.onDrain
		c.wmu.Unlock()
		if call && fn != nil {
			fn()
		}
	}
	return nil
}

func writeAll(w io.Writer, bufs [][]byte) error {
	if len(bufs) == 1 {
		_, err := w.Write(bufs[0])
		return err
	}
	v := net.Buffers(bufs)
	_, err := v.WriteTo(w)
	return err
}

// takeIn reads what the peer is still sending for a moment. Closing with
// unread bytes would reset the connection, and the peer would lose the packet
// that says why.
func (c *conn) takeIn() {
	half, ok := c.raw.(interface{ CloseWrite() error })
	if !ok {
		return // WebSocket: its reader may still be at work
	}
	_ = half.CloseWrite()
	_ = c.raw.SetReadDeadline(time.Now().Add(discardFor))
	_, _ = io.CopyN(io.Discard, c.raw, discardMax)
}

// Close lets go of the connection: what has been written still leaves, for a
// short while. It does not block.
func (c *conn) Close() error {
	c.wmu.Lock()
	if !c.closing {
		c.closing = true
		close(c.closed)
		_ = c.raw.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
		c.closeBy = time.Now().Add(linger)
		_ = c.raw.SetWriteDeadline(c.closeBy)
		c.kick()
	}
	c.wmu.Unlock()
	return nil
}

// abort closes at once; what has not left is lost.
func (c *conn) abort() {
	_ = c.Close()
	c.wmu.Lock()
	c.buf.clear()
	c.discard = false
	c.recount()
	_ = c.raw.SetDeadline(time.Unix(1, 0))
	c.wmu.Unlock()
}

func (c *conn) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}
