package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"fieldgate/sensors/boardproof/console"
)

// Where the gateway on the board listens, and where its configuration is.
const (
	localBroker   = "127.0.0.1:1883"
	configuration = "/tmp/fieldgate.yaml"
)

// write makes a file on the board.
func (m *machine) write(ctx context.Context, path, text string) error {
	c, err := m.ask(console.Request{Do: console.Write, Path: path, Text: text})
	if err != nil {
		return err
	}
	return c.done(ctx)
}

// done waits for the end, which must be a good one.
func (c *call) done(ctx context.Context) error {
	e, err := c.await(ctx, ends)
	switch {
	case err != nil:
		return err
	case e.Is == console.Failed:
		return errors.New(e.Text)
	case e.Exit != 0:
		return fmt.Errorf("exit status %d", e.Exit)
	}
	return nil
}

func ends(e console.Event) bool { return e.Is == console.Done || e.Is == console.Failed }

// run runs fieldgate on the board to its end. It gives the lines that it printed
// on both outputs; the exit status must be one of those wanted.
func (m *machine) run(ctx context.Context, exits []int, args ...string) (printed []string, err error) {
	c, err := m.ask(console.Request{Do: console.Start, Args: append([]string{"/bin/fieldgate"}, args...)})
	if err != nil {
		return nil, err
	}
	e, err := c.await(ctx, func(e console.Event) bool {
		if e.Is == console.Out || e.Is == console.Err {
			printed = append(printed, e.Text)
		}
		return ends(e)
	})
	switch {
	case err != nil:
		return printed, err
	case e.Is == console.Failed:
		return printed, errors.New(e.Text)
	case !slices.Contains(exits, e.Exit):
		return printed, fmt.Errorf("exit status %d, %v is wanted", e.Exit, exits)
	}
	return printed, nil
}

// gateway starts the gateway with a configuration and waits until it is ready.
func (m *machine) gateway(ctx context.Context, text string) (*call, error) {
	if err := m.write(ctx, configuration, text); err != nil {
		return nil, err
	}
	c, err := m.ask(console.Request{Do: console.Start, Args: []string{"/bin/fieldgate", "run", "--config", configuration}})
	if err != nil {
		return nil, err
	}
	_, err = c.await(ctx, func(e console.Event) bool { return e.Is == console.Err && strings.HasPrefix(e.Text, "ready ") })
	return c, err
}

// terminate ends a program with SIGTERM and wants exit status 0.
func (c *call) terminate(ctx context.Context) error {
	if err := c.signal(ctx, syscall.SIGTERM); err != nil {
		return err
	}
	return c.done(ctx)
}

// end ends a program with a signal, whatever its exit status.
func (c *call) end(ctx context.Context, number syscall.Signal) error {
	if err := c.signal(ctx, number); err != nil {
		return err
	}
	_, err := c.await(ctx, ends)
	return err
}

func (c *call) signal(ctx context.Context, number syscall.Signal) error {
	s, err := c.m.ask(console.Request{Do: console.Signal, Of: c.id, Number: int(number)})
	if err != nil {
		return err
	}
	return s.done(ctx)
}

// subscribe gives the messages on a topic of the board's own broker.
func (m *machine) subscribe(ctx context.Context, topic string) (*call, error) {
	c, err := m.ask(console.Request{Do: console.Subscribe, Broker: localBroker, Topic: topic})
	if err != nil {
		return nil, err
	}
	_, err = c.await(ctx, func(e console.Event) bool { return e.Is == console.Ready })
	return c, err
}

// publish sends a message to the board's own broker.
func (m *machine) publish(ctx context.Context, topic, text string) error {
	c, err := m.ask(console.Request{Do: console.Publish, Broker: localBroker, Topic: topic, Text: text})
	if err != nil {
		return err
	}
	return c.done(ctx)
}

// awaitValue waits for a message on topic with that value.
func (c *call) awaitValue(ctx context.Context, topic, want string) error {
	_, err := c.await(ctx, func(e console.Event) bool {
		return e.Is == console.Message && e.Topic == topic && hasValue(e.Text, want)
	})
	if err != nil {
		return fmt.Errorf("%s on %s: %w", want, topic, err)
	}
	return nil
}

// hasValue says that a payload has that value, in JSON; 21.0 is 21.
func hasValue(payload, want string) bool {
	got, err := parseValue(payload)
	if err != nil {
		return false
	}
	a, notNumber := strconv.ParseFloat(got, 64)
	b, neither := strconv.ParseFloat(want, 64)
	if notNumber == nil && neither == nil {
		return a == b
	}
	return got == want
}

// parseValue gives the JSON text of a published value: bare, or in an object with
// a key "value".
func parseValue(text string) (string, error) {
	var bare json.RawMessage
	if err := json.Unmarshal([]byte(text), &bare); err != nil {
		return "", fmt.Errorf("%q: %w", text, err)
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(bare, &object) != nil || object == nil {
		return strings.TrimSpace(text), nil
	}
	value, ok := object["value"]
	if !ok {
		return "", fmt.Errorf("%q has no value", text)
	}
	return string(value), nil
}
