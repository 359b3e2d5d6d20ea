package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"fieldgate/cmd/proof/harness"
)

// usage is what a gateway uses.
type usage struct {
	rss   int64 // bytes
	fds   int
	files int64 // bytes of its databases
}

func (u usage) String() string {
	return fmt.Sprintf("RSS %.1f MiB, %d descriptors, %.1f MiB of files", float64(u.rss)/(1<<20), u.fds, float64(u.files)/(1<<20))
}

func (u *usage) max(v usage) {
	u.rss, u.fds, u.files = max(u.rss, v.rss), max(u.fds, v.fds), max(u.files, v.files)
}

// use looks at process pid and at the folder of its databases.
func use(pid int, data string) (u usage, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(raw)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
			u.rss = kib << 10
		}
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return u, err
	}
	u.fds = len(fds)
	err = filepath.WalkDir(data, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if info, err := d.Info(); err == nil { // else it is gone meanwhile
			u.files += info.Size()
		}
		return nil
	})
	return u, err
}

// read asks for a history and for the whole log, as people do meanwhile.
func read(ctx context.Context, cfg harness.Config, g *harness.Gateway) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.HTTP+"/devices/A/sensors/S0/values?limit=100", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
		return fmt.Errorf("history: %s %.200s %v", res.Status, body, err)
	}
	cmd := exec.CommandContext(ctx, cfg.Binary, "log", "export", "--config", filepath.Join(cfg.Data, "fieldgate.yaml"))
	if out, err := cmd.Output(); err != nil || len(out) == 0 {
		return fmt.Errorf("export: %d bytes, %w", len(out), err)
	}
	return nil
}

// annoy lets hostile clients loose on addr until ctx ends; gone is closed when
// the last has left. What they do fails most of the time, as it should.
func annoy(ctx context.Context, addr string, seed uint64) (gone chan struct{}) {
	gone = make(chan struct{})
	var wg sync.WaitGroup
	client := func(n uint64, act func(rnd *rand.Rand, c net.Conn)) {
		rnd := rand.New(rand.NewPCG(seed, n))
		wg.Go(func() {
			for ctx.Err() == nil {
				c, err := net.DialTimeout("tcp", addr, time.Second)
				if err == nil {
					stop := context.AfterFunc(ctx, func() { c.Close() })
					act(rnd, c)
					c.Close()
					stop()
				}
				wait(ctx, 10*time.Millisecond)
			}
		})
	}
	hello := func(id string) []byte {
		return append([]byte{0x10, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, byte(len(id))}, id...)
	}
	for n := range uint64(10) {
		client(n, func(rnd *rand.Rand, c net.Conn) { // garbage, with and without a CONNECT before
			var b []byte
			if rnd.IntN(2) == 0 {
				b = hello("garbage" + strconv.FormatUint(n, 10))
			}
			for range 1 + rnd.IntN(2000) {
				b = append(b, byte(rnd.Uint32()))
			}
			_, _ = c.Write(b)
			wait(ctx, 50*time.Millisecond)
		})
		client(100+n, func(*rand.Rand, net.Conn) { wait(ctx, 3*time.Second) }) // silence
		client(200+n, func(_ *rand.Rand, c net.Conn) {                         // subscribes to all, and never reads
			_, _ = c.Write(append(hello("deaf"+strconv.FormatUint(n, 10)), 0x82, 6, 0, 1, 0, 1, '#', 0))
			wait(ctx, 5*time.Second)
		})
		client(300+n, func(_ *rand.Rand, c net.Conn) { _, _ = c.Write(hello("storm")) }) // all with one id
	}
	go func() { wg.Wait(); close(gone) }()
	return gone
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
