package feeds

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/xively"
)

// frozenAfter is how long after its last value a feed is live.
const frozenAfter = 15 * time.Minute

// form is one way to show a feed or a datastream. Equal forms of one snapshot
// are the same document.
type form struct {
	resource xively.Resource
	version  xively.Version
	format   xively.Format
	feed     uint64
	stream   string // id of the datastream
	filter   string // "datastreams=" of the query: ids with commas between; "": all
	showUser bool
	zone     string // "timezone=" of the query, of the times in it; "": UTC
}

func formOf(p *xively.Path) form {
	return form{resource: p.Resource, version: p.Version, format: p.Format, feed: p.Feed, stream: p.Datastream,
		filter: p.Query.Get("datastreams"), showUser: truth(p.Query.Get("show_user")),
		zone: p.Query.Get("timezone")}
}

func truth(s string) bool { return s == "true" || s == "1" }

// streams lists the ids of the filter, nil without one.
func (f form) streams() []string {
	if f.filter == "" {
		return nil
	}
	ids := strings.Split(f.filter, ",")
	for i := range ids {
		ids[i] = strings.TrimSpace(ids[i])
	}
	return ids
}

// canView decides whether s may see f of a feed. A key for some datastreams
// sees them, and a feed that is filtered down to them. The permission is the
// one that allows it, of several the coarsest.
func (a *API) canView(s access.Subject, ask access.Ask, feed uint64, f form) (access.Permission, error) {
	ask.Feed, ask.Datastream = feed, ""
	if f.resource != xively.ResourceFeed && f.resource != xively.ResourceDatastreams {
		ask.Datastream = f.stream
		return a.cfg.Registry.Authorize(s, ask)
	}
	p, err := a.cfg.Registry.Authorize(s, ask)
	if err == nil || f.filter == "" {
		return p, err
	}
	var coarsest access.Permission
	for _, id := range f.streams() {
		ask.Datastream = id
		p, err := a.cfg.Registry.Authorize(s, ask)
		if err != nil {
			return p, err
		}
		if p.MinimumInterval >= coarsest.MinimumInterval {
			coarsest = p
		}
	}
	return coarsest, nil
}

// viewed gives what c asks to see, if it may.
func (a *API) viewed(c *call) (*snapshot, error) {
	snap, _, err := a.allowed(c)
	return snap, err
}

// allowed is viewed with the permission by which c may see it.
func (a *API) allowed(c *call) (*snapshot, access.Permission, error) {
	p, err := a.canView(c.subject, c.ask(access.View, 0, ""), c.path.Feed, formOf(&c.path))
	if err != nil {
		return nil, p, err
	}
	d, ok := a.cfg.Registry.Feed(c.path.Feed)
	if !ok {
		return nil, p, fmt.Errorf("%w: feed %d", gateway.ErrUnknownDevice, c.path.Feed)
	}
	snap, ok := a.snapshotOf(d.ID)
	if !ok {
		return nil, p, fmt.Errorf("%w: feed %d", gateway.ErrUnknownDevice, c.path.Feed)
	}
	if c.path.Datastream != "" && snap.find(c.path.Datastream) < 0 {
		return nil, p, fmt.Errorf("%w: datastream %q", gateway.ErrUnknownSensor, c.path.Datastream)
	}
	return snap, p, nil
}

// document is snap as a feed without datastreams.
func (a *API) document(snap *snapshot, showUser bool) *xively.Feed {
	d, m := snap.device, &snap.meta
	f := &xively.Feed{ID: d.Feed, Title: d.Name, Private: !d.Grants.Public, Description: m.Description,
		Website: m.Website, Icon: m.Icon, Email: m.Email, Tags: m.Tags, URL: a.feedURL(d.Feed),
		Updated: snap.updated(), Created: d.Created, ProductID: m.Product, DeviceSerial: m.Serial}
	if f.Title == "" {
		f.Title = d.ID
	}
	f.Live = !f.Updated.IsZero() && a.cfg.Clock.Now().Wall.Sub(f.Updated) < frozenAfter
	if f.Updated.IsZero() {
		if f.Updated = d.Modified; f.Updated.IsZero() {
			f.Updated = d.Created
		}
	}
	if d.Grants.Owner != "" {
		f.Creator = a.cfg.BaseURL + "/users/" + url.PathEscape(d.Grants.Owner)
		if showUser {
			f.User = d.Grants.Owner
		}
	}
	if m.Location != nil {
		l := *m.Location
		l.Waypoints = snap.waypoints
		f.Location = &l
	}
	return f
}

func (a *API) feedURL(n uint64) string {
	return a.cfg.BaseURL + "/v2/feeds/" + strconv.FormatUint(n, 10)
}

// datastream is the i-th datastream of snap.
func (snap *snapshot) datastream(i int) xively.Datastream {
	st, v := &snap.streams[i], snap.values[i]
	d := xively.Datastream{ID: st.id, Value: v.text, At: v.at, Tags: st.meta.Tags, Unit: st.unit}
	if v.ranged {
		d.Max, d.Min = xively.Extreme(v.max), xively.Extreme(v.min)
	}
	return d
}

// chosen lists the places of the streams that f shows.
func (snap *snapshot) chosen(f form) []int {
	if f.stream != "" {
		if i := snap.find(f.stream); i >= 0 {
			return []int{i}
		}
		return nil
	}
	out := make([]int, 0, len(snap.streams))
	ids := f.streams()
	for i := range snap.streams {
		if ids == nil || slices.Contains(ids, snap.streams[i].id) {
			out = append(out, i)
		}
	}
	return out
}

// render writes the present state as f. The error says that snap has no such
// datastream.
func (a *API) render(snap *snapshot, f form) ([]byte, error) {
	doc := a.document(snap, f.showUser)
	chosen := snap.chosen(f)
	doc.Datastreams = make([]xively.Datastream, 0, len(chosen))
	for _, i := range chosen {
		doc.Datastreams = append(doc.Datastreams, snap.datastream(i))
	}
	if f.zone != "" {
		w, _, _, err := xively.ParseWindow(url.Values{"timezone": {f.zone}}, a.cfg.Clock.Now().Wall, 0)
		if err != nil {
			return nil, err
		}
		inZone(doc, w.Zone)
	}
	return appendDocument(f, doc)
}

// appendDocument writes doc as f: a feed, or its only datastream.
func appendDocument(f form, doc *xively.Feed) ([]byte, error) {
	if f.stream == "" {
		size := 64 * len(doc.Datastreams)
		if f.format != xively.CSV {
			size = 1024 + 4*size // about what they take
		}
		return xively.AppendFeed(make([]byte, 0, size), f.version, f.format, doc)
	}
	if len(doc.Datastreams) == 0 {
		return nil, fmt.Errorf("%w: datastream %q", gateway.ErrUnknownSensor, f.stream)
	}
	return xively.AppendDatastream(nil, f.version, f.format, doc, &doc.Datastreams[0])
}

// inZone puts the times of doc in another zone than UTC.
func inZone(doc *xively.Feed, zone *time.Location) {
	if zone == time.UTC {
		return
	}
	move := func(t *time.Time) {
		if !t.IsZero() {
			*t = t.In(zone)
		}
	}
	move(&doc.Updated)
	move(&doc.Created)
	for i := range doc.Datastreams {
		move(&doc.Datastreams[i].At)
		for j := range doc.Datastreams[i].Datapoints {
			move(&doc.Datastreams[i].Datapoints[j].At)
		}
	}
}

func (a *API) getFeed(c *call)         { a.read(c) }
func (a *API) listDatastreams(c *call) { a.read(c) }
func (a *API) getDatastream(c *call)   { a.read(c) }

// read answers the present state of a feed or datastream, or its history.
func (a *API) read(c *call) {
	snap, p, err := a.allowed(c)
	if err != nil {
		c.fail(err)
		return
	}
	w, at, asked, err := xively.ParseWindow(c.path.Query, c.began, time.Duration(p.MinimumInterval)*time.Second)
	var body []byte
	switch {
	case err != nil:
	case !at.IsZero():
		body, err = a.stood(c, snap, at)
	case asked:
		body, err = a.history(c, snap, w)
	default:
		body, err = a.render(snap, formOf(&c.path))
	}
	if err != nil {
		c.fail(err)
		return
	}
	c.reply(body)
}
