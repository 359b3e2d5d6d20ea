// Command init is process 1 of an emulated board: it readies the kernel and then
// does what the host asks for over the serial console, see package console. It
// is linked statically and is all that the board's RAM disk has beside the
// program under test and the kernel's modules.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"fieldgate/sensors/boardproof/console"
)

// modules lists files of kernel modules, one a line, in the order in which they
// are to be loaded.
const modules = "/modules/order"

func main() {
	fmt.Println("init:", serve())
	// Where process 1 ends the kernel stops with a panic, and QEMU with it.
}

// serve does all of that. It returns only what went wrong.
func serve() error {
	for _, m := range []struct{ kind, at string }{
		{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/tmp"}, {"tmpfs", "/run"},
	} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil && err != unix.EBUSY {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	// From here on the console is ours: no messages of the kernel.
	if err := os.WriteFile("/proc/sys/kernel/printk", []byte("1"), 0); err != nil {
		return err
	}
	tty, err := openConsole()
	if err != nil {
		return err
	}
	b := &board{tty: tty, processes: make(map[int]*os.Process)}
	if err := loadModules(); err != nil {
		return err
	}
	if err := upLoopback(); err != nil {
		return err
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return err
	}
	b.say(console.Event{Is: console.Hello, Text: strings.TrimSpace(string(release))})
	in := bufio.NewReader(tty)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("console: %w", err)
		}
		var r console.Request
		if ok, err := console.Decode(line, &r); err != nil {
			return err
		} else if ok {
			go b.do(r)
		}
	}
}

// openConsole gives the serial console as a plain stream of bytes: without echo,
// and without the limit on the length of a line.
func openConsole() (*os.File, error) {
	tty, err := os.OpenFile("/dev/console", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	mode, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	mode.Iflag, mode.Oflag, mode.Lflag = 0, 0, 0
	mode.Cc[unix.VMIN], mode.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, mode); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	return tty, nil
}

func loadModules() error {
	order, err := os.ReadFile(modules)
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(string(order)) {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil {
			return fmt.Errorf("module %s: %w", name, err)
		}
	}
	return nil
}

// board does what the host asks for.
type board struct {
	mu        sync.Mutex
	tty       *os.File
	processes map[int]*os.Process // by the request that started them
}

// say writes one event. There is nobody to tell if that fails.
func (b *board) say(e console.Event) {
	line, err := console.Encode(e)
	if err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tty.Write(line)
}

func (b *board) do(r console.Request) {
	exit, err := b.answer(r)
	if err != nil {
		b.say(console.Event{ID: r.ID, Is: console.Failed, Text: err.Error()})
		return
	}
	b.say(console.Event{ID: r.ID, Is: console.Done, Exit: exit})
}

func (b *board) answer(r console.Request) (exit int, err error) {
	switch r.Do {
	case console.Start:
		return b.start(r)
	case console.Signal:
		return 0, b.signal(r)
	case console.Write:
		return 0, os.WriteFile(r.Path, []byte(r.Text), 0o600)
	case console.Subscribe:
		return 0, b.subscribe(r)
	case console.Publish:
		return 0, b.publish(r)
	case console.Address:
		return 0, address(r.Text)
	}
	return 0, fmt.Errorf("%q is no request", r.Do)
}

// lines gives each line written to it, without its end.
type lines struct {
	rest []byte
	line func(string)
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte{'\n'})
		if !ok {
			return len(p), nil
		}
		l.line(strings.TrimSuffix(string(line), "\r"))
		l.rest = rest
	}
}

// end gives a last line that has no end.
func (l *lines) end() {
	if len(l.rest) > 0 {
		l.line(string(l.rest))
		l.rest = nil
	}
}
