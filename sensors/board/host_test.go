package board

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/onewire"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"fieldgate/sensors"
)

var _ sensors.Board = (*Host)(nil)

// open opens a bus of any kind.
func open(h *Host, bus string) error {
	kind, _, _ := sensors.ParseBus(bus)
	var err error
	switch kind {
	case sensors.SPI:
		_, err = h.SPI(bus)
	case sensors.OneWire:
		_, err = h.OneWire(bus)
	default:
		_, err = h.I2C(bus)
	}
	return err
}

// TestMissingBus: what is not there says what would bring it.
func TestMissingBus(t *testing.T) {
	old := files{"/proc/device-tree/model": "Raspberry Pi 3 Model B Plus Rev 1.3\x00", "/boot/config.txt": ""}
	for _, c := range []struct {
		tree files
		bus  string
		says []string
	}{
		{piZero(), "i2c:1", []string{"board: i2c:1 is not there: open ", "dtparam=i2c_arm=on into /boot/firmware/config.txt and restart"}},
		{piZero(), "I2C1", []string{"i2c:1 is not there"}},
		{piZero(), "i2c:0", []string{"put dtoverlay=i2c0 into"}},
		{piZero(), "spi:0.1", []string{"put dtparam=spi=on into"}},
		{piZero(), "spi:1.0", []string{"put dtoverlay=spi1-1cs into"}},
		{piZero(), "spi:1.2", []string{"put dtoverlay=spi1-3cs into"}},
		{piZero(), "spi:4.0", []string{"no such chip select"}},
		{piZero(), "w1:1", []string{"put dtoverlay=w1-gpio into"}},
		{old, "i2c:1", []string{"into /boot/config.txt"}},
		{pi5(), "i2c:2", []string{"there is i2c:1, i2c:13; put dtoverlay=i2c2-pi5 into"}},
		{files{}, "i2c:1", []string{"sudo modprobe i2c-dev", "CONFIG_I2C_CHARDEV"}},
		{files{}, "spi:0.0", []string{"sudo modprobe spidev", "CONFIG_SPI_SPIDEV"}},
		{files{}, "w1:1", []string{"sudo modprobe w1-gpio", "CONFIG_W1_MASTER_GPIO"}},
		{piZero().with(files{"/sys/bus/i2c/devices/i2c-1/name": "bcm2835"}), "i2c:1", []string{"not its module i2c-dev; sudo modprobe i2c-dev"}},
		{piZero().with(files{"/sys/bus/spi/devices/spi0.0/driver": "-> ../../bus/spi/drivers/ads7846"}), "spi:0.0", []string{"driver ads7846 has this chip select"}},
		{pi5(), "i2c:sim", []string{"simulated"}},
	} {
		err := open(NewHost(plant(t, c.tree)), c.bus)
		if !errors.Is(err, sensors.ErrAbsent) {
			t.Errorf("%s: %v: not ErrAbsent", c.bus, err)
			continue
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %v: lacks %q", c.bus, err, s)
			}
		}
	}
	if _, err := NewHost("").I2C("spi:0.0"); !errors.Is(err, sensors.ErrBusName) {
		t.Errorf("a bus of another kind: %v", err)
	}
	if _, err := NewHost("").I2C("hello"); !errors.Is(err, sensors.ErrBusName) {
		t.Errorf("no bus: %v", err)
	}
}

// TestFolderHasNoHardware: below a test's folder no bus of the machine is opened.
func TestFolderHasNoHardware(t *testing.T) {
	h := NewHost(plant(t, pi5()))
	for _, bus := range []string{"i2c:1", "spi:0.0", "w1:1"} {
		if err := open(h, bus); !errors.Is(err, sensors.ErrAbsent) {
			t.Errorf("%s: %v", bus, err)
		}
	}
	if _, err := h.Input("GPIO17", sensors.InputConfig{}); !errors.Is(err, sensors.ErrAbsent) {
		t.Error(err)
	}
	if NewHost("").Root() != "/" || NewHost("/").Root() != "/" || h.Root() == "/" {
		t.Error("root")
	}
}

type fakeI2C struct {
	i2c.BusCloser
	err error
}

func (f fakeI2C) Tx(uint16, []byte, []byte) error { return f.err }
func (f fakeI2C) SetSpeed(physic.Frequency) error { return nil }
func (f fakeI2C) Close() error                    { return nil }

// TestOpens: the numbers of a bus reach periph.
func TestOpens(t *testing.T) {
	h := NewHost(plant(t, pi5()))
	var got []string
	h.i2c = func(n int) (i2c.BusCloser, error) { got = append(got, fmt.Sprint("i2c ", n)); return fakeI2C{}, nil }
	h.spi = func(n, cs int) (spi.PortCloser, error) { got = append(got, fmt.Sprint("spi ", n, cs)); return nil, nil }
	h.oneWire = func(n uint32) (onewire.BusCloser, error) {
		got = append(got, fmt.Sprint("w1 ", n))
		return &fakeOneWire{}, nil
	}
	for _, bus := range []string{"i2c:13", "spi:0.1", "w1:1"} {
		if err := open(h, bus); err != nil {
			t.Error(err)
		}
	}
	if want := []string{"i2c 13", "spi 0 1", "w1 1"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	h.i2c = func(int) (i2c.BusCloser, error) { return nil, errors.New("sysfs-i2c: open: permission denied") }
	if err := open(h, "i2c:1"); !errors.Is(err, syscall.EACCES) {
		t.Error(err)
	}
}

// TestTyped: an error that periph made a text of is an errno again.
func TestTyped(t *testing.T) {
	for _, c := range []struct {
		text string
		is   error
		says string
	}{
		{"sysfs-i2c: remote I/O error", syscall.EREMOTEIO, "nothing answers"},
		{"sysfs-i2c: no such device or address", syscall.ENXIO, "nothing answers"},
		{"sysfs-i2c: connection timed out", syscall.ETIMEDOUT, "held low"},
		{"sysfs-i2c: operation not supported", syscall.EOPNOTSUPP, "SMBus only"},
		{"sysfs-i2c: input/output error", syscall.EIO, "broke off"},
		{"sysfs-i2c: no such device", sensors.ErrAbsent, "not there"},
		{"sysfs-i2c: no such device", syscall.ENODEV, ""},
	} {
		err := i2cBus{fakeI2C{err: errors.New(c.text)}}.Tx(0x48, nil, make([]byte, 1))
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.text, err)
		}
	}
	if err := typed(errors.New("sysfs-i2c: invalid address")); err == nil || errors.Unwrap(err) != nil {
		t.Error(err)
	}
	if err := (i2cBus{fakeI2C{}}).Tx(0x48, nil, nil); err != nil {
		t.Error(err)
	}
}

type fakeOneWire struct {
	onewire.BusCloser
	calls int
}

func (f *fakeOneWire) Tx([]byte, []byte, onewire.Pullup) error { f.calls++; return nil }
func (f *fakeOneWire) Search(bool) ([]onewire.Address, error)  { f.calls++; return nil, nil }

// TestOneWireGone: a bus that has gone is not asked, for nobody would answer.
func TestOneWireGone(t *testing.T) {
	root := plant(t, pi5())
	h := NewHost(root)
	inner := &fakeOneWire{}
	h.oneWire = func(uint32) (onewire.BusCloser, error) { return inner, nil }
	b, err := h.OneWire("w1:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Tx([]byte{0xcc}, nil, onewire.WeakPullup); err != nil || inner.calls != 1 {
		t.Fatal(err, inner.calls)
	}
	if err := os.RemoveAll(filepath.Join(root, "sys/bus/w1/devices/w1_bus_master1")); err != nil {
		t.Fatal(err)
	}
	if err := b.Tx([]byte{0xcc}, nil, onewire.WeakPullup); !errors.Is(err, sensors.ErrAbsent) {
		t.Error(err)
	}
	if _, err := b.Search(false); !errors.Is(err, sensors.ErrAbsent) {
		t.Error(err)
	}
	if inner.calls != 1 {
		t.Errorf("%d transactions on a bus that is gone", inner.calls)
	}
	noConnector := pi5().with(files{"/proc/net/connector": "Name            ID\ncn_proc         1:1\n"})
	h = NewHost(plant(t, noConnector))
	h.oneWire = func(uint32) (onewire.BusCloser, error) { t.Error("opened"); return nil, nil }
	if err := open(h, "w1:1"); !errors.Is(err, sensors.ErrAbsent) || !strings.Contains(err.Error(), "CONFIG_W1_CON") {
		t.Error(err)
	}
}

// TestDenied: whoever may not use a node reads which group, or rule, gives it.
func TestDenied(t *testing.T) {
	node := "/dev/i2c-1"
	denied := func(f files, err error) string {
		return newTree(plant(t, f)).denied(node, "i2c", "ada", &os.PathError{Op: "open", Path: node, Err: err})
	}
	if s := denied(pi5().with(people("i2c", "")), syscall.EACCES); s != "sudo usermod -aG i2c ada, then log in anew" {
		t.Error(s)
	}
	if s := denied(pi5().with(people("plugdev", "")), syscall.EACCES); !strings.Contains(s, "-aG plugdev ada") {
		t.Error(s)
	}
	if s := denied(pi5().with(people("root", "")), syscall.EACCES); !strings.Contains(s, `SUBSYSTEM=="i2c-dev", GROUP="i2c"`) {
		t.Error(s)
	}
	if s := denied(pi5(), syscall.EPERM); !strings.Contains(s, "DeviceAllow=/dev/i2c-1 rw") {
		t.Error(s)
	}
}

// TestUdevRules: the rules in hints are those of the package.
func TestUdevRules(t *testing.T) {
	text, err := os.ReadFile("../../systemd/60-fieldgate.rules")
	if err != nil {
		t.Fatal(err)
	}
	for group, rule := range udevRules {
		if !strings.Contains(string(text), rule+"\n") {
			t.Errorf("%s: %s is not in the package", group, rule)
		}
	}
}

// TestNoMappedMemory: nothing that maps the GPIO block of a Raspberry Pi is in
// the program.
func TestNoMappedMemory(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for p := range strings.Lines(string(out)) {
		switch p = strings.TrimSpace(p); {
		case p == "periph.io/x/host/v3", strings.HasPrefix(p, "periph.io/x/host/v3/bcm283x"), strings.HasPrefix(p, "periph.io/x/host/v3/pmem"):
			t.Errorf("imports %s", p)
		}
	}
}
