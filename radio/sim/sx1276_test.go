package sim

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/spi"

	"fieldgate/radio"
)

// bench is a chip whose registers are written by hand.
type bench struct {
	t     *testing.T
	air   *Air
	board *Board
	chip  *SX1276
	conn  spi.Conn
	other *Antenna
	ear   *ear
}

// onBench runs f with a chip in LoRa standby with right settings for channel.
func onBench(t *testing.T, f func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, air: NewAir(AirOptions{}), ear: &ear{}}
		b.board = NewBoard(b.air)
		b.chip = b.board.AddSX1276(SX1276Options{Name: "chip", Bus: "spi:0.0", Reset: "RST", DIO0: "DIO0", DIO1: "DIO1"})
		b.other = b.air.Attach("other", b.ear)
		time.Sleep(10 * time.Millisecond)
		b.conn = dial(t, b.board, "spi:0.0", spi.Mode0)
		for _, w := range [][]byte{
			{0x01, 0x00}, {0x01, 0x80}, {0x01, 0x81}, {0x06, 0xd9, 0x06, 0x66}, {0x09, 0xfc}, {0x0e, 0, 0}, {0x1d, 0x72, 0x74},
			{0x2f, 0x40, 0x00, 0x43}, {0x39, 0x34},
		} {
			b.w(w...)
		}
		f(b)
	})
}

func (b *bench) w(w ...byte)          { b.t.Helper(); poke(b.t, b.conn, w[0], w[1:]...) }
func (b *bench) r(addr byte) byte     { b.t.Helper(); return peek(b.t, b.conn, addr) }
func (b *bench) dio(n int) bool       { return b.board.Line(fmt.Sprintf("DIO%d", n)).High() }
func (b *bench) wait(d time.Duration) { time.Sleep(d); synctest.Wait() }

// is fails unless registers have these values.
func (b *bench) is(regs map[byte]byte) {
	b.t.Helper()
	for a, v := range regs {
		if got := b.r(a); got != v {
			b.t.Errorf("register 0x%02x is 0x%02x, want 0x%02x", a, got, v)
		}
	}
}

// only fails unless these are the violations.
func (b *bench) only(want ...string) {
	b.t.Helper()
	got := b.chip.Violations()
	if len(got) != len(want) {
		b.t.Fatalf("violations %q, want %q", got, want)
	}
	for i, w := range want {
		if !strings.Contains(got[i], w) {
			b.t.Errorf("violation %q, want %q", got[i], w)
		}
	}
}

func TestSX1276Reset(t *testing.T) {
	onBench(t, func(b *bench) {
		// Values after a reset: datasheet, register tables.
		reset, err := b.board.Output("RST", false)
		if err != nil {
			t.Fatal(err)
		}
		b.wait(time.Millisecond)
		if err := reset.Set(true); err != nil {
			t.Fatal(err)
		}
		b.wait(5 * time.Millisecond)
		b.is(map[byte]byte{0x01: 0x09, 0x06: 0x6c, 0x07: 0x80, 0x08: 0, 0x09: 0x4f, 0x0b: 0x2b, 0x0c: 0x20, 0x42: 0x12, 0x4d: 0x84, 0x39: 0, 0x3b: 0x82})
		b.w(0x01, 0x08)
		b.w(0x01, 0x88)
		b.is(map[byte]byte{0x01: 0x88, 0x0e: 0x80, 0x1d: 0x72, 0x1e: 0x70, 0x22: 1, 0x23: 0xff, 0x31: 0xc3, 0x33: 0x27, 0x37: 0x0a, 0x39: 0x12, 0x3b: 0x1d})
		b.w(0x01, 0xc9) // shared registers: the FSK page
		b.is(map[byte]byte{0x3b: 0x82})
		b.only()
		// Too short, then too early.
		if err := reset.Set(false); err != nil {
			t.Fatal(err)
		}
		b.r(0x42)
		if err := reset.Set(true); err != nil {
			t.Fatal(err)
		}
		if err := reset.Set(false); err != nil {
			t.Fatal(err)
		}
		b.wait(time.Millisecond)
		if err := reset.Set(true); err != nil {
			t.Fatal(err)
		}
		b.r(0x42)
		b.only("during reset", "reset was low for 0s", "before the chip is ready")
	})
}

func TestSX1276FIFO(t *testing.T) {
	onBench(t, func(b *bench) {
		b.w(0x0d, 0xfe)
		b.w(0x00, 1, 2, 3, 4) // wraps, and stays at the FIFO
		b.is(map[byte]byte{0x0d: 0x02})
		b.w(0x0d, 0xff)
		r := make([]byte, 4)
		if err := b.conn.Tx(make([]byte, 4), r); err != nil || !slices.Equal(r[1:], []byte{2, 3, 4}) {
			t.Errorf("% x, %v", r, err)
		}
		b.only()
		b.w(0x01, 0x80)
		b.w(0x00, 5)
		b.w(0x01, 0x81)
		b.w(0x0d, 0)
		if v := b.r(0x00); v != 0 { // sleep clears it
			t.Errorf("%d", v)
		}
		b.only("FIFO access in sleep")
	})
}

func TestSX1276Modes(t *testing.T) {
	onBench(t, func(b *bench) {
		b.w(0x01, 0x01) // not in sleep
		b.is(map[byte]byte{0x01: 0x81})
		b.w(0x06, 0xe4, 0xc0) // not latched without the lowest byte
		b.w(0x01, 0x83)
		if s := b.air.Emissions()[0]; s.Frequency != 868099976 {
			t.Errorf("%d Hz", s.Frequency)
		}
		b.w(0x08, 0x00)
		b.w(0x1d, 0x72)
		b.w(0x16, 0x72)
		b.w(0x42, 0x55) // for reading only
		b.only("LongRangeMode changed in mode 1", "0x08 in mode 3", "0x1d in mode 3", "write to register 0x16", "write to register 0x42")
		b.is(map[byte]byte{0x42: 0x12})
	})
}

func TestSX1276Transmit(t *testing.T) {
	onBench(t, func(b *bench) {
		b.w(0x40, 0x40)
		b.w(0x0d, 0)
		b.w(0x00, 'h', 'e', 'l', 'l', 'o')
		b.w(0x22, 5)
		b.ear.tune(channel)
		b.w(0x01, 0x83)
		b.wait(30975 * time.Microsecond)
		b.is(map[byte]byte{0x01: 0x83, 0x12: 0x00})
		if b.dio(0) {
			t.Error("DIO0 is high")
		}
		b.wait(time.Microsecond)
		b.is(map[byte]byte{0x01: 0x81, 0x12: 0x08})
		if !b.dio(0) || b.dio(1) {
			t.Error("DIO0 is low")
		}
		b.w(0x12, 0x08)
		if b.is(map[byte]byte{0x12: 0}); b.dio(0) {
			t.Error("DIO0 is high")
		}
		got := b.ear.take()
		if len(got) != 1 || string(got[0].Payload) != "hello" || got[0].Power != 14 || !got[0].CRC || got[0].InvertIQ || got[0].Preamble != 8 {
			t.Errorf("%+v", got)
		}
		// Inverted, without CRC, from another base; 20 dBm; masked.
		b.w(0x33, 0x26)
		b.w(0x3b, 0x19)
		b.w(0x1e, 0x70)
		b.w(0x0e, 4)
		b.w(0x22, 1)
		b.w(0x09, 0xff)
		b.w(0x4d, 0x87)
		b.w(0x0b, 0x31)
		b.w(0x11, 0x08)
		b.w(0x01, 0x83)
		b.wait(time.Second)
		s := b.air.Emissions()[1]
		if string(s.Payload) != "o" || !s.InvertIQ || s.CRC || s.Power != 20 {
			t.Errorf("%+v", s)
		}
		b.is(map[byte]byte{0x12: 0, 0x01: 0x81})
		// Cut off by another mode.
		b.w(0x01, 0x83)
		b.wait(time.Millisecond)
		b.w(0x01, 0x81)
		b.wait(time.Second)
		b.is(map[byte]byte{0x12: 0})
		b.only()
	})
}

func TestSX1276Receive(t *testing.T) {
	onBench(t, func(b *bench) {
		b.w(0x01, 0x85)
		send := func(payload string, change func(*Emission)) {
			e := on(channel, payload, -10)
			if change != nil {
				change(&e)
			}
			b.wait(time.Until(b.other.Send(e)))
		}
		end := b.other.Send(on(channel, "hello", -10))
		b.wait(13 * time.Millisecond) // the preamble has 12.5
		b.is(map[byte]byte{0x12: 0, 0x18: 7})
		b.wait(8 * time.Millisecond)
		b.is(map[byte]byte{0x12: 0x10, 0x1c: 0x40, 0x18: 0x27})
		b.wait(time.Until(end))
		b.is(map[byte]byte{0x12: 0x50, 0x10: 0, 0x13: 5, 0x25: 5, 0x19: 28, 0x1a: 44, 0x15: 1, 0x17: 1, 0x1c: 0x40, 0x01: 0x85, 0x18: 0x20, 0x1b: 40})
		if !b.dio(0) {
			t.Error("DIO0 is low")
		}
		send("without a checksum", func(e *Emission) { e.CRC = false })
		b.is(map[byte]byte{0x12: 0x50, 0x10: 5, 0x13: 18, 0x25: 23, 0x1c: 0, 0x17: 2})
		b.w(0x0d, 5)
		r := make([]byte, 19)
		if err := b.conn.Tx(make([]byte, 19), r); err != nil || string(r[1:]) != "without a checksum" {
			t.Errorf("%q, %v", r[1:], err)
		}
		b.w(0x12, 0xff)
		if b.dio(0) {
			t.Error("DIO0 is high")
		}
		// Corrupted.
		third := b.air.Attach("third", nil)
		e := on(channel, "collided", -10)
		third.Send(e)
		b.wait(15 * time.Millisecond)
		send("x", nil)
		b.is(map[byte]byte{0x12: 0x70, 0x15: 3, 0x17: 2})
		b.w(0x12, 0xff)
		// Not for this chip: too long, without a header, masked.
		b.w(0x23, 4)
		send("hello", nil)
		b.w(0x23, 255)
		send("hello", func(e *Emission) { e.Implicit = true })
		b.w(0x11, 0x50)
		send("hello", nil)
		b.is(map[byte]byte{0x12: 0})
		b.only()
		// 1000 Hz below and above us: FEI 7629 and -7629.
		send("hello", func(e *Emission) { e.Frequency = 868099976 - 1000 })
		b.is(map[byte]byte{0x28: 0, 0x29: 0x1d, 0x2a: 0xcd})
		send("hello", func(e *Emission) { e.Frequency = 868099976 + 1000 })
		b.is(map[byte]byte{0x28: 0x0f, 0x29: 0xe2, 0x2a: 0x33})
		// Below the noise: -7 dB.
		send("hello", func(e *Emission) { e.Power = -24 })
		b.is(map[byte]byte{0x19: 0xe4, 0x1a: 40})
	})
}

// TestSX1276Single has RXSINGLE: a frame, and a time-out of 5 symbols.
func TestSX1276Single(t *testing.T) {
	onBench(t, func(b *bench) {
		b.w(0x1f, 5)
		b.w(0x01, 0x86)
		b.wait(5*channel.Symbol() + time.Microsecond)
		b.is(map[byte]byte{0x12: 0x80, 0x01: 0x81})
		if !b.dio(1) {
			t.Error("DIO1 is low")
		}
		b.w(0x12, 0xff)
		b.w(0x01, 0x86)
		b.wait(time.Millisecond)
		b.wait(time.Until(b.other.Send(on(channel, "hello", 0))))
		b.is(map[byte]byte{0x12: 0x50, 0x01: 0x81, 0x13: 5})
		b.only()
	})
}

func TestSX1276CAD(t *testing.T) {
	onBench(t, func(b *bench) {
		b.w(0x40, 0xa0)
		b.w(0x01, 0x87)
		b.wait(2*channel.Symbol() + time.Microsecond)
		b.is(map[byte]byte{0x12: 0x04, 0x01: 0x81})
		if !b.dio(0) || b.dio(1) {
			t.Error("DIO0 is low, or DIO1 high")
		}
		b.w(0x12, 0xff)
		b.other.Send(on(channel, "hello", 0))
		b.w(0x01, 0x87)
		b.wait(2*channel.Symbol() + time.Microsecond)
		b.is(map[byte]byte{0x12: 0x05})
		if !b.dio(0) || !b.dio(1) {
			t.Error("DIO0 or DIO1 is low")
		}
	})
}

// TestSX1276Implicit has SF6, both ways.
func TestSX1276Implicit(t *testing.T) {
	onBench(t, func(b *bench) {
		c := channel
		c.SF = 6
		b.w(0x1d, 0x73, 0x64)
		b.w(0x31, 0x45)
		b.w(0x37, 0x0c)
		b.w(0x22, 5)
		b.w(0x01, 0x85)
		e := on(c, "hello world", 0)
		e.Implicit = true
		b.wait(time.Until(b.other.Send(e)))
		b.is(map[byte]byte{0x12: 0x40, 0x13: 5, 0x1c: 0x40}) // no header, own length and checksum
		b.w(0x01, 0x81)
		b.ear.tune(c)
		b.w(0x01, 0x83)
		b.wait(time.Second)
		if got := b.ear.take(); len(got) != 1 || !got[0].Implicit || got[0].SF != 6 || string(got[0].Payload) != "hello" {
			t.Errorf("%+v", got)
		}
		b.only()
	})
}

// TestSX1276Calibration has it take 10 ms, in FSK standby only.
func TestSX1276Calibration(t *testing.T) {
	onBench(t, func(b *bench) {
		b.w(0x01, 0x80)
		b.w(0x01, 0x00)
		b.w(0x3b, 0x42)
		b.is(map[byte]byte{0x3b: 0x02})
		b.only("image calibration in mode 0")
		b.w(0x01, 0x01)
		b.w(0x3b, 0x42)
		b.wait(9 * time.Millisecond)
		b.is(map[byte]byte{0x3b: 0x22})
		b.wait(time.Millisecond)
		b.is(map[byte]byte{0x3b: 0x02})
	})
}

// TestSX1276Checks has each wrong setting on record.
func TestSX1276Checks(t *testing.T) {
	for want, w := range map[string][][]byte{
		"LowFrequencyModeOn is true at 868099976": {{0x01, 0x89}, {0x01, 0x8d}},
		"LowFrequencyModeOn is false at 434":      {{0x06, 0x6c, 0x80, 0x00}, {0x01, 0x85}},
		"LowDataRateOptimize is false for SF12":   {{0x1e, 0xc4}, {0x01, 0x83}},
		"LowDataRateOptimize is true for SF7":     {{0x26, 0x08}, {0x01, 0x83}},
		"detection is not set for SF7":            {{0x37, 0x0c}, {0x01, 0x85}},
		"SF6 with a header":                       {{0x1e, 0x64}, {0x31, 0x45}, {0x37, 0x0c}, {0x01, 0x85}},
		"InvertIQ2 is 0x1d, not 0x19":             {{0x33, 0x26}, {0x01, 0x83}},
		"InvertIQ2 is 0x19, not 0x1d":             {{0x3b, 0x19}, {0x01, 0x85}},
		"errata 2.1: not optimized":               {{0x1d, 0x92}, {0x2f, 0x20, 0, 0xc3}, {0x36, 0x03}, {0x01, 0x85}},
		"errata 2.1: HighBwOptimize1":             {{0x36, 0x02}, {0x01, 0x83}},
		"errata 2.3":                              {{0x31, 0xc3}, {0x01, 0x85}},
		"limited to 100 mA":                       {{0x09, 0xff}, {0x4d, 0x87}, {0x01, 0x83}},
		"with a lower power":                      {{0x09, 0xf5}, {0x4d, 0x87}, {0x0b, 0x31}, {0x01, 0x83}},
		"without PA_BOOST":                        {{0x09, 0x7f}, {0x4d, 0x87}, {0x0b, 0x31}, {0x01, 0x83}},
		"empty payload":                           {{0x22, 0}, {0x01, 0x83}},
	} {
		onBench(t, func(b *bench) {
			for _, v := range w {
				b.w(v...)
			}
			b.only(want)
		})
	}
}

// TestSX1276Narrow has errata 2.3: the receiver is below what is set.
func TestSX1276Narrow(t *testing.T) {
	onBench(t, func(b *bench) {
		c := radio.Tuning{Frequency: 868099976 - 31250, Modulation: radio.Modulation{SF: 7, Bandwidth: 31250, CodingRate: 5}, SyncWord: 0x34}
		b.w(0x1d, 0x42)
		b.w(0x2f, 0x44, 0, 0x43)
		b.w(0x01, 0x85)
		b.wait(time.Until(b.other.Send(on(c, "hello", 0))))
		b.is(map[byte]byte{0x12: 0x50})
		b.only()
	})
}

func TestSX1276Record(t *testing.T) {
	onBench(t, func(b *bench) {
		b.chip.Record()
		b.w(0x06, 1, 2, 3)
		b.r(0x42)
		b.w(0x42) // nothing but an address
		var got bytes.Buffer
		for _, a := range b.chip.Recorded() {
			fmt.Fprintln(&got, a)
		}
		if got.String() != "W 06 01 02 03\nR 42 12\nW 42 \n" || len(b.chip.Recorded()) != 0 {
			t.Errorf("%s", got.String())
		}
		b.chip.Poke(0x42, 0x55)
		if b.chip.Peek(0x42) != 0x55 || b.r(0x42) != 0x55 {
			t.Error("not poked")
		}
	})
}

// FuzzSX1276 writes anything: no panic, and time goes on.
func FuzzSX1276(f *testing.F) {
	f.Add([]byte{0x81, 0x00, 0x81, 0x80, 0x81, 0x81, 0x81, 0x83})
	f.Add([]byte{0x81, 0x80, 0x81, 0x85, 0x00, 0x00, 0x81, 0x86, 0x81, 0x87})
	f.Add(bytes.Repeat([]byte{0xff}, 100))
	f.Fuzz(func(t *testing.T, script []byte) {
		onBench(t, func(b *bench) {
			for len(script) > 1 {
				n := min(1+int(script[0]&7), len(script))
				w := append([]byte{script[1]}, script[:n]...)
				script = script[n:]
				if err := b.conn.Tx(w, make([]byte, len(w))); err != nil {
					t.Fatal(err)
				}
				b.other.Send(on(channel, "hello", 0))
				b.wait(time.Duration(w[0]) * time.Millisecond)
			}
			// A frame of SF12 with 7.8 kHz takes minutes.
			b.chip.Unplug()
		})
	})
}
