// Package frame reads and writes the frames of LoRaWAN 1.0.x: join request, join
// accept, data frames both ways with their encryption and message integrity code
// (MIC), and the MAC commands in them.
//
// All of it are pure functions over bytes. Who may use which counter, nonce or
// key is the matter of the network server (package lorawan) and of the end device
// (package node).
//
// The layouts are those of LoRaWAN L2 1.0.4 (TS001-1.0.4), which 1.0.0 to 1.0.3
// share but for names; sections are cited by the numbers of LoRaWAN 1.0.3.
// Multi-byte fields are little endian on air. Bits that are reserved for future
// use (RFU) are written as 0 and not looked at when read.
package frame
