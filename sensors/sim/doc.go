// Package sim is a board that is not there: chips and GPIO lines that behave as
// their datasheets say, for tests, for the demo, and for everybody who tries the
// gateway before the hardware has come. The drivers that talk to it are the ones
// that talk to a real board.
//
// # Buses and chips
//
//	i2c:sim  0x76  Bosch BME280        air: temperature, humidity, pressure
//	         0x48  TI ADS1115          four inputs, Input(0) to Input(3)
//	         0x4f  TI TMP105 (LM75)    temperature of the box
//	         0x44  Sensirion SHT31     air: temperature, humidity
//	spi:sim        Microchip MCP3008   eight inputs, against Reference volts
//	w1:sim         two Maxim DS18B20   SoilProbe and WaterProbe
//
// The chips are simulated by their registers and commands, as far as the bus can
// see them: pointers, what a reset does, what a conversion needs in time, what a
// read gives in the middle of one. Left out are noise, self-heating, alarm
// outputs, and the electrical limits of inputs. Conversions take the typical
// time of the datasheet by the clock that New is given.
//
// # World
//
// What the chips measure is in a World: slow waves that follow from the wall
// clock, until a test sets a quantity to a value or to a function of time.
//
// # Lines
//
// The Bank has 32 lines, sim:0 to sim:31. Line n is wired to line n+16 for n
// from 0 to 15, so that an output on sim:4 is seen by an input on sim:20, and the
// other way round. What decides the level of a line, the first that applies:
//
//  1. the line's own output, also after its owner let go of it, until somebody
//     takes the line again;
//  2. Drive on this line, until Release;
//  3. the output of the other end of the wire;
//  4. Drive on the other end;
//  5. the pull of the line's input, then of the other end's;
//  6. nothing: it is low.
//
// Edges are queued when the level changes, by whoever changes it; no goroutine
// and no polling is between the two.
//
// # Faults
//
// SetFault breaks a chip or a whole bus, from a missing acknowledge to a bus that
// hangs, for tests of how drivers and the poller get along with it.
package sim
