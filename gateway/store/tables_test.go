package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"fieldgate/gateway"
)

var _ gateway.Table = (*Table)(nil)
var _ gateway.Log = (*Log)(nil)

func openTables(t testing.TB, path string) *Tables {
	t.Helper()
	tb, err := OpenTables(path, TableOptions{Logger: testLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tb.Close() })
	return tb
}

func table(t testing.TB, tb *Tables, name string) *Table {
	t.Helper()
	x, err := tb.Table(name)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func content(t testing.TB, x *Table) map[string]string {
	t.Helper()
	m, last := map[string]string{}, ""
	err := x.Each(func(k string, v []byte) error {
		if k <= last {
			t.Errorf("%q after %q", k, last)
		}
		last = k
		m[k] = string(v)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTables(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	tb := openTables(t, path)
	a, b := table(t, tb, "device"), table(t, tb, "users")
	if got := content(t, a); len(got) != 0 {
		t.Fatal(got)
	}
	want := map[string]string{"x": "1", "y": "", "z": string(make([]byte, 20_000))}
	pairs := map[string][]byte{}
	for k, v := range want {
		pairs[k] = []byte(v)
	}
	if err := a.Write(pairs); err != nil {
		t.Fatal(err)
	}
	if err := b.Write(map[string][]byte{"x": []byte("other")}); err != nil {
		t.Fatal(err)
	}
	if err := a.Write(map[string][]byte{"x": []byte("2"), "z": nil, "none": nil}); err != nil {
		t.Fatal(err)
	}
	want["x"] = "2"
	delete(want, "z")
	for range 2 {
		if got := content(t, a); !maps.Equal(got, want) {
			t.Fatalf("%q", got)
		}
		if got := content(t, b); got["x"] != "other" {
			t.Fatal(got)
		}
		if err := tb.Close(); err != nil {
			t.Fatal(err)
		}
		if err := a.Write(map[string][]byte{"x": nil}); !errors.Is(err, gateway.ErrClosed) {
			t.Fatal(err)
		}
		tb = openTables(t, path)
		a, b = table(t, tb, "device"), table(t, tb, "users")
	}
	stop := errors.New("stop")
	n := 0
	if err := a.Each(func(string, []byte) error { n++; return stop }); err != stop || n != 1 {
		t.Fatal(err, n)
	}
	if _, err := OpenTables(path, TableOptions{}); !errors.Is(err, ErrLocked) {
		t.Fatal(err)
	}
	if err := a.Write(map[string][]byte{"": {1}}); err == nil {
		t.Fatal("an empty key")
	}
	if _, err := tb.Table(""); err == nil {
		t.Fatal("an empty name")
	}
	if tb.SetAside() != "" {
		t.Fatal(tb.SetAside())
	}
}

// TestTablesDamage: what is not damaged is there, as it was written last, and
// what was deleted stays deleted as long as the list of free pages can be
// read.
func TestTablesDamage(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "registry.db")
			tb := openTables(t, path)
			a := table(t, tb, "devices")
			history := map[string][]string{} // all values that a key had
			last := map[string]string{}
			for i := range 400 {
				k := fmt.Sprintf("device-%03d", i%150)
				v := fmt.Sprintf("value %d %0100d", i, i)
				if i%7 == 6 {
					delete(last, k)
					if err := a.Write(map[string][]byte{k: nil}); err != nil {
						t.Fatal(err)
					}
					continue
				}
				history[k] = append(history[k], v)
				last[k] = v
				if err := a.Write(map[string][]byte{k: []byte(v)}); err != nil {
					t.Fatal(err)
				}
			}
			if err := tb.Close(); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			live := withoutFreePages(t, b)
			before := bytes.Clone(b)
			b = damage(b)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			tb = openTables(t, path)
			if len(b) > 0 && tb.SetAside() == "" && !bytes.Equal(b, before) {
				for i := range before { // only what nobody uses may have changed
					if i < len(b) && b[i] != before[i] && live[i] != 0 && i/ourPageSize > 1 {
						t.Logf("byte %d of page %d changed unnoticed", i%ourPageSize, i/ourPageSize)
					}
				}
			}
			a = table(t, tb, "devices")
			got := content(t, a)
			sound := 0
			for k, v := range last {
				at := bytes.Index(live, []byte(v))
				if at < 0 || at+len(v) > len(b) || !bytes.Equal(b[at-40:at+len(v)], before[at-40:at+len(v)]) {
					continue
				}
				if sound++; got[k] != v {
					t.Fatalf("%s is %.40q, want %.40q", k, got[k], v)
				}
			}
			for k, v := range got {
				found := false
				for _, old := range history[k] {
					found = found || old == v
				}
				if !found {
					t.Fatalf("%s is %.40q, which it never was", k, v)
				}
			}
			if err := a.Write(map[string][]byte{"new": []byte("1")}); err != nil {
				t.Fatal(err)
			}
			tb.Close()
			tb = openTables(t, path)
			if now := content(t, table(t, tb, "devices")); len(now) != len(got)+1 || now["new"] != "1" || tb.SetAside() != "" {
				t.Fatalf("%d pairs after a restart, %d before", len(now), len(got))
			}
		})
	}
}

// TestTablesForgetDeleted: a key that was taken away does not come back with a
// repair.
func TestTablesForgetDeleted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	tb := openTables(t, path)
	a := table(t, tb, "keys")
	for i := range 100 {
		if err := a.Write(map[string][]byte{fmt.Sprint("key", i): bytes.Repeat([]byte{'x'}, 100)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		if err := a.Write(map[string][]byte{fmt.Sprint("key", i): nil}); err != nil {
			t.Fatal(err)
		}
	}
	tb.Close()
	b, _ := os.ReadFile(path)
	p, err := openPages(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	clear(pageOf(b, int(p.meta.root)))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	tb = openTables(t, path)
	got := content(t, table(t, tb, "keys"))
	for i := range 50 {
		if _, back := got[fmt.Sprint("key", i)]; back {
			t.Fatalf("key %d is back", i)
		}
	}
	if tb.SetAside() == "" || len(got) == 0 {
		t.Fatal(tb.SetAside(), len(got))
	}
}

func TestTablesDamageWhileRunning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	tb := openTables(t, path)
	a := table(t, tb, "devices")
	for i := range 200 {
		if err := a.Write(map[string][]byte{fmt.Sprint(i): bytes.Repeat([]byte{'x'}, 100)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		switch i {
		case 0:
			_, err = f.WriteAt(make([]byte, 2*ourPageSize), 0)
		case 1:
			err = f.Truncate(3 * ourPageSize)
		case 2:
			_, err = f.WriteAt(bytes.Repeat([]byte{0xFF}, 50*ourPageSize), 0)
		case 3:
			err = f.Truncate(0)
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if err := a.Write(map[string][]byte{"new": fmt.Append(nil, i)}); err != nil {
			t.Fatal(i, err)
		}
		got := content(t, a)
		if got["new"] != fmt.Sprint(i) || i == 0 && len(got) != 201 {
			t.Fatalf("%d: %d pairs, new is %q", i, len(got), got["new"])
		}
	}
}

func TestTablesFailingDisk(t *testing.T) {
	dir := tmpfs(t, "1m")
	path := filepath.Join(dir, "registry.db")
	tb := openTables(t, path)
	a := table(t, tb, "devices")
	if err := a.Write(map[string][]byte{"x": []byte("1")}); err != nil {
		t.Fatal(err)
	}
	free := ballast(t, dir, 0)
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		err = a.Write(map[string][]byte{fmt.Sprint(i): make([]byte, 4000)})
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if got := content(t, a); got["x"] != "1" {
		t.Fatal(got)
	}
	free()
	if err := a.Write(map[string][]byte{"x": []byte("2")}); err != nil {
		t.Fatal(err)
	}
	tb.Close()
	remount(t, dir, unix.MS_RDONLY)
	tb = openTables(t, path)
	a = table(t, tb, "devices")
	if got := content(t, a); got["x"] != "2" {
		t.Fatal(got)
	}
	if err := a.Write(map[string][]byte{"x": []byte("3")}); !errors.Is(err, syscall.EROFS) {
		t.Fatal(err)
	}
	remount(t, dir, 0)
	if err := a.Write(map[string][]byte{"x": []byte("3")}); err != nil {
		t.Fatal(err)
	}
	if got := content(t, a); got["x"] != "3" {
		t.Fatal(got)
	}
	tb.Close()
}

func TestTablesFromManyGoroutines(t *testing.T) {
	tb := openTables(t, filepath.Join(t.TempDir(), "registry.db"))
	a := table(t, tb, "devices")
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 20 {
				if err := a.Write(map[string][]byte{fmt.Sprint(g, i): {1}}); err != nil {
					t.Error(err)
				}
				if err := a.Each(func(string, []byte) error { return nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := content(t, a); len(got) != 80 {
		t.Fatal(len(got))
	}
}
