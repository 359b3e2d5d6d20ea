// Package raw serves nodes that send LoRa frames without LoRaWAN: those of C.
// Pham's low-cost LoRa gateway and Waziup's first ones, whose frames begin with
// a header of four bytes, and any other whose frames a rule can tell.
//
// Nothing protects such frames: whoever has a radio can send them in a device's
// name. They are taken only for devices that a Rule names.
package raw
