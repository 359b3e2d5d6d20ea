package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"fieldgate/gateway"
)

// running is a server on loopback and on a Unix socket.
type running struct {
	*bench
	addr, socket string
	stop         func() error
	client       *http.Client
}

func run(t *testing.T, change func(*Config, *gateway.Declared)) *running {
	t.Helper()
	r := &running{bench: newBench(t, change), socket: filepath.Join(t.TempDir(), "s.sock")}
	addr, err := r.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = addr.String()
	if err := r.ListenUnix(r.socket); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	var result error
	stopped := false
	r.stop = func() error {
		if !stopped {
			stopped = true
			cancel()
			result = <-ended
		}
		return result
	}
	r.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *running) get(path string) (int, string) {
	r.t.Helper()
	return r.fetch(r.client, "http://"+r.addr+path)
}

func (r *running) getUnix(path string) (int, string) {
	r.t.Helper()
	return r.fetch(&http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", r.socket)
		}}}, "http://gateway"+path)
}

func (r *running) fetch(c *http.Client, url string) (int, string) {
	r.t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(b))
}

func TestRun(t *testing.T) {
	r := run(t, nil)
	if code, text := r.get("/healthz"); code != 200 || text != "ok" {
		t.Errorf("%d %s", code, text)
	}
	if code, _ := r.get("/admin/users"); code != 401 {
		t.Errorf("%d for anonymous", code)
	}
	if code, text := r.getUnix("/admin/log/inspect"); code != 200 || text != `{"records":7}` {
		t.Errorf("%d %s", code, text)
	}
	if code, text := r.getUnix("/devices/Ann/sensors/S1/value"); code != 200 {
		t.Errorf("%d %s", code, text)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", r.addr); err == nil {
		c.Close()
		t.Error("somebody still listens")
	}
	if _, err := os.Lstat(r.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestListenTellsAtOnce(t *testing.T) {
	r := run(t, nil)
	other := New(Config{})
	if _, err := other.Listen(r.addr); err == nil {
		t.Error("two servers on one port")
	}
	if _, err := other.Listen("nonsense"); err == nil {
		t.Error("nonsense is an address")
	}
	if err := other.ListenUnix(r.socket); !errors.Is(err, ErrInUse) {
		t.Errorf("two servers on one socket: %v", err)
	}
	if code, _ := r.getUnix("/healthz"); code != 200 { // it still works
		t.Error(code)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
}

func TestUnixSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.sock")

	// left behind by a process that was killed
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	s := New(Config{})
	if err := s.ListenUnix(path); err != nil {
		t.Fatalf("a stale socket is in the way: %v", err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left in the folder: %v", left)
	}

	// A socket that another one put there is not taken away.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second := New(Config{})
	if err := second.ListenUnix(path); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the other's socket: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}

	// A file that is no socket is left alone.
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := New(Config{}).ListenUnix(path); err == nil {
		t.Error("a file was replaced")
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Error("a file was replaced")
	}
	if err := New(Config{}).ListenUnix(filepath.Join(dir, "none", "s.sock")); err == nil {
		t.Error("a socket in no folder")
	}
}

// Requests that wait for the disk do not hold up the end.
func TestStopWhileTheDiskIsStuck(t *testing.T) {
	r := run(t, func(c *Config, _ *gateway.Declared) { c.Limits.Disk = time.Hour })
	r.log.held = true
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST /devices/Open/sensors/S1/value HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1"); err != nil {
		t.Fatal(err)
	}
	<-r.log.queued
	// The first byte of a next request keeps net/http from noticing that the
	// connection ends.
	if _, err := io.WriteString(c, "G"); err != nil {
		t.Fatal(err)
	}
	r.get("/healthz")
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if b, _ := io.ReadAll(c); strings.Contains(string(b), " 200 ") {
		t.Errorf("answered %q", b)
	}
	r.log.release(nil)
}

// A request that is being answered when the end comes gets its answer.
func TestStopLetsRequestsEnd(t *testing.T) {
	r := run(t, nil)
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
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	for { // until the listener is closed
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			break
		}
		c.Close()
	}
	r.log.release(nil)
	if got := <-status; got != 200 {
		t.Errorf("status %d", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// A header that does not end, and one that is too long.
func TestHeaderLimits(t *testing.T) {
	r := run(t, func(c *Config, _ *gateway.Declared) { c.Limits.Header = 50 * time.Millisecond })
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n"); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Errorf("an unfinished header is waited for: %v", err)
	}
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+r.addr+"/", nil)
	req.Header.Set("X-Long", strings.Repeat("x", 32<<10))
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 431 {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// An answer that goes on may take longer than one write may.
func TestLongAnswers(t *testing.T) {
	const pause = 200 * time.Millisecond
	slow := slowHistory{make(chan struct{}), make(chan error, 1)}
	r := run(t, func(c *Config, _ *gateway.Declared) {
		c.History = slow
		c.Limits.Write, c.Limits.Disk = pause/2, 1
	})
	resp, err := r.client.Get("http://" + r.addr + "/devices/Open/sensors/S1/values")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	time.AfterFunc(pause, func() { close(slow.goOn) })
	b, err := io.ReadAll(resp.Body)
	if err != nil || !strings.HasSuffix(string(b), "]") {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if err := <-slow.ended; err != nil {
		t.Errorf("the context ended: %v", err)
	}
}

type slowHistory struct {
	goOn  chan struct{}
	ended chan error // the context's error at the end
}

func (h slowHistory) Values(ctx context.Context, _ HistoryQuery, fn func(gateway.Record) error) error {
	r := gateway.Record{Value: []byte(`"` + strings.Repeat("x", 20_000) + `"`)}
	err := fn(r)
	select {
	case <-h.goOn:
	case <-ctx.Done():
	}
	h.ended <- ctx.Err()
	return errors.Join(err, fn(r))
}

func TestPanicEndsItsRequestOnly(t *testing.T) {
	r := run(t, func(c *Config, _ *gateway.Declared) {
		c.Health = func() []string { panic("made by the test") }
	})
	for range 2 {
		if code, text := r.get("/healthz"); code != 500 || strings.Contains(text, "made by") {
			t.Errorf("%d %s", code, text)
		}
	}
	if code, _ := r.get("/devices"); code != 200 {
		t.Error(code)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if s := r.Stats(); s.Panics != 2 || s.Answers[5] != 2 || s.Answers[2] != 1 {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(r.logged.String(), "made by the test") {
		t.Error("not logged")
	}
}

// MQTT over WebSocket is handed over, and is no longer counted.
func TestMQTT(t *testing.T) {
	done := make(chan struct{})
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		up := websocket.Upgrader{Subprotocols: []string{"mqtt"}}
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		kind, msg, err := c.ReadMessage()
		if err != nil {
			t.Error(err)
			return
		}
		_ = c.WriteMessage(kind, msg)
	})
	r := run(t, func(c *Config, _ *gateway.Declared) { c.MQTT = echo })
	d := websocket.Dialer{Subprotocols: []string{"mqtt"}}
	c, resp, err := d.DialContext(t.Context(), "ws://"+r.addr+"/mqtt", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer c.Close()
	if c.Subprotocol() != "mqtt" {
		t.Errorf("subprotocol %q", c.Subprotocol())
	}
	if n := r.Stats().Open; n != 0 {
		t.Errorf("%d connections are counted", n)
	}
	if err := c.WriteMessage(websocket.BinaryMessage, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, msg, err := c.ReadMessage(); err != nil || string(msg) != "x" {
		t.Errorf("%q, %v", msg, err)
	}
	<-done
	w := newBench(t, nil).ask("", "GET /mqtt", "")
	if w.Code != 404 {
		t.Errorf("without a broker: %d", w.Code)
	}
}

// One connection serves many requests.
func TestKeepAlive(t *testing.T) {
	r := run(t, nil)
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for i := range 3 {
		body := fmt.Sprint(i)
		fmt.Fprintf(c, "POST /devices/Open/sensors/S1/value HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Error(resp.StatusCode)
		}
	}
	if n := len(r.log.all()); n != 3 {
		t.Errorf("%d records", n)
	}
}

func TestRunEndsWithItsListener(t *testing.T) {
	s := New(Config{})
	if _, err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil {
		t.Error("a server without its listener runs")
	}
}
