package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExitStatusTwo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(file, []byte("data: /tmp/x\nlisten: {mqtt: \"nowhere\"}\nuplinks: []\nstore: {max_size: 1GiB}\nacess: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"run", "--config", file}, {"check", "--config", file}, {"run"}, {"nonsense"}, {"run", "--nonsense"},
		{"run", "--config", file + ".absent"}, {},
	} {
		code, _, errOut := command(t, "", args...)
		if code != 2 {
			t.Errorf("%q: exit status %d, want 2; printed:\n%s", args, code, errOut)
		}
	}
	_, _, errOut := command(t, "", "check", "--config", file)
	for _, want := range []string{":2:", ":3:", ":4:", ":5:", "uplink", "access"} { // all at once, with what would be right
		if !strings.Contains(errOut, want) {
			t.Errorf("no %q in:\n%s", want, errOut)
		}
	}
	if code, out, _ := command(t, "", "version"); code != 0 || !strings.HasPrefix(out, "fieldgate ") {
		t.Errorf("version: %d %q", code, out)
	}
	if code, out, _ := command(t, "", "--help"); code != 0 || !strings.Contains(out, "demo") {
		t.Errorf("--help: %d %q", code, out)
	}
	for _, good := range []string{"../../configs/fieldgate.yaml", "../../configs/minimal.yaml"} {
		if code, _, errOut := command(t, "", "check", "--config", good); code != 0 {
			t.Errorf("%s: %d %s", good, code, errOut)
		}
	}
}

// TestPortTaken: a listener that cannot be had ends the gateway with status 1.
func TestPortTaken(t *testing.T) {
	g := startGateway(t, t.TempDir(), surviveConfig("mqtt://127.0.0.1:1", "ordered"))
	file := filepath.Join(t.TempDir(), "second.yaml")
	yaml := strings.Replace(surviveConfig("mqtt://127.0.0.1:1", "ordered"), "127.0.0.1:0", g.mqtt, 1)
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(yaml, "DATA", t.TempDir())), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errOut := command(t, "", "run", "--config", file)
	if code != 1 || !strings.Contains(errOut, g.mqtt) {
		t.Errorf("status %d: %s", code, errOut)
	}
	// Nor can two gateways share a data folder.
	yaml = strings.ReplaceAll(surviveConfig("mqtt://127.0.0.1:1", "ordered"), "DATA", filepath.Join(filepath.Dir(dataOf(t, g))))
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errOut = command(t, "", "run", "--config", file)
	if code != 1 || !strings.Contains(errOut, "another") {
		t.Errorf("second gateway on the same folder: status %d: %s", code, errOut)
	}
}

// dataOf gives a path inside of the data folder of g.
func dataOf(t testing.TB, g *gatewayProcess) string {
	t.Helper()
	raw, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(raw), "\n") {
		if dir, ok := strings.CutPrefix(line, "data: "); ok {
			return filepath.Join(dir, "log.db")
		}
	}
	t.Fatal("no data folder")
	return ""
}
