package feeds

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/xively"
)

func TestAnswersToSubscriptionsAreNotHeldForEver(t *testing.T) {
	r := newRig(t)
	r.value("Hut", "0", `"`+strings.Repeat("x", 200)+`"`, rigStart.Add(-time.Second))
	const filter = "/v2/feeds/504.json?duration=1hour"
	want := r.get(filter)
	var boxes []*inbox
	var starts, cancels []func()
	for held := 0; held <= 2*maxHeld; held += len(want) { // one packet may ask for as much
		in := newInbox(t)
		in.ch = make(chan string, 2)
		start, cancel, err := r.api.Subscribe(annPeer, filter, in.push)
		if err != nil {
			t.Fatal(err)
		}
		boxes, starts, cancels = append(boxes, in), append(starts, start), append(cancels, cancel)
	}
	if n := r.api.held.Load(); n > maxHeld || n < maxHeld/2 {
		t.Errorf("%d bytes are held for %d subscriptions", n, len(starts))
	}
	asked := r.api.Stats().Requests["2xx"]
	for i, start := range starts {
		if i%3 == 0 {
			cancels[i]()
		}
		for range 1 + i%2 { // again, as after a loss
			start()
			if i%3 == 0 {
				boxes[i].empty()
				continue
			}
			if got := boxes[i].next(); got != want {
				t.Fatalf("%d: got %q, want %q", i, got, want)
			}
			boxes[i].empty()
		}
		cancels[i]()
	}
	if n := r.api.held.Load(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
	if n := r.api.Stats().Requests["2xx"]; n != asked {
		t.Errorf("%d requests are noted twice", n-asked)
	}
}

func TestWhatIsAskedAgainIsDecidedAgain(t *testing.T) {
	r := newRig(t)
	r.api.held.Store(maxHeld)
	in := newInbox(t)
	start, cancel, err := r.api.Subscribe(gateway.Peer{Subject: access.Subject{User: "ann", Key: "id-short"}}, "/v2/feeds/504.csv?limit=1", in.push)
	if err != nil {
		t.Fatal(err)
	}
	defer cancel()
	r.clock.Advance(2 * time.Hour)
	start()
	in.empty()
	if n := r.api.held.Load(); n != maxHeld {
		t.Errorf("%d bytes are held", n)
	}
}

func TestFewHistoriesAreReadAtOnce(t *testing.T) {
	r := newRig(t)
	for range maxReading {
		r.api.reading <- struct{}{}
	}
	ask := func() int {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		return r.api.Serve(ctx, gateway.Request{Door: "http", Method: "GET", Path: "/v2/feeds/504.json", Query: "limit=1", Key: "master"}).Status
	}
	if got := ask(); got != 503 {
		t.Errorf("one more than that: status %d", got)
	}
	r.get("/v2/feeds/504.json") // the present does not wait
	<-r.api.reading
	if got := ask(); got != 200 {
		t.Errorf("then: status %d", got)
	}
	if n := len(r.api.reading); n != maxReading-1 {
		t.Errorf("%d are being read", n)
	}
}

func TestLongValuesCountForMoreInAnAnswer(t *testing.T) {
	short, long := xively.Datapoint{Value: "21.5"}, xively.Datapoint{Value: strings.Repeat("x", 255)}
	if got := weight([]xively.Datapoint{short, short, long}); got != 6 {
		t.Errorf("weight %d", got)
	}
	r := newRig(t)
	var body strings.Builder
	for i := range 500 {
		fmt.Fprintf(&body, "0,%s,%s\n", rigStart.Add(-time.Duration(i)*time.Second).Format(time.RFC3339), long.Value)
	}
	r.put("/v2/feeds/504.csv", body.String())
	if got := strings.Count(r.get("/v2/feeds/504.csv?duration=1hour&limit=1000"), "\n"); got < 499 {
		t.Errorf("%d lines of one datastream", got)
	}
}

func TestAPanicInADeliveryIsCaught(t *testing.T) {
	r := newRig(t)
	settled := 0
	r.api.cfg.Registry = nil
	r.api.Deliver(&gateway.Batch{Changed: "Hut"}, nil, func(error) { settled++ })
	if settled != 1 {
		t.Errorf("settled %d times", settled)
	}
}
