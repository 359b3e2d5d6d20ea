package access

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// Vectors of the reference implementation (github.com/P-H-C/phc-winner-argon2,
// src/test.c) for "password".
var argonVectors = []string{
	"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
}

func TestReferenceVectors(t *testing.T) {
	for _, v := range argonVectors {
		h, err := parseHash(v)
		if err != nil {
			t.Fatal(err)
		}
		if !h.matches([]byte("password")) || h.matches([]byte("Password")) || h.matches(nil) {
			t.Errorf("%s does not tell password from others", v)
		}
		if h.String() != v {
			t.Errorf("%s became %s", v, h)
		}
	}
}

func TestHashPassword(t *testing.T) {
	one, err := HashPassword([]byte("correct horse"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(one, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Error(one)
	}
	if err := CheckHash(one); err != nil {
		t.Error(err)
	}
	h, _ := parseHash(one)
	if !h.matches([]byte("correct horse")) || h.matches([]byte("correct horsf")) {
		t.Error("the hash does not tell passwords apart")
	}
	if two, _ := HashPassword([]byte("correct horse"), rand.Reader); two == one {
		t.Error("the same password twice has the same hash: no salt")
	}
	if short, err := HashPassword([]byte("1"), rand.Reader); err != nil || CheckHash(short) != nil {
		t.Errorf("a short password is the user's own affair: %q, %v", short, err)
	}
	for _, c := range []struct {
		password string
		rand     io.Reader
		want     error
	}{
		{"", rand.Reader, ErrPasswordEmpty},
		{strings.Repeat("x", MaxPassword+1), rand.Reader, ErrPasswordTooLong},
		{"12345678", iotest.ErrReader(io.ErrClosedPipe), io.ErrClosedPipe},
		{"12345678", bytes.NewReader([]byte("short")), io.ErrUnexpectedEOF},
	} {
		if hash, err := HashPassword([]byte(c.password), c.rand); !errors.Is(err, c.want) || hash != "" {
			t.Errorf("%d bytes: %q, %v, want %v", len(c.password), hash, err, c.want)
		}
	}
}

func TestCheckHash(t *testing.T) {
	const salt, sum = "c29tZXNhbHQ", "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	ok := []string{
		"$argon2id$v=19$m=262144,t=16,p=16$" + salt + "$" + sum,
		"$argon2id$v=19$m=8,t=1,p=1$" + salt + "$" + sum,
	}
	bad := map[string]string{
		"empty":            "",
		"plain":            "secret",
		"bcrypt":           "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
		"argon2i":          "$argon2i$v=19$m=256,t=2,p=1$" + salt + "$" + sum,
		"old version":      "$argon2id$v=16$m=256,t=2,p=1$" + salt + "$" + sum,
		"no version":       "$argon2id$m=256,t=2,p=1$" + salt + "$" + sum,
		"memory":           "$argon2id$v=19$m=262145,t=2,p=1$" + salt + "$" + sum,
		"memory, 2^32+256": "$argon2id$v=19$m=4294967552,t=2,p=1$" + salt + "$" + sum,
		"little memory":    "$argon2id$v=19$m=8,t=2,p=2$" + salt + "$" + sum,
		"no memory":        "$argon2id$v=19$m=0,t=2,p=1$" + salt + "$" + sum,
		"passes":           "$argon2id$v=19$m=256,t=17,p=1$" + salt + "$" + sum,
		"no pass":          "$argon2id$v=19$m=256,t=0,p=1$" + salt + "$" + sum,
		"lanes":            "$argon2id$v=19$m=256,t=2,p=17$" + salt + "$" + sum,
		"no lane":          "$argon2id$v=19$m=256,t=2,p=0$" + salt + "$" + sum,
		"order":            "$argon2id$v=19$t=2,m=256,p=1$" + salt + "$" + sum,
		"sign":             "$argon2id$v=19$m=+256,t=2,p=1$" + salt + "$" + sum,
		"leading zero":     "$argon2id$v=19$m=0256,t=2,p=1$" + salt + "$" + sum,
		"no number":        "$argon2id$v=19$m=,t=2,p=1$" + salt + "$" + sum,
		"key id":           "$argon2id$v=19$m=256,t=2,p=1,keyid=x$" + salt + "$" + sum,
		"short salt":       "$argon2id$v=19$m=256,t=2,p=1$c2FsdA$" + sum,
		"short hash":       "$argon2id$v=19$m=256,t=2,p=1$" + salt + "$c29tc2FsdA",
		"padding":          "$argon2id$v=19$m=256,t=2,p=1$" + salt + "==$" + sum,
		"line end":         "$argon2id$v=19$m=256,t=2,p=1$" + salt + "$" + sum + "\n",
		"trailing":         "$argon2id$v=19$m=256,t=2,p=1$" + salt + "$" + sum + "$",
		"long":             "$argon2id$v=19$m=256,t=2,p=1$" + salt + "$" + strings.Repeat("A", 600),
	}
	for _, h := range ok {
		if err := CheckHash(h); err != nil {
			t.Errorf("%s: %v", h, err)
		}
	}
	for name, h := range bad {
		if err := CheckHash(h); !errors.Is(err, ErrBadHash) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzCheckHash(f *testing.F) {
	for _, v := range argonVectors {
		f.Add(v)
	}
	f.Add("$argon2id$v=19$m=,t=,p=$$")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parseHash(s)
		if err != nil {
			return
		}
		if h.String() != s {
			t.Errorf("%q became %q", s, h)
		}
		if h.memory > maxMemory || h.passes > maxPasses || h.threads > maxThreads || h.threads == 0 || h.passes == 0 || h.memory < 8*uint32(h.threads) {
			t.Errorf("%q was taken", s)
		}
	})
}
