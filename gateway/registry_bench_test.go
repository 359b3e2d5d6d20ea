package gateway

import (
	"fmt"
	"testing"

	"fieldgate/gateway/access"
)

// crowd is a registry of 1,000 private devices and 100 users, each device
// shared with ten of them.
func crowd(t testing.TB) (*Registry, []access.Subject, []string) {
	t.Helper()
	d := Declared{ACL: access.ACL{}}
	var who []access.Subject
	for i := range 100 {
		name := fmt.Sprint("user", i)
		d.Users = append(d.Users, access.User{Name: name})
		who = append(who, access.Subject{User: name})
	}
	who = append(who, access.Subject{}) // anonymous
	var ids []string
	for i := range 1000 {
		g := access.Grants{Owner: fmt.Sprint("user", i%100)}
		for j := range 10 {
			g.Share = append(g.Share, access.Share{User: fmt.Sprint("user", (i+7*j)%100), Can: []access.Right{access.View}})
		}
		id := fmt.Sprint("device", i)
		d.Devices = append(d.Devices, &Device{ID: id, Grants: g})
		ids = append(ids, id)
	}
	r, err := NewRegistry(Tables{Devices: &memTable{}, Users: &memTable{}, Keys: &memTable{}}, openGate{}, &testClock{}, d)
	if err != nil {
		t.Fatal(err)
	}
	return r, who, ids
}

// BenchmarkCan is what the right to read costs each message that is delivered,
// with 1,000 devices and 100 users.
func BenchmarkCan(b *testing.B) {
	r, who, ids := crowd(b)
	b.ReportAllocs()
	i, yes := 0, 0
	for b.Loop() {
		if r.Can(who[i%len(who)], access.View, ids[i%len(ids)]) {
			yes++
		}
		i++
	}
	b.ReportMetric(100*float64(yes)/float64(i), "%-allowed")
}

// TestCanTakesNoMemory: a delivery is decided without an allocation.
func TestCanTakesNoMemory(t *testing.T) {
	r, who, ids := crowd(t)
	yes := 0
	n := testing.AllocsPerRun(10, func() {
		for i, s := range who {
			for _, id := range ids[i : i+50] {
				if r.Can(s, access.View, id) {
					yes++
				}
			}
		}
	})
	if n > 0 || yes == 0 {
		t.Errorf("%v allocations, %d allowed", n, yes)
	}
}
