package sensors

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"periph.io/x/conn/v3/i2c" // periph's interfaces: its drivers, its fakes and ours meet there
	"periph.io/x/conn/v3/onewire"
	"periph.io/x/conn/v3/spi"
)

// BusKind is a set of kinds of buses.
type BusKind uint8

// The kinds of buses, with the names that the configuration has for them.
const (
	I2C     BusKind = 1 << iota // "i2c:N": /dev/i2c-N
	SPI                         // "spi:N.C": chip select C of bus N, /dev/spidevN.C
	OneWire                     // "w1:N": the kernel's w1_bus_masterN
)

// Simulated in the place of a bus number ("i2c:sim", "spi:sim", "w1:sim"), and
// before the number of a GPIO line ("sim:4"), names the simulated board that
// every gateway has.
const Simulated = "sim"

// String lists the kinds, such as "I2C or SPI".
func (k BusKind) String() string {
	var names []string
	for _, x := range []struct {
		kind BusKind
		name string
	}{{I2C, "I2C"}, {SPI, "SPI"}, {OneWire, "1-Wire"}} {
		if k&x.kind != 0 {
			names = append(names, x.name)
		}
	}
	return strings.Join(names, " or ")
}

// Default is the bus that is meant when none is named: the first one on the
// header of a Raspberry Pi, of 1-Wire if the chip is of that, else of I2C. It is ""
// for no kind.
func (k BusKind) Default() string {
	switch {
	case k&OneWire != 0:
		return "w1:1"
	case k&I2C != 0:
		return "i2c:1"
	case k&SPI != 0:
		return "spi:0.0"
	}
	return ""
}

// Example names a bus of each kind, for messages.
func (k BusKind) Example() string {
	var names []string
	for _, one := range []BusKind{I2C, SPI, OneWire} {
		if k&one != 0 {
			names = append(names, one.Default())
		}
	}
	return strings.Join(names, " or ")
}

var busName = regexp.MustCompile(`^(?:(i2c:|I2C|/dev/i2c-)(sim|[0-9]{1,4})|(spi:|SPI|/dev/spidev)(sim|[0-9]{1,4}\.[0-9]{1,3})|(w1:|w1_bus_master)(sim|[0-9]{1,4}))$`)

// ErrBusName is returned for what names no bus.
var ErrBusName = errors.New("no name of a bus")

// ParseBus reads the name of a bus, also as its device node ("/dev/i2c-1",
// "/dev/spidev0.0", "w1_bus_master1") or as periph calls it ("I2C1", "SPI0.0").
// It gives its kind and its one name here, such as "i2c:1".
func ParseBus(s string) (BusKind, string, error) {
	m := busName.FindStringSubmatch(s)
	switch {
	case m == nil:
		return 0, "", fmt.Errorf("sensors: %w: %.40q", ErrBusName, s)
	case m[1] != "":
		return I2C, "i2c:" + number(m[2]), nil
	case m[3] != "":
		bus, cs, two := strings.Cut(m[4], ".")
		if two {
			return SPI, "spi:" + number(bus) + "." + number(cs), nil
		}
		return SPI, "spi:" + bus, nil
	}
	return OneWire, "w1:" + number(m[6]), nil
}

// number is s without leading zeros.
func number(s string) string {
	if n, err := strconv.Atoi(s); err == nil {
		return strconv.Itoa(n)
	}
	return s
}

// pinName is a line by its name, such as GPIO17, or by its chip and number.
var pinName = regexp.MustCompile(`^(?:(?:gpiochip[0-9]{1,3}|sim):[0-9]{1,4}|[A-Za-z0-9_][A-Za-z0-9_.\- ]{0,62})$`)

// CheckPin says why s cannot be the name of a GPIO line: it is the line's name
// as the kernel has it ("GPIO17"), not its number alone, or chip and number ("gpiochip0:17"), or one
// of the 32 simulated lines ("sim:0" to "sim:31").
func CheckPin(s string) error {
	if _, err := strconv.Atoi(s); err == nil || !pinName.MatchString(s) {
		return fmt.Errorf("sensors: %.40q is no name of a GPIO line", s)
	}
	if n, ok := strings.CutPrefix(s, Simulated+":"); ok {
		if i, err := strconv.Atoi(n); err != nil || i >= 32 {
			return fmt.Errorf("sensors: there are the simulated lines sim:0 to sim:31, no %.40q", s)
		}
	}
	return nil
}

// normalPin gives the one name of a line that CheckPin lets pass: without zeros
// in front of its numbers.
func normalPin(s string) string {
	chip, n, ok := strings.Cut(s, ":")
	if !ok {
		return s
	}
	if c, ok := strings.CutPrefix(chip, "gpiochip"); ok {
		chip = "gpiochip" + number(c)
	}
	return chip + ":" + number(n)
}

// Board is what drivers reach hardware by. board.Host is the machine itself,
// sim.Board a simulated one. Its methods may be called from any goroutine, and
// may block as the hardware does.
//
// Errors name the bus or line; for one that is not there they wrap ErrAbsent and
// say what would bring it.
type Board interface {
	// I2C opens a bus by its name from ParseBus. Each call opens it anew;
	// transactions of several openers do not mix.
	I2C(bus string) (i2c.BusCloser, error)
	// SPI opens a chip select of a bus.
	SPI(bus string) (spi.PortCloser, error)
	// OneWire opens a 1-Wire bus.
	OneWire(bus string) (onewire.BusCloser, error)
	// Input takes a GPIO line for reading. The error wraps ErrTaken if somebody
	// has it.
	Input(pin string, c InputConfig) (Input, error)
	// Output takes a GPIO line for writing and sets it to high in the same step,
	// so that it never shows the other level.
	Output(pin string, high bool) (Output, error)
	// Root is the folder that stands for "/" where a driver reads the kernel's
	// files (/sys, /proc).
	Root() string
}

// Errors of a Board.
var (
	ErrAbsent = errors.New("is not there")
	ErrTaken  = errors.New("is taken")
)

// Pull is the resistor that holds an input while nothing drives it.
type Pull uint8

// The pulls. PullAsIs leaves what is set.
const (
	PullAsIs Pull = iota
	PullNone
	PullUp
	PullDown
)

// Edges is a set of directions.
type Edges uint8

// The edges of a line. Where both are asked for, the kernel looks at the line
// some time after an edge to tell which one it was, and is wrong about fast
// pulses: their number is right still. Where one is asked for, all are of it.
const (
	NoEdges     Edges = 0
	RisingEdge  Edges = 1 << 0
	FallingEdge Edges = 1 << 1
	BothEdges         = RisingEdge | FallingEdge
)

// InputConfig says how a line is read. Levels are those of the wire: whether
// low means "on" is the driver's matter.
type InputConfig struct {
	Pull Pull
	// Edges are those that Next gives; NoEdges: it is not going to be called.
	Edges Edges
	// Debounce swallows changes that do not last this long: the kernel's own
	// filter where it has one. 0: none.
	Debounce time.Duration
}

// Edge is a change of an input line.
type Edge struct {
	Rising bool
	At     time.Time // with Go's monotonic reading: when it happened
	// Lost counts edges that were asked for, right before this one, that the kernel
	// had no room to queue.
	Lost uint32
}

// Input is a GPIO line that is read. Close may be called from any goroutine;
// the rest from one at a time, except that Level and Next may run together.
type Input interface {
	// Level reports whether the line is high now.
	Level() (bool, error)
	// Next waits for the next edge, in the order in which they happened. The
	// error is that of ctx when it ends; ErrAbsent if the line's chip is gone.
	Next(ctx context.Context) (Edge, error)
	Close() error
}

// Output is a GPIO line that is written. Its methods may be called from any
// goroutine. Nobody reads an output back: some drivers turn it into an input.
type Output interface {
	Set(high bool) error
	// Close lets go of the line, which keeps its level for as long as nobody
	// else takes it.
	Close() error
}
