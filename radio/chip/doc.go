// Package chip makes a radio of a transceiver on SPI: it receives all the time,
// sends each transmission at its exact time, and brings the chip back when it has
// stopped to answer or to hear.
//
// A Chip is what the loop needs of a transceiver; sx127x and sx126x are some. The
// loop is the same for all: the queue of transmissions with its refusals, the
// waiting, the watchdog, and the pauses between attempts.
package chip
