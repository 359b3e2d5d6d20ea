// Command boardproof shows that the cross-built program works on the buses and
// pins of real Linux kernels: it boots emulated boards under QEMU, runs
// fieldgate there, plays the world around it (the temperature of a chip, the
// level of a pin) and looks at what it does. Script .ci/boards makes the files
// that it needs and starts it.
//
// Exit status: 0 if everything held, 1 if not, 2 for wrong arguments.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The kernel ends QEMU when the thread that started it ends: the main goroutine
// starts it, on the main thread.
func init() { runtime.LockOSThread() }

// proofs are the boards in their order. Each has a folder of that name with its
// files kernel, dtb and initrd.
var proofs = []struct {
	board string
	prove func(context.Context, *bench)
}{
	{"pi-zero", provePiZero},
	{"sabrelite", proveSabreLite},
	{"pi-3", provePi3},
}

func main() {
	files := flag.String("files", "", "folder with one folder for each board")
	qemu := flag.String("qemu", "", "folder that QEMU is unpacked to")
	only := flag.String("only", "", "boards, with commas; all if left out")
	loud := flag.Bool("console", false, "show the boards' consoles")
	flag.Parse()
	if *files == "" || *qemu == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	var echo io.Writer = io.Discard
	if *loud {
		echo = os.Stdout
	}
	os.Exit(run(ctx, *files, *qemu, *only, echo))
}

func run(ctx context.Context, files, qemu, only string, echo io.Writer) int {
	begun := time.Now()
	var passed int
	var failed []string
	for _, p := range proofs {
		if only != "" && !slices.Contains(strings.Split(only, ","), p.board) {
			continue
		}
		if ctx.Err() != nil {
			failed = append(failed, p.board+": "+context.Cause(ctx).Error())
			break
		}
		b := &bench{board: p.board, files: filepath.Join(files, p.board), qemu: qemu, machine: newMachine(echo)}
		p.prove(ctx, b)
		b.machine.stop()
		passed += b.passed
		failed = append(failed, b.failed...)
	}
	fmt.Printf("boards: %d checks passed, %d failed, in %.0f s\n", passed, len(failed), time.Since(begun).Seconds())
	for _, f := range failed {
		fmt.Println("FAILED", f)
	}
	if len(failed) > 0 || passed == 0 {
		return 1
	}
	return 0
}

// bench is where one board is proved.
type bench struct {
	board   string
	files   string // its kernel, dtb and initrd
	qemu    string
	machine *machine
	passed  int
	failed  []string
}

// boot starts the board with its files and these arguments for QEMU.
func (b *bench) boot(ctx context.Context, program, cmdline string, args ...string) bool {
	args = append([]string{
		"-L", filepath.Join(b.qemu, "usr/share/qemu"),
		"-kernel", filepath.Join(b.files, "kernel"),
		"-dtb", filepath.Join(b.files, "dtb"),
		"-initrd", filepath.Join(b.files, "initrd"),
		"-append", cmdline + " quiet panic=-1 rdinit=/init",
	}, args...)
	return b.check(ctx, "boots", 3*time.Minute, func(ctx context.Context) error {
		return b.machine.boot(ctx, filepath.Join(b.qemu, "usr/bin", program), args...)
	})
}

// check does one step of a proof, and says how it went. After one that is false
// the rest of the board's proof makes no sense.
func (b *bench) check(ctx context.Context, name string, limit time.Duration, f func(context.Context) error) bool {
	begun := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %v", limit))
	defer cancel()
	b.machine.deadline(ctx)
	if err := f(ctx); err != nil {
		b.fail(name, err)
		return false
	}
	b.passed++
	fmt.Printf("ok   %s: %s (%.1f s)\n", b.board, name, time.Since(begun).Seconds())
	return true
}

// fail reports a failure with the end of the board's console.
func (b *bench) fail(name string, err error) {
	fmt.Printf("FAIL %s: %s: %v\n", b.board, name, err)
	for _, line := range b.machine.console() {
		fmt.Printf("  | %s\n", line)
	}
	b.failed = append(b.failed, fmt.Sprintf("%s: %s: %v", b.board, name, err))
}
