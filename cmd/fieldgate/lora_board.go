package main

import (
	"context"
	"time"

	"fieldgate/radio"
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
