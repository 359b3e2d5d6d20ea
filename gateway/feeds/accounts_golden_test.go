package feeds

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

var updateAccounts = flag.Bool("update-accounts", false, "write the golden files of testdata/accounts anew")

// random is what no two runs have alike: texts of keys, secrets and activation
// codes, ids of products and of keys, numbers of feeds.
var random = regexp.MustCompile(`[A-Za-z0-9_-]{48}|\b[0-9a-f]{40}\b|"id":"[0-9a-f]{12}"|<id>[0-9a-f]{12}</id>|\b1[0-9]{9}\b|products/[A-Za-z0-9_-]{20}|"product_id":"[A-Za-z0-9_-]{20}"`)

// Each file holds requests, one a line: method, target, who ("key NAME" or
// "user NAME", "-" for nobody) and the body. Behind "=>" stands what is
// answered. LAST stands for the last level of the last Location, PRODUCT for the
// last product, CODE for the last activation code, DEVICE for the key that the
// last activation gave.
func TestAccountsGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/accounts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := newRig(t).transcript(string(raw))
			if *updateAccounts {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(raw) {
				t.Errorf("answers are\n%s", got)
			}
		})
	}
}

// transcript makes the requests of a file and gives the file as it should be.
func (r *rig) transcript(file string) string {
	var out strings.Builder
	codes := regexp.MustCompile(`"activation_code":"([0-9a-f]{40})"`)
	names := regexp.MustCompile(`products/([A-Za-z0-9_-]{20})`)
	keys := regexp.MustCompile(`"apikey":"([^"]*)"`)
	last, product, code, device := "", "", "", ""
	for line := range strings.SplitSeq(file, "\n") {
		if strings.HasPrefix(line, "#") || line == "" && out.Len() > 0 && !strings.HasSuffix(out.String(), "\n\n") {
			fmt.Fprintln(&out, line)
			continue
		}
		f := strings.SplitN(line, " ", 4)
		if len(f) != 4 || strings.HasPrefix(line, "=>") || strings.HasPrefix(line, "   ") {
			continue // an answer
		}
		fmt.Fprintln(&out, line)
		fill := strings.NewReplacer("LAST", last, "PRODUCT", product, "CODE", code, "DEVICE", device)
		kind, name, _ := strings.Cut(f[2], ":")
		path, query, _ := strings.Cut(fill.Replace(f[1]), "?")
		req := gateway.Request{Peer: gateway.Peer{Addr: "192.0.2.9:4000", Source: "test"}, Door: "http", Method: f[0],
			Path: path, Query: query, Body: []byte(fill.Replace(f[3]))}
		switch kind {
		case "key":
			req.Key = fill.Replace(name)
		case "user":
			req.Subject = access.Subject{User: name}
		}
		resp := r.api.Serve(context.Background(), req)
		fmt.Fprintf(&out, "=> %d %s\n", resp.Status, resp.ContentType)
		if resp.Location != "" {
			last = resp.Location[strings.LastIndexByte(resp.Location, '/')+1:]
			fmt.Fprintf(&out, "   Location: %s\n", random.ReplaceAllStringFunc(resp.Location, masked))
		}
		for from, to := range map[*regexp.Regexp]*string{names: &product, codes: &code, keys: &device} {
			if m := from.FindStringSubmatch(resp.Location + string(resp.Body)); m != nil {
				*to = m[1]
			}
		}
		body := random.ReplaceAllStringFunc(strings.TrimRight(string(resp.Body), " \n"), masked)
		for l := range strings.SplitSeq(body, "\n") {
			if l != "" {
				fmt.Fprintf(&out, "   %s\n", l)
			}
		}
	}
	return out.String()
}

// masked keeps of a random text what is around it.
func masked(s string) string {
	if i := strings.IndexAny(s, `:>/`); i >= 0 {
		if strings.HasPrefix(s, "<id>") {
			return "<id>...</id>"
		}
		if s[i] == ':' {
			return s[:i] + `:"..."`
		}
		return s[:i+1] + "..."
	}
	return fmt.Sprintf("(%d characters)", len(s))
}
