package xively

import (
	"strconv"
	"strings"
	"time"
)

// maxFieldErrors is how many wrong fields a refusal names.
const maxFieldErrors = 20

// jsonReader reads fields of documents leniently, as the API does: a text may
// be a string, number or bool, a number may be a string. It collects what is
// wrong.
type jsonReader struct {
	prefix string // of the fields' names in errors: "datastreams_" inside a feed
	errs   []FieldError
}

// bad notes that a field has the wrong type or form.
func (r *jsonReader) bad(field string) {
	e := FieldError{r.prefix + field, Invalid}
	for _, known := range r.errs {
		if known == e {
			return
		}
	}
	if len(r.errs) < maxFieldErrors {
		r.errs = append(r.errs, e)
	}
}

// err is an *Error with status 422, or nil.
func (r *jsonReader) err() error {
	if len(r.errs) == 0 {
		return nil
	}
	return Unprocessable(r.errs...)
}

// text is nil for what is absent or null.
func (r *jsonReader) text(field string, n *jsonNode) *string {
	if n == nil || n.kind == jsonNull {
		return nil
	}
	if !n.scalar() {
		r.bad(field)
		return nil
	}
	s := n.text // a copy, which does not keep the document
	return &s
}

// metadata is text, but null and empty arrays and objects are the empty text,
// which removes what was.
func (r *jsonReader) metadata(field string, n *jsonNode) *string {
	if n != nil && n.empty() {
		return new(string)
	}
	return r.text(field, n)
}

// str is text, where absent and empty are the same.
func (r *jsonReader) str(field string, n *jsonNode) string {
	if s := r.text(field, n); s != nil {
		return *s
	}
	return ""
}

// number is the literal text of a number, or of a string; a bool is none.
// Whether the string is a number is checked with the fields of all formats.
func (r *jsonReader) number(field string, n *jsonNode) *string {
	if n != nil && n.kind == jsonBool {
		r.bad(field)
		return nil
	}
	s := r.text(field, n)
	if s != nil {
		*s = strings.TrimSpace(*s)
	}
	return s
}

// degrees is nil for what is absent, null or blank.
func (r *jsonReader) degrees(field string, n *jsonNode) *float64 {
	s := r.number(field, n)
	if s == nil || *s == "" {
		return nil
	}
	x, err := strconv.ParseFloat(*s, 64)
	if err != nil || strings.Trim(*s, "+-.eE0123456789") != "" { // no 0x1p2, Inf or NaN
		r.bad(field)
		return nil
	}
	return &x
}

// id is a feed or trigger; 0 for what is absent or blank.
func (r *jsonReader) id(field string, n *jsonNode) uint64 {
	s := r.number(field, n)
	if s == nil || *s == "" {
		return 0
	}
	id, err := strconv.ParseUint(*s, 10, 64)
	if err != nil || id == 0 {
		r.bad(field)
	}
	return id
}

// truth is nil for what is absent or blank. It never turns blank into false:
// that would make a private feed public.
func (r *jsonReader) truth(field string, n *jsonNode) *bool {
	s := r.text(field, n)
	if s == nil {
		return nil
	}
	var yes bool
	switch strings.ToLower(strings.TrimSpace(*s)) {
	case "":
		return nil
	case "true":
		yes = true
	case "false":
	default:
		r.bad(field)
		return nil
	}
	return &yes
}

// time is zero for what is absent or blank.
func (r *jsonReader) time(field string, n *jsonNode) time.Time {
	s := r.str(field, n)
	if s == "" {
		return time.Time{}
	}
	t, err := ParseTime(s)
	if err != nil {
		r.bad(field)
		return time.Time{}
	}
	return t
}

// tags takes an array or one string with commas. Empty removes all.
func (r *jsonReader) tags(field string, n *jsonNode) *[]string {
	if n == nil {
		return nil
	}
	tags := []string{}
	switch {
	case n.empty():
	case n.kind == jsonArray:
		tags = listTags(r.texts(field, n))
	case n.scalar():
		tags = parseTags(n.text)
	default:
		r.bad(field)
		return nil
	}
	return &tags
}

// texts are the texts of an array; a lone text counts as an array of one.
func (r *jsonReader) texts(field string, n *jsonNode) []string {
	if n == nil || n.kind == jsonNull {
		return nil
	}
	if n.scalar() {
		return []string{n.text}
	}
	if n.kind != jsonArray {
		r.bad(field)
		return nil
	}
	out := make([]string, 0, len(n.kids))
	for i := range n.kids {
		if s := r.text(field, &n.kids[i]); s != nil {
			out = append(out, *s)
		}
	}
	return out
}

// list are the objects of an array; of anything else but null it is bad.
func (r *jsonReader) list(field string, n *jsonNode) []jsonNode {
	if n == nil || n.kind == jsonNull {
		return nil
	}
	if n.kind != jsonArray {
		r.bad(field)
		return nil
	}
	for i := range n.kids {
		if n.kids[i].kind != jsonObject {
			r.bad(field)
			return nil
		}
	}
	return n.kids
}

// rootObject reads a document that is an object. If it has a member of one of
// the names that is an object itself, that one counts: {"key":{...}}.
func rootObject(body []byte, wrappers ...string) (map[string]*jsonNode, error) {
	n, err := parseJSON(body)
	if err != nil {
		return nil, err
	}
	if n.kind != jsonObject {
		return nil, Malformed(JSON, "the document is no object")
	}
	fields := n.fields()
	for _, name := range wrappers {
		inner := fields[name]
		if inner == nil {
			continue
		}
		if inner.kind != jsonObject {
			return nil, Malformed(JSON, "%q is no object", name)
		}
		return inner.fields(), nil
	}
	return fields, nil
}
