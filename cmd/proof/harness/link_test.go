package harness

import (
	"io"
	"net"
	"testing"
)

// TestLinkRenewed: a proxy that is stuck is replaced by one at the same address.
func TestLinkRenewed(t *testing.T) {
	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer upstream.Close()
	l, err := NewLink(upstream.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { l.Close() }()
	if err := l.Break("half-open"); err != nil {
		t.Fatal(err)
	}
	addr := l.Addr()
	if err := l.renew(); err != nil {
		t.Fatal(err)
	}
	if err := l.Heal(); err != nil || l.Addr() != addr {
		t.Fatalf("%v, at %s instead of %s", err, l.Addr(), addr)
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	far, err := upstream.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	b := make([]byte, 5)
	if _, err := io.ReadFull(far, b); err != nil || string(b) != "hello" {
		t.Fatalf("%q, %v", b, err)
	}
}
