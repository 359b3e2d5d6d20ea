package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fieldgate/cmd/fieldgate/config"
	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/fakeclock"
	"fieldgate/uplink/fakecloud"
)

const (
	monthDays     = 30
	monthChannels = 2
	monthReadings = monthDays * 24 * 60 * monthChannels
)

// monthLedger is what arrived in the cloud, by the number of the reading: all
// of a minute, one after the other.
type monthLedger struct {
	mu      sync.Mutex
	start   time.Time
	ids     []uint64 // sequences; 0 before it arrived
	last    [monthChannels]int
	arrived int
	copies  int
	gaps    int
	wrong   []string
}

func (l *monthLedger) take(m fakecloud.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.HasSuffix(m.Topic, "/gaps") {
		l.gaps++
	}
	if !strings.HasPrefix(m.Topic, "devices/A/sensors/S") {
		return
	}
	var a arrival
	if err := json.Unmarshal(m.Payload, &a); err != nil || a.Value < 0 || a.Value >= len(l.ids) {
		l.wrong = append(l.wrong, fmt.Sprintf("%s %s: %v", m.Topic, m.Payload, err))
		return
	}
	id, err := strconv.ParseUint(strings.TrimPrefix(a.ID, "gw-1/"), 10, 64)
	if err != nil {
		l.wrong = append(l.wrong, fmt.Sprintf("id %q", a.ID))
		return
	}
	channel := a.Value % monthChannels
	at := l.start.Add(time.Duration(a.Value/monthChannels+1) * time.Minute)
	switch old := l.ids[a.Value]; {
	case old == id:
		l.copies++
		return
	case old != 0, a.Value <= l.last[channel] && l.arrived >= monthChannels, !a.Timestamp.Equal(at):
		l.wrong = append(l.wrong, fmt.Sprintf("reading %d with id %s of %s: before it %d, id seen %d, wanted at %s", a.Value, a.ID, a.Timestamp, l.last[channel], old, at))
	}
	l.ids[a.Value], l.last[channel] = id, a.Value
	l.arrived++
}

// TestSimulatedMonth lets 30 days pass over a whole gateway with a clock of the
// test's: a reading of each of two sensors a minute, and each day eight hours
// without the cloud. Every reading arrives once by its id, in order, with its
// exact time; files, heap and goroutines are at the end what they were in the
// first week. The log may hold 1 MiB, which it fills within the first week.
func TestSimulatedMonth(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	cloud, err := fakecloud.New(fakecloud.Options{Keep: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer cloud.Close()
	l := &monthLedger{start: time.Date(2026, 10, 30, 0, 0, 0, 0, time.UTC), ids: make([]uint64, monthReadings)} // over the end of a month
	cloud.OnMessage(l.take)
	const maxSize = config.MinStoreSize
	data := t.TempDir()
	yaml := strings.Replace(surviveConfig(cloud.URL(), "ordered"), "DATA", data, 1) + fmt.Sprintf("store: {max_size: %d}\n", maxSize)
	cfg, err := config.Parse("test", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	clock := fakeclock.New(l.start, gateway.ClockSynced)
	g, err := newGateway(cfg, slog.New(slog.DiscardHandler), clock)
	if err != nil {
		t.Fatal(err)
	}
	p := runInProcess(t, g, cloud)

	n := 0
	minute := func(last bool) {
		clock.Advance(time.Minute)
		b := &gateway.Batch{From: access.System, Source: "test"}
		for i := range monthChannels {
			b.Readings = append(b.Readings, gateway.Reading{Kind: gateway.KindSensor, Device: "A",
				Channel: fmt.Sprint("S", i+1), Value: json.RawMessage(fmt.Sprint(n))})
			n++
		}
		err := error(nil)
		if last { // what came before is on disk then too
			err = g.hub.Accept(context.Background(), b)
		} else {
			err = g.hub.Submit(b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	hours := func(hours int) {
		for i := range hours * 60 {
			minute(i%60 == 59)
		}
	}
	type sample struct {
		files, heap int64
		goroutines  int
	}
	var samples []sample
	for range monthDays {
		hours(8)
		cloud.SetLink(false)
		hours(8)
		cloud.SetLink(true)
		hours(8)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if err := cloud.WaitFor(ctx, func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.arrived >= n
		}); err != nil {
			t.Fatalf("day %d: %d of %d arrived: %v", len(samples)+1, l.arrived, n, err)
		}
		cancel()
		runtime.GC()
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		samples = append(samples, sample{filesIn(t, data), int64(mem.HeapAlloc), runtime.NumGoroutine()})
	}
	p.stop()

	if len(l.wrong) > 0 {
		t.Errorf("%d wrong, of them %s", len(l.wrong), l.wrong[:min(len(l.wrong), 5)])
	}
	if l.arrived != monthReadings || l.gaps > 0 || g.hub.Stats().Missed > 0 {
		t.Errorf("%d of %d arrived, %d gaps, %d missed", l.arrived, monthReadings, l.gaps, g.hub.Stats().Missed)
	}
	if at := clock.Now().Wall; !at.Equal(l.start.AddDate(0, 0, monthDays)) {
		t.Errorf("it is %s", at)
	}
	largest := func(s []sample, of func(sample) int64) int64 {
		return of(slices.MaxFunc(s, func(a, b sample) int { return int(of(a) - of(b)) }))
	}
	files := func(s sample) int64 { return s.files }
	heap := func(s sample) int64 { return s.heap }
	goroutines := func(s sample) int64 { return int64(s.goroutines) }
	week, end := samples[1:8], samples[monthDays-7:]
	t.Logf("%d readings, %d copies; first week and last: files %d and %d KiB, heap %d and %d KiB, goroutines %d and %d",
		l.arrived, l.copies, largest(week, files)>>10, largest(end, files)>>10, largest(week, heap)>>10, largest(end, heap)>>10,
		largest(week, goroutines), largest(end, goroutines))
	if got := largest(samples, files); got > 2*maxSize {
		t.Errorf("the files, those beside the log too, are %d bytes at most, with a max_size of %d", got, maxSize)
	}
	if a, b := largest(week, heap), largest(end, heap); b > a+1<<20 {
		t.Errorf("the heap has grown from %d to %d bytes", a, b)
	}
	if a, b := largest(week, goroutines), largest(end, goroutines); b > a+5 {
		t.Errorf("%d goroutines became %d", a, b)
	}
}

// filesIn adds up the bytes of the files in dir.
func filesIn(t *testing.T, dir string) (n int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		n += info.Size()
	}
	return n
}
