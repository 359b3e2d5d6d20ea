// Package sim is radios that are not there: chips that behave by their
// registers as their datasheets say, the lines and buses that they hang on, and
// the air between them. Tests and the demo use it; the drivers are the ones that
// talk to real chips.
//
// An Air carries frames between antennas: with losses, noise, sensitivity,
// collisions and airtime. Left out are fading, drift in time, and the blocking
// of a receiver by strong signals on other frequencies.
//
// A Board has the chips: AddSX1276 and its like plug one in at a chip select and
// wire its lines. What drivers do that the datasheet forbids does no harm here but
// is in the chip's Violations, so that a test can fail for it.
//
// Time is that of package time: in a testing/synctest bubble the bubble's, and
// otherwise real.
package sim
