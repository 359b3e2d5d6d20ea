package freeport

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const others = "FREEPORT_OTHERS"

// TestMain takes ports on behalf of a test in another process.
func TestMain(m *testing.M) {
	if os.Getenv(others) == "" {
		os.Exit(m.Run())
	}
	for range 100 {
		port, err := Take()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(port)
	}
	_, _ = fmt.Scanln() // holds them until it may end
}

// TestTake: no port twice, neither here nor in another process that lives, and
// none that the kernel would give to a connection.
func TestTake(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	low, high := ephemeral()
	note := func(port int) {
		if seen[port] {
			t.Errorf("%d twice", port)
		}
		seen[port] = true
		if port < first || port > last || port >= low && port <= high && low > first {
			t.Errorf("%d of %d to %d", port, low, high)
		}
	}
	for range 4 {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), others+"=1")
		hold, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			hold.Close()
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
		for range 100 {
			var port int
			if _, err := fmt.Fscan(out, &port); err != nil {
				t.Fatal(err)
			}
			note(port)
		}
	}
	for range 100 {
		addr, err := Addr()
		if err != nil {
			t.Fatal(err)
		}
		var port int
		if _, err := fmt.Sscan(strings.TrimPrefix(addr, "127.0.0.1:"), &port); err != nil {
			t.Fatal(addr, err)
		}
		note(port)
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
}

// TestTaken: what somebody listens on, or only marked, is not given.
func TestTaken(t *testing.T) {
	port, err := Take()
	if err != nil {
		t.Fatal(err)
	}
	if mine(port) {
		t.Errorf("%d was given and would be given again", port)
	}
	Release(port)
	if !mine(port) || !free(port) {
		t.Errorf("%d was released and is not free", port)
	}
	for _, network := range []string{"tcp", "udp"} {
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		var closer interface{ Close() error }
		if network == "tcp" {
			closer, err = net.Listen(network, addr)
		} else {
			closer, err = net.ListenPacket(network, addr)
		}
		if err != nil {
			t.Fatal(err)
		}
		if free(port) {
			t.Errorf("%s %d is in use and would be given", network, port)
		}
		closer.Close()
	}
}

// TestListenAgain: while programs are being started, which for a moment have
// what was closed, a socket can be listened on again and again.
func TestListenAgain(t *testing.T) {
	addr, err := Addr()
	if err != nil {
		t.Fatal(err)
	}
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-over:
				return
			default:
				_ = exec.Command("true").Run()
			}
		}
	}()
	for range 300 {
		l, err := ListenAgain(addr)
		if err != nil {
			t.Error(err)
			break
		}
		l.Close()
	}
	close(over)
	<-ended
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
}
