package sensors

import (
	"errors"
	"fmt"
	"time"
)

// ErrHung is reported for a sensor whose driver does not return.
var ErrHung = errors.New("sensors: the driver does not return")

// State is how a sensor or an output is doing.
type State uint8

// The states of a sensor or an output.
const (
	Waiting State = iota // not used yet
	OK                   // the last reading or switching went well
	Failing              // it did not; it is tried again after growing pauses
	Hanging              // its driver has not returned within the timeout
)

// String is waiting, ok, failing or hanging.
func (s State) String() string {
	switch s {
	case Waiting:
		return "waiting"
	case OK:
		return "ok"
	case Failing:
		return "failing"
	case Hanging:
		return "hanging"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// Status tells how one channel of an attached sensor is doing.
type Status struct {
	Driver, Device, Bus string
	Sensor              string // the id that the channel is published as
	State               State
	Err                 error     // why it is Failing or Hanging
	Failures            int       // in a row
	Since               time.Time // of the state
	Last                time.Time // when it was last read; zero if never
}
