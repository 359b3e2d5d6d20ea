package drivers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"periph.io/x/conn/v3/onewire"

	"fieldgate/sensors"
)

// Maxim (Dallas) DS18B20, DS1822 (family codes 28 and 22: 9 to 12 bits) and
// DS18S20/DS1820 (family 10): temperature; on a 1-Wire bus of the kernel or behind
// a DS2482-100, DS2482-800 or DS2483 on I2C.
//
// Datasheet: DS18B20 19-7487 rev. 6: figures 4 to 6 (temperature, its table),
// figure 9 (scratchpad), figure 10 and table 2 (resolution and conversion time),
// "Powering the DS18B20"; DS18S20 rev. 042208: table 1, figure 6 and the formula for
// the extended resolution.
//
// Periph's ds248x drives the bridge (ds18b20_bus.go). The sensor is
// driven here, over periph's onewire.Dev, and not through its ds18b20, which
//   - takes a scratchpad of zeros for 0 °C: its checksum is right, and a data line
//     that is held low gives it, as does periph's netlink bus for a short answer;
//   - takes 0x07ff, which a sensor with too little power gives, for 127.94 °C;
//   - refuses a true 85.0 °C, and does not look at the bits below the resolution,
//     which are undefined;
//   - sets the resolution in the sensor's EEPROM, which wears, sets the alarm
//     limits to 0 with it, and does not look whether the sensor took it: there
//     are copies of the DS18B20 that have 12 bits only;
//   - sleeps through the conversion whatever the context says, and reads the old
//     value again if the command to convert was lost.
//
// 85 °C is what the register holds from power-up. With it byte 6 of the
// scratchpad, which the datasheet calls reserved, is 0x0c; after a conversion to
// 85.0 °C it is not (the kernel's w1_therm looks at the same). On copies where it
// always is, and on the DS18S20, where it belongs to the value, a true 85.0 °C
// is refused: that is the lesser evil. So is 85.0 °C from a sensor that takes its
// power from the data line.
//
// A sensor with a supply of its own answers zeros while it converts (datasheet,
// "Convert T"). That is looked at, so that a lost command is found out. It cannot
// be told how long the conversion takes, since each transaction begins with a
// reset: the longest time of the datasheet is waited for. One make of copies takes
// 0.5 s at any resolution; those need resolution 12.
//
// Limits: a measurement holds its bus for up to 0.75 s. It is not begun for one
// reading and fetched at the next, because that would be an interval old. The
// kernel's 1-Wire (bus w1:1) gives no strong pull-up to whoever asks
// for a transaction. Sensors without a supply of their own fail on it now and
// then; the driver w1 or a bridge serves them better.
func init() {
	sensors.Register(sensors.Driver{
		Name: "ds18b20",
		Doc:  "Maxim DS18B20, DS1822, DS18S20: temperature -55 to 125 °C, ±0.5 °C; I2C or 1-Wire (on I2C behind a DS2482 or DS2483)",
		Bus:  sensors.OneWire | sensors.I2C,
		Options: []sensors.Option{
			{Name: "rom", Doc: "id of the sensor, such as 28-0316a2795cff, or all 16 digits of it; if left out, the only one on the bus", Kind: sensors.Text},
			{Name: "resolution", Doc: "bits, 9 (0.5 °C, 94 ms) to 12 (0.0625 °C, 750 ms); a DS18S20 has 12", Kind: sensors.Integer, Default: "12", Min: 9, Max: 12},
			{Name: "bridge", Doc: "I2C address of the DS2482 or DS2483", Kind: sensors.Integer, Default: "0x18", Min: 0x18, Max: 0x1f},
			{Name: "channel", Doc: "1-Wire line of a DS2482-800, 0 to 7", Kind: sensors.Integer, Default: "0", Min: 0, Max: 7},
		},
		Check:  ds18b20Check,
		Part:   ds18b20Part,
		Family: "ds18b20",
		Every:  30 * time.Second,
		Channels: func(o sensors.Options) []sensors.Channel {
			return thermometerChannels(int(o.Integer("resolution")))
		},
		Open: func(ctx context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			bus, err := openDS18B20Bus(env, o)
			if err != nil {
				return nil, err
			}
			d := &ds18b20Sensor{ds18b20Bus: bus, bits: int(o.Integer("resolution"))}
			err = d.do(ctx, func() error { return d.ready(o.Text("rom")) })
			return d.sampler(err, func(ctx context.Context) ([]sensors.Sample, error) {
				var v float64
				err := d.do(ctx, func() (err error) {
					v, err = d.measure(ctx)
					return err
				})
				if err != nil {
					return nil, err
				}
				return samplesOf(thermometerChannels(d.bits), v)
			})
		},
	})
}

// Family codes.
const (
	ds18s20Family = 0x10
	ds1822Family  = 0x22
	ds18b20Family = 0x28
)

// Commands (DS18B20 datasheet, table 3).
const (
	ds18b20Convert    = 0x44
	ds18b20WritePad   = 0x4e
	ds18b20ReadPad    = 0xbe
	ds18b20ReadSupply = 0xb4
)

var errDS18B20Power = errors.New("the sensor has too little power to measure: connect its supply line, or use a bridge with a strong pull-up")

// parseROM reads the id of a 1-Wire device: as the kernel prints it (family
// code, dash, serial number: 28-0316a2795cff) or with all its 16 hexadecimal
// digits, with the family code or the checksum in front. Its checksum must be
// right. The address is as periph has it: family code in the lowest byte.
func parseROM(s string) (onewire.Address, error) {
	wrong := func(why string) (onewire.Address, error) { return 0, fmt.Errorf("%.40q %s", s, why) }
	if family, serial, ok := strings.Cut(s, "-"); ok && len(family) == 2 && len(serial) == 12 {
		f, err1 := strconv.ParseUint(family, 16, 8)
		n, err2 := strconv.ParseUint(serial, 16, 48)
		if err1 != nil || err2 != nil {
			return wrong("is no id of a 1-Wire device")
		}
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], f|n<<8)
		b[7] = onewire.CalcCRC(b[:7])
		return onewire.Address(binary.LittleEndian.Uint64(b[:])), nil
	}
	digits := strings.NewReplacer("-", "", ":", "").Replace(strings.TrimPrefix(s, "0x"))
	n, err := strconv.ParseUint(digits, 16, 64)
	if err != nil || len(digits) != 16 {
		return wrong("is no id of a 1-Wire device")
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	for range 2 {
		if b[0] != 0 && onewire.CheckCRC(b[:]) {
			return onewire.Address(binary.LittleEndian.Uint64(b[:])), nil
		}
		slices.Reverse(b[:])
	}
	return wrong("has a wrong checksum")
}

// romName is the id of a device as the kernel prints it.
func romName(a onewire.Address) string {
	return fmt.Sprintf("%02x-%012x", uint64(a)&0xff, uint64(a)>>8&0xffffffffffff)
}

// ds18b20Knows reports whether a device is of a family that this driver reads.
func ds18b20Knows(a onewire.Address) bool {
	f := byte(a)
	return f == ds18b20Family || f == ds1822Family || f == ds18s20Family
}

func ds18b20Check(o sensors.Options) []sensors.OptionError {
	rom := o.Text("rom")
	if rom == "" {
		return nil
	}
	a, err := parseROM(rom)
	switch {
	case err != nil:
		return []sensors.OptionError{{Option: "rom", Problem: err.Error(), Remedy: "an id such as 28-0316a2795cff, as in /sys/bus/w1/devices"}}
	case !ds18b20Knows(a):
		return []sensors.OptionError{{Option: "rom", Problem: romName(a) + " is none of these thermometers", Remedy: "an id that begins with 28-, 22- or 10-"}}
	case byte(a) == ds18s20Family && o.Integer("resolution") != 12:
		return []sensors.OptionError{{Option: "resolution", Problem: "a DS18S20 has one resolution only", Remedy: "12, or leave it out"}}
	}
	return nil
}

// ds18b20Part is the id of the sensor: several share a bus.
func ds18b20Part(o sensors.Options) string {
	part := o.Text("rom")
	if a, err := parseROM(part); err == nil {
		part = romName(a)
	}
	if ch := o.Integer("channel"); ch != 0 {
		part += " channel " + strconv.FormatInt(ch, 10)
	}
	return part
}

// ds18b20Sensor is a sensor on an open bus.
type ds18b20Sensor struct {
	*ds18b20Bus
	dev      onewire.Dev
	bits     int
	parasite bool // it takes its power from the data line
}

func (d *ds18b20Sensor) family() byte { return byte(d.dev.Addr) }

// ready finds the sensor and sets its resolution.
func (d *ds18b20Sensor) ready(rom string) error {
	if err := d.ds18b20Bus.ready(); err != nil {
		return err
	}
	if err := d.choose(); err != nil {
		return err
	}
	addr, err := d.find(rom)
	if err != nil {
		return err
	}
	d.label = d.named(romName(addr))
	d.dev = onewire.Dev{Bus: d.wire, Addr: addr}
	pad, err := d.scratchpad()
	if err != nil {
		return err
	}
	var supply [1]byte
	if err := d.dev.Tx([]byte{ds18b20ReadSupply}, supply[:]); err != nil {
		return err
	}
	d.parasite = supply[0]&1 == 0
	if d.family() == ds18s20Family {
		d.bits = 12
		return nil
	}
	if ds18b20Bits(pad) == d.bits {
		return nil
	}
	// Not copied to the EEPROM: a sensor that loses its power is found out, and
	// this is done again.
	if err := d.dev.Tx([]byte{ds18b20WritePad, pad[2], pad[3], byte(d.bits-9)<<5 | 0x1f}, nil); err != nil {
		return err
	}
	if pad, err = d.scratchpad(); err != nil {
		return err
	}
	if bits := ds18b20Bits(pad); bits != d.bits {
		return fmt.Errorf("the sensor stays at %d bits, so it is no DS18B20 of Maxim: set its resolution to %d", bits, bits)
	}
	return nil
}

// find gives the sensor that is named, or the only one there is.
func (d *ds18b20Sensor) find(rom string) (onewire.Address, error) {
	if rom != "" {
		return parseROM(rom)
	}
	all, err := d.wire.Search(false)
	if err != nil {
		return 0, err
	}
	var known []onewire.Address
	var names []string
	for _, a := range all {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], uint64(a))
		if !onewire.CheckCRC(b[:]) { // the kernel's search does not look
			return 0, fmt.Errorf("search: %016x has a wrong checksum", uint64(a))
		}
		names = append(names, romName(a))
		if ds18b20Knows(a) {
			known = append(known, a)
		}
	}
	switch {
	case len(known) == 1:
		return known[0], nil
	case len(known) > 1:
		return 0, fmt.Errorf("there are several devices, name one with rom: %s", strings.Join(names, ", "))
	case len(all) > 0:
		return 0, fmt.Errorf("a thermometer %w; on the bus there are %s", sensors.ErrAbsent, strings.Join(names, ", "))
	}
	return 0, fmt.Errorf("a thermometer %w: the bus is empty", sensors.ErrAbsent)
}

// scratchpad reads the sensor's memory and checks that it is its own.
func (d *ds18b20Sensor) scratchpad() ([9]byte, error) {
	var pad [9]byte
	if err := d.dev.Tx([]byte{ds18b20ReadPad}, pad[:]); err != nil {
		return pad, err
	}
	return pad, ds18b20Intact(pad)
}

// measure measures once, in °C.
func (d *ds18b20Sensor) measure(ctx context.Context) (float64, error) {
	if err := d.choose(); err != nil {
		return 0, err
	}
	if d.parasite {
		// The strong pull-up has to come at once, so nothing can be read.
		if err := d.dev.TxPower([]byte{ds18b20Convert}, nil); err != nil {
			return 0, err
		}
	} else {
		var busy [1]byte
		if err := d.dev.Tx([]byte{ds18b20Convert}, busy[:]); err != nil {
			return 0, err
		}
		if busy[0]&1 != 0 {
			return 0, errors.New("the sensor did not begin to measure")
		}
	}
	if err := pause(ctx, ds18b20Time(d.bits)); err != nil {
		return 0, err
	}
	pad, err := d.scratchpad()
	if err != nil {
		return 0, err
	}
	v, err := ds18b20Celsius(d.family(), d.bits, pad)
	if err == nil && d.parasite && v == 85 {
		err = errDS18B20Power
	}
	return v, err
}

// ds18b20Time is how long a conversion takes at most (datasheet table 2), and a
// little more.
func ds18b20Time(bits int) time.Duration {
	return 750 * time.Millisecond >> (12 - bits) * 21 / 20
}

// ds18b20Bits is the resolution that is set (figure 10).
func ds18b20Bits(pad [9]byte) int { return 9 + int(pad[4]>>5&3) }

// ds18b20Intact says why what was read is no scratchpad.
func ds18b20Intact(pad [9]byte) error {
	switch {
	case allOnes(pad[:]):
		return errAllOnes
	case pad == [9]byte{}:
		return errors.New("only zeros: the data line is held low") // the checksum of nothing is right
	case !onewire.CheckCRC(pad[:]):
		return fmt.Errorf("% x has a wrong checksum", pad[:])
	}
	return nil
}

// ds18b20Celsius gives the temperature, in °C, that a scratchpad holds which
// ds18b20Intact has seen. Values that were not measured are errors.
func ds18b20Celsius(family byte, bits int, pad [9]byte) (float64, error) {
	raw := int16(binary.LittleEndian.Uint16(pad[:]))
	var v float64
	if family == ds18s20Family {
		remain, per := int(pad[6]), int(pad[7])
		switch {
		case per == 0 || remain > per:
			return 0, fmt.Errorf("count remain %d of %d is not possible", remain, per)
		case raw == 0x00aa && remain == 0x0c:
			return 0, errors.New("85 °C from power-up, no measurement took place")
		}
		v = float64(raw>>1) - 0.25 + float64(per-remain)/float64(per)
	} else {
		switch {
		case ds18b20Bits(pad) != bits:
			return 0, fmt.Errorf("measured with %d bits, not %d: the sensor lost its power", ds18b20Bits(pad), bits)
		case raw == 0x0550 && pad[6] == 0x0c:
			return 0, errors.New("85 °C from power-up, no measurement took place")
		case raw == 0x07ff:
			return 0, errDS18B20Power
		}
		v = float64(raw&^(1<<(12-bits)-1)) / 16
	}
	return v, within("temperature", v, -55, 125, "°C")
}
