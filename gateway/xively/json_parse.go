package xively

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of a JSON document, on top of MaxBody.
const (
	maxJSONDepth    = 32     // arrays and objects inside one another
	maxJSONElements = 50_000 // values of any kind; MaxDatastreams with all their fields are 20,000
)

type jsonKind uint8

const (
	jsonNull jsonKind = iota
	jsonBool
	jsonNumber
	jsonString
	jsonArray
	jsonObject
)

// jsonNode is one value of a document. Its texts are copies.
type jsonNode struct {
	kind jsonKind
	name string     // of a member of an object
	text string     // content of a string; else the literal text: a number keeps its zeros
	kids []jsonNode // of an array or object, in the document's order
}

// fields gives the members of an object by name; of several with one name the
// last counts. Any other kind has none.
func (n *jsonNode) fields() map[string]*jsonNode {
	if n.kind != jsonObject {
		return nil
	}
	m := make(map[string]*jsonNode, len(n.kids))
	for i := range n.kids {
		m[n.kids[i].name] = &n.kids[i]
	}
	return m
}

// scalar reports whether n is a string, number or bool.
func (n *jsonNode) scalar() bool {
	return n.kind == jsonString || n.kind == jsonNumber || n.kind == jsonBool
}

// empty reports whether n is null, "", [] or {}.
func (n *jsonNode) empty() bool {
	switch n.kind {
	case jsonNull:
		return true
	case jsonString:
		return n.text == ""
	case jsonArray, jsonObject:
		return len(n.kids) == 0
	}
	return false
}

// parseJSON reads a whole document (RFC 8259), which must be UTF-8. It is
// stricter than encoding/json in that half a surrogate pair is refused instead
// of replaced, and bounded in depth and in the number of elements. The error is
// an *Error with status 400.
func parseJSON(body []byte) (jsonNode, error) {
	p := jsonParser{b: body}
	if !utf8.Valid(body) {
		return jsonNode{}, Malformed(JSON, "not UTF-8")
	}
	var n jsonNode
	p.space()
	if p.i == len(p.b) {
		return jsonNode{}, Malformed(JSON, "the document is empty")
	}
	p.value(&n, 0)
	p.space()
	if p.err == nil && p.i < len(p.b) {
		p.unexpected("after the end of the document")
	}
	if p.err != nil {
		return jsonNode{}, p.err
	}
	return n, nil
}

type jsonParser struct {
	b        []byte
	i        int // where the next byte is
	elements int
	err      *Error // the first one
}

// fail notes the error that stands at p.i.
func (p *jsonParser) fail(format string, args ...any) {
	if p.err != nil {
		return
	}
	line, column := 1, 1
	for _, c := range string(p.b[:p.i]) {
		if column++; c == '\n' {
			line, column = line+1, 1
		}
	}
	p.err = Malformed(JSON, "line %d, column %d: "+format, append([]any{line, column}, args...)...)
}

func (p *jsonParser) unexpected(where string) {
	if p.i >= len(p.b) {
		p.fail("the document ends %s", where)
		return
	}
	r, _ := utf8.DecodeRune(p.b[p.i:])
	p.fail("unexpected %q %s", r, where)
}

func (p *jsonParser) space() {
	for p.i < len(p.b) {
		switch p.b[p.i] {
		case ' ', '\t', '\r', '\n':
			p.i++
		default:
			return
		}
	}
}

// peek is the next byte after white space; 0 at the end.
func (p *jsonParser) peek() byte {
	p.space()
	if p.i < len(p.b) {
		return p.b[p.i]
	}
	return 0
}

// value reads a value into n, whose name stays. White space has been skipped.
func (p *jsonParser) value(n *jsonNode, depth int) {
	if p.elements++; p.elements > maxJSONElements {
		p.fail("more than %d elements", maxJSONElements)
		return
	}
	switch c := p.peek(); {
	case c == '{' || c == '[':
		if depth == maxJSONDepth {
			p.fail("nested more than %d levels deep", maxJSONDepth)
			return
		}
		if c == '{' {
			n.kind = jsonObject
			p.list(n, depth, '}')
		} else {
			n.kind = jsonArray
			p.list(n, depth, ']')
		}
	case c == '"':
		n.kind, n.text = jsonString, p.str()
	case c == '-' || '0' <= c && c <= '9':
		end := numberEnd(p.b, p.i)
		if end < 0 {
			p.fail("not a number")
			return
		}
		n.kind, n.text = jsonNumber, string(p.b[p.i:end])
		p.i = end
	case c == 't':
		p.literal(n, jsonBool, "true")
	case c == 'f':
		p.literal(n, jsonBool, "false")
	case c == 'n':
		p.literal(n, jsonNull, "null")
	default:
		p.unexpected("where a value belongs")
	}
}

func (p *jsonParser) literal(n *jsonNode, kind jsonKind, word string) {
	if len(p.b)-p.i < len(word) || string(p.b[p.i:p.i+len(word)]) != word {
		p.fail("not a value")
		return
	}
	n.kind, n.text = kind, word
	p.i += len(word)
}

// list reads what an object or array holds, up to and with end.
func (p *jsonParser) list(n *jsonNode, depth int, end byte) {
	p.i++
	if p.peek() == end {
		p.i++
		return
	}
	for p.err == nil {
		n.kids = append(n.kids, jsonNode{})
		kid := &n.kids[len(n.kids)-1]
		if end == '}' {
			if p.peek() != '"' {
				p.unexpected("where a name in quotes belongs")
				return
			}
			kid.name = p.str()
			if p.err == nil && p.peek() != ':' {
				p.unexpected("where ':' belongs")
			}
			if p.err != nil {
				return
			}
			p.i++
		}
		p.value(kid, depth+1)
		if p.err != nil {
			return
		}
		switch p.peek() {
		case ',':
			p.i++
		case end:
			p.i++
			return
		default:
			p.unexpected("where ',' or '" + string(end) + "' belongs")
		}
	}
}

// str reads a string with its quotes.
func (p *jsonParser) str() string {
	p.i++
	start := p.i
	for p.i < len(p.b) {
		switch c := p.b[p.i]; {
		case c == '"':
			p.i++
			return string(p.b[start : p.i-1])
		case c == '\\':
			return p.escaped(append([]byte(nil), p.b[start:p.i]...))
		case c < ' ':
			p.unexpected("inside a string")
			return ""
		}
		p.i++
	}
	p.unexpected("inside a string")
	return ""
}

// escaped reads the rest of a string from its first backslash on; out is what
// stood before.
func (p *jsonParser) escaped(out []byte) string {
	for p.i < len(p.b) {
		c := p.b[p.i]
		switch {
		case c == '"':
			p.i++
			return string(out)
		case c < ' ':
			p.unexpected("inside a string")
			return ""
		case c != '\\':
			out = append(out, c)
			p.i++
			continue
		}
		if p.i+1 >= len(p.b) {
			break
		}
		switch e := p.b[p.i+1]; e {
		case '"', '\\', '/':
			out = append(out, e)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := p.hex4()
			if utf16.IsSurrogate(r) {
				p.i += 6
				r = utf16.DecodeRune(r, p.hex4())
				if r == utf8.RuneError {
					p.fail("half a surrogate pair")
					return ""
				}
			}
			if r < 0 {
				p.fail("not four hexadecimal digits")
				return ""
			}
			out = utf8.AppendRune(out, r)
			p.i += 4
		default:
			p.fail("unknown escape")
			return ""
		}
		p.i += 2
	}
	p.i = len(p.b)
	p.unexpected("inside a string")
	return ""
}

// hex4 is the code unit of the \uXXXX at p.i; -1 if none stands there.
func (p *jsonParser) hex4() rune {
	if len(p.b)-p.i < 6 || p.b[p.i] != '\\' || p.b[p.i+1] != 'u' {
		return -1
	}
	u, err := strconv.ParseUint(string(p.b[p.i+2:p.i+6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(u)
}

// numberEnd is where the JSON number that starts at b[i] ends; -1 if none does.
func numberEnd[T string | []byte](b T, i int) int {
	digits := func() bool {
		start := i
		for i < len(b) && '0' <= b[i] && b[i] <= '9' {
			i++
		}
		return i > start
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++ // no digit may follow; the caller finds it unexpected
	} else if !digits() {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		i++
		if !digits() {
			return -1
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return -1
		}
	}
	return i
}
