// Package fakecloud is a cloud's MQTT 3.1.1 broker that does what a script
// tells it: it cuts links, holds acknowledgements back, stops reading, closes
// the connection on messages that it does not like. The demonstration and the
// tests of fieldgate use it instead of a cloud.
//
// It speaks QoS 0, 1 and 2 inward and QoS 0 and 1 outward, keeps retained
// messages, persistent sessions and wills (published on an abnormal end and on
// takeover), and enforces keep alive at one and a half times its interval (MQTT
// 3.1.1 section 3.1.2.10). It has no users and no TLS. All of its state is in
// memory. It never sleeps: everything happens because something arrived or a
// script said so.
package fakecloud
