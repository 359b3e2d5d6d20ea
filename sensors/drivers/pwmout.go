package drivers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"fieldgate/sensors"
)

// A PWM output of the processor: the speed of a fan, the brightness of a lamp, a
// servo. It goes through the kernel's files (Documentation/driver-api/pwm.rst and
// ABI/testing/sysfs-class-pwm), which have these rules, of pwm_apply_state and
// the files' own code:
//
//   - a channel has no files until it is exported, and then no period;
//   - nothing can be set but the duty cycle while there is no period;
//   - the duty cycle is never above the period, at any moment;
//   - the polarity changes only while the output is disabled.
//
// A channel stays exported and enabled when it is closed: the kernel disables
// what is unexported. At 0 % it is enabled too, since a disabled output with
// inversed polarity may be at the level that means on.
func init() {
	sensors.RegisterOutput(sensors.OutputDriver{
		Name:    "pwm-out",
		Doc:     "PWM output of the processor: 0 to 100 %",
		Percent: true,
		Options: []sensors.Option{
			{Name: "chip", Doc: "number of the PWM chip, as in /sys/class/pwm/pwmchip0", Kind: sensors.Integer, Default: "0", Min: 0, Max: 255},
			{Name: "output", Doc: "number of the output of that chip", Kind: sensors.Integer, Default: "0", Min: 0, Max: 255},
			{Name: "frequency", Doc: "in Hz; 25000 for fans, 50 for servos", Kind: sensors.Decimal, Default: "1000", Min: 0.25, Max: 1e6},
			{Name: "active_low", Doc: "the output is low for the part of the time in which it is on", Kind: sensors.Switch, Default: "false"},
		},
		Claims: func(o sensors.Options) []string {
			return []string{fmt.Sprintf("pwm:%d.%d", o.Integer("chip"), o.Integer("output"))}
		},
		Open: func(ctx context.Context, env sensors.Env, o sensors.Options, first sensors.Level) (sensors.Actuator, error) {
			p := newPWMOut(o, pwmoutTree(filepath.Join(env.Board.Root(), "sys/class/pwm")))
			if err := p.open(ctx, first); err != nil {
				return nil, p.wrap(err)
			}
			return p, nil
		},
	})
}

// pwmoutWait is how long udev may take to give the files of a new channel to
// their group.
const pwmoutWait = 2 * time.Second

// pwmoutFiles are the kernel's files below /sys/class/pwm.
type pwmoutFiles interface {
	// Read gives the content without the white space around it.
	Read(name string) (string, error)
	Write(name, value string) error
}

// pwmoutTree is a folder with such files.
type pwmoutTree string

// Read implements pwmoutFiles.
func (t pwmoutTree) Read(name string) (string, error) {
	return sysfsText(filepath.Join(string(t), name))
}

// Write implements pwmoutFiles. It makes no file.
func (t pwmoutTree) Write(name, value string) error {
	f, err := os.OpenFile(filepath.Join(string(t), name), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// pwmout is a channel of a PWM chip.
type pwmout struct {
	label
	files        pwmoutFiles
	chip, output int64
	period       int64 // ns
	polarity     string
}

func newPWMOut(o sensors.Options, files pwmoutFiles) *pwmout {
	p := &pwmout{files: files, chip: o.Integer("chip"), output: o.Integer("output"), polarity: "normal",
		period: int64(math.Round(float64(time.Second) / o.Decimal("frequency")))}
	p.label = label(fmt.Sprintf("pwm-out at pwmchip%d, output %d", p.chip, p.output))
	if o.Switch("active_low") {
		p.polarity = "inversed"
	}
	return p
}

// of names a file of the chip, file one of the channel.
func (p *pwmout) of(name string) string   { return fmt.Sprintf("pwmchip%d/%s", p.chip, name) }
func (p *pwmout) file(name string) string { return p.of(fmt.Sprintf("pwm%d/%s", p.output, name)) }

func (p *pwmout) write(name, value string) error { return p.files.Write(p.file(name), value) }

// number reads a file of the chip or the channel.
func (p *pwmout) number(name string) (int64, error) {
	text, err := p.files.Read(name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return n, nil
}

// open readies the channel and brings it to first. If it runs already as it
// should, only its duty cycle changes.
func (p *pwmout) open(ctx context.Context, first sensors.Level) error {
	if err := p.export(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, pwmoutWait)
	defer cancel()
	for {
		err := p.configure(first)
		if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if pause(ctx, 20*time.Millisecond) != nil {
			return err // what it waited for in vain
		}
	}
}

// export has the kernel make the channel's files, unless they are there.
func (p *pwmout) export() error {
	n, err := p.number(p.of("npwm"))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the chip %w: on a Raspberry Pi dtoverlay=pwm or dtoverlay=pwm-2chan in config.txt brings it: %w", sensors.ErrAbsent, err)
	}
	if err != nil {
		return err
	}
	if p.output >= n {
		return fmt.Errorf("the output %w: the chip has 0 to %d", sensors.ErrAbsent, n-1)
	}
	if _, err := p.files.Read(p.file("enable")); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err = p.files.Write(p.of("export"), strconv.FormatInt(p.output, 10))
	if errors.Is(err, syscall.EBUSY) {
		return fmt.Errorf("the output %w by a driver of the kernel: %w", sensors.ErrTaken, err)
	}
	return err
}

// configure sets period, polarity and duty cycle in an order that the kernel
// takes, and enables the output last.
func (p *pwmout) configure(first sensors.Level) error {
	enabled, err := p.number(p.file("enable"))
	if err != nil {
		return err
	}
	period, err := p.number(p.file("period"))
	if err != nil {
		return err
	}
	polarity, err := p.files.Read(p.file("polarity"))
	switch {
	case errors.Is(err, fs.ErrNotExist) && p.polarity == "inversed":
		return fmt.Errorf("active_low is not possible: the chip has one polarity: %v", err) // no file to wait for
	case errors.Is(err, fs.ErrNotExist):
		polarity = p.polarity
	case err != nil:
		return err
	}
	turn := polarity != p.polarity
	if turn && enabled != 0 {
		if err := p.write("enable", "0"); err != nil {
			return err
		}
		enabled = 0
	}
	duty := strconv.FormatInt(p.duty(first), 10)
	if period > p.period { // the old duty cycle may be too long for the new period
		if err := p.write("duty_cycle", duty); err != nil {
			return err
		}
	}
	if period != p.period {
		if err := p.write("period", strconv.FormatInt(p.period, 10)); err != nil {
			return err
		}
	}
	if turn {
		if err := p.write("polarity", p.polarity); err != nil {
			return err
		}
	}
	if err := p.write("duty_cycle", duty); err != nil {
		return err
	}
	if enabled == 0 {
		return p.write("enable", "1")
	}
	return nil
}

// duty is the part of the period for a level, in ns.
func (p *pwmout) duty(l sensors.Level) int64 {
	return min(int64(math.Round(float64(p.period)*float64(l)/100)), p.period)
}

// Set implements sensors.Actuator.
func (p *pwmout) Set(l sensors.Level) error {
	return p.wrap(p.write("duty_cycle", strconv.FormatInt(p.duty(l), 10)))
}

// Close implements sensors.Actuator. The output goes on as it is.
func (p *pwmout) Close() error { return nil }
