package main

import (
	"testing"
	"time"
)

// BenchmarkColdStart is the time from the start of the process until a client
// has its CONNACK, with an empty folder (first) and with what that has left.
func BenchmarkColdStart(b *testing.B) {
	run := func(b *testing.B, data func() string) {
		var sum time.Duration
		for b.Loop() {
			dir := data()
			began := time.Now()
			g := startGateway(b, dir, "id: bench\ndata: DATA\nlisten: {mqtt: \"127.0.0.1:0\", http: \"127.0.0.1:0\"}\naccess: {anonymous: true}\n")
			c := connectBare(b, g.mqtt, "first", true)
			sum += time.Since(began)
			c.conn.Close()
			stopCleanly(b, g.process)
		}
		b.ReportMetric(float64(sum.Microseconds())/1000/float64(b.N), "ms")
		b.ReportMetric(0, "ns/op")
	}
	fieldgate(b) // not the time of the build
	b.Run("first", func(b *testing.B) { run(b, b.TempDir) })
	b.Run("again", func(b *testing.B) {
		dir := b.TempDir()
		run(b, func() string { return dir })
	})
}
