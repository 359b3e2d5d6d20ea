package store

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"fieldgate/gateway"
)

// child is the program that TestKill kills: it appends from several goroutines
// and prints what is on disk, as soon as it is said to be. It reports whether
// this process is it.
func child() bool {
	path := os.Getenv("STORE_TEST_CHILD")
	if path == "" {
		return false
	}
	fail := func(err error) {
		fmt.Println("error", err)
		os.Exit(1)
	}
	l, err := OpenLog(path, childOptions())
	if err != nil {
		fail(err)
	}
	go func() {
		if err := l.Run(context.Background()); err != nil {
			fail(err)
		}
	}()
	var n atomic.Uint64
	for g := range 8 {
		go func() {
			inFlight := make(chan struct{}, 20)
			for {
				var recs []gateway.Record
				for range 1 + n.Load()%4 {
					v := fmt.Sprintf("%d.%d.%d", os.Getpid(), g, n.Add(1))
					recs = append(recs, gateway.Record{Kind: gateway.KindSensor, Device: "d", Channel: "s",
						Value: json.RawMessage(`"` + v + `"`), Stamp: l.opt.Clock.Now()})
				}
				inFlight <- struct{}{}
				err := l.Append(&gateway.Entry{Records: recs, Wait: g%2 == 0, Done: func(err error) {
					if err != nil {
						fail(err)
					}
					var b strings.Builder
					for _, r := range recs {
						fmt.Fprintln(&b, r.Seq, string(r.Value))
					}
					os.Stdout.WriteString(b.String())
					l.SetCursor("cloud", gateway.Cursor{Next: recs[0].Seq - min(recs[0].Seq-1, 5000)})
					<-inFlight
				}})
				if err != nil {
					fail(err)
				}
			}
		}()
	}
	select {}
}

func childOptions() Options {
	o := Options{Uplinks: []string{"cloud"}}
	if os.Getenv("STORE_TEST_SMALL") != "" {
		o.MaxSize = 1 << 20
	}
	return o
}

// TestKill kills a process that appends, ten times, at any moment. Everything
// that it said to be on disk must be there.
func TestKill(t *testing.T) {
	for _, small := range []string{"", "1"} {
		t.Run("small="+small, func(t *testing.T) {
			if small != "" {
				t.Setenv("STORE_TEST_SMALL", small)
			}
			path := filepath.Join(t.TempDir(), "log.db")
			said := map[uint64]string{}
			for round := range 10 {
				before := len(said)
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), "STORE_TEST_CHILD="+path)
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				defer func() { _ = cmd.Process.Kill() }()
				lines, stop := 0, 200+rand.IntN(3000)
				sc := bufio.NewScanner(out)
				for sc.Scan() {
					var seq uint64
					var value string
					if _, err := fmt.Sscan(sc.Text(), &seq, &value); err != nil {
						if lines > stop {
							break // cut off
						}
						t.Fatalf("%q: %v", sc.Text(), err)
					}
					if old, twice := said[seq]; twice {
						t.Fatalf("sequence %d was given to %s and to %s", seq, old, value)
					}
					if !strings.HasSuffix(value, `"`) {
						break
					}
					said[seq] = value
					if lines++; lines == stop {
						if err := cmd.Process.Kill(); err != nil {
							t.Fatal(err)
						}
					}
				}
				_ = cmd.Wait()
				checkKilled(t, path, said, small == "")
				t.Logf("round %d: %d records were said to be on disk, all are", round, len(said)-before)
			}
		})
	}
}

func checkKilled(t *testing.T, path string, said map[uint64]string, all bool) {
	t.Helper()
	if v, err := Verify(t.Context(), path); err != nil || !v.OK {
		t.Fatalf("%+v %v", v, err)
	}
	l, err := OpenLog(path, childOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	if h := l.Health(); h.SetAside != "" {
		t.Fatalf("%+v", h)
	}
	recs := readAll(t, l.Read)
	ascending(t, recs)
	for _, rec := range recs[:min(3, len(recs))] {
		if rec.Kind != gateway.KindSensor {
			continue
		}
		q := query1(rec.Device, rec.Channel)
		var history []gateway.Record
		err := l.History(t.Context(), q, func(r gateway.Record) error { history = append(history, r); return nil })
		if err != nil {
			t.Fatal(err)
		}
		compareHistory(t, history, naive(recs, q), q)
	}
	got := values(recs)
	for seq, want := range said {
		if seq < l.First() && !all {
			continue
		}
		if got[seq] != want {
			t.Fatalf("record %d is %q, want %q", seq, got[seq], want)
		}
	}
	for _, g := range gapsOf(recs) {
		if g.Lost.Count == 0 || g.Lost.Reason != reasonSize {
			t.Fatalf("%+v", g.Lost)
		}
	}
}
