package drivers

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fieldgate/sensors"
)

// sysfsTree writes files below a new folder that stands for "/". A file whose
// content begins with "->" is a symbolic link.
func sysfsTree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(text, "->"); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// sysfsRead measures with a driver of the kernel's files and checks the result,
// or that the error says all that is wanted; the one after "!" it must not.
func sysfsRead(t *testing.T, driver string, files, written map[string]string, want string, says ...string) {
	t.Helper()
	got, err := measure(t, &bench{root: sysfsTree(t, files)}, driver, written)
	if len(says) == 0 {
		if err != nil || got != want {
			t.Errorf("%s %v: %q, %v; want %q", driver, written, got, err, want)
		}
		return
	}
	if err == nil {
		t.Errorf("%s %v: gives %q, no error", driver, written, got)
		return
	}
	for _, w := range append(says, "sensors: "+driver) {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s %v: the error does not say %q: %v", driver, written, w, err)
		}
	}
}

// sysfsRefuses checks that options are refused with an error about one of them.
func sysfsRefuses(t *testing.T, driver string, written map[string]string, option string) {
	t.Helper()
	d, _ := sensors.Builtin().Lookup(driver)
	if _, wrong := d.Parse(written); len(wrong) != 1 || wrong[0].Option != option {
		t.Errorf("%s %v: %v; want an error about %s", driver, written, wrong, option)
	}
}

func TestSysfsNumber(t *testing.T) {
	for text, want := range map[string]float64{"0": 0, "21500": 21500, "-40": -40, "0.061035156": 0.061035156, "+3": 3, "-0.5": -0.5} {
		if got, err := parseSysfsNumber(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", " 1", "nan", "inf", "0x10", "1e3", "1 2", "1.000000 dB", "1_0", "--1", ".", "-", strings.Repeat("9", 400), "Low"} {
		if got, err := parseSysfsNumber(text); err == nil {
			t.Errorf("%q gives %v", text, got)
		}
	}
}

func TestSysfsText(t *testing.T) {
	root := sysfsTree(t, map[string]string{"good": " 12\n", "empty": "\n", "long": strings.Repeat("1", maxSysfs+1)})
	if got, err := sysfsText(filepath.Join(root, "good")); err != nil || got != "12" {
		t.Errorf("%q, %v", got, err)
	}
	for _, name := range []string{"empty", "long", "missing", ""} {
		path := filepath.Join(root, name)
		if got, err := sysfsText(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if got, err := sysfsOptional(filepath.Join(root, "missing"), 7); err != nil || got != 7 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := sysfsOptional(filepath.Join(root, "empty"), 7); err == nil {
		t.Error("an empty file is taken for an absent one")
	}
}

func TestSysfsDevice(t *testing.T) {
	root := sysfsTree(t, map[string]string{
		"c/x0/name": "one\n", "c/x1/name": "two", "c/x1/label": "left", "c/x2/name": "two", "c/x2/label": "right",
		"c/x10/other": "", "c/trigger0/name": "one", "c/xy/name": "one", "e/y": "",
	})
	for want, entry := range map[string]string{"one": "x0", "x1": "x1", "x10": "x10", "right": "x2", "left": "x1"} {
		if dir, err := sysfsDevice(root, "c", "x", want, "name", "label"); err != nil || dir != filepath.Join(root, "c", entry) {
			t.Errorf("%s: %s, %v", want, dir, err)
		}
	}
	for want, says := range map[string]string{"two": "x1, x2", "three": "x0 (one)", "x3": "x10", "..": "x0 (one)", "trigger0": "x0 (one)"} {
		_, err := sysfsDevice(root, "c", "x", want, "name", "label")
		if err == nil || !strings.Contains(err.Error(), says) || want != "two" && !errors.Is(err, sensors.ErrAbsent) {
			t.Errorf("%s: %v; want %q", want, err, says)
		}
	}
	for _, folder := range []string{"e", "none"} {
		if _, err := sysfsDevice(root, folder, "x", "one", "name"); !errors.Is(err, sensors.ErrAbsent) {
			t.Errorf("%s: %v", folder, err)
		}
	}
}

func FuzzSysfsNumber(f *testing.F) {
	for _, s := range []string{"21500", "-0.061035156", "1e9", "nan", "+.5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := parseSysfsNumber(s); err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
			t.Errorf("%q: %v", s, v)
		}
	})
}
