package gateway

import "fieldgate/gateway/access"

// Peer is who stands at the other end of a connection.
type Peer struct {
	Subject access.Subject // whom the connection was opened as
	Client  string         // MQTT client id; "" for others
	Session string         // as in Message.Client; "" for others
	Addr    string         // "192.0.2.1:5000", with or without the port
	Source  string         // for logs, as in Batch.Source
}

// Request asks the API (package feeds) for something, whichever door it came
// in by.
type Request struct {
	Peer
	Door        string // "mqtt" or "http"
	Method      string // GET, PUT, POST or DELETE
	Path        string // as in a URL, percent-encoded, from "/v1" or "/v2" on, without a key
	Query       string // of the URL, without '?'
	Key         string // API key that came with the request itself: it wins over Peer.Subject
	Base        string // "scheme://host" the client asked, without slash; "": feeds.Config.BaseURL
	Referer     string
	Accept      string // HTTP header; an extension in Path wins
	ContentType string // HTTP header; an extension in Path wins
	Body        []byte
	Wait        bool // the sender waits until what it writes is on disk
}

// Response answers a Request.
type Response struct {
	Status      int    // as in HTTP
	ContentType string // of Body
	Location    string // URL of what was created; "" otherwise
	Body        []byte
	// Err says why for a Status from 400 on. It wraps an error of this package
	// or of package access.
	Err error
}
