package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"fieldgate/cmd/fieldgate/config"
	"fieldgate/radio/codec"
	"fieldgate/radio/lorawan/region"
)

const radioReadme = "../../radio/README.md"

func document(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestBoardTable: the documentation has a row for each board.
func TestBoardTable(t *testing.T) {
	code, want, errOut := command(t, "", "radio", "boards", "--markdown")
	if code != 0 {
		t.Fatal(code, errOut)
	}
	if got := document(t, "../../radio/BOARDS.md"); got != want {
		t.Error("radio/BOARDS.md is not what it should be: go run ./cmd/fieldgate radio boards --markdown > radio/BOARDS.md")
	}
}

// TestRadioDocumentNames: a codec and a region that there is stands in the
// documentation.
func TestRadioDocumentNames(t *testing.T) {
	text := document(t, radioReadme)
	for _, name := range append(codec.Names(), region.Names()...) {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("radio/README.md does not know %s", name)
		}
	}
}

// TestRadioDocumentExamples: every configuration in the documentation is one.
func TestRadioDocumentExamples(t *testing.T) {
	dir := t.TempDir()
	script := regexp.MustCompile("(?s)```js\n(.*?)```").FindStringSubmatch(document(t, radioReadme))
	if script == nil {
		t.Fatal("there is no script in radio/README.md")
	}
	if err := os.WriteFile(filepath.Join(dir, "well.js"), []byte(script[1]), 0o600); err != nil {
		t.Fatal(err)
	}
	examples := 0
	for _, path := range []string{"../../README.md", radioReadme} {
		for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(document(t, path), -1) {
			if !regexp.MustCompile(`(?m)^(radios|lorawan|lora):`).MatchString(m[1]) {
				continue
			}
			examples++
			file := filepath.Join(dir, "example.yaml")
			text := strings.ReplaceAll(m[1], "  #- {", "  - {") // others to choose from
			if err := os.WriteFile(file, []byte("id: gw-1\n"+text), 0o600); err != nil {
				t.Fatal(err)
			}
			if c, err := config.Load(file); err != nil {
				t.Errorf("%s:\n%s\n%v", path, text, err)
			} else if len(c.Warnings) > 0 {
				t.Errorf("%s:\n%s\n%v", path, text, c.Warnings)
			}
		}
	}
	if examples < 6 {
		t.Errorf("only %d examples were tried", examples)
	}
}
