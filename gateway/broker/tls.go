package broker

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"time"
)

// TLS names the files for a listener with TLS. They are read again when they
// change.
type TLS struct {
	Cert string // PEM: the certificate and those between it and a root
	Key  string // PEM
	// ClientCA holds PEM certificates of authorities. Whether clients need a
	// certificate is for the operator to choose: with "" none is asked for, with
	// a file every client must have one from an authority in it, and who has
	// none does not get past the TLS handshake. The certificate does not replace
	// the login.
	ClientCA string
}

// checkFiles is how long files are taken to be unchanged.
const checkFiles = time.Second

// tlsFiles is the present content of the files.
type tlsFiles struct {
	b     *Broker
	names TLS

	mu      sync.Mutex
	checked time.Duration // monotonic
	seen    [3][]byte
	conf    *tls.Config
}

// tlsConfig reads the files. TLS 1.2 and 1.3 are spoken, with authenticated
// encryption and forward secrecy only.
func (b *Broker) tlsConfig(names TLS) (*tls.Config, error) {
	f := &tlsFiles{b: b, names: names, checked: b.mono()}
	if err := f.load(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return f.current(), nil
		},
	}, nil
}

func (f *tlsFiles) current() *tls.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.b.mono(); now-f.checked >= checkFiles {
		f.checked = now
		if err := f.load(); err != nil {
			f.b.notice("tls", "new TLS files cannot be used; the former stay", "error", err)
		}
	}
	return f.conf
}

// load reads the files and, if they have changed, takes them into use.
func (f *tlsFiles) load() error {
	var raw [3][]byte
	same := f.conf != nil
	for i, name := range []string{f.names.Cert, f.names.Key, f.names.ClientCA} {
		if name == "" {
			continue
		}
		var err error
		if raw[i], err = os.ReadFile(name); err != nil {
			return fmt.Errorf("broker: tls: %w", err)
		}
		same = same && bytes.Equal(raw[i], f.seen[i])
	}
	if same {
		return nil
	}
	pair, err := tls.X509KeyPair(raw[0], raw[1])
	if err != nil {
		return fmt.Errorf("broker: tls: %s and %s: %w", f.names.Cert, f.names.Key, err)
	}
	conf := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		CipherSuites: []uint16{ // of TLS 1.2; those of 1.3 are all good
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
	if f.names.ClientCA != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(raw[2]) {
			return fmt.Errorf("broker: tls: no certificate in %s", f.names.ClientCA)
		}
		conf.ClientCAs, conf.ClientAuth = pool, tls.RequireAndVerifyClientCert
	}
	f.seen, f.conf = raw, conf
	return nil
}
