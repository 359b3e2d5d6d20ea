package radio

import (
	"context"
	"time"

	"periph.io/x/conn/v3/spi"
)

// Radio is a source of frames and a way to send them.
type Radio interface {
	// Run serves the radio until ctx ends, whose error is no error. A chip that
	// is not there, or has gone deaf, is reported by Status and tried again; Run
	// returns an error only where trying again cannot help. Receive is called
	// from one goroutine at a time and does not block for long.
	Run(ctx context.Context, receive func(*Frame)) error
	// Send hands t to the radio that t.Radio names. It returns nil when the chip
	// has sent it, or when a packet forwarder has taken it; soon with one of the
	// errors of this package if it can not be sent at its time, so that there is
	// still time for another window. It may be called from any goroutine.
	Send(ctx context.Context, t *Transmission) error
	// Status tells how each radio behind this one is doing: one for a chip, one
	// for each packet forwarder.
	Status() []Status
}

// State says how a radio is doing.
type State uint8

// The states of a radio.
const (
	Waiting State = iota // not used yet, or a packet forwarder that was not heard of
	OK
	Failing
)

// String is "waiting", "ok" or "failing".
func (s State) String() string {
	switch s {
	case OK:
		return "ok"
	case Failing:
		return "failing"
	}
	return "waiting"
}

// Status is how a radio is doing, and what it has done since the start.
type Status struct {
	Radio string
	State State
	Err   error     // why it fails
	Since time.Time // of State
	Chip  string    // such as "SX1276 version 0x12", "" where it is not known
	Count Counts
}

// Counts are frames since the start.
type Counts struct {
	Received uint64 // with a right checksum
	NoCRC    uint64
	BadCRC   uint64
	Sent     uint64
	Unsent   uint64 // transmissions that failed
	Resets   uint64 // of a chip that did not answer as it should
	Garbage  uint64 // datagrams that are none of the protocol's, or of a stranger
}

// Tuning is what a single-channel radio listens to.
type Tuning struct {
	Frequency uint32 // Hz
	Modulation
	SyncWord byte   // SyncPublic or SyncPrivate, or another
	Preamble uint16 // symbols; 0: 8
}

// The sync words as an SX127x has them in its register 0x39.
const (
	SyncPublic  byte = 0x34 // LoRaWAN
	SyncPrivate byte = 0x12
)

// Board is what a chip is reached by. The machine has one (cmd wires
// sensors/board here), sim another. The errors name bus or line.
type Board interface {
	// SPI opens a chip select of a bus by its name, such as "spi:0.0". A chip
	// whose select line is any GPIO line asks for spi.NoCS when it connects.
	SPI(bus string) (spi.PortCloser, error)
	// Output takes a GPIO line for writing and sets it in the same step.
	Output(pin string, high bool) (Output, error)
	// Input takes a GPIO line for reading; with edges, Next gives the rising ones.
	Input(pin string, edges bool) (Input, error)
}

// Output is a GPIO line that is written.
type Output interface {
	Set(high bool) error
	Close() error // lets go of it; it keeps its level where the kernel can
}

// Input is a GPIO line that is read.
type Input interface {
	Level() (bool, error)
	// Next waits for the next rising edge and gives its time with Go's monotonic
	// reading. The error is that of ctx when it ends.
	Next(ctx context.Context) (time.Time, error)
	Close() error
}
