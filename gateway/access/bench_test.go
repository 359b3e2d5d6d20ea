package access

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkLogin has failed logins with a name that has an account and with one
// that has none, by turns; known/unknown is what the first take of the time of
// the second. Each comes from an address of its own, and nobody has tried the
// name before.
func BenchmarkLogin(b *testing.B) {
	hash, err := HashPassword([]byte("password"), zeroes{})
	if err != nil {
		b.Fatal(err)
	}
	g := NewGate(GateOptions{})
	var spent [2]time.Duration
	for i := 0; b.Loop(); i++ {
		for known := range 2 {
			addr, name := fmt.Sprintf("10.%d.%d.%d", known, i/256%256, i%256), fmt.Sprint(known, i)
			use := hash
			if known == 0 {
				use = ""
			}
			start := time.Now()
			if err := g.Check(b.Context(), addr, name, []byte("wrong"), use, known == 1); err == nil {
				b.Fatal("let in")
			}
			spent[known] += time.Since(start)
		}
	}
	b.ReportMetric(spent[1].Seconds()/spent[0].Seconds(), "known/unknown")
	b.ReportMetric(spent[1].Seconds()*1e3/float64(b.N), "ms/known")
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { return len(p), nil }
