// Package node is a LoRaWAN 1.0.3/1.0.4 end device of class A or C, for tests and
// the demo.
//
// Node is the device without time or radio: it says what to send and in which
// windows it listens, takes what was heard, and tells why it would have ignored
// it. Where the specification lets a device refuse something, it does. Runner plays
// a Node on a sim.Air, with its windows at their times.
//
// Some methods have it misbehave as faulty or hostile devices do (mischief.go).
//
// What it does not have: class B, FSK in the air (sim carries LoRa only), and
// regional duty cycles, which a test would only wait for; DutyCycleReq is kept.
// Sections are those of LoRaWAN 1.0.3.
package node
