package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fieldgate/cmd/fieldgate/config"
	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/fakeclock"
	"fieldgate/uplink/fakecloud"
)

// inProcess is a whole gateway with a clock of the test's and a scripted cloud.
type inProcess struct {
	t      *testing.T
	g      *gatewayd
	cloud  *fakecloud.Cloud
	cancel context.CancelFunc
	ended  chan error
}

func startInProcess(t *testing.T, data string, clock gateway.Clock, cloud *fakecloud.Cloud) *inProcess {
	t.Helper()
	yaml := strings.NewReplacer("DATA", data).Replace(surviveConfig(cloud.URL(), "ordered"))
	cfg, err := config.Parse("test", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	g, err := newGateway(cfg, slog.New(slog.DiscardHandler), clock)
	if err != nil {
		t.Fatal(err)
	}
	return runInProcess(t, g, cloud)
}

func runInProcess(t *testing.T, g *gatewayd, cloud *fakecloud.Cloud) *inProcess {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &inProcess{t: t, g: g, cloud: cloud, cancel: cancel, ended: make(chan error, 1)}
	ready := make(chan struct{})
	go func() { p.ended <- g.run(ctx, func([]string) { close(ready) }) }()
	select {
	case <-ready:
	case err := <-p.ended:
		t.Fatal(err)
	}
	return p
}

func (p *inProcess) stop() {
	p.t.Helper()
	p.cancel()
	if err := <-p.ended; err != nil {
		p.t.Error(err)
	}
}

// reading records one value of A/S1 and returns when it is on disk.
func (p *inProcess) reading(value int) {
	p.t.Helper()
	b := &gateway.Batch{From: access.System, Source: "test", Readings: []gateway.Reading{
		{Kind: gateway.KindSensor, Device: "A", Channel: "S1", Value: json.RawMessage(fmt.Sprint(value))}}}
	if err := p.g.hub.Accept(context.Background(), b); err != nil {
		p.t.Fatal(err)
	}
}

type arrival struct {
	Value     int
	Timestamp time.Time
	ID        string
	Clock     string
}

// arrivals waits until n readings are in the cloud and gives them, one that was
// sent again once, as whoever reads there tells them by their ids.
func (p *inProcess) arrivals(n int) []arrival {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var got []arrival
	all := func() bool {
		got = nil
		seen := map[string]bool{}
		for _, m := range p.cloud.Messages() {
			if !strings.HasSuffix(m.Topic, "/sensors/S1/value") {
				continue
			}
			var a arrival
			if err := json.Unmarshal(m.Payload, &a); err != nil {
				p.t.Error(err)
			}
			if !seen[a.ID] {
				got = append(got, a)
			}
			seen[a.ID] = true
		}
		return len(got) >= n
	}
	if err := p.cloud.WaitFor(ctx, all); err != nil {
		p.t.Fatalf("%d of %d readings in the cloud: %v", len(got), n, err)
	}
	return got
}

// TestClockWithoutBattery: a boot that begins in 1970, a clock that jumps to
// the present and an hour back, and a power cut into the next 1970.
func TestClockWithoutBattery(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	cloud, err := fakecloud.New(fakecloud.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer cloud.Close()
	data := t.TempDir()
	clock := fakeclock.New(time.Unix(5, 0), gateway.ClockUnset)
	p := startInProcess(t, data, clock, cloud)
	for i := range 3 {
		p.reading(i + 1)
		clock.Advance(5 * time.Second)
	}
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	clock.Set(now, gateway.ClockSynced)
	got := p.arrivals(3)
	for i, a := range got {
		if want := now.Add(time.Duration(i-3) * 5 * time.Second); !a.Timestamp.Equal(want) || a.Value != i+1 || a.Clock != "" {
			t.Errorf("reading %d arrived as %+v, want it at %s", i+1, a, want)
		}
	}

	clock.Advance(time.Second)
	p.reading(4)
	clock.Set(now.Add(-time.Hour), gateway.ClockSynced)
	p.reading(5)
	got = p.arrivals(5)
	for i, a := range got {
		if a.Value != i+1 {
			t.Errorf("after a step back: %+v in place %d", a, i)
		}
	}
	if want := now.Add(-time.Hour); !got[4].Timestamp.Equal(want) {
		t.Errorf("the reading after the step back is of %s, want %s", got[4].Timestamp, want)
	}

	cloud.SetLink(false)
	p.reading(6)
	p.stop()
	clock.Reboot(time.Unix(3, 0), gateway.ClockUnset)
	p = startInProcess(t, data, clock, cloud)
	p.reading(7)
	clock.Advance(5 * time.Second)
	later := now.Add(2 * time.Hour)
	clock.Set(later, gateway.ClockSynced)
	cloud.SetLink(true)
	got = p.arrivals(7)
	if a := got[5]; a.Value != 6 || !a.Timestamp.Equal(now.Add(-time.Hour)) {
		t.Errorf("the reading of the former boot: %+v", a)
	}
	if a := got[6]; a.Value != 7 || !a.Timestamp.Equal(later.Add(-5*time.Second)) {
		t.Errorf("the reading before the clock was set: %+v, want it at %s", a, later.Add(-5*time.Second))
	}
	p.stop()
}
