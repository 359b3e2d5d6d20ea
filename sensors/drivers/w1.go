package drivers

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fieldgate/sensors"
)

// w1 reads 1-Wire thermometers through the kernel's driver w1_therm: DS18B20,
// DS1822, DS18S20, DS1825 (and MAX31850), DS28EA00.
//
// Source: the kernel's Documentation/ABI/testing/sysfs-driver-w1_therm. A read of
// w1_slave starts a measurement, blocks for it (750 ms at 12 bits) and gives the
// scratchpad, whether its checksum was right, and the temperature. The file is
// empty if the sensor did not answer.
//
// The scratchpad is looked at here as by the driver ds18b20, since the kernel
// takes one of zeros for 0 °C, the 85 °C from power-up for a measurement, and a
// DS18S20 without its count for 0 °C. Where a kernel has no w1_slave the file
// temperature is read, which has no scratchpad: there 85.000 °C is always
// refused. So is 85 °C from a sensor that takes its power from the data line.
func init() {
	sensors.Register(sensors.Driver{
		Name: "w1",
		Doc:  "the kernel's 1-Wire drivers: temperature of a DS18B20, DS1822, DS18S20, DS1825, MAX31850 or DS28EA00",
		Options: []sensors.Option{
			{Name: "rom", Doc: "id of the sensor, such as 28-0316a2795cff, or all 16 digits of it; if left out, the only one there is", Kind: sensors.Text},
		},
		Check: func(o sensors.Options) []sensors.OptionError {
			rom := o.Text("rom")
			if rom == "" {
				return nil
			}
			a, err := parseROM(rom)
			if err != nil {
				return []sensors.OptionError{{Option: "rom", Problem: err.Error(), Remedy: "an id such as 28-0316a2795cff, as in /sys/bus/w1/devices"}}
			}
			if !w1Knows(romName(a)) {
				return []sensors.OptionError{{Option: "rom", Problem: romName(a) + " is no thermometer", Remedy: "an id that begins with 28-, 22-, 10-, 3b- or 42-"}}
			}
			return nil
		},
		Every: 30 * time.Second,
		Channels: func(sensors.Options) []sensors.Channel {
			return []sensors.Channel{w1Channel()}
		},
		Open: func(_ context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			s := &sysfsSensor{label: "w1", channel: w1Channel()}
			id, err := findW1(filepath.Join(env.Board.Root(), "sys/bus/w1/devices"), o.Text("rom"))
			if err != nil {
				return nil, s.wrap(err)
			}
			s.label = label("w1: " + id)
			dir := filepath.Join(env.Board.Root(), "sys/bus/w1/devices", id)
			s.read = func() (float64, error) { return readW1(dir, id) }
			return s, nil
		},
	})
}

func w1Channel() sensors.Channel {
	return sensors.Channel{Kind: "Thermometer", Quantity: "Temperature", Unit: "DegreeCelsius", Decimals: 2}
}

// w1Families are the family codes of thermometers.
const w1Families = "10 22 28 3b 42"

// w1Knows reports whether an id is that of a thermometer.
func w1Knows(id string) bool {
	family, _, ok := strings.Cut(id, "-")
	return ok && slices.Contains(strings.Fields(w1Families), family)
}

// findW1 gives the folder of the sensor that is named, or of the only one.
func findW1(dir, rom string) (string, error) {
	want := ""
	if rom != "" {
		a, err := parseROM(rom)
		if err != nil {
			return "", err
		}
		want = romName(a)
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("1-Wire %w: the kernel has no %s", sensors.ErrAbsent, dir)
	}
	if err != nil {
		return "", err
	}
	var there []string
	for _, e := range entries {
		if e.Name() == want {
			return want, nil
		}
		if w1Knows(e.Name()) {
			there = append(there, e.Name())
		}
	}
	switch {
	case len(there) == 0:
		return "", fmt.Errorf("a thermometer %w: %s has none", sensors.ErrAbsent, dir)
	case want != "":
		return "", fmt.Errorf("%s %w: %s has %s", want, sensors.ErrAbsent, dir, strings.Join(there, ", "))
	case len(there) > 1:
		return "", fmt.Errorf("there are several, name one with rom: %s", strings.Join(there, ", "))
	}
	return there[0], nil
}

// readW1 measures once.
func readW1(dir, id string) (float64, error) {
	path := filepath.Join(dir, "w1_slave")
	text, err := sysfsText(path)
	if errors.Is(err, fs.ErrNotExist) {
		path = filepath.Join(dir, "temperature")
		var milli float64
		if milli, err = sysfsNumber(path); err != nil {
			return 0, err
		}
		if milli == 85000 {
			return 0, fmt.Errorf("%s: 85 °C, which is the value from power-up", path)
		}
		return w1Possible(path, milli/1000, id)
	}
	if err != nil {
		return 0, err
	}
	v, err := parseW1Slave(id, text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	if v == 85 {
		power := filepath.Join(dir, "ext_power")
		external, err := sysfsOptional(power, 1)
		if err != nil {
			return 0, err
		}
		if external != 1 {
			return 0, fmt.Errorf("%s: %w", path, errDS18B20Power)
		}
	}
	return w1Possible(path, v, id)
}

// w1Possible checks the range. Thermocouples (family 3b) have a wider one.
func w1Possible(path string, v float64, id string) (float64, error) {
	low, high := -55.0, 125.0
	if strings.HasPrefix(id, "3b-") {
		low, high = -270, 1820
	}
	if !(v >= low && v <= high) {
		return 0, fmt.Errorf("%s: %v °C is outside of what the sensor measures", path, v)
	}
	return v, nil
}

// parseW1Slave reads w1_slave of the sensor with this id: the nine bytes of the
// scratchpad, "crc=" and YES or NO; below them the bytes again and "t=" with the
// temperature in milli °C.
func parseW1Slave(id, text string) (float64, error) {
	first, second, two := strings.Cut(text, "\n")
	words := strings.Fields(first)
	if !two || len(words) != 12 || words[9] != ":" || !strings.HasPrefix(words[10], "crc=") {
		return 0, fmt.Errorf("%.80q is no scratchpad", text)
	}
	var pad [9]byte
	if b, err := hex.DecodeString(strings.Join(words[:9], "")); err != nil || copy(pad[:], b) != len(pad) {
		return 0, fmt.Errorf("%.80q is no scratchpad", text)
	}
	if err := ds18b20Intact(pad); err != nil {
		return 0, err
	}
	if words[11] != "YES" {
		return 0, fmt.Errorf("the kernel says of the checksum: %.10s", words[11])
	}
	switch family := id[:2]; family {
	case "28", "22":
		return ds18b20Celsius(ds18b20Family, ds18b20Bits(pad), pad)
	case "10":
		return ds18b20Celsius(ds18s20Family, 12, pad)
	}
	if pad[0] == 0x50 && pad[1] == 0x05 && pad[6] == 0x0c {
		return 0, errors.New("85 °C from power-up, no measurement took place")
	}
	_, t, ok := strings.Cut(second, "t=")
	milli, err := parseSysfsNumber(t)
	if !ok || err != nil {
		return 0, fmt.Errorf("%.80q has no temperature", second)
	}
	return milli / 1000, nil
}
