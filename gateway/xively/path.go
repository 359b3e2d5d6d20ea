package xively

import (
	"net/url"
	"time"
)

// Resource is a kind of thing that a URL of the API names.
type Resource uint8

// The resources. Those in the plural are collections.
const (
	ResourceFeeds         Resource = iota + 1 // /feeds
	ResourceFeed                              // /feeds/ID
	ResourceDatastreams                       // /feeds/ID/datastreams
	ResourceDatastream                        // /feeds/ID/datastreams/DS
	ResourceDatapoints                        // /feeds/ID/datastreams/DS/datapoints
	ResourceDatapoint                         // /feeds/ID/datastreams/DS/datapoints/TIME
	ResourceKeys                              // /keys
	ResourceKey                               // /keys/KEY
	ResourceKeyRegenerate                     // /keys/KEY/regenerate
	ResourceTriggers                          // /triggers
	ResourceTrigger                           // /triggers/ID
	ResourceUsers                             // /users
	ResourceUser                              // /users/LOGIN
	ResourceProducts                          // /products
	ResourceProduct                           // /products/PID
	ResourceDevices                           // /products/PID/devices
	ResourceDevice                            // /products/PID/devices/SERIAL
	ResourceActivation                        // /devices/CODE/activate
)

// Collection reports whether r is one: a write to it creates (POST).
func (r Resource) Collection() bool {
	switch r {
	case ResourceFeeds, ResourceDatastreams, ResourceDatapoints, ResourceKeys, ResourceKeyRegenerate,
		ResourceTriggers, ResourceUsers, ResourceProducts, ResourceDevices:
		return true
	}
	return false
}

// Path is what a URL of the API names. Fields that its Resource has no use for
// are zero.
type Path struct {
	Version    Version
	Format     Format // of the extension, or the version's default
	Extension  bool   // the URL has one
	Resource   Resource
	Feed       uint64
	Datastream string
	At         time.Time  // of a datapoint
	ID         string     // key, trigger, login, product or activation code, without escapes
	Serial     string     // of a product's device
	Query      url.Values // not nil
}

// Topic is an MQTT topic, or a filter without wildcards, taken apart.
type Topic struct {
	Key   string // API key in front; "" without
	Path  string // from "/v1" or "/v2" on
	Query string // without '?'
}
