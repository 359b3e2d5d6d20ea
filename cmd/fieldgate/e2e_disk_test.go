package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// smallDisk mounts a tmpfs of size; in CI it must work.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", disk).CombinedOutput(); err != nil {
		if os.Getenv("FIELDGATE_CI") != "" {
			t.Fatalf("mount: %v %s", err, out)
		}
		t.Skipf("mounting a small disk needs root: %v %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", disk).Run() })
	return disk
}

// TestDiskAtTheStart starts the gateway on a disk that is full, and on one that
// is read-only, with what an earlier run has left there: it starts, serves the
// local network, says what is wrong, acknowledges nothing, and goes on by
// itself when the disk is well.
func TestDiskAtTheStart(t *testing.T) {
	run := func(t *testing.T, name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", name, err, out)
		}
	}
	for name, disk := range map[string]struct{ spoil, mend func(t *testing.T, at string) }{
		"full": {
			func(_ *testing.T, at string) {
				_ = exec.Command("dd", "if=/dev/zero", "of="+filepath.Join(at, "ballast"), "bs=4096").Run() // until there is no room
			},
			func(t *testing.T, at string) { run(t, "rm", filepath.Join(at, "ballast")) },
		},
		"read-only": {
			func(t *testing.T, at string) { run(t, "mount", "-o", "remount,ro", at) },
			func(t *testing.T, at string) { run(t, "mount", "-o", "remount,rw", at) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			at := smallDisk(t, "6m")
			data := filepath.Join(at, "data")
			cloud := startMosquitto(t)
			l := newLedger(t)
			l.watch("127.0.0.1:" + cloud.port)
			cloud.stop()
			g := startGateway(t, data, surviveConfig(cloud.url(), "ordered"))
			p := &publisher{l: l, device: "A", sensor: "S1"}
			stop := l.load(g.mqtt, []*publisher{p})
			l.await("acknowledgements", func() bool { return len(l.acked) > 200 })
			stop()
			if code := g.stop(); code != 0 {
				t.Fatalf("exit status %d", code)
			}

			disk.spoil(t, at)
			g = startGateway(t, data, surviveConfig(cloud.url(), "ordered"))
			topic := "devices/B/sensors/S1/value"
			s := subscribe(t, g.mqtt, "-t", "devices/B/#")
			mustPublish(t, g.mqtt, "-t", topic, "-m", `{"value":1}`)
			s.out.await(t, "local delivery at QoS 0", 0, func(line string) bool { return strings.Contains(line, `{"value":1}`) })
			c := dial(t, g.mqtt, "honest")
			defer c.Disconnect(0)
			// Free pages inside of the file may take a few.
			n, said := 1, ""
			for deadline := time.Now().Add(patience); !strings.Contains(said, "store"); said = get(t, g, "/healthz") {
				if time.Now().After(deadline) {
					t.Fatalf("the gateway does not notice: /healthz says %q", said)
				}
				n++
				c.Publish(topic, 1, false, fmt.Sprintf(`{"value":%d}`, n))
			}
			if name == "read-only" && !strings.Contains(said, "read-only") {
				t.Errorf("/healthz says %q", said)
			}
			n++
			waiting := c.Publish(topic, 1, false, fmt.Sprintf(`{"value":%d}`, n))
			s.out.await(t, "local delivery at QoS 1", 0, func(line string) bool { return strings.Contains(line, fmt.Sprintf(`{"value":%d}`, n)) })
			if waiting.WaitTimeout(0) {
				t.Error("acknowledged without the disk")
			}

			disk.mend(t, at)
			if !waiting.WaitTimeout(patience) || waiting.Error() != nil {
				t.Fatalf("not acknowledged after the disk is well: %v", waiting.Error())
			}
			cloud.start()
			l.settle()
			if code := g.stop(); code != 0 {
				t.Errorf("exit status %d", code)
			}
		})
	}
}

// TestDamagedTables damages the registry (accounts, devices, reserved record
// numbers) and the sessions of a gateway that is stopped: it starts, serves,
// keeps the log, gives no record id twice, and whom the file declares can log in.
func TestDamagedTables(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"truncated":  func(b []byte) []byte { return b[:len(b)/2] },
		"first page": func(b []byte) []byte { clear(b[:4096]); return b },
		"zeroed":     func(b []byte) []byte { clear(b); return b },
		"empty":      func([]byte) []byte { return nil },
		"flipped": func(b []byte) []byte {
			for i := 5000; i < len(b); i += 500 {
				b[i] ^= 0x55
			}
			return b
		},
	} {
		for _, file := range []string{"registry.db", "sessions.db"} {
			t.Run(file+"/"+name, func(t *testing.T) {
				cloud := startMosquitto(t)
				l := newLedger(t)
				l.watch("127.0.0.1:" + cloud.port)
				data := t.TempDir()
				status, hash, _ := command(t, "secret", "user", "hash")
				if status != 0 {
					t.Fatal("no hash")
				}
				yaml := strings.Replace(surviveConfig(cloud.url(), "ordered"), "access: {anonymous: true}",
					fmt.Sprintf("access: {anonymous: true, users: [{name: ann, password_hash: %q}]}", strings.TrimSpace(hash)), 1)
				g := startGateway(t, data, yaml)
				p := &publisher{l: l, device: "A", sensor: "S1"}
				stop := l.load(g.mqtt, []*publisher{p})
				l.await("acknowledgements", func() bool { return len(l.acked) > 200 })
				stop()
				if code := g.stop(); code != 0 {
					t.Fatalf("exit status %d", code)
				}
				path := filepath.Join(data, file)
				raw, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, damage(raw), 0o600); err != nil {
					t.Fatal(err)
				}
				g = startGateway(t, data, yaml)
				n := l.ackedNow()
				stop = l.load(g.mqtt, []*publisher{p})
				l.await("acknowledgements", func() bool { return len(l.acked) > n+200 })
				stop()
				l.settle()
				mustPublish(t, g.mqtt, "-u", "ann", "-P", "secret", "-q", "1", "-t", "devices/B/sensors/S1/value", "-m", "1")
				if status, out, _ := command(t, "", "log", "verify", "--config", g.configFile()); status != 0 {
					t.Errorf("log verify: %s", out)
				}
				if code := g.stop(); code != 0 {
					t.Errorf("exit status %d", code)
				}
			})
		}
	}
}
