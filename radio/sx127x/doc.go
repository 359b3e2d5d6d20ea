// Package sx127x drives Semtech's SX1276, SX1277, SX1278 and SX1279, as on the
// modules RFM95 to RFM98: a LoRa radio on SPI that listens to one channel.
//
// Datasheet: SX1276/77/78/79 revision 7 (May 2020): access in section 4.3,
// registers in section 6, LoRa modem in section 4.1, RSSI in section 5.5.5, power in
// section 5.4, reset in section 7.2; errata note revision 1 (September 2013): 2.1
// sensitivity with 500 kHz, 2.3 spurious reception.
//
// # Receiving
//
// The chip receives all the time but while it sends, with a header, on the one
// frequency, spreading factor, bandwidth and sync word of Config.Tuning. A frame's
// time is that of the edge of DIO0; without that line, or when its edges do not
// come, the chip is asked for frames: each millisecond while one is being
// received, and otherwise often enough that none is missed.
//
// # Sending
//
// It is half-duplex: a frame that is being received when a transmission is prepared
// is lost, for what is due is due. SF6 is not supported, since it has no header, nor
// is FSK.
//
// # Faults
//
// Each poll and each check reads something whose value is known, so that a chip
// that is not there any more, or has lost its settings, is found within 10
// seconds. Package chip then has it set up anew.
package sx127x
