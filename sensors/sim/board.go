package sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/onewire"
	"periph.io/x/conn/v3/spi"

	"fieldgate/sensors"
)

// The names of the simulated buses.
const (
	i2cName     = "i2c:" + sensors.Simulated
	spiName     = "spi:" + sensors.Simulated
	oneWireName = "w1:" + sensors.Simulated
	linePrefix  = sensors.Simulated + ":"
)

// The addresses of the chips on i2c:sim.
const (
	AddressSHT31   uint16 = 0x44
	AddressADS1115 uint16 = 0x48
	AddressTMP105  uint16 = 0x4f
	AddressBME280  uint16 = 0x76
)

// Board implements sensors.Board for the simulated names and passes the rest on
// to another board. Its World, its Bank and SetFault are for tests. All of it may
// be used from any goroutine.
type Board struct {
	*World
	*Bank
	*Faults

	next    sensors.Board
	i2c     *i2cBus
	spi     *spiBus
	oneWire *oneWireBus
}

var _ sensors.Board = (*Board)(nil)

// New powers up a simulated board. Next has the buses and lines that are not
// simulated; nil: there are none. Now is the clock of the conversions, of the
// waves and of the edges; it must not call the board.
//
// In a testing/synctest bubble, call it inside the bubble.
func New(next sensors.Board, now func() time.Time) *Board {
	w, f := newWorld(now), &Faults{}
	at := now()
	return &Board{
		World: w, Bank: newBank(now), Faults: f, next: next,
		i2c: &i2cBus{lock: newLock(), now: now, faults: f, chips: map[uint16]i2cMember{
			AddressBME280:  {ChipBME280, newBME280(w, at)},
			AddressADS1115: {ChipADS1115, newADS1115(w)},
			AddressTMP105:  {ChipTMP105, newTMP105(w, at)},
			AddressSHT31:   {ChipSHT31, newSHT31(w)},
		}},
		spi: &spiBus{lock: newLock(), now: now, faults: f, chip: &mcp3008{world: w}},
		oneWire: &oneWireBus{lock: newLock(), now: now, faults: f, chips: []oneWireMember{
			{ChipSoilProbe, SoilProbe, newDS18B20(w, SoilTemperature)},
			{ChipWaterProbe, WaterProbe, newDS18B20(w, WaterTemperature)},
		}},
	}
}

// I2C implements sensors.Board.
func (b *Board) I2C(bus string) (i2c.BusCloser, error) {
	switch {
	case bus == i2cName:
		return &i2cHandle{bus: b.i2c}, nil
	case b.next == nil:
		return nil, absent(bus)
	}
	return b.next.I2C(bus)
}

// SPI implements sensors.Board.
func (b *Board) SPI(bus string) (spi.PortCloser, error) {
	switch {
	case bus == spiName:
		return &spiPort{bus: b.spi}, nil
	case b.next == nil:
		return nil, absent(bus)
	}
	return b.next.SPI(bus)
}

// OneWire implements sensors.Board.
func (b *Board) OneWire(bus string) (onewire.BusCloser, error) {
	switch {
	case bus == oneWireName:
		return &oneWireHandle{bus: b.oneWire}, nil
	case b.next == nil:
		return nil, absent(bus)
	}
	return b.next.OneWire(bus)
}

// Input implements sensors.Board.
func (b *Board) Input(pin string, c sensors.InputConfig) (sensors.Input, error) {
	if n, ok := lineNumber(pin); ok {
		return b.input(n, c)
	}
	if b.next == nil || strings.HasPrefix(pin, linePrefix) {
		return nil, absent(pin)
	}
	return b.next.Input(pin, c)
}

// Output implements sensors.Board.
func (b *Board) Output(pin string, high bool) (sensors.Output, error) {
	if n, ok := lineNumber(pin); ok {
		return b.output(n, high)
	}
	if b.next == nil || strings.HasPrefix(pin, linePrefix) {
		return nil, absent(pin)
	}
	return b.next.Output(pin, high)
}

// Root implements sensors.Board: it is that of the other board, or a folder that
// does not exist if there is none.
func (b *Board) Root() string {
	if b.next == nil {
		return "/nonexistent"
	}
	return b.next.Root()
}

func absent(name string) error { return fmt.Errorf("sim: %s %w", name, sensors.ErrAbsent) }

// lineNumber reads the name of a simulated line.
func lineNumber(pin string) (int, bool) {
	s, ok := strings.CutPrefix(pin, linePrefix)
	n, err := strconv.ParseUint(s, 10, 8)
	return int(n), ok && err == nil && n < Lines
}

// lock serializes transactions on a bus. It is a channel and no mutex because a
// hanging bus holds it: who waits in a testing/synctest bubble must not keep the
// bubble's clock from going on.
type lock chan struct{}

func newLock() lock     { return make(lock, 1) }
func (l lock) acquire() { l <- struct{}{} }
func (l lock) release() { <-l }
