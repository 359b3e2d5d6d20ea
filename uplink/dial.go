package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/gorilla/websocket"
)

// endpoint is where the cloud's broker listens.
type endpoint struct {
	address string // host:port
	secure  bool
	web     string // URL of the WebSocket, "" for plain TCP
	host    string // name that the certificate must have
}

// parseURL reads a broker's URL. The default ports are those registered for
// the schemes: 1883, 8883, 80 and 443; the default path of a WebSocket is /mqtt.
func parseURL(raw string) (endpoint, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return endpoint{}, errors.New("cannot be read as a URL") // the error would repeat a password in it
	}
	if u.User != nil {
		return endpoint{}, errors.New("user and password have their own settings, a URL gets into logs")
	}
	if u.Hostname() == "" {
		return endpoint{}, errors.New("no host")
	}
	e := endpoint{host: u.Hostname()}
	var port string
	switch u.Scheme {
	case "mqtt", "tcp":
		port = "1883"
	case "mqtts", "ssl":
		port, e.secure = "8883", true
	case "ws":
		port = "80"
	case "wss":
		port, e.secure = "443", true
	default:
		return endpoint{}, fmt.Errorf("scheme %q: mqtt, mqtts, ws or wss", u.Scheme)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	e.address = net.JoinHostPort(e.host, port)
	if u.Scheme == "ws" || u.Scheme == "wss" {
		if u.Path == "" {
			u.Path = "/mqtt"
		}
		u.Fragment = ""
		e.web = u.String()
	}
	return e, nil
}

// TLSFiles are the files of a TLS client.
type TLSFiles struct {
	CA         string // PEM authorities; "": those of the system
	Cert       string // PEM chain of the client; "" without
	Key        string // its PEM key
	ServerName string // name that the broker's certificate must have; "": the host of the URL
}

// Config reads the files. It is meant for Config.TLS, so that renewed
// certificates count from the next connection on. TLS 1.2 is the lowest
// version spoken.
func (f TLSFiles) Config() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.ServerName}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("tls: ca: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls: ca: no certificate in %s", f.CA)
		}
	}
	if f.Cert != "" || f.Key != "" {
		cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, fmt.Errorf("tls: certificate: %w", err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	return cfg, nil
}

// dial opens the byte stream to e: TCP, TLS or a WebSocket over either.
func (e endpoint) dial(ctx context.Context, tlsConfig func() (*tls.Config, error)) (net.Conn, error) {
	var secure *tls.Config
	if e.secure {
		secure = &tls.Config{MinVersion: tls.VersionTLS12}
		if tlsConfig != nil {
			c, err := tlsConfig()
			if err != nil {
				return nil, err
			}
			secure = c.Clone()
		}
		setDefault(&secure.ServerName, e.host)
	}
	switch {
	case e.web != "":
		watched := func() bool { return true } // ends the watch over the handshake
		d := websocket.Dialer{
			// The library waits for the server's answer whether ctx ends or not.
			NetDialContext: func(inner context.Context, network, addr string) (net.Conn, error) {
				c, err := (&net.Dialer{}).DialContext(inner, network, addr)
				if err == nil {
					watched = context.AfterFunc(ctx, func() { _ = c.Close() })
				}
				return c, err
			},
			Proxy:           http.ProxyFromEnvironment,
			TLSClientConfig: secure,
			Subprotocols:    []string{"mqtt"}, // MQTT 3.1.1 section 6
		}
		c, resp, err := d.DialContext(ctx, e.web, nil)
		if !watched() && err == nil {
			_ = c.Close()
			err = ctx.Err()
		}
		if err != nil {
			if resp != nil {
				return nil, fmt.Errorf("websocket: %w: the server says %s", err, resp.Status)
			}
			return nil, err
		}
		return &webConn{Conn: c}, nil
	case e.secure:
		return (&tls.Dialer{Config: secure}).DialContext(ctx, "tcp", e.address)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", e.address)
}

// webConn makes a byte stream of the binary messages of a WebSocket. One
// goroutine may read while another writes.
type webConn struct {
	*websocket.Conn
	message io.Reader // the one being read, nil between messages
}

func (w *webConn) Read(p []byte) (int, error) {
	for {
		if w.message == nil {
			kind, r, err := w.NextReader()
			if err != nil {
				return 0, err
			}
			if kind != websocket.BinaryMessage {
				return 0, errors.New("websocket: a text message from the cloud")
			}
			w.message = r
		}
		n, err := w.message.Read(p)
		if errors.Is(err, io.EOF) {
			w.message, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (w *webConn) Write(p []byte) (int, error) {
	if err := w.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (w *webConn) SetDeadline(t time.Time) error {
	return errors.Join(w.SetReadDeadline(t), w.SetWriteDeadline(t))
}
