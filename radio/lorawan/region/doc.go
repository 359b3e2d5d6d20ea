// Package region has what LoRaWAN is in each part of the world: channels, data
// rates, receive windows, powers, and what the law leaves to a gateway.
//
// Source: LoRa Alliance RP002-1.0.4, LoRaWAN Regional Parameters; sections below
// are of that document. Where it leaves something to the law (power and duty cycle
// in Europe: ETSI EN 300 220-2 V3.2.1), the region's file names that.
//
// A region is one file that registers itself; nothing else knows its name. What
// this package does not have: LR-FHSS data rates, class B, relays, channel plans
// of more than 16 channels where devices are told their channels.
package region
