package board

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"syscall"

	// Not periph's gpioioctl: it opens a line as an output at low before it can
	// set it to high, turns an output that is read back into an input, and hides
	// lost edges.
	"github.com/warthog618/go-gpiocdev"

	"fieldgate/sensors"
)

// consumer is the name by which the kernel lists the lines that the gateway has.
const consumer = "fieldgate"

// GPIOChip is a GPIO controller with its lines, as the kernel lists them.
type GPIOChip struct {
	Name  string // gpiochip0
	Label string // what its driver calls it, such as pinctrl-bcm2835
	ABI   int    // version of the kernel's interface; 1 knows no debounce and does not count lost edges
	Lines []GPIOLine
}

// GPIOLine is one line of a GPIOChip, at the place of its number.
type GPIOLine struct {
	Name     string // such as GPIO17; "" if the device tree gives none
	Consumer string // who has it; may be "" although it is used
	Used     bool
	Output   bool
}

// readChips lists the machine's GPIO chips. It takes no line and changes none.
// The error tells of those that could not be opened, beside the others.
func readChips() ([]GPIOChip, error) {
	var out []GPIOChip
	var failed []error
	for _, name := range gpiocdev.Chips() {
		c, err := readChip(name)
		if err != nil {
			failed = append(failed, fmt.Errorf("board: %s: %w", name, err))
			continue
		}
		out = append(out, c)
	}
	sortChips(out)
	return out, errors.Join(failed...)
}

func readChip(name string) (GPIOChip, error) {
	c, err := gpiocdev.NewChip(name)
	if err != nil {
		return GPIOChip{}, err
	}
	defer c.Close()
	chip := GPIOChip{Name: c.Name, Label: c.Label, ABI: c.UapiAbiVersion(), Lines: make([]GPIOLine, c.Lines())}
	for i := range chip.Lines {
		info, err := c.LineInfo(i)
		if err != nil {
			return GPIOChip{}, fmt.Errorf("line %d: %w", i, err)
		}
		chip.Lines[i] = GPIOLine{info.Name, info.Consumer, info.Used, info.Config.Direction == gpiocdev.LineDirectionOutput}
	}
	return chip, nil
}

// sortChips puts those of the processor first, which on a Raspberry Pi are
// labelled pinctrl-: their lines are on the header.
func sortChips(chips []GPIOChip) {
	slices.SortStableFunc(chips, func(a, b GPIOChip) int {
		return cmp.Compare(rank(a), rank(b))
	})
}

func rank(c GPIOChip) int {
	if strings.HasPrefix(c.Label, "pinctrl-") {
		return 0
	}
	return 1
}

// findLine finds a line by its name or as "gpiochip0:17". On the chip of a
// Raspberry Pi's header GPIO7 is also line 7 if the device tree calls that by
// what it is there for (SPI_CE1_N), or not at all.
func findLine(chips []GPIOChip, pin string) (chip *GPIOChip, offset int, ok bool) {
	if name, number, is := strings.Cut(pin, ":"); is {
		n, err := strconv.Atoi(number)
		for i := range chips {
			if chips[i].Name == name && err == nil && n >= 0 && n < len(chips[i].Lines) {
				return &chips[i], n, true
			}
		}
		return nil, 0, false
	}
	for i := range chips {
		for n := range chips[i].Lines {
			if pin != "" && chips[i].Lines[n].Name == pin {
				return &chips[i], n, true
			}
		}
	}
	if digits, is := strings.CutPrefix(pin, "GPIO"); is {
		n, err := strconv.Atoi(digits)
		for i := range chips {
			header := strings.HasPrefix(chips[i].Label, "pinctrl-bcm2") || chips[i].Label == "pinctrl-rp1"
			if header && err == nil && n >= 0 && n < len(chips[i].Lines) && strconv.Itoa(n) == digits {
				return &chips[i], n, true
			}
		}
	}
	return nil, 0, false
}

// nearest gives up to three names of lines that are most like pin.
func nearest(chips []GPIOChip, pin string) []string {
	type name struct {
		text string
		far  int
	}
	var all []name
	for _, c := range chips {
		for _, l := range c.Lines {
			if l.Name != "" {
				all = append(all, name{l.Name, distance(strings.ToUpper(l.Name), strings.ToUpper(pin))})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b name) int { return cmp.Compare(a.far, b.far) })
	var out []string
	for _, n := range all {
		if len(out) < 3 && !slices.Contains(out, n.text) {
			out = append(out, n.text)
		}
	}
	return out
}

// distance is how many characters must be put in, left out or replaced to make
// b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// line finds a line for Input and Output.
func (h *Host) line(pin string) (*GPIOChip, int, error) {
	if err := sensors.CheckPin(pin); err != nil {
		return nil, 0, err
	}
	if strings.HasPrefix(pin, sensors.Simulated+":") {
		return nil, 0, fmt.Errorf("board: %s, a simulated line, %w", pin, sensors.ErrAbsent)
	}
	chips, failed := h.chips()
	chip, n, ok := findLine(chips, pin)
	if ok {
		return chip, n, nil
	}
	switch {
	case errors.Is(failed, fs.ErrPermission):
		return nil, 0, fmt.Errorf("board: %s: %w; %s", pin, failed, h.root.denied("/dev/"+firstChip(h.root), "gpio", currentUser(), failed))
	case failed != nil:
		return nil, 0, fmt.Errorf("board: %s %w: %w", pin, sensors.ErrAbsent, failed)
	case len(chips) == 0:
		return nil, 0, fmt.Errorf("board: %s %w: there is no /dev/gpiochip0; the kernel needs CONFIG_GPIO_CDEV and a driver for the lines", pin, sensors.ErrAbsent)
	}
	if names := nearest(chips, pin); len(names) > 0 {
		return nil, 0, fmt.Errorf("board: %s %w; like it are %s; fieldgate scan lists all", pin, sensors.ErrAbsent, strings.Join(names, ", "))
	}
	return nil, 0, fmt.Errorf("board: %s %w: the lines of this machine have no names; say %s:0 to %s:%d", pin, sensors.ErrAbsent,
		chips[0].Name, chips[0].Name, len(chips[0].Lines)-1)
}

// firstChip names a GPIO chip's device node.
func firstChip(t tree) string {
	if names := t.names("/dev", "gpiochip"); len(names) > 0 {
		return names[0]
	}
	return "gpiochip0"
}

// refused explains why the kernel did not give a line.
func (h *Host) refused(pin string, err error) error {
	switch {
	case errors.Is(err, syscall.EBUSY):
		who := "the kernel"
		chips, _ := h.chips() // anew: what was read before may be from before it was taken
		if chip, n, ok := findLine(chips, pin); ok && chip.Lines[n].Consumer != "" {
			who = strconv.Quote(chip.Lines[n].Consumer)
		}
		return fmt.Errorf("board: %s %w by %s: %w", pin, sensors.ErrTaken, who, err)
	case errors.Is(err, syscall.ENODEV), errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("board: %s %w: %w", pin, sensors.ErrAbsent, err)
	}
	return fmt.Errorf("board: %s: %w", pin, err)
}

// Input implements sensors.Board. A pull that the chip does not have is left out
// by the kernel without a word. Kernels before 5.10 have no debounce and do not
// count lost edges.
func (h *Host) Input(pin string, c sensors.InputConfig) (sensors.Input, error) {
	chip, n, err := h.line(pin)
	if err != nil {
		return nil, err
	}
	in, err := openInput(pin, chip, n, c)
	if err != nil {
		return nil, h.refused(pin, err)
	}
	return in, nil
}

// Output implements sensors.Board. The line is driven both ways.
//
// What happens after Close is up to the kernel: those of Raspberry Pi OS keep
// the level; others turn the line into an input unless the module pinctrl_bcm2835
// is told persist_gpio_outputs=y.
func (h *Host) Output(pin string, high bool) (sensors.Output, error) {
	chip, n, err := h.line(pin)
	if err != nil {
		return nil, err
	}
	l, err := gpiocdev.RequestLine(chip.Name, n, gpiocdev.WithConsumer(consumer), gpiocdev.AsOutput(level(high)))
	if err != nil {
		return nil, h.refused(pin, err)
	}
	return &output{pin, l}, nil
}

func level(high bool) int {
	if high {
		return 1
	}
	return 0
}

// output is a line that the gateway drives.
type output struct {
	pin  string
	line *gpiocdev.Line
}

// Set implements sensors.Output.
func (o *output) Set(high bool) error { return lineError(o.pin, o.line.SetValue(level(high))) }

// Close implements sensors.Output.
func (o *output) Close() error { return lineError(o.pin, o.line.Close()) }

// lineError says which line err is about; nil stays nil.
func lineError(pin string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENODEV):
		return fmt.Errorf("board: %s %w any more: %w", pin, sensors.ErrAbsent, err)
	}
	return fmt.Errorf("board: %s: %w", pin, err)
}
