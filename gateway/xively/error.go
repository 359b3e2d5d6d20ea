package xively

import (
	"fmt"
	"net/http"
	"strings"
)

// Error is a refusal in the words of the API.
type Error struct {
	Status int    // of HTTP, 400 or more
	Title  string // short: "JSON Parser Error", "Not found"
	Text   string // more about it; used if Fields is empty
	Fields []FieldError
}

// FieldError is what is wrong with one field.
type FieldError struct {
	Field string // "title", "datastreams_current_value"
	Text  string // "can't be blank", "is invalid"
}

// What a field can be told.
const (
	Blank   = "can't be blank"
	Invalid = "is invalid"
	TooLong = "is too long (maximum is 255 characters)"
)

// Error implements error.
func (e *Error) Error() string {
	if len(e.Fields) == 0 {
		return fmt.Sprintf("%s: %s", e.Title, e.Text)
	}
	parts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		parts[i] = f.Field + " " + f.Text
	}
	return e.Title + ": " + strings.Join(parts, ", ")
}

// Malformed is a document that cannot be parsed (status 400).
func Malformed(f Format, format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Title: f.name() + " Parser Error", Text: fmt.Sprintf(format, args...)}
}

// Unprocessable is a document whose fields are wrong (status 422).
func Unprocessable(fields ...FieldError) *Error {
	return &Error{Status: http.StatusUnprocessableEntity, Title: "Unprocessable Entity", Fields: fields}
}

// NotFound is a resource that does not exist (status 404).
func NotFound() *Error {
	return &Error{Status: http.StatusNotFound, Title: "Not found",
		Text: "I'm sorry we are unable to find the resource you are looking for."}
}

// NoRoute is a URL that names nothing (status 404).
func NoRoute(method, path string) *Error {
	return &Error{Status: http.StatusNotFound, Title: "Not found", Text: fmt.Sprintf("No route matches [%s] %q", method, path)}
}

// Forbidden is a request without the right to it (status 403).
func Forbidden() *Error {
	return &Error{Status: http.StatusForbidden, Title: "Forbidden",
		Text: "You do not have the necessary permissions to access this resource"}
}

// Unauthorized is a request without a good key (status 401).
func Unauthorized() *Error {
	return &Error{Status: http.StatusUnauthorized, Title: "Unauthorized",
		Text: "You must be authorized to access this resource"}
}
