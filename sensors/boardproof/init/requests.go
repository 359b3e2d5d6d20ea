package main

import (
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"syscall"

	"fieldgate/sensors/boardproof/console"
)

// start runs a program to its end.
func (b *board) start(r console.Request) (exit int, err error) {
	if len(r.Args) == 0 {
		return 0, errors.New("start what?")
	}
	out := &lines{line: func(s string) { b.say(console.Event{ID: r.ID, Is: console.Out, Text: s}) }}
	errs := &lines{line: func(s string) { b.say(console.Event{ID: r.ID, Is: console.Err, Text: s}) }}
	cmd := exec.Command(r.Args[0], r.Args[1:]...)
	cmd.Env = []string{"PATH=/bin", "HOME=/tmp"}
	cmd.Dir = "/tmp"
	cmd.Stdout, cmd.Stderr = out, errs
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	b.mu.Lock()
	b.processes[r.ID] = cmd.Process
	b.mu.Unlock()
	err = cmd.Wait()
	b.mu.Lock()
	delete(b.processes, r.ID)
	b.mu.Unlock()
	out.end()
	errs.end()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.Exited() {
		return ended.ExitCode(), nil
	}
	return 0, err
}

// signal sends a signal to what another request started.
func (b *board) signal(r console.Request) error {
	b.mu.Lock()
	process := b.processes[r.Of]
	b.mu.Unlock()
	if process == nil {
		return fmt.Errorf("request %d runs nothing", r.Of)
	}
	return process.Signal(syscall.Signal(r.Number))
}

// subscribe tells of the messages on a topic until the broker is gone.
func (b *board) subscribe(r console.Request) error {
	s, err := dial(r.Broker, "board-"+strconv.Itoa(r.ID))
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.subscribe(r.Topic); err != nil {
		return err
	}
	b.say(console.Event{ID: r.ID, Is: console.Ready})
	for {
		m, err := s.next()
		if err != nil {
			return err
		}
		b.say(console.Event{ID: r.ID, Is: console.Message, Topic: m.topic, Text: string(m.payload), Retained: m.retained})
	}
}

// publish sends one message.
func (b *board) publish(r console.Request) error {
	s, err := dial(r.Broker, "board-"+strconv.Itoa(r.ID))
	if err != nil {
		return err
	}
	defer s.close()
	return s.publish(r.Topic, r.Text)
}
