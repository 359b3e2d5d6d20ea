// Package radio is what LoRa radios are to the gateway: frames that were heard,
// transmissions at an exact time, and a board's lines that a chip hangs on.
//
// A radio is a chip on SPI (sx127x, sx126x below this folder) or a
// multi-channel concentrator behind Semtech's packet forwarder (semtech). What
// the frames say is the matter of lorawan, raw and codec; sim has chips
// simulated by their registers and the air between them.
//
// Times: each radio counts microseconds in 32 bits (Frame.Counter, as the
// packet forwarder's tmst), and a transmission is due at a value of the counter
// of the radio that sends it. The count wraps every 71.6 minutes.
package radio
