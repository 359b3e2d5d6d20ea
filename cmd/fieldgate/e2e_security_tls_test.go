package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTLSVersions does the handshakes of old clients: TLS 1.2 and 1.3 are
// spoken, with authenticated encryption and forward secrecy, and nothing else.
func TestTLSVersions(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, dir)
	cert, key := ca.issue(t, "gateway")
	pem, err := os.ReadFile(ca.file)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	yaml := strings.Replace(securityConfig(t, "", `tls: {cert: "`+cert+`", key: "`+key+`"}`), "listen: {", `listen: {mqtts: "127.0.0.1:0", `, 1)
	g := startGateway(t, filepath.Join(dir, "data"), yaml)
	try := func(c *tls.Config) (*tls.ConnectionState, error) {
		c.RootCAs, c.ServerName = pool, "localhost"
		conn, err := tls.Dial("tcp", g.mqtts, c)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		r := rawOver(t, conn)
		if code := r.hello(ann("tls")); code != 0 {
			return nil, fmt.Errorf("CONNACK %#x", code)
		}
		s := conn.ConnectionState()
		return &s, nil
	}
	for v, ok := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		s, err := try(&tls.Config{MinVersion: v, MaxVersion: v})
		if (err == nil) != ok || ok && s.Version != v {
			t.Errorf("%s: %v", tls.VersionName(v), err)
		}
	}
	good := 0
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if suite.SupportedVersions[0] == tls.VersionTLS13 {
			continue // all of 1.3 are good, and cannot be chosen one by one
		}
		ok := strings.HasPrefix(suite.Name, "TLS_ECDHE_ECDSA_") && (strings.Contains(suite.Name, "GCM") || strings.Contains(suite.Name, "CHACHA20"))
		s, err := try(&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID}})
		if (err == nil) != ok {
			t.Errorf("%s: %v", suite.Name, err)
		}
		if err == nil {
			good++
			if s.CipherSuite != suite.ID {
				t.Errorf("%s became %s", suite.Name, tls.CipherSuiteName(s.CipherSuite))
			}
		}
	}
	if good != 3 {
		t.Errorf("%d suites of TLS 1.2", good)
	}
	stillThere(t, g)
}

// TestUplinkVerifiesTheCloud: the uplink talks to a cloud whose certificate has
// the name it was told to expect, from an authority that it knows, and to no
// other; what is wrong is said in the log.
func TestUplinkVerifiesTheCloud(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, dir)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(77), Subject: pkix.Name{CommonName: "cloud"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"cloud.example"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, ca.cert, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(dir, "cloud.pem"), filepath.Join(dir, "cloud.key")
	writePEM(t, certFile, "CERTIFICATE", der)
	writePEM(t, keyFile, "PRIVATE KEY", raw)
	m := startMosquitto(t, "cafile "+ca.file, "certfile "+certFile, "keyfile "+keyFile)
	otherDir := filepath.Join(dir, "other")
	if err := os.Mkdir(otherDir, 0o700); err != nil {
		t.Fatal(err)
	}
	other := newAuthority(t, otherDir)

	uplink := func(tls string) *gatewayProcess {
		return startGateway(t, filepath.Join(t.TempDir(), "data"), "id: gw-1\ndata: DATA\nlisten: {mqtt: \"\", http: \"127.0.0.1:0\"}\n"+
			`uplink: [{name: cloud, url: "mqtts://127.0.0.1:`+m.port+`", tls: {`+tls+`}}]`+"\n")
	}
	const connected = `fieldgate_uplink_connected{uplink="cloud"}`
	for name, c := range map[string]struct{ tls, says string }{
		"a wrong name":           {`ca: "` + ca.file + `"`, "127.0.0.1"},
		"another wrong name":     {`ca: "` + ca.file + `", server_name: other.example`, "other.example"},
		"an unknown authority":   {`ca: "` + other.file + `", server_name: cloud.example`, "authority"},
		"no authority was named": {`server_name: cloud.example`, "authority"},
	} {
		g := uplink(c.tls)
		g.errOut.await(t, "a line that says why ("+name+")", 0, func(l string) bool {
			return strings.Contains(l, "certificate") && strings.Contains(l, c.says)
		})
		if metric(t, g, connected) != 0 {
			t.Errorf("%s: connected", name)
		}
		if code := g.stop(); code != 0 {
			t.Errorf("exit status %d", code)
		}
	}
	g := uplink(`ca: "` + ca.file + `", server_name: cloud.example`)
	eventually(t, "the right one is talked to", func() bool { return metric(t, g, connected) == 1 })
}
