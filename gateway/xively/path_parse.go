package xively

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a URL.
const (
	maxPath       = 2048 // bytes of a path
	maxPathLevels = 7    // "/v2/feeds/504/datastreams/0/datapoints/TIME"
	maxQuery      = 1024 // bytes of a query
	maxParameters = 32   // of a query
)

// ParsePath reads the path of a URL, percent-encoded, from "/v1" or "/v2" on,
// and its query. The error is an *Error with status 404 or 400. An extension
// counts as it is written: "/datastreams/a%2Ejson" is the datastream "a.json".
func ParsePath(path, query string) (Path, error) {
	var p Path
	rest, ok := strings.CutPrefix(path, "/")
	if !ok || len(path) > maxPath || strings.Count(rest, "/") >= maxPathLevels {
		return Path{}, NotFound()
	}
	levels := strings.Split(rest, "/")
	switch levels[0] {
	case "v1":
		p.Version, p.Format = V1, XML
	case "v2":
		p.Version, p.Format = V2, JSON
	default:
		return Path{}, unknownVersion(levels[0])
	}
	last := &levels[len(levels)-1]
	for _, f := range []Format{JSON, XML, CSV} {
		if name, ok := strings.CutSuffix(*last, "."+f.Ext()); ok {
			*last, p.Format, p.Extension = name, f, true
			break
		}
	}
	for i, level := range levels {
		var err error
		if levels[i], err = unescapeLevel(level); err != nil {
			return Path{}, err
		}
	}
	if err := p.resource(levels[1:]); err != nil {
		return Path{}, err
	}
	if !p.Extension && p.Resource >= ResourceProducts {
		p.Format = JSON // products, their devices and activation have no XML
	}
	var err error
	if p.Query, err = parseQuery(query); err != nil {
		return Path{}, err
	}
	return p, nil
}

func badURL(format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Title: "Bad Request", Text: fmt.Sprintf(format, args...)}
}

// unknownVersion does not repeat what may be a key.
func unknownVersion(level string) *Error {
	e := NotFound()
	if versionLevel(level) {
		e.Text = fmt.Sprintf("there is no version %s of the API, only v1 and v2", level)
	}
	return e
}

// unescapeLevel gives the text of one level of a path, which must not be empty.
func unescapeLevel(level string) (string, error) {
	s, err := url.PathUnescape(level)
	switch {
	case err != nil:
		return "", badURL("the URL holds a bad percent escape")
	case s == "":
		return "", NotFound()
	case !utf8.ValidString(s):
		return "", badURL("the URL is not UTF-8")
	case strings.ContainsFunc(s, unicode.IsControl):
		return "", badURL("the URL holds a control character")
	}
	return s, nil
}

// resource reads the levels after the version.
func (p *Path) resource(l []string) error {
	if len(l) == 0 {
		return NotFound()
	}
	switch l[0] {
	case "feeds":
		return p.feed(l[1:])
	case "keys":
		switch {
		case len(l) == 1:
			p.Resource = ResourceKeys
		case len(l) == 2:
			p.Resource, p.ID = ResourceKey, l[1]
		case len(l) == 3 && l[2] == "regenerate":
			p.Resource, p.ID = ResourceKeyRegenerate, l[1]
		}
	case "triggers":
		switch len(l) {
		case 1:
			p.Resource = ResourceTriggers
		case 2:
			if _, ok := parseID(l[1]); ok {
				p.Resource, p.ID = ResourceTrigger, l[1]
			}
		}
	case "users":
		switch len(l) {
		case 1:
			p.Resource = ResourceUsers
		case 2:
			p.Resource, p.ID = ResourceUser, l[1]
		}
	case "products":
		switch {
		case len(l) == 1:
			p.Resource = ResourceProducts
		case len(l) == 2:
			p.Resource, p.ID = ResourceProduct, l[1]
		case len(l) == 3 && l[2] == "devices":
			p.Resource, p.ID = ResourceDevices, l[1]
		case len(l) == 4 && l[2] == "devices":
			p.Resource, p.ID, p.Serial = ResourceDevice, l[1], l[3]
		}
	case "devices":
		if len(l) == 3 && l[2] == "activate" {
			p.Resource, p.ID = ResourceActivation, l[1]
		}
	}
	if p.Resource == 0 {
		return NotFound()
	}
	return nil
}

// feed reads the levels after "feeds".
func (p *Path) feed(l []string) error {
	if len(l) == 0 {
		p.Resource = ResourceFeeds
		return nil
	}
	var ok bool
	if p.Feed, ok = parseID(l[0]); !ok || len(l) > 1 && l[1] != "datastreams" || len(l) > 3 && l[3] != "datapoints" {
		return NotFound()
	}
	if len(l) > 2 {
		p.Datastream = l[2]
	}
	switch len(l) {
	case 1:
		p.Resource = ResourceFeed
	case 2:
		p.Resource = ResourceDatastreams
	case 3:
		p.Resource = ResourceDatastream
	case 4:
		p.Resource = ResourceDatapoints
	case 5:
		at, err := ParseTime(l[4])
		if err != nil {
			return badURL("%v", err)
		}
		if !validTime(at) {
			return badURL("the time of a datapoint is from %d to %d", minYear, maxYear)
		}
		p.Resource, p.At = ResourceDatapoint, at
	default:
		return NotFound()
	}
	return nil
}

// parseID reads the id of a feed or trigger: digits, not 0.
func parseID(s string) (uint64, bool) {
	id, err := strconv.ParseUint(s, 10, 64)
	return id, err == nil && id != 0
}

// parseQuery reads a query. The result is not nil.
func parseQuery(query string) (url.Values, error) {
	if len(query) > maxQuery || strings.Count(query, "&") >= maxParameters {
		return nil, badURL("the query is longer than %d bytes or %d parameters", maxQuery, maxParameters)
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return nil, badURL("the query is malformed")
	}
	for name, values := range q {
		for _, s := range append(values, name) {
			if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
				return nil, badURL("the query holds a control character or is not UTF-8")
			}
		}
	}
	return q, nil
}
