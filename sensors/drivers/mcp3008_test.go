package drivers

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"periph.io/x/conn/v3/conntest"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"fieldgate/sensors"
)

// mcp3008IO is a conversion. The upper bits of high, but the last three, are
// those before the chip drives its data line. After the code comes the code again,
// lowest bit first, without B0.
func mcp3008IO(control, high, low byte) conntest.IO {
	code, again := int(high&7)<<8|int(low), 0
	for n := 1; n <= 9; n++ {
		again = again<<1 | code>>n&1
	}
	return mcp3008Raw(control, high&0xf8, high, low, byte(again>>1), byte(again<<7))
}

// mcp3008Raw is a conversion with what is read as bytes.
func mcp3008Raw(control byte, r ...byte) conntest.IO {
	return conntest.IO{W: []byte{0x01, control << 4, 0, 0, 0}, R: r}
}

// mcp3008Others are conversions of the given inputs that read 0.
func mcp3008Others(inputs ...byte) []conntest.IO {
	var ops []conntest.IO
	for _, n := range inputs {
		ops = append(ops, mcp3008IO(8|n, 0, 0))
	}
	return ops
}

// mcp3008Port plays traffic back and remembers how it was opened.
type mcp3008Port struct {
	ops    []conntest.IO
	clock  physic.Frequency
	mode   spi.Mode
	bits   int
	closed bool
	fail   error
	left   *conntest.Playback
}

func (p *mcp3008Port) Connect(f physic.Frequency, mode spi.Mode, bits int) (spi.Conn, error) {
	p.clock, p.mode, p.bits = f, mode, bits
	p.left = &conntest.Playback{Ops: p.ops, DontPanic: true}
	return mcp3008Conn{p.left}, p.fail
}
func (p *mcp3008Port) LimitSpeed(physic.Frequency) error { return nil }
func (p *mcp3008Port) String() string                    { return "port" }
func (p *mcp3008Port) Close() error                      { p.closed = true; return nil }

type mcp3008Conn struct{ *conntest.Playback }

func (mcp3008Conn) TxPackets([]spi.Packet) error { return errors.ErrUnsupported }

// mcp3008Bench is a board with one SPI port.
type mcp3008Bench struct {
	*bench
	port *mcp3008Port
}

func (b mcp3008Bench) SPI(string) (spi.PortCloser, error) { return b.port, nil }

func TestMCP3008(t *testing.T) {
	for _, c := range []struct {
		name    string
		written map[string]string
		ops     []conntest.IO
		want    string
	}{
		{"half", nil, []conntest.IO{mcp3008IO(8, 0x02, 0x00)}, "voltage=1.650"},
		{"highest code", map[string]string{"channel": "7"}, []conntest.IO{mcp3008IO(15, 0x03, 0xff)}, "voltage=3.297"},
		{"line pulled up", map[string]string{"channel": "1", "vref": "5"}, []conntest.IO{mcp3008IO(9, 0xf9, 0x00)}, "voltage=1.250"},
		{"0 V, line pulled up", nil, []conntest.IO{mcp3008IO(8, 0xf8, 0x00)}, "voltage=0.000"},
		{"0 V, another input is not", map[string]string{"channel": "2"},
			append(mcp3008Others(2, 0, 1), mcp3008IO(11, 0, 1)), "voltage=0.000"},
		{"pair", map[string]string{"channel": "4-5"}, []conntest.IO{mcp3008IO(4, 0x00, 0x40)}, "voltage=0.206"},
		{"pair, other way round", map[string]string{"channel": "5-4"}, []conntest.IO{mcp3008IO(5, 0x00, 0x00), mcp3008IO(8, 1, 0)}, "voltage=0.000"},
		{"mcp3004", map[string]string{"channel": "3", "model": "mcp3004"}, []conntest.IO{mcp3008IO(11, 0x02, 0x8a)}, "voltage=2.095"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &mcp3008Port{ops: c.ops}
			got, err := measure(t, mcp3008Bench{&bench{}, p}, "mcp3008", c.written)
			if err != nil || got != c.want {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
			if p.left.Count != len(c.ops) || !p.closed {
				t.Errorf("%d of %d transactions, closed %v", p.left.Count, len(c.ops), p.closed)
			}
			if p.clock != physic.MegaHertz || p.mode != spi.Mode0 || p.bits != 8 {
				t.Errorf("%s, mode %s, %d bits", p.clock, p.mode, p.bits)
			}
		})
	}
}

func TestMCP3008Refused(t *testing.T) {
	for _, c := range []struct {
		name    string
		written map[string]string
		ops     []conntest.IO
		want    string
	}{
		{"only ones", nil, []conntest.IO{mcp3008Raw(8, 0xff, 0xff, 0xff, 0xff, 0xff)}, errAllOnes.Error()},
		{"null bit", nil, []conntest.IO{mcp3008IO(8, 0x04, 0x12)}, "null bit"},
		{"noise", nil, []conntest.IO{mcp3008Raw(8, 0x31, 0x42, 0x5a, 0x12, 0x00)}, "the second time"},
		{"bits after the end", nil, []conntest.IO{mcp3008Raw(8, 0xf8, 0xf9, 0x01, 0x01, 0x01)}, "the second time"},
		{"one bit turned over", nil, []conntest.IO{mcp3008Raw(8, 0xf8, 0xf9, 0x01, 0x01, 0x80)}, "the second time"},
		{"only zeros", nil, mcp3008Others(0, 1, 2, 3, 4, 5, 6, 7), "only zeros from all inputs"},
		{"only zeros, mcp3004", map[string]string{"channel": "1", "model": "mcp3004"}, mcp3008Others(1, 0, 2, 3), "only zeros from all inputs"},
		{"only zeros, pair", map[string]string{"channel": "0-1"}, append([]conntest.IO{mcp3008IO(0, 0, 0)}, mcp3008Others(0, 1, 2, 3, 4, 5, 6, 7)...), "only zeros from all inputs"},
		{"ones while looking at others", nil, append(mcp3008Others(0, 1), mcp3008Raw(10, 0xff, 0xff, 0xff, 0xff, 0xff)), errAllOnes.Error()},
		{"transaction fails", nil, nil, "unexpected Tx"},
		{"transaction fails while looking at others", nil, mcp3008Others(0, 1), "unexpected Tx"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &mcp3008Port{ops: c.ops}
			got, err := measure(t, mcp3008Bench{&bench{}, p}, "mcp3008", c.written)
			if err == nil || got != "" || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "mcp3008 at spi:0.0") {
				t.Errorf("%q, %v", got, err)
			}
			if p.left.Count != len(c.ops) || !p.closed {
				t.Errorf("%d of %d transactions, closed %v", p.left.Count, len(c.ops), p.closed)
			}
		})
	}
	p := &mcp3008Port{fail: errors.ErrUnsupported}
	if _, err := attach(t, mcp3008Bench{&bench{}, p}, "mcp3008", nil); !errors.Is(err, errors.ErrUnsupported) || !p.closed {
		t.Errorf("connect fails: %v, closed %v", err, p.closed)
	}
}

// Datasheet equation 4-2, and table 5-2.
func TestMCP3008Datasheet(t *testing.T) {
	for code, want := range map[uint16]float64{0: 0, 1: 0.0048828125, 512: 2.5, 1023: 4.9951171875} {
		m := &mcp3008{spiChip: &spiChip{conn: mcp3008Conn{&conntest.Playback{DontPanic: true,
			Ops: []conntest.IO{mcp3008IO(8, 0xf8|byte(code>>8), byte(code))}}}}, control: 8, inputs: 8, vref: 5}
		if got, err := m.volts(); err != nil || got != want {
			t.Errorf("code %d: %v V, %v", code, got, err)
		}
	}
	d, _ := sensors.Builtin().Lookup("mcp3008")
	channels := d.Options[slices.IndexFunc(d.Options, func(o sensors.Option) bool { return o.Name == "channel" })].Choices
	controls := []byte{8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7}
	for i, channel := range channels {
		if got := mcp3008Control(channel); got != controls[i] {
			t.Errorf("%s: %d", channel, got)
		}
	}
	for _, channel := range []string{"4", "7-6"} {
		if _, wrong := d.Parse(map[string]string{"model": "mcp3004", "channel": channel}); len(wrong) != 1 || wrong[0].Option != "channel" {
			t.Errorf("mcp3004 input %s: %v", channel, wrong)
		}
	}
}

func FuzzMCP3008(f *testing.F) {
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 0, 0, 0, 0})
	f.Add([]byte{0xff, 0xfb, 0xff, 0xff, 0x80})
	f.Fuzz(func(t *testing.T, raw []byte) {
		var r [5]byte
		copy(r[:], raw)
		code, sure, err := mcp3008Decode(r)
		if code > 1023 || err != nil && (code != 0 || sure) || err == nil && r[1]&4 != 0 || err == nil && code != 0 && !sure {
			t.Errorf("% x: %d, %v, %v", r, code, sure, err)
		}
	})
}
