package main

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/store"
)

// status is the content of the retained topic gateways/{id}/status on the local
// broker, of GET /status, and, per uplink, part of what the cloud sees.
type status struct {
	State   string                  `json:"state"` // "online" or "offline"
	Session uint64                  `json:"session"`
	Gateway string                  `json:"gateway"`
	Version string                  `json:"version"`
	Started *time.Time              `json:"started,omitempty"` // absent while the clock is unset
	Clock   string                  `json:"clock"`             // synced, unsynced or unset
	Store   storeStatus             `json:"store"`
	Backlog backlogStatus           `json:"backlog"` // of the uplink that is furthest behind
	Uplinks map[string]uplinkStatus `json:"uplinks,omitempty"`
	Missed  uint64                  `json:"missed,omitempty"` // records that never reached the disk

	Sensors   *hardwareStatus `json:"sensors,omitempty"`   // those attached to this board
	Actuators *hardwareStatus `json:"actuators,omitempty"` // those that this gateway switches
	Radios    *hardwareStatus `json:"radios,omitempty"`    // chips and packet forwarders
}

type storeStatus struct {
	State    string `json:"state"` // "ok" or "failing"
	Error    string `json:"error,omitempty"`
	SetAside string `json:"set_aside,omitempty"` // a damaged file that was found at start
	Salvaged uint64 `json:"salvaged,omitempty"`  // records read out of it
	Waiting  uint64 `json:"waiting,omitempty"`   // records in memory that the disk refuses
}

type backlogStatus struct {
	Records uint64     `json:"records"`
	Oldest  *time.Time `json:"oldest,omitempty"`
}

type uplinkStatus struct {
	State   string        `json:"state"` // "online" or "offline"
	Error   string        `json:"error,omitempty"`
	Backlog backlogStatus `json:"backlog"`
	Dead    uint64        `json:"dead_letters,omitempty"`
}

// online gives the present status.
func (g *gatewayd) online() status {
	now := g.clock.Now()
	h := g.records.Health()
	s := status{State: "online", Session: g.session, Gateway: g.cfg.ID, Version: version,
		Clock: now.Quality.String(), Store: storeOf(h), Uplinks: map[string]uplinkStatus{}, Missed: g.hub.Stats().Missed}
	if now.Quality != gateway.ClockUnset {
		started := now.Wall.Add(g.started - now.Mono).Truncate(time.Second)
		s.Started = &started
	}
	s.Sensors, s.Actuators = g.hardware()
	s.Radios, _ = g.loraHealth()
	for _, u := range g.uplinks {
		st := u.State()
		us := uplinkStatus{State: "offline", Error: st.LastError, Backlog: g.backlog(u.Name()), Dead: st.DeadLettered}
		if st.Connected {
			us.State, us.Error = "online", ""
		}
		s.Uplinks[u.Name()] = us
		if us.Backlog.Records >= s.Backlog.Records {
			s.Backlog = us.Backlog
		}
	}
	return s
}

func (g *gatewayd) backlog(uplink string) backlogStatus {
	b := g.records.Backlog(uplink)
	out := backlogStatus{Records: b.Records}
	if !b.Oldest.IsZero() && b.Records > 0 {
		oldest := b.Oldest.UTC()
		out.Oldest = &oldest
	}
	return out
}

// cloudStatus is what each uplink adds to its own state and session.
func (g *gatewayd) cloudStatus() map[string]any {
	s := g.online()
	out := map[string]any{"gateway": s.Gateway, "version": s.Version, "clock": s.Clock, "store": s.Store}
	h := g.forCloud()
	if h.attached != nil {
		out["sensors"] = h.attached
	}
	if h.actuators != nil {
		out["actuators"] = h.actuators
	}
	if h.radios != nil {
		out["radios"] = h.radios
	}
	if len(h.failing) > 0 { // whoever reads it there owns the gateway
		out["failing"] = h.failing
	}
	return out
}

// problems says what is wrong now, for GET /healthz.
func (g *gatewayd) problems() []string {
	var out []string
	if h := g.records.Health(); !h.OK {
		out = append(out, "store: "+h.Error)
	}
	for _, u := range g.uplinks {
		if st := u.State(); !st.Connected {
			line := "uplink " + u.Name() + ": offline"
			if st.LastError != "" {
				line += ": " + st.LastError
			}
			out = append(out, line)
		}
	}
	if q := g.clock.Now().Quality; q == gateway.ClockUnset {
		out = append(out, "clock: unset")
	}
	out = append(out, g.hardwareProblems()...)
	out = append(out, g.forwardProblems()...)
	if n, _ := g.loraHealth(); n != nil && n.Failing > 0 {
		out = append(out, fmt.Sprintf("radios: %d failing, see gateways/%s/radios/+/status", n.Failing, g.cfg.ID))
	}
	return out
}

// statusPublisher keeps the retained status on the local broker true.
type statusPublisher struct {
	mu   sync.Mutex
	last string
}

// publishStatus publishes the status if it says something new, and those of the
// sensors and actuators that wait.
func (g *gatewayd) publishStatus(state string) {
	g.publishParts(state == "offline")
	s := g.online()
	s.State = state
	raw, err := json.Marshal(s)
	if err != nil {
		g.log.Error("status", "error", err)
		return
	}
	g.statusOut.mu.Lock()
	defer g.statusOut.mu.Unlock()
	if string(raw) == g.statusOut.last {
		return
	}
	g.statusOut.last = string(raw)
	g.broker.Publish(gateway.Message{Topic: "gateways/" + g.cfg.ID + "/status", Payload: raw, QoS: 1, Retain: true})
}

func storeOf(h store.Health) storeStatus {
	s := storeStatus{State: "ok", SetAside: h.SetAside, Salvaged: h.Salvaged, Waiting: uint64(h.PendingRecords)}
	if !h.OK {
		s.State, s.Error = "failing", h.Error
	} else {
		s.Waiting = 0 // what lies in memory for a moment on its way to a disk that works
	}
	return s
}
