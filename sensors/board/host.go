// Package board is the machine that the gateway runs on: its buses and lines
// for the drivers (Host), what is attached to them (Scan), and what keeps them
// from working (Diagnose).
package board

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/onewire"
	"periph.io/x/conn/v3/spi"
	// These two packages of periph open a bus when asked to, and at their import
	// only put themselves on a list. host.Init would go through that list and
	// map the memory of a Pi's GPIO block, at the wrong place on a Pi 5.
	"periph.io/x/host/v3/netlink"
	"periph.io/x/host/v3/sysfs"

	"fieldgate/sensors"
)

// Host implements sensors.Board with the machine's own buses and lines. Its
// methods may be called from any goroutine.
type Host struct {
	root    tree
	i2c     func(bus int) (i2c.BusCloser, error)
	spi     func(bus, cs int) (spi.PortCloser, error)
	oneWire func(master uint32) (onewire.BusCloser, error)
	chips   func() ([]GPIOChip, error)
}

// NewHost gives the machine below the folder root; "" and "/" are the machine
// itself. Below any other folder there are the files that drivers read (/sys,
// /proc) but no bus and no line.
func NewHost(root string) *Host {
	h := &Host{root: newTree(root)}
	h.i2c = func(n int) (i2c.BusCloser, error) { return sysfs.NewI2C(n) }
	h.spi = func(n, cs int) (spi.PortCloser, error) { return sysfs.NewSPI(n, cs) }
	h.oneWire = func(n uint32) (onewire.BusCloser, error) { return netlink.New(n) }
	h.chips = readChips
	if !h.root.real() {
		h.i2c = func(int) (i2c.BusCloser, error) { return nil, errFolder }
		h.spi = func(int, int) (spi.PortCloser, error) { return nil, errFolder }
		h.oneWire = func(uint32) (onewire.BusCloser, error) { return nil, errFolder }
		h.chips = func() ([]GPIOChip, error) { return nil, nil }
	}
	return h
}

var errFolder = fmt.Errorf("a folder has no hardware: it %w", sensors.ErrAbsent)

// Root implements sensors.Board.
func (h *Host) Root() string { return string(h.root) }

// I2C implements sensors.Board. Transactions of one opener take turns; the
// kernel lets those of several take turns too. Errors of a transaction wrap a
// syscall.Errno: EREMOTEIO or ENXIO where nothing answers, ETIMEDOUT if a line
// is held.
func (h *Host) I2C(bus string) (i2c.BusCloser, error) {
	n, _, err := h.find(sensors.I2C, bus)
	if err != nil {
		return nil, err
	}
	b, err := h.i2c(n)
	if err != nil {
		return nil, fmt.Errorf("board: %s: %w", bus, typed(err))
	}
	return i2cBus{b}, nil
}

// SPI implements sensors.Board.
func (h *Host) SPI(bus string) (spi.PortCloser, error) {
	n, cs, err := h.find(sensors.SPI, bus)
	if err != nil {
		return nil, err
	}
	p, err := h.spi(n, cs)
	if err != nil {
		return nil, fmt.Errorf("board: %s: %w", bus, typed(err))
	}
	return p, nil
}

// OneWire implements sensors.Board. The kernel is asked through its netlink
// connector, so a driver of the kernel may use the same chips. The kernel gives
// no strong pull-up: chips need their own supply.
func (h *Host) OneWire(bus string) (onewire.BusCloser, error) {
	n, _, err := h.find(sensors.OneWire, bus)
	if err != nil {
		return nil, err
	}
	if err := h.root.connector(); err != nil {
		return nil, fmt.Errorf("board: %s: %w", bus, err)
	}
	b, err := h.oneWire(uint32(n))
	if err != nil {
		return nil, fmt.Errorf("board: %s: %w", bus, typed(err))
	}
	return &oneWireBus{b, h.root, n}, nil
}

// find checks that a bus is there and may be used, and gives its number and chip
// select.
func (h *Host) find(want sensors.BusKind, bus string) (n, cs int, err error) {
	kind, name, err := sensors.ParseBus(bus)
	if err != nil {
		return 0, 0, err
	}
	if kind != want {
		return 0, 0, fmt.Errorf("board: %w: %s is no %s", sensors.ErrBusName, bus, want)
	}
	_, numbers, _ := strings.Cut(name, ":")
	if numbers == sensors.Simulated {
		return 0, 0, fmt.Errorf("board: %s, a simulated bus, %w", name, sensors.ErrAbsent)
	}
	number, select_, _ := strings.Cut(numbers, ".")
	n, _ = strconv.Atoi(number) // digits, as ParseBus found
	cs, _ = strconv.Atoi(select_)
	return n, cs, h.root.usable(kind, name)
}

// node is the file of a bus: a device node, or the folder of a 1-Wire bus.
func node(name string) string {
	kind, number, _ := strings.Cut(name, ":")
	switch kind {
	case "i2c":
		return "/dev/i2c-" + number
	case "spi":
		return "/dev/spidev" + number
	}
	return "/sys/bus/w1/devices/w1_bus_master" + number
}

// usable says why the bus of this name (as from sensors.ParseBus) cannot be
// used. The node is opened for that: periph gives its errors as texts only.
func (t tree) usable(kind sensors.BusKind, name string) error {
	var err error
	if kind == sensors.OneWire {
		_, err = os.Stat(t.path(node(name)))
	} else {
		var f *os.File
		if f, err = os.OpenFile(t.path(node(name)), os.O_RDWR, 0); err == nil {
			return f.Close()
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENXIO), errors.Is(err, syscall.ENODEV):
		return fmt.Errorf("board: %s %w: %w; %s", name, sensors.ErrAbsent, err, t.missing(kind, name).sentence())
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("board: %s: %w; %s", name, err, t.denied(node(name), group(kind), currentUser(), err))
	}
	return fmt.Errorf("board: %s: %w", name, err)
}

// currentUser is the name of who runs this program.
func currentUser() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return strconv.Itoa(os.Getuid())
}
