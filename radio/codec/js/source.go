package js

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dop251/goja"
	"github.com/dop251/goja/file"
	"github.com/dop251/goja/parser"
)

// SourceError is a mistake at a place in a script.
type SourceError struct {
	Name         string // of the script
	Line, Column int    // from 1
	Message      string
}

// Error is name:line:column: message.
func (e *SourceError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.Name, e.Line, e.Column, e.Message)
}

// A function of a script and how it is called.
type function struct {
	name string
	get  *goja.Program // gives the function or undefined
}

// The functions that are looked for, in their order.
var (
	upNames        = []string{"decodeUplink", "Decode", "Decoder"}
	normalizeNames = []string{"normalizeUplink"}
	downNames      = []string{"encodeDownlink", "Encode", "Encoder"}
	backNames      = []string{"decodeDownlink"}
)

// finders are the programs that look for a function: one of the global scope,
// where const and let are no properties of the global object, or else one of
// module.exports.
var finders = func() map[string]*goja.Program {
	m := map[string]*goja.Program{}
	for _, names := range [][]string{upNames, normalizeNames, downNames, backNames} {
		for _, n := range names {
			src := strings.ReplaceAll(`typeof F === 'function' ? F : typeof module === 'object' && module && module.exports &&
				typeof module.exports.F === 'function' ? module.exports.F : undefined`, "F", n)
			m[n] = goja.MustCompile("finder", src, false)
		}
	}
	return m
}()

// maxNesting is how deep brackets may be nested: goja's parser and compiler
// descend for each, and a Go stack that is too long ends the process.
const maxNesting = 500

// nesting is about how deep brackets are nested: those in texts count too.
func nesting(source string) int {
	depth, deepest := 0, 0
	for i := range len(source) {
		switch source[i] {
		case '(', '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ')', ']', '}':
			depth = max(depth-1, 0)
		}
	}
	return deepest
}

// compile parses and compiles a script and finds its functions.
func (c *Codec) compile(source string) error {
	if len(source) > MaxSource {
		return fmt.Errorf("%s: %d bytes; at most %d are possible", c.name, len(source), MaxSource)
	}
	if n := nesting(source); n > maxNesting {
		return fmt.Errorf("%s: brackets nested %d deep; at most %d are possible", c.name, n, maxNesting)
	}
	// Source maps are files that the parser would read.
	tree, err := parser.ParseFile(nil, c.name, source, 0, parser.WithDisableSourceMaps)
	if err != nil {
		return c.parseError(err)
	}
	c.needs = needsOf(source, tree)
	if c.needs.bigInt {
		boundBigInts(tree)
	}
	if c.program, err = goja.CompileAST(tree, false); err != nil {
		return c.compileError(err)
	}
	return c.findFunctions()
}

// parseError is the first of the parser's errors.
func (c *Codec) parseError(err error) error {
	var list parser.ErrorList
	if !errors.As(err, &list) || len(list) == 0 {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	first := list[0]
	message := first.Message
	if strings.Contains(message, "reserved word") || strings.Contains(message, "Unexpected token export") {
		message += " (modules with import and export are not possible; module.exports is)"
	}
	return &SourceError{Name: c.name, Line: first.Position.Line, Column: first.Position.Column, Message: message}
}

// compileError gives the place of an error of the compiler.
func (c *Codec) compileError(err error) error {
	var f *file.File
	offset, message := 0, ""
	if e := (*goja.CompilerSyntaxError)(nil); errors.As(err, &e) {
		f, offset, message = e.File, e.Offset, e.Message
	} else if e := (*goja.CompilerReferenceError)(nil); errors.As(err, &e) {
		f, offset, message = e.File, e.Offset, e.Message
	}
	if f == nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	at := f.Position(offset)
	return &SourceError{Name: c.name, Line: at.Line, Column: at.Column, Message: message}
}

// findFunctions runs the script and looks which functions it then has.
func (c *Codec) findFunctions() error {
	found, err := run(context.Background(), c, func(r *realm) (map[string]bool, error) {
		if err := r.load(); err != nil {
			return nil, err
		}
		found := map[string]bool{}
		for name, program := range finders {
			v, err := r.rt.RunProgram(program)
			if err != nil {
				return nil, r.thrown(err)
			}
			found[name] = !goja.IsUndefined(v)
		}
		return found, nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	pick := func(names []string) *function {
		for _, n := range names {
			if found[n] {
				return &function{n, finders[n]}
			}
		}
		return nil
	}
	c.up, c.normalize, c.down, c.back = pick(upNames), pick(normalizeNames), pick(downNames), pick(backNames)
	if c.up == nil && c.down == nil {
		return fmt.Errorf("%s: no function that is known: one of %s for uplinks, or of %s for downlinks, is needed",
			c.name, strings.Join(upNames, ", "), strings.Join(downNames, ", "))
	}
	return nil
}
