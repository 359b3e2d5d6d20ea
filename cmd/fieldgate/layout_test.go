package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is the prefix of the project's import paths.
const module = "fieldgate/"

// floors says which other parts of the project each part may import. A part is
// a folder with all below it that is no part of its own; within a part imports
// are free. Neighbours never import each other: what one needs of another is an
// interface that it declares itself, wired in cmd.
var floors = map[string][]string{
	"gateway/access":    {},
	"gateway":           {"gateway/access"},
	"gateway/fakeclock": {"gateway"},
	"gateway/store":     {"gateway", "gateway/access"},
	"sensors":           {"gateway", "gateway/access"},
	"radio":             {"gateway", "gateway/access"},
	"gateway/waziup":    {"gateway", "gateway/access"},
	"gateway/xively":    {"gateway", "gateway/access"},
	"gateway/feeds":     {"gateway", "gateway/access", "gateway/xively"},
	"gateway/broker":    {"gateway", "gateway/access", "gateway/waziup", "gateway/xively"},
	"gateway/web":       {"gateway", "gateway/access", "gateway/waziup", "gateway/xively"},
	"uplink":            {"gateway", "gateway/access", "gateway/waziup", "gateway/xively"},
	"cmd":               nil, // everything
	"systemd":           {},
}

// homes says in which parts alone a library may be imported.
var homes = map[string][]string{
	"github.com/mochi-mqtt/":  {"gateway/broker"},
	"go.etcd.io/bbolt":        {"gateway/store"},
	"github.com/eclipse/paho": {"uplink"},
	"periph.io/":              {"sensors", "radio"},
	"github.com/warthog618/":  {"sensors"},
	"go.yaml.in/":             {"cmd"},
	"github.com/dop251/":      {"radio"},
	"github.com/dlclark/":     {"radio"},
	"github.com/fxamacker/":   {"radio"},
	"github.com/alecthomas/":  {"cmd"},
}

// stdlibOnly are the parts without any library.
var stdlibOnly = []string{"gateway", "gateway/waziup", "gateway/xively"}

// maxLines is how long a source file may be.
const maxLines = 500

type listedPackage struct {
	ImportPath, Name, Dir string
	Imports               []string
	GoFiles, CgoFiles     []string
	IgnoredGoFiles        []string
}

// packages asks the go command for all packages of the module.
func packages(t *testing.T) []listedPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json", "./...")
	cmd.Dir = "../.."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []listedPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 5 {
		t.Fatalf("only %d packages", len(all))
	}
	return all
}

// partOf gives the part that an import path of the project belongs to.
func partOf(importPath string) (string, bool) {
	for p := strings.TrimPrefix(importPath, module); p != "."; p = path.Dir(p) {
		if _, ok := floors[p]; ok {
			return p, true
		}
	}
	return "", false
}

// wrongImports checks one package's imports against floors and homes.
func wrongImports(importPath string, imports []string) []string {
	part, ok := partOf(importPath)
	if !ok {
		return []string{importPath + " is on no floor: give its folder a line in floors"}
	}
	var wrong []string
	for _, imp := range imports {
		first, _, _ := strings.Cut(imp, "/")
		switch {
		case strings.HasPrefix(imp, module):
			other, _ := partOf(imp)
			if other != part && floors[part] != nil && !slices.Contains(floors[part], other) {
				wrong = append(wrong, importPath+" imports "+imp+": "+part+" may import "+strings.Join(floors[part], ", "))
			}
		case strings.Contains(first, ".") && slices.Contains(stdlibOnly, part):
			wrong = append(wrong, importPath+" imports "+imp+": "+part+" has the standard library only")
		}
		for library, parts := range homes {
			if strings.HasPrefix(imp, library) && !slices.Contains(parts, part) {
				wrong = append(wrong, importPath+" imports "+imp+", which belongs to "+strings.Join(parts, " and "))
			}
		}
	}
	return wrong
}

// TestImports: imports run one way, and each library has its place.
func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		for _, w := range wrongImports(p.ImportPath, p.Imports) {
			t.Error(w)
		}
	}
}

// TestWrongImports makes sure that TestImports could fail.
func TestWrongImports(t *testing.T) {
	for _, c := range []struct {
		from, to string
		wrong    bool
	}{
		{"fieldgate/gateway/access", "fieldgate/gateway", true},
		{"fieldgate/gateway/access", "golang.org/x/crypto/argon2", false},
		{"fieldgate/gateway", "fieldgate/gateway/access", false},
		{"fieldgate/gateway", "fieldgate/gateway/store", true},
		{"fieldgate/gateway", "golang.org/x/sys/unix", true},
		{"fieldgate/gateway/store", "fieldgate/sensors", true},
		{"fieldgate/gateway/store", "go.etcd.io/bbolt", false},
		{"fieldgate/gateway/broker", "fieldgate/uplink", true},
		{"fieldgate/gateway/broker", "fieldgate/gateway/waziup", false},
		{"fieldgate/uplink/fakecloud", "github.com/mochi-mqtt/server/v2", true},
		{"fieldgate/uplink/fakecloud", "fieldgate/uplink", false},
		{"fieldgate/radio/sx127x", "periph.io/x/conn/v3/spi", false},
		{"fieldgate/radio/sx127x", "fieldgate/radio", false},
		{"fieldgate/gateway/web", "github.com/eclipse/paho.mqtt.golang", true},
		{"fieldgate/cmd/fieldgate", "fieldgate/gateway/store", false},
		{"fieldgate/cmd/fieldgate", "go.etcd.io/bbolt", true},
		{"fieldgate/newcomer", "fmt", true},
	} {
		if got := wrongImports(c.from, []string{c.to}); len(got) > 0 != c.wrong {
			t.Errorf("%s imports %s: %v", c.from, c.to, got)
		}
	}
}

// TestNames: a package is called after what it does.
func TestNames(t *testing.T) {
	for _, p := range packages(t) {
		for _, name := range append(strings.Split(p.ImportPath, "/"), p.Name) {
			if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "internal", "pkg", "types", "misc"}, name) {
				t.Errorf("%s: %s says nothing", p.ImportPath, name)
			}
		}
	}
}

// TestLines: a file about to get too long has found its seam.
func TestLines(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range slices.Concat(p.GoFiles, p.CgoFiles, p.IgnoredGoFiles) {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			raw, err := os.ReadFile(filepath.Join(p.Dir, f))
			if err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(raw, []byte("\n")); n > maxLines {
				t.Errorf("%s/%s: %d lines, at most %d", p.ImportPath, f, n, maxLines)
			}
		}
	}
}

// TestNoCgo: one static binary, cross-built everywhere.
func TestNoCgo(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains(p.Imports, "C") || len(p.CgoFiles) > 0 {
			t.Errorf("%s uses cgo", p.ImportPath)
		}
	}
}
