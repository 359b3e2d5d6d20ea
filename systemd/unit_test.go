package systemd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// need finds a program, or skips the test. In CI nothing is skipped: there it
// fails.
func need(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("FIELDGATE_CI") != "" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed: apt-get install systemd", name)
	}
	return path
}

func unit(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("fieldgate.service")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// setting gives the values of a key of the unit, in order.
func setting(unit, key string) []string {
	var out []string
	for line := range strings.Lines(unit) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), key+"="); ok {
			out = append(out, v)
		}
	}
	return out
}

// maxExposure is the worst that systemd-analyze security may say.
const maxExposure = 2.0

func TestExposure(t *testing.T) {
	out, err := exec.Command(need(t, "systemd-analyze"), "security", "--offline=true", "--no-pager", "fieldgate.service").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	m := regexp.MustCompile(`Overall exposure level for fieldgate.service: ([0-9.]+)`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("no level in\n%s", out)
	}
	t.Logf("%s", m[0])
	if level, err := strconv.ParseFloat(string(m[1]), 64); err != nil || level > maxExposure {
		t.Errorf("exposure level %s, at most %.1f", m[1], maxExposure)
	}
}

// TestVerify has systemd read the unit: no unknown key, no bad value.
func TestVerify(t *testing.T) {
	analyze := need(t, "systemd-analyze")
	self, err := os.Executable() // stands for the gateway, which is not installed here
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "fieldgate.service")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(unit(t), "/usr/bin/fieldgate ", self+" ")), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "verify", "--man=no", file).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestUsers makes the user and the groups in an empty system.
func TestUsers(t *testing.T) {
	sysusers := need(t, "systemd-sysusers")
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	// A group that is there already, as on Raspberry Pi OS, is left alone.
	if err := os.WriteFile(filepath.Join(root, "etc/group"), []byte("gpio:x:997:pi\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	conf, err := filepath.Abs("sysusers.conf")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(sysusers, "--root="+root, conf).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	passwd, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	if err != nil || !strings.Contains(string(passwd), "fieldgate:x:") || !strings.Contains(string(passwd), ":/var/lib/fieldgate:") {
		t.Errorf("%v\n%s", err, passwd)
	}
	group, err := os.ReadFile(filepath.Join(root, "etc/group"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`(?m)^gpio:x:997:fieldgate,pi$`, `(?m)^i2c:x:\d+:fieldgate$`, `(?m)^spi:x:\d+:fieldgate$`, `(?m)^fieldgate:x:`} {
		if !regexp.MustCompile(want).Match(group) {
			t.Errorf("no %s in\n%s", want, group)
		}
	}
}

// TestUnit pins what the gateway relies on.
func TestUnit(t *testing.T) {
	u := unit(t)
	for key, want := range map[string][]string{
		"Type":                     {"notify"},
		"ExecStart":                {"/usr/bin/fieldgate run --config /etc/fieldgate/fieldgate.yaml"},
		"ExecStopPost":             {"-/usr/bin/fieldgate release --config /etc/fieldgate/fieldgate.yaml"},
		"Restart":                  {"always"},
		"RestartPreventExitStatus": {"2"},
		"WatchdogSec":              {"60"},
		"StateDirectory":           {"fieldgate"},
		"StateDirectoryMode":       {"0700"},
		"User":                     {"fieldgate"},
		"DeviceAllow":              {"char-i2c rw", "char-spi rw", "char-gpiochip rw"},
		"DevicePolicy":             {"closed"},
		"StartLimitIntervalSec":    {"0"},
		// What these would take away is needed: the buses, the question to the
		// kernel whether the clock is synchronised, the boot id, the network.
		"PrivateDevices":      nil,
		"ProtectClock":        nil,
		"ProcSubset":          nil,
		"PrivateNetwork":      nil,
		"IPAddressDeny":       nil,
		"SupplementaryGroups": nil, // fails where a group is missing
		// The gateway starts without them.
		"Requires": nil,
		"Wants":    nil,
		"After":    {"network.target"},
	} {
		if got := setting(u, key); !slices.Equal(got, want) {
			t.Errorf("%s=%q, want %q", key, got, want)
		}
	}
	if f := setting(u, "SystemCallFilter"); !slices.Contains(f, "adjtimex") || slices.Index(f, "adjtimex") != len(f)-1 {
		t.Errorf("SystemCallFilter=%q: adjtimex must be allowed again after what takes it away", f)
	}
	if f := setting(u, "RestrictAddressFamilies"); len(f) != 1 || !strings.Contains(f[0], "AF_INET AF_INET6 AF_UNIX") {
		t.Errorf("RestrictAddressFamilies=%q", f)
	}
}
