// Package harness runs the real fieldgate binary, publishes to it, and keeps the
// books of what was sent, what was acknowledged, and what reached a cloud.
//
// It is used by tests and by programs alike, so nothing here needs package
// testing: what goes wrong is returned.
package harness
