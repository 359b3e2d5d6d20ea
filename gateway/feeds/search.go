package feeds

import (
	"cmp"
	"errors"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"fieldgate/gateway/access"
	"fieldgate/gateway/xively"
)

// search is which feeds a list is to hold, and in which order.
type search struct {
	page, perPage     int
	summary, showUser bool
	text, tag, user   string
	units             string
	status            string // live, frozen or "" for all
	order             string // created_at, retrieved_at or "" for relevance
	near              bool   // within km of lat, lon
	lat, lon, km      float64
}

const kmPerMile = 1.609344

// parseSearch reads the parameters of a list. The error is an *xively.Error with
// status 400.
func parseSearch(q url.Values) (s search, err error) {
	fail := func(bad bool, name, text string) {
		if bad && err == nil {
			err = &xively.Error{Status: 400, Title: "Bad Request", Text: name + " " + text}
		}
	}
	whole := func(name string, preset, most int) int {
		v := q.Get(name)
		if v == "" {
			return preset
		}
		n, bad := strconv.Atoi(v)
		fail(bad != nil || n < 1 || n > most, name, "must be a whole number from 1 to "+strconv.Itoa(most))
		return n
	}
	degrees := func(name string, most float64) float64 {
		x, bad := strconv.ParseFloat(q.Get(name), 64)
		fail(bad != nil || !(math.Abs(x) <= most), name, "is not a number in range")
		return x
	}
	s.page, s.perPage = whole("page", 1, 1_000_000), whole("per_page", 50, 1000)
	s.text, s.tag, s.user, s.units = strings.ToLower(q.Get("q")), strings.ToLower(q.Get("tag")), q.Get("user"), strings.ToLower(q.Get("units"))
	s.showUser = truth(q.Get("show_user"))
	switch v := q.Get("content"); v {
	case "", "full":
	default:
		s.summary = true
		fail(v != "summary", "content", "is full or summary")
	}
	switch v := q.Get("status"); v {
	case "", "all":
	default:
		s.status = v
		fail(v != "live" && v != "frozen", "status", "is live, frozen or all")
	}
	switch v := q.Get("order"); v {
	case "", "relevance":
	default:
		s.order = v
		fail(v != "created_at" && v != "retrieved_at", "order", "is created_at, retrieved_at or relevance")
	}
	if q.Has("lat") || q.Has("lon") || q.Has("distance") {
		s.near = true
		s.lat, s.lon, s.km = degrees("lat", 90), degrees("lon", 180), 0
		s.km = degrees("distance", 50_000)
		fail(s.km < 0, "distance", "is not a number in range")
		switch v := q.Get("distance_units"); v {
		case "", "kms":
		default:
			s.km *= kmPerMile
			fail(v != "miles", "distance_units", "is kms or miles")
		}
	}
	return s, err
}

// listFeeds answers the feeds that the caller may see and that fit the query.
func (a *API) listFeeds(c *call) {
	s, err := parseSearch(c.path.Query)
	if err != nil {
		c.fail(err)
		return
	}
	visible := 0
	var found []*snapshot
	for _, d := range a.cfg.Registry.Devices() {
		if _, err := c.may(access.View, d.Feed, ""); err != nil {
			if errors.Is(err, access.ErrBadCredentials) {
				c.fail(err)
				return
			}
			continue
		}
		visible++
		if snap, ok := a.snapshotOf(d.ID); ok && s.fits(a, snap) {
			found = append(found, snap)
		}
	}
	if visible == 0 { // who may see none at all is told so
		if _, err := c.may(0, 0, ""); err != nil {
			c.fail(err)
			return
		}
	}
	s.sort(found)
	list := xively.List{Total: len(found), Start: (s.page - 1) * s.perPage, PerPage: s.perPage}
	found = found[min(list.Start, len(found)):min(list.Start+s.perPage, len(found))]
	docs := make([]*xively.Feed, len(found))
	for i, snap := range found {
		docs[i] = a.document(snap, s.showUser)
		if s.summary {
			continue
		}
		for j := range snap.streams {
			docs[i].Datastreams = append(docs[i].Datastreams, snap.datastream(j))
		}
	}
	body, err := xively.AppendFeeds(nil, c.path.Version, c.path.Format, list, docs)
	if err != nil {
		c.fail(err)
		return
	}
	c.reply(body)
}

// fits reports whether snap is one of those that s asks for.
func (s *search) fits(a *API, snap *snapshot) bool {
	d, m := snap.device, &snap.meta
	switch {
	case s.user != "" && d.Grants.Owner != s.user,
		s.tag != "" && !snap.tagged(s.tag),
		s.units != "" && !snap.measures(s.units),
		s.text != "" && !snap.mentions(s.text),
		s.status != "" && a.document(snap, false).Live != (s.status == "live"):
		return false
	case !s.near:
		return true
	}
	l := m.Location
	return l != nil && l.Lat != nil && l.Lon != nil && kilometres(s.lat, s.lon, *l.Lat, *l.Lon) <= s.km
}

func (snap *snapshot) tagged(tag string) bool {
	is := func(t string) bool { return strings.ToLower(t) == tag }
	return slices.ContainsFunc(snap.meta.Tags, is) ||
		slices.ContainsFunc(snap.streams, func(st stream) bool { return slices.ContainsFunc(st.meta.Tags, is) })
}

func (snap *snapshot) measures(unit string) bool {
	return slices.ContainsFunc(snap.streams, func(st stream) bool {
		return strings.ToLower(st.unit.Label) == unit || strings.ToLower(st.unit.Symbol) == unit
	})
}

// mentions reports whether text, in lower case, is part of what snap says of
// itself.
func (snap *snapshot) mentions(text string) bool {
	is := func(t string) bool { return strings.Contains(strings.ToLower(t), text) }
	if is(snap.device.Name) || is(snap.device.ID) || is(snap.meta.Description) || slices.ContainsFunc(snap.meta.Tags, is) {
		return true
	}
	return slices.ContainsFunc(snap.streams, func(st stream) bool { return is(st.id) || slices.ContainsFunc(st.meta.Tags, is) })
}

// sort puts feeds in order: by creation or last value, the newest first; or
// what has the text in its title first; and then by number.
func (s *search) sort(found []*snapshot) {
	slices.SortStableFunc(found, func(x, y *snapshot) int {
		by := 0
		switch s.order {
		case "created_at":
			by = y.device.Created.Compare(x.device.Created)
		case "retrieved_at":
			by = y.updated().Compare(x.updated())
		default:
			titled := func(snap *snapshot) int {
				if s.text != "" && strings.Contains(strings.ToLower(snap.device.Name), s.text) {
					return 0
				}
				return 1
			}
			by = cmp.Compare(titled(x), titled(y))
		}
		return cmp.Or(by, cmp.Compare(x.device.Feed, y.device.Feed))
	})
}

// kilometres between two places on a sphere of the earth's mean radius.
func kilometres(lat1, lon1, lat2, lon2 float64) float64 {
	const rad, radius = math.Pi / 180, 6371.0088
	sin := func(deg float64) float64 { x := math.Sin(deg * rad / 2); return x * x }
	h := sin(lat2-lat1) + math.Cos(lat1*rad)*math.Cos(lat2*rad)*sin(lon2-lon1)
	return 2 * radius * math.Asin(math.Sqrt(min(1, h)))
}
