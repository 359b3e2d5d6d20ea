package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fieldgate/cmd/fieldgate/config"
	"fieldgate/gateway"
	"fieldgate/sensors"
	"fieldgate/sensors/board"
)

type scanCmd struct {
	Device   string `help:"Device in the lines for the configuration." default:"MyDevice"`
	ReadOnly bool   `help:"Write nothing to any chip, not even the number of a register to read."`
}

// Run looks at the machine's buses and lines and says what is there.
func (c scanCmd) Run(env environment) error {
	if err := gateway.CheckID(c.Device); err != nil {
		return fmt.Errorf("%w: --device: %w", errUsage, err)
	}
	r, err := board.Scan(env.ctx, board.ScanOptions{Device: c.Device, ReadOnly: c.ReadOnly})
	if err != nil {
		return err
	}
	return r.Write(env.stdout)
}

type doctorCmd struct {
	Config string `help:"Configuration file; by default that of the installed gateway, if there is one." placeholder:"FILE"`
	User   string `help:"Who is going to use the buses; by default who runs this command." placeholder:"USER"`
}

// installed is where the installed gateway has its configuration.
const installed = "/etc/fieldgate/fieldgate.yaml"

// Run checks what keeps a board from working. A fault makes an exit status of 1,
// a mistake in the configuration one of 2; the board is looked at all the same.
func (c doctorCmd) Run(env environment) error {
	o := board.DoctorOptions{User: c.User}
	cfg, wrong := c.load()
	if cfg != nil {
		o.DataDir = cfg.Data
		o.Buses, o.Pins = cfg.Hardware()
		if answers(cfg.Data) {
			fmt.Fprintln(env.stdout, "the gateway runs, or you may not know: its own ports and lines are not looked at")
			o.Pins = nil
		} else {
			o.Listen = slices.DeleteFunc([]string{cfg.Listen.MQTT, cfg.Listen.MQTTS, cfg.Listen.HTTP}, func(a string) bool { return a == "" })
		}
	}
	findings := board.Diagnose(env.ctx, o)
	if err := board.WriteFindings(env.stdout, findings); err != nil {
		return err
	}
	switch {
	case wrong != nil:
		return wrong
	case board.Worst(findings) == board.Fault:
		return errors.New("something keeps this board from working, see above")
	}
	return nil
}

// load reads the configuration that is meant, nil if there is none.
func (c doctorCmd) load() (*config.Config, error) {
	if c.Config == "" {
		if _, err := os.Stat(installed); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		c.Config = installed
	}
	return config.Load(c.Config)
}

// absent says which buses and lines of the configuration this machine lacks, and
// what brings them.
func absent(ctx context.Context, cfg *config.Config) (out []string) {
	buses, pins := cfg.Hardware()
	if len(buses)+len(pins) == 0 {
		return nil
	}
	if answers(cfg.Data) {
		pins = nil // they are taken, and rightly so
	}
	for _, f := range board.Diagnose(ctx, board.DoctorOptions{Buses: buses, Pins: pins}) {
		if f.Level == board.Fault && (slices.Contains(buses, f.What) || slices.Contains(pins, f.What) || f.What == "GPIO" && len(pins) > 0) {
			out = append(out, strings.TrimSuffix(f.What+": "+f.Why+"; "+f.Fix, "; "))
		}
	}
	return out
}

// answers reports whether a gateway runs on a data folder, as far as can be told:
// who may not look into the folder must not take its lines for somebody else's.
func answers(data string) bool {
	conn, err := net.Dial("unix", filepath.Join(data, socketFile))
	if err != nil {
		return errors.Is(err, fs.ErrPermission)
	}
	_ = conn.Close()
	return true
}

type releaseCmd struct {
	Config string `required:"" help:"Configuration file." placeholder:"FILE"`
}

// Run brings the outputs to their on_stop. It is for when the gateway has died
// without being able to: systemd runs it after each end (ExecStopPost).
func (c releaseCmd) Run(env environment) error {
	cfg, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	if answers(cfg.Data) {
		return errors.New("the gateway runs, or you may not know: its outputs are its own")
	}
	ctx, cancel := context.WithTimeout(env.ctx, 15*time.Second)
	defer cancel()
	return sensors.Release(ctx, cfg.Actuators, newBoard())
}
