package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
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
	g.parts = &partStates{byTopic: map[string]*part{}}
	g.outputs, err = sensors.NewOutputs(sensors.OutputsConfig{
		Items: g.cfg.Actuators, Board: shareBuses(g.board), Hub: toHub{g}, Table: g.state[0].table("outputs"),
		Clock: g.clock, Log: g.log.With("part", "actuators"), OnStatus: g.outputStatus,
	})
	if err != nil {
		return err
	}
	g.sensors, err = sensors.New(sensors.Config{
		Items: g.cfg.Sensors, Board: shareBuses(g.board), Hub: toHub{g}, Log: g.log.With("part", "sensors"), OnStatus: g.sensorStatus,
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
	State  string          `json:"state"`           // waiting, ok, failing or hanging
	Error  string          `json:"error,omitempty"` // one line, up to longestError bytes
	Driver string          `json:"driver"`
	Bus    string          `json:"bus,omitempty"`
	Value  json.RawMessage `json:"value,omitempty"` // what an actuator has reached
	Since  *time.Time      `json:"since,omitempty"` // absent while the clock is unset
}

// same reports whether s says the same as old, and whether it is the same but for
// the error's text.
func (s *partStatus) same(old *partStatus) (all, butError bool) {
	butError = s.State == old.State && string(s.Value) == string(old.Value) && s.Driver == old.Driver && s.Bus == old.Bus
	return butError && s.Error == old.Error, butError
}

// What comes and goes floods nobody: a state is published at once if the one
// before it has stood for flapPause, and another reason for it after reasonPause.
// Else it waits, and the newest is published then. What an actuator has reached
// never waits.
const (
	flapPause   = 2 * time.Second
	reasonPause = time.Minute
)

// partStates is what was published on each topic, and what the uplinks were told.
type partStates struct {
	mu      sync.Mutex
	byTopic map[string]*part
	told    cloudHardware
	toldAt  time.Time // when that changed
}

type part struct {
	said partStatus // published last; its State is "" before
	at   time.Time  // when
	news *partStatus
	// since is of the state of news, with Go's monotonic reading: the wall clock may
	// have been set meanwhile.
	since time.Time
}

// due reports whether p has news that is to be published now.
func (p *part) due(now time.Time, all bool) bool {
	if p.news == nil {
		return false
	}
	same, butError := p.news.same(&p.said)
	age := now.Sub(p.at)
	switch {
	case same:
		p.news = nil
		return false
	case all, p.said.State == "", p.said.State == sensors.Waiting.String(), string(p.news.Value) != string(p.said.Value):
		return true
	case butError:
		return age >= reasonPause
	}
	return age >= flapPause
}

func (g *gatewayd) sensorStatus(s sensors.Status) {
	g.partStatus("devices/"+s.Device+"/sensors/"+s.Sensor+"/status",
		partStatus{State: s.State.String(), Error: oneLine(s.Err, longestError), Driver: s.Driver, Bus: s.Bus}, s.Since)
}

func (g *gatewayd) outputStatus(s sensors.OutputStatus) {
	g.partStatus("devices/"+s.Device+"/actuators/"+s.Actuator+"/status",
		partStatus{State: s.State.String(), Error: oneLine(s.Err, longestError), Driver: s.Driver, Value: s.Value}, s.Since)
}

// partStatus publishes a state if it says something new, now or later.
func (g *gatewayd) partStatus(topic string, s partStatus, since time.Time) {
	g.parts.mu.Lock()
	defer g.parts.mu.Unlock()
	p := g.parts.byTopic[topic]
	if p == nil {
		p = &part{}
		g.parts.byTopic[topic] = p
	}
	p.news, p.since = &s, since
	if now := time.Now(); p.due(now, false) {
		g.sayPart(topic, p, now)
	}
}

// publishParts publishes what has waited for long enough, or all that waits; and
// at first that nothing was used yet.
func (g *gatewayd) publishParts(all bool) {
	g.parts.mu.Lock()
	first := len(g.parts.byTopic) == 0
	now := time.Now()
	for topic, p := range g.parts.byTopic {
		if p.due(now, all) {
			g.sayPart(topic, p, now)
		}
	}
	g.parts.mu.Unlock()
	if !first {
		return
	}
	for _, s := range g.sensors.Status() {
		g.sensorStatus(s)
	}
	for _, s := range g.outputs.Status() {
		g.outputStatus(s)
	}
}

// sayPart publishes the news of p, for who has the lock.
func (g *gatewayd) sayPart(topic string, p *part, now time.Time) {
	s := *p.news
	p.said, p.at, p.news = s, now, nil
	if c := g.clock.Now(); c.Quality != gateway.ClockUnset && !p.since.IsZero() {
		at := c.Wall.Add(-now.Sub(p.since)).UTC().Truncate(time.Second)
		s.Since = &at
	}
	raw, err := json.Marshal(s)
	if err != nil {
		g.log.Error("status", "topic", topic, "error", err)
		return
	}
	g.broker.Publish(gateway.Message{Topic: topic, Payload: raw, QoS: 1, Retain: true})
}

// longestError bounds the reason in a state, in bytes.
const longestError = 300

// oneLine is err without the stack of a panic, in at most so many bytes.
func oneLine(err error, most int) string {
	if err == nil {
		return ""
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return shorten(line, most)
}

// shorten cuts a text after so many bytes and says so.
func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most-3], "") + "..."
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
			out[s.Device+"/sensors/"+s.Sensor] = oneLine(s.Err, longestError)
		}
	}
	for _, s := range g.outputs.Status() {
		if s.Err != nil {
			out[s.Device+"/actuators/"+s.Actuator] = oneLine(s.Err, longestError)
		}
	}
	return out
}

// cloudHardware is what the uplinks are told of sensors and actuators.
type cloudHardware struct {
	attached, actuators *hardwareStatus
	radios              *hardwareStatus
	failing             map[string]string // up to mostFailing of them
}

const (
	// mostFailing and briefError bound what travels over a link that may be paid
	// by the byte.
	mostFailing = 20
	briefError  = 120
	// cloudPause is how long it stands: what comes and goes is not sent each time.
	cloudPause = time.Minute
)

// forCloud gives what the uplinks are to be told now.
func (g *gatewayd) forCloud() cloudHardware {
	p := g.parts
	p.mu.Lock()
	defer p.mu.Unlock()
	starting := func(h *hardwareStatus) bool { return h != nil && h.Waiting > 0 }
	if at := time.Now(); p.toldAt.IsZero() || at.Sub(p.toldAt) >= cloudPause || starting(p.told.attached) || starting(p.told.actuators) || starting(p.told.radios) {
		now := cloudHardware{failing: map[string]string{}}
		now.attached, now.actuators = g.hardware()
		all := g.failing()
		var failing map[string]string
		now.radios, failing = g.loraHealth()
		maps.Copy(all, failing)
		for _, what := range slices.Sorted(maps.Keys(all)) {
			if len(now.failing) < mostFailing {
				now.failing[what] = shorten(all[what], briefError)
			}
		}
		if !reflect.DeepEqual(now, p.told) {
			p.told, p.toldAt = now, at
		}
	}
	return p.told
}
