// Package fakeforwarder behaves as Semtech's packet forwarder with a concentrator
// does towards its server, for tests and for the demo. It has two sockets, its own
// 32-bit counter of microseconds, and the just-in-time queue with its rules.
//
// What it does is that of packet_forwarder in Lora-net/sx1302_hal 2.1.0
// (lora_pkt_fwd.c, jitqueue.c). Left out are beacons, GPS, several RF chains and
// the concentrator's noise. Frequencies are rounded to a hertz, where Semtech's
// cuts off. What it does not understand it drops without an answer, as Semtech's
// does; it has its own decoder for that, which shares nothing with gwmp's.
package fakeforwarder
