package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"fieldgate/cmd/proof/power/nbd"
)

// life is a disk with all that was acknowledged for what is on it.
type life struct {
	disk  *nbd.Disk
	acked map[string][]span // by sensor, ascending
	start int               // next value to publish
	small bool              // a log that drops its oldest
}

type span struct{ from, to int }

// boot is one run of the machine.
type boot struct {
	l      *life
	cmd    *exec.Cmd
	ln     net.Listener
	served sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{}
	lines   []string // what init said, without acks and haves
	have    map[string][]span
	gaps    int
	verify  string
	id      string // of the kernel's boot
	waiting bool
	ready   bool
	died    string
	health  string
	acks    int
	ended   bool
}

// start wakes the machine on the life's disk.
func (h *host) start(l *life) (*boot, error) {
	state, err := h.state()
	if err != nil {
		return nil, err
	}
	b, in, err := h.launch(l, "-monitor", "none", "-incoming", "exec:cat '"+state+"'")
	if err != nil {
		return nil, err
	}
	size := "64MiB"
	if l.small {
		size = "1MiB"
	}
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(h.rnd.Uint32())
	}
	_, err = fmt.Fprintf(in, "\nstart=%d max=%s time=%d seed=%x .\n", l.start, size, time.Now().Unix(), seed)
	l.start += 1_000_000
	return b, err
}

// state gives the file with the machine as it waits for what to do, which is
// made by booting it once.
func (h *host) state() (string, error) {
	file := h.initrd + ".state"
	if h.kept[file] {
		return file, nil
	}
	dir, err := os.MkdirTemp("", "power-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	monitor := filepath.Join(dir, "monitor")
	l := newLife(h.content, false)
	b, _, err := h.launch(l, "-monitor", "unix:"+monitor+",server=on,wait=off")
	if err != nil {
		return "", err
	}
	defer b.cut(h.rnd)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.await(ctx, "waiting machine", func() bool { return b.waiting }); err != nil {
		return "", err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", monitor)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	fmt.Fprintf(conn, "migrate_set_parameter max-bandwidth 10g\nmigrate \"exec:cat > '%s'\"\ninfo migrate\nquit\n", file)
	said, err := io.ReadAll(conn)
	if err != nil {
		return "", err
	}
	if !strings.Contains(string(said), "Migration status: completed") {
		return "", fmt.Errorf("the machine's state was not kept: %s", said)
	}
	h.kept[file] = true
	return file, nil
}

// launch starts the emulator with its disk; in is the console's input.
func (h *host) launch(l *life, more ...string) (b *boot, in io.Writer, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	b = &boot{l: l, ln: ln, changed: make(chan struct{}), have: map[string][]span{}}
	b.served.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			b.served.Go(func() {
				defer conn.Close()
				_ = nbd.Serve(conn, l.disk) // ends with the machine
			})
		}
	})
	b.cmd = exec.Command("qemu-system-x86_64", append([]string{"-M", "pc", "-cpu", "max", "-m", "320", "-display", "none",
		"-serial", "stdio", "-no-reboot", "-nic", "none",
		"-kernel", h.kernel, "-initrd", h.initrd, "-append", "console=ttyS0 quiet panic=-1",
		"-drive", "if=virtio,format=raw,cache=none,file=nbd://" + ln.Addr().String()}, more...)...)
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err = b.cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	b.cmd.Stderr = b.cmd.Stdout
	if err := b.cmd.Start(); err != nil {
		return nil, nil, err
	}
	b.served.Go(func() {
		sc := bufio.NewScanner(out)
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			b.hear(sc.Text(), h.verbose)
		}
		b.mu.Lock()
		b.ended = true
		b.tell()
		b.mu.Unlock()
	})
	return b, in, nil
}

// hear takes one line of the console.
func (b *boot) hear(line string, echo bool) {
	if echo {
		fmt.Println("   ", line)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.tell()
	line = strings.TrimRight(line, "\r")
	at := strings.IndexByte(line, '@')
	if at < 0 {
		b.lines = append(b.lines, line)
		return
	}
	word, rest, _ := strings.Cut(line[at+1:], " ")
	switch word {
	case "ack", "have":
		f := strings.Fields(rest)
		if len(f) != 3 {
			return // cut off by the power
		}
		from, err1 := strconv.Atoi(f[1])
		to, err2 := strconv.Atoi(f[2])
		if err1 != nil || err2 != nil || to < from {
			return
		}
		if word == "have" {
			b.have[f[0]] = append(b.have[f[0]], span{from, to})
			return
		}
		b.l.acked[f[0]] = append(b.l.acked[f[0]], span{from, to})
		b.acks += to - from + 1
		return
	case "gap":
		b.gaps, _ = strconv.Atoi(rest)
	case "verify":
		b.verify += rest
	case "boot":
		b.id = rest
	case "waiting":
		b.waiting = true
	case "ready":
		b.ready = true
	case "died":
		b.died = rest
	case "health":
		b.health = rest
	}
	b.lines = append(b.lines, line)
}

// tell wakes who waits. Needs mu.
func (b *boot) tell() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// await waits until ok, which is asked with mu held.
func (b *boot) await(ctx context.Context, what string, ok func() bool) error {
	for {
		b.mu.Lock()
		yes, changed := ok(), b.changed
		died, ended := b.died, b.ended
		tail := strings.Join(b.lines[max(0, len(b.lines)-25):], "\n")
		b.mu.Unlock()
		switch {
		case yes:
			return nil
		case died != "":
			return fmt.Errorf("no %s: %s", what, died)
		case ended:
			return fmt.Errorf("no %s: the machine ended:\n%s", what, tail)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("no %s: %w:\n%s", what, ctx.Err(), tail)
		}
	}
}

// cut is the loss of power.
func (b *boot) cut(rnd *rand.Rand) {
	b.l.disk.Off()
	_ = b.cmd.Process.Kill()
	_ = b.ln.Close()
	b.served.Wait()
	_ = b.cmd.Wait() // killed
	b.l.disk.Cut(rnd)
}

// missing compares what was acknowledged before this boot with what it found.
// Of a small log the oldest may be gone, if the log says so.
func (b *boot) missing(acked map[string][]span) (checked, lost int) {
	for sensor, spans := range acked {
		found := b.have[sensor]
		oldest := 0
		if b.l.small && b.gaps > 0 && len(found) > 0 {
			oldest = found[0].from
		}
		i := 0
		for _, s := range spans {
			for v := s.from; v <= s.to; v++ {
				if v < oldest {
					continue
				}
				checked++
				for i < len(found) && found[i].to < v {
					i++
				}
				if i == len(found) || v < found[i].from {
					lost++
				}
			}
		}
	}
	return checked, lost
}

func newLife(content []byte, small bool) *life {
	disk := nbd.NewDisk(append([]byte(nil), content...))
	disk.Latency(10 * time.Millisecond)
	return &life{disk: disk, acked: map[string][]span{}, start: 1, small: small}
}

// clone copies the books.
func clone(m map[string][]span) map[string][]span {
	out := map[string][]span{}
	for k, v := range m {
		out[k] = append([]span(nil), v...)
	}
	return out
}

// patience bounds what would hang: the machine is emulated, and slow.
const patience = 2 * time.Minute
