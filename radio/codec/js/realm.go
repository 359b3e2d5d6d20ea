package js

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"

	"github.com/dop251/goja"
	"github.com/dop251/goja/parser"
)

// maxDepth is how deep calls of functions may be nested.
const maxDepth = 500

// realm is a runtime for one call.
type realm struct {
	c       *Codec
	rt      *goja.Runtime
	stopped atomic.Bool // the watch wants it to end

	warnings []string
	written  int // lines on the console
}

// newRealm makes a runtime in which the bounds hold.
func newRealm(c *Codec) *realm {
	r := &realm{c: c, rt: goja.New()}
	r.rt.SetMaxCallStackSize(maxDepth)
	r.rt.SetParserOptions(parser.WithDisableSourceMaps)
	return r
}

// stop ends what runs. It may be called from any goroutine.
func (r *realm) stop(why error) {
	r.stopped.Store(true)
	r.rt.Interrupt(why)
}

// check ends what runs if the watch wants it, where Go code of this package
// works on values of the script. No script can catch it.
func (r *realm) check() {
	if r.stopped.Load() {
		panic(new(goja.InterruptedError))
	}
}

// load runs the script, so that its functions exist.
func (r *realm) load() error {
	exports := r.rt.NewObject()
	module := r.rt.NewObject()
	err := errors.Join(module.Set("exports", exports), r.rt.Set("module", module), r.rt.Set("exports", exports))
	if err == nil && r.c.needs.console {
		err = r.rt.Set("console", r.console())
	}
	if err != nil {
		return err
	}
	r.guard()
	_, err = r.rt.RunProgram(r.c.program)
	return r.thrown(err)
}

// function runs the script and gives one of its functions.
func (r *realm) function(f *function) (goja.Callable, error) {
	if err := r.load(); err != nil {
		return nil, err
	}
	return r.find(f)
}

// find gives a function of the script, which has run.
func (r *realm) find(f *function) (goja.Callable, error) {
	v, err := r.rt.RunProgram(f.get)
	if err != nil {
		return nil, r.thrown(err)
	}
	call, ok := goja.AssertFunction(v)
	if !ok {
		return nil, fmt.Errorf("%w: %s is not there this time", ErrScript, f.name)
	}
	return call, nil
}

// call calls a function of the script. A promise that it gives must be settled
// when it returns.
func (r *realm) call(name string, f goja.Callable, args ...goja.Value) (goja.Value, error) {
	v, err := f(goja.Undefined(), args...)
	if err != nil {
		return nil, r.thrown(err)
	}
	p, ok := promise(v)
	if !ok {
		return v, nil
	}
	switch p.State() {
	case goja.PromiseStateFulfilled:
		return p.Result(), nil
	case goja.PromiseStateRejected:
		return nil, fmt.Errorf("%w: %s", ErrScript, r.describe(p.Result()))
	}
	return nil, fmt.Errorf("%w: %s gave a promise that nothing settles: there are no timers", ErrScript, name)
}

// promise is the promise that v is.
func promise(v goja.Value) (*goja.Promise, bool) {
	o, ok := v.(*goja.Object)
	if !ok || o.ExportType() != reflect.TypeFor[*goja.Promise]() {
		return nil, false
	}
	p, ok := o.Export().(*goja.Promise)
	return p, ok
}

// thrown gives an error of goja the form of this package's: what was thrown and
// where in the script.
func (r *realm) thrown(err error) error {
	if err == nil {
		return nil
	}
	if e := (*goja.InterruptedError)(nil); errors.As(err, &e) {
		return errStopped
	}
	if e := (*goja.StackOverflowError)(nil); errors.As(err, &e) {
		return errTooDeep
	}
	var ex *goja.Exception
	if !errors.As(err, &ex) {
		return fmt.Errorf("%w: %.200s", ErrScript, err.Error())
	}
	for _, frame := range ex.Stack() {
		if at := frame.Position(); frame.SrcName() == r.c.name && at.Line > 0 {
			return &thrownError{SourceError{Name: r.c.name, Line: at.Line, Column: at.Column, Message: r.describe(ex.Value())}}
		}
	}
	return fmt.Errorf("%w: %s", ErrScript, r.describe(ex.Value()))
}

// thrownError is what a script threw, as an ErrScript and a SourceError.
type thrownError struct{ at SourceError }

func (e *thrownError) Error() string {
	return fmt.Sprintf("%v: line %d:%d: %s", ErrScript, e.at.Line, e.at.Column, e.at.Message)
}

func (e *thrownError) Unwrap() []error { return []error{ErrScript, &e.at} }

// maxNote is how many bytes of a message of a script are kept.
const maxNote = 200

// describe is a value for a message: of an Error its name and message, of others
// their text or JSON. It never fails.
func (r *realm) describe(v goja.Value) (text string) {
	text = "something that has no text"
	ex := r.rt.Try(func() {
		o, ok := v.(*goja.Object)
		switch {
		case !ok && v != nil:
			text = v.String()
		case ok && o.ClassName() == "Function":
			text = "a function"
		case ok && o.ClassName() == "Error":
			text = o.Get("name").String() + ": " + o.Get("message").String()
		case ok:
			p := printer{r: r, room: maxNote}
			if p.print(v, 0) {
				text = string(p.out)
			}
		}
	})
	if ex != nil {
		return "something that throws when it is looked at"
	}
	return note(text)
}

// note makes a script's text one short line.
func note(s string) string {
	if len(s) > maxNote {
		s = s[:maxNote] + "..."
	}
	return strings.Join(strings.Fields(strings.ToValidUTF8(s, "\ufffd")), " ")
}

// maxWarnings is how many warnings of an uplink are kept.
const maxWarnings = 16

// warn adds a warning.
func (r *realm) warn(format string, args ...any) {
	switch {
	case len(r.warnings) < maxWarnings:
		r.warnings = append(r.warnings, note(fmt.Sprintf(format, args...)))
	case len(r.warnings) == maxWarnings:
		r.warnings = append(r.warnings, "and more")
	}
}

// maxLines is how many lines of a call's console output are logged.
const maxLines = 16

// console makes the console: at debug in the log, or nothing.
func (r *realm) console() *goja.Object {
	write := r.rt.ToValue(func(call goja.FunctionCall) goja.Value {
		r.written++
		if r.c.o.Log == nil || r.written > maxLines {
			return goja.Undefined()
		}
		var parts []string
		for _, a := range call.Arguments[:min(len(call.Arguments), maxLines)] {
			parts = append(parts, r.describe(a))
		}
		r.c.o.Log.Debug("console", "script", r.c.name, "line", note(strings.Join(parts, " ")))
		return goja.Undefined()
	})
	o := r.rt.NewObject()
	for _, name := range []string{"log", "info", "warn", "error", "debug", "trace"} {
		_ = o.Set(name, write) // a new object takes it
	}
	return o
}
