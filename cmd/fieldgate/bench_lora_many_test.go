package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/semtech/fakeforwarder"
)

// BenchmarkLoRaMany runs the gateway on one core (GOMAXPROCS=1) with 10,000 devices
// (1,000 with -short) heard by eight packet forwarders, one frame in a datagram, each
// frame with two values, and one subscriber to all values. In turn:
//
//   - first: each device's first frame, 512 of them under way at most
//   - full: three frames of each, as fast as they go
//   - 1000/s: one frame a millisecond for 20 s; the time is from the datagram to the
//     value's arrival at the subscriber
//
// Lost are frames whose values have not come. Bytes are those that are written to
// files for a frame: log is what the log counts of them, tables the rest (wchar of
// proc(5), which has the 100 to 200 bytes for the subscriber in it too). Undeclared
// has the sensors created by the codec's finds with the first frame. Of a script's
// devices 128 frames are under way at most: more are dropped while the script is busy.
func BenchmarkLoRaMany(b *testing.B) {
	for _, codec := range []string{"cayenne", "xlpp", "script"} {
		b.Run(codec, func(b *testing.B) { loraMany(b, codec, true) })
	}
	b.Run("undeclared", func(b *testing.B) { loraMany(b, "cayenne", false) })
}

func loraMany(b *testing.B, with string, declared bool) {
	devices := meadowSize()
	r := startMeadow(b, devices, with, declared)
	for b.Loop() { // once is enough
	}
	b.ReportMetric(float64(r.started.Milliseconds()), "start-ms")
	window := 512
	if with == "script" {
		window = 128
	}
	r.flood("first", devices, window)
	b.ReportMetric(r.c.memory(b, "RssAnon"), "heard-RssAnon-KiB")
	r.flood("full", 3*devices, window)
	r.steady("1000/s", 1000, 20*time.Second)
	b.ReportMetric(r.c.memory(b, "VmHWM"), "peak-VmRSS-KiB")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkLoRaCard is what an uplink costs the card when it comes alone: one each
// ten seconds, six in all, from one device of 10,000 and of 20.
func BenchmarkLoRaCard(b *testing.B) {
	for _, devices := range []int{20, 10_000} {
		b.Run(fmt.Sprintf("%d devices", devices), func(b *testing.B) {
			r := startMeadow(b, devices, "cayenne", true)
			for b.Loop() { // once is enough
			}
			r.flood("first", devices, 16)
			time.Sleep(15 * time.Second) // what that has caused, as a question for the battery, comes to rest
			r.alone("10s", 6, 10*time.Second)
			b.ReportMetric(0, "ns/op")
		})
	}
}

// startMeadow runs a gateway on one core, packet forwarders, and a subscriber.
func startMeadow(b *testing.B, devices int, with string, declared bool) *meadowRun {
	b.Helper()
	dir := b.TempDir()
	if with == "script" {
		with = filepath.Join(dir, "meadow.js")
		if err := os.WriteFile(with, []byte(meadowJS), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	const stations = 8
	var euis []string
	for i := range stations {
		euis = append(euis, meadowEUI(i))
	}
	r := &meadowRun{b: b, m: newMeadow(devices), sent: make([]atomic.Int64, devices), credits: make(chan struct{}, 1<<16)}
	file := filepath.Join(dir, "fieldgate.yaml")
	yaml := "id: gw-1\ndata: " + filepath.Join(dir, "data") + "\nlisten: {mqtt: '127.0.0.1:0', http: '127.0.0.1:0'}\naccess: {anonymous: true}\n" +
		"limits: {queue_messages: 100000}\n" +
		"radios: [{driver: semtech, listen: '127.0.0.1:0', gateways: ['" + strings.Join(euis, "', '") + "']}]\n" + r.m.yaml(with, declared)
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	g := startGatewayFile(b, file, "GOMAXPROCS=1")
	r.started = time.Since(start)
	r.c = &contender{gateway: g, p: g.process}
	b.Cleanup(func() { stopCleanly(b, g.process) })
	r.fw = forwarders(b, g.semtech, stations)
	sub := connectBare(b, g.mqtt, "sub", true)
	sub.subscribe("devices/+/sensors/temperature_1/value", 0)
	if err := sub.conn.SetDeadline(time.Now().Add(10 * time.Minute)); err != nil {
		b.Fatal(err)
	}
	go sub.receive(func(topic string, _ []byte) { r.arrived(topic) })
	return r
}

// meadowRun has the frames of a meadow sent.
type meadowRun struct {
	b       *testing.B
	m       *meadow
	c       *contender
	started time.Duration // until the gateway was ready
	fw      []*fakeforwarder.Forwarder
	n       int            // frames so far
	sent    []atomic.Int64 // by device: when the frame was sent whose value is to come, ns since 1970
	got     atomic.Int64
	credits chan struct{} // one for each value that has come
	mu      sync.Mutex
	took    []time.Duration
}

func (r *meadowRun) arrived(topic string) {
	var i int
	if _, err := fmt.Sscanf(topic, "devices/n%d/", &i); err != nil {
		r.b.Error(topic)
		return
	}
	d := time.Since(time.Unix(0, r.sent[i].Load()))
	r.mu.Lock()
	r.took = append(r.took, d)
	r.mu.Unlock()
	r.got.Add(1)
	select {
	case r.credits <- struct{}{}:
	default:
	}
}

// usage is what the gateway has used up.
type usage struct {
	at        time.Time
	cpu       time.Duration
	disk, log float64
	got       int64
}

func (r *meadowRun) usage() usage {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", r.c.p.cmd.Process.Pid))
	if err != nil {
		r.b.Fatal(err)
	}
	u := usage{at: time.Now(), cpu: r.c.cpu(r.b), got: r.got.Load(), log: r.c.counts(r.b)["fieldgate_store_written_bytes_total"]}
	for l := range strings.Lines(string(raw)) {
		if _, err := fmt.Sscanf(l, "wchar: %f", &u.disk); err == nil {
			break
		}
	}
	return u
}

// report tells what n frames took since before.
func (r *meadowRun) report(name string, n int, before usage, end time.Time) {
	now := r.usage()
	frames := float64(n)
	metric := func(v float64, unit string) { r.b.ReportMetric(v, name+"-"+unit) }
	metric(frames/end.Sub(before.at).Seconds(), "frames/s")
	metric(float64((now.cpu-before.cpu).Microseconds())/frames, "CPU-µs/frame")
	metric(100*(now.cpu-before.cpu).Seconds()/now.at.Sub(before.at).Seconds(), "%core")
	metric(frames-float64(now.got-before.got), "lost")
	metric((now.log-before.log)/frames, "log-B/frame")
	metric((now.disk-before.disk-now.log+before.log)/frames, "tables-B/frame")
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.took) > 0 {
		quantiles(r.b, r.took, name+"-")
	}
}

// send has forwarder fw send the next frame and wait for its acknowledgement.
func (r *meadowRun) frame() (int, radio.Frame) {
	i := r.n % len(r.sent)
	r.n++
	return i, r.m.next(r.b, i)
}

// push has a forwarder hear f, and reports whether it was acknowledged.
func (r *meadowRun) push(fw *fakeforwarder.Forwarder, i int, f radio.Frame) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r.sent[i].Store(time.Now().UnixNano())
	_, err := fw.Push(ctx, f)
	return err == nil
}

// flood sends n frames with at most window of them under way.
func (r *meadowRun) flood(name string, n, window int) {
	type one struct {
		i int
		f radio.Frame
	}
	frames := make(chan one, 64)
	var wg sync.WaitGroup
	for _, fw := range r.fw {
		wg.Go(func() {
			for o := range frames {
				if !r.push(fw, o.i, o.f) {
					r.b.Log("a frame was not acknowledged")
				}
			}
		})
	}
	r.took = nil
	for len(r.credits) > 0 {
		<-r.credits
	}
	before := r.usage()
	last := time.Now()
	free := window
	for range n {
		for free == 0 {
			select {
			case <-r.credits:
				free++
				last = time.Now()
			case <-time.After(2 * time.Second): // what is under way has been lost
				free = window
			}
		}
		free--
		i, f := r.frame()
		frames <- one{i, f}
	}
	close(frames)
	wg.Wait()
	r.settle(n, before, &last)
	r.report(name, n, before, last)
}

// settle waits until the values of all n frames have come, or none does any more.
func (r *meadowRun) settle(n int, before usage, last *time.Time) {
	for r.got.Load()-before.got < int64(n) {
		select {
		case <-r.credits:
			*last = time.Now()
		case <-time.After(3 * time.Second):
			return
		}
	}
	*last = time.Now()
}

// steady sends frames at a rate, each forwarder its share.
func (r *meadowRun) steady(name string, rate int, during time.Duration) {
	n := int(during.Seconds()) * rate
	r.took = nil
	before := r.usage()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for k, fw := range r.fw {
		wg.Go(func() {
			for j := k; j < n; j += len(r.fw) {
				time.Sleep(time.Until(before.at.Add(time.Duration(j) * time.Second / time.Duration(rate))))
				mu.Lock()
				i, f := r.frame()
				mu.Unlock()
				if !r.push(fw, i, f) {
					r.b.Log("a frame was not acknowledged")
				}
			}
		})
	}
	wg.Wait()
	last := time.Now()
	r.settle(n, before, &last)
	r.report(name, n, before, last)
}

// alone sends n frames of one device one by one.
func (r *meadowRun) alone(name string, n int, every time.Duration) {
	r.took = nil
	before := r.usage()
	for k := range n {
		r.push(r.fw[k%len(r.fw)], 0, r.m.next(r.b, 0))
		time.Sleep(every)
	}
	r.report(name, n, before, time.Now())
}
