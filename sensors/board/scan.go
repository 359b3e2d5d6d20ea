package board

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fieldgate/sensors"
)

// ScanOptions say what Scan looks at. The zero value is the machine itself.
type ScanOptions struct {
	Root    string            // folder that stands for "/"; "": the machine
	Board   sensors.Board     // what the buses are opened by; nil: NewHost(Root)
	Drivers *sensors.Registry // whose chips are known; nil: sensors.Builtin()
	Device  string            // device in the lines for the configuration; "": MyDevice
	// BusTime is how long a bus may take; 0: DefaultBusTime. Buses are looked at
	// one after the other.
	BusTime time.Duration
	// ReadOnly leaves out what tells chips apart by their id register: for that
	// the register's number has to be written to the chip.
	ReadOnly bool

	chips func() ([]GPIOChip, error) // instead of the machine's GPIO chips
}

// DefaultBusTime is enough for an adapter that waits a third of a second for each
// of the 112 addresses where nobody is.
const DefaultBusTime = 45 * time.Second

// Report is what Scan found.
type Report struct {
	Model   string // of the board; "" if the machine has no device tree
	I2C     []I2CBus
	SPI     []SPIPort
	OneWire []OneWireBus
	IIO     []KernelChip
	Hwmon   []KernelChip
	Thermal []Zone
	GPIO    []GPIOChip
	Notes   []string // what is not there, or cannot be looked at, and what would mend it
}

// I2CBus is a bus and who answers on it.
type I2CBus struct {
	Name    string // such as i2c:1
	Adapter string // as its driver calls it
	Chips   []I2CChip
	Problem string // why not all of it was looked at; "" if it was
}

// I2CChip is an address that is in use.
type I2CChip struct {
	Address uint16
	Kernel  string       // the kernel's driver that has it: it was left alone
	Chip    string       // what its id register says; "" if it was not asked or is not known
	Drivers []ConfigLine // that know a chip at this address, the likeliest first

	asked bool // its id was asked for
}

// SPIPort is a chip select of a bus. What is attached to it does not show.
type SPIPort struct {
	Name    string // such as spi:0.0
	Drivers []ConfigLine
}

// OneWireBus is a 1-Wire bus and the chips that the kernel found on it.
type OneWireBus struct {
	Name    string // such as w1:1
	Chips   []OneWireChip
	Problem string
}

// OneWireChip is a chip of a 1-Wire bus.
type OneWireChip struct {
	ID      string // such as 28-0316a2795cff
	Family  string // part number of its family
	Drivers []ConfigLine
}

// KernelChip is a chip that a driver of the kernel reads.
type KernelChip struct {
	ID     string // iio:device0, hwmon0
	Name   string
	Inputs []KernelInput
}

// KernelInput is one channel of a KernelChip.
type KernelInput struct {
	Name   string // temp1, in_voltage0
	Label  string // what the kernel calls it; may be ""
	Driver []ConfigLine
}

// Zone is a thermal zone of the kernel.
type Zone struct {
	Number int
	Type   string
	Driver []ConfigLine
}

// ConfigLine is an item for the list `sensors` of the configuration.
type ConfigLine struct {
	Driver string
	Doc    string // what the driver is for
	Text   string // `- {driver: lm75, ...}`

	ids []string // of the sensors that it makes
}

// scanner is one run of Scan.
type scanner struct {
	ScanOptions
	root tree
	ids  map[string]bool // of sensors in the lines so far
}

// Scan looks at what the machine has. Without any hardware it reports that
// there is none; the error is that of ctx only.
//
// Of each I2C address one byte is read, as i2cdetect -r does; those that a driver
// of the kernel has are left alone. Nothing is written to an address, with one
// exception: at the few where a chip with an id register lives, the register's
// number (see identities). A bus that hangs is given up after BusTime and does
// not keep the others from being looked at. GPIO lines are asked for their names
// only.
func Scan(ctx context.Context, o ScanOptions) (Report, error) {
	s := &scanner{ScanOptions: o, root: newTree(o.Root), ids: map[string]bool{}}
	host := NewHost(o.Root)
	if s.Board == nil {
		s.Board = host
	}
	if s.Drivers == nil {
		s.Drivers = sensors.Builtin()
	}
	if s.Device == "" {
		s.Device = "MyDevice"
	}
	if s.BusTime == 0 {
		s.BusTime = DefaultBusTime
	}
	if s.chips == nil {
		s.chips = host.chips
	}
	r := Report{Model: s.root.model()}
	r.I2C = s.scanI2C(ctx)
	for _, name := range s.root.buses(sensors.SPI) {
		r.SPI = append(r.SPI, SPIPort{name, s.spiLines(name)})
	}
	r.OneWire = s.scanOneWire()
	r.IIO = s.scanIIO()
	r.Hwmon = s.scanHwmon()
	r.Thermal = s.scanThermal()
	var failed error
	r.GPIO, failed = s.chips()
	r.Notes = s.notes(&r, failed)
	return r, ctx.Err()
}

// notes say what would bring the kinds of buses that are not there.
func (s *scanner) notes(r *Report, gpioFailed error) []string {
	var notes []string
	absent := func(kind sensors.BusKind, there int) {
		if there == 0 {
			notes = append(notes, fmt.Sprintf("no %s bus: %s", kind, s.root.missing(kind, kind.Default()).sentence()))
		}
	}
	absent(sensors.I2C, len(r.I2C))
	absent(sensors.SPI, len(r.SPI))
	absent(sensors.OneWire, len(r.OneWire))
	switch {
	case gpioFailed != nil:
		text := strings.ReplaceAll(gpioFailed.Error(), "\n", "; ")
		notes = append(notes, "GPIO: "+text+"; "+s.root.denied("/dev/"+firstChip(s.root), "gpio", currentUser(), gpioFailed))
	case len(r.GPIO) == 0:
		notes = append(notes, "no GPIO lines: there is no /dev/gpiochip0")
	}
	return notes
}

// line makes an item for the configuration, if there is such a driver and it
// takes the options; those that it requires and that are not given are filled in
// with the first possible value. bus may be "".
func (s *scanner) line(driver, bus string, options ...[2]string) (ConfigLine, bool) {
	d, ok := s.Drivers.Lookup(driver)
	if !ok {
		return ConfigLine{}, false
	}
	written := map[string]string{}
	for _, o := range options {
		written[o[0]] = o[1]
	}
	for _, o := range d.Options {
		if _, given := written[o.Name]; o.Required && !given {
			options = append(options, [2]string{o.Name, example(o)})
			written[o.Name] = example(o)
		}
	}
	parsed, wrong := d.Parse(written)
	if len(wrong) > 0 {
		return ConfigLine{}, false
	}
	every := d.Every
	if every == 0 {
		every = sensors.DefaultEvery
	}
	var b strings.Builder
	b.WriteString("- {driver: " + driver)
	if bus != "" {
		fmt.Fprintf(&b, ", bus: %q", bus)
	}
	for _, o := range options {
		b.WriteString(", " + o[0] + ": " + yaml(o[1]))
	}
	b.WriteString(", device: " + yaml(s.Device))
	ids := sensorIDs(d, parsed, "")
	if slices.ContainsFunc(ids, func(id string) bool { return s.ids[id] }) {
		id := driver + suffix(bus, options)
		ids = sensorIDs(d, parsed, id)
		b.WriteString(", sensor: " + yaml(id))
	}
	b.WriteString(", every: " + shortSpan(every) + "}")
	return ConfigLine{driver, d.Doc, b.String(), ids}, true
}

// sensorIDs are the ids of what a sensor named id publishes.
func sensorIDs(d *sensors.Driver, o sensors.Options, id string) []string {
	item := sensors.Item{Driver: d.Name, Sensor: id}
	var out []string
	for _, c := range d.Channels(o) {
		out = append(out, item.SensorID(c.Suffix))
	}
	return out
}

// claim notes the ids of the line that is going to be used: the first of its chip.
func (s *scanner) claim(lines []ConfigLine) []ConfigLine {
	if len(lines) > 0 {
		for _, id := range lines[0].ids {
			s.ids[id] = true
		}
	}
	return lines
}

// suffix tells sensors of one driver apart: "-1-48" for bus i2c:1, address 0x48.
func suffix(bus string, options [][2]string) string {
	var parts []string
	if _, number, ok := strings.Cut(bus, ":"); ok {
		parts = append(parts, strings.ReplaceAll(number, ".", "-"))
	}
	for _, o := range options {
		parts = append(parts, strings.NewReplacer("0x", "", ":", "-", " ", "-", ".", "-", "/", "-").Replace(o[1]))
	}
	if len(parts) == 0 {
		return ""
	}
	return "-" + strings.Join(parts, "-")
}

// example is a value that an option can have.
func example(o sensors.Option) string {
	switch {
	case o.Default != "":
		return o.Default
	case len(o.Choices) > 0:
		return o.Choices[0]
	case o.Kind == sensors.Switch:
		return "false"
	case o.Kind == sensors.Span:
		return shortSpan(time.Duration(o.Min * float64(time.Second)))
	case o.Kind == sensors.Pin:
		return "GPIO17"
	case o.Kind == sensors.Integer, o.Kind == sensors.Decimal:
		return fmt.Sprint(o.Min)
	}
	return "?"
}

// yaml quotes what YAML would not read as this text.
func yaml(s string) string {
	plain := s != ""
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
		if !letter && (r < '0' || r > '9') && (i == 0 || r != '-' && r != '.') {
			plain = false
		}
	}
	switch strings.ToLower(s) {
	case "on", "off", "yes", "no", "y", "n", "null":
		plain = false
	}
	if plain {
		return s
	}
	return fmt.Sprintf("%q", s)
}

// shortSpan writes 1m instead of 1m0s.
func shortSpan(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// spiLines are the drivers of chips on SPI.
func (s *scanner) spiLines(bus string) []ConfigLine {
	var out []ConfigLine
	for _, name := range s.Drivers.Names() {
		if d, _ := s.Drivers.Lookup(name); d.Bus&sensors.SPI != 0 {
			if l, ok := s.line(name, bus); ok {
				out = append(out, l)
			}
		}
	}
	return out
}

// cause is a short text for err: the last part, without where.
func cause(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "it took too long"
	}
	return strings.TrimPrefix(err.Error(), "board: ")
}
