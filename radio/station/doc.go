// Package station is a gateway's LoRa part as a whole: radios, the network
// server, devices without LoRaWAN, and codecs.
//
//	radio -> frame -> lorawan or raw -> codec -> readings -> Hub
//	Hub -> command -> codec -> queue -> lorawan or raw -> radio
//
// A command takes the way of every reading first: the Hub asks Check whether it
// can be one, records it, and hands it to Deliver, which has it on disk before it
// is acknowledged. What becomes of it is told on devices/D/actuators/A/status;
// what the actuator has reached then, as far as a gateway can know, is submitted
// as its value: after it was sent, or, of confirmed commands, acknowledged.
//
// A frame that LoRaWAN has no use for is offered to the devices without LoRaWAN:
// a radio may have both around it.
package station
