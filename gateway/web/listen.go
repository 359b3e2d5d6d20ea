package web

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Listen opens a TCP listener; addr is "host:port", port 0 being one of the
// kernel's choice. It accepts from now on, connections are served once Run
// runs.
func (s *Server) Listen(addr string) (net.Addr, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("web: listen: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tcp = append(s.tcp, s.conns.wrap(l))
	return l.Addr(), nil
}

// ErrInUse is returned by ListenUnix where another process answers.
var ErrInUse = errors.New("another process answers on this socket")

// ListenUnix opens a socket for the command line tools, which may do
// everything: only the gateway's own user can connect (mode 0600). A socket that
// was left behind is replaced, one that somebody answers on is not (ErrInUse).
func (s *Server) ListenUnix(path string) error {
	if err := checkStale(path); err != nil {
		return fmt.Errorf("web: listen: %s: %w", path, err)
	}
	// The socket is made out of everybody's reach, and is put in place only
	// when its mode is right.
	dir, err := os.MkdirTemp(filepath.Dir(path), ".sock-") // mode 0700
	if err != nil {
		return fmt.Errorf("web: listen: %w", err)
	}
	defer os.RemoveAll(dir)
	made := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return fmt.Errorf("web: listen: %w", err)
	}
	l.SetUnlinkOnClose(false) // it moves
	err = os.Chmod(made, 0o600)
	if err == nil {
		err = os.Rename(made, path)
	}
	info, statErr := os.Lstat(path)
	if err = errors.Join(err, statErr); err != nil {
		return fmt.Errorf("web: listen: %w", errors.Join(err, l.Close()))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unix = append(s.unix, &unixListener{Listener: l, path: path, info: info})
	return nil
}

// checkStale says why path cannot be replaced by a socket.
func checkStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return errors.New("is there and is no socket")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		_ = c.Close()
		return ErrInUse
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		return nil
	}
	return err
}

// unixListener removes its socket when it is closed, unless another one took
// its place.
type unixListener struct {
	net.Listener
	path string
	info os.FileInfo
}

func (l *unixListener) Close() error {
	err := l.Listener.Close()
	if info, statErr := os.Lstat(l.path); statErr == nil && os.SameFile(info, l.info) {
		err = errors.Join(err, os.Remove(l.path))
	}
	return err
}
