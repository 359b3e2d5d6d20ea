// Package console is what the proof on emulated boards and the program inside
// of them say to each other over the board's serial console: one JSON text for
// each line, with a record separator before it (RFC 7464), so that it is told
// from what the kernel prints there.
package console

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Separator stands before each text (RFC 7464 section 2.2).
const Separator = 0x1e

// What a Request asks for.
const (
	Start     = "start"     // run Args; Out and Err for its lines, Done with Exit
	Signal    = "signal"    // send signal number Number to what request Of started
	Write     = "write"     // write Text to the file Path
	Subscribe = "subscribe" // to Topic of the broker Broker; Ready, then Message for each
	Publish   = "publish"   // Text on Topic with QoS 1; Done after its acknowledgement
	Address   = "address"   // wait for a network card and give it Text, such as 10.0.2.15/24
)

// Request is what the host wants of the board.
type Request struct {
	ID     int      `json:"id"`
	Do     string   `json:"do"`
	Args   []string `json:"args,omitempty"`
	Of     int      `json:"of,omitempty"`
	Number int      `json:"number,omitempty"`
	Path   string   `json:"path,omitempty"`
	Broker string   `json:"broker,omitempty"` // host and port
	Topic  string   `json:"topic,omitempty"`
	Text   string   `json:"text,omitempty"`
}

// What an Event says.
const (
	Hello   = "hello"   // the board is up; ID is 0
	Out     = "out"     // Text is a line of the program's standard output
	Err     = "err"     // or of its standard error
	Ready   = "ready"   // the broker acknowledged the subscription
	Message = "message" // Text was published on Topic
	Done    = "done"    // nothing more follows for this request; Exit is a program's status
	Failed  = "failed"  // nothing more follows: Text says why
)

// Event is what the board answers to the request with the same ID.
type Event struct {
	ID       int    `json:"id"`
	Is       string `json:"is"`
	Text     string `json:"text,omitempty"`
	Topic    string `json:"topic,omitempty"`
	Retained bool   `json:"retained,omitempty"`
	Exit     int    `json:"exit,omitempty"`
}

// Encode makes one line of a Request or an Event.
func Encode(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	return append(append([]byte{Separator}, text...), '\n'), nil
}

// Decode reads a Request or an Event from one line of the console. It is false
// without an error for a line of somebody else; what stands before the last
// separator belongs to somebody else too.
func Decode(line []byte, into any) (bool, error) {
	at := bytes.LastIndexByte(line, Separator)
	if at < 0 {
		return false, nil
	}
	if err := json.Unmarshal(line[at+1:], into); err != nil {
		return false, fmt.Errorf("console: %q: %w", line, err)
	}
	return true, nil
}
