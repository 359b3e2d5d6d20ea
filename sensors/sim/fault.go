package sim

import (
	"errors"
	"sync"
)

// Part is a chip or a bus that faults can be put in.
type Part uint8

// The parts. A fault of a bus hits all its chips and hides their own.
const (
	BusI2C Part = iota
	BusSPI
	BusOneWire
	ChipBME280
	ChipADS1115
	ChipTMP105
	ChipSHT31
	ChipMCP3008
	ChipSoilProbe
	ChipWaterProbe
	parts
)

// Fault is what is wrong with a part.
type Fault uint8

// The faults.
const (
	// Healthy is no fault.
	Healthy Fault = iota
	// NAK: it does not answer. On I2C that is ErrNAK. On SPI nothing drives the
	// data line, and all ones are read. A 1-Wire chip is not found by a search and
	// gives no presence pulse; if all are missing, transactions fail.
	NAK
	// AllOnes: it acknowledges, and what is read is ones.
	AllOnes
	// AllZeros: it acknowledges, and what is read is zeros. A 1-Wire bus is then
	// shorted, and transactions fail.
	AllZeros
	// BitFlip: the last bit of each read is wrong. Where a checksum ends the read,
	// it is wrong.
	BitFlip
	// WrongID: the BME280 says that it is another chip. Others have no id.
	WrongID
	// NeverReady: conversions do not end. The MCP3008 has none that could.
	NeverReady
	// Slow: conversions take as long as the datasheet allows at most, not as long
	// as is typical.
	Slow
	// Stuck: transactions with it block, and those of others on its bus behind
	// them, until the fault is another one.
	Stuck
)

// ErrNAK is returned where no chip acknowledges.
var ErrNAK = errors.New("remote I/O error: no acknowledge")

// Faults breaks the parts of a board. Its methods may be called from any
// goroutine, also from outside the board while transactions hang.
type Faults struct {
	mu    sync.Mutex
	parts [parts]struct {
		fault    Fault
		after    int // transactions that are well still
		count    int
		released chan struct{} // closed when Stuck ends
	}
}

// SetFault breaks p from its next transaction on. Healthy mends it.
func (s *Faults) SetFault(p Part, f Fault) { s.SetFaultAfter(p, f, 0) }

// SetFaultAfter breaks p after n more transactions with it.
func (s *Faults) SetFaultAfter(p Part, f Fault, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	part := &s.parts[p]
	if part.released != nil {
		close(part.released)
		part.released = nil
	}
	if f == Stuck {
		part.released = make(chan struct{})
	}
	part.fault, part.after = f, max(n, 0)
}

// Transactions is how many were begun with p, those that failed included.
func (s *Faults) Transactions(p Part) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parts[p].count
}

// begin counts a transaction with p and gives the fault that it meets. It blocks
// while p is stuck.
func (s *Faults) begin(p Part) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	part := &s.parts[p]
	part.count++
	if part.after > 0 {
		part.after--
		return Healthy
	}
	for part.fault == Stuck && part.after == 0 {
		released := part.released
		s.mu.Unlock()
		<-released
		s.mu.Lock()
	}
	if part.after > 0 { // the fault that followed is not due yet
		return Healthy
	}
	return part.fault
}

// missing reports whether p does not answer at all, without a transaction.
func (s *Faults) missing(p Part) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parts[p].fault == NAK && s.parts[p].after == 0
}

// either is the fault of the bus, or that of the chip if the bus is well.
func (s *Faults) either(bus Fault, chip Part) Fault {
	own := s.begin(chip)
	if bus != Healthy {
		return bus
	}
	return own
}

// spoil does to what was read from a part what its fault does.
func (f Fault) spoil(r []byte) {
	switch f {
	case AllOnes:
		fill(r, 0xff)
	case AllZeros:
		fill(r, 0)
	case BitFlip:
		if len(r) > 0 {
			r[len(r)-1] ^= 1
		}
	}
}

func fill(b []byte, x byte) {
	for i := range b {
		b[i] = x
	}
}
