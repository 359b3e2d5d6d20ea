package broker

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/mochi-mqtt/server/v2/packets"
)

// wsClient makes a byte stream of a websocket, in frames of at most size bytes.
type wsClient struct {
	net.Conn
	ws   *websocket.Conn
	size int
	r    io.Reader
}

func (w *wsClient) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), w.size)
		if err := w.ws.WriteMessage(websocket.BinaryMessage, rest[:n]); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

func (w *wsClient) Read(p []byte) (int, error) {
	for {
		if w.r == nil {
			_, r, err := w.ws.NextReader()
			if err != nil {
				return 0, err
			}
			w.r = r
		}
		n, err := w.r.Read(p)
		if err == io.EOF {
			w.r = nil
			if n == 0 {
				continue
			}
			err = nil
		}
		return n, err
	}
}

func (r *rig) website(t *testing.T) *httptest.Server {
	mux := http.NewServeMux()
	mux.Handle("/mqtt", r.WebSocket())
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func TestWebSocket(t *testing.T) {
	r := start(t)
	url := strings.Replace(r.website(t).URL, "http", "ws", 1) + "/mqtt"
	for _, size := range []int{1, 7, 1 << 20} { // frames shorter than a packet, and longer
		for _, proto := range []string{"mqtt", "mqttv3.1"} {
			ws, resp, err := (&websocket.Dialer{Subprotocols: []string{proto}}).Dial(url, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := resp.Header.Get("Sec-Websocket-Protocol"); got != proto {
				t.Fatalf("protocol %q", got)
			}
			c := r.over(&wsClient{Conn: ws.NetConn(), ws: ws, size: size})
			if code := c.hello(who{v: 5, id: "ws"}); code != 0 {
				t.Fatal(code)
			}
			c.subscribe(1, "plain/#")
			c.publish("plain/a", long(5000), 1, 1)
			got := map[byte]bool{}
			for range 2 {
				pk, err := c.next()
				if err != nil {
					t.Fatal(err)
				}
				got[pk.FixedHeader.Type] = true
			}
			if !got[packets.Puback] || !got[packets.Publish] {
				t.Fatal(got)
			}
			c.cut()
		}
	}
	// Many packets in one frame.
	ws, _, err := (&websocket.Dialer{Subprotocols: []string{"mqtt"}}).Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := r.over(&wsClient{Conn: ws.NetConn(), ws: ws, size: 1 << 20})
	c.v = 4
	c.raw(append(encode(t, who{id: "ws"}.packet()), 0xc0, 0, 0xc0, 0))
	c.want(packets.Connack)
	c.want(packets.Pingresp)
	c.want(packets.Pingresp)
	// A text frame is no MQTT.
	if err := ws.WriteMessage(websocket.TextMessage, []byte{0xc0, 0}); err != nil {
		t.Fatal(err)
	}
	c.wantClosed()
}

func TestWebSocketOrigin(t *testing.T) {
	r := start(t, func(c *Config) { c.Origins = []string{"https://dash.example"} })
	site := r.website(t)
	url := strings.Replace(site.URL, "http", "ws", 1) + "/mqtt"
	for origin, want := range map[string]bool{
		"": true, site.URL: true, "https://dash.example": true,
		"http://evil.example": false, "null": false, site.URL + ".evil.example": false, "https://dash.example.evil": false,
	} {
		h := http.Header{}
		if origin != "" {
			h.Set("Origin", origin)
		}
		ws, _, err := (&websocket.Dialer{Subprotocols: []string{"mqtt"}}).Dial(url, h)
		if (err == nil) != want {
			t.Errorf("origin %q: %v", origin, err)
		}
		if err == nil {
			_ = ws.Close()
		}
	}
	r.stop()
	if _, resp, err := websocket.DefaultDialer.Dial(url, nil); err == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Fatal("a broker that does not run lets in")
	}
}

// authority makes certificates.
type authority struct {
	t    *testing.T
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.key, a.cert = a.make("ca", nil)
	return a
}

func (a *authority) make(name string, parent *authority) (*ecdsa.PrivateKey, *x509.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	tmpl := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	signer, by := key, tmpl
	if parent != nil {
		signer, by = parent.key, parent.cert
	} else {
		tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.KeyUsage = true, true, x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, by, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, _ := x509.ParseCertificate(der)
	raw, _ := x509.MarshalECPrivateKey(key)
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+".key", "EC PRIVATE KEY", raw)
	return key, cert
}

func (a *authority) write(name, kind string, der []byte) {
	if err := os.WriteFile(a.path(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) client(certs ...string) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	conf := &tls.Config{RootCAs: pool}
	for _, name := range certs {
		pair, err := tls.LoadX509KeyPair(a.path(name+".pem"), a.path(name+".key"))
		if err != nil {
			a.t.Fatal(err)
		}
		conf.Certificates = append(conf.Certificates, pair)
	}
	return conf
}

func TestTLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	ca.make("server", ca)
	ca.make("client", ca)
	other.make("client", other)
	var open, mutual string
	r := start(t)
	r.stop()
	b, err := New(Config{ID: "gw-1", Hub: r.hub, Access: r.access, Clock: r.clock})
	if err != nil {
		t.Fatal(err)
	}
	files := TLS{Cert: ca.path("server.pem"), Key: ca.path("server.key")}
	for i, p := range []*string{&open, &mutual} {
		if i == 1 {
			files.ClientCA = ca.path("ca.pem")
		}
		addr, err := b.Listen("127.0.0.1:0", &files)
		if err != nil {
			t.Fatal(err)
		}
		*p = addr.String()
	}
	if _, err := b.Listen("127.0.0.1:0", &TLS{Cert: "/nowhere", Key: "/nowhere"}); err == nil {
		t.Fatal("listens without a certificate")
	}
	r.Broker, r.hub.b = b, b
	r.run()
	id := "c"
	try := func(addr string, conf *tls.Config) (*client, error) {
		conn, err := tls.Dial("tcp", addr, conf)
		if err != nil {
			return nil, err
		}
		c := r.over(conn)
		c.v = 4
		if _, err := conn.Write(encode(t, who{id: id}.packet())); err != nil {
			return nil, err
		}
		pk, err := c.next()
		c.ack = pk
		return c, err
	}
	c, err := try(open, ca.client())
	if err != nil {
		t.Fatal(err)
	}
	id = "others"
	c.subscribe(0, "plain/#")
	c.publish("plain/a", long(100_000), 0, 0)
	c.wantPublish("plain/a", long(100_000))
	if _, err := try(mutual, ca.client()); err == nil {
		t.Fatal("let in without a certificate")
	}
	stranger := ca.client()
	stranger.Certificates = other.client("client").Certificates
	if _, err := try(mutual, stranger); err == nil {
		t.Fatal("let in with a stranger's certificate")
	}
	if _, err := try(mutual, ca.client("client")); err != nil {
		t.Fatal(err)
	}
	old := ca.client()
	old.MaxVersion = tls.VersionTLS11
	if _, err := try(open, old); err == nil {
		t.Fatal("TLS 1.1")
	}
	weak := ca.client()
	weak.MaxVersion, weak.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
	if _, err := try(open, weak); err == nil {
		t.Fatal("a weak cipher")
	}

	// New files are taken into use, broken ones are not.
	serial := func() *big.Int {
		conn, err := tls.Dial("tcp", open, ca.client())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber
	}
	first := serial()
	ca.make("server", ca)
	r.clock.Advance(time.Minute)
	second := serial()
	if first.Cmp(second) == 0 {
		t.Fatal("the new certificate is not used")
	}
	if err := os.WriteFile(ca.path("server.pem"), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(time.Minute)
	if serial().Cmp(second) != 0 {
		t.Fatal("not the last good certificate")
	}
	c.quiet()
	// Bytes that are no TLS.
	plain, err := net.Dial("tcp", open)
	if err != nil {
		t.Fatal(err)
	}
	p := r.over(plain)
	p.raw(bytes.Repeat([]byte{0x10, 0x0c}, 50))
	readToEnd(t, p)
}
