package board

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"fieldgate/sensors"
)

// serviceUser is the user of the packaged service (systemd/sysusers.conf).
const serviceUser = "fieldgate"

// buses looks at those of the configuration, and on a Raspberry Pi at the usual
// ones of the header.
func (d *doctor) buses() {
	usual := []string{"i2c:1", "spi:0.0", "w1:1"}
	var names []string
	for _, b := range d.Buses {
		_, name, err := sensors.ParseBus(b)
		switch {
		case err != nil:
			d.find(Fault, b, "", "%v", err)
		case strings.HasSuffix(name, ":"+sensors.Simulated) || slices.Contains(names, name):
		default:
			names = append(names, name)
		}
	}
	used := len(names)
	if d.root.pi() {
		for _, b := range usual {
			if !slices.Contains(names, b) {
				names = append(names, b)
			}
		}
	}
	for i, name := range names {
		d.bus(name, i < used)
	}
	if len(names) == 0 {
		for _, kind := range []sensors.BusKind{sensors.I2C, sensors.SPI, sensors.OneWire} {
			if len(d.root.buses(kind)) == 0 {
				d.find(Note, kind.String(), "", "no bus, and the configuration uses none")
			}
		}
	}
}

// bus looks at one bus.
func (d *doctor) bus(name string, used bool) {
	kind, _, _ := sensors.ParseBus(name)
	info, err := os.Stat(d.root.path(node(name)))
	if errors.Is(err, fs.ErrNotExist) {
		d.missing(kind, name, used)
		return
	}
	bad := Note
	if used {
		bad = Fault
	}
	if err != nil {
		d.find(bad, name, "", "%v", err)
		return
	}
	if kind == sensors.OneWire {
		if err := d.root.connector(); err != nil {
			d.find(bad, name, "", "%s: %v", node(name), err)
			return
		}
		d.find(OK, name, "", "%s", node(name))
		return
	}
	d.rights(name, node(name), info, group(kind), used)
}

// missing says how a bus that is not there comes to be.
func (d *doctor) missing(kind sensors.BusKind, name string, used bool) {
	bad, why := Note, "not switched on, and the configuration does not use it"
	if used {
		bad, why = Fault, "there is no "+node(name)
	}
	r := d.root.missing(kind, name)
	if r.line == "" {
		for _, more := range []string{r.why, r.instead} {
			if more != "" {
				why += "; " + more
			}
		}
		d.find(bad, name, r.fix(), "%s", why)
		return
	}
	// The setting may be there already, without effect.
	var off, elsewhere, on *bootLine
	lines := d.root.bootConfig()
	for i := range lines {
		b := &lines[i]
		same, yes := b.same(r.line)
		switch {
		case !same:
		case b.Off:
			off = b
		case !b.applies(d.root.model()):
			elsewhere = b
		case yes:
			on = b
		default:
			on, off = nil, b // the last one counts
		}
	}
	switch {
	case on != nil:
		fix := "sudo reboot"
		if kind == sensors.I2C {
			fix = loadAtBoot("i2c-dev") + " && sudo reboot"
		}
		d.find(bad, name, fix, "%s, although line %d of %s has %s: the machine has not restarted since, or the overlay failed (sudo dmesg | grep -i overlay)", why, on.Number, on.File, on.Text)
	case off != nil && off.Off:
		fix := fmt.Sprintf(`sudo sed -i '%ds/^[# \t]*//' %s && sudo reboot`, off.Number, off.File)
		if _, yes := off.same(r.line); !yes {
			fix = r.fix()
		}
		d.find(bad, name, fix, "%s: line %d of %s is a comment (%s)", why, off.Number, off.File, off.Text)
	case off != nil:
		d.find(bad, name, r.fix(), "%s: line %d of %s switches it off (%s)", why, off.Number, off.File, off.Text)
	case elsewhere != nil:
		d.find(bad, name, r.fix(), "%s: line %d of %s is in the section [%s], which is not for this board", why, elsewhere.Number, elsewhere.File, strings.Join(elsewhere.Filters, "]["))
	default:
		d.find(bad, name, r.fix(), "%s: %s has no %s", why, r.file, r.line)
	}
}

// rights looks at who may use a device node.
func (d *doctor) rights(name, node string, info os.FileInfo, usual string, used bool) {
	owner := d.root.groupOf(info)
	closed := info.Mode().Perm()&0o060 != 0o060 || owner == "" || owner == "root"
	service := d.User
	if _, _, ok := d.root.ids(serviceUser); ok {
		service = serviceUser
	}
	bad := Note
	if used {
		bad = Fault
	}
	switch {
	case d.root.may(info, service, 6):
		d.find(OK, name, "", "%s, and user %s may use it", node, service)
	case closed:
		d.find(bad, name, giveToGroup(usual), "%s is for root only (mode %s, group %s)", node, info.Mode().Perm(), orElse(owner, "unknown"))
		return
	case service == serviceUser:
		d.find(bad, name, joinGroup(owner, service)+" && sudo systemctl restart fieldgate", "%s is for group %s, and the service's user %s is not in it", node, owner, service)
	default:
		d.find(bad, name, joinGroup(owner, service)+", then log in anew", "%s is for group %s, and user %s is not in it", node, owner, service)
	}
	switch opens := d.machine.opens; {
	case d.root.may(info, d.User, 6):
		// Groups count from the login on.
		if opens != nil && d.User == d.machine.user && errors.Is(opens(node), fs.ErrPermission) {
			d.find(bad, name, "exec su - "+d.User, "user %s may use %s, but not in this session: log in anew", d.User, node)
		}
	case service != d.User:
		d.find(Note, name, joinGroup(owner, d.User), "user %s is not in group %s, so fieldgate scan and read need sudo", d.User, owner)
	}
}

// pins looks at the GPIO lines of the configuration.
func (d *doctor) pins() {
	var pins []string
	for _, p := range d.Pins {
		if !strings.HasPrefix(p, sensors.Simulated+":") && !slices.Contains(pins, p) {
			pins = append(pins, p)
		}
	}
	chips, failed := d.machine.chips()
	names := d.root.names("/dev", "gpiochip")
	switch {
	case len(pins) == 0 && len(names) == 0:
		return
	case len(names) == 0 && len(chips) == 0:
		d.find(Fault, "GPIO", "", "there is no /dev/gpiochip0: the kernel needs CONFIG_GPIO_CDEV and a driver for the lines")
		return
	case len(names) > 0:
		if info, err := os.Stat(d.root.path("/dev/" + names[0])); err == nil {
			d.rights("GPIO", "/dev/"+names[0], info, "gpio", len(pins) > 0)
		}
	}
	if len(chips) > 0 && chips[0].ABI == 1 {
		d.find(Warning, "GPIO", "", "the kernel has version 1 of the GPIO interface only: no debounce, and lost edges are not counted (CONFIG_GPIO_CDEV, Linux 5.10)")
	}
	for _, p := range pins {
		d.pin(p, chips, failed)
	}
	if len(pins) > 0 {
		d.outputsAfterwards(chips)
	}
}

func (d *doctor) pin(pin string, chips []GPIOChip, failed error) {
	if err := sensors.CheckPin(pin); err != nil {
		d.find(Fault, pin, "", "%v", err)
		return
	}
	chip, n, ok := findLine(chips, pin)
	switch {
	case !ok && failed != nil:
		d.find(Warning, pin, "", "cannot be looked at: %v", strings.ReplaceAll(failed.Error(), "\n", "; "))
	case !ok:
		d.find(Fault, pin, "fieldgate scan", "no line has this name; like it are %s", orElse(strings.Join(nearest(chips, pin), ", "), "none, as lines have no names here"))
	case !chip.Lines[n].Used:
		d.find(OK, pin, "", "line %d of %s (%s), free", n, chip.Name, chip.Label)
	case chip.Lines[n].Consumer == consumer:
		d.find(OK, pin, "", "line %d of %s (%s), taken by the gateway that runs", n, chip.Name, chip.Label)
	default:
		d.find(Fault, pin, "sudo lsof /dev/"+chip.Name, "taken by %s: end that program, take its overlay out of the boot configuration, or use another line", orElse(chip.Lines[n].Consumer, "the kernel"))
	}
}

// outputsAfterwards says whether lines of a Raspberry Pi keep their level when
// the gateway ends. The lines of a Pi 5 have another driver.
func (d *doctor) outputsAfterwards(chips []GPIOChip) {
	if !slices.ContainsFunc(chips, func(c GPIOChip) bool { return strings.HasPrefix(c.Label, "pinctrl-bcm2") }) {
		return
	}
	switch d.root.text("/sys/module/pinctrl_bcm2835/parameters/persist_gpio_outputs") {
	case "Y":
		d.find(OK, "GPIO outputs", "", "they keep their level when the gateway ends")
	case "N":
		file := strings.Replace(d.root.bootFile(), "config.txt", "cmdline.txt", 1)
		d.find(Warning, "GPIO outputs", "sudo sed -i 's/$/ pinctrl_bcm2835.persist_gpio_outputs=y/' "+file+" && sudo reboot",
			"the kernel turns them into inputs when the gateway ends: what on_stop sets does not stay, a resistor to the safe level does")
	default:
		d.find(Note, "GPIO outputs", "", "this kernel may turn them into inputs when the gateway ends: put a resistor to the safe level at each")
	}
}
