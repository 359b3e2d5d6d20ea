package drivers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"fieldgate/sensors"
)

// system reads how the machine itself is doing.
//
// Sources: proc(5) for /proc/loadavg, meminfo and uptime; statfs(2); the
// kernel's raspberrypi-hwmon (rpi_volt) and, for the firmware's bits, Raspberry
// Pi's documentation of vcgencmd get_throttled; JEDEC JESD84-B51 section 7.4
// (DEVICE_LIFE_TIME_EST) for the life time of an eMMC.
//
//   - undervoltage is true if the 5 V supply of a Raspberry Pi was below 4.63 V
//     within the last two seconds: that is as long as the kernel keeps it.
//     rpi_volt is asked first, since some kernels warn of the use of the other
//     file in their log.
//   - throttled is true while the firmware slows the processor down: its clock
//     is capped, throttled, or at the soft temperature limit. Only the kernels of
//     Raspberry Pi OS have it.
//   - card is how much of its life the card has used at most, in steps of ten
//     percent; 110 means more than it was made for. eMMC has it, and few SD
//     cards have: where it is not there, that is an error.
//
// The temperature of the processor is the driver thermal's.
func init() {
	sensors.Register(sensors.Driver{
		Name: "system",
		Doc:  "the machine itself: load, memory, disk, uptime, undervoltage and throttling of a Raspberry Pi, wear of the card",
		Options: []sensors.Option{
			{Name: "values", Doc: "which of " + strings.Join(systemNames(), ", "), Kind: sensors.Text, Default: "load,memory,disk"},
			{Name: "disk", Doc: "a folder of the file system that disk is about", Kind: sensors.Text, Default: "/"},
			{Name: "card", Doc: "the block device that card is about", Kind: sensors.Text, Default: "mmcblk0"},
		},
		Check: systemCheck,
		Every: time.Minute,
		Channels: func(o sensors.Options) []sensors.Channel {
			var out []sensors.Channel
			for _, v := range systemChosen(o) {
				out = append(out, v.channel)
			}
			return out
		},
		Open: func(_ context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			return &system{root: env.Board.Root(), disk: o.Text("disk"), card: o.Text("card"), values: systemChosen(o)}, nil
		},
	})
}

// system reads the chosen values.
type system struct {
	root, disk, card string
	values           []systemValue
}

// systemValue is one of the values that can be chosen.
type systemValue struct {
	channel sensors.Channel // its suffix is its name
	read    func(*system) (json.RawMessage, error)
}

// systemAll lists what there is.
func systemAll() []systemValue {
	number := func(decimals int, read func(*system) (float64, error)) func(*system) (json.RawMessage, error) {
		return func(s *system) (json.RawMessage, error) {
			v, err := read(s)
			if err != nil {
				return nil, err
			}
			return sensors.Number(v, decimals)
		}
	}
	flag := func(read func(*system) (bool, error)) func(*system) (json.RawMessage, error) {
		return func(s *system) (json.RawMessage, error) {
			v, err := read(s)
			return json.RawMessage(strconv.FormatBool(v)), err
		}
	}
	channel := func(suffix, quantity, unit string, decimals int) sensors.Channel {
		return sensors.Channel{Suffix: suffix, Kind: "OtherSensor", Quantity: quantity, Unit: unit, Decimals: decimals}
	}
	uptime := sensors.Channel{Suffix: "uptime", Kind: "DeviceUptimeClock", Quantity: "DeviceUptime", Unit: "SecondTime"}
	state := func(suffix string) sensors.Channel {
		return sensors.Channel{Suffix: suffix, Kind: "OtherSensor", Quantity: "WorkingState", Fixed: true}
	}
	return []systemValue{
		{channel("load", "Other", "Dimensionless", 2), number(2, (*system).load)},
		{channel("memory", "FillLevel", "Percent", 1), number(1, (*system).memory)},
		{channel("disk", "FillLevel", "Percent", 1), number(1, (*system).diskUsed)},
		{uptime, number(0, (*system).uptime)},
		{state("undervoltage"), flag((*system).undervoltage)},
		{state("throttled"), flag((*system).throttled)},
		{channel("card", "Other", "Percent", 0), number(0, (*system).cardUsed)},
	}
}

func systemNames() []string {
	var out []string
	for _, v := range systemAll() {
		out = append(out, v.channel.Suffix)
	}
	return out
}

// systemList takes the option values apart.
func systemList(o sensors.Options) []string {
	names := strings.Split(o.Text("values"), ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}

// systemChosen are the values that the options name, in their order.
func systemChosen(o sensors.Options) []systemValue {
	all := systemAll()
	var out []systemValue
	for _, name := range systemList(o) {
		if i := slices.IndexFunc(all, func(v systemValue) bool { return v.channel.Suffix == name }); i >= 0 {
			out = append(out, all[i])
		}
	}
	return out
}

var systemBlock = regexp.MustCompile(`^[a-z][a-z0-9]{0,31}$`)

func systemCheck(o sensors.Options) []sensors.OptionError {
	var wrong []sensors.OptionError
	names := systemList(o)
	for i, name := range names {
		remedy := "some of " + strings.Join(systemNames(), ", ") + ", with commas between them"
		switch {
		case !slices.Contains(systemNames(), name):
			wrong = append(wrong, sensors.OptionError{Option: "values", Problem: fmt.Sprintf("there is no %.40q", name), Remedy: remedy})
		case slices.Contains(names[:i], name):
			wrong = append(wrong, sensors.OptionError{Option: "values", Problem: name + " is there twice", Remedy: "each of them once"})
		}
	}
	if !strings.HasPrefix(o.Text("disk"), "/") {
		wrong = append(wrong, sensors.OptionError{Option: "disk", Problem: fmt.Sprintf("%.40q is no absolute path", o.Text("disk")), Remedy: "a folder such as / or /var/lib/fieldgate"})
	}
	if !systemBlock.MatchString(o.Text("card")) {
		wrong = append(wrong, sensors.OptionError{Option: "card", Problem: fmt.Sprintf("%.40q is no block device", o.Text("card")), Remedy: "a name in /sys/block, such as mmcblk0"})
	}
	return wrong
}

// Sample implements sensors.Sampler. If some value cannot be read there is none
// of them; the error tells of each.
func (s *system) Sample(context.Context) ([]sensors.Sample, error) {
	var out []sensors.Sample
	var errs []error
	for _, v := range s.values {
		value, err := v.read(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("sensors: system: %s: %w", v.channel.Suffix, err))
			continue
		}
		out = append(out, sensors.Sample{Suffix: v.channel.Suffix, Value: value})
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return out, nil
}

// Close implements sensors.Sampler.
func (s *system) Close() error { return nil }

// first reads a file whose first word is a number of at least 0.
func (s *system) first(file string) (float64, error) {
	path := filepath.Join(s.root, file)
	text, err := sysfsText(path)
	if err != nil {
		return 0, err
	}
	v, err := parseSysfsNumber(strings.Fields(text)[0])
	if err == nil && v < 0 {
		err = fmt.Errorf("%v is not possible", v)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

// load is the number of processes that ran or waited, over the last minute.
func (s *system) load() (float64, error) { return s.first("proc/loadavg") }

// uptime is the time since the machine was started, in seconds.
func (s *system) uptime() (float64, error) { return s.first("proc/uptime") }

// memory is the part of the memory that is not available, in percent.
func (s *system) memory() (float64, error) {
	path := filepath.Join(s.root, "proc/meminfo")
	text, err := sysfsText(path)
	if err != nil {
		return 0, err
	}
	v, err := parseMeminfo(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

// parseMeminfo gives the part of the memory that is used, in percent.
func parseMeminfo(text string) (float64, error) {
	kb := func(name string) (float64, error) {
		for line := range strings.Lines(text) {
			rest, ok := strings.CutPrefix(line, name+":")
			if !ok {
				continue
			}
			v, err := parseSysfsNumber(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err != nil {
				return 0, fmt.Errorf("%s: %w", name, err)
			}
			return v, nil
		}
		return 0, fmt.Errorf("there is no %s", name)
	}
	total, err := kb("MemTotal")
	if err != nil {
		return 0, err
	}
	free, err := kb("MemAvailable") // since Linux 3.14
	if err != nil {
		return 0, err
	}
	if !(total > 0 && free >= 0 && free <= total) {
		return 0, fmt.Errorf("%v kB of %v kB available are not possible", free, total)
	}
	return 100 * (total - free) / total, nil
}

// diskUsed is the part of a file system that is used, in percent.
func (s *system) diskUsed() (float64, error) {
	path := filepath.Join(s.root, s.disk)
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	v, err := systemUsed(st.Blocks, st.Bfree, st.Bavail)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

// systemUsed is the part of the blocks that are used or kept for the superuser,
// of those that others can have, in percent: as df counts.
func systemUsed(blocks, free, avail uint64) (float64, error) {
	if blocks == 0 || free > blocks || avail > free {
		return 0, fmt.Errorf("%d blocks, %d free and %d of them available are not possible", blocks, free, avail)
	}
	used := float64(blocks - free)
	if used+float64(avail) == 0 {
		return 100, nil
	}
	return 100 * used / (used + float64(avail)), nil
}

// The bits of get_throttled. Bits 16 up say that it happened since the kernel
// last cleared them.
const (
	systemUndervoltage = 1<<0 | 1<<16
	systemThrottled    = 1<<1 | 1<<17 | 1<<2 | 1<<18 | 1<<3 | 1<<19 // clock capped, throttled, soft temperature limit
)

// undervoltage reports whether the supply of a Raspberry Pi was too low.
func (s *system) undervoltage() (bool, error) {
	dir, err := sysfsDevice(s.root, "sys/class/hwmon", "hwmon", "rpi_volt", "name")
	if err == nil {
		path := filepath.Join(dir, "in0_lcrit_alarm")
		v, err := sysfsNumber(path)
		if err == nil && v != 0 && v != 1 {
			err = fmt.Errorf("%s: %v is neither 0 nor 1", path, v)
		}
		return v == 1, err
	}
	bits, second := s.firmware()
	if second != nil {
		return false, errors.Join(err, second)
	}
	return bits&systemUndervoltage != 0, nil
}

// throttled reports whether the firmware of a Raspberry Pi slows it down.
func (s *system) throttled() (bool, error) {
	bits, err := s.firmware()
	return bits&systemThrottled != 0, err
}

// firmware reads the bits of get_throttled.
func (s *system) firmware() (uint64, error) {
	pattern := filepath.Join(s.root, "sys/devices/platform/*/*firmware/get_throttled")
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return 0, err
	}
	if len(paths) == 0 {
		return 0, fmt.Errorf("%s %w: the kernels of Raspberry Pi OS have it", pattern, sensors.ErrAbsent)
	}
	text, err := sysfsText(paths[0])
	if err != nil {
		return 0, err
	}
	bits, err := parseThrottled(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", paths[0], err)
	}
	return bits, nil
}

// parseThrottled reads the bits, which the kernel writes in hexadecimal without
// 0x before them.
func parseThrottled(text string) (uint64, error) {
	bits, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 32)
	if err != nil {
		return 0, fmt.Errorf("%.40q is no hexadecimal number of 32 bits", text)
	}
	return bits, nil
}

// cardUsed is how much of its life the card has used at most, in percent.
func (s *system) cardUsed() (float64, error) {
	path := filepath.Join(s.root, "sys/block", s.card, "device/life_time")
	text, err := sysfsText(path)
	if err != nil {
		return 0, err
	}
	v, err := parseLifeTime(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

// parseLifeTime reads the two estimates of an eMMC, for its two kinds of
// memory: 0x01 is 0 to 10 percent, 0x0a is 90 to 100, 0x0b is more. The worse
// one counts. 0x00 says that the card does not know.
func parseLifeTime(text string) (float64, error) {
	words := strings.Fields(text)
	if len(words) != 2 {
		return 0, fmt.Errorf("%.40q are not two estimates", text)
	}
	var worst uint64
	for _, w := range words {
		n, err := strconv.ParseUint(strings.TrimPrefix(w, "0x"), 16, 8)
		if err != nil || n > 0x0b {
			return 0, fmt.Errorf("%.40q is no estimate", w)
		}
		worst = max(worst, n)
	}
	if worst == 0 {
		return 0, errors.New("the card does not know its wear")
	}
	return float64(worst) * 10, nil
}
