package board

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Write prints the report for a person. At its end are lines that can be pasted
// into the configuration; where several drivers are possible, all but the first
// are comments.
func (r *Report) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	if r.Model != "" {
		fmt.Fprintf(b, "%s\n\n", r.Model)
	}
	r.writeBuses(b)
	r.writeKernel(b)
	r.writeGPIO(b)
	for _, n := range r.Notes {
		fmt.Fprintf(b, "%s\n", n)
	}
	r.writeLines(b)
	return b.Flush()
}

func (r *Report) writeBuses(w io.Writer) {
	for _, bus := range r.I2C {
		fmt.Fprintf(w, "%s  %s\n", bus.Name, bus.Adapter)
		for _, c := range bus.Chips {
			fmt.Fprintf(w, "  0x%02x  %s\n", c.Address, c.says())
		}
		switch {
		case bus.Problem != "":
			fmt.Fprintf(w, "  %s\n", bus.Problem)
		case len(bus.Chips) == 0:
			fmt.Fprint(w, "  nobody answers\n")
		}
	}
	for _, p := range r.SPI {
		fmt.Fprintf(w, "%s  ready; what is attached does not show\n", p.Name)
	}
	for _, bus := range r.OneWire {
		fmt.Fprintf(w, "%s\n", bus.Name)
		for _, c := range bus.Chips {
			fmt.Fprintf(w, "  %s  %s\n", c.ID, orElse(c.Family, "of a family that is not known here"))
		}
		if bus.Problem != "" {
			fmt.Fprintf(w, "  %s\n", bus.Problem)
		}
	}
	if len(r.I2C)+len(r.SPI)+len(r.OneWire) > 0 {
		fmt.Fprintln(w)
	}
}

// says is what is known of a chip.
func (c *I2CChip) says() string {
	var names []string
	for _, l := range c.Drivers {
		names = append(names, l.Driver)
	}
	switch {
	case c.Kernel != "":
		return "in use by the kernel's driver " + c.Kernel
	case c.Chip != "" && len(names) == 0:
		return c.Chip + ", for which there is no driver"
	case c.Chip != "":
		return c.Chip
	case len(names) == 0:
		return "answers; no driver has a chip at this address"
	case len(names) == 1:
		return "answers; may be " + names[0]
	}
	return "answers; may be one of " + strings.Join(names, ", ")
}

func (r *Report) writeKernel(w io.Writer) {
	for _, kind := range []struct {
		name  string
		chips []KernelChip
	}{{"iio", r.IIO}, {"hwmon", r.Hwmon}} {
		for _, c := range kind.chips {
			var inputs []string
			for _, in := range c.Inputs {
				name := in.Name
				if in.Label != "" {
					name += " (" + in.Label + ")"
				}
				inputs = append(inputs, name)
			}
			fmt.Fprintf(w, "%s  %s  %s\n", c.ID, c.Name, strings.Join(inputs, ", "))
		}
	}
	for _, z := range r.Thermal {
		fmt.Fprintf(w, "thermal_zone%d  %s\n", z.Number, z.Type)
	}
	if len(r.IIO)+len(r.Hwmon)+len(r.Thermal) > 0 {
		fmt.Fprintln(w)
	}
}

func (r *Report) writeGPIO(w io.Writer) {
	for _, c := range r.GPIO {
		fmt.Fprintf(w, "%s  %s, %d lines\n", c.Name, c.Label, len(c.Lines))
		for n, l := range c.Lines {
			if l.Name == "" && !l.Used {
				continue
			}
			direction := "input"
			if l.Output {
				direction = "output"
			}
			fmt.Fprintf(w, "  %3d  %-18s %s", n, orElse(l.Name, "-"), direction)
			switch {
			case l.Consumer != "":
				fmt.Fprintf(w, ", taken by %q", l.Consumer)
			case l.Used:
				fmt.Fprint(w, ", taken by the kernel")
			}
			fmt.Fprintln(w)
		}
	}
	if len(r.GPIO) > 0 {
		fmt.Fprintln(w)
	}
}

// writeLines prints what can be pasted.
func (r *Report) writeLines(w io.Writer) {
	first := true
	heading := func() {
		if first {
			fmt.Fprint(w, "\nFor the configuration:\n\nsensors:\n")
		}
		first = false
	}
	lines := func(what string, all []ConfigLine, commented bool) {
		if len(all) == 0 {
			return
		}
		heading()
		fmt.Fprintf(w, "  # %s\n", what)
		for i, l := range all {
			mark := ""
			if i > 0 || commented {
				mark = "# "
			}
			fmt.Fprintf(w, "  %s%s\n", mark, l.Text)
		}
	}
	for _, bus := range r.I2C {
		for _, c := range bus.Chips {
			what := fmt.Sprintf("%s, address 0x%02x", bus.Name, c.Address)
			switch {
			case len(c.Drivers) == 1:
				what += ": " + c.Drivers[0].Doc
			case len(c.Drivers) > 1:
				what += ": one of these, as the chip is labelled"
			}
			lines(what, c.Drivers, false)
		}
	}
	for _, bus := range r.OneWire {
		for _, c := range bus.Chips {
			lines(bus.Name+", "+c.Family, c.Drivers, false)
		}
	}
	for _, c := range append(append([]KernelChip{}, r.IIO...), r.Hwmon...) {
		for _, in := range c.Inputs {
			lines(strings.TrimSpace(c.Name+" "+in.Name+" "+in.Label), in.Driver, false)
		}
	}
	for _, z := range r.Thermal {
		lines(fmt.Sprintf("thermal zone %d, %s", z.Number, z.Type), z.Driver, false)
	}
	for _, p := range r.SPI {
		lines(p.Name+": if one of these is attached", p.Drivers, true)
	}
}
