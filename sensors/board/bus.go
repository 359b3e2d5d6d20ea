package board

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/onewire"

	"fieldgate/sensors"
)

// busErrors are the errors that the kernel gives for a transaction, and what
// each means on a bus (Linux Documentation/i2c/fault-codes.rst).
var busErrors = []struct {
	errno syscall.Errno
	means string
}{
	{syscall.EREMOTEIO, "nothing answers"},
	{syscall.ENXIO, "nothing answers"},
	{syscall.ETIMEDOUT, "a line of the bus is held low, or has no pull-up resistor"},
	{syscall.EAGAIN, "another master has the bus, or a line is held low"},
	{syscall.EBUSY, "the bus is busy, or a driver of the kernel has the chip"},
	{syscall.EIO, "the transfer broke off"},
	{syscall.EPROTO, "the chip keeps to no protocol"},
	{syscall.EMSGSIZE, "longer than the kernel's buffer"},
	{syscall.EOPNOTSUPP, "the adapter speaks SMBus only"},
	{syscall.EACCES, ""},
	{syscall.EPERM, ""},
}

// typed gives the errno back to an error of periph's, which has only its text,
// at the end. The texts are those of package syscall, the same on all systems.
func typed(err error) error {
	if err == nil || errors.Is(err, sensors.ErrAbsent) {
		return err
	}
	for _, gone := range []syscall.Errno{syscall.ENODEV, syscall.ENOENT} {
		if strings.HasSuffix(err.Error(), gone.Error()) {
			return fmt.Errorf("the bus %w: %w", sensors.ErrAbsent, gone)
		}
	}
	for _, b := range busErrors {
		switch {
		case !strings.HasSuffix(err.Error(), b.errno.Error()):
		case b.means == "":
			return b.errno
		default:
			return fmt.Errorf("%w: %s", b.errno, b.means)
		}
	}
	return err
}

// i2cBus is a bus of periph's whose errors can be told apart.
type i2cBus struct{ i2c.BusCloser }

// Tx implements i2c.Bus.
func (b i2cBus) Tx(addr uint16, w, r []byte) error { return typed(b.BusCloser.Tx(addr, w, r)) }

// oneWireBus asks whether the bus is there before each transaction: for one that
// is not, the kernel sends one answer where periph waits for several, without
// end.
type oneWireBus struct {
	onewire.BusCloser
	root   tree
	master int
}

// Tx implements onewire.Bus.
func (b *oneWireBus) Tx(w, r []byte, power onewire.Pullup) error {
	if err := b.there(); err != nil {
		return err
	}
	return b.BusCloser.Tx(w, r, power)
}

// Search implements onewire.Bus.
func (b *oneWireBus) Search(alarmOnly bool) ([]onewire.Address, error) {
	if err := b.there(); err != nil {
		return nil, err
	}
	return b.BusCloser.Search(alarmOnly)
}

func (b *oneWireBus) there() error {
	name := fmt.Sprintf("w1:%d", b.master)
	if _, err := os.Stat(b.root.path(node(name))); err != nil {
		return fmt.Errorf("board: %s %w: %w", name, sensors.ErrAbsent, err)
	}
	return nil
}

// connector says why the kernel does not answer for its 1-Wire buses. Nobody
// would ever answer then, and periph waits without a limit.
func (t tree) connector() error {
	for line := range strings.Lines(t.text("/proc/net/connector")) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "w1" {
			return nil
		}
	}
	return fmt.Errorf("the kernel's 1-Wire connector %w: it was built without CONFIG_W1_CON; the driver w1 reads the same chips from /sys", sensors.ErrAbsent)
}
