package drivers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"fieldgate/sensors"
)

// maxSysfs is the most that the kernel gives of one attribute: a page.
const maxSysfs = 4096

// The relative humidity that sensors give at most, in percent: at the ends of
// the range their formulas run over a little.
const humidityLow, humidityHigh = -6, 119

// sysfsText reads one of the kernel's small files, without the white space
// around it. The error names the file, also where the kernel gives nothing:
// that is how some of its drivers say that they have no value.
func sysfsText(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSysfs+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxSysfs {
		return "", fmt.Errorf("%s: longer than %d bytes", path, maxSysfs)
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return "", fmt.Errorf("%s: the file is empty", path)
	}
	return text, nil
}

// sysfsNumber reads a file that holds one decimal number.
func sysfsNumber(path string) (float64, error) {
	text, err := sysfsText(path)
	if err != nil {
		return 0, err
	}
	v, err := parseSysfsNumber(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

// sysfsOptional reads a number from a file that need not be there, which then
// is absent.
func sysfsOptional(path string, absent float64) (float64, error) {
	v, err := sysfsNumber(path)
	if errors.Is(err, fs.ErrNotExist) {
		return absent, nil
	}
	return v, err
}

// parseSysfsNumber reads a decimal number as the kernel writes it: a sign,
// digits, a point. It takes no exponent, no NaN, no second number and no unit
// such as " dB".
func parseSysfsNumber(text string) (float64, error) {
	if text == "" || strings.Trim(text, "+-.0123456789") != "" {
		return 0, fmt.Errorf("%.40q is no number", text)
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%.40q is no number", text)
	}
	return v, nil
}

// sysfsDevice finds one of the devices of a class: the entries of folder
// (below root) that begin with prefix and go on with a number. It is named by
// its entry ("hwmon0") or by what one of the files says that are listed in
// names. The error names the devices that are there, and wraps
// sensors.ErrAbsent if none is meant.
func sysfsDevice(root, folder, prefix, want string, names ...string) (string, error) {
	dir := filepath.Join(root, folder)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%q %w: the kernel has no %s", want, sensors.ErrAbsent, dir)
	}
	if err != nil {
		return "", err
	}
	var meant, there []string
	for _, e := range entries {
		n, ok := strings.CutPrefix(e.Name(), prefix)
		if _, err := strconv.ParseUint(n, 10, 31); !ok || err != nil {
			continue
		}
		if e.Name() == want {
			return filepath.Join(dir, want), nil
		}
		label := e.Name()
		for _, file := range names {
			name, err := sysfsText(filepath.Join(dir, e.Name(), file))
			if err != nil {
				continue // it is there by its number all the same
			}
			label = fmt.Sprintf("%s (%.60s)", e.Name(), name)
			if name == want {
				meant = append(meant, e.Name())
				break
			}
		}
		there = append(there, label)
	}
	switch {
	case len(meant) == 1:
		return filepath.Join(dir, meant[0]), nil
	case len(meant) > 1:
		return "", fmt.Errorf("there are %d with the name %q in %s: name one of %s", len(meant), want, dir, strings.Join(meant, ", "))
	case len(there) == 0:
		return "", fmt.Errorf("%q %w: %s is empty", want, sensors.ErrAbsent, dir)
	}
	return "", fmt.Errorf("%q %w: %s has %s", want, sensors.ErrAbsent, dir, strings.Join(there, ", "))
}

// sysfsQuantity is how the kernel's values of one type are published.
type sysfsQuantity struct {
	channel sensors.Channel
	factor  float64 // from the kernel's unit to that of channel
	// low and high are the least and greatest value that is possible at all, in
	// the unit of channel.
	low, high float64
}

// convert gives what the kernel said in the unit of the channel. What is not
// possible is an error.
func (q *sysfsQuantity) convert(kernel float64) (float64, error) {
	v := kernel * q.factor
	if !(v >= q.low && v <= q.high) { // NaN too
		return 0, fmt.Errorf("%v %s is not possible", v, q.channel.Unit)
	}
	return v, nil
}

// sysfsSensor is a sampler of one value that the kernel measures. Nothing is
// held open between two readings.
type sysfsSensor struct {
	label   // driver, chip and input
	channel sensors.Channel
	read    func() (float64, error)
}

// Sample implements sensors.Sampler. The kernel's reading cannot be interrupted.
func (s *sysfsSensor) Sample(context.Context) ([]sensors.Sample, error) {
	v, err := s.read()
	if err != nil {
		return nil, s.wrap(err)
	}
	samples, err := samplesOf([]sensors.Channel{s.channel}, v)
	return samples, s.wrap(err)
}

// Close implements sensors.Sampler.
func (s *sysfsSensor) Close() error { return nil }
