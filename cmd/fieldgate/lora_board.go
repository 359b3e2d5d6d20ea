package main

import (
	"context"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/chip"
	"fieldgate/sensors"
)

// radioBoard is the machine's board as the radios need it; SPI is the same.
type radioBoard struct{ sensors.Board }

var _ radio.Board = radioBoard{}

// Output implements radio.Board.
func (b radioBoard) Output(pin string, high bool) (radio.Output, error) {
	return b.Board.Output(pin, high)
}

// Input implements radio.Board.
func (b radioBoard) Input(pin string, edges bool) (radio.Input, error) {
	c := sensors.InputConfig{}
	if edges {
		c.Edges = sensors.RisingEdge
	}
	in, err := b.Board.Input(pin, c)
	if err != nil {
		return nil, err
	}
	return radioInput{in}, nil
}

type radioInput struct{ sensors.Input }

// Next implements radio.Input.
func (i radioInput) Next(ctx context.Context) (time.Time, error) {
	e, err := i.Input.Next(ctx)
	return e.At, err
}

// shareBuses has the sensors wait while a radio's chip that is selected by a line
// of its own has the bus: what they say there would reach it too. Radios wait by
// themselves.
func shareBuses(b sensors.Board) sensors.Board {
	return sharedBoard{plainBoard{b}, chip.Shared{Buses: b}}
}

type plainBoard struct{ sensors.Board }

type sharedBoard struct {
	plainBoard
	chip.Shared // its SPI is the one that counts
}
