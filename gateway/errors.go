package gateway

import "errors"

// Why something was refused. Each has a short reason for counters, see Reason.
var (
	ErrDenied        = errors.New("not allowed")
	ErrUnknownDevice = errors.New("unknown device")
	ErrUnknownSensor = errors.New("unknown sensor or actuator")
	ErrExists        = errors.New("exists already")
	ErrBadPayload    = errors.New("payload is not JSON")
	ErrBadNumber     = errors.New("number out of range")
	ErrBadTime       = errors.New("time cannot be read")
	ErrTooDeep       = errors.New("JSON nested too deeply")
	ErrTooLarge      = errors.New("too large")
	ErrBadTopic      = errors.New("no such topic")
	// ErrBadCommand is about a value that an actuator of this gateway cannot be
	// brought to.
	ErrBadCommand = errors.New("no command for this actuator")
	ErrNotKept    = errors.New("the disk does not take records now")
	ErrClosed     = errors.New("closed")
)

var reasons = []struct {
	err    error
	reason string
}{
	{ErrDenied, "denied"},
	{ErrUnknownDevice, "unknown_device"},
	{ErrUnknownSensor, "unknown_sensor"},
	{ErrExists, "exists"},
	{ErrBadNumber, "bad_number"},
	{ErrBadTime, "bad_time"},
	{ErrTooDeep, "too_deep"},
	{ErrTooLarge, "too_large"},
	{ErrBadTopic, "bad_topic"},
	{ErrBadID, "bad_id"},
	{ErrBadCommand, "bad_command"},
	{ErrNotKept, "not_kept"},
	{ErrClosed, "closed"},
	{ErrBadPayload, "bad_payload"},
}

// Reason gives the short name under which err is counted; "other" for an error
// that is none of this package's.
func Reason(err error) string {
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.reason
		}
	}
	return "other"
}

// Reasons lists all names that Reason can give.
func Reasons() []string {
	out := make([]string, 0, len(reasons)+1)
	for _, r := range reasons {
		out = append(out, r.reason)
	}
	return append(out, "other")
}
