// Package sensors reads what is attached to the board and switches its outputs:
// it says what a driver is and what it reaches hardware by (Driver, OutputDriver,
// Board), keeps the registry of drivers, polls (Poller) and switches (Outputs).
//
// A new chip is one new file in the package drivers, whose documentation shows
// one. The configuration, its checks, the help texts and the polling follow from
// what it declares.
package sensors
