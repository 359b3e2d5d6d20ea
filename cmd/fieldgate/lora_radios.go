package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"fieldgate/cmd/fieldgate/config"
	"fieldgate/radio"
	"fieldgate/radio/semtech"
	"fieldgate/radio/sx126x"
	"fieldgate/radio/sx127x"
	"fieldgate/sensors"
)

// setting is one line of what `radio info` tells of a chip.
type setting struct{ Name, Value string }

// openRadios makes the radios of a configuration; nothing is touched yet.
// Simulated is what the fake ones are in, nil if there are none.
func openRadios(cfg *config.Config, board sensors.Board, radios []config.Radio, log *slog.Logger) (out []radio.Radio, air *simulated, err error) {
	for i := range radios {
		c := &radios[i]
		var r radio.Radio
		switch c.Driver {
		case config.RadioSemtech:
			r, err = semtech.New(semtech.Config{Listen: c.Listen, Gateways: c.Gateways, Log: log})
		case config.RadioFake:
			if air == nil {
				air = newSimulated(cfg, log)
			}
			r, err = air.add(c)
		default:
			r, err = openChip(c, radioBoard{board}, log)
		}
		if err != nil {
			return nil, nil, err
		}
		out = append(out, r)
	}
	return out, air, nil
}

// openChip makes the driver of a chip.
func openChip(c *config.Radio, board radio.Board, log *slog.Logger) (r radio.Radio, err error) {
	if c.Driver == config.RadioSX126x {
		return sx126x.New(c.SX126x(board, log))
	}
	r, err = sx127x.New(c.SX127x(board, log))
	if err == nil && len(c.Enable) > 0 {
		r = &powered{Radio: r, board: board, lines: c.Enable}
	}
	return r, err
}

// powered is a radio whose board wants some lines high as long as it is used.
type powered struct {
	radio.Radio
	board radio.Board
	lines []string

	mu    sync.Mutex
	err   error // why a line cannot be had
	since time.Time
}

// linesAgain is the pause before lines that could not be had are tried again.
const linesAgain = 10 * time.Second

// Run implements radio.Radio.
func (p *powered) Run(ctx context.Context, receive func(*radio.Frame)) error {
	for {
		off, err := p.on()
		p.note(err)
		if err == nil {
			return errors.Join(p.Radio.Run(ctx, receive), off())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(linesAgain):
		}
	}
}

// on takes the lines; off lets go of them.
func (p *powered) on() (off func() error, err error) {
	var taken []radio.Output
	off = func() (err error) {
		for _, out := range slices.Backward(taken) {
			err = errors.Join(err, out.Set(false), out.Close())
		}
		return err
	}
	for _, pin := range p.lines {
		out, err := p.board.Output(pin, true)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("the line %s: %w", pin, err), off())
		}
		taken = append(taken, out)
	}
	return off, nil
}

func (p *powered) note(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if (err == nil) != (p.err == nil) {
		p.since = time.Now()
	}
	p.err = err
}

// Status implements radio.Radio.
func (p *powered) Status() []radio.Status {
	all := p.Radio.Status()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		for i := range all {
			all[i].State, all[i].Err, all[i].Since = radio.Failing, p.err, p.since
		}
	}
	return all
}
