package xively

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxProblems bounds how much a refusal says about one document.
const maxProblems = 20

// problems collects what is wrong with the fields of a document.
type problems struct {
	prefix string // in front of each field's name
	fields []FieldError
}

func (p *problems) add(field, text string) {
	f := FieldError{p.prefix + field, text}
	if len(p.fields) < maxProblems && !slices.Contains(p.fields, f) {
		p.fields = append(p.fields, f)
	}
}

// addIf is add if bad.
func (p *problems) addIf(bad bool, field, text string) {
	if bad {
		p.add(field, text)
	}
}

// err is an *Error with status 422, or nil if nothing is wrong.
func (p *problems) err() error {
	if len(p.fields) == 0 {
		return nil
	}
	return Unprocessable(p.fields...)
}

// text checks a text of at most MaxText bytes.
func (p *problems) text(field string, s *string) {
	switch {
	case s == nil:
	case len(*s) > MaxText:
		p.add(field, fmt.Sprintf("is too long (maximum is %d bytes)", MaxText))
	case !utf8.ValidString(*s):
		p.add(field, Invalid)
	}
}

// required checks a text that, if it is given, says something.
func (p *problems) required(field string, s *string) {
	p.addIf(s != nil && blank(*s), field, Blank)
	p.text(field, s)
}

// enum checks a text that is empty or one of values.
func (p *problems) enum(field, s string, values ...string) {
	p.addIf(s != "" && !slices.Contains(values, s), field, Invalid)
}

// number checks a text that is empty or a number.
func (p *problems) number(field string, s *string) {
	if s != nil && *s != "" {
		_, ok := decimal(*s)
		p.addIf(!ok, field, Invalid)
	}
}

// tags checks that all tags together are short enough.
func (p *problems) tags(field string, tags []string) {
	joined := max(len(tags)-1, 0)
	for _, t := range tags {
		joined += utf8.RuneCountInString(t)
		p.addIf(!utf8.ValidString(t), field, Invalid)
	}
	p.addIf(joined > MaxTags, field, TooLong)
}

// tooMany is what a list is told that has more than limit entries.
func tooMany(limit int) string { return fmt.Sprintf("are too many (maximum is %d)", limit) }

func blank(s string) bool { return strings.TrimSpace(s) == "" }
