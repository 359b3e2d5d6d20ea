package xively

import "time"

// Limits of what is written.
const (
	MaxBody        = 512 << 10 // bytes of a document
	MaxValue       = 255       // characters of a value
	MaxTags        = 255       // characters of all tags of a feed or datastream, joined with commas
	MaxDatapoints  = 500       // datapoints of one write, over all datastreams
	MaxDatastreams = 1000      // datastreams of one write
	MaxText        = 4096      // bytes of a title, description, address or label
)

// Limits of what is read.
const (
	DefaultLimit = 100  // datapoints of a history query
	MaxLimit     = 1000 // of the same
)

// Feed is a feed as it is read. Empty fields are left out of documents.
type Feed struct {
	ID           uint64
	Title        string
	Private      bool
	Description  string
	Website      string
	Icon         string
	Email        string
	Tags         []string
	URL          string // of the feed, without extension: "http://gw:8080/v2/feeds/504"
	Live         bool   // status: updated within the last 15 minutes; else frozen
	Updated      time.Time
	Created      time.Time
	Creator      string // URL of the owner
	User         string // login of the owner; "" unless asked for
	Datastreams  []Datastream
	Location     *Location
	ProductID    string
	DeviceSerial string
}

// Datastream is a datastream as it is read.
type Datastream struct {
	ID         string
	Value      string    // current_value
	At         time.Time // of Value; zero: it never had one
	Max, Min   string    // as "333.0"; "" without
	Tags       []string
	Unit       Unit
	Datapoints []Datapoint // of a history query
	Function   string      // datapoints_function; "" without
}

// Datapoint is one value of a datastream's history.
type Datapoint struct {
	At    time.Time // zero in a write: now
	Value string
}

// Unit of a datastream. All fields may be empty.
type Unit struct {
	Type   string `json:"type,omitempty"` // one of UnitTypes
	Symbol string `json:"symbol,omitempty"`
	Label  string `json:"label,omitempty"`
}

// UnitTypes are the types that a Unit may have.
var UnitTypes = []string{"basicSI", "derivedSI", "conversionBasedUnits", "derivedUnits", "contextDependentUnits"}

// Location is where a feed is.
type Location struct {
	Name        string     `json:"name,omitempty"`
	Disposition string     `json:"disposition,omitempty"` // fixed or mobile
	Exposure    string     `json:"exposure,omitempty"`    // indoor or outdoor
	Domain      string     `json:"domain,omitempty"`      // physical or virtual
	Lat         *float64   `json:"lat,omitempty"`         // degrees north, -90 to 90
	Lon         *float64   `json:"lon,omitempty"`         // degrees east, -180 to 180
	Ele         string     `json:"ele,omitempty"`         // metres, as "23.0"
	Waypoints   []Waypoint `json:"-"`                     // where a mobile feed has been, oldest first
}

// Waypoint is a former place of a mobile feed.
type Waypoint struct {
	At  time.Time `json:"at"`
	Lat float64   `json:"lat"`
	Lon float64   `json:"lon"`
	Ele string    `json:"ele,omitempty"`
}

// FeedWrite is what a write says about a feed. Nil: unchanged. What is given
// replaces what was, and empty it removes it.
type FeedWrite struct {
	Title       *string
	Private     *bool
	Description *string
	Website     *string
	Icon        *string
	Email       *string
	Tags        *[]string // sorted case-insensitively
	Location    *Location // Waypoints are not written
	Updated     time.Time // default time of the values below; zero: now
	Datastreams []DatastreamWrite
}

// DatastreamWrite is what a write says about a datastream.
type DatastreamWrite struct {
	ID         string    // "" in a write to the datastream itself that does not repeat it
	Value      *string   // current_value; may be blank
	At         time.Time // of Value; zero: FeedWrite.Updated, or now
	Max, Min   *string   // numbers
	Tags       *[]string
	Unit       *Unit
	Datapoints []Datapoint
}

// Key is an API key.
type Key struct {
	Key           string // its text; "" where it is not known any more
	ID            string // stable and safe to show
	Label         string
	PrivateAccess bool
	ExpiresAt     time.Time // zero: never
	Permissions   []Permission
}

// Permission of a key: the request has to fit all that it says.
type Permission struct {
	Label           string
	Methods         []string // get, put, post, delete; lower case
	SourceIP        string
	Referer         string
	MinimumInterval int // seconds; coarsest resolution of history
	Resources       []KeyResource
}

// KeyResource is a feed, a datastream of it, or a trigger.
type KeyResource struct {
	Feed       uint64
	Datastream string
	Trigger    uint64
}

// KeyWrite is a key as it is written. Nil: unchanged, or missing at creation.
type KeyWrite struct {
	Label         *string
	PrivateAccess *bool
	ExpiresAt     *time.Time // zero: never
	Permissions   []Permission
}

// Trigger types.
const (
	TriggerGT     = "gt"
	TriggerGTE    = "gte"
	TriggerLT     = "lt"
	TriggerLTE    = "lte"
	TriggerEQ     = "eq"
	TriggerChange = "change"
	TriggerFrozen = "frozen"
	TriggerLive   = "live"
)

// Trigger sends a notification when a datastream enters a condition.
type Trigger struct {
	ID         uint64
	URL        string
	Type       string
	Threshold  string // a number; "" for change, frozen and live
	Feed       uint64
	Datastream string
	User       string
	NotifiedAt time.Time // zero: never
}

// TriggerWrite is a trigger as it is written. Nil: unchanged.
type TriggerWrite struct {
	URL, Type, Threshold *string
	Feed                 *uint64
	Datastream           *string
}

// Notification is what a trigger sends.
type Notification struct {
	Trigger    Trigger
	TriggerURL string // "http://gw:8080/v2/triggers/1"
	At         time.Time
	Feed       *Feed // its ID, Title, Description, URL and Location
	Datastream Datastream
}

// User is an account.
type User struct {
	Login        string
	FullName     string
	FirstName    string
	LastName     string
	Email        string
	About        string
	Website      string
	Organisation string
	TimeZone     string
	Roles        []string
	Feeds        int // read only
	Datastreams  int // read only
}

// UserWrite is an account as it is written. Nil: unchanged.
type UserWrite struct {
	Login, Password, FullName, FirstName, LastName *string
	Email, About, Website, Organisation, TimeZone  *string
}

// Product is a kind of device that is made in numbers.
type Product struct {
	ID          string // product_id
	Name        string
	Description string
	Secret      string // 40 hexadecimal digits
	State       string // develop or deploy
	Devices     int
	Activated   int
	Defaults    FeedDefaults
	User        string
}

// FeedDefaults is what the feed of a product's device starts with.
type FeedDefaults struct {
	Title       string
	Description string
	Tags        []string
	Private     bool     // true unless the document says otherwise
	Datastreams []string // ids
}

// ProductWrite is a product as it is written. Nil: unchanged.
type ProductWrite struct {
	Name, Description, State *string
	Defaults                 *FeedDefaults
}

// ProductDevice is one device of a product.
type ProductDevice struct {
	Serial         string
	ActivationCode string
	Feed           uint64 // 0 before its activation
	Created        time.Time
	Activated      time.Time // zero: not yet
}

// Activation answers a device that activates itself.
type Activation struct {
	Key         string
	Feed        uint64
	Datastreams []string
}

// List is which part of a list a document holds.
type List struct {
	Total   int
	Start   int // index of the first entry of the page, from 0
	PerPage int
}
