package feeds

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// refused subscribes to what is denied now, and starts.
func (r *rig) refused(p gateway.Peer, filter string, is error) *inbox {
	r.t.Helper()
	in := newInbox(r.t)
	start, cancel, err := r.api.Subscribe(p, filter, in.push)
	if !errors.Is(err, is) || start == nil {
		r.t.Fatalf("%s: error %v", filter, err)
	}
	r.t.Cleanup(cancel)
	start()
	return in
}

func TestARefusedSubscriptionComesAlive(t *testing.T) {
	r := newRig(t)
	made := r.refused(annPeer, "/v2/feeds/504/datastreams/made.csv", gateway.ErrBadTopic)
	resp := r.ask("master", "POST", "/v2/feeds.json", `{"title":"New","datastreams":[{"id":"a"}]}`)
	path := strings.TrimPrefix(resp.Location, "http://gw-1:8080")
	private := r.refused(gateway.Peer{}, "public"+path+"/datastreams/a.csv", gateway.ErrDenied)
	key := r.refused(annPeer, "feed505/v2/feeds/504/datastreams/0.csv", gateway.ErrDenied)
	r.put("/v2/feeds/504.csv", "0,1")
	r.put(path+".csv", "a,1")
	r.drain()
	for _, in := range []*inbox{made, private, key} {
		in.empty()
	}

	r.put("/v2/feeds/504.csv", "made,2")
	k, _ := r.reg.Key("id-feed505")
	k.Permissions = []access.Permission{perm("get", access.Resource{Feed: 504})}
	if err := r.reg.PutKey(k); err != nil {
		t.Fatal(err)
	}
	r.put("/v2/feeds/504.csv", "0,3")
	r.put(path+".json", `{"private":false,"datastreams":[{"id":"a","current_value":"4"}]}`)
	r.drain()
	made.want(ten + ",2")
	key.want(ten + ",3")
	private.want(ten + ",4")
	r.put("/v2/feeds/504.csv", "0,5\nmade,5")
	r.drain()
	made.want(ten + ",5")
	key.want(ten + ",5")
	private.empty()
}

func TestARefusedSubscriptionEnds(t *testing.T) {
	r := newRig(t)
	in := newInbox(t)
	_, cancel, err := r.api.Subscribe(annPeer, "/v2/feeds/504/datastreams/made.csv", in.push)
	if err == nil || r.api.Stats().Subscriptions != 1 {
		t.Errorf("error %v, %+v", err, r.api.Stats())
	}
	cancel()
	r.put("/v2/feeds/504.csv", "made,2")
	r.drain()
	in.empty()
	if n := r.api.Stats().Subscriptions; n != 0 {
		t.Errorf("%d subscriptions", n)
	}
}

func TestASecondStartPushesThePresentAgain(t *testing.T) {
	r := newRig(t)
	in := newInbox(t)
	start, cancel, err := r.api.Subscribe(annPeer, "/v1/feeds/504/datastreams/0.csv", in.push)
	if err != nil {
		t.Fatal(err)
	}
	r.put("/v2/feeds/504.csv", "0,1")
	start()
	in.want("1")
	start()
	in.want("1")
	r.put("/v2/feeds/504.csv", "0,2")
	r.put("/v2/feeds/504.csv", "0,3")
	start() // these two wait, and are not to come after it
	in.want("3")
	r.put("/v2/feeds/504.csv", "0,4")
	r.drain()
	in.want("4")
	in.empty()
	cancel()
	start()
	in.empty()
}

// Whenever a subscription is started again, its values never go back, and the
// last comes.
func TestStartsBetweenUpdatesKeepTheOrder(t *testing.T) {
	r := newRig(t)
	r.run()
	const n = 300 // fewer than wait
	in := newInbox(t)
	start, cancel, err := r.api.Subscribe(annPeer, "/v1/feeds/504/datastreams/0.csv", in.push)
	if err != nil {
		t.Fatal(err)
	}
	defer cancel()
	start()
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 1; i <= n; i++ {
			r.value("Hut", "0", fmt.Sprint(i), time.Time{})
		}
	})
	wg.Go(func() {
		for range n {
			start()
		}
	})
	var got []int
	for last := 0; last < n; {
		if _, err := fmt.Sscan(in.next(), &last); err != nil {
			t.Fatal(err)
		}
		got = append(got, last)
	}
	wg.Wait()
	if !slices.IsSorted(got) {
		t.Errorf("values went back: %v", got)
	}
}
