package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reader collects what is wrong while a file is decoded.
type reader struct {
	file     string
	files    bool // the files that are named may be looked at
	secrets  bool // the file holds passwords, hashes or keys
	mistakes Mistakes
	warnings Mistakes
}

// path makes a path absolute or relative to the working directory; in the file
// it is relative to the file's own folder.
func (r *reader) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(filepath.Dir(r.file), p)
}

// value is a place in the file: a node, or nothing if the key is absent or
// empty.
type value struct {
	r    *reader
	node *yaml.Node // nil: absent
	at   *yaml.Node // for the line: the node, or the table that lacks it
	path string
}

func (v value) present() bool { return v.node != nil }

func (v value) mistake(problem, remedy string) {
	v.r.mistakes = append(v.r.mistakes, v.place(problem, remedy))
}

func (v value) warn(problem, remedy string) {
	v.r.warnings = append(v.r.warnings, v.place(problem, remedy))
}

func (v value) place(problem, remedy string) Mistake {
	m := Mistake{File: v.r.file, Line: 1, Key: v.path, Problem: problem, Remedy: remedy}
	if v.at != nil {
		m.Line, m.Column = max(v.at.Line, 1), v.at.Column
	}
	return m
}

// missing reports an absent value that must be there.
func (v value) missing(remedy string) { v.mistake("missing", remedy) }

// sub is the place of node below v, at "v.key" or "v[key]". A null is the same
// as an absent key: that is what is left of a list when all its lines are
// commented out.
func (v value) sub(node *yaml.Node, path string) value {
	s := value{r: v.r, node: node, at: node, path: path}
	switch {
	case node.Kind == yaml.AliasNode:
		s.mistake("is an alias", "write the value out")
		s.node = nil
	case node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null":
		s.node = nil
	}
	return s
}

// table is a mapping of which each key is asked for once.
type table struct {
	value
	keys  map[string]*yaml.Node
	items map[string]value
	order []string
	asked []string
}

// table reads a mapping; of anything else it reports the mistake and gives an
// empty one.
func (v value) table() *table {
	t := &table{value: v}
	if !v.present() {
		return t
	}
	if v.node.Kind != yaml.MappingNode {
		v.mistake("is "+kindOf(v.node), "must be keys with values")
		return t
	}
	t.keys = make(map[string]*yaml.Node, len(v.node.Content)/2)
	t.items = make(map[string]value, len(v.node.Content)/2)
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key, node := v.node.Content[i], v.node.Content[i+1]
		at := value{r: v.r, at: key, path: join(v.path, short(key.Value))}
		switch first := t.keys[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			at.path = v.path
			at.mistake("has a key that is "+kindOf(key), "keys are single words")
		case key.ShortTag() == "!!merge":
			at.mistake("is a merge", "write the keys out")
		case first != nil:
			at.mistake("is there twice, first in line "+strconv.Itoa(first.Line), "keep one of them")
		default:
			t.keys[key.Value] = key
			t.items[key.Value] = v.sub(node, at.path)
			t.order = append(t.order, key.Value)
		}
	}
	return t
}

// get asks for a key.
func (t *table) get(key string) value {
	if !slices.Contains(t.asked, key) {
		t.asked = append(t.asked, key)
	}
	if v, ok := t.items[key]; ok {
		return v
	}
	return value{r: t.r, at: t.at, path: join(t.path, key)}
}

// rest gives the keys that nobody asked for, in the order of the file.
func (t *table) rest() []string {
	return slices.DeleteFunc(slices.Clone(t.order), func(k string) bool { return slices.Contains(t.asked, k) })
}

// close reports the keys that nobody asked for.
func (t *table) close() {
	for _, key := range t.rest() {
		t.unknown(key, "known here: "+strings.Join(t.asked, ", "))
	}
}

// unknown reports an unknown key, with the known key that looks most like it
// or else the remedy.
func (t *table) unknown(key, remedy string) {
	if near := nearest(key, t.asked); near != "" {
		remedy = "did you mean " + near + "?"
	}
	value{r: t.r, at: t.keys[key], path: join(t.path, short(key))}.mistake("unknown key", remedy)
}

// list reads a sequence; of anything else it reports the mistake. Empty items
// are left out.
func (v value) list() []value {
	if !v.present() {
		return nil
	}
	if v.node.Kind != yaml.SequenceNode {
		v.mistake("is "+kindOf(v.node), "must be a list")
		return nil
	}
	out := make([]value, 0, len(v.node.Content))
	for i, n := range v.node.Content {
		if item := v.sub(n, v.path+"["+strconv.Itoa(i)+"]"); item.present() {
			out = append(out, item)
		} else if n.Kind != yaml.AliasNode {
			item.mistake("is empty", "remove the item or fill it in")
		}
	}
	return out
}

// tables reads a list of mappings.
func (v value) tables() []*table {
	var out []*table
	for _, item := range v.list() {
		if t := item.table(); t.keys != nil {
			out = append(out, t)
		}
	}
	return out
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// short bounds what a message quotes.
func short(s string) string {
	if len(s) <= 40 && strconv.Quote(s) == `"`+s+`"` {
		return s
	}
	return fmt.Sprintf("%.40q", s)
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a table of keys"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!str":
		return "text"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "empty"
	case "!!timestamp":
		return "a date"
	}
	return "of the type " + short(n.ShortTag())
}
