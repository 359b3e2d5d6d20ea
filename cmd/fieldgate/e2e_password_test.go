package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPasswordFile logs in to a cloud that wants a password, with the one in a
// file.
func TestPasswordFile(t *testing.T) {
	dir := t.TempDir()
	users, password := filepath.Join(dir, "users"), filepath.Join(dir, "password")
	if out, err := exec.Command(need(t, "mosquitto_passwd"), "-b", "-c", users, "gw", "from a file").CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v %s", err, out)
	}
	if err := os.WriteFile(password, []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cloud := startMosquitto(t, "allow_anonymous false", "password_file "+users)
	s := subscribe(t, "127.0.0.1:"+cloud.port, "-u", "gw", "-P", "from a file", "-q", "1", "-t", "devices/#")
	yaml := strings.Replace(surviveConfig(cloud.url(), "ordered"), "catch_up:", `username: gw, password_file: "`+password+`", catch_up:`, 1)
	g := startGateway(t, t.TempDir(), yaml)
	mustPublish(t, g.mqtt, "-q", "1", "-t", "devices/A/sensors/S1/value", "-m", "1")
	if m := s.message(); !strings.HasPrefix(m, "devices/A/sensors/S1/value ") {
		t.Errorf("got %q", m)
	}
}

// TestAccountsBeforeTheFirstRun makes an account while there is no data folder
// yet.
func TestAccountsBeforeTheFirstRun(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	yaml := accessConfig(hashPassword(t, "password"), "")
	file := filepath.Join(t.TempDir(), "fieldgate.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(yaml, "DATA", data)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := command(t, "a good password\n", "user", "add", "--config", file, "carl"); code != 0 || errOut != "" {
		t.Fatalf("user add: %d %s", code, errOut)
	}
	g := startGatewayFile(t, file)
	mustPublish(t, g.mqtt, "-u", "carl", "-P", "a good password", "-t", "devices/Open/sensors/TC1/value", "-m", "1", "-q", "1")
}

// TestRootDoesNotLockTheGatewayOut: files that root would make in the folder of
// the gateway's user are not made.
func TestRootDoesNotLockTheGatewayOut(t *testing.T) {
	data := t.TempDir()
	if err := os.Chown(data, 12345, 12345); err != nil {
		if os.Getenv("FIELDGATE_CI") != "" {
			t.Fatal(err)
		}
		t.Skip("giving a folder away needs root")
	}
	code, _, errOut := command(t, "a good password\n", "user", "add", "--config", filepath.Join(data, "none.yaml"), "--data", data, "carl")
	if code != 1 || !strings.Contains(errOut, "sudo -u '#12345'") {
		t.Errorf("%d %s", code, errOut)
	}
	if left, err := os.ReadDir(data); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
