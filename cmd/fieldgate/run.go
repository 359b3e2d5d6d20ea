package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strings"
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
}

func newLogger(w io.Writer, c config.Log) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// fatalSignals end the process at once, as they would anyway: systemd's watchdog
// sends SIGABRT. The outputs are brought to their on_stop before.
var fatalSignals = []os.Signal{syscall.SIGABRT, syscall.SIGQUIT, syscall.SIGALRM, syscall.SIGVTALRM, syscall.SIGPROF,
	syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTRAP, syscall.SIGSYS, syscall.SIGXCPU, syscall.SIGXFSZ, syscall.SIGIO, syscall.SIGPWR}

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
			if s == syscall.SIGABRT || s == syscall.SIGQUIT { // somebody wants to know where it was
				buf := make([]byte, 1<<20)
				_, _ = stderr.Write(buf[:runtime.Stack(buf, true)])
			}
			os.Exit(exitError)
		}
	}()
	return func() {
		signal.Stop(fatal)
		close(over)
		<-ended
	}
}
