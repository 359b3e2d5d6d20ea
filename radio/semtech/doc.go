// Package semtech has the gateway's concentrators: it is the server that Semtech's
// UDP packet forwarder talks to, for every board with an SX1301, SX1302 or SX1303.
// The protocol is in gwmp. Package forwarder is its other end, towards an existing
// network server; fakeforwarder is a forwarder for tests and for the demo.
//
// # Trust
//
// The protocol has no authentication: whoever reaches the port and knows an EUI is
// that forwarder. So the server listens on the loopback interface unless told
// otherwise and has a list of EUIs. Strangers and garbage are counted, logged at
// debug level, and get no answer. What a forwarder says about frames is checked by
// LoRaWAN's MIC and by nothing else.
//
// # Addresses
//
// Acknowledgements go to where the datagram came from, frames to be sent to where
// the last PULL_DATA came from. A new port of the same host counts at once (the
// forwarder was started again, or a NAT forgot it). Another host is taken only
// when the one before has been silent for 20 s: until then its PULL_DATA are
// counted, logged as a warning and not answered, since either somebody pretends to
// be that forwarder, or two have one EUI (a copied configuration), and frames for
// the devices of one would go to the other. What is heard is taken from both.
//
// # Transmissions
//
// Send waits for TX_ACK. Without one in time (300 ms: early enough for another
// window of the device) it is an error if this forwarder has answered before, since
// Semtech's drops what it does not understand without a word. A forwarder that has
// never sent a TX_ACK, as many that are not Semtech's, is taken to have sent the
// frame, and so is each that speaks version 1, which has none.
//
// Semtech's forwarder subtracts its antenna's gain from the power, so that power
// here is EIRP.
package semtech
