package web

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"fieldgate/gateway"
)

// Clients that open connections and never finish a header push each other out,
// and nobody else.
func TestSlowLoris(t *testing.T) {
	r := run(t, func(c *Config, _ *gateway.Declared) { c.Limits.ConnsPerAddress = 20 })
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for i := range 500 {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil && !isReset(err) {
			t.Fatalf("connection %d: %v", i, err)
		}
		if i%50 == 0 {
			if code, text := r.get("/healthz"); code != 200 {
				t.Fatalf("after %d slow connections: %d %s", i, code, text)
			}
		}
	}
	if code, text := r.get("/devices"); code != 200 {
		t.Errorf("%d %s", code, text)
	}
	if s := r.Stats(); s.Open > 20 || s.Evicted < 480 {
		t.Errorf("%+v", s)
	}
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op)
}

// The connection of a request that is being answered is not pushed out.
func TestSlowLorisSparesRequests(t *testing.T) {
	r := run(t, func(c *Config, _ *gateway.Declared) { c.Limits.ConnsPerAddress = 3 })
	r.log.held = true
	status := make(chan int, 1)
	go func() {
		resp, err := r.client.Post("http://"+r.addr+"/devices/Open/sensors/S1/value", "application/json", strings.NewReader("1"))
		if err != nil {
			status <- 0
			return
		}
		resp.Body.Close()
		status <- resp.StatusCode
	}()
	<-r.log.queued
	for range 10 {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if code, _ := r.get("/healthz"); code != 200 {
		t.Error(code)
	}
	r.log.release(nil)
	if got := <-status; got != 200 {
		t.Errorf("status %d", got)
	}
}

func TestConns(t *testing.T) {
	open := func(s *conns, addr string) (*conn, net.Conn) {
		a, b := net.Pipe()
		t.Cleanup(func() { a.Close(); b.Close() })
		return s.add(addrConn{a, addr}), b
	}
	closed := func(c net.Conn) bool {
		_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
		_, err := c.Read(make([]byte, 1))
		return errors.Is(err, io.EOF)
	}
	s := newConns(4, 2)
	a1, a1far := open(s, "192.0.2.1:1")
	a2, a2far := open(s, "192.0.2.1:2")
	a1.serve(true)
	a3, _ := open(s, "192.0.2.1:3") // in place of a2
	if a3 == nil || !closed(a2far) || closed(a1far) {
		t.Error("the wrong connection was closed")
	}
	a3.serve(true)
	if a4, _ := open(s, "192.0.2.1:4"); a4 != nil {
		t.Error("a third one where two are served")
	}
	b1, _ := open(s, "192.0.2.2:1")
	c1, c1far := open(s, "192.0.2.3:1")
	a1.serve(false)
	a3.serve(false)
	a3.since, a1.since = a1.since, a3.since // a3 waits for longer
	d1, _ := open(s, "192.0.2.4:1")         // in total: in place of a3, of the busiest address
	if b1 == nil || c1 == nil || d1 == nil || closed(c1far) || closed(a1far) {
		t.Error("a quiet address paid")
	}
	if n, evicted := s.count(); n != 4 || evicted != 3 {
		t.Errorf("%d open, %d evicted", n, evicted)
	}
	for _, c := range []*conn{a1, a2, a3, b1, c1, d1, a1} { // twice does no harm
		c.Close()
	}
	if n, _ := s.count(); n != 0 || len(s.byAddr) != 0 {
		t.Errorf("%d open, %v", n, s.byAddr)
	}
}

type addrConn struct {
	net.Conn
	addr string
}

func (c addrConn) RemoteAddr() net.Addr { return pipeAddr(c.addr) }

type pipeAddr string

func (pipeAddr) Network() string  { return "tcp" }
func (a pipeAddr) String() string { return string(a) }
