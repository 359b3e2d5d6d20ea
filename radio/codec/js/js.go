package js

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dlclark/regexp2/v2" // goja's, for its one setting that bounds backtracking
	"github.com/dop251/goja"        // pure Go with ES6 and kept up; otto has ES5 only, v8go and quickjs need C

	"fieldgate/radio/codec"
)

// Defaults and limits of Options.
const (
	DefaultTimeout = 200 * time.Millisecond
	MaxTimeout     = 500 * time.Millisecond
	DefaultMemory  = 16 << 20 // bytes
	MinMemory      = 1 << 20
	DefaultFPort   = 1
	MaxSource      = 256 << 10 // bytes of a script
)

// Errors of scripts. Those of Decode wrap codec.ErrPayload too, but for the last
// four; all of Encode wrap codec.ErrCommand.
var (
	// ErrScript: the script threw, or returned something of a wrong form.
	ErrScript = errors.New("script failed")
	// ErrTimeout: it ran for longer than Options.Timeout.
	ErrTimeout = errors.New("script took too long")
	// ErrMemory: the heap grew by more than Options.Memory while it ran.
	ErrMemory = errors.New("script took too much memory")
	// ErrPaused: it ran into one of the two several times in a row and is left
	// alone for a while.
	ErrPaused = errors.New("script is paused")
	// ErrStuck: an earlier call is inside a built-in function that cannot be
	// stopped.
	ErrStuck = errors.New("script is stuck")
)

// Normalized says what becomes of the measurements of normalizeUplink.
type Normalized uint8

// The choices of Options.Normalized.
const (
	NormalizedToo   Normalized = iota // beside the values of decodeUplink
	NormalizedOnly                    // instead of them, unless there are none
	NormalizedNever                   // the function is not called
)

// Options of a codec. The zero value is usable.
type Options struct {
	// Timeout is how long a call may run; DefaultTimeout if 0, at most MaxTimeout.
	// Time in which the whole process gets no CPU counts in part only.
	Timeout time.Duration
	// Memory is by how many bytes the process's heap may grow while a script runs
	// for more than 2 ms; DefaultMemory if 0, at least MinMemory.
	Memory int
	// FPort is handed to functions that encode; DefaultFPort if 0.
	FPort      uint8
	Normalized Normalized
	// Log gets, at debug, what scripts write to the console and the warnings of
	// downlinks; may be nil.
	Log *slog.Logger
}

// Codec is a compiled script. Calls of one codec run one at a time; codecs do
// not wait for each other.
type Codec struct {
	name    string
	o       Options
	program *goja.Program
	needs   needs
	// finders give the function that is called, nil where the script has none.
	up, normalize, down, back *function

	turn   chan struct{} // one place: who runs
	stuck  atomic.Bool   // the one who runs was given up
	mu     sync.Mutex
	pauses pauses
}

var _ codec.Codec = (*Codec)(nil)

// bounded makes regular expressions end that goja gives to regexp2, which
// backtracks. A match that ran into it is reported as none; by then the call's
// own time is over, so that the result is not used.
var bounded = sync.OnceFunc(func() { regexp2.DefaultMatchTimeout = MaxTimeout })

// New compiles a script; name is what it is called in errors, as a rule its
// file. It runs the script once, to see which functions there are. The error is
// a *SourceError where it has a place in the script.
func New(name, source string, o Options) (*Codec, error) {
	bounded()
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	if o.FPort == 0 {
		o.FPort = DefaultFPort
	}
	switch {
	case o.Timeout < time.Millisecond || o.Timeout > MaxTimeout:
		return nil, fmt.Errorf("js: %s: a timeout of %v; 1 ms to %v are possible", name, o.Timeout, MaxTimeout)
	case o.Memory < MinMemory:
		return nil, fmt.Errorf("js: %s: %d bytes of memory; at least %d are needed", name, o.Memory, MinMemory)
	case o.FPort > 223:
		return nil, fmt.Errorf("js: %s: FPort %d; 1 to 223 are possible", name, o.FPort)
	case o.Normalized > NormalizedNever:
		return nil, fmt.Errorf("js: %s: no such choice of Normalized: %d", name, o.Normalized)
	}
	c := &Codec{name: name, o: o, turn: make(chan struct{}, 1)}
	if err := c.compile(source); err != nil {
		return nil, fmt.Errorf("js: %w", err)
	}
	return c, nil
}

// Functions lists the functions of the script that are used, such as
// decodeUplink.
func (c *Codec) Functions() []string {
	var names []string
	for _, f := range []*function{c.up, c.normalize, c.down, c.back} {
		if f != nil {
			names = append(names, f.name)
		}
	}
	return names
}

// Decode gives the values of an uplink. Errors that the script returns come with
// the values that it returned all the same.
func (c *Codec) Decode(ctx context.Context, u *codec.Uplink) (codec.Decoded, error) {
	if c.up == nil {
		return codec.Decoded{}, c.fail(fmt.Errorf("%w: the script has none of decodeUplink, Decode and Decoder", ErrScript))
	}
	d, err := run(ctx, c, func(r *realm) (codec.Decoded, error) { return r.decode(u) })
	return d, c.fail(badPayload(err))
}

// Encode gives the payload of a command.
func (c *Codec) Encode(ctx context.Context, cmd *codec.Command) (codec.Encoded, error) {
	if c.down == nil {
		return codec.Encoded{}, c.fail(fmt.Errorf("%w: the script has none of encodeDownlink, Encode and Encoder", codec.ErrCommand))
	}
	data, err := commandJSON(cmd)
	if err != nil {
		return codec.Encoded{}, c.fail(err)
	}
	e, err := run(ctx, c, func(r *realm) (codec.Encoded, error) { return r.encode(data, cmd.Variables) })
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", codec.ErrCommand, err)
	}
	return e, c.fail(err)
}

// DecodeDownlink gives what a payload commands, as one JSON object, by the
// script's decodeDownlink. ok is false if it has none.
func (c *Codec) DecodeDownlink(ctx context.Context, e codec.Encoded, variables map[string]string) (data json.RawMessage, warnings []string, ok bool, err error) {
	if c.back == nil {
		return nil, nil, false, nil
	}
	type result struct {
		data     json.RawMessage
		warnings []string
	}
	res, err := run(ctx, c, func(r *realm) (result, error) {
		data, err := r.decodeDownlink(e, variables)
		return result{data, r.warnings}, err
	})
	return res.data, res.warnings, true, c.fail(badPayload(err))
}

// badPayload says that the payload may be what is wrong, unless the script ran out
// of its bounds or did not run.
func badPayload(err error) error {
	if err == nil {
		return nil
	}
	for _, other := range []error{ErrTimeout, ErrMemory, ErrPaused, ErrStuck, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, other) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", codec.ErrPayload, err)
}

// fail says of which script an error is.
func (c *Codec) fail(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("js: %s: %w", c.name, err)
}
