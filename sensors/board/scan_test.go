package board

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"fieldgate/sensors"
)

// fakeBus is a bus with chips that have registers. It notes what is written.
type fakeBus struct {
	chips map[uint16]map[byte][]byte
	err   error         // of addresses where nobody is; nil: EREMOTEIO
	pause time.Duration // for each of them
	hang  chan struct{} // at address 0x50: until it is closed

	mu     sync.Mutex
	writes map[uint16][]byte
	asked  []uint16
	closed bool
}

func (b *fakeBus) String() string                  { return "fake" }
func (b *fakeBus) SetSpeed(physic.Frequency) error { return nil }
func (b *fakeBus) Close() error                    { b.closed = true; return nil }

func (b *fakeBus) Tx(addr uint16, w, r []byte) error {
	b.mu.Lock()
	b.asked = append(b.asked, addr)
	if len(w) > 0 {
		if b.writes == nil {
			b.writes = map[uint16][]byte{}
		}
		b.writes[addr] = append(b.writes[addr], w...)
	}
	b.mu.Unlock()
	if addr == 0x50 && b.hang != nil {
		<-b.hang
	}
	chip, ok := b.chips[addr]
	switch {
	case !ok && b.err != nil:
		time.Sleep(b.pause)
		return b.err
	case !ok:
		return syscall.EREMOTEIO
	case len(w) > 0:
		copy(r, chip[w[0]])
	}
	return nil
}

// fakeBoard has buses by name.
type fakeBoard struct {
	sensors.Board
	buses map[string]*fakeBus
}

func (b fakeBoard) I2C(name string) (i2c.BusCloser, error) {
	if bus, ok := b.buses[name]; ok {
		return bus, nil
	}
	return nil, fmt.Errorf("board: %s %w", name, sensors.ErrAbsent)
}

// catalogue are drivers with the options that matter here.
func catalogue() *sensors.Registry {
	r := &sensors.Registry{}
	address := func(usual string, low, high float64) sensors.Option {
		return sensors.Option{Name: "address", Kind: sensors.Integer, Default: usual, Min: low, Max: high}
	}
	add := func(name string, bus sensors.BusKind, suffixes []string, options ...sensors.Option) {
		r.Register(sensors.Driver{
			Name: name, Doc: "about " + name, Bus: bus, Options: options,
			Check: func(o sensors.Options) []sensors.OptionError {
				if name == "bh1750" && o.Integer("address") != 0x23 && o.Integer("address") != 0x5c {
					return []sensors.OptionError{{Option: "address"}}
				}
				return nil
			},
			Channels: func(sensors.Options) []sensors.Channel {
				var out []sensors.Channel
				for _, s := range suffixes {
					out = append(out, sensors.Channel{Suffix: s})
				}
				return out
			},
			Open: func(context.Context, sensors.Env, sensors.Options) (sensors.Sampler, error) { return nil, nil },
		})
	}
	add("ads1115", sensors.I2C, []string{"voltage"}, address("0x48", 0x48, 0x4b),
		sensors.Option{Name: "input", Required: true, Choices: []string{"0", "1"}})
	add("lm75", sensors.I2C, []string{"temperature"}, address("0x48", 0x48, 0x4f))
	add("bh1750", sensors.I2C, []string{"illuminance"}, address("0x23", 0x23, 0x5c))
	add("bme280", sensors.I2C|sensors.SPI, []string{"temperature", "humidity"}, address("0x76", 0x76, 0x77))
	add("bmp280", sensors.I2C, []string{"temperature", "pressure"}, address("0x76", 0x76, 0x77))
	add("ms5611", sensors.I2C, []string{"pressure"}, address("0x77", 0x76, 0x77))
	add("mcp9808", sensors.I2C, []string{"temperature"}, address("0x18", 0x18, 0x1f))
	add("ds18b20", sensors.I2C|sensors.OneWire, []string{"temperature"}, sensors.Option{Name: "rom"},
		sensors.Option{Name: "bridge", Kind: sensors.Integer, Default: "0x18", Min: 0x18, Max: 0x1f})
	add("iio", 0, []string{""}, sensors.Option{Name: "chip", Required: true}, sensors.Option{Name: "input", Required: true})
	add("hwmon", 0, []string{""}, sensors.Option{Name: "chip", Required: true}, sensors.Option{Name: "input", Required: true})
	add("thermal", 0, []string{""}, sensors.Option{Name: "zone", Default: "0"})
	return r
}

func scan(t *testing.T, root string, o ScanOptions) Report {
	t.Helper()
	o.Root = root
	if o.Drivers == nil {
		o.Drivers = catalogue()
	}
	if o.chips == nil {
		o.chips = func() ([]GPIOChip, error) { return headerChips(), nil }
	}
	r, err := Scan(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func written(t *testing.T, r Report) string {
	t.Helper()
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestScan: a Pi 5 with chips on its buses.
func TestScan(t *testing.T) {
	bus := &fakeBus{chips: map[uint16]map[byte][]byte{
		0x48: {}, 0x4d: {}, 0x50: {}, 0x68: {},
		0x76: {0xd0: {0x60}},
		0x77: {0xd0: {0x33}},
		0x18: {0x06: {0x00, 0x54}, 0x07: {0x04, 0x00}},
		0x5c: {},
	}}
	empty := &fakeBus{}
	root := plant(t, pi5())
	r := scan(t, root, ScanOptions{Board: fakeBoard{buses: map[string]*fakeBus{"i2c:1": bus, "i2c:13": empty}}})
	text := written(t, r)
	for _, want := range []string{
		"Raspberry Pi 5 Model B Rev 1.0\n",
		"i2c:1  Synopsys DesignWare I2C adapter\n",
		"  0x48  answers; may be one of ads1115, lm75\n",
		"  0x4d  answers; may be lm75\n",
		"  0x50  answers; no driver has a chip at this address\n",
		"  0x68  in use by the kernel's driver rtc-ds1307\n",
		"  0x76  BME280\n",
		"  0x77  answers; may be ms5611\n", // its id says that it is neither of the others
		"  0x18  MCP9808\n",
		"i2c:13  107d508200.i2c\n  nobody answers\n",
		"spi:0.1  ready",
		"w1:1\n  28-0316a2795cff  DS18B20 thermometer\n  26-000001234567  DS2438 battery monitor\n",
		"iio:device0  dht11  in_humidityrelative, in_temp\n",
		"hwmon1  rp1_adc  in1 (CC1)\n",
		"thermal_zone0  cpu-thermal\n",
		"gpiochip0  pinctrl-bcm2835, 54 lines\n",
		"   22  GPIO22             output, taken by \"gpioset\"\n",
		"\nsensors:\n",
		"  # i2c:1, address 0x48: one of these, as the chip is labelled\n" +
			"  - {driver: ads1115, bus: \"i2c:1\", address: 0x48, input: 0, device: MyDevice, every: 10s}\n" +
			"  # - {driver: lm75, bus: \"i2c:1\", address: 0x48, device: MyDevice, sensor: lm75-1-48, every: 10s}\n",
		"  # i2c:1, address 0x76: about bme280\n  - {driver: bme280, ",
		"  - {driver: ds18b20, bus: \"w1:1\", rom: 28-0316a2795cff, device: MyDevice, ",
		"  - {driver: iio, chip: dht11, input: in_temp, device: MyDevice, ",
		"  - {driver: hwmon, chip: rp1_adc, input: in1, device: MyDevice, ",
		"  - {driver: thermal, zone: 0, device: MyDevice, ",
		"  # - {driver: bme280, bus: \"spi:0.0\"",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q", want)
		}
	}
	for _, not := range []string{"rom: 26-", "no I2C bus", "bh1750, bus: \"i2c:1\", address: 0x48"} {
		if strings.Contains(text, not) {
			t.Errorf("has %q", not)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	// What the scan did to the chips: nothing but the numbers of id registers
	// where those live, and nothing at all at what the kernel has.
	for addr, w := range bus.writes {
		for _, reg := range w {
			if !slices.ContainsFunc(identities, func(id identity) bool {
				return addr >= id.low && addr <= id.high && slices.ContainsFunc(id.registers, func(r idRegister) bool { return r.number == reg })
			}) {
				t.Errorf("wrote 0x%02x to 0x%02x", reg, addr)
			}
		}
	}
	if slices.Contains(bus.asked, 0x68) {
		t.Error("asked a chip that the kernel has")
	}
	if slices.Min(bus.asked) < firstAddress || slices.Max(bus.asked) > lastAddress || !bus.closed {
		t.Error("asked a reserved address, or left the bus open")
	}
	distinct := slices.Compact(slices.Sorted(slices.Values(empty.asked)))
	if len(distinct) != 0x77-0x08+1 || len(empty.asked) != len(distinct) {
		t.Errorf("asked %d of %d addresses", len(distinct), len(empty.asked))
	}
}

// TestScanIDs: the sensors of the lines that are no comments differ.
func TestScanIDs(t *testing.T) {
	bus := &fakeBus{chips: map[uint16]map[byte][]byte{0x48: {}, 0x49: {}, 0x4d: {}, 0x4e: {}, 0x76: {0xd0: {0x60}}, 0x77: {0xd0: {0x58}}}}
	r := scan(t, plant(t, pi5()), ScanOptions{Board: fakeBoard{buses: map[string]*fakeBus{"i2c:1": bus}}})
	seen := map[string]string{}
	check := func(lines []ConfigLine) {
		if len(lines) == 0 {
			return
		}
		for _, id := range lines[0].ids {
			if seen[id] != "" {
				t.Errorf("%s and %s are both %s", seen[id], lines[0].Text, id)
			}
			seen[id] = lines[0].Text
		}
	}
	for _, c := range r.I2C[0].Chips {
		check(c.Drivers)
	}
	for _, c := range slices.Concat(r.IIO, r.Hwmon) {
		for _, in := range c.Inputs {
			check(in.Driver)
		}
	}
	if len(seen) < 10 {
		t.Errorf("%v", seen)
	}
}

// TestScanReadOnly: then nothing is written, and the drivers are all possible.
func TestScanReadOnly(t *testing.T) {
	bus := &fakeBus{chips: map[uint16]map[byte][]byte{0x76: {0xd0: {0x60}}}}
	r := scan(t, plant(t, pi5()), ScanOptions{ReadOnly: true, Board: fakeBoard{buses: map[string]*fakeBus{"i2c:1": bus}}})
	if len(bus.writes) > 0 {
		t.Errorf("wrote %v", bus.writes)
	}
	var names []string
	for _, l := range r.I2C[0].Chips[1].Drivers {
		names = append(names, l.Driver)
	}
	if r.I2C[0].Chips[0].Kernel != "rtc-ds1307" && r.I2C[0].Chips[1].Kernel != "rtc-ds1307" {
		t.Errorf("%+v", r.I2C[0].Chips)
	}
	if c := r.I2C[0].Chips; c[1].Address == 0x76 && !slices.Equal(names, []string{"bme280", "bmp280", "ms5611"}) {
		t.Errorf("%q", names)
	}
}

// TestScanHangingBus: it neither keeps Scan nor the other bus.
func TestScanHangingBus(t *testing.T) {
	root := plant(t, pi5())
	synctest.Test(t, func(t *testing.T) {
		hangs := &fakeBus{chips: map[uint16]map[byte][]byte{0x48: {}}, hang: make(chan struct{})}
		fine := &fakeBus{chips: map[uint16]map[byte][]byte{0x49: {}}}
		begin := time.Now()
		r := scan(t, root, ScanOptions{BusTime: time.Minute, Board: fakeBoard{buses: map[string]*fakeBus{"i2c:1": hangs, "i2c:13": fine}}})
		if d := time.Since(begin); d != time.Minute+grace {
			t.Errorf("took %v", d)
		}
		if b := r.I2C[0]; !strings.Contains(b.Problem, "hangs") || !slices.ContainsFunc(b.Chips, func(c I2CChip) bool { return c.Address == 0x48 }) {
			t.Errorf("%+v", b)
		}
		if b := r.I2C[1]; b.Problem != "" || len(b.Chips) != 1 {
			t.Errorf("%+v", b)
		}
		close(hangs.hang) // the kernel's driver comes back
		synctest.Wait()
		if !hangs.closed {
			t.Error("the bus stays open")
		}
	})
}

// TestScanSlowBus: what is usual is asked first, and the time is limited.
func TestScanSlowBus(t *testing.T) {
	root := plant(t, pi5())
	synctest.Test(t, func(t *testing.T) {
		slow := &fakeBus{chips: map[uint16]map[byte][]byte{0x76: {0xd0: {0x60}}}, err: syscall.ETIMEDOUT, pause: time.Second}
		r := scan(t, root, ScanOptions{BusTime: 20 * time.Second, Board: fakeBoard{buses: map[string]*fakeBus{"i2c:1": slow}}})
		b := r.I2C[0]
		if !strings.Contains(b.Problem, "of 112 addresses were asked in 20s") || !slices.ContainsFunc(b.Chips, func(c I2CChip) bool { return c.Chip == "BME280" }) {
			t.Errorf("%+v", b)
		}
		if p := r.I2C[1].Problem; !strings.Contains(p, "is not there") {
			t.Errorf("a bus that does not open: %q", p)
		}
	})
}

// TestScanStuckBuses: what a bus that is stuck says is not taken for chips.
func TestScanStuckBuses(t *testing.T) {
	all := map[uint16]map[byte][]byte{}
	for a := range uint16(0x80) {
		all[a] = map[byte][]byte{}
	}
	low := &fakeBus{chips: all}
	held := &fakeBus{err: fmt.Errorf("%w: held", syscall.ETIMEDOUT)}
	tree := pi5()
	delete(tree, "/sys/bus/i2c/devices/1-0068/driver")
	r := scan(t, plant(t, tree), ScanOptions{Board: fakeBoard{buses: map[string]*fakeBus{"i2c:1": low, "i2c:13": held}}})
	if b := r.I2C[0]; len(b.Chips) != 0 || !strings.Contains(b.Problem, "every address answers") {
		t.Errorf("%+v", b)
	}
	if b := r.I2C[1]; len(b.Chips) != 0 || !strings.Contains(b.Problem, "no address could be asked: ") {
		t.Errorf("%+v", b)
	}
	if len(held.asked) > 10 {
		t.Errorf("a bus that is stuck was asked %d times", len(held.asked))
	}
}

// TestScanLeavesAlone: buses of mainboards and displays are not touched, nor those
// that speak SMBus only.
func TestScanLeavesAlone(t *testing.T) {
	tree := files{
		"/dev/i2c-0": "", "/sys/class/i2c-dev/i2c-0/name": "SMBus I801 adapter at efa0\n",
		"/dev/i2c-1": "", "/sys/class/i2c-dev/i2c-1/name": "i915 gmbus dpb\n",
		"/dev/i2c-2": "", "/sys/class/i2c-dev/i2c-2/name": "stub\n",
	}
	touched := &fakeBus{}
	stub := &fakeBus{err: syscall.EOPNOTSUPP}
	r := scan(t, plant(t, tree), ScanOptions{Board: fakeBoard{buses: map[string]*fakeBus{"i2c:0": touched, "i2c:1": touched, "i2c:2": stub}}})
	for _, b := range r.I2C {
		if !strings.Contains(b.Problem, "left alone") {
			t.Errorf("%+v", b)
		}
	}
	if len(touched.asked) > 0 || len(stub.asked) != 1 {
		t.Error("asked", touched.asked, stub.asked)
	}
}

// TestScanNothing: a machine without hardware is no error.
func TestScanNothing(t *testing.T) {
	none := func() ([]GPIOChip, error) { return nil, nil }
	text := written(t, scan(t, plant(t, files{}), ScanOptions{chips: none}))
	for _, want := range []string{"no I2C bus: sudo modprobe i2c-dev", "no SPI bus: ", "no 1-Wire bus: ", "no GPIO lines: "} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	text = written(t, scan(t, plant(t, piZero()), ScanOptions{chips: none}))
	for _, want := range []string{"Raspberry Pi Zero W", "no I2C bus: put dtparam=i2c_arm=on into", "no SPI bus: put dtparam=spi=on", "no 1-Wire bus: put dtoverlay=w1-gpio"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Scan(ctx, ScanOptions{Root: t.TempDir(), Drivers: catalogue()}); err != context.Canceled {
		t.Error(err)
	}
}

// TestScanOneWireTrouble: wires that are wrong say so.
func TestScanOneWireTrouble(t *testing.T) {
	for text, says := range map[string]string{"not found.\n": "nobody answers", "00-400000000000\n00-c00000000000\n": "4.7 kOhm"} {
		r := scan(t, plant(t, files{"/sys/bus/w1/devices/w1_bus_master1/w1_master_slaves": text}), ScanOptions{})
		if b := r.OneWire[0]; len(b.Chips) != 0 || !strings.Contains(b.Problem, says) {
			t.Errorf("%+v", b)
		}
	}
}

func TestYAML(t *testing.T) {
	for in, want := range map[string]string{
		"0x48": "0x48", "28-0316a2795cff": "28-0316a2795cff", "MyDevice": "MyDevice", "in_temp": "in_temp",
		"iio:device0": `"iio:device0"`, "": `""`, "on": `"on"`, "a b": `"a b"`, "-x": `"-x"`, "?": `"?"`, "No": `"No"`,
	} {
		if got := yaml(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
	for d, want := range map[time.Duration]string{10 * time.Second: "10s", time.Minute: "1m", 2 * time.Hour: "2h", 90 * time.Second: "1m30s"} {
		if got := shortSpan(d); got != want {
			t.Errorf("%v: %s", d, got)
		}
	}
}
