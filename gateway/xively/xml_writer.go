package xively

import (
	"strconv"
	"time"
	"unicode/utf8"
)

const xmlDeclaration = `<?xml version="1.0" encoding="UTF-8"?>`

// appendXMLText writes s as the content of an element.
func appendXMLText(b []byte, s string) []byte { return appendXMLEscaped(b, s, false) }

// appendXMLEscaped writes s with escapes, in an attribute those of its quotes,
// tabs and line ends too. What XML 1.0 cannot hold becomes U+FFFD.
func appendXMLEscaped(b []byte, s string, attribute bool) []byte {
	from := 0
	for i := 0; i < len(s); {
		var escape string
		size := 1
		switch c := s[i]; {
		case c == '&':
			escape = "&amp;"
		case c == '<':
			escape = "&lt;"
		case c == '>':
			escape = "&gt;" // "]]>" must not stand in a text
		case c == '\r':
			escape = "&#xD;" // a reader would make it \n
		case c == '"' && attribute:
			escape = "&quot;"
		case c == '\n' && attribute:
			escape = "&#xA;"
		case c == '\t' && attribute:
			escape = "&#x9;"
		case c < ' ' && c != '\n' && c != '\t':
			escape = "\uFFFD"
		case c >= utf8.RuneSelf:
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 || !isXMLChar(r) {
				escape = "\uFFFD"
			}
		}
		if escape != "" {
			b = append(b, s[from:i]...)
			b = append(b, escape...)
			from = i + size
		}
		i += size
	}
	return append(b, s[from:]...)
}

// appendXMLLine begins a line, depth elements deep.
func appendXMLLine(b []byte, depth int) []byte {
	const spaces = "\n                "
	return append(b, spaces[:1+2*depth]...)
}

// appendXMLElement writes an element with a text on a line of its own.
func appendXMLElement(b []byte, depth int, name, text string) []byte {
	b = append(appendXMLLine(b, depth), '<')
	b = append(b, name...)
	b = append(b, '>')
	b = appendXMLText(b, text)
	return appendXMLEnd(b, name)
}

// appendXMLGiven writes an element unless its text is empty.
func appendXMLGiven(b []byte, depth int, name, text string) []byte {
	if text == "" {
		return b
	}
	return appendXMLElement(b, depth, name, text)
}

func appendXMLInt(b []byte, depth int, name string, n int) []byte {
	b = append(appendXMLLine(b, depth), '<')
	b = append(b, name...)
	b = append(b, '>')
	b = strconv.AppendInt(b, int64(n), 10)
	return appendXMLEnd(b, name)
}

func appendXMLEnd(b []byte, name string) []byte {
	b = append(b, '<', '/')
	b = append(b, name...)
	return append(b, '>')
}

// appendXMLAttribute writes an attribute, with the space before it.
func appendXMLAttribute(b []byte, name, value string) []byte {
	b = append(b, ' ')
	b = append(b, name...)
	b = append(b, '=', '"')
	b = appendXMLEscaped(b, value, true)
	return append(b, '"')
}

// appendXMLTime writes an attribute that is a time, unless that is zero.
func appendXMLTime(b []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	b = append(b, ' ')
	b = append(b, name...)
	b = append(b, '=', '"')
	b = AppendTime(b, t)
	return append(b, '"')
}
