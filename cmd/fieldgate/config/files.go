package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"os"
)

// The checks of this file look at the files that the configuration names; they
// do nothing in Parse.

// folder reports a path that is there and is no folder. One that is missing
// will be made.
func (r *reader) folder(v value, path string) {
	if !r.files {
		return
	}
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		v.mistake(path+" is not a folder", "name a folder, it is made if it is missing")
	}
}

// readable reports a file that cannot be read.
func (r *reader) readable(v value, path string) bool {
	if !r.files || path == "" {
		return r.files && path != ""
	}
	f, err := os.Open(path)
	if err == nil {
		defer f.Close()
		var info os.FileInfo
		if info, err = f.Stat(); err == nil && info.IsDir() {
			err = errors.New("it is a folder")
		}
	}
	if err != nil {
		v.mistake("cannot read "+path+" ("+cause(err)+")", "name a file that the gateway's user may read")
		return false
	}
	return true
}

// pair reports a certificate and key that are not there or do not belong
// together.
func (r *reader) pair(certAt, keyAt value, cert, key string) {
	certOK, keyOK := r.readable(certAt, cert), r.readable(keyAt, key)
	if !certOK || !keyOK {
		return
	}
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		keyAt.mistake("not the key of "+cert+" ("+err.Error()+")", "name a PEM certificate and its own key")
	}
}

// authorities reports a file without certificates.
func (r *reader) authorities(v value, path string) {
	if !r.readable(v, path) {
		return
	}
	if _, err := authorities(path); err != nil {
		v.mistake(path+" "+err.Error(), "name a file with the PEM certificates of the authorities")
	}
}

// maxPasswordFile is the largest file taken for one with a password.
const maxPasswordFile = 4096

// password reports a file without a password.
func (r *reader) password(v value, path string) {
	if !r.readable(v, path) {
		return
	}
	if _, err := readPassword(path); err != nil {
		v.mistake(path+" "+err.Error(), "write the password into its first line")
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o004 != 0 {
		v.warn(path+" can be read by every user of this machine", "chmod o-rwx "+path)
	}
}

// readPassword reads the first line of a file.
func readPassword(path string) (Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPasswordFile))
	if err != nil {
		return "", err
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return "", errors.New("has an empty first line")
	}
	return Secret(line), nil
}

// authorities reads PEM certificates.
func authorities(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("holds no PEM certificate")
	}
	return pool, nil
}

// cause is an error without the path and the operation.
func cause(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
