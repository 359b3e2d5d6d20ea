// Package sx126x drives Semtech's SX1261, SX1262 and SX1268 over SPI, for LoRa.
//
// Sources: datasheet DS.SX1261-2 revision 2.1, whose sections the comments name,
// its chapter 15 for the known limitations, and that of the SX1268. Three
// registers are not in them but in Semtech's public driver SWDR001 and others:
// 0x0320 (a text that names the chip), 0x0749 and 0x076b (the header of the last
// frame, and how far its carrier was off).
//
// Known limitations of the chip and what is done about them:
//   - 15.1, modulation with 500 kHz: register 0x0889 before each transmission;
//   - 15.2, mismatched antennas (SX1262, SX1268): register 0x08d8 at the start;
//   - 15.3, the timeout of a reception without header: there is none here, frames
//     have headers and the reception has no timeout;
//   - 15.4, inverted IQ: register 0x0736 after each SetPacketParams.
//
// An SX1262 calls itself SX1261 in register 0x0320, but has another amplifier:
// the configuration has to say which one it is.
//
// The chip tells by bit 4 of register 0x076b whether a frame had a checksum.
package sx126x
