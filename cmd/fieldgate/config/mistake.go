package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Mistake is something wrong in a configuration file.
type Mistake struct {
	File    string
	Line    int    // from 1; 0: the file as a whole
	Column  int    // in characters, from 1; 0 if unknown
	Key     string // path of the key, such as uplink[0].url; "" if it is about the file
	Problem string // what is wrong; never shows a secret
	Remedy  string // what would be right
}

// Error is "file:line:column: key: what is wrong; what would be right".
func (m Mistake) Error() string {
	var b strings.Builder
	b.WriteString(m.File)
	if m.Line > 0 {
		fmt.Fprintf(&b, ":%d", m.Line)
	}
	if m.Column > 0 {
		fmt.Fprintf(&b, ":%d", m.Column)
	}
	b.WriteString(": ")
	if m.Key != "" {
		b.WriteString(m.Key + ": ")
	}
	b.WriteString(m.Problem)
	if m.Remedy != "" {
		b.WriteString("; " + m.Remedy)
	}
	return b.String()
}

// Mistakes are all mistakes of a file, in the order of its lines.
type Mistakes []Mistake

// Error gives one mistake a line.
func (ms Mistakes) Error() string {
	lines := make([]string, len(ms))
	for i, m := range ms {
		lines[i] = m.Error()
	}
	return strings.Join(lines, "\n")
}

func (ms Mistakes) sort() {
	slices.SortStableFunc(ms, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
