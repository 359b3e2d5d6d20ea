package store

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"fieldgate/gateway"
	"fieldgate/gateway/fakeclock"
)

// processWritten is how many bytes this process has had written to disk.
func processWritten(b *testing.B) (n int64) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			if n, err = strconv.ParseInt(strings.TrimSpace(v), 10, 64); err != nil {
				b.Fatal(err)
			}
		}
	}
	return n
}

// bareCommit is how long this disk takes for a commit of one small key, the
// median of n.
func bareCommit(b *testing.B, n int) time.Duration {
	b.Helper()
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "bare.db"), 0o600, &bbolt.Options{PageSize: ourPageSize, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	var all []time.Duration
	for i := range n {
		began := time.Now()
		err := db.Update(func(tx *bbolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists([]byte("b"))
			if err != nil {
				return err
			}
			return bucket.Put(seqKey(uint64(i)), make([]byte, 100))
		})
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, time.Since(began))
	}
	slices.Sort(all)
	return all[n/2]
}

func benchRig(b *testing.B) *rig {
	r := &rig{t: b, path: filepath.Join(b.TempDir(), "log.db"), opt: Options{Uplinks: []string{"cloud"}}, clock: fakeclock.New(epoch, gateway.ClockSynced)}
	r.open()
	b.Cleanup(r.close)
	return r
}

func report(b *testing.B, r *rig, before Health, io int64) {
	h := r.Health()
	n := float64(b.N)
	b.ReportMetric(n/float64(h.Commits-before.Commits), "records/commit")
	b.ReportMetric(float64(h.BytesWritten-before.BytesWritten)/n, "page-B/record")
	if now := processWritten(b); now > io {
		b.ReportMetric(float64(now-io)/n, "disk-B/record")
	}
}

// BenchmarkAppendAlone is one publisher that waits for each reading: about one
// commit of the disk, which is measured in the same run.
func BenchmarkAppendAlone(b *testing.B) {
	bare := bareCommit(b, 200)
	r := benchRig(b)
	r.put(r.reading(0))
	before, io := r.Health(), processWritten(b)
	var all []time.Duration
	done := make(chan error, 1)
	b.ResetTimer()
	for i := range b.N {
		began := time.Now()
		err := r.Append(&gateway.Entry{Records: []gateway.Record{r.reading(i)}, Wait: true, Done: func(err error) { done <- err }})
		if err != nil {
			b.Fatal(err)
		}
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		all = append(all, time.Since(began))
	}
	b.StopTimer()
	report(b, r, before, io)
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "median-µs")
	b.ReportMetric(float64(bare.Microseconds()), "bare-commit-µs")
	b.ReportMetric(float64(all[len(all)/2])/float64(bare), "bare-commits")
}

// BenchmarkAppendShared is ten publishers with a hundred readings in flight
// each.
func BenchmarkAppendShared(b *testing.B) {
	r := benchRig(b)
	r.put(r.reading(0))
	before, io := r.Health(), processWritten(b)
	b.ResetTimer()
	var wg sync.WaitGroup
	const publishers, window = 10, 100
	for p := range publishers {
		n := b.N / publishers
		if p == 0 {
			n += b.N % publishers
		}
		wg.Go(func() {
			flight := make(chan struct{}, window)
			for i := range n {
				flight <- struct{}{}
				rec := gateway.Record{Kind: gateway.KindSensor, Device: fmt.Sprint("device-", p), Channel: "temperature",
					Value: json.RawMessage(strconv.Itoa(i)), Stamp: r.clock.Now()}
				err := r.Append(&gateway.Entry{Records: []gateway.Record{rec}, Wait: true, Done: func(err error) {
					if err != nil {
						b.Error(err)
					}
					<-flight
				}})
				if err != nil {
					b.Error(err)
					return
				}
			}
			for range window {
				flight <- struct{}{}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	report(b, r, before, io)
}

// BenchmarkRead is an uplink that reads a backlog.
func BenchmarkRead(b *testing.B) {
	r := benchRig(b)
	for i := range 20 {
		r.fill(i*1000, 1000)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for from, n := uint64(1), 0; n < b.N; {
		recs, err := r.Read(from, 500, 0)
		if err != nil {
			b.Fatal(err)
		}
		n += len(recs)
		from = 1
		if len(recs) > 0 {
			from = recs[len(recs)-1].Seq + 1
		}
	}
}
