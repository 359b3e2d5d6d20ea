package feeds

import (
	"context"
	"log/slog"

	"fieldgate/gateway"
)

// API answers requests. Its methods may be called from any goroutine.
type API struct {
	cfg      Config
	log      *slog.Logger
	requests requestLog
	triggers *triggers
}

// New makes an API and loads its tables.
func New(cfg Config) (*API, error) { panic("not yet") }

// Run pushes updates and sends notifications until ctx ends.
func (a *API) Run(ctx context.Context) error { panic("not yet") }

// Owns reports whether an MQTT topic, or a filter without wildcards, is a
// request to the API.
func (a *API) Owns(topic string) bool { panic("not yet") }

// Publish takes a message on one of the API's topics: PUT of an item, POST to a
// collection. Its retain flag does not count. Done is called exactly once, with
// an error of package gateway if the request was refused.
func (a *API) Publish(p gateway.Peer, m *gateway.Message, done func(error)) { panic("not yet") }

// Subscribe asks for the present state of what filter names and, where it is a
// feed or a datastream without a history query, for each update. Nothing is
// pushed before start is called, which pushes the present state first; nothing
// is after cancel has returned. Push must not block. The error, one of package
// gateway, says that the request is denied now; start and cancel are nil then.
func (a *API) Subscribe(p gateway.Peer, filter string, push func(payload []byte)) (start, cancel func(), err error) {
	panic("not yet")
}

// Serve answers a request.
func (a *API) Serve(ctx context.Context, r gateway.Request) gateway.Response { panic("not yet") }

// Deliver implements gateway.Sink: it takes in new values and changes.
func (a *API) Deliver(b *gateway.Batch, records []gateway.Record, settled func(error)) {
	panic("not yet")
}

// shown is a path as it may stand in logs: without keys.
func (a *API) shown(path string) string { panic("not yet") }

func (a *API) listFeeds(c *call)         { panic("not yet") }
func (a *API) createFeed(c *call)        { panic("not yet") }
func (a *API) getFeed(c *call)           { panic("not yet") }
func (a *API) putFeed(c *call)           { panic("not yet") }
func (a *API) deleteFeed(c *call)        { panic("not yet") }
func (a *API) listDatastreams(c *call)   { panic("not yet") }
func (a *API) createDatastreams(c *call) { panic("not yet") }
func (a *API) getDatastream(c *call)     { panic("not yet") }
func (a *API) putDatastream(c *call)     { panic("not yet") }
func (a *API) deleteDatastream(c *call)  { panic("not yet") }
func (a *API) listDatapoints(c *call)    { panic("not yet") }
func (a *API) createDatapoints(c *call)  { panic("not yet") }
func (a *API) deleteDatapoints(c *call)  { panic("not yet") }
func (a *API) getDatapoint(c *call)      { panic("not yet") }
func (a *API) putDatapoint(c *call)      { panic("not yet") }
func (a *API) deleteDatapoint(c *call)   { panic("not yet") }

// create makes a feed for owner out of w, with the given product and serial
// ("" without), and gives its device.
func (a *API) create(c *call, owner string, w feedCreation) (*gateway.Device, error) {
	panic("not yet")
}

// feedCreation is what a new feed starts with.
type feedCreation struct {
	title, description string
	tags               []string
	private            bool
	datastreams        []string // ids
	product, serial    string
}
