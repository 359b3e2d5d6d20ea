package board

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// tree is the folder that stands for "/": the machine's own, or a test's.
type tree string

// newTree makes a tree of a folder; "" is "/".
func newTree(root string) tree {
	if root == "" {
		root = "/"
	}
	return tree(filepath.Clean(root))
}

// real reports whether the tree is the machine itself, so that its device nodes
// are those of the kernel that runs.
func (t tree) real() bool { return t == "/" }

func (t tree) path(p string) string { return filepath.Join(string(t), p) }

func (t tree) exists(p string) bool {
	_, err := os.Stat(t.path(p))
	return err == nil
}

// maxText limits what is read of a file of the kernel's.
const maxText = 256 << 10

// text is what a file says, without the blanks and NUL bytes at its end. It is
// "" if the file cannot be read.
func (t tree) text(p string) string {
	f, err := os.Open(t.path(p))
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxText))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(bytes.TrimRight(b, "\x00\n ")))
}

// names lists a folder's entries that begin with prefix, in the order of the
// numbers in them. It is empty if the folder cannot be read.
func (t tree) names(dir, prefix string) []string {
	entries, err := os.ReadDir(t.path(dir))
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			out = append(out, e.Name())
		}
	}
	slices.SortFunc(out, natural)
	return out
}

// natural orders a2 before a10.
func natural(a, b string) int {
	for a != "" && b != "" {
		n, m := digits(a), digits(b)
		if n > 0 && m > 0 {
			x, y := strings.TrimLeft(a[:n], "0"), strings.TrimLeft(b[:m], "0")
			if len(x) != len(y) {
				return len(x) - len(y)
			}
			if x != y {
				return strings.Compare(x, y)
			}
			a, b = a[n:], b[m:]
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

// digits is how many digits s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// link is the last part of where a symbolic link points; "" if it is none.
func (t tree) link(p string) string {
	target, err := os.Readlink(t.path(p))
	if err != nil {
		return ""
	}
	return filepath.Base(target)
}

// numbered gives the numbers behind prefix in the names of a folder: [0 1] for
// i2c-0, i2c-1.
func (t tree) numbered(dir, prefix string) []int {
	var out []int
	for _, name := range t.names(dir, prefix) {
		if n, err := strconv.Atoi(strings.TrimPrefix(name, prefix)); err == nil && n >= 0 {
			out = append(out, n)
		}
	}
	return out
}

// model is what the device tree calls the board, such as "Raspberry Pi 4 Model B
// Rev 1.4"; "" on machines without one.
func (t tree) model() string {
	if s := t.text("/sys/firmware/devicetree/base/model"); s != "" {
		return s
	}
	return t.text("/proc/device-tree/model") // a link there, which is absolute
}

// pi reports whether the board is a Raspberry Pi.
func (t tree) pi() bool { return strings.HasPrefix(t.model(), "Raspberry Pi") }
