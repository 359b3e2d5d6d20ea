package xively

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of an XML document, beside MaxBody.
const (
	maxXMLDepth      = 16    // elements within one another, the root being 1
	maxXMLElements   = 20000 // of a document
	maxXMLAttributes = 64    // of an element
	maxXMLComplaint  = 200   // bytes of what a refusal quotes of the document
)

// xmlReader walks through a document, element by element. It refuses what a
// document of the API has no need of: document types and with them entities
// other than the five that XML knows by itself, encodings other than UTF-8, and
// whatever goes beyond the limits above. All its errors are *Error.
type xmlReader struct {
	d        *xml.Decoder
	depth    int
	elements int
	prefix   string // of datastreams' fields in errors
}

var errNotUTF8 = errors.New("only UTF-8 is read")

func newXMLReader(body []byte) *xmlReader {
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\uFEFF"))))
	d.Strict = true
	d.Entity = nil
	d.CharsetReader = func(string, io.Reader) (io.Reader, error) { return nil, errNotUTF8 }
	return &xmlReader{d: d}
}

// malformed is a refusal that names the line that the reader has come to.
func (r *xmlReader) malformed(format string, args ...any) *Error {
	line, _ := r.d.InputPos()
	return malformedXML(line, fmt.Sprintf(format, args...))
}

func malformedXML(line int, text string) *Error {
	if len(text) > maxXMLComplaint {
		text = text[:maxXMLComplaint] + "..."
	}
	return Malformed(XML, "line %d: %s", line, strings.ToValidUTF8(text, ""))
}

// token gives the next token and counts. At the end of the document it gives
// nil.
func (r *xmlReader) token() (xml.Token, error) {
	t, err := r.d.Token()
	if err == io.EOF {
		return nil, nil
	}
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		return nil, malformedXML(syntax.Line, syntax.Msg)
	}
	if err != nil {
		return nil, r.malformed("%s", strings.TrimPrefix(err.Error(), "xml: "))
	}
	switch t := t.(type) {
	case xml.Directive:
		return nil, r.malformed("document types and entities are not read")
	case xml.StartElement:
		r.depth++
		r.elements++
		switch {
		case r.depth > maxXMLDepth:
			return nil, r.malformed("more than %d elements within one another", maxXMLDepth)
		case r.elements > maxXMLElements:
			return nil, r.malformed("more than %d elements", maxXMLElements)
		case len(t.Attr) > maxXMLAttributes:
			return nil, r.malformed("%d attributes, at most %d", len(t.Attr), maxXMLAttributes)
		}
		for i, a := range t.Attr {
			for _, b := range t.Attr[:i] {
				if a.Name == b.Name {
					return nil, r.malformed("attribute %s is there twice", a.Name.Local)
				}
			}
		}
	case xml.EndElement:
		r.depth--
	}
	return t, nil
}

// root enters the root element, which must have one of these names, written with
// hyphens.
func (r *xmlReader) root(names ...string) (xml.StartElement, error) {
	for {
		t, err := r.token()
		if err != nil {
			return xml.StartElement{}, err
		}
		switch t := t.(type) {
		case nil:
			return xml.StartElement{}, r.malformed("there is no element")
		case xml.StartElement:
			if !slices.Contains(names, hyphenated(t.Name.Local)) {
				return t, r.malformed("the root element must be %s, not %s", names[0], t.Name.Local)
			}
			return t, nil
		case xml.CharData:
			if !isXMLBlank(t) {
				return xml.StartElement{}, r.malformed("text before the root element")
			}
		}
	}
}

// end reads what follows the root element, which can only be comments.
func (r *xmlReader) end() error {
	for {
		t, err := r.token()
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case nil:
			return nil
		case xml.StartElement:
			return r.malformed("a second root element %s", t.Name.Local)
		case xml.CharData:
			if !isXMLBlank(t) {
				return r.malformed("text after the root element")
			}
		}
	}
}

// children calls f for each child of the element that was entered, and leaves
// the element. f has to read the child to its end. Text between the children
// does not count.
func (r *xmlReader) children(f func(xml.StartElement) error) error {
	for {
		t, err := r.token()
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case nil:
			return r.malformed("unexpected EOF") // the decoder has said so before
		case xml.StartElement:
			if err := f(t); err != nil {
				return err
			}
		case xml.EndElement:
			return nil
		}
	}
}

// skip leaves the element that was entered, whatever is in it.
func (r *xmlReader) skip() error {
	return r.children(func(xml.StartElement) error { return r.skip() })
}

// text is rawText without white space around it.
func (r *xmlReader) text() (string, error) {
	s, err := r.rawText()
	return strings.TrimSpace(s), err
}

// rawText is what stands in the element that was entered, without that of its
// children. It leaves the element.
func (r *xmlReader) rawText() (string, error) {
	var text []byte
	for {
		t, err := r.token()
		if err != nil {
			return "", err
		}
		switch t := t.(type) {
		case nil:
			return "", r.malformed("unexpected EOF")
		case xml.StartElement:
			if err := r.skip(); err != nil {
				return "", err
			}
		case xml.EndElement:
			return string(text), nil
		case xml.CharData:
			text = append(text, t...)
		}
	}
}

// textInto reads the text of the element that was entered into *to.
func (r *xmlReader) textInto(to **string) error {
	s, err := r.text()
	*to = &s
	return err
}

// xmlAttribute of an element, trimmed; ok is false if it has none of that name.
// Attributes with a prefix belong to somebody else.
func xmlAttribute(e xml.StartElement, name string) (value string, ok bool) {
	for _, a := range e.Attr {
		if a.Name.Space == "" && a.Name.Local == name {
			return strings.TrimSpace(a.Value), true
		}
	}
	return "", false
}

// hyphenated is the one spelling of names that are written with underscores too.
func hyphenated(name string) string { return strings.ReplaceAll(name, "_", "-") }

func isXMLBlank(text []byte) bool { return len(bytes.TrimSpace(text)) == 0 }

// isXMLChar reports whether XML 1.0 can hold c (section 2.2).
func isXMLChar(c rune) bool {
	return c == '\t' || c == '\n' || c == '\r' || c >= 0x20 && c <= 0xD7FF ||
		c >= 0xE000 && c <= 0xFFFD || c >= 0x10000 && c <= utf8.MaxRune
}
