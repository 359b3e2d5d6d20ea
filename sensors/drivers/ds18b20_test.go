package drivers

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/onewire"
	"periph.io/x/conn/v3/onewire/onewiretest"
	"periph.io/x/devices/v3/ds18b20"

	"fieldgate/sensors"
)

// The sensor of the recorded traffic: 28-0000070e41ac.
const ds18b20TestROM onewire.Address = 0x740000070e41ac28

// ds18b20Pad is a scratchpad with its checksum.
func ds18b20Pad(b ...byte) (pad [9]byte) {
	copy(pad[:8], b)
	pad[8] = onewire.CalcCRC(pad[:8])
	return pad
}

// ds18b20Tx is a transaction with one device: command and answer.
func ds18b20Tx(rom onewire.Address, w []byte, r ...byte) onewiretest.IO {
	match := binary.LittleEndian.AppendUint64([]byte{0x55}, uint64(rom))
	return onewiretest.IO{W: append(match, w...), R: r}
}

// ds18b20Ops is the traffic of opening a sensor that has the right resolution
// already, and of one measurement.
func ds18b20Ops(rom onewire.Address, supply byte, first, then [9]byte) []onewiretest.IO {
	convert := ds18b20Tx(rom, []byte{0x44}, 0x00)
	if supply&1 == 0 {
		convert = ds18b20Tx(rom, []byte{0x44})
		convert.Pull = onewire.StrongPullup
	}
	return []onewiretest.IO{
		ds18b20Tx(rom, []byte{0xbe}, first[:]...),
		ds18b20Tx(rom, []byte{0xb4}, supply),
		convert,
		ds18b20Tx(rom, []byte{0xbe}, then[:]...),
	}
}

// ds18b20OnWire has the driver measure on a 1-Wire bus and checks that all of the
// traffic took place.
func ds18b20OnWire(t *testing.T, written map[string]string, devices []onewire.Address, ops []onewiretest.IO) (got string, err error) {
	t.Helper()
	options := map[string]string{"bus": "w1:1"}
	for k, v := range written {
		options[k] = v
	}
	bus := &onewiretest.Playback{Ops: ops, Devices: devices, DontPanic: true}
	synctest.Test(t, func(t *testing.T) {
		got, err = measure(t, &bench{oneWire: bus}, "ds18b20", options)
	})
	if bus.Count != len(ops) {
		t.Errorf("%d of %d transactions; %q, %v", bus.Count, len(ops), got, err)
	}
	return got, err
}

func TestDS18B20OneWire(t *testing.T) {
	named := map[string]string{"rom": "28-0000070e41ac", "resolution": "10"}
	recorded := [9]byte{0xe0, 0x01, 0x00, 0x00, 0x3f, 0xff, 0x10, 0x10, 0x3f} // of a real sensor, 30 °C
	s20 := romOf(ds18s20Family, 0x080236d623)
	cold := ds18b20Pad(0x6f, 0xfe, 0x4b, 0x46, 0x7f, 0xff, 0x01, 0x10) // datasheet: -25.0625
	real85 := ds18b20Pad(0x50, 0x05, 0x4b, 0x46, 0x7f, 0xff, 0x10, 0x10)
	start := [9]byte{0x50, 0x05, 0x4b, 0x46, 0x7f, 0xff, 0x0c, 0x10, 0x1c} // of a real sensor that was just powered up
	at12 := ds18b20Pad(0xe0, 0x01, 0x4b, 0x46, 0x7f, 0xff, 0x10, 0x10)
	at9 := ds18b20Pad(0xe0, 0x01, 0x4b, 0x46, 0x1f, 0xff, 0x10, 0x10)
	set9 := ds18b20Tx(ds18b20TestROM, []byte{0x4e, 0x4b, 0x46, 0x1f}) // keeps the alarm limits
	search := onewiretest.IO{W: []byte{0xf0}}
	for name, c := range map[string]struct {
		written map[string]string
		devices []onewire.Address
		ops     []onewiretest.IO
		want    string
	}{
		"recorded":  {named, nil, ds18b20Ops(ds18b20TestROM, 0xff, recorded, recorded), "temperature=30.00"},
		"cold":      {map[string]string{"rom": "740000070e41ac28"}, nil, ds18b20Ops(ds18b20TestROM, 0xff, start, cold), "temperature=-25.06"},
		"a true 85": {map[string]string{"rom": "28-0000070e41ac"}, nil, ds18b20Ops(ds18b20TestROM, 0xff, cold, real85), "temperature=85.00"},
		"parasite":  {map[string]string{"rom": "28-0000070e41ac"}, nil, ds18b20Ops(ds18b20TestROM, 0x00, start, cold), "temperature=-25.06"},
		"DS18S20": {map[string]string{"rom": romName(s20)}, nil, ds18b20Ops(s20, 0xff, ds18b20Pad(0xaa, 0, 0x4b, 0x46, 0xff, 0xff, 0x0c, 0x10),
			ds18b20Pad(0x32, 0, 0x4b, 0x46, 0xff, 0xff, 0x0b, 0x10)), "temperature=25.06"},
		"the only one": {nil, []onewire.Address{ds18b20TestROM, romOf(0x01, 7)},
			append([]onewiretest.IO{search, search}, ds18b20Ops(ds18b20TestROM, 0xff, start, cold)...), "temperature=-25.06"},
		"other resolution": {map[string]string{"rom": "28-0000070e41ac", "resolution": "9"}, nil, []onewiretest.IO{
			ds18b20Tx(ds18b20TestROM, []byte{0xbe}, at12[:]...), ds18b20Tx(ds18b20TestROM, []byte{0xb4}, 0xff), set9,
			ds18b20Tx(ds18b20TestROM, []byte{0xbe}, at9[:]...), ds18b20Tx(ds18b20TestROM, []byte{0x44}, 0),
			ds18b20Tx(ds18b20TestROM, []byte{0xbe}, at9[:]...),
		}, "temperature=30.0"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := ds18b20OnWire(t, c.written, c.devices, c.ops); err != nil || got != c.want {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// TestDS18B20Waits: as long as the datasheet says (table 2), unless the context
// ends.
func TestDS18B20Waits(t *testing.T) {
	for bits, least := range map[int]time.Duration{9: 93750 * time.Microsecond, 10: 187500 * time.Microsecond, 11: 375 * time.Millisecond, 12: 750 * time.Millisecond} {
		pad := ds18b20Pad(0x90, 0x01, 0x4b, 0x46, byte(bits-9)<<5|0x1f, 0xff, 0x0f, 0x10)
		synctest.Test(t, func(t *testing.T) {
			bus := &onewiretest.Playback{Ops: ds18b20Ops(ds18b20TestROM, 0xff, pad, pad), DontPanic: true}
			s, err := attach(t, &bench{oneWire: bus}, "ds18b20", map[string]string{"bus": "w1:1", "rom": "28-0000070e41ac", "resolution": strconv.Itoa(bits)})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if got, err := take(t.Context(), s); err != nil || time.Since(began) < least || time.Since(began) > least*11/10 {
				t.Errorf("%d bits: %q, %v after %v", bits, got, err, time.Since(began))
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		pad := ds18b20Pad(0x90, 0x01, 0x4b, 0x46, 0x7f, 0xff, 0x0f, 0x10)
		s, err := attach(t, &bench{oneWire: &onewiretest.Playback{Ops: ds18b20Ops(ds18b20TestROM, 0xff, pad, pad), DontPanic: true}}, "ds18b20", map[string]string{"bus": "w1:1", "rom": "28-0000070e41ac"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if got, err := take(ctx, s); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("interrupted: %q, %v", got, err)
		}
	})
}

// romOf is the id of a device with its checksum.
func romOf(family byte, serial uint64) onewire.Address {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], serial<<8|uint64(family))
	b[7] = onewire.CalcCRC(b[:7])
	return onewire.Address(binary.LittleEndian.Uint64(b[:]))
}

func TestDS18B20Faults(t *testing.T) {
	const rom = ds18b20TestROM
	good := ds18b20Pad(0x91, 0x01, 0x4b, 0x46, 0x7f, 0xff, 0x0f, 0x10)
	bad := good
	bad[1] ^= 1
	ones := [9]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	start := [9]byte{0x50, 0x05, 0x4b, 0x46, 0x7f, 0xff, 0x0c, 0x10, 0x1c}
	real85 := ds18b20Pad(0x50, 0x05, 0x4b, 0x46, 0x7f, 0xff, 0x10, 0x10)
	read := func(pad [9]byte) []onewiretest.IO { return []onewiretest.IO{ds18b20Tx(rom, []byte{0xbe}, pad[:]...)} }
	idle := ds18b20Ops(rom, 0xff, good, good)[:3]
	idle[2].R = []byte{0xff}
	two := []onewire.Address{rom, romOf(0x28, 0x0316a2795cff)}
	search := onewiretest.IO{W: []byte{0xf0}}
	for name, c := range map[string]struct {
		written map[string]string
		devices []onewire.Address
		ops     []onewiretest.IO
		want    []string
	}{
		"not there":       {nil, nil, read(ones), []string{errAllOnes.Error()}},
		"held low":        {nil, nil, read([9]byte{}), []string{"only zeros"}},
		"CRC at opening":  {nil, nil, read(bad), []string{"wrong checksum", "91 00"}},
		"CRC":             {nil, nil, ds18b20Ops(rom, 0xff, good, bad), []string{"wrong checksum"}},
		"gone":            {nil, nil, ds18b20Ops(rom, 0xff, good, ones), []string{errAllOnes.Error()}},
		"zeros":           {nil, nil, ds18b20Ops(rom, 0xff, good, [9]byte{}), []string{"only zeros"}},
		"power-up":        {nil, nil, ds18b20Ops(rom, 0xff, good, start), []string{"from power-up"}},
		"no power":        {nil, nil, ds18b20Ops(rom, 0x00, good, ds18b20Pad(0xff, 0x07, 0x4b, 0x46, 0x7f, 0xff, 0x0c, 0x10)), []string{"too little power"}},
		"parasite 85":     {nil, nil, ds18b20Ops(rom, 0x00, good, real85), []string{"too little power"}},
		"out of range":    {nil, nil, ds18b20Ops(rom, 0xff, good, ds18b20Pad(0xd1, 0x07, 0, 0, 0x7f, 0xff, 0, 0x10)), []string{"125.06 °C is outside"}},
		"lost resolution": {nil, nil, ds18b20Ops(rom, 0xff, good, ds18b20Pad(0x91, 0x01, 0, 0, 0x5f, 0xff, 0, 0x10)), []string{"with 11 bits, not 12"}},
		"does not begin":  {nil, nil, idle, []string{"did not begin"}},
		"bus breaks":      {nil, nil, ds18b20Ops(rom, 0xff, good, good)[:3], []string{"unexpected Tx"}},
		"a copy": {map[string]string{"resolution": "10"}, nil, []onewiretest.IO{
			ds18b20Tx(rom, []byte{0xbe}, good[:]...), ds18b20Tx(rom, []byte{0xb4}, 0xff), ds18b20Tx(rom, []byte{0x4e, 0x4b, 0x46, 0x3f}),
			ds18b20Tx(rom, []byte{0xbe}, good[:]...),
		}, []string{"stays at 12 bits"}},
		"several":      {map[string]string{"rom": ""}, two, []onewiretest.IO{search, search}, []string{"28-0000070e41ac", "28-0316a2795cff", "rom"}},
		"others only":  {map[string]string{"rom": ""}, []onewire.Address{romOf(0x01, 7)}, []onewiretest.IO{search}, []string{"is not there", "01-000000000007"}},
		"wrong id":     {map[string]string{"rom": ""}, []onewire.Address{0x123456}, []onewiretest.IO{search}, []string{"CRC"}},
		"search fails": {map[string]string{"rom": ""}, nil, nil, []string{"unexpected Tx"}},
	} {
		t.Run(name, func(t *testing.T) {
			written := map[string]string{"rom": "28-0000070e41ac"}
			for k, v := range c.written {
				written[k] = v
			}
			got, err := ds18b20OnWire(t, written, c.devices, c.ops)
			if err == nil {
				t.Fatalf("gives %q", got)
			}
			for _, want := range append(c.want, "ds18b20", "w1:1") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
		})
	}
	if _, err := measure(t, &bench{}, "ds18b20", map[string]string{"bus": "w1:1"}); !errors.Is(err, sensors.ErrAbsent) {
		t.Errorf("no bus: %v", err)
	}
	if got, err := measure(t, ds18b20KernelBoard{}, "ds18b20", map[string]string{"bus": "w1:1"}); err == nil || !strings.Contains(err.Error(), "750000070e41ac28 has a wrong checksum") {
		t.Errorf("search: %q, %v", got, err)
	}
}

// ds18b20KernelBoard has a bus that gives the ids of a search unchecked, as the
// kernel's netlink does.
type ds18b20KernelBoard struct{ *bench }

func (ds18b20KernelBoard) OneWire(string) (onewire.BusCloser, error) {
	return ds18b20KernelBus{&onewiretest.Playback{DontPanic: true}}, nil
}

type ds18b20KernelBus struct{ *onewiretest.Playback }

func (ds18b20KernelBus) Search(bool) ([]onewire.Address, error) {
	return []onewire.Address{ds18b20TestROM + 1<<56}, nil
}

// ds2482Ops is what a DS2482 at addr is sent for 1-Wire transactions.
func ds2482Ops(addr uint16, ops ...onewiretest.IO) []i2ctest.IO {
	var out []i2ctest.IO
	add := func(w []byte, r ...byte) { out = append(out, i2ctest.IO{Addr: addr, W: w, R: r}) }
	for _, op := range ops {
		add([]byte{0xb4}) // reset of the 1-Wire bus, then the status: presence
		add(nil, 0x0a)
		for i, b := range op.W {
			if op.Pull && i == len(op.W)-1 {
				add([]byte{0xd2, 0xa5}) // strong pull-up
			}
			add([]byte{0xa5, b})
			add(nil, 0x08)
		}
		for _, b := range op.R {
			add([]byte{0x96}, 0x08)
			add(nil, 0x08)
			add([]byte{0xe1, 0xe1}, b)
		}
	}
	return out
}

// ds2482Init is how the bridge is reset. The DS2482-100 does not acknowledge the
// register pointers that the others have, for which the playback has an error
// too.
func ds2482Init(addr uint16, eight bool) []i2ctest.IO {
	ops := []i2ctest.IO{
		{Addr: addr, W: []byte{0xf0}},
		{Addr: addr, W: []byte{0xe1, 0xf0}, R: []byte{0x18}},
		{Addr: addr, W: []byte{0xd2, 0xe1}, R: []byte{0x01}},
	}
	if eight {
		ops = append(ops, i2ctest.IO{Addr: addr, W: []byte{0xe1, 0xd2}}, i2ctest.IO{Addr: addr, W: []byte{0xc3, 0xf0}})
	}
	return ops
}

func TestDS18B20Bridge(t *testing.T) {
	const rom = ds18b20TestROM
	start := [9]byte{0x50, 0x05, 0x4b, 0x46, 0x7f, 0xff, 0x0c, 0x10, 0x1c}
	warm := ds18b20Pad(0x91, 0x01, 0x4b, 0x46, 0x7f, 0xff, 0x0f, 0x10) // datasheet: 25.0625
	join := func(parts ...[]i2ctest.IO) (all []i2ctest.IO) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	synctest.Test(t, func(t *testing.T) {
		written := map[string]string{"rom": "28-0000070e41ac", "bridge": "0x1b"}
		for _, supply := range []byte{0xff, 0x00} {
			recorded(t, "ds18b20", written, join(ds2482Init(0x1b, false), ds2482Ops(0x1b, ds18b20Ops(rom, supply, start, warm)...)), "temperature=25.06")
		}
		// The only one on the bus is searched for bit by bit.
		search := ds2482Ops(0x18, onewiretest.IO{W: []byte{0xf0}})
		for bit := range 64 {
			triplet, status := byte(0), byte(0x48)
			if rom>>bit&1 != 0 {
				status = 0xa8
			}
			search = append(search, i2ctest.IO{Addr: 0x18, W: []byte{0x78, triplet}}, i2ctest.IO{Addr: 0x18, R: []byte{status}})
		}
		recorded(t, "ds18b20", nil, join(ds2482Init(0x18, false), search, ds2482Ops(0x18, ds18b20Ops(rom, 0xff, start, warm)...)), "temperature=25.06")
		// A line of a DS2482-800 is selected before opening and before measuring.
		ops := ds18b20Ops(rom, 0xff, start, warm)
		line := func(code byte) []i2ctest.IO {
			return []i2ctest.IO{{Addr: 0x1f, W: []byte{0xc3, 0xd2}}, {Addr: 0x1f, W: []byte{0xe1, 0xd2}, R: []byte{code}}}
		}
		written = map[string]string{"rom": "28-0000070e41ac", "bridge": "0x1f", "channel": "2"}
		recorded(t, "ds18b20", written, join(ds2482Init(0x1f, true), line(0xaa), ds2482Ops(0x1f, ops[:2]...), line(0xaa), ds2482Ops(0x1f, ops[2:]...)), "temperature=25.06")
		refused(t, "ds18b20", written, join(ds2482Init(0x1f, true), line(0xa3)), "did not select")
		refused(t, "ds18b20", written, ds2482Init(0x1f, false), "channel 2", "invalid channel")

		named := map[string]string{"rom": "28-0000070e41ac"}
		all := join(ds2482Init(0x18, false), ds2482Ops(0x18, ds18b20Ops(rom, 0xff, start, warm)...))
		for _, n := range []int{0, 1, 2, 3, 4, 9, 40, 70, len(all) - 1} {
			refused(t, "ds18b20", named, all[:n])
		}
		broken := join(all)
		broken[1].R = []byte{0xff}
		refused(t, "ds18b20", named, broken, "invalid status register")
		broken = join(all)
		broken[4].R = []byte{0x08}
		refused(t, "ds18b20", named, broken, "no device present")
		broken = join(all)
		broken[4].R = []byte{0x06}
		refused(t, "ds18b20", named, broken, "short")
		unanswered(t, "ds18b20", named)
	})
}

// TestDS18B20EndlessSearch: a bridge that goes the same way through the tree of
// ids whatever it is told has periph search for ever.
func TestDS18B20EndlessSearch(t *testing.T) {
	d, _ := sensors.Builtin().Lookup("ds18b20")
	s := subjects(t, d, nil)[0] // on I2C
	synctest.Test(t, func(t *testing.T) {
		s.t = t
		opening := [][]byte{{0x18}, {0x01}} // status, configuration
		h := &hostile{there: -1, endless: 10_000_000, answer: func(_, r []byte) error {
			if len(r) == 0 {
				return nil
			}
			r[0] = 0x02 // somebody is there, and says both 0 and 1
			if len(opening) > 0 {
				r[0], opening = opening[0][0], opening[1:]
			}
			return nil
		}}
		if samples, err := s.provoke(h); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, %v", samples, err)
		}
	})
}

// TestDS18B20Table: the table of the datasheet (DS18B20 figure 5, DS18S20 table
// 1), and what lies below the resolution.
func TestDS18B20Table(t *testing.T) {
	for _, c := range []struct {
		raw  uint16
		want float64
	}{
		{0x07d0, 125}, {0x0191, 25.0625}, {0x00a2, 10.125}, {0x0008, 0.5}, {0x0000, 0},
		{0xfff8, -0.5}, {0xff5e, -10.125}, {0xfe6f, -25.0625}, {0xfc90, -55},
	} {
		pad := ds18b20Pad(byte(c.raw), byte(c.raw>>8), 0, 0, 0x7f, 0xff, 0, 0x10)
		if got, err := ds18b20Celsius(ds18b20Family, 12, pad); err != nil || got != c.want {
			t.Errorf("%04x: %v, %v; want %v", c.raw, got, err, c.want)
		}
	}
	for _, c := range []struct {
		raw          uint16
		remain       byte
		want         float64
		family, bits int
	}{
		{0x00aa, 0x0d, 84.9375, 0x10, 12}, {0x0032, 0x0c, 25, 0x10, 12}, {0x0001, 0x04, 0.5, 0x10, 12}, {0x0000, 0x0c, 0, 0x10, 12},
		{0xffff, 0x04, -0.5, 0x10, 12}, {0xffce, 0x0c, -25, 0x10, 12}, {0xff92, 0x0c, -55, 0x10, 12},
		{0x0197, 0, 25, 0x28, 9}, {0x0197, 0, 25.25, 0x28, 10}, {0x0197, 0, 25.375, 0x28, 11}, {0x0197, 0, 25.4375, 0x22, 12}, {0xfe69, 0, -25.5, 0x28, 9},
	} {
		pad := ds18b20Pad(byte(c.raw), byte(c.raw>>8), 0, 0, byte(c.bits-9)<<5|0x1f, 0xff, c.remain, 0x10)
		if got, err := ds18b20Celsius(byte(c.family), c.bits, pad); err != nil || got != c.want {
			t.Errorf("family %02x, %04x, %d bits: %v, %v; want %v", c.family, c.raw, c.bits, got, err, c.want)
		}
	}
	for _, pad := range [][9]byte{ds18b20Pad(0xaa, 0, 0, 0, 0xff, 0xff, 0x0c, 0x10), ds18b20Pad(0x32, 0, 0, 0, 0xff, 0xff, 0x0c, 0), ds18b20Pad(0x32, 0, 0, 0, 0xff, 0xff, 0x11, 0x10)} {
		if got, err := ds18b20Celsius(ds18s20Family, 12, pad); err == nil {
			t.Errorf("% x gives %v", pad, got)
		}
	}
}

// TestDS18B20AgreesWithPeriph: where periph's driver is right, ours says the
// same.
func TestDS18B20AgreesWithPeriph(t *testing.T) {
	for raw := -55 * 16; raw <= 125*16; raw++ {
		pad := ds18b20Pad(byte(raw), byte(uint16(raw)>>8), 0, 0, 0x7f, 0xff, 0x10, 0x10)
		bus := &onewiretest.Playback{DontPanic: true, Ops: []onewiretest.IO{ds18b20Tx(ds18b20TestROM, []byte{0xbe}, pad[:]...), ds18b20Tx(ds18b20TestROM, []byte{0xbe}, pad[:]...)}}
		dev, err := ds18b20.New(bus, ds18b20TestROM, 12)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := dev.LastTemp()
		ours, ourErr := ds18b20Celsius(ds18b20Family, 12, pad)
		if ourErr != nil || raw != 85*16 && (err != nil || math.Abs(theirs.Celsius()-ours) > 1e-6) {
			t.Fatalf("%d: %v, %v; periph %v, %v", raw, ours, ourErr, theirs.Celsius(), err)
		}
	}
}

func TestDS18B20ROM(t *testing.T) {
	for _, s := range []string{"28-0000070e41ac", "28-0000070E41AC", "740000070e41ac28", "0x740000070e41ac28", "28AC410E07000074", "28-AC-41-0E-07-00-00-74", "28:ac:41:0e:07:00:00:74"} {
		if a, err := parseROM(s); err != nil || a != ds18b20TestROM {
			t.Errorf("%s: %x, %v", s, a, err)
		}
	}
	d, _ := sensors.Builtin().Lookup("ds18b20")
	for written, want := range map[string]string{
		"rom=28": "no id", "rom=28-xyz": "no id", "rom=750000070e41ac28": "checksum", "rom=01-000000000007": "01-000000000007 is none",
		"rom=0000000000000000": "checksum", "rom=10-000802b4635f resolution=9": "resolution", "resolution=13": "13", "bridge=0x20": "0x20",
		"channel=8": "8", "rom=28-+00007_e41ac": "no id",
	} {
		options := map[string]string{}
		for _, pair := range strings.Split(written, " ") {
			k, v, _ := strings.Cut(pair, "=")
			options[k] = v
		}
		if _, wrong := d.Parse(options); len(wrong) == 0 || !strings.Contains(wrong[0].Error(), want) {
			t.Errorf("%s: %v; want %q", written, wrong, want)
		}
	}
	parts := map[string]bool{}
	for _, written := range []map[string]string{{"rom": "28-0000070e41ac"}, {"rom": "28AC410E07000074"}, {"rom": "28-0316a2795cff"}, {"rom": "28-0316a2795cff", "channel": "1"}} {
		o, wrong := d.Parse(written)
		if len(wrong) > 0 {
			t.Fatal(wrong)
		}
		parts[d.Part(o)] = true
	}
	if len(parts) != 3 {
		t.Errorf("parts %v", parts)
	}
}

func FuzzDS18B20Scratchpad(f *testing.F) {
	f.Add([]byte{0x91, 0x01, 0x4b, 0x46, 0x7f, 0xff, 0x0f, 0x10, 0x25}, byte(0x28), 12)
	f.Add([]byte{0xaa, 0x00, 0x4b, 0x46, 0xff, 0xff, 0x0c, 0x10, 0x87}, byte(0x10), 12)
	f.Fuzz(func(t *testing.T, b []byte, family byte, bits int) {
		var pad [9]byte
		copy(pad[:], b)
		if bits < 9 || bits > 12 {
			return
		}
		_ = ds18b20Intact(pad)
		if v, err := ds18b20Celsius(family, bits, pad); err == nil && !(v >= -55 && v <= 125) {
			t.Errorf("% x: %v", pad, v)
		}
	})
}

func FuzzROM(f *testing.F) {
	for _, s := range []string{"28-0000070e41ac", "740000070e41ac28", "28-AC-41-0E-07-00-00-74", "0x", "--"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseROM(s)
		if err != nil {
			return
		}
		if again, err := parseROM(romName(a)); err != nil || again != a {
			t.Errorf("%q is %x, its name %s is %x, %v", s, a, romName(a), again, err)
		}
	})
}
