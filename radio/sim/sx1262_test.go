package sim

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"fieldgate/radio"
)

// bench1262 is a chip and the hand that holds its wires.
type bench1262 struct {
	t     *testing.T
	air   *Air
	board *Board
	chip  *SX1262
	conn  spi.Conn
}

// on1262 runs f with a chip that has started, in a bubble.
func on1262(t *testing.T, o SX1262Options, f func(b *bench1262)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench1262{t: t, air: NewAir(AirOptions{})}
		b.board = NewBoard(b.air)
		o.Name, o.Bus, o.Reset, o.Busy, o.DIO1 = "chip", "spi:0.0", "GPIO1", "GPIO2", "GPIO3"
		b.chip = b.board.AddSX1262(o)
		port, err := b.board.SPI("spi:0.0")
		if err != nil {
			t.Fatal(err)
		}
		if b.conn, err = port.Connect(2*physic.MegaHertz, spi.Mode0, 8); err != nil {
			t.Fatal(err)
		}
		b.ready()
		f(b)
	})
}

// raw writes bytes in hexadecimal and gives what comes back.
func (b *bench1262) raw(text string) []byte {
	b.t.Helper()
	var w []byte
	for _, x := range strings.Fields(text) {
		var v byte
		if _, err := fmt.Sscanf(x, "%02x", &v); err != nil {
			b.t.Fatal(text, err)
		}
		w = append(w, v)
	}
	r := make([]byte, len(w))
	if err := b.conn.Tx(w, r); err != nil {
		b.t.Fatal(err)
	}
	return r
}

// ready waits for BUSY and says how long it was high.
func (b *bench1262) ready() time.Duration {
	began := time.Now()
	for b.board.Line("GPIO2").High() {
		time.Sleep(time.Microsecond)
		synctest.Wait()
	}
	return time.Since(began)
}

// do writes several commands, with BUSY between them.
func (b *bench1262) do(commands ...string) {
	b.t.Helper()
	for _, c := range commands {
		b.ready()
		b.raw(c)
	}
	b.ready()
}

// said checks the violations since the last time.
func (b *bench1262) said(want ...string) {
	b.t.Helper()
	got := b.chip.Violations()
	b.chip.mu.Lock()
	b.chip.wrong = nil
	b.chip.mu.Unlock()
	ok := len(got) == len(want)
	for i := range min(len(got), len(want)) {
		ok = ok && strings.Contains(got[i], want[i])
	}
	if !ok {
		b.t.Errorf("violations %q, want %q", got, want)
	}
}

// The settings of a link at 868.1 MHz, SF7, 125 kHz.
var setup1262 = []string{
	"96 01", "89 7f", "98 d7 db", "80 01", "93 30", "8a 01", "86 36 41 99 9a", "95 04 07 00 01", "8e 0e 04", "8f 00 80",
	"8b 07 04 01 00", "8c 00 08 00 ff 01 00", "0d 07 36 0d", "0d 07 40 34 44", "0d 08 89 05", "0d 08 d8 de",
	"08 02 77 02 03 00 00 00 00",
}

// TestSX1262Busy has the times of table 8-2.
func TestSX1262Busy(t *testing.T) {
	on1262(t, SX1262Options{}, func(b *bench1262) {
		b.do(setup1262...)
		for _, c := range []struct {
			from, to string
			want     time.Duration
		}{
			{"80 00", "80 01", 31}, {"80 00", "c1", 50}, {"80 00", "82 ff ff ff", 83}, {"80 00", "83 00 00 00", 126},
			{"80 01", "c1", 40}, {"80 01", "82 ff ff ff", 62}, {"80 01", "83 00 00 00", 105},
			{"c1", "82 ff ff ff", 41}, {"c1", "83 00 00 00", 76}, {"82 ff ff ff", "c1", 15}, {"82 ff ff ff", "83 00 00 00", 92},
			{"80 00", "89 7f", 3500}, {"80 00", "98 d7 db", 2000}, {"80 00", "80 00", 0},
		} {
			b.do(c.from)
			b.raw(c.to)
			if got := b.ready(); got != c.want*time.Microsecond {
				b.t.Errorf("%s -> %s: %v, want %v µs", c.from, c.to, got, int(c.want))
			}
			b.do("80 00")
		}
		b.said()
		// Sleep: BUSY is high; NSS wakes the chip up, and the command is lost.
		for _, c := range []struct {
			sleep string
			want  time.Duration
			kept  bool
		}{{"84 04", 340, true}, {"84 00", 3500, false}} {
			b.raw(c.sleep)
			if b.chip.Mode() != "sleep" || !b.board.Line("GPIO2").High() {
				b.t.Errorf("%s: %s", c.sleep, b.chip.Mode())
			}
			b.raw("c0 00")
			if got := b.ready(); got != c.want*time.Microsecond || b.chip.Mode() != "standby RC" {
				b.t.Errorf("%s: %v, %s", c.sleep, got, b.chip.Mode())
			}
			if kept := b.chip.Register(0x0740) == 0x34; kept != c.kept {
				b.t.Errorf("%s: settings kept: %v", c.sleep, kept)
			}
		}
		b.said()
		// Reset.
		out, err := b.board.Output("GPIO1", false)
		if err != nil {
			b.t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		_ = out.Set(true)
		if got := b.ready(); got != 3500*time.Microsecond {
			b.t.Errorf("reset: %v", got)
		}
		_ = out.Set(false)
		time.Sleep(10 * time.Microsecond)
		_ = out.Set(true)
		b.said("reset was low for 10µs only")
	})
}

func TestSX1262Status(t *testing.T) {
	on1262(t, SX1262Options{}, func(b *bench1262) {
		if r := b.raw("c0 00"); r[1] != 0xa2 {
			b.t.Errorf("after the start: %x", r)
		}
		if r := b.raw("1d 03 20 00 00 00 00 00 00 00"); string(r[4:]) != "SX1261" {
			b.t.Errorf("%q", r)
		}
		b.do(setup1262...)
		for cmd, mode := range map[string]byte{"80 00": 2, "80 01": 3, "c1": 4, "82 ff ff ff": 5, "83 00 00 00": 6} {
			b.do(cmd)
			if r := b.raw("c0 00"); r[1]>>4&7 != mode {
				b.t.Errorf("%s: %x", cmd, r)
			}
			b.do("80 00")
		}
		b.do("80 01", "0e 10 61 62 63")
		if r := b.raw("1e 0f 00 00 00 00 00"); !bytes.Equal(r[3:], []byte{0, 'a', 'b', 'c'}) {
			b.t.Errorf("%x", r)
		}
		if r := b.raw("11 00 00"); r[2] != 1 {
			b.t.Errorf("packet type %x", r)
		}
		b.raw("99 01")
		if r := b.raw("c0 00"); r[1]>>1&7 != 4 { // processing error
			b.t.Errorf("after a wrong opcode: %x", r)
		}
		b.said("opcode 0x99")
	})
}

// TestSX1262Violations uses the chip as the datasheet forbids.
func TestSX1262Violations(t *testing.T) {
	with := func(change ...string) []string {
		out := slices.Clone(setup1262)
		for _, c := range change {
			op := c[:2]
			at := slices.IndexFunc(out, func(s string) bool { return s[:2] == op && (op != "0d" || s[3:8] == c[3:8]) })
			if len(c) == 2 || len(c) == 8 && op == "0d" { // without it
				out = slices.Delete(out, at, at+1)
			} else {
				out[at] = c
			}
		}
		return out
	}
	for _, c := range []struct {
		name     string
		o        SX1262Options
		commands []string
		want     []string
	}{
		{"right", SX1262Options{}, append(with(), "83 00 00 00"), nil},
		{"nothing set", SX1262Options{}, []string{"83 00 00 00"}, []string{"SetTx before SetPacketType", "before SetRfFrequency", "before SetModulation",
			"before SetPacketParams", "on 0 Hz", "before SetPaConfig", "before SetTxParams", "before SetBufferBase", "15.1", "15.2"}},
		{"no packet parameters", SX1262Options{}, append(with("8c"), "83 00 00 00"), []string{"SetTx before SetPacketParams"}},
		{"no packet type", SX1262Options{}, with("8a")[:7], []string{"SetRfFrequency before SetPacketType", "SetPaConfig before SetPacketType"}},
		{"wrong length", SX1262Options{}, []string{"80", "86 00", "1d 00 00"}, []string{"SetStandby with 0", "SetRfFrequency with 1", "ReadRegister with 2"}},
		{"calibration out of RC", SX1262Options{}, []string{"80 01", "89 7f", "96 01", "98 d7 db"}, []string{"Calibrate in standby XOSC", "SetRegulatorMode in standby XOSC", "CalibrateImage in standby XOSC"}},
		{"settings in RX", SX1262Options{}, append(with(), "82 ff ff ff", "8c 00 08 00 05 01 00"), []string{"SetPacketParams in RX"}},
		{"15.1", SX1262Options{}, append(with("0d 08 89 01"), "83 00 00 00"), []string{"15.1"}},
		{"15.1 with 500 kHz", SX1262Options{}, append(with("8b 07 06 01 00"), "83 00 00 00"), []string{"15.1"}},
		{"15.2", SX1262Options{}, append(with("0d 08 d8"), "83 00 00 00"), []string{"15.2"}},
		{"15.4", SX1262Options{}, append(with(), "8c 00 08 00 05 01 00", "83 00 00 00"), []string{"15.4"}},
		{"15.4 inverted", SX1262Options{}, append(with(), "8c 00 08 00 05 01 01", "82 ff ff ff"), []string{"15.4"}},
		{"low data rate", SX1262Options{}, append(with("8b 0c 04 01 00"), "82 ff ff ff"), []string{"low data rate optimisation 0"}},
		{"image", SX1262Options{}, append(with("98"), "82 ff ff ff"), []string{"the image is calibrated for 902000000"}},
		{"another chip's amplifier", SX1262Options{Model: "SX1261"}, with()[:8], []string{"SetPaConfig for another chip"}},
		{"too much power", SX1262Options{}, append(with("8e 17 04"), "83 00 00 00"), []string{"with 23 dBm"}},
		{"TCXO on, not calibrated", SX1262Options{TCXO: 1.8}, append([]string{"97 02 00 01 40"}, append(with("89"), "82 ff ff ff")...), []string{"without Calibrate"}},
		{"antenna switch", SX1262Options{TXEnable: "GPIO5", RXEnable: "GPIO6"}, append(with(), "83 00 00 00"), []string{"TX with the antenna switched elsewhere"}},
		{"DIO2", SX1262Options{DIO2Switch: true}, append(with(), "83 00 00 00"), []string{"TX with DIO2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			on1262(t, c.o, func(b *bench1262) {
				if c.name == "15.2" || c.name == "nothing set" {
					b.chip.SetRegister(0x08d8, 0xc8)
				}
				if c.name == "nothing set" {
					b.do("80 01")
				}
				b.do(c.commands...)
				time.Sleep(time.Second)
				b.said(c.want...)
			})
		})
	}
	on1262(t, SX1262Options{}, func(b *bench1262) {
		b.raw("89 7f")
		b.raw("80 00")
		b.said("command while BUSY")
	})
}

// TestSX1262Oscillator has the TCXO without its supply.
func TestSX1262Oscillator(t *testing.T) {
	on1262(t, SX1262Options{TCXO: 1.8}, func(b *bench1262) {
		errors := func() uint16 {
			r := b.raw("17 00 00 00")
			return word(r[2:])
		}
		if errors() != 0x20 {
			b.t.Error("XOSC_START_ERR is missing after the start")
		}
		b.do("07 00 00", "80 01")
		if b.chip.Mode() != "standby RC" || errors() != 0x20 {
			b.t.Errorf("%s, %x", b.chip.Mode(), errors())
		}
		b.do("97 02 00 01 40", "07 00 00")
		b.raw("89 7f")
		if got := b.ready(); got != 8500*time.Microsecond || errors() != 0 {
			b.t.Errorf("%v, %x", got, errors())
		}
		b.raw("80 01")
		if got := b.ready(); got != 5031*time.Microsecond || b.chip.Mode() != "standby XOSC" {
			b.t.Errorf("%v, %s", got, b.chip.Mode())
		}
		b.said()
	})
}

// ear1262 is an antenna that listens.
type ear1262 struct {
	l     Listening
	heard []Reception
}

func (e *ear1262) Listening() (Listening, bool) { return e.l, true }
func (e *ear1262) Hear(r Reception)             { e.heard = append(e.heard, r) }

var at1262 = radio.Tuning{Frequency: 868100000, Modulation: radio.Modulation{SF: 7, Bandwidth: 125000, CodingRate: 5}, SyncWord: radio.SyncPublic}

func TestSX1262Transmit(t *testing.T) {
	on1262(t, SX1262Options{}, func(b *bench1262) {
		e := &ear1262{l: Listening{Tuning: at1262}}
		b.air.Attach("ear", e)
		b.do(setup1262...)
		b.do("8c 00 08 00 03 01 00", "0d 07 36 0d", "0e 00 61 62 63", "c1")
		b.raw("83 00 00 00")
		began := time.Now()
		time.Sleep(time.Second)
		synctest.Wait()
		sent := b.air.Emissions()
		if len(sent) != 1 || len(e.heard) != 1 || string(e.heard[0].Payload) != "abc" || !e.heard[0].CRC || e.heard[0].Power != 14 {
			b.t.Fatalf("%+v, %+v", sent, e.heard)
		}
		if at := sent[0].Start.Sub(began); at != 76*time.Microsecond {
			b.t.Errorf("it began after %v", at)
		}
		if r := b.raw("12 00 00 00"); word(r[2:]) != irqTxDone || !b.board.Line("GPIO3").High() || b.chip.Mode() != "standby XOSC" {
			b.t.Errorf("%x, %s", r, b.chip.Mode())
		}
		b.do("02 00 01")
		if b.board.Line("GPIO3").High() {
			b.t.Error("DIO1 stays high")
		}
		// A timeout shorter than the frame ends it: nobody hears it.
		b.do("c1")
		b.raw("83 00 02 80") // 10 ms
		time.Sleep(time.Second)
		synctest.Wait()
		if r := b.raw("12 00 00 00"); word(r[2:]) != irqTimeout || len(e.heard) != 1 {
			b.t.Errorf("%x, %d heard", r, len(e.heard))
		}
		b.said()
	})
}

func TestSX1262Receive(t *testing.T) {
	on1262(t, SX1262Options{}, func(b *bench1262) {
		node := b.air.Attach("node", nil)
		send := func(n int) {
			end := node.Send(Emission{Payload: bytes.Repeat([]byte{'z'}, n), Frequency: at1262.Frequency, Modulation: at1262.Modulation, SyncWord: 0x34, CRC: true, Power: 14})
			time.Sleep(time.Until(end) + time.Millisecond)
			synctest.Wait()
		}
		b.do(setup1262...)
		b.do("82 ff ff ff")
		at := byte(0x80) // the base address
		for i, n := range []int{5, 200, 255, 0} {
			send(n)
			r := b.raw("13 00 00 00")
			if r[1]>>1&7 != cmdData || r[2] != byte(n) || r[3] != at {
				b.t.Errorf("frame %d: %x, want %d from %d", i, r, n, at)
			}
			at += byte(n)
			if got := word(b.raw("12 00 00 00")[2:]); got&(irqRxDone|irqHeaderValid) != irqRxDone|irqHeaderValid {
				b.t.Errorf("interrupts %x", got)
			}
			b.do("02 ff ff")
		}
		if r := b.raw("10 00 00 00 00 00 00 00"); word(r[2:]) != 4 || word(r[4:]) != 0 {
			b.t.Errorf("%x", r)
		}
		if r := b.raw("14 00 00 00 00"); r[2] != 172 || r[3] != 124 || r[4] != 172 { // -86 dBm, 31 dB
			b.t.Errorf("%v", r)
		}
		// Longer than SetPacketParams allows.
		b.do("80 01", "8c 00 08 00 10 01 00", "0d 07 36 0d", "82 ff ff ff")
		send(20)
		if got := word(b.raw("12 00 00 00")[2:]); got&(irqRxDone|irqHeaderErr) != irqHeaderErr {
			b.t.Errorf("interrupts %x", got)
		}
		b.do("02 ff ff")
		// Single: one frame, then standby. The second one is not heard.
		b.do("80 01", "82 00 00 00")
		send(3)
		send(3)
		if r := b.raw("10 00 00 00 00 00 00 00"); word(r[2:]) != 5 || word(r[6:]) != 1 || b.chip.Mode() != "standby XOSC" {
			b.t.Errorf("%x, %s", r, b.chip.Mode())
		}
		// With a timeout: nothing comes within 10 ms.
		b.do("02 ff ff", "82 00 02 80")
		time.Sleep(9 * time.Millisecond)
		if b.chip.Mode() != "RX" {
			b.t.Error(b.chip.Mode())
		}
		time.Sleep(2 * time.Millisecond)
		if got := word(b.raw("12 00 00 00")[2:]); got != irqTimeout || b.chip.Mode() != "standby XOSC" {
			b.t.Errorf("interrupts %x, %s", got, b.chip.Mode())
		}
		// A frame that begins in time stops it.
		b.do("02 ff ff", "82 00 02 80")
		send(9)
		if got := word(b.raw("12 00 00 00")[2:]); got&(irqRxDone|irqTimeout) != irqRxDone {
			b.t.Errorf("interrupts %x", got)
		}
		b.said()
	})
}
