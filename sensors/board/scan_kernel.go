package board

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"fieldgate/sensors"
)

// scanOneWire lists what the kernel found on its 1-Wire buses.
func (s *scanner) scanOneWire() []OneWireBus {
	var out []OneWireBus
	for _, name := range s.root.buses(sensors.OneWire) {
		b := OneWireBus{Name: name}
		ids := s.root.text(node(name) + "/w1_master_slaves")
		for id := range strings.Lines(ids) {
			id = strings.TrimSpace(id)
			family, _, ok := strings.Cut(id, "-")
			switch {
			case !ok: // "not found."
			case family == "00":
				b.Problem = "the chips that answer have impossible ids: the resistor of 4.7 kOhm from the data line to 3.3 V is missing"
			default:
				chip := OneWireChip{ID: id, Family: families[family]}
				for _, try := range []string{"w1", "ds18b20"} {
					on := name
					if d, known := s.Drivers.Lookup(try); known && d.Bus&sensors.OneWire == 0 {
						on = ""
					}
					if l, ok := s.line(try, on, [2]string{"rom", id}); ok && thermometers[family] {
						chip.Drivers = append(chip.Drivers, l)
					}
				}
				s.claim(chip.Drivers)
				b.Chips = append(b.Chips, chip)
			}
		}
		if len(b.Chips) == 0 && b.Problem == "" {
			b.Problem = "nobody answers: look at the wires, and at the resistor of 4.7 kOhm from the data line to 3.3 V"
		}
		out = append(out, b)
	}
	return out
}

// families are 1-Wire family codes (Analog Devices application note 155).
var families = map[string]string{
	"01": "DS2401 serial number", "05": "DS2405 switch", "10": "DS18S20 thermometer", "12": "DS2406 switch",
	"1c": "DS28E04 EEPROM and switch", "1d": "DS2423 counter", "20": "DS2450 voltages", "22": "DS1822 thermometer",
	"23": "DS2433 EEPROM", "26": "DS2438 battery monitor", "28": "DS18B20 thermometer", "29": "DS2408 switch",
	"2d": "DS2431 EEPROM", "3a": "DS2413 switch", "3b": "DS1825 thermometer or MAX31850 thermocouple",
	"42": "DS28EA00 thermometer", "43": "DS28EC20 EEPROM",
}

// thermometers are the families that the drivers for 1-Wire read.
var thermometers = map[string]bool{"10": true, "22": true, "28": true, "3b": true, "42": true}

// iioInput is a file that a channel can be read from (Linux
// Documentation/ABI/testing/sysfs-bus-iio).
var iioInput = regexp.MustCompile(`^(in_[a-z0-9_-]+)_(?:raw|input)$`)

// scanIIO lists the chips of the kernel's industrial I/O subsystem.
func (s *scanner) scanIIO() []KernelChip {
	const devices = "/sys/bus/iio/devices"
	var out []KernelChip
	for _, id := range s.root.names(devices, "iio:device") {
		dir := devices + "/" + id
		c := KernelChip{ID: id, Name: s.root.text(dir + "/name")}
		chip := s.nameOf(devices, "iio:device", c)
		for _, file := range s.root.names(dir, "in_") {
			m := iioInput.FindStringSubmatch(file)
			if m == nil || slices.ContainsFunc(c.Inputs, func(in KernelInput) bool { return in.Name == m[1] }) {
				continue
			}
			in := KernelInput{Name: m[1], Label: s.root.text(dir + "/" + m[1] + "_label")}
			in.Driver = s.kernelLine("iio", [2]string{"chip", chip}, [2]string{"input", m[1]})
			c.Inputs = append(c.Inputs, in)
		}
		out = append(out, c)
	}
	return out
}

// nameOf is what a chip is called in the configuration: its name, which stays
// the same, or its number where others have that name too.
func (s *scanner) nameOf(dir, prefix string, c KernelChip) string {
	same := 0
	for _, id := range s.root.names(dir, prefix) {
		if s.root.text(dir+"/"+id+"/name") == c.Name {
			same++
		}
	}
	if c.Name == "" || same > 1 {
		return c.ID
	}
	return c.Name
}

// hwmonInput is a file that a value can be read from (Linux
// Documentation/hwmon/sysfs-interface.rst).
var hwmonInput = regexp.MustCompile(`^((?:temp|in|fan|power|curr|humidity|energy|freq)[0-9]+)_(?:input|average)$`)

// scanHwmon lists the kernel's hardware monitors.
func (s *scanner) scanHwmon() []KernelChip {
	const class = "/sys/class/hwmon"
	var out []KernelChip
	for _, id := range s.root.names(class, "hwmon") {
		dir := class + "/" + id
		c := KernelChip{ID: id, Name: s.root.text(dir + "/name")}
		chip := s.nameOf(class, "hwmon", c)
		for _, file := range s.root.names(dir, "") {
			m := hwmonInput.FindStringSubmatch(file)
			if m == nil || slices.ContainsFunc(c.Inputs, func(in KernelInput) bool { return in.Name == m[1] }) {
				continue
			}
			in := KernelInput{Name: m[1], Label: s.root.text(dir + "/" + m[1] + "_label")}
			in.Driver = s.kernelLine("hwmon", [2]string{"chip", chip}, [2]string{"input", m[1]})
			c.Inputs = append(c.Inputs, in)
		}
		out = append(out, c)
	}
	return out
}

// scanThermal lists the kernel's thermal zones.
func (s *scanner) scanThermal() []Zone {
	const class = "/sys/class/thermal"
	var out []Zone
	for _, n := range s.root.numbered(class, "thermal_zone") {
		number := strconv.Itoa(n)
		out = append(out, Zone{n, s.root.text(class + "/thermal_zone" + number + "/type"),
			s.kernelLine("thermal", [2]string{"zone", number})})
	}
	return out
}

// kernelLine is the line for a driver that reads what the kernel measures.
func (s *scanner) kernelLine(driver string, options ...[2]string) []ConfigLine {
	l, ok := s.line(driver, "", options...)
	if !ok {
		return nil
	}
	return s.claim([]ConfigLine{l})
}

func orElse(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}
