package board

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"periph.io/x/conn/v3/i2c"

	"fieldgate/sensors"
)

// Addresses that chips may have (I2C-bus specification UM10204 section 3.1.12:
// the rest is reserved).
const (
	firstAddress = 0x08
	lastAddress  = 0x77
)

// grace is how long a bus may take to notice that its time is over: the kernel
// ends a transaction after a second or two.
const grace = 3 * time.Second

// scanI2C looks at the buses one after the other: on a Pi the controllers share
// an interrupt, and on an emulated one that was enough for absent chips to answer.
func (s *scanner) scanI2C(ctx context.Context) (out []I2CBus) {
	for _, name := range s.root.buses(sensors.I2C) {
		number := strings.TrimPrefix(name, "i2c:")
		p := &i2cProbe{scanner: s, kernel: s.root.bound(number)}
		p.order, p.usual = s.addressOrder()
		p.bus = I2CBus{Name: name, Adapter: s.root.text("/sys/class/i2c-dev/i2c-" + number + "/name")}
		if p.bus.Problem = leftAlone(p.bus.Adapter); p.bus.Problem == "" {
			s.watch(ctx, p)
		}
		out = append(out, p.result())
	}
	for i := range out {
		for j := range out[i].Chips {
			c := &out[i].Chips[j]
			c.Drivers = s.candidates(out[i].Name, c)
		}
	}
	return out
}

// watch runs p for BusTime. Nobody can end a transaction that the kernel does not
// end: such a bus is reported with what it gave until then, and its goroutine is
// left behind.
func (s *scanner) watch(ctx context.Context, p *i2cProbe) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		timed, cancel := context.WithTimeout(ctx, s.BusTime)
		defer cancel()
		p.run(timed)
	}()
	limit := time.NewTimer(s.BusTime + grace)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
		p.fail("the bus hangs: a transaction does not end")
	}
}

// leftAlone says why a bus is not touched: on mainboards and graphics cards
// there are memory modules, clock generators and displays, no sensors of the user's.
func leftAlone(adapter string) string {
	for _, sign := range []string{"SMBus", "i915", "AMDGPU", "Radeon", "NVIDIA", "nvkm", "DPDDC", "dpu", "DDC"} {
		if strings.Contains(adapter, sign) {
			return "left alone: it belongs to the mainboard or a display"
		}
	}
	return ""
}

// bound lists the addresses of a bus that drivers of the kernel have.
func (t tree) bound(bus string) map[uint16]string {
	out := map[uint16]string{}
	const devices = "/sys/bus/i2c/devices"
	for _, name := range t.names(devices, bus+"-") {
		n, err := strconv.ParseUint(strings.TrimPrefix(name, bus+"-"), 16, 16)
		if driver := t.link(path.Join(devices, name, "driver")); err == nil && driver != "" {
			out[uint16(n)] = driver
		}
	}
	return out
}

// addressOrder is the order in which addresses are asked: first those where known
// chips usually are, so that they are found on a bus that is slow. usual is how
// many these are.
func (s *scanner) addressOrder() (out []uint16, usual int) {
	add := func(a uint16) {
		if a >= firstAddress && a <= lastAddress && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	for _, name := range s.Drivers.Names() {
		d, _ := s.Drivers.Lookup(name)
		if o, ok := addressOf(d); ok {
			n, err := strconv.ParseUint(o.Default, 0, 16)
			if err == nil {
				add(uint16(n))
			}
		}
	}
	usual = len(out)
	for a := uint16(firstAddress); a <= lastAddress; a++ {
		add(a)
	}
	return out, usual
}

// addressOf is the option of a driver that says where its chip is.
func addressOf(d *sensors.Driver) (sensors.Option, bool) {
	if d.Bus&sensors.I2C == 0 {
		return sensors.Option{}, false
	}
	for _, name := range []string{"address", "bridge"} {
		for _, o := range d.Options {
			if o.Name == name && o.Kind == sensors.Integer {
				return o, true
			}
		}
	}
	return sensors.Option{}, false
}

// i2cProbe looks at one bus.
type i2cProbe struct {
	*scanner
	order  []uint16
	usual  int // how many of these are asked first
	kernel map[uint16]string

	mu  sync.Mutex
	bus I2CBus
}

// result is what was found so far.
func (p *i2cProbe) result() I2CBus {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.bus
	b.Chips = slices.Clone(b.Chips)
	slices.SortFunc(b.Chips, func(a, b I2CChip) int { return int(a.Address) - int(b.Address) })
	return b
}

func (p *i2cProbe) add(c I2CChip) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bus.Chips = append(p.bus.Chips, c)
}

func (p *i2cProbe) fail(why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bus.Problem = why
}

func (p *i2cProbe) run(ctx context.Context) {
	b, err := p.Board.I2C(p.bus.Name)
	if err != nil {
		p.fail(cause(err))
		return
	}
	defer b.Close()
	for addr, driver := range p.kernel {
		p.add(I2CChip{Address: addr, Kernel: driver})
	}
	var answered, silent, held int
	var last error
	for i, addr := range p.order {
		if i > 0 && i == p.usual && answered == 0 && silent == 0 {
			break // a bus that is stuck; each address may cost a second
		}
		if ctx.Err() != nil {
			p.fail(fmt.Sprintf("%d of %d addresses were asked in %s, which is all the time there was%s", i, len(p.order), p.BusTime, saying(last)))
			return
		}
		if p.kernel[addr] != "" {
			continue
		}
		var one [1]byte
		err := b.Tx(addr, nil, one[:])
		switch {
		case err == nil:
			answered++
			chip, asked := p.identify(b, addr)
			p.add(I2CChip{Address: addr, Chip: chip, asked: asked})
		case errors.Is(err, syscall.EOPNOTSUPP):
			p.fail("left alone: " + err.Error())
			return
		case errors.Is(err, syscall.EREMOTEIO), errors.Is(err, syscall.ENXIO):
			silent++
		default:
			held++
			last = err
		}
	}
	switch {
	case answered > 0 && silent == 0 && held == 0:
		p.mu.Lock()
		p.bus.Chips = slices.DeleteFunc(p.bus.Chips, func(c I2CChip) bool { return c.Kernel == "" })
		p.mu.Unlock()
		p.fail("every address answers, so nobody does: the data line is held low, or the adapter does not see who is silent")
	case answered == 0 && silent == 0 && held > 0:
		p.fail("no address could be asked" + saying(last))
	}
}

func saying(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// identity is a chip that says in registers who it is.
type identity struct {
	low, high uint16 // its addresses
	chip      string
	driver    string // ours
	registers []idRegister
}

type idRegister struct {
	number     byte
	size       int // bytes, most significant first
	value, bit uint16
}

// identities are the chips that are asked for their id. The number of a register
// is written to them, which sets nothing in any chip that is common at these
// addresses, and at worst the channels of a PCA9548 multiplexer that no driver of
// the kernel has.
//
// Left out on purpose: TMP117 (0x48 to 0x4b, where a PCF8591 would take the
// number as its setting and switch its output off), INA226 and HDC1080 (0x40,
// where an SHT21 would be reset), VL53L0X (0x29, a reserved command of the
// TSL2561) and whatever shares an address with a PCF8574, which puts each byte
// out on its pins.
var identities = []identity{
	{0x76, 0x77, "BME280", "bme280", []idRegister{{0xd0, 1, 0x60, 0xff}}},                                  // datasheet section 5.4.1
	{0x76, 0x77, "BMP280", "bmp280", []idRegister{{0xd0, 1, 0x58, 0xff}}},                                  // datasheet section 4.3.1
	{0x76, 0x77, "BMP280", "bmp280", []idRegister{{0xd0, 1, 0x56, 0xfe}}},                                  // early samples
	{0x76, 0x77, "BMP180", "bmp180", []idRegister{{0xd0, 1, 0x55, 0xff}}},                                  // datasheet section 4.3
	{0x76, 0x77, "BME680", "bme680", []idRegister{{0xd0, 1, 0x61, 0xff}}},                                  // datasheet section 5.3.4.1
	{0x18, 0x1f, "MCP9808", "mcp9808", []idRegister{{0x06, 2, 0x0054, 0xffff}, {0x07, 2, 0x0400, 0xff00}}}, // datasheet sections 5.1.5, 5.1.6
	{0x5a, 0x5b, "CCS811", "ccs811", []idRegister{{0x20, 1, 0x81, 0xff}}},                                  // datasheet, register HW_ID
}

// identify asks a chip for its id: "" if it has none that is known. Asked is
// false if that was not tried, or failed.
func (p *i2cProbe) identify(b i2c.Bus, addr uint16) (chip string, asked bool) {
	if p.ReadOnly {
		return "", false
	}
	for _, id := range identities {
		if addr < id.low || addr > id.high {
			continue
		}
		asked = true
		is := true
		for _, r := range id.registers {
			buf := make([]byte, r.size)
			if err := b.Tx(addr, []byte{r.number}, buf); err != nil {
				return "", false
			}
			var v uint16
			for _, x := range buf {
				v = v<<8 | uint16(x)
			}
			is = is && v&r.bit == r.value
		}
		if is {
			return id.chip, true
		}
	}
	return "", asked
}

// candidates are the drivers that know a chip at this address: the one of its id
// alone, or else those whose usual address it is, then the others. A driver whose
// chip would have had an id is left out if that was asked for.
func (s *scanner) candidates(bus string, c *I2CChip) []ConfigLine {
	if c.Kernel != "" {
		return nil
	}
	var usual, other []ConfigLine
	for _, name := range s.Drivers.Names() {
		d, _ := s.Drivers.Lookup(name)
		o, ok := addressOf(d)
		if !ok || denies(c, name) {
			continue
		}
		l, ok := s.line(name, bus, [2]string{o.Name, fmt.Sprintf("0x%02x", c.Address)})
		if !ok {
			continue
		}
		if n, err := strconv.ParseUint(o.Default, 0, 16); err == nil && uint16(n) == c.Address {
			usual = append(usual, l)
		} else {
			other = append(other, l)
		}
	}
	return s.claim(append(usual, other...))
}

// denies reports whether the id of a chip, or that it has none, says that it is
// not of this driver.
func denies(c *I2CChip, driver string) bool {
	if c.Chip != "" {
		return !slices.ContainsFunc(identities, func(id identity) bool { return id.chip == c.Chip && id.driver == driver })
	}
	return c.asked && slices.ContainsFunc(identities, func(id identity) bool {
		return id.driver == driver && c.Address >= id.low && c.Address <= id.high
	})
}
