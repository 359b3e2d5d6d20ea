package board

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Level is how bad a Finding is.
type Level uint8

// The levels of findings.
const (
	OK      Level = iota // it works
	Note                 // good to know
	Warning              // it works, but not well, or not for long
	Fault                // what the configuration asks for does not work
)

// String is "ok", "note", "warning" or "fault".
func (l Level) String() string {
	return [...]string{"ok", "note", "warning", "fault"}[min(l, Fault)]
}

// Finding is one thing that Diagnose looked at.
type Finding struct {
	Level Level
	What  string // what it is about, such as "i2c:1"
	Why   string // how it is
	Fix   string // command that mends it; "" if there is none
}

// DoctorOptions say what Diagnose looks at. The zero value is the machine itself,
// without a configuration.
type DoctorOptions struct {
	Root    string   // folder that stands for "/"; "": the machine
	Buses   []string // that the configuration uses, by their names from sensors.ParseBus
	Pins    []string // GPIO lines that it uses
	Listen  []string // addresses that it listens on: "host:port" of TCP, "udp:host:port" of UDP
	DataDir string   // where the gateway keeps its data; "": not looked at
	User    string   // who is going to use the buses; "": who runs this program
	Now     time.Time

	machine *machine // instead of the kernel's
}

// machine is what is asked of the kernel by calls, not by files.
type machine struct {
	chips func() ([]GPIOChip, error)
	// synchronised says whether something keeps the clock right.
	synchronised func() (bool, error)
	// space is the room of the file system that path is on.
	space func(path string) (space, error)
	// user is the name of who runs this program.
	user string
	// opens says whether this program may use a device node; nil: not known.
	opens func(path string) error
}

// space is the room of a file system.
type space struct {
	free, total             uint64 // bytes, those of others than root
	freeInodes, totalInodes uint64 // total 0: it does not count them
	readOnly                bool
}

// kernelCalls is the machine that runs.
func kernelCalls(h *Host) *machine {
	m := &machine{chips: h.chips, synchronised: clockSynchronised, space: spaceOf, user: currentUser()}
	if h.root.real() {
		m.opens = func(path string) error { return unix.Access(path, unix.R_OK|unix.W_OK) }
	}
	return m
}

// clockSynchronised asks the kernel whether its clock is kept right (adjtimex(2)).
func clockSynchronised() (bool, error) {
	var tx unix.Timex
	state, err := unix.Adjtimex(&tx)
	if err != nil {
		return false, err
	}
	return state != unix.TIME_ERROR && tx.Status&unix.STA_UNSYNC == 0, nil
}

func spaceOf(path string) (space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return space{}, err
	}
	size := uint64(st.Bsize)
	return space{free: st.Bavail * size, total: st.Blocks * size, freeInodes: st.Ffree, totalInodes: st.Files,
		readOnly: int64(st.Flags)&unix.ST_RDONLY != 0}, nil
}

// doctor is one run of Diagnose.
type doctor struct {
	DoctorOptions
	root     tree
	findings []Finding
}

// find adds a finding.
func (d *doctor) find(level Level, what, fix, why string, args ...any) {
	d.findings = append(d.findings, Finding{Level: level, What: what, Why: fmt.Sprintf(why, args...), Fix: fix})
}

// Diagnose looks at whatever keeps a board from working, or will. It changes
// nothing and takes no line. It stops early when ctx ends.
func Diagnose(ctx context.Context, o DoctorOptions) []Finding {
	d := &doctor{DoctorOptions: o, root: newTree(o.Root)}
	if d.machine == nil {
		d.machine = kernelCalls(NewHost(o.Root))
	}
	if d.User == "" {
		d.User = d.machine.user
	}
	if d.Now.IsZero() {
		d.Now = time.Now()
	}
	for _, check := range []func(){
		d.board, d.buses, d.pins, d.ports, d.clock, d.data, d.rootFileSystem, d.card, d.memory, d.power, d.temperature,
	} {
		if ctx.Err() != nil {
			break
		}
		check()
	}
	return d.findings
}

// board says what the machine is, and whether its kernel is too old.
func (d *doctor) board() {
	if model := d.root.model(); model != "" {
		d.find(OK, "board", "", "%s", model)
	} else {
		d.find(Note, "board", "", "this machine has no device tree, so it is no single-board computer: buses and lines can come by USB only")
	}
	release := d.root.text("/proc/sys/kernel/osrelease")
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return
	}
	if major < 5 || major == 5 && minor < 10 {
		d.find(Warning, "kernel", "sudo apt full-upgrade && sudo reboot", "Linux %s: before 5.10 GPIO lines have no debounce, and edges that are lost are not counted", release)
		return
	}
	d.find(OK, "kernel", "", "Linux %s", release)
}

// WriteFindings prints findings for a person, each with what mends it. The worst
// Level decides the caller's exit status.
func WriteFindings(w io.Writer, findings []Finding) error {
	b := bufio.NewWriter(w)
	for _, f := range findings {
		fmt.Fprintf(b, "%-8s %s: %s\n", f.Level, f.What, f.Why)
		if f.Fix != "" {
			fmt.Fprintf(b, "%-8s   %s\n", "", strings.ReplaceAll(f.Fix, "\n", "\n           "))
		}
	}
	return b.Flush()
}

// Worst is the highest level of findings.
func Worst(findings []Finding) Level {
	worst := OK
	for _, f := range findings {
		worst = max(worst, f.Level)
	}
	return worst
}

// ids gives the number and groups of a user, from the tree's /etc/passwd and
// /etc/group. ok is false if there is no such user.
func (t tree) ids(user string) (uid string, groups map[string]bool, ok bool) {
	groups = map[string]bool{}
	for line := range strings.Lines(t.text("/etc/passwd")) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) >= 4 && f[0] == user {
			uid, ok = f[2], true
			groups[f[3]] = true
		}
	}
	for line := range strings.Lines(t.text("/etc/group")) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 {
			continue
		}
		for member := range strings.SplitSeq(f[3], ",") {
			if member == user {
				groups[f[2]] = true
			}
		}
	}
	return uid, groups, ok
}

// may reports whether a user has the rights of bits (4 read, 2 write, 1 search)
// on a file.
func (t tree) may(info os.FileInfo, user string, bits os.FileMode) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	uid, groups, known := t.ids(user)
	if user == "root" || user == "0" || known && uid == "0" || !ok {
		return true
	}
	mode := info.Mode().Perm()
	switch {
	case known && uid == fmt.Sprint(st.Uid):
		mode >>= 6
	case groups[fmt.Sprint(st.Gid)]:
		mode >>= 3
	}
	return mode&bits == bits
}
