package sx126x

import (
	"testing"
	"time"

	"fieldgate/radio"
)

// setupCommands are those of an SX1262 with a crystal. The sections are those of
// DS.SX1261-2 revision 2.1.
const setupCommands = `
	80 00                      # SetStandby RC (13.1.2)
	1D 03 20 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 # ReadRegister 0x0320: which chip
	96 01                      # SetRegulatorMode DC-DC (13.1.11)
	07 00 00                   # ClearDeviceErrors (13.6.2)
	89 7F                      # Calibrate all (13.1.12)
	98 D7 DB                   # CalibrateImage 863-870 MHz (9.2.1)
	17 00 00 00                # GetDeviceErrors (13.6.1)
	9D 01                      # SetDIO2AsRfSwitchCtrl (13.3.5)
	80 01                      # SetStandby XOSC (13.1.2)
	93 30                      # SetRxTxFallbackMode XOSC (13.1.15)
	8A 01                      # SetPacketType LoRa (13.4.2)
	95 04 07 00 01             # SetPaConfig +22 dBm of an SX1262 (13.1.14.1)
	0D 08 E7 38                # OCP 140 mA (table 5-2)
	8E 16 04                   # SetTxParams +22 dBm, ramp 200 µs (13.4.4)
	8F 00 00                   # SetBufferBaseAddress (13.4.8)
	0D 07 40 34 44             # sync word of public networks (table 12-1)
	0D 08 AC 96                # receiver gain boosted (9.6)
	00 00 00 00 00 00 00       # ResetStats (13.5.6)
	08 02 63 02 03 00 00 00 00 # SetDioIrqParams: TxDone RxDone HeaderErr CrcErr Timeout (13.3.1)
	1D 08 D8 00 00             # 15.2
	0D 08 D8 DE
	86 36 41 99 9A             # SetRfFrequency 868.1 MHz (13.4.1)
	8B 07 04 01 00             # SetModulationParams SF7 125 kHz 4/5 (13.4.5.2)
`

// receiveCommands begin the reception.
const receiveCommands = `
	8C 00 08 00 FF 01 00       # SetPacketParams: 8 symbols, header, 255 bytes, CRC, standard IQ (13.4.6.2)
	1D 07 36 00 00             # 15.4
	0D 07 36 0D
	02 43 FF                   # ClearIrqStatus (13.3.4)
	82 FF FF FF                # SetRx continuous (13.1.5)
`

func TestSetup(t *testing.T) {
	bubble(t, "all lines", func(t *testing.T) {
		r := newRig(t, wiring)
		r.run()
		sameCommands(t, r.commands(0), setupCommands+receiveCommands)
		r.clean()
		if s := r.status(); s.State != radio.OK || s.Chip != `SX1262 (version "SX1261 V2D 2D02")` {
			t.Errorf("%+v", s)
		}
		n := len(r.chip.Commands())
		r.stop()
		sameCommands(t, r.commands(n), `
			80 00 # SetStandby RC
			84 00 # SetSleep, cold start (13.1.1)
		`)
		if m := r.chip.Mode(); m != "sleep" {
			t.Errorf("the chip was left in %s", m)
		}
		for _, pin := range []string{"GPIO21", "GPIO18", "GPIO16", "GPIO20", "GPIO6"} {
			if r.board.Line(pin).Taken() {
				t.Errorf("%s was not given back", pin)
			}
		}
		r.clean()
	})
	bubble(t, "SX1261 with a TCXO, inverted, private, SF12, no switch", func(t *testing.T) {
		c := Config{Name: "lora0", Bus: "spi:0.1", Reset: "GPIO1", IRQ: "GPIO2", Busy: "GPIO3", TCXO: 1.8, Model: SX1261, InvertIQ: true,
			Tuning: radio.Tuning{Frequency: 433175000, Modulation: radio.Modulation{SF: 12, Bandwidth: 125000, CodingRate: 8}, SyncWord: radio.SyncPrivate, Preamble: 12}}
		r := newRig(t, c)
		r.run()
		sameCommands(t, r.commands(0), `
			80 00
			1D 03 20 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
			96 01
			97 02 00 01 40 # SetDIO3AsTCXOCtrl 1.8 V, 5 ms = 320 steps (13.3.6)
			07 00 00       # XOSC_START_ERR of the reset
			89 7F
			98 6B 6F       # 430-440 MHz
			17 00 00 00
			80 01
			93 30
			8A 01
			95 06 00 01 01 # SX1261 +15 dBm (13.1.14.1)
			0D 08 E7 18    # OCP 60 mA
			8E 0E 04
			8F 00 00
			0D 07 40 14 24 # sync word of private networks
			0D 08 AC 96
			00 00 00 00 00 00 00
			08 02 63 02 03 00 00 00 00
			86 1B 12 CC CD # 433.175 MHz
			8B 0C 04 04 01 # low data rate optimisation
			8C 00 0C 00 FF 01 01
			1D 07 36 00 00
			0D 07 36 09    # bit 2 clear: inverted
			02 43 FF
			82 FF FF FF
		`)
		r.clean()
	})
	bubble(t, "only the bus", func(t *testing.T) {
		r := newRig(t, Config{Name: "lora0", Bus: "spi:0.0", Tuning: eu})
		r.run()
		if s := r.status(); s.State != radio.OK {
			t.Fatal(s.Err)
		}
		sameCommands(t, r.commands(0), `
			C0 00 # GetStatus, to wake it up
			80 00
			1D 03 20 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
			96 01
			07 00 00
			89 7F
			98 D7 DB
			17 00 00 00
			80 01
			93 30
			8A 01
			95 04 07 00 01
			0D 08 E7 38
			8E 16 04
			8F 00 00
			0D 07 40 34 44
			0D 08 AC 96
			00 00 00 00 00 00 00
			08 02 77 02 03 00 00 00 00 # and Preamble, HeaderValid
			1D 08 D8 00 00
			0D 08 D8 DE
			86 36 41 99 9A
			8B 07 04 01 00
			8C 00 08 00 FF 01 00
			1D 07 36 00 00
			0D 07 36 0D
			02 43 FF
			82 FF FF FF
		`)
		r.clean()
	})
}

func TestReceiveCommands(t *testing.T) {
	bubble(t, "a frame", func(t *testing.T) {
		r := newRig(t, wiring)
		r.run()
		n := len(r.chip.Commands())
		end := r.node.antenna.Send(uplink(eu, "hello"))
		time.Sleep(time.Until(end) + time.Millisecond)
		sameCommands(t, r.commands(n), `
			12 00 00 00                # GetIrqStatus (13.3.3)
			02 00 02                   # ClearIrqStatus: RxDone
			13 00 00 00                # GetRxBufferStatus (13.5.2)
			1E 00 00 00 00 00 00 00    # ReadBuffer 5 bytes from 0 (13.2.4)
			14 00 00 00 00             # GetPacketStatus (13.5.3)
			1D 07 49 00 00             # coding rate of the header
			1D 07 6B 00 00 00 00       # CRC of the header, frequency error
		`)
		// The next one lies behind it.
		n = len(r.chip.Commands())
		end = r.node.antenna.Send(uplink(eu, "abc"))
		time.Sleep(time.Until(end) + time.Millisecond)
		if got := r.commands(n); len(got) != 7 || got[3] != "1E 05 00 00 00 00" {
			t.Errorf("%v", got)
		}
		// Health, 10 s after the start.
		n = len(r.chip.Commands())
		time.Sleep(10 * time.Second)
		sameCommands(t, r.commands(n), `
			C0 00                # GetStatus (13.5.1)
			17 00 00 00          # GetDeviceErrors
			1D 07 40 00 00 00    # sync word
			10 00 00 00 00 00 00 00 # GetStats (13.5.5)
		`)
		r.clean()
	})
}

func TestTransmitCommands(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*radio.Transmission)
		golden string
	}{
		{"RX1 of LoRaWAN", func(*radio.Transmission) {}, `
			80 01                   # SetStandby XOSC
			1D 08 89 00 00          # 15.1: not 500 kHz
			0D 08 89 05
			8E 0E 04                # SetTxParams 14 dBm
			8C 00 08 00 04 00 01    # 4 bytes, no CRC, inverted IQ
			1D 07 36 00 00          # 15.4
			0D 07 36 09
			0E 00 64 6F 77 6E       # WriteBuffer (13.2.3)
			02 43 FF
			C1                      # SetFs (13.1.3)
			83 00 20 BF             # SetTx, timeout 30.976 ms + 100 ms (13.1.4)
			12 00 00 00
			02 00 01                # TxDone
		` + receiveCommands},
		{"RX2 with another data rate", func(x *radio.Transmission) {
			x.Frequency, x.SF, x.Power = 869525000, 12, 27
		}, `
			80 01
			86 36 58 66 66          # 869.525 MHz
			8B 0C 04 01 01          # SF12, optimised
			1D 08 89 00 00
			0D 08 89 05
			8C 00 08 00 04 00 01
			1D 07 36 00 00
			0D 07 36 09
			0E 00 64 6F 77 6E
			02 43 FF
			C1
			83 00 E7 DA             # 827.392 ms + 100 ms
			12 00 00 00
			02 00 01
			86 36 41 99 9A          # back
			8B 07 04 01 00
		` + receiveCommands},
		{"raw with 500 kHz", func(x *radio.Transmission) {
			x.Bandwidth, x.InvertIQ, x.CRC, x.Preamble, x.Power, x.CodingRate = 500000, false, true, 20, -9, 8
		}, `
			80 01
			8B 07 06 04 00
			1D 08 89 00 00          # 15.1: bit 2 clear
			0D 08 89 01
			8E F7 04                # -9 dBm
			8C 00 14 00 04 01 00
			1D 07 36 00 00
			0D 07 36 0D
			0E 00 64 6F 77 6E
			02 43 FF
			C1
			83 00 1C 17             # 12.352 ms + 100 ms
			12 00 00 00
			02 00 01
			8B 07 04 01 00
		` + receiveCommands},
	} {
		bubble(t, c.name, func(t *testing.T) {
			r := newRig(t, wiring)
			r.run()
			time.Sleep(250 * time.Millisecond)
			n := len(r.chip.Commands())
			x := r.downlink(50*time.Millisecond, "down")
			c.change(x)
			if err := r.radio.Send(t.Context(), x); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
			sameCommands(t, r.commands(n), c.golden)
			r.clean()
		})
	}
}
