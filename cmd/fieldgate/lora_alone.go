package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"fieldgate/cmd/fieldgate/config"
	"fieldgate/gateway/web"
	"fieldgate/radio"
	"fieldgate/radio/lorawan/region"
	"fieldgate/radio/station"
	"fieldgate/radio/sx126x"
	"fieldgate/radio/sx127x"
)

// probeRadio looks for a chip and reads its settings back.
func probeRadio(ctx context.Context, c *config.Radio) (out []setting, err error) {
	log := slog.New(slog.DiscardHandler)
	switch c.Driver {
	case config.RadioSX127x:
		info, err := sx127x.Probe(ctx, c.SX127x(radioBoard{newBoard()}, log))
		if info.Chip != "" {
			out = append(out, setting{"chip", info.Chip})
		}
		for _, s := range info.Settings {
			out = append(out, setting(s))
		}
		return out, err
	case config.RadioSX126x:
		info, err := sx126x.Probe(ctx, c.SX126x(radioBoard{newBoard()}, log))
		if info.Chip != "" {
			out = append(out, setting{"chip", info.Chip})
		}
		for _, s := range info.Settings {
			out = append(out, setting(s))
		}
		return out, err
	case config.RadioSemtech:
		return []setting{{"packet forwarders", "are heard on udp " + c.Listen + " while the gateway runs"}}, nil
	}
	return []setting{{"chip", "a simulated " + c.Chip}}, nil
}

// firstChannel is the first uplink channel of a configuration's region.
func firstChannel(cfg *config.Config) uint32 {
	name := cfg.LoRaWAN.Region
	if name == "" {
		name = "EU868"
	}
	plan, err := region.Get(name)
	if err != nil {
		return 0
	}
	return plan.Channels()[0].Frequency
}

// runAlone runs radios for a command of its own, beside no gateway, until ctx ends.
func runAlone(ctx context.Context, env environment, cfg *config.Config, radios []config.Radio, receive func(*radio.Frame)) (running []radio.Radio, wait func() error, err error) {
	log := slog.New(slog.NewTextHandler(env.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	running, air, err := openRadios(cfg, newBoard(), radios, log)
	if err != nil {
		return nil, nil, err
	}
	var wg sync.WaitGroup
	errs := make([]error, len(running))
	for i, r := range running {
		wg.Go(func() {
			if err := r.Run(ctx, receive); err != nil && ctx.Err() == nil {
				errs[i] = fmt.Errorf("%s: %w", radios[i].Name, err)
			}
		})
	}
	if air != nil {
		wg.Go(func() { air.run(ctx) })
	}
	return running, func() error { wg.Wait(); return errors.Join(errs...) }, nil
}

// listenAlone prints what radios hear. Frames of devices that join are told apart
// by their addresses only: their sessions are the gateway's.
func listenAlone(ctx context.Context, env environment, cfg *config.Config, radios []config.Radio, show func(*station.Event)) error {
	network, err := cfg.NetworkServer()
	if err != nil {
		return err
	}
	devices, err := loraDevices(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	ear, err := station.NewEar(devices, network.Devices, cfg.RawRules())
	if err != nil {
		return err
	}
	var mu sync.Mutex
	_, wait, err := runAlone(ctx, env, cfg, radios, func(f *radio.Frame) {
		mu.Lock()
		e := ear.Hear(f)
		mu.Unlock()
		now := time.Now().UTC()
		e.Time = &now
		show(e)
	})
	if err != nil {
		return err
	}
	return wait()
}

// sendAlone sends one frame.
func sendAlone(env environment, cfg *config.Config, radios []config.Radio, f web.RadioSend) error {
	t, err := transmission(f)
	if err != nil {
		return err
	}
	if len(radios) != 1 || radios[0].Driver == config.RadioSemtech {
		return fmt.Errorf("%w: name one radio, which is a chip; through packet forwarders the gateway sends, while it runs", web.ErrBadSend)
	}
	if t.Radio = radios[0].Name; t.Frequency == 0 {
		if t.Frequency = radios[0].Tuning.Frequency; t.Frequency == 0 {
			t.Frequency = firstChannel(cfg)
		}
	}
	ctx, cancel := context.WithCancel(env.ctx)
	defer cancel()
	running, wait, err := runAlone(ctx, env, cfg, radios, func(*radio.Frame) {})
	if err != nil {
		return err
	}
	err = ready(ctx, running[0])
	if err == nil {
		err = running[0].Send(ctx, t)
	}
	cancel()
	return errors.Join(err, wait())
}

// ready waits until a chip is set up, or has failed to.
func ready(ctx context.Context, r radio.Radio) error {
	within, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		switch s := r.Status()[0]; s.State {
		case radio.OK:
			return nil
		case radio.Failing:
			return s.Err
		}
		select {
		case <-within.Done():
			return errors.New("the radio does not come up")
		case <-tick.C:
		}
	}
}
