// Package web is the gateway's HTTP side: the REST of a Waziup edge
// (github.com/Waziup/wazigate-edge) for devices, sensors and actuators, a plain
// page for people, health and metrics, and the calls that the command line tools
// make. What comes in here takes the same way through the Hub as what comes in
// by MQTT, and is answered with success only once it is on disk. Under /v1 and
// /v2 is the API (package feeds), which pages of any site may use with a key.
package web
