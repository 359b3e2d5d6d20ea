package harness

import (
	"context"
	"testing"
)

// TestLedger books a gateway's acknowledgements, with no cloud to send to.
// gateway itself in the place of a cloud.
func TestLedger(t *testing.T) {
	dir := t.TempDir()
	bin, err := Build(dir)
	if err != nil {
		t.Fatal(err)
	}
	g, err := StartGateway(t.Context(), Config{Binary: bin, Data: dir, Devices: []string{"A"}, Sensors: []string{"S1", "S2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Kill()
	l := NewLedger()
	stop := Load(context.WithoutCancel(t.Context()), g.MQTT, []*Publisher{
		{Ledger: l, Device: "A", Sensor: "S1", QoS: 1}, {Ledger: l, Device: "A", Sensor: "S2", QoS: 2}})
	err = l.Await(t.Context(), "acknowledgements", func(c Counts) bool { return c.Acknowledged >= 200 })
	stop()
	if err != nil {
		t.Fatal(err)
	}
	if c := l.Counts(); c.Lost != c.Acknowledged || c.Acknowledged > c.Sent || c.Arrived > 0 {
		t.Errorf("nothing can have arrived: %s", c)
	}
	l.mu.Lock()
	streams := len(l.streams)
	l.mu.Unlock()
	if streams != 2 {
		t.Errorf("%d streams", streams)
	}
	if code, err := g.Stop(); err != nil || code != 0 {
		t.Errorf("exit status %d, %v", code, err)
	}
}

// TestBooks feeds the books by hand.
func TestBooks(t *testing.T) {
	l := NewLedger()
	at := `"timestamp":"2026-11-20T10:00:00.000000Z"`
	l.acknowledge("A/S", 1)
	l.acknowledge("A/S", 2)
	l.acknowledge("A/S", 3)
	for _, payload := range []string{
		`{"value":1,"id":"gw/1",` + at + `}`,
		`{"value":1,"id":"gw/1",` + at + `}`, // a duplicate
		`{"value":3,"id":"gw/3",` + at + `}`,
		`{"value":2,"id":"gw/2",` + at + `}`, // order is lost
		`{"value":2,"id":"gw/9",` + at + `}`, // another id
		`{"value":4,"id":"gw/3",` + at + `}`, // an id twice
		`garbage`,
	} {
		l.Arrive("devices/A/sensors/S/value", []byte(payload))
	}
	l.Arrive("gateways/gw/gaps", []byte(`{}`))
	l.Arrive("devices/A/sensors/S/status", []byte(`{}`))
	want := Counts{Acknowledged: 3, Arrived: 4, Duplicates: 2, Problems: 4, Gaps: 1}
	if got := l.Counts(); got != want {
		t.Errorf("%+v, want %+v: %q", got, want, l.Problems())
	}
	if err := l.Settle(t.Context()); err == nil {
		t.Error("settled in spite of problems")
	}
}
