// Package feeds is the Xively API over the gateway's devices: a device is a
// feed, a sensor a datastream. MQTT (package broker) and HTTP (package web) are
// two doors into one request handler.
//
// Values go through the Hub like all others, and its log is their history.
// What only the API knows of a device or sensor (description, tags, location,
// unit) lies in its meta under "xively", so that it goes up and down with it.
package feeds
