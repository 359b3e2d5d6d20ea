package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon" // sd_notify: the reference client in Go, a few kB
)

// notify tells systemd about a change of state, if it started us.
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd cannot be told", "state", state, "error", err)
	}
}

// feedWatchdog feeds systemd's watchdog, each time only after probe has passed
// through the real pipeline. A pipeline that stands still is restarted.
func feedWatchdog(ctx context.Context, log *slog.Logger, probe func(context.Context) error) error {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(every / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		pctx, cancel := context.WithTimeout(ctx, every)
		err := probe(pctx)
		cancel()
		if err != nil && ctx.Err() == nil {
			log.Error("the pipeline stands still", "error", err)
			continue
		}
		notify(log, daemon.SdNotifyWatchdog)
	}
}
