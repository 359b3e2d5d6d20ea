package feeds

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"fieldgate/gateway"
)

// crash makes another API over what is on disk, as after a loss of power.
func (r *rig) crash() {
	r.t.Helper()
	r.api = r.open()
}

// extremes are the least and the greatest value of a datastream of the feed 504.
func (r *rig) extremes(datastream string) string {
	r.t.Helper()
	m := r.doc("/v2/feeds/504/datastreams/" + datastream + ".json")
	return field(m, "min_value") + field(m, "max_value")
}

func TestWhatAClientSetIsOnDiskWhenItIsAnswered(t *testing.T) {
	r := newRig(t)
	r.put("/v2/feeds/504.json", `{"datastreams":[{"id":"dur","current_value":"5","max_value":"500","min_value":"-500"}],
		"location":{"disposition":"mobile","lat":1,"lon":2}}`)
	if n := r.feeds.writes; n != 1 {
		t.Errorf("%d writes", n)
	}
	r.crash()
	if got := r.extremes("dur"); got != `"-500.0""500.0"` {
		t.Errorf("extremes %s", got)
	}
	if got := r.get("/v2/feeds/504.json"); !strings.Contains(got, `"waypoints":[{`) {
		t.Errorf("no waypoints: %s", got)
	}

	// What changes nothing is not written again.
	r.put("/v2/feeds/504.json", `{"datastreams":[{"id":"dur","current_value":"6","max_value":"500","min_value":"-500"}],
		"location":{"disposition":"mobile","lat":1,"lon":2}}`)
	if n := r.feeds.writes; n != 1 {
		t.Errorf("%d writes", n)
	}

	// Greatest values from before they were set do not come back.
	r.clock.Advance(time.Second)
	r.put("/v2/feeds/504/datastreams/dur.json", `{"max_value":"1","min_value":"0"}`)
	for _, q := range []gateway.ClockQuality{gateway.ClockUnset, gateway.ClockSynced} {
		now := r.clock.Now().Wall
		if q == gateway.ClockUnset { // as without a battery
			r.clock.Set(time.Unix(0, 0), q)
		}
		r.crash()
		if got := r.extremes("dur"); got != `"0.0""1.0"` {
			t.Errorf("extremes %s", got)
		}
		r.clock.Set(now, gateway.ClockSynced)
	}
	r.put("/v2/feeds/504/datastreams/dur.json", `{"max_value":"","min_value":""}`)
	r.crash()
	if got := r.extremes("dur"); got != "nullnull" {
		t.Errorf("extremes %s", got)
	}
}

func TestAFeedIsMadeWithItsExtremesAndPlace(t *testing.T) {
	r := newRig(t)
	resp := r.ask("master", "POST", "/v2/feeds.json", `{"title":"New","location":{"disposition":"mobile","lat":1,"lon":2},
		"datastreams":[{"id":"a","current_value":"7","max_value":"70"}]}`)
	if resp.Status != 201 {
		t.Fatalf("%+v", resp)
	}
	r.crash()
	got := r.get(strings.TrimPrefix(resp.Location, "http://gw-1:8080") + ".json")
	if !strings.Contains(got, `"max_value":"70.0"`) || !strings.Contains(got, `"waypoints":[{`) {
		t.Errorf("got %s", got)
	}
}

func TestWhatCannotBeKeptIsNotAnswered200(t *testing.T) {
	r := newRig(t)
	r.feeds.fail = errDisk
	for _, body := range []string{`{"datastreams":[{"id":"0","max_value":"5"}]}`, `{"location":{"disposition":"mobile","lat":1,"lon":2}}`} {
		resp := r.ask("master", "PUT", "/v2/feeds/504.json", body)
		if resp.Status != 503 || !errors.Is(resp.Err, gateway.ErrNotKept) {
			t.Errorf("%s: %+v", body, resp)
		}
	}
	r.put("/v2/feeds/504.csv", "0,1") // a value alone does not need the table
	r.feeds.fail = nil
	r.put("/v2/feeds/504.json", `{"datastreams":[{"id":"0","max_value":"5"}]}`) // nothing new, but not on disk yet
	r.crash()
	if got := r.extremes("0"); got != `"1.0""5.0"` {
		t.Errorf("extremes %s", got)
	}
}

// A namesake that was deleted is not deleted once more with what is kept.
func TestWhatIsKeptOutlivesTheDeletionOfANamesake(t *testing.T) {
	r := newRig(t)
	path := fmt.Sprintf("/v2/feeds/%d", r.makeX("ann"))
	r.put(path+".json", `{"datastreams":[{"id":"s","max_value":"5"}]}`)
	r.deleteX()
	r.clock.Advance(time.Second)
	r.makeX("ann")
	r.put(path+".json", `{"datastreams":[{"id":"s","max_value":"6"}]}`)
	if err := r.api.save(); err != nil {
		t.Fatal(err)
	}
	r.crash()
	if got := r.get(path + ".json"); !strings.Contains(got, `"max_value":"6.0"`) {
		t.Errorf("got %s", got)
	}
}

func TestExtremesAreRebuiltFromTheHistory(t *testing.T) {
	r := newRig(t)
	r.put("/v2/feeds/504.csv", "0,5\n1,5")
	if err := r.api.save(); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(time.Minute)
	for _, x := range []string{"5", "9", "6"} { // of a feed that had none yet
		r.must(200, "public", "PUT", "/v2/feeds/505.csv", "temp,"+x)
	}
	for _, x := range []string{"0,-3\n1,7", "0,90\n1,red", "0,6\n1,6", "new,1", "new,9", "new,2"} {
		r.put("/v2/feeds/504.csv", x)
		r.clock.Advance(time.Second)
	}
	r.crash()
	for datastream, want := range map[string]string{"0": `"-3.0""90.0"`, "1": `"5.0""7.0"`, "new": `"1.0""9.0"`} {
		if got := r.extremes(datastream); got != want {
			t.Errorf("%s: %s, want %s", datastream, got, want)
		}
	}
	if got := r.get("/v2/feeds/505.json"); !strings.Contains(got, `"max_value":"9.0"`) || !strings.Contains(got, `"min_value":"5.0"`) {
		t.Errorf("got %s", got)
	}
	// They are written with the next save.
	if err := r.api.save(); err != nil {
		t.Fatal(err)
	}
	if got := r.feeds.get("Hut"); !strings.Contains(got, `"0":[-3,90]`) {
		t.Errorf("saved %s", got)
	}
}

// histories are those that were asked for.
type histories struct {
	of    History
	asked []gateway.HistoryQuery
	err   error
}

func (h *histories) History(ctx context.Context, q gateway.HistoryQuery, fn func(gateway.Record) error) error {
	h.asked = append(h.asked, q)
	if h.err != nil {
		return h.err
	}
	return h.of.History(ctx, q, fn)
}

func TestLittleHistoryIsReadAtTheStart(t *testing.T) {
	r := newRig(t)
	h := &histories{of: r.log}
	open := func() *API {
		t.Helper()
		h.asked = nil
		a, err := New(Config{Hub: r.hub, Registry: r.reg, History: h, Tables: r.tables, Clock: r.clock})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	r.put("/v2/feeds/504.csv", "0,5\n1,5")
	r.value("Open", "temp", "5", time.Time{})
	if open(); len(h.asked) != 0 {
		t.Errorf("nothing was ever saved, asked for %+v", h.asked)
	}
	r.clock.Advance(10 * time.Minute)
	if err := r.api.save(); err != nil {
		t.Fatal(err)
	}
	want := r.clock.Now().Wall.Add(-rebuildBefore)
	r.clock.Advance(10 * time.Minute)
	r.put("/v2/feeds/504.csv", "0,6")
	open()
	if len(h.asked) != 1 || h.asked[0].Channel != "0" || !h.asked[0].From.Equal(want) ||
		h.asked[0].Limit != rebuiltValues || !h.asked[0].Backward {
		t.Errorf("asked for %+v", h.asked)
	}

	// A history that fails costs what it would have told, and no more.
	h.err = errDisk
	r.put("/v2/feeds/504.csv", "0,99\n1,8")
	r.put("/v2/feeds/504.csv", "0,7")
	r.api = open()
	if got := r.extremes("0"); len(h.asked) != 2 || got != `"5.0""7.0"` {
		t.Errorf("asked for %d, extremes %s", len(h.asked), got)
	}

	// After an end in order there is next to nothing to read.
	h.err = nil
	r.clock.Advance(10 * time.Minute)
	if err := r.api.saveAll(true); err != nil {
		t.Fatal(err)
	}
	if open(); len(h.asked) != 0 {
		t.Errorf("asked for %+v", h.asked)
	}
}

// Rows that are damaged cost themselves, never the start.
func TestTheAPIStartsWithDamagedRows(t *testing.T) {
	for _, raw := range []string{"", "{", "null", "[]", "7", `""`, `{"id":1}`, `{"id":"x"}`, `{"extremes":{"0":[1]},"saved":7}`, `{"saved":"9999-01-01T00:00:00Z","set":{"0":"9999-01-01T00:00:00Z"}}`, "\x00\xff"} {
		r := newRig(t)
		for _, table := range []*rigTable{r.feeds, r.tables.Triggers.(*rigTable), r.tables.Profiles.(*rigTable), r.tables.Products.(*rigTable)} {
			table.pairs = map[string][]byte{"Hut": []byte(raw), "1": []byte(raw), "ann": []byte(raw), lastKey: []byte(raw), savedRow: []byte(raw),
				productRow: []byte(raw), productRow + "p": []byte(raw), deviceRow + "p/s": []byte(raw)}
		}
		r.put("/v2/feeds/504.csv", "0,5")
		r.crash()
		if got := r.extremes("0"); got != `"5.0""5.0"` {
			t.Errorf("%q: extremes %s", raw, got)
		}
		for _, target := range []string{"/v2/feeds.json", "/v2/triggers", "/v2/users/ann", "/v2/products"} {
			r.as(200, "ann", "GET", target, "")
		}
		r.as(200, "ann", "PUT", "/v2/users/ann", `{"user":{"about":"me"}}`)
	}
}
