package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"

	"fieldgate/cmd/fieldgate/config"
	"fieldgate/gateway"
)

type runCmd struct {
	Config string `required:"" help:"Configuration file." placeholder:"FILE"`
}

// Run runs the gateway until it is told to stop.
func (c runCmd) Run(env environment) error {
	abortOnCrash()
	boundMemory()
	cfg, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	log := newLogger(env.stderr, cfg.Log)
	for _, w := range cfg.Warnings {
		log.Warn("configuration: " + w.Error())
	}
	g, err := newGateway(cfg, log, gateway.NewSystemClock())
	if err != nil {
		return err
	}
	// Whoever reads standard error may go away; that must not end the gateway.
	signal.Ignore(syscall.SIGPIPE)
	defer lastWords(g, log, env.stderr)()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(env.ctx)
	var collected sync.WaitGroup
	collected.Go(func() { tradeMemory(ctx) })
	reloaded := make(chan struct{})
	go func() {
		defer close(reloaded)
		for {
			select {
			case <-ctx.Done():
				notify(log, daemon.SdNotifyStopping)
				return
			case <-hup:
				c.reload(g, log)
			}
		}
	}()
	err = g.run(env.ctx, func(addresses []string) {
		fmt.Fprintln(env.stderr, strings.Join(append([]string{"ready"}, addresses...), " "))
		notify(log, daemon.SdNotifyReady)
	})
	signal.Stop(hup)
	cancel()
	<-reloaded
	collected.Wait()
	return err
}

// reload reads the file again. A file with mistakes changes nothing.
func (c runCmd) reload(g *gatewayd, log *slog.Logger) {
	notify(log, daemon.SdNotifyReloading)
	defer notify(log, daemon.SdNotifyReady)
	cfg, err := config.Load(c.Config)
	if err != nil {
		log.Error("the configuration has mistakes and was not reloaded", "error", err)
		return
	}
	if err := g.reload(cfg); err != nil {
		log.Error("configuration reloaded, but part of the registry cannot be read", "error", err)
		return
	}
	log.Info("configuration reloaded: users, keys, acl and devices are in force; other changes need a restart")
	if !reflect.DeepEqual(cfg.Sensors, g.cfg.Sensors) || !reflect.DeepEqual(cfg.Actuators, g.cfg.Actuators) {
		log.Warn("sensors or actuators have changed in the configuration: until a restart they are as they were")
	}
	if !reflect.DeepEqual(cfg.Radios, g.cfg.Radios) || !reflect.DeepEqual(cfg.LoRaWAN, g.cfg.LoRaWAN) || !reflect.DeepEqual(cfg.LoRa, g.cfg.LoRa) {
		log.Warn("radios or LoRa devices have changed in the configuration: until a restart they are as they were")
	}
}

func newLogger(w io.Writer, c config.Log) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// fatalSignals are those that the Go runtime ends the process for, whoever sends
// them: systemd's watchdog sends SIGABRT. The outputs are brought to their on_stop
// before. All others but SIGKILL do nothing or are handled elsewhere; a fault in
// the program itself is a panic.
var fatalSignals = []os.Signal{syscall.SIGABRT, syscall.SIGQUIT, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGBUS,
	syscall.SIGFPE, syscall.SIGSEGV, syscall.SIGSYS, syscall.SIGSTKFLT}

// abortOnCrash has a panic that nobody catches end the process by SIGABRT: with the
// Go runtime's own exit status, 2, systemd would leave the gateway down.
func abortOnCrash() { debug.SetTraceback("crash") }

// lastWords waits for a fatal signal until what it returns is called. The exit
// status is 1: the Go runtime's own, 2, would have systemd leave the gateway
// down.
func lastWords(g *gatewayd, log *slog.Logger, stderr io.Writer) (stop func()) {
	fatal, over, ended := make(chan os.Signal, 1), make(chan struct{}), make(chan struct{})
	signal.Notify(fatal, fatalSignals...)
	go func() {
		defer close(ended)
		select {
		case <-over:
		case s := <-fatal:
			g.outputs.Emergency()
			log.Error("ended by a signal", "signal", s.String())
			buf := make([]byte, 1<<20) // somebody wants to know where it was
			_, _ = stderr.Write(buf[:runtime.Stack(buf, true)])
			os.Exit(exitError)
		}
	}()
	return func() {
		signal.Stop(fatal)
		close(over)
		<-ended
	}
}
