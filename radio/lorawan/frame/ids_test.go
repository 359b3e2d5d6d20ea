package frame

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const secret = "2b7e151628aed2a6abf7158809cf4f3c"

// A key must come out of nothing that prints or encodes it, alone or in what
// holds it.
func TestKeysAreHidden(t *testing.T) {
	k := key(t, secret)
	type holder struct {
		Key  Key
		Ptr  *Key
		Many []Key
		Map  map[string]Key
		Any  any
	}
	h := holder{k, &k, []Key{k}, map[string]Key{"a": k}, k}
	var out []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%#x", "%d", "%08b", "%o", "%c", "%U", "%t", "%T%v", "%10.3v"} {
		if strings.Count(verb, "%") == 2 {
			out = append(out, fmt.Sprintf(verb, k, k))
			continue
		}
		for _, v := range []any{k, &k, h, &h, []any{k}} {
			out = append(out, fmt.Sprintf(verb, v))
		}
	}
	out = append(out, fmt.Sprint(k), fmt.Sprintln(h), k.String(), k.GoString(), fmt.Errorf("with %w, %v", ErrRange, k).Error())
	for _, opts := range []*slog.HandlerOptions{nil, {Level: slog.LevelDebug, AddSource: true}} {
		var b bytes.Buffer
		for _, l := range []*slog.Logger{slog.New(slog.NewTextHandler(&b, opts)), slog.New(slog.NewJSONHandler(&b, opts))} {
			l.Info("key", "k", k, "p", &k, "h", h, "many", []Key{k}, slog.Group("g", "k", k))
			l.With("k", k).WithGroup("g").Info("key", "h", &h)
		}
		out = append(out, b.String())
	}
	for _, v := range []any{k, &k, h, map[Key]int{k: 1}} {
		j, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(j))
	}
	text, err := k.MarshalText() // as YAML does
	if err != nil {
		t.Fatal(err)
	}
	out = append(out, string(text))
	for _, s := range out {
		low := strings.ToLower(s)
		// hexadecimal with and without gaps, decimal and quoted forms of its first bytes
		for _, leak := range []string{"2b7e", "2b 7e", "43 126", "43, 126", "43,126", "0x2b", "00101011", "53 176", "u+002b", "+~", "- 43", "k34v"} {
			if strings.Contains(low, leak) {
				t.Errorf("%q is in %q", leak, s)
			}
		}
	}
}

func TestIdentifiers(t *testing.T) {
	e, err := ParseEUI("70B3D57ed0000001")
	if err != nil || e.String() != "70b3d57ed0000001" || e[0] != 0x70 {
		t.Errorf("%s, %v", e, err)
	}
	if got := e.appendLE(nil); got[0] != 1 || got[7] != 0x70 || euiLE(got) != e {
		t.Errorf("%x", got)
	}
	a, err := ParseDevAddr("26011BDA")
	if err != nil || a != 0x26011bda || a.String() != "26011bda" {
		t.Errorf("%s, %v", a, err)
	}
	if s := DevAddr(0x1a).String(); s != "0000001a" {
		t.Error(s)
	}
	k, err := ParseKey(strings.ToUpper(secret))
	if err != nil || hex.EncodeToString(k[:]) != secret || k.Zero() || !(Key{}).Zero() {
		t.Errorf("%x, %v", k[:], err)
	}
	for _, s := range []string{"", "0", "70b3d57ed000000", "70b3d57ed00000011", "70b3d57ed000000g", "70-b3-d5-7e-d0-0", "+0b3d57ed0000001"} {
		if _, err := ParseEUI(s); !errors.Is(err, ErrNotAnID) {
			t.Errorf("EUI %q: %v", s, err)
		}
	}
	for _, s := range []string{"", "2601", "26011bdg", "+6011bda", "0x011bda", "26011bda0", "2601_bda"} {
		if _, err := ParseDevAddr(s); !errors.Is(err, ErrNotAnID) {
			t.Errorf("DevAddr %q: %v", s, err)
		}
	}
	for _, s := range []string{"", secret[1:], secret + "0", secret[:31] + "g", "***"} {
		if _, err := ParseKey(s); !errors.Is(err, ErrNotAKey) || len(s) > 8 && strings.Contains(err.Error(), s[:8]) {
			t.Errorf("key: %v", err)
		}
	}
	type doc struct {
		E EUI
		A DevAddr
		K Key
	}
	var d doc
	text := `{"E":"70b3d57ed0000001","A":"26011bda","K":"` + secret + `"}`
	if err := json.Unmarshal([]byte(text), &d); err != nil || d != (doc{e, a, k}) {
		t.Errorf("%v, %v", d, err)
	}
	if j, err := json.Marshal(d); err != nil || string(j) != `{"E":"70b3d57ed0000001","A":"26011bda","K":"***"}` {
		t.Errorf("%s, %v", j, err)
	}
}
