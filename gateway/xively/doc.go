// Package xively is the Xively dialect: the topics, URLs and documents of the
// Xively API (earlier Cosm and Pachube), versions 1 and 2, in JSON, XML (EEML)
// and CSV.
//
// All functions are pure. Where sources of the API disagree, its own server
// library counts (the Ruby gem xively-rb). A v1 write of a feed updates: it
// never deletes the datastreams that it does not name, as the original did.
package xively
