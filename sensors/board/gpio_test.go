package board

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"fieldgate/sensors"
)

// TestFindLine: a line is found by its name, by chip and number, and on the
// header of a Raspberry Pi by its number whatever it is called.
func TestFindLine(t *testing.T) {
	chips := headerChips()
	for _, c := range []struct {
		pin, chip string
		n         int
	}{
		{"GPIO17", "gpiochip0", 17}, // and not the expander's of that name
		{"GPIO_GCLK", "gpiochip0", 4},
		{"GPIO4", "gpiochip0", 4},
		{"GPIO7", "gpiochip0", 7},
		{"GPIO40", "gpiochip0", 40},
		{"BT_ON", "gpiochip1", 0},
		{"gpiochip1:1", "gpiochip1", 1},
		{"gpiochip0:53", "gpiochip0", 53},
		{"gpiochip0:54", "", 0},
		{"gpiochip2:0", "", 0},
		{"GPIO54", "", 0},
		{"GPIO017", "", 0},
		{"gpio17", "", 0},
		{"", "", 0},
	} {
		chip, n, ok := findLine(chips, c.pin)
		if ok != (c.chip != "") || ok && (chip.Name != c.chip || n != c.n) {
			t.Errorf("%q: %v %d %v", c.pin, chip, n, ok)
		}
	}
	other := []GPIOChip{{Name: "gpiochip0", Label: "gpio-mxc", Lines: make([]GPIOLine, 32)}}
	if _, _, ok := findLine(other, "GPIO7"); ok {
		t.Error("the number of a line is not its name on other boards")
	}
}

func TestNearest(t *testing.T) {
	chips := headerChips()
	if got := nearest(chips, "gpio17"); got[0] != "GPIO17" || len(got) != 3 {
		t.Errorf("%q", got)
	}
	if got := nearest(chips, "SDA"); got[0] != "SDA1" {
		t.Errorf("%q", got)
	}
	for _, c := range []struct {
		a, b string
		far  int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"GPIO17", "GPIO7", 1}} {
		if d := distance(c.a, c.b); d != c.far {
			t.Errorf("%s, %s: %d", c.a, c.b, d)
		}
	}
}

// TestLineErrors: who asks for a line that is not there reads why.
func TestLineErrors(t *testing.T) {
	named := headerChips()
	nameless := []GPIOChip{{Name: "gpiochip0", Label: "gpio-mxc", Lines: make([]GPIOLine, 32)}}
	closed := &os.PathError{Op: "open", Path: "/dev/gpiochip0", Err: syscall.EACCES}
	for _, c := range []struct {
		pin    string
		chips  []GPIOChip
		failed error
		is     error
		says   string
	}{
		{"gpio17", named, nil, sensors.ErrAbsent, "board: gpio17 is not there; like it are GPIO17, "},
		{"GPIO17", nameless, nil, sensors.ErrAbsent, "say gpiochip0:0 to gpiochip0:31"},
		{"GPIO17", nil, nil, sensors.ErrAbsent, "there is no /dev/gpiochip0"},
		{"GPIO17", nil, closed, fs.ErrPermission, "sudo usermod -aG gpio "},
		{"GPIO17", nil, syscall.EIO, sensors.ErrAbsent, "input/output error"},
		{"sim:3", named, nil, sensors.ErrAbsent, "simulated"},
		{"-", named, nil, nil, "no name of a GPIO line"},
	} {
		h := NewHost(plant(t, piZero().with(people("gpio", ""))))
		h.chips = func() ([]GPIOChip, error) { return c.chips, c.failed }
		_, err := h.Output(c.pin, true)
		if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.pin, err)
		}
	}
}

// TestRefused: a line that somebody has names who.
func TestRefused(t *testing.T) {
	h := NewHost(t.TempDir())
	h.chips = func() ([]GPIOChip, error) { return headerChips(), nil }
	err := h.refused("GPIO22", syscall.EBUSY)
	if !errors.Is(err, sensors.ErrTaken) || !strings.HasPrefix(err.Error(), `board: GPIO22 is taken by "gpioset"`) {
		t.Error(err)
	}
	if err := h.refused("GPIO5", syscall.EBUSY); !errors.Is(err, sensors.ErrTaken) || !strings.Contains(err.Error(), "by the kernel") {
		t.Error(err)
	}
	if err := h.refused("GPIO5", syscall.ENODEV); !errors.Is(err, sensors.ErrAbsent) {
		t.Error(err)
	}
	if err := h.refused("GPIO5", syscall.EINVAL); !errors.Is(err, syscall.EINVAL) || errors.Is(err, sensors.ErrTaken) {
		t.Error(err)
	}
	if err := lineError("GPIO5", syscall.ENODEV); !errors.Is(err, sensors.ErrAbsent) {
		t.Error(err)
	}
	if err := lineError("GPIO5", nil); err != nil {
		t.Error(err)
	}
}

// TestReadChips reads what this machine has, if anything.
func TestReadChips(t *testing.T) {
	chips, err := readChips()
	t.Logf("%d chips, %v", len(chips), err)
	if !slices.IsSortedFunc(chips, func(a, b GPIOChip) int { return rank(a) - rank(b) }) {
		t.Error("not in order")
	}
}
