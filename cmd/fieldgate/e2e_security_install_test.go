package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// listening gives the addresses of the sockets of process pid that can be
// reached from outside it: TCP that listens, UDP.
func listening(t testing.TB, pid int) []net.IP {
	t.Helper()
	own := map[string]bool{}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(fds) == 0 {
		t.Fatal(fds, err)
	}
	for _, fd := range fds {
		to, _ := os.Readlink(fd) // one that was closed meanwhile is no socket
		if inode, ok := strings.CutPrefix(to, "socket:["); ok {
			own[strings.TrimSuffix(inode, "]")] = true
		}
	}
	var out []net.IP
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			continue // no IPv6 here
		}
		defer f.Close()
		for sc := bufio.NewScanner(f); sc.Scan(); {
			col := strings.Fields(sc.Text())
			if len(col) < 10 || !own[col[9]] || strings.HasPrefix(table, "tcp") && col[3] != "0A" {
				continue
			}
			raw, err := hex.DecodeString(strings.Split(col[1], ":")[0])
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(raw); i += 4 { // words of the machine's byte order
				raw[i], raw[i+1], raw[i+2], raw[i+3] = raw[i+3], raw[i+2], raw[i+1], raw[i]
			}
			out = append(out, net.IP(raw))
		}
	}
	return out
}

// TestFreshInstallIsLocal runs the gateway as it is installed, with each example
// configuration and with none of its keys set. The kernel says what it listens
// on: nothing that another machine can reach.
func TestFreshInstallIsLocal(t *testing.T) {
	files, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, file := range append(files, "") {
		t.Run("config "+filepath.Base(file), func(t *testing.T) {
			yaml := "id: gw-1\n"
			if file != "" {
				raw, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				yaml = string(raw)
			}
			var kept []string
			for line := range strings.Lines(yaml) {
				if !strings.HasPrefix(line, "data:") {
					kept = append(kept, line)
				}
			}
			// Ports of the kernel's choice, on the addresses that the file names.
			yaml = "data: DATA\n" + strings.NewReplacer(":1883\"", ":0\"", ":8080\"", ":0\"").Replace(strings.Join(kept, ""))
			if !strings.Contains(yaml, "\nlisten:") {
				yaml += "\nlisten: {mqtt: \"127.0.0.1:0\", http: \"127.0.0.1:0\"}\n" // the default but for the ports, see TestDefaults
			}
			g := startGateway(t, filepath.Join(t.TempDir(), "data"), yaml)
			ips := listening(t, g.cmd.Process.Pid)
			if len(ips) < 2 {
				t.Fatalf("only %v is seen", ips)
			}
			for _, ip := range ips {
				if !ip.IsLoopback() {
					t.Errorf("listens on %v", ip)
				}
			}
		})
	}
	// The test sees what is not right, too.
	open := startGateway(t, filepath.Join(t.TempDir(), "data"), "id: gw-1\ndata: DATA\nlisten: {mqtt: \"0.0.0.0:0\", http: \"\"}\n")
	if ips := listening(t, open.cmd.Process.Pid); len(ips) != 1 || ips[0].IsLoopback() {
		t.Errorf("%v", ips)
	}
}

// TestNothingInCommon: what a fresh install keeps on disk holds no account, key,
// token or certificate that another has too, because it holds none at all. What
// is made by the commands differs each time.
func TestNothingInCommon(t *testing.T) {
	for range 2 {
		g := startGateway(t, filepath.Join(t.TempDir(), "data"), "id: gw-1\ndata: DATA\nlisten: {mqtt: \"127.0.0.1:0\", http: \"127.0.0.1:0\"}\n")
		for _, kind := range []string{"user", "key"} {
			if code, out, errOut := command(t, "", kind, "list", "--config", g.file); code != 0 || strings.Count(strings.TrimSpace(out), "\n") > 0 {
				t.Errorf("%s list: status %d: %s%s", kind, code, out, errOut)
			}
		}
		for _, guess := range [][2]string{{"admin", "admin"}, {"root", "root"}, {"fieldgate", "fieldgate"}, {"boss", "password"}, {"login", ""}} {
			if _, code := connectRaw(t, g.mqtt, login{id: "c", user: guess[0], pass: guess[1]}); code == 0 {
				t.Errorf("%v is let in", guess)
			}
		}
	}
	seen := map[string]bool{}
	for range 3 {
		hash := hashPassword(t, "the same password")
		if seen[hash] {
			t.Error("two hashes of one password are equal")
		}
		seen[hash] = true
	}
	g, _ := startSecurity(t, "", "")
	for i := range 3 {
		code, out, errOut := command(t, "", "key", "add", "--config", g.file, "--owner", "ann", fmt.Sprint("key ", i))
		key := strings.TrimSpace(out)
		if code != 0 || len(key) < 32 || seen[key] {
			t.Errorf("key add: status %d: %q %s", code, out, errOut)
		}
		seen[key] = true
	}
}

// Secrets that the configuration of TestSecretsStayInside holds, and that
// clients use.
const (
	uplinkSecret = "uplink-Secret-71fd"
	loraSecret   = "c0ffee00c0ffee00c0ffee00c0ffee42"
	keySecret    = "key0secret0123456789abcdef012345678"
	wrongSecret  = "Guess-9f3a"
	newSecret    = "later-Secret-55aa"
)

// TestSecretsStayInside uses every secret there is with all logging on, and then
// looks for them where they must not be. The umask is that of a careless
// machine; the files are the gateway's alone all the same.
func TestSecretsStayInside(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	yaml := strings.ReplaceAll(securityConfig(t, "", `
log: {level: debug}
auto_create: true
uplink: [{name: cloud, url: "mqtt://127.0.0.1:1", username: u, password: "`+uplinkSecret+`"}]
radios: [{driver: fake, nodes: [Node]}]
lorawan: {region: EU868, devices: [{device: Node, dev_eui: "70b3d57ed0000001", join_eui: "0000000000000000", app_key: "`+loraSecret+`", codec: cayenne}]}
`), "DATA", data)
	yaml = strings.Replace(yaml, "  acl:", "  keys: [{label: k, key: "+keySecret+", owner: ann, permissions: [{methods: [get, put]}]}]\n  acl:", 1)
	file := filepath.Join(t.TempDir(), "fieldgate.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `umask 0; exec "$0" run --config "$1"`, fieldgate(t), file)
	g := &gatewayProcess{process: spawn(t, cmd), file: file}
	g.awaitReady()

	var pages bytes.Buffer
	ask := func(method, path, user, password, body string, headers ...string) int {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+g.http+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if user != "" {
			req.SetBasicAuth(user, password)
		}
		for i := 0; i+1 < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		_ = res.Header.Write(&pages)
		_, _ = io.Copy(&pages, res.Body)
		return res.StatusCode
	}
	mustConnect(t, g.mqtt, ann("c")).publish1("devices/Private/sensors/S/value", "1", true)
	connectRaw(t, g.mqtt, login{id: "c", user: "ann", pass: wrongSecret})
	connectRaw(t, g.mqtt, login{v: 5, id: "c", user: "ann", pass: wrongSecret})
	viaKey := mustConnect(t, g.mqtt, login{id: "k", user: keySecret, noPassword: true})
	viaKey.publish1("/v2/feeds/1.csv", "S,1", false)
	viaKey.publish1(keySecret+"/v2/feeds/77.csv", "S,1", false)
	viaKey.subscribe4(0, keySecret+"/v2/feeds/77.json")
	connectRaw(t, g.mqtt, login{id: "k", user: keySecret + wrongSecret, noPassword: true})
	if code, _, errOut := command(t, newSecret+"\n", "user", "add", "--config", file, "later"); code != 0 {
		t.Fatalf("user add: %s", errOut)
	}
	for _, path := range []string{"/", "/devices", "/status", "/healthz", "/metrics", "/requests", "/admin/users", "/admin/keys", "/admin/log",
		"/admin/radios", "/nothing", "/v2/feeds", "/v2/feeds/1.json", "/v2/keys.json", "/v2/feeds/77.csv"} {
		ask("GET", path, "boss", "password", "")
		ask("GET", path, "boss", wrongSecret, "")
		ask("GET", path, "later", newSecret, "")
		ask("GET", path, "", "", "", "X-ApiKey", keySecret)
	}
	ask("GET", "/v2/feeds/77.json?key="+keySecret, "", "", "")
	ask("GET", "/v2/keys/"+keySecret+".json", "boss", "password", "")
	ask("PUT", "/admin/users/x", "boss", "password", `{"password": 7, "x": "`+wrongSecret+`"`)
	for _, args := range [][]string{{"log", "inspect"}, {"log", "export", "--format", "jsonl"}, {"user", "list"}, {"key", "list"}, {"device", "list"}, {"check"}} {
		_, out, errOut := command(t, "", append(args, "--config", file)...)
		pages.WriteString(out + errOut)
	}
	stillThere(t, g)
	modes(t, data)
	if code := g.stop(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	modes(t, data)

	places := map[string][]byte{"the log": []byte(g.errOut.text() + g.out.text()), "what was answered": pages.Bytes()}
	cmdline := strings.Join(g.cmd.Args, " ")
	places["the command line"] = []byte(cmdline)
	err := filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			places[path], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(places) < 6 {
		t.Fatalf("only %d places were searched", len(places))
	}
	for _, secret := range []string{uplinkSecret, loraSecret, keySecret, wrongSecret, newSecret, "Ym9zczpwYXNzd29yZA" /* boss:password */} {
		for place, text := range places {
			if bytes.Contains(text, []byte(secret)) || bytes.Contains(text, []byte(strings.ToUpper(secret))) {
				t.Errorf("%q stands in %s", secret, place)
			}
		}
	}
	hash := yaml[strings.Index(yaml, "$argon2id$"):]
	hash = hash[:strings.IndexByte(hash, '"')]
	for _, place := range []string{"the log", "what was answered"} {
		if bytes.Contains(places[place], []byte(hash)) || bytes.Contains(places[place], []byte("$argon2id$")) {
			t.Errorf("the hash of a password stands in %s", place)
		}
	}
	registry := places[filepath.Join(data, registryFile)]
	if !bytes.Contains(registry, []byte("$argon2id$")) {
		t.Error("the account that was added is not kept as an argon2id hash")
	}
}

// modes checks that a data folder is for its owner alone.
func modes(t *testing.T, data string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		n++
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, not %o", path, got, want)
		}
		return nil
	})
	if err != nil || n < 4 {
		t.Errorf("%d files: %v", n, err)
	}
}
