// Package gwmp is the protocol between Semtech's UDP packet forwarder and a
// network server, versions 1 and 2: datagrams, and the JSON in them, both ways.
// Everything here is a pure function.
//
//	PUSH_DATA  forwarder -> server   frames that were heard ("rxpk"), its counters ("stat")
//	PUSH_ACK   server -> forwarder
//	PULL_DATA  forwarder -> server   keeps the way back open
//	PULL_ACK   server -> forwarder
//	PULL_RESP  server -> forwarder   a frame to be sent ("txpk")
//	TX_ACK     forwarder -> server   whether it will be sent ("txpk_ack"); version 2 only
//
// The source is PROTOCOL.TXT of Lora-net/packet_forwarder (v4.0.1), whose later
// form is packet_forwarder/PROTOCOL.md of Lora-net/sx1302_hal.
//
// Reading is lenient where forwarders differ: numbers in quotation marks, base64
// with and without padding and in both alphabets, fields that are missing, empty
// or unknown, a nan where there is no measurement, a tmst below zero, several
// antennas (rsig), a zero byte at the end. A frame with a wrong field is refused
// alone; the others of its datagram are kept.
package gwmp
