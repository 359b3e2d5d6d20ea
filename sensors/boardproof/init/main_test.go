package main

import (
	"io"
	"slices"
	"testing"
)

func TestLines(t *testing.T) {
	var got []string
	l := &lines{line: func(s string) { got = append(got, s) }}
	for _, part := range []string{"one\ntw", "o\r\n\nthr", "", "ee"} {
		if n, err := io.WriteString(l, part); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	l.end()
	l.end()
	if want := []string{"one", "two", "", "three"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
