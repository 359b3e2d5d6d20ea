package sx127x

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"fieldgate/radio"
)

// hostile is a board whose bus answers with the bytes of a script, over and over,
// after it has been honest about some registers.
type hostile struct {
	script []byte
	at     int
	honest int // accesses that are answered with what was written
	regs   [0x80]byte
}

func (h *hostile) SPI(string) (spi.PortCloser, error)        { return h, nil }
func (h *hostile) Output(string, bool) (radio.Output, error) { return h, nil }
func (h *hostile) Input(string, bool) (radio.Input, error)   { return h, nil }
func (h *hostile) String() string                            { return "hostile" }
func (h *hostile) Close() error                              { return nil }
func (h *hostile) LimitSpeed(physic.Frequency) error         { return nil }
func (h *hostile) Set(bool) error                            { return nil }
func (h *hostile) Level() (bool, error)                      { return false, nil }
func (h *hostile) Duplex() conn.Duplex                       { return conn.Full }
func (h *hostile) TxPackets([]spi.Packet) error              { return errors.ErrUnsupported }
func (h *hostile) Next(ctx context.Context) (time.Time, error) {
	<-ctx.Done()
	return time.Time{}, ctx.Err()
}
func (h *hostile) Connect(physic.Frequency, spi.Mode, int) (spi.Conn, error) {
	return h, nil
}

func (h *hostile) Tx(w, r []byte) error {
	a := int(w[0] & 0x7f)
	for i := range w[1:] {
		switch {
		case w[0]&0x80 != 0:
			h.regs[(a+i)&0x7f] = w[1+i]
		case h.honest > 0:
			r[1+i] = h.regs[(a+i)&0x7f]
		case len(h.script) > 0:
			r[1+i] = h.script[h.at%len(h.script)]
			h.at++
		}
	}
	h.honest--
	if h.regs[regImageCal]&0x40 != 0 {
		h.regs[regImageCal] = 0
	}
	return nil
}

// FuzzHostile has the chip answer with anything: no panic, no hang.
func FuzzHostile(f *testing.F) {
	f.Add([]byte{0}, 0)
	f.Add([]byte{0xff}, 0)
	f.Add([]byte{0x12}, 0)
	f.Add([]byte{0x87, 0x40}, 100)                                                    // frames without end
	f.Add([]byte{0x87, 0x50, 0xff, 0x87, 0x70, 0xff, 1, 1, 1, 1, 0xff, 0x80, 0}, 100) // of 255 bytes
	f.Add([]byte{0x87, 0x00, 0x87, 0x08, 0x87, 0x48, 0x00, 0x87, 0x40, 0x00}, 86)     // lengths of 0
	f.Add(bytes.Repeat([]byte{0x12, 0x85, 0x23, 0, 0, 0x87, 1, 0xff, 0, 0}, 30), 90)  // half of a chip
	f.Fuzz(func(t *testing.T, script []byte, honest int) {
		synctest.Test(t, func(t *testing.T) {
			h := &hostile{script: script, honest: min(max(honest, 0), 1000)}
			h.regs[regVersion] = 0x12
			r, err := New(Config{Name: "gw", Bus: "spi:0.0", ChipSelect: "GPIO25", Reset: "GPIO17", IRQ: "GPIO4", Tuning: channel, Board: h})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			done := make(chan struct{})
			go func() {
				defer close(done)
				time.Sleep(100 * time.Millisecond)
				tx := &radio.Transmission{Payload: []byte{1}, Frequency: 868100000, Modulation: channel.Modulation, Power: 14, Immediately: true}
				_ = r.Send(ctx, tx)
			}()
			frames := 0
			if err := r.Run(ctx, func(f *radio.Frame) {
				if len(f.Payload) == 0 || len(f.Payload) > radio.MaxPayload {
					t.Errorf("a frame of %d bytes", len(f.Payload))
				}
				frames++
			}); err != nil {
				t.Error(err)
			}
			cancel()
			<-done
			if frames > 10000 {
				t.Errorf("%d frames in 20 s", frames)
			}
		})
	})
}
