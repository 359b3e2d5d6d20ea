package board

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"fieldgate/sensors"
)

// remedy is what brings a bus that is missing.
type remedy struct {
	why     string // what the kernel lacks; "" if that is plain
	line    string // for the boot configuration of a Raspberry Pi
	file    string // its boot configuration
	module  string // of the kernel's, to load
	instead string // what to do where neither helps
}

// sentence is the remedy in an error.
func (r remedy) sentence() string {
	var parts []string
	if r.why != "" {
		parts = append(parts, r.why)
	}
	switch {
	case r.line != "":
		parts = append(parts, "put "+r.line+" into "+r.file+" and restart the machine")
	case r.module != "":
		parts = append(parts, "sudo modprobe "+r.module)
	}
	if r.instead != "" {
		parts = append(parts, r.instead)
	}
	return strings.Join(parts, "; ")
}

// fix is a command that applies the remedy; "" if there is none.
func (r remedy) fix() string {
	if r.line != "" {
		// The file may end in a section for another model.
		return `printf '\n[all]\n` + r.line + `\n' | sudo tee -a ` + r.file + ` && sudo reboot`
	}
	if r.module != "" {
		return loadAtBoot(r.module)
	}
	return ""
}

// bootFile is the boot configuration of a Raspberry Pi.
func (t tree) bootFile() string {
	const now, before = "/boot/firmware/config.txt", "/boot/config.txt"
	if !t.exists(now) && t.exists(before) {
		return before
	}
	return now
}

// loadAtBoot loads a module now and at each start.
func loadAtBoot(module string) string {
	return "sudo modprobe " + module + " && echo " + module + " | sudo tee /etc/modules-load.d/" + module + ".conf"
}

// missing says what brings the bus of this name, which is not there.
func (t tree) missing(kind sensors.BusKind, name string) remedy {
	_, number, _ := strings.Cut(name, ":")
	bus, cs, _ := strings.Cut(number, ".")
	var r remedy
	switch kind {
	case sensors.I2C:
		if t.exists("/sys/bus/i2c/devices/i2c-" + bus) {
			return remedy{why: "the kernel has the bus, but not its module i2c-dev", module: "i2c-dev"}
		}
		r = remedy{module: "i2c-dev", instead: "the kernel needs CONFIG_I2C_CHARDEV and a driver for the adapter"}
	case sensors.SPI:
		if d := t.link("/sys/bus/spi/devices/spi" + number + "/driver"); d != "" && d != "spidev" {
			return remedy{why: "the kernel's driver " + d + " has this chip select", instead: "take its overlay out of the boot configuration"}
		}
		r = remedy{module: "spidev", instead: "the kernel needs CONFIG_SPI_SPIDEV, and its device tree a spidev for this chip select"}
	default:
		r = remedy{module: "w1-gpio", instead: "the kernel needs CONFIG_W1_MASTER_GPIO, and its device tree the line that the bus is on"}
	}
	if t.pi() {
		r = remedy{file: t.bootFile()}
		r.line, r.instead = piLine(t.model(), kind, bus, cs)
	}
	if there := t.buses(kind); len(there) > 0 {
		r.why = "there is " + strings.Join(there, ", ")
	}
	return r
}

// piLine is the line of a Raspberry Pi's config.txt that brings a bus (Linux
// arch/arm/boot/dts/overlays/README of the Raspberry Pi kernel), or why there is
// none.
func piLine(model string, kind sensors.BusKind, bus, cs string) (line, none string) {
	n, _ := strconv.Atoi(bus)
	c, _ := strconv.Atoi(cs)
	five := piFilters(model)["pi5"]
	four := piFilters(model)["pi4"]
	switch {
	case kind == sensors.OneWire && n <= 1:
		return "dtoverlay=w1-gpio", "" // GPIO4, with a resistor of 4.7 kOhm to 3.3 V
	case kind == sensors.OneWire:
		return "dtoverlay=w1-gpio,gpiopin=17", ""
	case kind == sensors.I2C && n == 1:
		return "dtparam=i2c_arm=on", ""
	case kind == sensors.I2C && five && n <= 3:
		return "dtoverlay=i2c" + bus + "-pi5", ""
	case kind == sensors.I2C && n == 0:
		return "dtoverlay=i2c0", ""
	case kind == sensors.I2C && four && n >= 3 && n <= 6:
		return "dtoverlay=i2c" + bus, ""
	case kind == sensors.I2C:
		return "dtoverlay=i2c-gpio,bus=" + bus, "" // GPIO23 and 24, two resistors
	case n == 0 && c <= 1:
		return "dtparam=spi=on", ""
	case (n == 1 || n == 2) && c <= 2, n >= 3 && n <= 6 && c <= 1 && (four || five):
		return fmt.Sprintf("dtoverlay=spi%d-%dcs", n, c+1), ""
	}
	return "", "this model has no such chip select: those of the header are spi:0.0, spi:0.1 and spi:1.0 to spi:1.2"
}

// buses lists the buses of a kind that are there, by name.
func (t tree) buses(kind sensors.BusKind) []string {
	var out []string
	switch kind {
	case sensors.I2C:
		for _, n := range t.numbered("/dev", "i2c-") {
			out = append(out, fmt.Sprintf("i2c:%d", n))
		}
	case sensors.SPI:
		for _, name := range t.names("/dev", "spidev") {
			if _, bus, err := sensors.ParseBus("/dev/" + name); err == nil {
				out = append(out, bus)
			}
		}
	case sensors.OneWire:
		for _, n := range t.numbered("/sys/bus/w1/devices", "w1_bus_master") {
			out = append(out, fmt.Sprintf("w1:%d", n))
		}
	}
	return out
}

// group is the group that a bus belongs to on Raspberry Pi OS, and with the
// gateway's own udev rules.
func group(kind sensors.BusKind) string {
	switch kind {
	case sensors.I2C:
		return "i2c"
	case sensors.SPI:
		return "spi"
	}
	return "gpio"
}

// udevRules are those of systemd/60-fieldgate.rules.
var udevRules = map[string]string{
	"i2c":  `SUBSYSTEM=="i2c-dev", GROUP="i2c", MODE="0660"`,
	"spi":  `SUBSYSTEM=="spidev", GROUP="spi", MODE="0660"`,
	"gpio": `SUBSYSTEM=="gpio", KERNEL=="gpiochip*", GROUP="gpio", MODE="0660"`,
}

// giveToGroup is the command that gives a kind of device nodes to their group.
func giveToGroup(group string) string {
	return "sudo groupadd -f -r " + group + " && echo '" + udevRules[group] + "' | sudo tee /etc/udev/rules.d/60-" + group + "-fieldgate.rules && sudo udevadm control --reload && sudo udevadm trigger"
}

// joinGroup is the command that lets a user into a group. It takes effect with
// the next login, or start of the service.
func joinGroup(group, user string) string { return "sudo usermod -aG " + group + " " + user }

// denied says what gives user the right to a device node that err keeps closed.
func (t tree) denied(node, usual, user string, err error) string {
	if errors.Is(err, syscall.EPERM) {
		return "the unit of the service leaves it out: sudo systemctl edit fieldgate, with [Service] and DeviceAllow=" + node + " rw"
	}
	info, serr := os.Stat(t.path(node))
	if serr != nil {
		return joinGroup(usual, user)
	}
	owner := t.groupOf(info)
	if owner == "" || owner == "root" || info.Mode().Perm()&0o060 != 0o060 {
		return "only root may use it: " + giveToGroup(usual)
	}
	return joinGroup(owner, user) + ", then log in anew"
}

// groupOf names the group that a file belongs to; "" if /etc/group has none.
func (t tree) groupOf(info os.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return t.groupName(strconv.FormatUint(uint64(st.Gid), 10))
}

// groupName is the name of the group with this number.
func (t tree) groupName(gid string) string {
	for line := range strings.Lines(t.text("/etc/group")) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) >= 3 && f[2] == gid {
			return f[0]
		}
	}
	return ""
}
