package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/fakeclock"
	"fieldgate/gateway/store"
)

var updateVerify = flag.Bool("update-verify", false, "write testdata/verify.txt anew")

// makeLog writes a log of 1,000 readings in ten commits, the same each time but
// for its random id.
func makeLog(t *testing.T, path string) {
	t.Helper()
	clock := fakeclock.New(time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), gateway.ClockSynced)
	l, err := store.OpenLog(path, store.Options{Clock: clock, Uplinks: []string{"cloud"}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	for i := range 10 {
		e := &gateway.Entry{Wait: true}
		for n := range 100 {
			clock.Advance(time.Second)
			e.Records = append(e.Records, gateway.Record{Kind: gateway.KindSensor, Device: "A", Channel: "S1",
				Value: json.RawMessage(fmt.Sprintf(`"reading %04d"`, i*100+n+1)), Stamp: clock.Now()})
		}
		done := make(chan error, 1)
		e.Done = func(err error) { done <- err }
		if err := l.Append(e); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLogVerify damages a log and compares what `log verify` says of it, and
// what `log export` still gives, with testdata/verify.txt.
func TestLogVerify(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "log.db")
	makeLog(t, file)
	sound, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	journal, err := os.ReadFile(file + ".journal")
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "fieldgate.yaml")
	if err := os.WriteFile(conf, []byte("id: gw-1\ndata: "+dir+"\nuplink: [{name: cloud, url: \"mqtt://127.0.0.1:1\"}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The file has old copies of pages beside those that count: each is damaged.
	each := func(b []byte, n int, damage func(at int)) []byte {
		text := fmt.Appendf(nil, `"reading %04d"`, n)
		for at := 0; ; {
			i := bytes.Index(b[at:], text)
			if i < 0 {
				return b
			}
			at += i + 1
			damage(at)
		}
	}
	const withJournal = "zeroed, with the journal of the last commits"
	var all strings.Builder
	page := regexp.MustCompile(`page [0-9]+:`)
	for _, c := range []struct {
		name   string
		damage func(b []byte) []byte
	}{
		{"sound", func(b []byte) []byte { return b }},
		{"one bit of reading 500", func(b []byte) []byte { return each(b, 500, func(at int) { b[at+3] ^= 1 }) }},
		{"zeros in readings 300 to 309", func(b []byte) []byte {
			for n := range 10 {
				each(b, 300+n, func(at int) { clear(b[at : at+8]) })
			}
			return b
		}},
		{"the page of reading 305 zeroed", func(b []byte) []byte {
			return each(b, 305, func(at int) { clear(b[at&^4095 : at|4095+1]) })
		}},
		{"first page zeroed", func(b []byte) []byte { clear(b[:4096]); return b }},
		{"both meta pages zeroed", func(b []byte) []byte { clear(b[:8192]); return b }},
		{"cut", func(b []byte) []byte { return b[:used(b)/2] }},
		{"zeroed", func(b []byte) []byte { clear(b); return b }},
		{"garbage", func([]byte) []byte { return []byte(strings.Repeat("garbage ", 1000)) }},
		{"empty", func([]byte) []byte { return nil }},
		{withJournal, func(b []byte) []byte { clear(b); return b }},
	} {
		_ = os.Remove(file + ".journal")
		if c.name == withJournal {
			if err := os.WriteFile(file+".journal", journal, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(file, c.damage(bytes.Clone(sound)), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errOut := command(t, "", "log", "verify", "--config", conf)
		_, exported, _ := command(t, "", "log", "export", "--config", conf, "--format", "jsonl")
		var first, last string
		if lines := strings.Split(strings.TrimSpace(exported), "\n"); exported != "" {
			first, last = lines[0], lines[len(lines)-1]
		}
		number := func(line string) string {
			var r struct{ Value string }
			_ = json.Unmarshal([]byte(line), &r)
			return r.Value
		}
		said := fmt.Sprintf("# %s: exit status %d\n%s%sexport: %d records, from %q to %q\n\n", c.name, code, out, errOut,
			strings.Count(exported, "\n"), number(first), number(last))
		if c.name == "cut" { // what lies in which half of the file is not always the same
			if n := strings.Count(exported, "\n"); code != 1 || n == 0 || n >= 1000 || !strings.Contains(out, "bytes long instead of") {
				t.Errorf("%s", said)
			}
			continue
		}
		all.WriteString(page.ReplaceAllString(said, "page N:"))
	}
	got := strings.ReplaceAll(all.String(), dir, "DATA")
	golden := filepath.Join("testdata", "verify.txt")
	if *updateVerify {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("log verify says\n%s\nand testdata/verify.txt has\n%s", got, want)
	}
}
