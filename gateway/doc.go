// Package gateway is the domain: devices with their sensors and actuators, the
// readings that come from them, and the Hub through which each reading passes
// on its way from a source to the log, to local subscribers and to the cloud.
//
// It uses the standard library and gateway/access only. Disks, networks and
// buses are behind small interfaces that this package declares and others
// implement.
package gateway
