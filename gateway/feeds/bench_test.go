package feeds

import (
	"fmt"
	"testing"
	"time"

	"fieldgate/gateway"
)

// benchForms are the forms of a feed that subscribers of the benchmark ask for.
var benchForms = []string{"/v2/feeds/600.json", "/v2/feeds/600.xml", "/v2/feeds/600.csv",
	"/v1/feeds/600.json", "/v1/feeds/600.xml", "/v1/feeds/600.csv"}

// BenchmarkPush measures one update of a feed of 50 datastreams, from the
// reading to the last subscriber: its cost follows the number of forms, not of
// subscribers.
func BenchmarkPush(b *testing.B) {
	for _, forms := range []int{0, 1, 3, 6} {
		for _, subscribers := range []int{1, 10, 100} {
			if forms == 0 && subscribers > 1 || subscribers < forms && forms > 1 {
				continue
			}
			b.Run(fmt.Sprintf("forms=%d/subscribers=%d", forms, subscribers), func(b *testing.B) {
				benchmarkPush(b, forms, subscribers)
			})
		}
	}
}

func benchmarkPush(b *testing.B, forms, subscribers int) {
	r := newRig(b, func(d *gateway.Declared) {
		big := &gateway.Device{ID: "Big", Name: "Big", Feed: 600, Grants: d.Devices[0].Grants}
		for i := range 50 {
			big.Sensors = append(big.Sensors, gateway.Sensor{ID: fmt.Sprintf("stream-%d", i), Unit: "DegreeCelsius"})
		}
		d.Devices = append(d.Devices, big)
	})
	for i := range 50 {
		r.value("Big", fmt.Sprintf("stream-%d", i), "21.5", rigStart)
	}
	pushed := 0
	if forms > 0 {
		for i := range subscribers {
			start, cancel, err := r.api.Subscribe(annPeer, benchForms[i%forms], func([]byte) { pushed++ })
			if err != nil {
				b.Fatal(err)
			}
			defer cancel()
			start()
		}
	}
	batch := &gateway.Batch{}
	record := []gateway.Record{{Kind: gateway.KindSensor, Device: "Big", Channel: "stream-7", Value: []byte("22.75")}}
	before := r.api.Stats()
	pushed = 0
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		record[0].At = rigStart.Add(time.Duration(n) * time.Millisecond)
		record[0].Stamp.Wall = record[0].At
		r.api.Deliver(batch, record, func(error) {})
		r.drain()
	}
	b.ReportMetric(float64(r.api.Stats().Renders-before.Renders)/float64(n), "renders/op")
	b.ReportMetric(float64(pushed)/float64(n), "pushes/op")
}

// BenchmarkDeliver measures what a reading costs that nobody is subscribed to.
func BenchmarkDeliver(b *testing.B) {
	r := newRig(b)
	batch := &gateway.Batch{}
	record := []gateway.Record{{Kind: gateway.KindSensor, Device: "Hut", Channel: "0", Value: []byte("22.75"), At: rigStart}}
	b.ReportAllocs()
	for b.Loop() {
		r.api.Deliver(batch, record, func(error) {})
	}
}
