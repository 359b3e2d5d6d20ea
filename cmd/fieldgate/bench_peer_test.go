package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// benchYAML is a gateway with one public device of ten sensors; CLOUD stands
// for the uplinks.
const benchYAML = `
id: bench
data: DATA
listen: {mqtt: "127.0.0.1:0", http: "127.0.0.1:0"}
access: {anonymous: true}
devices:
  - id: D
    visibility: public
    public_write: true
    sensors: [{id: S0}, {id: S1}, {id: S2}, {id: S3}, {id: S4}, {id: S5}, {id: S6}, {id: S7}, {id: S8}, {id: S9}]
CLOUD
`

func benchTopic(sensor int) string { return fmt.Sprintf("devices/D/sensors/S%d/value", sensor) }

// contender is a broker that a benchmark drives.
type contender struct {
	name    string
	addr    string // MQTT
	dir     string // where it keeps its files
	gateway *gatewayProcess
	p       *process
}

// contenders runs a benchmark against the gateway and against Debian's
// Mosquitto, one after the other.
func contenders(b *testing.B, run func(b *testing.B, c *contender)) {
	b.Run("fieldgate", func(b *testing.B) {
		dir := b.TempDir()
		run(b, gatewayContender(b, dir, startGateway(b, dir, strings.Replace(benchYAML, "CLOUD", "", 1))))
	})
	b.Run("mosquitto", func(b *testing.B) {
		run(b, startPeer(b, b.TempDir(), freePort(b)))
	})
	others(b, run)
}

// others runs a benchmark against the brokers that FIELDGATE_PEERS names, as
// cmd/proof/speed does: "name=program and arguments; ...". The program gets an
// address to listen on and a folder as further arguments, and ends well at
// SIGTERM.
func others(b *testing.B, run func(b *testing.B, c *contender)) {
	for peer := range strings.SplitSeq(os.Getenv("FIELDGATE_PEERS"), ";") {
		name, program, ok := strings.Cut(strings.TrimSpace(peer), "=")
		if !ok {
			continue
		}
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			addr := "127.0.0.1:" + freePort(b)
			args := append(strings.Fields(program), addr, dir)
			p := spawn(b, exec.Command(args[0], args[1:]...))
			b.Cleanup(func() { stopCleanly(b, p) })
			run(b, answering(b, &contender{name: name, addr: addr, dir: dir, p: p}))
		})
	}
}

func gatewayContender(b *testing.B, dir string, g *gatewayProcess) *contender {
	b.Helper()
	b.Cleanup(func() { stopCleanly(b, g.process) })
	return &contender{name: "fieldgate", addr: g.mqtt, dir: dir, gateway: g, p: g.process}
}

// startPeer runs Mosquitto as Debian configures it (persistence on, saved every
// 30 minutes), with TCP_NODELAY, without a log, and with room for what the
// benchmarks send. Unlike startMosquitto, which logs every packet.
func startPeer(b *testing.B, dir, port string, extra ...string) *contender {
	b.Helper()
	need(b, "mosquitto")
	conf := filepath.Join(dir, "mosquitto.conf")
	text := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nlog_dest none\nuser root\n"+
		"persistence true\npersistence_location %s/\nmax_queued_messages 0\nmax_inflight_messages 100\n%s\n",
		port, dir, strings.Join(extra, "\n"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	p := spawn(b, exec.Command(need(b, "mosquitto"), "-c", conf))
	b.Cleanup(func() { stopCleanly(b, p) })
	return answering(b, &contender{name: "mosquitto", addr: "127.0.0.1:" + port, dir: dir, p: p})
}

// answering waits until c accepts connections.
func answering(b *testing.B, c *contender) *contender {
	b.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", c.addr)
		if err == nil {
			conn.Close()
			return c
		}
		if time.Now().After(deadline) {
			b.Fatal(err)
		}
	}
}

// stopCleanly ends a process before its folder is removed.
func stopCleanly(b *testing.B, p *process) {
	b.Helper()
	select {
	case <-p.exited:
	default:
		if code := p.stop(); code != 0 {
			b.Errorf("%s: exit status %d\n%s", p.cmd.Path, code, p.errOut.text())
		}
	}
}

// clockTick is the unit of CPU times in /proc (proc(5), USER_HZ): 100 on all
// of Go's Linux ports.
const clockTick = time.Second / 100

// cpu is the CPU time that the process used so far, user and system.
func (c *contender) cpu(b *testing.B) time.Duration {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		b.Fatalf("/proc/PID/stat: %s", raw)
	}
	return time.Duration(user+system) * clockTick
}

// memory gives a line of /proc/PID/status, as "VmRSS", in KiB.
func (c *contender) memory(b *testing.B, line string) float64 {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for l := range strings.Lines(string(raw)) {
		if v, ok := strings.CutPrefix(l, line+":"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 64)
			if err != nil {
				b.Fatal(err)
			}
			return kib
		}
	}
	b.Fatalf("/proc/PID/status has no %s", line)
	return 0
}

// counts reads the gateway's counters without labels from /metrics; empty for
// Mosquitto.
func (c *contender) counts(b *testing.B) map[string]float64 {
	b.Helper()
	out := map[string]float64{}
	if c.gateway == nil {
		return out
	}
	res, err := http.Get("http://" + c.gateway.http + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	sc := bufio.NewScanner(res.Body)
	for sc.Scan() {
		if name, value, ok := strings.Cut(sc.Text(), " "); ok && name != "#" {
			if v, err := strconv.ParseFloat(value, 64); err == nil {
				out[name] = v
			}
		}
	}
	if err := sc.Err(); err != nil {
		b.Fatal(err)
	}
	return out
}

// reportLog reports what one record cost the disk between two counts.
func (c *contender) reportLog(b *testing.B, before, after map[string]float64) {
	b.Helper()
	if c.gateway == nil {
		return
	}
	diff := func(name string) float64 {
		return after["fieldgate_"+name+"_total"] - before["fieldgate_"+name+"_total"]
	}
	readings, commits, written := diff("readings"), diff("store_commits"), diff("store_written_bytes")
	if readings == 0 || commits == 0 {
		b.Fatalf("%v readings in %v commits", readings, commits)
	}
	b.ReportMetric(readings/commits, "records/commit")
	b.ReportMetric(written/readings, "written-B/record")
}
