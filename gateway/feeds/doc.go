// Package feeds is the Xively API over the gateway's devices: a device is a
// feed, a sensor a datastream. MQTT (package broker) and HTTP (package web) are
// two doors into one request handler.
//
// Values go through the Hub like all others, and its log is their history.
// What only the API knows of a device or sensor (description, tags, location,
// unit) lies in its meta under "xively", so that it goes up and down with it.
//
// The present state of each feed follows what the Hub delivers, from whichever
// dialect, and the Registry. An update of it is written once for each form that
// somebody is subscribed to, and given to those who may see it at that moment.
package feeds
