package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"fieldgate/cmd/fieldgate/config"
	"fieldgate/gateway"
	"fieldgate/sensors"
)

type sensorsCmd struct {
	Driver   string `arg:"" optional:"" help:"Only this driver." placeholder:"DRIVER"`
	Markdown bool   `help:"As the table that stands in the documentation."`
}

// Run lists the drivers with their options.
func (c sensorsCmd) Run(env environment) error {
	if c.Markdown {
		return driverTable(env.stdout)
	}
	r := sensors.Builtin()
	var out bytes.Buffer
	found := false
	for _, name := range r.Names() {
		if d, _ := r.Lookup(name); c.Driver == "" || c.Driver == name {
			found = true
			describe(&out, d)
		}
	}
	for _, name := range r.OutputNames() {
		if d, _ := r.LookupOutput(name); c.Driver == "" || c.Driver == name {
			found = true
			fmt.Fprintf(&out, "%s (actuator)\n  %s\n", d.Name, d.Doc)
			describeOptions(&out, d.Options)
			fmt.Fprintf(&out, "  takes: %s; also initial, on_stop, max_on\n\n", takes(d))
		}
	}
	if !found {
		return fmt.Errorf("%w: there is no driver %.40q: `fieldgate sensors` lists them", errUsage, c.Driver)
	}
	_, err := out.WriteTo(env.stdout)
	return err
}

func takes(d *sensors.OutputDriver) string {
	if d.Percent {
		return `0 to 100, true, false, "on", "off"`
	}
	return `true, false, 1, 0, "on", "off"`
}

// describe writes what the configuration can say of a driver.
func describe(w io.Writer, d *sensors.Driver) {
	fmt.Fprintf(w, "%s\n  %s\n", d.Name, d.Doc)
	options := d.Options
	if d.Bus != 0 {
		options = append([]sensors.Option{{Name: "bus", Doc: "the bus it is attached by, such as " + d.Bus.Example(), Default: d.Bus.Default()}}, options...)
	}
	describeOptions(w, options)
	var gives []string
	for _, ch := range channelsOf(d) {
		gives = append(gives, strings.TrimSpace(label(ch)+" "+ch.Unit))
	}
	fmt.Fprintf(w, "  gives: %s\n\n", strings.Join(gives, ", "))
}

func label(ch sensors.Channel) string {
	if ch.Suffix == "" {
		return "the value"
	}
	return ch.Suffix
}

// channelsOf is what a driver gives with its defaults.
func channelsOf(d *sensors.Driver) []sensors.Channel {
	return d.Channels(sensors.Complete(d.Options, nil))
}

func describeOptions(w io.Writer, options []sensors.Option) {
	tab := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for i := range options {
		o := &options[i]
		note := "; default " + o.Default
		switch {
		case o.Required:
			note = "; required"
		case o.Default == "":
			note = ""
		}
		fmt.Fprintf(tab, "    %s\t%s%s\n", o.Name, strings.TrimSpace(o.Doc+" "+o.Range()), note)
	}
	_ = tab.Flush() // into memory
}

// driverTable writes sensors/DRIVERS.md.
func driverTable(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Drivers\n\n`fieldgate sensors` shows the same with all options; this file is what\n`fieldgate sensors --markdown` prints.\n\n" +
		"| driver | for | by | gives | options |\n|---|---|---|---|---|\n")
	r := sensors.Builtin()
	row := func(name, doc, by, gives string, options []sensors.Option) {
		var list []string
		for _, o := range options {
			list = append(list, "`"+o.Name+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", name, strings.ReplaceAll(doc, "|", "\\|"), by, gives, strings.Join(list, " "))
	}
	for _, name := range r.Names() {
		d, _ := r.Lookup(name)
		var gives []string
		for _, ch := range channelsOf(d) {
			gives = append(gives, strings.TrimSpace(ch.Suffix+" "+ch.Unit))
		}
		row(name, d.Doc, d.Bus.String(), strings.Join(gives, ", "), d.Options)
	}
	b.WriteString("\nActuators:\n\n| driver | for | takes | options |\n|---|---|---|---|\n")
	for _, name := range r.OutputNames() {
		d, _ := r.LookupOutput(name)
		var list []string
		for _, o := range d.Options {
			list = append(list, "`"+o.Name+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, d.Doc, takes(d), strings.Join(list, " "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

type readCmd struct {
	Args []string `arg:"" optional:"" help:"--driver DRIVER, then the keys of the configuration as --key VALUE or key=VALUE."`
}

const readUsage = `Usage: fieldgate read --driver DRIVER [--key VALUE ...]

Reads one sensor once, as the configuration would have it:

  fieldgate read --driver bme280 --bus i2c:1 --address 0x76
  fieldgate read --driver ads1115 channel=0 'points=[[0.5, 0], [2.5, 100]]'

` + "`fieldgate sensors DRIVER` shows the keys.\n"

// Run reads one sensor once.
func (c readCmd) Run(env environment) error {
	keys, help, err := c.keys()
	if err != nil {
		return err
	}
	if help {
		_, err := io.WriteString(env.stdout, readUsage)
		return err
	}
	var yaml strings.Builder
	yaml.WriteString("devices: [{id: read}]\nsensors:\n  - device: read\n")
	for _, kv := range keys {
		if kv[0] != "device" { // whose it is makes no difference here
			fmt.Fprintf(&yaml, "    %s: %s\n", kv[0], kv[1])
		}
	}
	cfg, err := config.Parse("command line", []byte(yaml.String()))
	if err != nil {
		return err
	}
	for i := range cfg.Sensors {
		it := &cfg.Sensors[i]
		it.Every = min(it.Every, readAgain)
		for suffix, r := range it.Rules {
			r.Publish = sensors.Publish{} // one reading is no series
			it.Rules[suffix] = r
		}
	}
	units := map[string]string{}
	for _, s := range cfg.Devices[0].Sensors {
		units[s.ID] = s.Unit
	}
	got, err := readOnce(env.ctx, sensors.Config{Items: cfg.Sensors, Board: newBoard()})
	var out strings.Builder
	for _, r := range got {
		fmt.Fprintln(&out, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Channel, r.Value, units[r.Channel])))
	}
	_, werr := io.WriteString(env.stdout, out.String())
	return errors.Join(werr, err)
}

// keys reads the arguments: "--key value", "--key=value" and "key=value".
func (c readCmd) keys() (keys [][2]string, help bool, err error) {
	for args := c.Args; len(args) > 0; args = args[1:] {
		key, value, given := strings.Cut(strings.TrimLeft(args[0], "-"), "=")
		flag := strings.HasPrefix(args[0], "-")
		switch {
		case flag && !given && (key == "help" || key == "h"):
			return nil, true, nil
		case flag && (key == "option" || key == "o") && !given && len(args) > 1:
			args = args[1:]
			if key, value, given = strings.Cut(args[0], "="); !given {
				return nil, false, fmt.Errorf("%w: %.40q is not key=value", errUsage, args[0])
			}
		case flag && !given && len(args) > 1:
			value, args = args[1], args[1:]
		case flag && !given:
			return nil, false, fmt.Errorf("%w: %.40s has no value", errUsage, args[0])
		case !given:
			return nil, false, fmt.Errorf("%w: %.40q is not key=value", errUsage, args[0])
		}
		key = strings.ReplaceAll(key, "-", "_")
		if key == "" || strings.ContainsAny(key+value, "\n\r") {
			return nil, false, fmt.Errorf("%w: %.40q is not key=value", errUsage, args[0])
		}
		// A value is YAML as in the file, but for what YAML would take apart.
		if strings.ContainsAny(value, ":#") && !strings.ContainsAny(value, `[{"'`) {
			value = `"` + value + `"`
		}
		keys = append(keys, [2]string{key, value})
	}
	return keys, len(keys) == 0, nil
}

// once is a sensors.Hub for one reading.
type once struct {
	mu   sync.Mutex
	got  []gateway.Reading
	errs []error
	late bool // it was read and had nothing to give yet
	done context.CancelFunc
}

// Submit implements sensors.Hub.
func (o *once) Submit(b *gateway.Batch) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.got == nil && o.errs == nil {
		o.got = slices.Clone(b.Readings)
	}
	if o.late {
		o.done()
	}
	return nil
}

func (o *once) status(s sensors.Status) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.Err != nil && !slices.ContainsFunc(o.errs, func(e error) bool { return e.Error() == s.Err.Error() }) {
		o.errs = append(o.errs, s.Err)
	}
	if o.late = len(o.got)+len(o.errs) == 0; !o.late {
		o.done()
	}
}

const (
	// readPatience is how long read waits for a sensor that warms up, readAgain how
	// soon it asks again at the latest.
	readPatience = 90 * time.Second
	readAgain    = 5 * time.Second
)

// readOnce polls until there is a value or an error. It gives what there was, and
// an error if that is not all.
func readOnce(ctx context.Context, c sensors.Config) ([]gateway.Reading, error) {
	within, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	o := &once{done: cancel}
	c.Hub, c.OnStatus, c.Log = o, o.status, slog.New(slog.DiscardHandler)
	p, err := sensors.New(c)
	if err != nil {
		return nil, err
	}
	hung := p.Run(within)
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case len(o.errs) > 0:
		return o.got, errors.Join(o.errs...)
	case hung != nil:
		return o.got, hung
	case len(o.got) > 0:
		return o.got, nil
	case ctx.Err() != nil:
		return nil, errors.New("interrupted before the sensor had a value to give")
	}
	return nil, errors.New("the sensor had no value to give")
}
