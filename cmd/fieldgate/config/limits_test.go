package config

import (
	"fmt"
	"testing"
	"time"

	"fieldgate/gateway/store"
	"fieldgate/uplink"
)

// TestLimits: what a configuration may say is what the parts take, and what it
// leaves out is their default.
func TestLimits(t *testing.T) {
	equal(t, "smallest log", int64(MinStoreSize), int64(store.LeastMaxSize))
	equal(t, "largest log", int64(MaxStoreSize), int64(store.LargestMaxSize))
	equal(t, "size of the log", Default().Store.MaxSize, int64(store.DefaultMaxSize))

	c, err := Parse("f.yaml", []byte("uplink: [{name: a, url: 'mqtt://127.0.0.1'}]"))
	if err != nil {
		t.Fatal(err)
	}
	u := c.Uplinks[0]
	equal(t, "window", u.Window, uplink.DefaultWindow)
	equal(t, "acknowledgement timeout", u.AckTimeout, uplink.DefaultAckTimeout)
	equal(t, "keep alive", u.Keepalive, uplink.DefaultKeepAlive)
	equal(t, "catch-up rate", u.CatchUpRate, uplink.DefaultCatchUpRate)
	equal(t, "catch up", uplink.CatchUp(u.CatchUp), uplink.Ordered)
	equal(t, "dialect", uplink.Dialect(u.Dialect), uplink.Waziup)
	for _, x := range [][2]string{{CatchUpFreshFirst, string(uplink.FreshFirst)}, {CatchUpBatches, string(uplink.Batches)}, {DialectNone, string(uplink.None)}, {DialectXively, string(uplink.Xively)},
		{ForwardIn, string(uplink.In)}, {ForwardOut, string(uplink.Out)}, {ForwardBoth, string(uplink.Both)}} {
		equal(t, "word", x[0], x[1])
	}
	for window, ok := range map[int]bool{uplink.MaxWindow: true, uplink.MaxWindow + 1: false} {
		_, err := Parse("f.yaml", fmt.Appendf(nil, "uplink: [{name: a, url: 'mqtt://127.0.0.1', window: %d}]", window))
		if (err == nil) != ok {
			t.Errorf("window %d: %v", window, err)
		}
	}
}

// TestDefaultLimits: what a client can cost a gateway whose configuration says
// nothing about it.
func TestDefaultLimits(t *testing.T) {
	equal(t, "limits", Default().Limits, Limits{Clients: 1000, Pending: 100, ConnectRate: 500, Sessions: 2000, Filters: 1000, FiltersTotal: 50_000,
		Retained: 10_000, RetainedBytes: 32 << 20, PacketSize: 2 << 20, QueueBytes: 4 << 20, QueueMessages: 1000,
		ConnectTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second})
	c, err := Parse("f.yaml", []byte("limits: {clients: 5000}"))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "sessions for many clients", c.Limits.Sessions, 10_000)
}
