package harness

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Patience is how long is waited for what must come. It is no measure of speed:
// it only ends what would hang.
const Patience = 60 * time.Second

// Build makes the gateway's binary in folder dir and gives its path.
func Build(dir string) (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("harness: where the sources are is not known")
	}
	to := filepath.Join(dir, "fieldgate")
	cmd := exec.Command("go", "build", "-o", to, "./cmd/fieldgate")
	cmd.Dir = filepath.Join(filepath.Dir(file), "../../..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("harness: go build: %w\n%s", err, out)
	}
	return to, nil
}

// Look finds a program of the system, also in /usr/sbin.
func Look(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/usr/lib/rabbitmq/bin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("harness: %s is not installed", name)
}

// Process is a program that was started.
type Process struct {
	Cmd    *exec.Cmd
	Out    *Lines // standard output and standard error
	exited chan struct{}
}

// Start runs cmd and collects what it prints.
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{Cmd: cmd, Out: &Lines{}, exited: make(chan struct{})}
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that Kill gets its children, too
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("harness: %w", err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		p.Out.read(r)
	}()
	go func() {
		_ = cmd.Wait() // the status stays in cmd.ProcessState
		_ = w.Close()
		<-read
		close(p.exited)
	}()
	return p, nil
}

// Exited is closed when the process has ended and all that it printed was read.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Kill ends the process and its children as a power cut would, with SIGKILL.
func (p *Process) Kill() {
	select {
	case <-p.exited: // the number may be another's by now
		return
	default:
	}
	_ = syscall.Kill(-p.Cmd.Process.Pid, syscall.SIGKILL)
	<-p.exited
}

// Stop asks the process to end with SIGTERM, and gives its exit status.
func (p *Process) Stop() (int, error) {
	_ = p.Cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
		return p.Cmd.ProcessState.ExitCode(), nil
	case <-time.After(Patience):
		p.Kill()
		return -1, fmt.Errorf("harness: %s did not end within %s", filepath.Base(p.Cmd.Path), Patience)
	}
}

// Lines collects what a process prints. The zero value is ready.
type Lines struct {
	mu    sync.Mutex
	all   []string
	ended bool
	more  chan struct{}
}

func (l *Lines) read(r io.Reader) {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 64<<10), 4<<20)
	for sc.Scan() {
		l.add(sc.Text(), false)
	}
	l.add("", true)
	_, _ = io.Copy(io.Discard, r) // a line too long must not block the process
}

func (l *Lines) add(line string, end bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if end {
		l.ended = true
	} else {
		l.all = append(l.all, line)
	}
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
}

// Text is all that was printed so far.
func (l *Lines) Text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}

// Await gives the first line from number from on for which ok holds, and the
// number after it. The error holds what was printed.
func (l *Lines) Await(ctx context.Context, what string, from int, ok func(string) bool) (string, int, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	for i := from; ; {
		l.mu.Lock()
		for ; i < len(l.all); i++ {
			if ok(l.all[i]) {
				line := l.all[i]
				l.mu.Unlock()
				return line, i + 1, nil
			}
		}
		ended := l.ended
		if l.more == nil {
			l.more = make(chan struct{})
		}
		more := l.more
		l.mu.Unlock()
		if ended {
			return "", i, fmt.Errorf("harness: the process ended without %s; it printed:\n%s", what, l.Text())
		}
		select {
		case <-more:
		case <-ctx.Done():
			return "", i, fmt.Errorf("harness: no %s: %w; printed so far:\n%s", what, ctx.Err(), l.Text())
		}
	}
}
