package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
)

// qmp is QEMU's monitor (docs/interop/qmp-spec.rst). It is for one goroutine.
type qmp struct {
	conn net.Conn
	in   *bufio.Reader
}

// open reads the greeting and ends the negotiation.
func (q *qmp) open() error {
	if _, err := q.in.ReadBytes('\n'); err != nil {
		return fmt.Errorf("qmp: greeting: %w", err)
	}
	_, err := q.do("qmp_capabilities", nil)
	return err
}

// do runs a command and gives its result.
func (q *qmp) do(command string, arguments map[string]any) (json.RawMessage, error) {
	text, err := json.Marshal(struct {
		Execute   string         `json:"execute"`
		Arguments map[string]any `json:"arguments,omitempty"`
	}{command, arguments})
	if err != nil {
		return nil, fmt.Errorf("qmp: %s: %w", command, err)
	}
	if _, err := q.conn.Write(append(text, '\n')); err != nil {
		return nil, fmt.Errorf("qmp: %s: %w", command, err)
	}
	for {
		line, err := q.in.ReadBytes('\n')
		if err != nil {
			return nil, fmt.Errorf("qmp: %s: %w", command, err)
		}
		if result, err := parseQMP(line); err != nil {
			return nil, fmt.Errorf("qmp: %s: %w", command, err)
		} else if result != nil {
			return result, nil
		}
	}
}

// parseQMP reads one answer. It is nil for an event, which comes in between.
func parseQMP(line []byte) (json.RawMessage, error) {
	var answer struct {
		Return json.RawMessage
		Error  *struct{ Class, Desc string }
		Event  string
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return nil, fmt.Errorf("%q: %w", line, err)
	}
	switch {
	case answer.Error != nil:
		return nil, fmt.Errorf("%s: %s", answer.Error.Class, answer.Error.Desc)
	case answer.Return == nil && answer.Event == "":
		return nil, fmt.Errorf("%q is neither a result nor an event", line)
	}
	return answer.Return, nil
}

// human runs a command of the monitor for people and gives what it prints.
func (q *qmp) human(command string) (string, error) {
	result, err := q.do("human-monitor-command", map[string]any{"command-line": command})
	if err != nil {
		return "", err
	}
	var text string
	if err := json.Unmarshal(result, &text); err != nil {
		return "", fmt.Errorf("qmp: %s: %w", command, err)
	}
	return text, nil
}

// setTemperature sets what an emulated chip measures, in thousandths of a
// degree Celsius.
func (q *qmp) setTemperature(id string, milli int) error {
	_, err := q.do("qom-set", map[string]any{"path": "/machine/peripheral/" + id, "property": "temperature", "value": milli})
	return err
}
