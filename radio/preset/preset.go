package preset

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The drivers that presets name.
const (
	SX127x = "sx127x"
	SX126x = "sx126x"
)

// Preset says how a board wires its chip. Pins are names of lines such as
// "GPIO25", in the numbers of the processor; "" where the board has none.
type Preset struct {
	Name   string // such as "dragino-hat"
	Title  string // what is printed on the box
	Driver string // SX127x or SX126x
	Chip   string // such as "SX1276"; with SX126x it decides about the amplifier
	Bus    string // such as "spi:0.0"

	// ChipSelect is a line that the driver moves itself; "": the bus does.
	ChipSelect string
	Reset      string
	IRQ        string // DIO0 of an SX127x, DIO1 of an SX126x; "": polled
	Busy       string // SX126x only
	TXEnable   string // high while the radio sends
	RXEnable   string // high while it receives
	// Enable are lines that are high as long as the radio is used: the supply of a
	// module, or of its amplifier.
	Enable []string

	DIO2Switch bool    // DIO2 moves the antenna switch (SX126x)
	TCXO       float64 // volts that DIO3 gives to the oscillator (SX126x); 0: a crystal
	PABoost    bool    // the antenna is at the pin PA_BOOST (SX127x)

	// MaxPower is what the chip may put out at most, in dBm, for the sake of what
	// follows it; 0: what it can. Gain is what an amplifier adds at full power, in dB.
	MaxPower, Gain int8

	Overlay string // line for the Pi's config.txt beside dtparam=spi=on
	Notes   string
	Source  string // where the pins are published
}

var presets = map[string]Preset{}

// Register adds a preset. Each file of this package does so for its own from
// init; a wrong preset, or a name that is taken, panics.
func Register(p Preset) {
	if _, taken := presets[p.Name]; taken {
		panic("preset: " + p.Name + " is registered twice")
	}
	if err := p.Check(); err != nil {
		panic("preset: " + err.Error())
	}
	presets[p.Name] = p
}

// Get gives the preset of that name.
func Get(name string) (Preset, bool) {
	p, ok := presets[name]
	p.Enable = slices.Clone(p.Enable)
	return p, ok
}

// Names lists the presets, sorted.
func Names() []string { return slices.Sorted(maps.Keys(presets)) }

var (
	pinForm  = regexp.MustCompile(`^GPIO(0|[1-9][0-9]?)$`)
	busForm  = regexp.MustCompile(`^spi:[0-9]\.[0-9]$`)
	nameForm = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
)

// The lines that the buses of a Pi's header have: a board cannot use them for
// something else at the same time.
var busPins = map[string][]string{
	"spi:0": {"GPIO9", "GPIO10", "GPIO11"},
	"spi:1": {"GPIO19", "GPIO20", "GPIO21"},
}

// chipSelects are the lines of the buses' own chip selects.
var chipSelects = map[string]string{"spi:0.0": "GPIO8", "spi:0.1": "GPIO7", "spi:1.0": "GPIO18", "spi:1.1": "GPIO17", "spi:1.2": "GPIO16"}

// Check tells all that is wrong with p.
func (p Preset) Check() error {
	var bad []error
	wrong := func(format string, a ...any) { bad = append(bad, fmt.Errorf(p.Name+": "+format, a...)) }
	if !nameForm.MatchString(p.Name) {
		wrong("the name is not of small letters, digits and single dashes")
	}
	if !busForm.MatchString(p.Bus) {
		wrong("bus %q is not of the form spi:0.0", p.Bus)
	}
	if p.Title == "" || p.Source == "" || p.Chip == "" {
		wrong("title, chip or source is missing")
	}
	switch p.Driver {
	case SX127x:
		if p.Busy != "" || p.DIO2Switch || p.TCXO != 0 {
			wrong("an SX127x has neither BUSY nor these uses of DIO2 and DIO3")
		}
	case SX126x:
		if p.PABoost {
			wrong("an SX126x has no PA_BOOST")
		}
	default:
		wrong("driver %q", p.Driver)
	}
	used := map[string]string{}
	for _, pin := range busPins[p.Bus[:min(len(p.Bus), 5)]] {
		used[pin] = "the bus"
	}
	if pin := chipSelects[p.Bus]; pin != "" && p.ChipSelect == "" {
		used[pin] = "the bus"
	}
	for _, l := range p.lines() {
		if !pinForm.MatchString(l.pin) {
			wrong("%s: %q is no line such as GPIO25", l.use, l.pin)
		}
		if first, taken := used[l.pin]; taken {
			wrong("%s is %s and %s", l.pin, first, l.use)
		}
		used[l.pin] = l.use
	}
	return errors.Join(bad...)
}

// line is a line and what it is for.
type line struct{ use, pin string }

// lines are the lines of p that it has.
func (p Preset) lines() []line {
	all := []line{{"chip select", p.ChipSelect}, {"reset", p.Reset}, {"interrupt", p.IRQ}, {"busy", p.Busy},
		{"tx enable", p.TXEnable}, {"rx enable", p.RXEnable}}
	for _, pin := range p.Enable {
		all = append(all, line{"enable", pin})
	}
	return slices.DeleteFunc(all, func(l line) bool { return l.pin == "" })
}

// Markdown is a table of all presets.
func Markdown() string {
	var b strings.Builder
	b.WriteString(head)
	b.WriteString("| Board | Name | Driver, chip | Bus | Lines | Remarks |\n|---|---|---|---|---|---|\n")
	for _, name := range Names() {
		p := presets[name]
		fmt.Fprintf(&b, "| %s | `%s` | %s, %s | `%s` | %s | %s |\n", p.Title, p.Name, p.Driver, p.Chip, p.Bus, p.wiring(), p.remarks())
	}
	return b.String()
}

const head = `All boards need ` + "`dtparam=spi=on`" + ` in the Pi's config.txt. A chip select that is named among the
lines is one that the driver moves itself; without one it is that of the bus. Where there is no
interrupt the chip is polled.

Boards with a serial port are none of these. Waveshare's "SX1262 868M LoRa HAT", "SX1262 915M LoRa
HAT" and "SX1268 433M LoRa HAT" have an Ebyte module with a processor of its own behind the UART, which
speaks neither SPI nor LoRaWAN: no driver here can use them. The one with SPI is called "SX1262 868M
LoRaWAN/GNSS HAT".

`

// wiring lists the lines of p.
func (p Preset) wiring() string {
	var out []string
	for _, l := range p.lines() {
		out = append(out, l.use+" "+l.pin)
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

// remarks are what else there is to say about p.
func (p Preset) remarks() string {
	var out []string
	if p.IRQ == "" {
		out = append(out, "polled")
	}
	if p.DIO2Switch {
		out = append(out, "DIO2 moves the antenna switch")
	}
	if p.TCXO != 0 {
		out = append(out, "TCXO at "+strconv.FormatFloat(p.TCXO, 'f', -1, 64)+" V")
	}
	if p.MaxPower != 0 {
		out = append(out, fmt.Sprintf("chip limited to %d dBm", p.MaxPower))
	}
	if p.Gain != 0 {
		out = append(out, fmt.Sprintf("amplifier of %d dB", p.Gain))
	}
	if p.Overlay != "" {
		out = append(out, "needs `"+p.Overlay+"`")
	}
	if p.Notes != "" {
		out = append(out, p.Notes)
	}
	return strings.Join(out, "; ")
}
