package config

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// FuzzParse: no input ends the program, and what is refused is refused with
// mistakes that have a place and a text.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yaml", "testdata/broken/*.yaml", "../../../configs/*.yaml"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f.yaml", data)
		if err == nil {
			if c == nil || c.ID == "" {
				t.Fatal("no mistake and no configuration")
			}
			return
		}
		var ms Mistakes
		if !errors.As(err, &ms) || len(ms) == 0 {
			t.Fatalf("%T: %v", err, err)
		}
		for i, m := range ms {
			if m.Line < 1 || m.Problem == "" || m.Remedy == "" || i > 0 && m.Line < ms[i-1].Line {
				t.Errorf("%+v", m)
			}
		}
	})
}
