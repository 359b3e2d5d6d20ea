// Command init is process 1 of the machine whose power is cut. It mounts the
// disk, says what the gateway's log on it holds, starts the gateway, publishes,
// and says each acknowledgement on the serial console as it comes. What it says
// are lines that begin with '@':
//
//	@waiting                for a line of settings, see below
//	@boot ID                of the kernel
//	@have SENSOR FROM TO    values in the log, one run of them
//	@gap COUNT              records that the log says were dropped
//	@verify STATUS TEXT     of `fieldgate log verify`
//	@ready
//	@ack SENSOR FROM TO     acknowledged values, one run of them
//	@health STATUS TEXT     of GET /healthz, when it changes
//	@died TEXT              the gateway, or this program
//
// It takes one line from the console: start=N, the first value to publish,
// max=SIZE for store.max_size, time=SECONDS since 1970, seed=HEX, and a full
// stop. The state of the machine that waits for it may be kept and used many
// times: the disk is looked at only afterwards, and time and seed make each use
// a boot of its own.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	sensors = 4
	program = "/bin/fieldgate"
	conf    = "/run/fieldgate.yaml"
	mqtt    = "127.0.0.1:1883"
)

var (
	sayMu   sync.Mutex
	console *os.File
)

func say(format string, args ...any) {
	sayMu.Lock()
	defer sayMu.Unlock()
	fmt.Fprintf(console, "@"+format+"\n", args...)
}

func main() {
	if console = os.Stdout; os.Getpid() != 1 {
		fmt.Println("init: this is for a machine of its own")
		os.Exit(2)
	}
	say("died %s", strings.ReplaceAll(run().Error(), "\n", " | "))
	select {} // the host ends the machine
}

// run returns what went wrong, at last.
func run() error {
	for _, m := range []struct{ kind, at string }{{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/run"}} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil && err != unix.EBUSY {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	tty, err := os.OpenFile("/dev/console", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	console = tty
	if err := os.WriteFile("/proc/sys/kernel/printk", []byte("1"), 0); err != nil { // the console is ours
		return err
	}
	if err := modules(); err != nil {
		return err
	}
	if err := loopback(); err != nil {
		return err
	}
	if err := os.MkdirAll("/data", 0o755); err != nil {
		return err
	}
	say("waiting")
	setting, err := settings(tty)
	if err != nil {
		return err
	}
	if err := begin(setting); err != nil {
		return err
	}
	if err := unix.Mount("/dev/vda", "/data", "ext4", 0, ""); err != nil {
		return fmt.Errorf("mount the disk: %w", err)
	}
	text := fmt.Sprintf("id: gw\ndata: /data/gw\nlisten: {mqtt: %q, http: \"127.0.0.1:8080\"}\naccess: {anonymous: true}\n"+
		"store: {max_size: %s}\ndevices:\n  - {id: D, visibility: public, public_write: true, sensors: [{id: S0}, {id: S1}, {id: S2}, {id: S3}]}\n"+
		"uplink:\n  - {name: cloud, url: \"mqtt://127.0.0.1:9\"}\n", mqtt, setting["max"])
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return err
	}
	if _, err := os.Stat("/data/gw/log.db"); err == nil {
		if err := inventory(); err != nil {
			return err
		}
	}
	return gateway(setting["start"])
}

// settings takes the first line that ends as it should: a machine that has just
// been woken may lose what its console gets first.
func settings(r io.Reader) (map[string]string, error) {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		m := map[string]string{}
		words := strings.Fields(line)
		for _, word := range words {
			k, v, _ := strings.Cut(word, "=")
			m[k] = v
		}
		if len(words) == 5 && words[4] == "." {
			return m, nil
		}
	}
}

// modules loads /modules/1.ko, 2.ko and so on.
func modules() error {
	for i := 1; ; i++ {
		f, err := os.Open(fmt.Sprintf("/modules/%d.ko", i))
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil {
			return fmt.Errorf("module %d: %w", i, err)
		}
	}
}

func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// runs turns numbers into runs of them.
func runs(values []int, say func(from, to int)) {
	slices.Sort(values)
	for i := 0; i < len(values); {
		j := i
		for j+1 < len(values) && values[j+1] <= values[j]+1 {
			j++
		}
		say(values[i], values[j])
		i = j + 1
	}
}

// inventory says what is in the log, before the gateway touches it.
func inventory() error {
	out, err := exec.Command(program, "log", "verify", "--config", conf).CombinedOutput()
	status := 0
	if err != nil {
		status = 1
	}
	say("verify %d %s", status, bytes.Join(bytes.Fields(out), []byte(" ")))
	cmd := exec.Command(program, "log", "export", "--config", conf, "--format", "jsonl")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	var problem bytes.Buffer
	cmd.Stderr = &problem
	if err := cmd.Start(); err != nil {
		return err
	}
	found := map[string][]int{}
	gaps := 0
	sc := bufio.NewScanner(pipe)
	for sc.Scan() {
		var r struct {
			Channel string `json:"channel"`
			Value   int    `json:"value"`
			Lost    struct {
				Count int `json:"count"`
			} `json:"lost"`
		}
		_ = json.Unmarshal(sc.Bytes(), &r) // others have no number
		if r.Value > 0 && r.Channel != "" {
			found[r.Channel] = append(found[r.Channel], r.Value)
		}
		gaps += r.Lost.Count
	}
	if err := cmd.Wait(); err != nil {
		say("verify 1 export: %v %s", err, strings.TrimSpace(problem.String()))
	}
	for s, values := range found {
		runs(values, func(from, to int) { say("have %s %d %d", s, from, to) })
	}
	say("gap %d", gaps)
	return nil
}

// gateway runs the gateway and its publishers until it dies.
func gateway(start string) error {
	first, err := strconv.Atoi(start)
	if err != nil {
		return err
	}
	cmd := exec.Command(program, "run", "--config", conf)
	cmd.Env = []string{"PATH=/bin", "HOME=/run"}
	pipe, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ready := make(chan struct{})
	var last []string
	ended := make(chan error, 1)
	go func() {
		sc := bufio.NewScanner(pipe)
		for sc.Scan() {
			if strings.HasPrefix(sc.Text(), "ready") {
				close(ready)
			}
			if strings.Contains(sc.Text(), "level=ERROR") {
				say("log %s", sc.Text())
			}
			last = append(last[max(0, len(last)-4):], sc.Text())
		}
		ended <- cmd.Wait()
	}()
	select {
	case <-ready:
	case err := <-ended:
		return fmt.Errorf("the gateway did not start: %v: %s", err, strings.Join(last, " "))
	}
	say("ready")
	go health()
	for s := range sensors {
		go publish(fmt.Sprint("S", s), first)
	}
	return fmt.Errorf("the gateway ended: %v: %s", <-ended, strings.Join(last, " "))
}

// health tells of changes of GET /healthz.
func health() {
	client := http.Client{Timeout: 5 * time.Second}
	was := ""
	for ; ; time.Sleep(200 * time.Millisecond) {
		now := "0 no answer"
		if res, err := client.Get("http://127.0.0.1:8080/healthz"); err == nil {
			raw, _ := io.ReadAll(res.Body)
			res.Body.Close()
			var lines []string
			for line := range strings.Lines(string(raw)) {
				if !strings.Contains(line, "uplink") { // that it cannot be reached is no news here
					lines = append(lines, strings.TrimSpace(line))
				}
			}
			now = fmt.Sprintf("%d %s", res.StatusCode, strings.Join(lines, " | "))
		}
		if now != was {
			say("health %s", now)
			was = now
		}
	}
}
