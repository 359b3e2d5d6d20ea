package web

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Exposition takes samples and writes them in Prometheus' text format 0.0.4
// (prometheus.io/docs/instrumenting/exposition_formats). Prometheus' own client
// does the same with protocol buffers in between, which are 1.6 MB of an ARMv6
// binary and a table of types in memory. The zero value is empty.
type Exposition struct {
	families map[string]*family
}

type family struct {
	kind, help string
	samples    []string // labels, value
}

// Counter adds the sample of a counter. Labels are names and values in turn;
// those of one name must differ, and have the same label names.
func (e *Exposition) Counter(name, help string, v float64, labels ...string) {
	e.add("counter", name, help, v, labels)
}

// Gauge adds the sample of a gauge; labels are as for Counter.
func (e *Exposition) Gauge(name, help string, v float64, labels ...string) {
	e.add("gauge", name, help, v, labels)
}

var (
	escapeHelp  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	escapeLabel = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

func (e *Exposition) add(kind, name, help string, v float64, labels []string) {
	if e.families == nil {
		e.families = map[string]*family{}
	}
	f := e.families[name]
	if f == nil {
		f = &family{kind: kind, help: help}
		e.families[name] = f
	}
	var pairs []string
	for i := 0; i+1 < len(labels); i += 2 {
		pairs = append(pairs, labels[i]+`="`+escapeLabel.Replace(strings.ToValidUTF8(labels[i+1], "�"))+`"`)
	}
	slices.Sort(pairs)
	sample := ""
	if len(pairs) > 0 {
		sample = "{" + strings.Join(pairs, ",") + "}"
	}
	f.samples = append(f.samples, sample+" "+number(v))
}

// number writes v as Go does, which is what the format asks for.
func number(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "+Inf"
	case math.IsInf(v, -1):
		return "-Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// WriteTo writes the samples, sorted by name and labels.
func (e *Exposition) WriteTo(w io.Writer) (int64, error) {
	var b bytes.Buffer
	names := make([]string, 0, len(e.families))
	for name := range e.families {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		f := e.families[name]
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", name, escapeHelp.Replace(f.help), name, f.kind)
		slices.Sort(f.samples)
		for _, s := range f.samples {
			b.WriteString(name)
			b.WriteString(s)
			b.WriteByte('\n')
		}
	}
	return b.WriteTo(w)
}

// metrics answers GET /metrics.
func (s *Server) metrics(w http.ResponseWriter, _ *http.Request) {
	var e Exposition
	e.process()
	s.cfg.Metrics(&e)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = e.WriteTo(w)
}

// process adds what Prometheus' clients tell of every process, as far as /proc
// has it (proc(5)).
func (e *Exposition) process() {
	const tick = 100 // USER_HZ of all of Go's Linux ports
	if raw, err := os.ReadFile("/proc/self/stat"); err == nil {
		// The name in parentheses may hold spaces; what follows begins with field 3.
		f := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		field := func(n int) float64 {
			if n-3 >= len(f) {
				return 0
			}
			v, _ := strconv.ParseFloat(f[n-3], 64)
			return v
		}
		e.Counter("process_cpu_seconds_total", "User and system CPU time spent.", (field(14)+field(15))/tick)
		e.Gauge("process_virtual_memory_bytes", "Virtual memory size.", field(23))
		e.Gauge("process_resident_memory_bytes", "Resident memory size.", field(24)*float64(os.Getpagesize()))
		e.Gauge("process_threads", "Threads of the operating system.", field(20))
		if boot, ok := bootTime(); ok {
			e.Gauge("process_start_time_seconds", "Start time since the Unix epoch.", boot+field(22)/tick)
		}
	}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		e.Gauge("process_open_fds", "Open file descriptors.", float64(len(files)-1)) // without that of ReadDir
	}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		e.Gauge("process_max_fds", "Most file descriptors that may be open.", float64(limit.Cur))
	}
}

// bootTime is when the kernel started, in seconds since the Unix epoch.
func bootTime() (float64, bool) {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if v, ok := strings.CutPrefix(sc.Text(), "btime "); ok {
			t, err := strconv.ParseFloat(v, 64)
			return t, err == nil
		}
	}
	return 0, false
}
