package main

import (
	"runtime"

	"fieldgate/gateway/web"
	"fieldgate/sensors"
)

// metrics gathers the counters of all parts when they are asked for; nothing is
// counted twice.
func (g *gatewayd) metrics(e *web.Exposition) {
	count := func(name, help string, v uint64, labels ...string) {
		e.Counter("fieldgate_"+name+"_total", help, float64(v), labels...)
	}
	gauge := func(name, help string, v float64, labels ...string) {
		e.Gauge("fieldgate_"+name, help, v, labels...)
	}
	gauge("goroutines", "Goroutines.", float64(runtime.NumGoroutine()))
	hub := g.hub.Stats()
	count("readings", "Sensor and actuator values accepted.", hub.Readings)
	count("messages", "Messages outside the dialects accepted.", hub.Messages)
	count("changes", "Registry changes made.", hub.Changes)
	count("missed", "Records that neither disk nor memory could keep.", hub.Missed)
	for reason, n := range g.hub.Counts() {
		count("refused", "Messages refused, by reason.", n, "reason", reason)
	}
	h := g.records.Health()
	gauge("store_ok", "1 if the disk takes records.", truth(h.OK))
	gauge("store_records", "Records in the log.", float64(h.Records))
	gauge("store_file_bytes", "Length of the log's file.", float64(h.FileBytes))
	gauge("store_used_bytes", "Bytes of the log's file in use.", float64(h.UsedBytes))
	gauge("store_pending_records", "Records in memory that the disk refuses.", float64(h.PendingRecords))
	count("store_commits", "Commits of the log.", h.Commits)
	count("store_written_bytes", "Bytes written by the commits of the log.", h.BytesWritten)
	count("store_evicted", "Records dropped from the log for size or age.", h.Evicted)
	count("store_damaged", "Records whose checksum failed.", h.Damaged)
	for _, u := range g.uplinks {
		s := u.State()
		gauge("uplink_connected", "1 if the cloud has acknowledged the birth.", truth(s.Connected), "uplink", s.Name)
		gauge("uplink_backlog_records", "Records on disk that the cloud has not acknowledged.", float64(g.backlog(s.Name).Records), "uplink", s.Name)
		count("uplink_sent", "Publishes of records, resends included.", s.Sent, "uplink", s.Name)
		count("uplink_acked", "Publishes that the cloud acknowledged.", s.Acked, "uplink", s.Name)
		count("uplink_dead_letters", "Records that the cloud refuses for ever.", s.DeadLettered, "uplink", s.Name)
		count("uplink_gaps", "Announcements of lost records that the cloud's dialect has no form for.", s.Gaps, "uplink", s.Name)
		count("uplink_commands", "Commands and changes taken over from the cloud.", s.Commands, "uplink", s.Name)
	}
	for _, s := range g.sensors.Status() {
		gauge("sensor_ok", "1 if the last reading of an attached sensor went well.", truth(s.State == sensors.OK), "device", s.Device, "sensor", s.Sensor, "driver", s.Driver)
	}
	for _, s := range g.outputs.Status() {
		gauge("actuator_ok", "1 if an actuator of this gateway did what it was asked last.", truth(s.State == sensors.OK), "device", s.Device, "actuator", s.Actuator, "driver", s.Driver)
		gauge("actuator_level_percent", "How far an actuator of this gateway is on.", float64(s.Level), "device", s.Device, "actuator", s.Actuator, "driver", s.Driver)
	}
	if g.lora != nil {
		g.lora.collect(count, gauge)
	}
	api := g.api.Stats()
	for class, n := range api.Requests {
		count("api_requests", "Requests to the Xively API answered, by class of status.", n, "status", class)
	}
	gauge("api_subscriptions", "Subscriptions to feeds and datastreams.", float64(api.Subscriptions))
	count("api_pushes", "Updates given to these subscriptions.", api.Pushes)
	count("api_renders", "Documents written for them.", api.Renders)
	count("api_overtaken", "Updates of a feed that a newer one overtook.", api.Dropped)
	b := g.broker.Stats()
	gauge("broker_clients", "Clients connected.", float64(b.Clients))
	gauge("broker_subscriptions", "Subscriptions.", float64(b.Subscriptions))
	gauge("broker_retained", "Retained messages.", float64(b.Retained))
	gauge("broker_queued_bytes", "Bytes waiting for subscribers.", float64(b.QueueBytes))
	count("broker_messages_in", "Publishes received.", b.MessagesIn)
	count("broker_messages_out", "Publishes sent.", b.MessagesOut)
	count("broker_panics", "Panics caught, each ending one connection.", b.Panics)
	for reason, n := range b.Dropped {
		count("broker_dropped", "Messages dropped for a subscriber, by reason.", n, "reason", reason)
	}
	for reason, n := range b.Refused {
		count("broker_refused_connections", "Connections refused or ended, by reason.", n, "reason", reason)
	}
	for reason, n := range b.Closed {
		count("broker_closed_connections", "Connections of clients closed by the gateway, by reason.", n, "reason", reason)
	}
	gauge("broker_pending", "Connections that have not been let in yet.", float64(b.Pending))
	gauge("broker_sessions", "Sessions of connected and absent clients.", float64(b.Sessions))
	w := g.web.Stats()
	gauge("http_connections", "HTTP connections open.", float64(w.Open))
	count("http_evicted", "HTTP connections closed because there were too many.", w.Evicted)
	count("http_panics", "Panics caught, each ending one request.", w.Panics)
	logins := g.gate.Stats()
	for result, n := range map[string]uint64{"ok": logins.OK, "failed": logins.Failed, "throttled": logins.Throttled, "busy": logins.Busy} {
		count("logins", "Names and passwords, and API keys, checked, by result.", n, "result", result)
	}
	count("login_hashes", "Password hashes computed.", logins.Hashed)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
