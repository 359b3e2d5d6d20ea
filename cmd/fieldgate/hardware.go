package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"fieldgate/gateway"
	"fieldgate/sensors"
	"fieldgate/sensors/board"
	"fieldgate/sensors/sim"
)

// newBoard is the machine's own board, with the simulated one beside it.
func newBoard() sensors.Board { return sim.New(board.NewHost("/"), time.Now) }

// openHardware prepares the actuators and the sensors; nothing is touched yet.
// The Hub need not be there yet.
func (g *gatewayd) openHardware() (err error) {
	g.board = newBoard()
	g.parts = &partStates{last: map[string]string{}}
	g.outputs, err = sensors.NewOutputs(sensors.OutputsConfig{
		Items: g.cfg.Actuators, Board: g.board, Hub: toHub{g}, Table: g.state[0].table("outputs"),
		Clock: g.clock, Log: g.log.With("part", "actuators"), OnStatus: g.outputStatus,
	})
	if err != nil {
		return err
	}
	g.sensors, err = sensors.New(sensors.Config{
		Items: g.cfg.Sensors, Board: g.board, Hub: toHub{g}, Log: g.log.With("part", "sensors"), OnStatus: g.sensorStatus,
		Last: func(device, sensor string) (json.RawMessage, bool) {
			r, ok := g.hub.Current(device, sensor, gateway.KindSensor)
			return r.Value, ok
		},
	})
	return err
}

// toHub submits to the gateway's Hub, which is made later.
type toHub struct{ g *gatewayd }

// Submit implements sensors.Hub.
func (h toHub) Submit(b *gateway.Batch) error { return h.g.hub.Submit(b) }

// partStatus is the content of the retained topics devices/D/sensors/S/status
// and devices/D/actuators/A/status on the local broker.
type partStatus struct {
	State  string          `json:"state"` // waiting, ok, failing or hanging
	Error  string          `json:"error,omitempty"`
	Driver string          `json:"driver"`
	Bus    string          `json:"bus,omitempty"`
	Value  json.RawMessage `json:"value,omitempty"` // what an actuator has reached
	Since  *time.Time      `json:"since,omitempty"` // absent while the clock is unset
}

// partStates remembers what was published on each topic.
type partStates struct {
	mu   sync.Mutex
	last map[string]string // by topic; without the time
}

func (g *gatewayd) sensorStatus(s sensors.Status) {
	g.partStatus("devices/"+s.Device+"/sensors/"+s.Sensor+"/status",
		partStatus{State: s.State.String(), Error: oneLine(s.Err), Driver: s.Driver, Bus: s.Bus}, s.Since)
}

func (g *gatewayd) outputStatus(s sensors.OutputStatus) {
	g.partStatus("devices/"+s.Device+"/actuators/"+s.Actuator+"/status",
		partStatus{State: s.State.String(), Error: oneLine(s.Err), Driver: s.Driver, Value: s.Value}, s.Since)
}

// partStatus publishes a state if it says something new: a sensor that goes on
// failing for the same reason is told once.
func (g *gatewayd) partStatus(topic string, s partStatus, since time.Time) {
	raw, err := json.Marshal(s)
	if err != nil {
		g.log.Error("status", "topic", topic, "error", err)
		return
	}
	g.parts.mu.Lock()
	defer g.parts.mu.Unlock()
	if g.parts.last[topic] == string(raw) {
		return
	}
	g.parts.last[topic] = string(raw)
	if g.clock.Now().Quality != gateway.ClockUnset {
		at := since.UTC().Truncate(time.Second)
		s.Since = &at
		if raw, err = json.Marshal(s); err != nil {
			return // it could a moment ago
		}
	}
	g.broker.Publish(gateway.Message{Topic: topic, Payload: raw, QoS: 1, Retain: true})
	g.wake()
}

// oneLine is err without the stack of a panic.
func oneLine(err error) string {
	if err == nil {
		return ""
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// hardwareStatus counts the attached sensors, or the actuators, by how they are
// doing. It names none: it is for everybody, and a device may be private.
type hardwareStatus struct {
	OK      int `json:"ok"`
	Waiting int `json:"waiting,omitempty"`
	Failing int `json:"failing,omitempty"`
}

func (h *hardwareStatus) add(s sensors.State) {
	switch s {
	case sensors.OK:
		h.OK++
	case sensors.Waiting:
		h.Waiting++
	default:
		h.Failing++
	}
}

// hardware tells how the attached sensors and actuators are doing; nil where
// there are none.
func (g *gatewayd) hardware() (attached, actuators *hardwareStatus) {
	for _, s := range g.sensors.Status() {
		if attached == nil {
			attached = &hardwareStatus{}
		}
		attached.add(s.State)
	}
	for _, s := range g.outputs.Status() {
		if actuators == nil {
			actuators = &hardwareStatus{}
		}
		actuators.add(s.State)
	}
	return attached, actuators
}

// hardwareProblems says how many of them fail, for GET /healthz.
func (g *gatewayd) hardwareProblems() (out []string) {
	attached, actuators := g.hardware()
	if attached != nil && attached.Failing > 0 {
		out = append(out, fmt.Sprintf("sensors: %d failing, see devices/+/sensors/+/status", attached.Failing))
	}
	if actuators != nil && actuators.Failing > 0 {
		out = append(out, fmt.Sprintf("actuators: %d failing, see devices/+/actuators/+/status", actuators.Failing))
	}
	return out
}

// failing gives why each of them fails, by "device/sensors/id" and
// "device/actuators/id".
func (g *gatewayd) failing() map[string]string {
	out := map[string]string{}
	for _, s := range g.sensors.Status() {
		if s.Err != nil {
			out[s.Device+"/sensors/"+s.Sensor] = oneLine(s.Err)
		}
	}
	for _, s := range g.outputs.Status() {
		if s.Err != nil {
			out[s.Device+"/actuators/"+s.Actuator] = oneLine(s.Err)
		}
	}
	return out
}
