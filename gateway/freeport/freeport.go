// Package freeport gives tests and demonstrations a port to listen on later: for
// a program that has to be told its port, or that is to come back on the same
// one after it has ended.
//
// A port that the kernel chose and that was closed again will not do: until it
// is used, the kernel may give it to anybody's connection.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// The ports to choose from, where the kernel does not take its own: above what
// programs are known by, below what Linux hands out (32768 unless configured).
const first, last = 20000, 32767

// Take gives a port, 20000 to 32767, that is free for TCP and UDP on 127.0.0.1,
// is none that the kernel would give to a connection, and is given to no other
// caller, in whatever process (on Linux), until this one ends or calls Release. It
// fails when none is left.
func Take() (int, error) {
	low, high := ephemeral()
	if low <= first && high >= last {
		low, high = 0, -1 // there are no others
	}
	for _, i := range rand.Perm(last - first + 1) {
		port := first + i
		if port >= low && port <= high || !mine(port) {
			continue
		}
		if free(port) {
			return port, nil
		}
		Release(port)
	}
	return 0, errors.New("freeport: no port is free")
}

// Addr is Take with the address in front: 127.0.0.1:PORT.
func Addr() (string, error) {
	port, err := Take()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}

// ListenAgain listens on a TCP address that this process has listened on before.
// The closed socket lives on for a moment in a program that is just being
// started, between fork and exec; for up to five seconds that is waited for.
func ListenAgain(addr string) (net.Listener, error) {
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		l, err := net.Listen("tcp", addr)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(end) {
			return l, err
		}
	}
}

// ephemeral gives the ports that the kernel hands out; none where it does not
// say.
func ephemeral() (low, high int) {
	raw, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0, -1
	}
	if _, err := fmt.Sscan(string(raw), &low, &high); err != nil {
		return 0, -1
	}
	return low, high
}

// mine says whether the port was not given to a caller before. The socket that
// marks it lives in Linux's abstract name space: it leaves no file and ends with
// the process.
func mine(port int) bool {
	if runtime.GOOS != "linux" {
		return true
	}
	l, err := net.Listen("unix", fmt.Sprintf("@fieldgate-freeport-%d", port))
	if err != nil {
		return !errors.Is(err, syscall.EADDRINUSE)
	}
	mu.Lock()
	defer mu.Unlock()
	marks[port] = l
	return true
}

// Release lets others have the port before the process ends.
func Release(port int) {
	mu.Lock()
	defer mu.Unlock()
	if l, ok := marks[port]; ok {
		_ = l.Close()
		delete(marks, port)
	}
}

var (
	mu    sync.Mutex
	marks = map[int]net.Listener{}
)

func free(port int) bool {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer l.Close()
	c, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	defer c.Close()
	return true
}
