package sim

import (
	"encoding/binary"
	"time"
)

// sht31 is Sensirion's sensor of temperature and humidity (datasheet SHT3x-DIS
// version 7, section 4): single shots without clock stretching, status, heater
// bit, serial number and soft reset. It does not acknowledge the other commands,
// nor reads when it has no data.
type sht31 struct {
	world  *World
	status uint16
	words  []uint16 // what a read gives, once
	done   time.Time
}

// Bits of the status register (section 4.11).
const (
	sht31Heater  = 1 << 13
	sht31Alert   = 1<<15 | 1<<11 | 1<<10
	sht31Started = 1 << 4
)

func newSHT31(w *World) *sht31 {
	c := &sht31{world: w}
	c.reset(time.Time{})
	return c
}

// reset implements i2cChip.
func (c *sht31) reset(time.Time) bool {
	c.status, c.words = 1<<15|sht31Started, nil
	return true
}

// sht31Single are the single shots: how long they take as is typical and at most.
var sht31Single = map[uint16][2]time.Duration{
	0x2400: {12500 * time.Microsecond, 15500 * time.Microsecond},
	0x240b: {4500 * time.Microsecond, 6500 * time.Microsecond},
	0x2416: {2500 * time.Microsecond, 4500 * time.Microsecond},
}

// write implements i2cChip: a command of two bytes.
func (c *sht31) write(t time.Time, f Fault, w []byte) bool {
	if len(w) != 2 {
		return false
	}
	command := binary.BigEndian.Uint16(w)
	if busy := c.words != nil && t.Before(c.done); busy && command != 0x30a2 {
		return false
	}
	c.words, c.done = nil, t
	if took, ok := sht31Single[command]; ok {
		c.measure(t)
		c.done = t.Add(took[0])
		if f == Slow {
			c.done = t.Add(took[1])
		}
		return true
	}
	switch command {
	case 0x30a2: // soft reset
		c.reset(t)
	case 0x3041: // clear status
		c.status &^= sht31Alert | sht31Started
	case 0x306d:
		c.status |= sht31Heater
	case 0x3066:
		c.status &^= sht31Heater
	case 0xf32d:
		c.words = []uint16{c.status}
	case 0x3780, 0x3682: // serial number
		c.words = []uint16{0x0f1e, 0x2d3c}
	case 0x3093: // break: no periodic mode runs
	default:
		return false
	}
	return true
}

// measure prepares the words of a measurement (section 4.13).
func (c *sht31) measure(t time.Time) {
	c.words = []uint16{
		uint16(quantize(c.world.at(AirTemperature, t)+45, 175.0/65535, 0, 65535)),
		uint16(quantize(c.world.at(AirHumidity, t), 100.0/65535, 0, 65535)),
	}
}

// read implements i2cChip: words with a checksum behind each. After the last one
// nobody drives the line.
func (c *sht31) read(t time.Time, f Fault, r []byte) bool {
	measuring := len(c.words) == 2 && f == NeverReady
	if c.words == nil || t.Before(c.done) || measuring {
		return false
	}
	var b []byte
	for _, x := range c.words {
		b = append(b, byte(x>>8), byte(x), sht31CRC(byte(x>>8), byte(x)))
	}
	c.words = nil
	fill(r, 0xff)
	copy(r, b)
	return true
}

// sht31CRC is the checksum of a word: polynomial 0x31, from 0xff (section 4.12).
func sht31CRC(w ...byte) byte {
	crc := byte(0xff)
	for _, x := range w {
		crc ^= x
		for range 8 {
			carry := crc >> 7
			crc = crc<<1 ^ carry*0x31
		}
	}
	return crc
}
