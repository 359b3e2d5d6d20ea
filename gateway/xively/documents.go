package xively

import "fmt"

// Version of the API.
type Version uint8

// The versions.
const (
	V1 Version = 1 // JSON "0.6-alpha", EEML 5, CSV of current values
	V2 Version = 2 // JSON "1.0.0", EEML 0.5.1, CSV with times
)

// Format of a document.
type Format uint8

// The formats.
const (
	JSON Format = iota + 1
	XML
	CSV
)

func (f Format) name() string {
	switch f {
	case JSON:
		return "JSON"
	case XML:
		return "XML"
	case CSV:
		return "CSV"
	}
	return fmt.Sprintf("format %d", uint8(f))
}

// Ext is the format's extension in a URL: "json", "xml" or "csv".
func (f Format) Ext() string {
	switch f {
	case JSON:
		return "json"
	case XML:
		return "xml"
	case CSV:
		return "csv"
	}
	return ""
}

// ContentType is what HTTP calls a document of the format.
func (f Format) ContentType() string {
	switch f {
	case JSON:
		return "application/json; charset=utf-8"
	case XML:
		return "application/xml; charset=utf-8"
	}
	return "text/plain; charset=utf-8"
}

// notAcceptable is a resource that has no form of f (status 406).
func notAcceptable(f Format) *Error {
	return &Error{Status: 406, Title: "Not Acceptable", Text: "there is no " + f.name() + " of this resource"}
}

// The Decode functions read the body of a write. The error is an *Error with
// status 400, 406, 413 or 422. What they return shares no memory with body.

// DecodeFeed reads a feed, as it is created or updated.
func DecodeFeed(v Version, f Format, body []byte) (FeedWrite, error) {
	return decodeAs(f, body, func(b []byte) (FeedWrite, error) { return decodeFeedJSON(v, b) },
		func(b []byte) (FeedWrite, error) { return decodeFeedXML(v, b) },
		func(b []byte) (FeedWrite, error) { return decodeFeedCSV(v, b) }, checkFeed)
}

// DecodeDatastream reads one datastream; id is that of the URL, which its own
// must not contradict. ID of the result is id.
func DecodeDatastream(v Version, f Format, id string, body []byte) (DatastreamWrite, error) {
	d, err := decodeAs(f, body, func(b []byte) (DatastreamWrite, error) { return decodeDatastreamJSON(v, b) },
		func(b []byte) (DatastreamWrite, error) { return decodeDatastreamXML(v, b) },
		func(b []byte) (DatastreamWrite, error) { return decodeDatastreamCSV(v, b) }, nil)
	if err != nil {
		return d, err
	}
	if d.ID != "" && d.ID != id {
		return d, Unprocessable(FieldError{"id", "does not match the URL"})
	}
	d.ID = id
	return d, checkDatastreams([]DatastreamWrite{d}, false)
}

// DecodeDatastreams reads the datastreams that a POST creates.
func DecodeDatastreams(v Version, f Format, body []byte) ([]DatastreamWrite, error) {
	return decodeAs(f, body, func(b []byte) ([]DatastreamWrite, error) { return decodeDatastreamsJSON(v, b) },
		func(b []byte) ([]DatastreamWrite, error) { return decodeDatastreamsXML(v, b) },
		func(b []byte) ([]DatastreamWrite, error) { return decodeDatastreamsCSV(v, b) }, checkCreated)
}

// DecodeDatapoints reads the datapoints that a POST adds: 1 to MaxDatapoints.
func DecodeDatapoints(v Version, f Format, body []byte) ([]Datapoint, error) {
	return decodeAs(f, body, decodeDatapointsJSON, decodeDatapointsXML, decodeDatapointsCSV, checkDatapoints)
}

// DecodeDatapoint reads one datapoint. Its At is zero if the body names none.
func DecodeDatapoint(v Version, f Format, body []byte) (Datapoint, error) {
	return decodeAs(f, body, decodeDatapointJSON, decodeDatapointXML, decodeDatapointCSV, checkDatapoint)
}

// DecodeKey reads a key.
func DecodeKey(f Format, body []byte) (KeyWrite, error) {
	return decodeAs(f, body, decodeKeyJSON, decodeKeyXML, nil, checkKey)
}

// DecodeTrigger reads a trigger.
func DecodeTrigger(f Format, body []byte) (TriggerWrite, error) {
	return decodeAs(f, body, decodeTriggerJSON, decodeTriggerXML, nil, checkTrigger)
}

// DecodeUser reads an account.
func DecodeUser(f Format, body []byte) (UserWrite, error) {
	return decodeAs(f, body, decodeUserJSON, decodeUserXML, nil, checkUser)
}

// DecodeProduct reads a product.
func DecodeProduct(f Format, body []byte) (ProductWrite, error) {
	return decodeAs(f, body, decodeProductJSON, nil, nil, checkProduct)
}

// DecodeSerials reads the serials of devices that a POST adds to a product, or
// of the one device that a PUT changes.
func DecodeSerials(f Format, body []byte) ([]string, error) {
	return decodeAs(f, body, decodeSerialsJSON, nil, nil, checkSerials)
}

// decodeAs picks the reader of f; a nil one means that there is no such form.
func decodeAs[T any](f Format, body []byte, asJSON, asXML, asCSV func([]byte) (T, error), check func(T) error) (T, error) {
	var zero T
	if len(body) > MaxBody {
		return zero, &Error{Status: 413, Title: "Request Entity Too Large", Text: fmt.Sprintf("%d bytes, at most %d", len(body), MaxBody)}
	}
	read := pick(f, asJSON, asXML, asCSV)
	if read == nil {
		return zero, notAcceptable(f)
	}
	v, err := read(body)
	if err == nil && check != nil {
		err = check(v)
	}
	if err != nil {
		return zero, err
	}
	return v, nil
}

// The Append functions write a document to the end of dst. The error is an
// *Error with status 406 for a form that the resource does not have.

// AppendFeed writes a feed, in CSV one row for each datastream or, where it
// has any, for each datapoint.
func AppendFeed(dst []byte, v Version, f Format, feed *Feed) ([]byte, error) {
	return appendAs(f, dst, func(b []byte) []byte { return appendFeedJSON(b, v, feed) },
		func(b []byte) []byte { return appendFeedXML(b, v, feed) },
		func(b []byte) []byte { return appendFeedCSV(b, v, feed) })
}

// AppendFeeds writes a list of feeds, each as it is: a summary has no datastreams.
func AppendFeeds(dst []byte, v Version, f Format, list List, feeds []*Feed) ([]byte, error) {
	return appendAs(f, dst, func(b []byte) []byte { return appendFeedsJSON(b, v, list, feeds) },
		func(b []byte) []byte { return appendFeedsXML(b, v, list, feeds) },
		func(b []byte) []byte { return appendFeedsCSV(b, v, feeds) })
}

// AppendDatastream writes the datastream d of feed (whose Datastreams do not
// count).
func AppendDatastream(dst []byte, v Version, f Format, feed *Feed, d *Datastream) ([]byte, error) {
	return appendAs(f, dst, func(b []byte) []byte { return appendDatastreamJSON(b, v, d) },
		func(b []byte) []byte { return appendDatastreamXML(b, v, feed, d) },
		func(b []byte) []byte { return appendDatastreamCSV(b, v, d) })
}

// AppendDatapoint writes the datapoint p of the datastream named id.
func AppendDatapoint(dst []byte, v Version, f Format, feed *Feed, id string, p Datapoint) ([]byte, error) {
	return appendAs(f, dst, func(b []byte) []byte { return appendDatapointJSON(b, p) },
		func(b []byte) []byte { return appendDatapointXML(b, v, feed, id, p) },
		func(b []byte) []byte { return appendDatapointCSV(b, v, p) })
}

// AppendKey writes a key.
func AppendKey(dst []byte, f Format, k *Key) ([]byte, error) {
	return appendAs(f, dst, func(b []byte) []byte { return appendKeyJSON(b, k) },
		func(b []byte) []byte { return appendKeyXML(b, k) }, nil)
}

// AppendKeys writes a list of keys.
func AppendKeys(dst []byte, f Format, keys []Key) ([]byte, error) {
	return appendAs(f, dst, func(b []byte) []byte { return appendKeysJSON(b, keys) },
		func(b []byte) []byte { return appendKeysXML(b, keys) }, nil)
}

// AppendTrigger writes a trigger.
func AppendTrigger(dst []byte, f Format, t *Trigger) ([]byte, error) {
	return appendAs(f, dst, func(b []byte) []byte { return appendTriggerJSON(b, t) },
		func(b []byte) []byte { return appendTriggerXML(b, t) }, nil)
}

// AppendTriggers writes a list of triggers.
func AppendTriggers(dst []byte, f Format, triggers []Trigger) ([]byte, error) {
	return appendAs(f, dst, func(b []byte) []byte { return appendTriggersJSON(b, triggers) },
		func(b []byte) []byte { return appendTriggersXML(b, triggers) }, nil)
}

// AppendUser writes an account.
func AppendUser(dst []byte, f Format, u *User) ([]byte, error) {
	return appendAs(f, dst, func(b []byte) []byte { return appendUserJSON(b, u) },
		func(b []byte) []byte { return appendUserXML(b, u) }, nil)
}

// AppendUsers writes a list of accounts.
func AppendUsers(dst []byte, f Format, users []User) ([]byte, error) {
	return appendAs(f, dst, func(b []byte) []byte { return appendUsersJSON(b, users) },
		func(b []byte) []byte { return appendUsersXML(b, users) }, nil)
}

// AppendProduct writes a product.
func AppendProduct(dst []byte, f Format, p *Product) ([]byte, error) {
	return appendAs(f, dst, func(b []byte) []byte { return appendProductJSON(b, p) }, nil, nil)
}

// AppendProducts writes a list of products.
func AppendProducts(dst []byte, f Format, list List, products []Product) ([]byte, error) {
	return appendAs(f, dst, func(b []byte) []byte { return appendProductsJSON(b, list, products) }, nil, nil)
}

// AppendProductDevice writes one device of a product.
func AppendProductDevice(dst []byte, f Format, d *ProductDevice) ([]byte, error) {
	return appendAs(f, dst, func(b []byte) []byte { return appendProductDeviceJSON(b, d) }, nil, nil)
}

// AppendProductDevices writes a list of them.
func AppendProductDevices(dst []byte, f Format, list List, devices []ProductDevice) ([]byte, error) {
	return appendAs(f, dst, func(b []byte) []byte { return appendProductDevicesJSON(b, list, devices) }, nil, nil)
}

// AppendActivation writes what a device learns at its activation.
func AppendActivation(dst []byte, f Format, a *Activation) ([]byte, error) {
	return appendAs(f, dst, func(b []byte) []byte { return appendActivationJSON(b, a) }, nil,
		func(b []byte) []byte { return appendActivationCSV(b, a) })
}

// AppendNotification writes what a trigger sends, which is JSON.
func AppendNotification(dst []byte, n *Notification) []byte { return appendNotificationJSON(dst, n) }

// AppendError writes the body of a refusal: JSON, or XML for that format.
func AppendError(dst []byte, f Format, e *Error) []byte {
	if f == XML {
		return appendErrorXML(dst, e)
	}
	return appendErrorJSON(dst, e)
}

func appendAs(f Format, dst []byte, asJSON, asXML, asCSV func([]byte) []byte) ([]byte, error) {
	write := pick(f, asJSON, asXML, asCSV)
	if write == nil {
		return dst, notAcceptable(f)
	}
	return write(dst), nil
}

// pick gives what belongs to f, the zero value for no format.
func pick[F any](f Format, asJSON, asXML, asCSV F) (none F) {
	switch f {
	case JSON:
		return asJSON
	case XML:
		return asXML
	case CSV:
		return asCSV
	}
	return none
}
