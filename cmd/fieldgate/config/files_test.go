package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// write makes a file in dir, readable by its owner only.
func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certificate makes NAME.crt and NAME.key in dir.
func certificate(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, name+".crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, dir, name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
}

// TestFilesOfTheConfiguration loads configurations that name files beside
// them; paths are relative to the configuration's folder.
func TestFilesOfTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir, "a")
	certificate(t, dir, "b")
	write(t, dir, "pw", "hunter2 and more\r\nsecond line\n")
	write(t, dir, "empty", "\n")
	open := write(t, dir, "open", "hunter2\n")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "values.csv", "0,1\n")
	const uplink = "uplink: [{name: a, url: 'mqtts://broker.example', username: u, "
	for _, c := range []struct {
		name string
		yaml string
		want string // of the only mistake or warning, DIR being the folder; "" for none
	}{
		{"a certificate and its key", "listen: {mqtts: '127.0.0.1:0'}\ntls: {cert: a.crt, key: a.key, client_ca: b.crt}", ""},
		{"another's key", "listen: {mqtts: '127.0.0.1:0'}\ntls: {cert: a.crt, key: b.key}", "f.yaml:2:25: tls.key: not the key of DIR/a.crt (tls: private key does not match public key); name a PEM certificate and its own key"},
		{"no certificate", "tls: {cert: c.crt, key: a.key}", "f.yaml:1:13: tls.cert: cannot read DIR/c.crt (no such file or directory); name a file that the gateway's user may read"},
		{"a folder", "tls: {cert: ., key: a.key}", "f.yaml:1:13: tls.cert: cannot read DIR (it is a folder); name a file that the gateway's user may read"},
		{"no authorities", "tls: {client_ca: a.key}", "f.yaml:1:18: tls.client_ca: DIR/a.key holds no PEM certificate; name a file with the PEM certificates of the authorities"},
		{"data is a file", "data: pw", "f.yaml:1:7: data: DIR/pw is not a folder; name a folder, it is made if it is missing"},
		{"data will be made", "data: new/folder", ""},
		{"a password file", uplink + "password_file: pw}]", ""},
		{"no password file", uplink + "password_file: none}]", "f.yaml:1:79: uplink[0].password_file: cannot read DIR/none (no such file or directory); name a file that the gateway's user may read"},
		{"no password", uplink + "password_file: empty}]", "f.yaml:1:79: uplink[0].password_file: DIR/empty has an empty first line; write the password into its first line"},
		{"a password for all to read", uplink + "password_file: open}]", "f.yaml:1:79: uplink[0].password_file: DIR/open can be read by every user of this machine; chmod o-rwx DIR/open"},
		{"uplink certificates", uplink + "tls: {ca: b.crt, cert: a.crt, key: a.key}}]", ""},
		{"uplink with another's key", uplink + "tls: {cert: a.crt, key: b.key}}]", "f.yaml:1:88: uplink[0].tls.key: not the key of DIR/a.crt (tls: private key does not match public key); name a PEM certificate and its own key"},
		{"sensor file", "devices: [{id: D}]\nsensors: [{driver: replay, device: D, file: values.csv}]", ""},
		{"no sensor file", "devices: [{id: D}]\nsensors: [{driver: replay, device: D, file: none.csv}]", "f.yaml:2:45: sensors[0].file: cannot read DIR/none.csv (no such file or directory); name a file that the gateway's user may read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := write(t, dir, "f.yaml", c.yaml)
			cfg, err := Load(file)
			var got string
			switch {
			case err != nil:
				got = err.Error()
			default:
				got = strings.TrimSuffix(cfg.Warnings.Error(), "\n")
			}
			got = strings.TrimPrefix(strings.ReplaceAll(got, dir, "DIR"), "DIR/")
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if _, err := Parse(file, []byte(c.yaml)); err != nil {
				t.Errorf("Parse looks at the files: %v", err)
			}
		})
	}
}

func TestReadPassword(t *testing.T) {
	dir := t.TempDir()
	u := Uplink{Name: "a", PasswordFile: write(t, dir, "pw", "first\n")}
	for _, want := range []string{"first", "second"} { // the file is read anew
		if got, err := u.ReadPassword(); err != nil || got != want {
			t.Errorf("%q, %v", got, err)
		}
		write(t, dir, "pw", "second\r\n\n")
	}
	u.PasswordFile += "x"
	if _, err := u.ReadPassword(); err == nil {
		t.Error("a missing file has a password")
	}
	u = Uplink{Password: "here"}
	if got, err := u.ReadPassword(); err != nil || got != "here" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestWarnings: what is no mistake, but should be looked at.
func TestWarnings(t *testing.T) {
	hash := "password_hash: '" + annsHash + "'"
	for _, c := range []struct {
		yaml, want string
		mode       os.FileMode
	}{
		{"access: {users: [{name: ann, " + hash + "}]}", "f.yaml:1: holds passwords or keys and can be read by every user of this machine; chmod o-rwx f.yaml", 0o644},
		{"access: {users: [{name: ann, " + hash + "}]}", "", 0o640},
		{"id: gw", "", 0o644},
		{"devices: [{id: D}]\nactuators: [{driver: gpio-out, pin: GPIO1, device: D, actuator: a, max_on: 2s, on_stop: on}]", "f.yaml:2:89: actuators[0].on_stop: leaves it on when the gateway ends, and then nobody keeps max_on; on_stop: off", 0o600},
		{"access: {users: [{name: ann}]}", "f.yaml:1:18: access.users[0].password_hash: missing, so that nobody can log in as this user; `fieldgate user hash` makes one", 0o600},
		{"access: {anonymous: true}\nlisten: {http: '[::1]:0', mqtt: 'localhost:1883'}", "", 0o600},
		{"access: {anonymous: true}\nlisten: {http: '[::]:0'}", "f.yaml:1:21: access.anonymous: anybody who can reach [::]:0 may connect without a name; set it to false, or listen on 127.0.0.1", 0o600},
		{"listen: {mqtt: '0.0.0.0:1883'}", "", 0o600},
		{"access: {users: [{name: ann, " + hash + "}], keys: [{key: abc, owner: ann}]}", "f.yaml:1:161: access.keys[0].key: is short enough to be guessed; a long random text: openssl rand -hex 24", 0o600},
		{"uplink: [{name: a, url: 'mqtt://broker.example', username: u, password: p}]", "f.yaml:1:25: uplink[0].url: the password goes over the network in clear; use mqtts or wss", 0o600},
		{"uplink: [{name: a, url: 'mqtt://[::1]', username: u, password: p}]", "", 0o600},
	} {
		dir := t.TempDir()
		file := write(t, dir, "f.yaml", c.yaml)
		if err := os.Chmod(file, c.mode); err != nil {
			t.Fatal(err)
		}
		cfg, err := Load(file)
		if err != nil {
			t.Errorf("%s: %v", c.yaml, err)
			continue
		}
		if got := strings.ReplaceAll(cfg.Warnings.Error(), dir+"/", ""); got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.yaml, got, c.want)
		}
	}
}

func TestScalars(t *testing.T) {
	for s, want := range map[string]time.Duration{"20ms": 20 * time.Millisecond, "30d": 720 * time.Hour, "1d12h": 36 * time.Hour,
		"0": 0, "0d": 0, "1.5h": 90 * time.Minute} {
		if got, err := parseDuration(s); err != nil || got != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "d", "1", "-1s", "1d-2h", "1.5d", "1h2d", "99999999999d", "106751d24h", "106752d", "1d+2h", "x"} {
		if got, err := parseDuration(s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
	for s, want := range map[string]int64{"0": 0, "123": 123, "1B": 1, "1kB": 1000, "1 KiB": 1024, "1.5MiB": 3 << 19, "1GB": 1e9, "2GiB": 2 << 30} {
		if got, err := parseSize(s); err != nil || got != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "MiB", "-1", "-1MiB", "1e30GiB", "1TiB", "NaNMiB", "InfMiB", "1.5", "99999999999999999999"} {
		if got, err := parseSize(s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
	for d, want := range map[time.Duration]string{time.Hour: "1h", 10 * time.Minute: "10m", 168 * time.Hour: "7d", 90 * time.Second: "1m30s", time.Millisecond: "1ms", 0: "0s"} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v: %s", int64(d), got)
		}
	}
	for n, want := range map[int64]string{1 << 20: "1MiB", 448 << 20: "448MiB", 1500: "1500 bytes", 4 << 10: "4KiB", 2 << 30: "2GiB"} {
		if got := formatSize(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}

func TestNearest(t *testing.T) {
	keys := []string{"id", "data", "listen", "uplink", "password_hash", "password_file"}
	for key, want := range map[string]string{"idd": "id", "di": "id", "dat": "data", "Listen": "listen", "uplinks": "uplink",
		"passwordhash": "password_hash", "ftp": "", "x": "", "": "", strings.Repeat("a", 1000): ""} {
		if got := nearest(key, keys); got != want {
			t.Errorf("%s: %q, want %q", short(key), got, want)
		}
	}
}
