package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"fieldgate/sensors/boardproof/console"
)

// kept is how many lines of the console are kept for the report of a failure.
const kept = 80

// machine is an emulated board that runs our init.
type machine struct {
	cmd   *exec.Cmd
	dir   string // the sockets; removed by stop
	tty   io.WriteCloser
	qmp   *qmp
	qtest *qtest
	echo  io.Writer     // gets the console's lines as they come
	ended chan struct{} // closed when QEMU is gone
	last  int           // id of the last request

	mu    sync.Mutex
	tail  []string // the last lines of the console and of QEMU
	calls map[int]*call
	over  error // why no event will come any more
}

// call is a request and what the board answered to it.
type call struct {
	id     int
	m      *machine
	events []console.Event // not yet taken; guarded by m.mu
	closed bool            // nothing more will come; guarded by m.mu
	news   chan struct{}   // one token if there is something to see
}

func newMachine(echo io.Writer) *machine {
	return &machine{echo: echo, calls: make(map[int]*call), ended: make(chan struct{})}
}

// boot starts QEMU and waits until the board says hello. The caller calls stop,
// also after an error. It must run on a thread that lives as long as the
// program, for the kernel ends QEMU with the thread that started it.
func (m *machine) boot(ctx context.Context, qemu string, args ...string) (err error) {
	if m.dir, err = os.MkdirTemp("", "board"); err != nil {
		return err
	}
	// QEMU connects to us, so that nobody has to wait for its sockets.
	var listeners []*net.UnixListener
	for _, name := range []string{"qmp", "qtest"} {
		path := filepath.Join(m.dir, name)
		ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			return err
		}
		defer ln.Close()
		listeners = append(listeners, ln)
		args = append(args, "-"+name, "unix:"+path)
	}
	args = append(args, "-display", "none", "-audio", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot", "-qtest-log", "/dev/null")
	m.cmd = exec.Command(qemu, args...)
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	m.cmd.Stderr = &writer{m.note}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if m.tty, err = m.cmd.StdinPipe(); err != nil {
		return err
	}
	hello := m.expect(0)
	if err := m.cmd.Start(); err != nil {
		m.cmd = nil
		return fmt.Errorf("qemu: %w", err)
	}
	go func() {
		defer close(m.ended)
		m.listen(out)
		m.end(fmt.Errorf("qemu is gone: %w", errors.Join(io.EOF, m.cmd.Wait())))
		for _, ln := range listeners {
			ln.Close() // nobody will connect
		}
	}()
	var conns []net.Conn
	for _, ln := range listeners {
		if deadline, ok := ctx.Deadline(); ok {
			ln.SetDeadline(deadline)
		}
		conn, err := ln.Accept()
		if err != nil {
			return fmt.Errorf("qemu does not connect: %w", err)
		}
		conns = append(conns, conn)
	}
	m.qmp = &qmp{conns[0], bufio.NewReader(conns[0])}
	m.qtest = &qtest{conns[1], bufio.NewReader(conns[1])}
	m.deadline(ctx)
	if err := m.qmp.open(); err != nil {
		return err
	}
	e, err := hello.await(ctx, func(e console.Event) bool { return e.Is == console.Hello })
	if err != nil {
		return fmt.Errorf("the board does not come up: %w", err)
	}
	m.note("board: kernel " + e.Text)
	return nil
}

// deadline ends what QEMU is asked for with ctx.
func (m *machine) deadline(ctx context.Context) {
	if m.qmp == nil {
		return // not yet there
	}
	at, _ := ctx.Deadline() // no deadline is the zero time, for a connection too
	m.qmp.conn.SetDeadline(at)
	m.qtest.conn.SetDeadline(at)
}

// stop ends QEMU, with its process at the latest, and waits for it.
func (m *machine) stop() {
	defer os.RemoveAll(m.dir)
	if m.cmd == nil {
		return
	}
	var err error
	if m.qmp != nil {
		m.qmp.conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, err = m.qmp.do("quit", nil)
	}
	select {
	case <-m.ended:
	default:
		if m.qmp == nil || err != nil {
			m.cmd.Process.Kill()
			break
		}
		grace := time.AfterFunc(10*time.Second, func() { m.cmd.Process.Kill() })
		defer grace.Stop()
	}
	<-m.ended
	if m.qmp != nil {
		m.qmp.conn.Close()
	}
	if m.qtest != nil {
		m.qtest.conn.Close()
	}
}

// listen hands the board's events to the calls until the console ends.
func (m *machine) listen(out io.Reader) {
	in := bufio.NewReader(out)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			m.note(string(line))
			return
		}
		m.hear(line)
	}
}

func (m *machine) hear(line []byte) {
	var e console.Event
	ours, err := console.Decode(line, &e)
	if err != nil || !ours {
		m.note(string(line))
		return
	}
	m.note(describe(e))
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.calls[e.ID]; c != nil && !c.closed {
		c.events = append(c.events, e)
		c.closed = e.Is == console.Done || e.Is == console.Failed
		c.tell()
	}
}

func (m *machine) note(line string) {
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Fprintf(m.echo, "  | %s\n", line)
	m.tail = append(m.tail, line)
	if extra := len(m.tail) - kept; extra > 0 {
		m.tail = slices.Delete(m.tail, 0, extra)
	}
}

// end tells all calls that nothing more will come.
func (m *machine) end(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.over = err
	for _, c := range m.calls {
		c.tell()
	}
}

// console gives the last lines of the console.
func (m *machine) console() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.tail)
}

func (m *machine) expect(id int) *call {
	c := &call{id: id, m: m, news: make(chan struct{}, 1)}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls[id] = c
	return c
}

// ask sends a request. Its answers are awaited with the call.
func (m *machine) ask(r console.Request) (*call, error) {
	m.last++
	r.ID = m.last
	line, err := console.Encode(r)
	if err != nil {
		return nil, err
	}
	c := m.expect(r.ID)
	if _, err := m.tty.Write(line); err != nil {
		return nil, fmt.Errorf("serial console: %w", err)
	}
	return c, nil
}

// tell is called with m.mu.
func (c *call) tell() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

var errEnded = errors.New("it ended")

// await takes events up to the first one that suits. Without such a one the
// error says what came last.
func (c *call) await(ctx context.Context, suits func(console.Event) bool) (console.Event, error) {
	var last console.Event
	for {
		e, ok, err := c.take()
		switch {
		case ok && suits(e):
			return e, nil
		case ok:
			last = e
		case err != nil:
			return last, fmt.Errorf("%w; last: %s", err, describe(last))
		default:
			select {
			case <-c.news:
			case <-ctx.Done():
				return last, fmt.Errorf("%w; last: %s", context.Cause(ctx), describe(last))
			}
		}
	}
}

func (c *call) take() (e console.Event, ok bool, err error) {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	switch {
	case len(c.events) > 0:
		e, c.events = c.events[0], c.events[1:]
		return e, true, nil
	case c.closed:
		return e, false, errEnded
	}
	return e, false, c.m.over
}

// describe is an event as one line for people.
func describe(e console.Event) string {
	switch e.Is {
	case "":
		return "nothing"
	case console.Message:
		return fmt.Sprintf("board %d: %s %s", e.ID, e.Topic, e.Text)
	case console.Done:
		return fmt.Sprintf("board %d: done, exit status %d", e.ID, e.Exit)
	}
	return fmt.Sprintf("board %d: %s %s", e.ID, e.Is, e.Text)
}

// writer gives what is written to it, line or not.
type writer struct{ line func(string) }

func (w *writer) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		w.line(string(line))
	}
	return len(p), nil
}
