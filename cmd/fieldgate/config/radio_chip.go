package config

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"fieldgate/radio"
	"fieldgate/radio/sx126x"
	"fieldgate/radio/sx127x"
)

// ChipPower is what the chip may put out, and what the antenna and an amplifier
// behind the chip add, in dB.
func (r *Radio) ChipPower() (most int8, gain float64) {
	most = int8(r.Power) - r.Amplifier
	if r.MaxPower != 0 {
		most = min(most, r.MaxPower)
	}
	return most, r.Gain + float64(r.Amplifier)
}

// SX127x is the configuration of the chip's driver.
func (r *Radio) SX127x(board radio.Board, log *slog.Logger) sx127x.Config {
	most, gain := r.ChipPower()
	return sx127x.Config{Name: r.Name, Bus: r.Bus, ChipSelect: r.ChipSelect, Reset: r.Reset, IRQ: r.IRQ, Tuning: r.Tuning,
		MaxPower: most, RFO: r.RFO, AntennaGain: gain, Board: board, Log: log}
}

// SX126x is the configuration of the chip's driver.
func (r *Radio) SX126x(board radio.Board, log *slog.Logger) sx126x.Config {
	most, gain := r.ChipPower()
	return sx126x.Config{Name: r.Name, Bus: r.Bus, ChipSelect: r.ChipSelect, Reset: r.Reset, IRQ: r.IRQ, Busy: r.Busy,
		TXEnable: r.TXEnable, RXEnable: r.RXEnable, Enable: r.Enable, DIO2Switch: r.DIO2Switch, TCXO: r.TCXO, Model: strings.ToUpper(r.Part),
		Tuning: r.Tuning, MaxPower: most, AntennaGain: gain, Board: board, Log: log}
}

// try has the chip's driver look at what the file says, if that is right so far.
func (r *Radio) try(t *table, before int) {
	if !r.OnSPI() || len(t.r.mistakes) > before {
		return
	}
	power := t.get("power")
	if !power.present() { // as much as is allowed nearly everywhere, or as little as the amplifier lets
		for most := r.Power; r.look() != nil && r.Power < most+20; {
			r.Power++
		}
		if r.look() == nil && r.Power > 14 {
			power.warn(fmt.Sprintf("the amplifier of %s puts out %d dBm at least", r.Board, r.Power), "set power, if that is allowed where the gateway stands")
		}
	}
	err := r.look()
	switch {
	case err == nil:
	case errors.Is(err, radio.ErrPower):
		power.mistake(fmt.Sprintf("%d dBm cannot be (%s)", r.Power, trimmed(err)), "what chip and amplifier can")
	case errors.Is(err, radio.ErrFrequency):
		t.get("frequency").mistake(trimmed(err), "a frequency of the chip")
	default:
		t.mistake(trimmed(err), "what the chip can")
	}
}

// look asks the driver.
func (r *Radio) look() (err error) {
	if r.Driver == RadioSX127x {
		_, err = sx127x.New(r.SX127x(noBoard{}, nil))
	} else {
		_, err = sx126x.New(r.SX126x(noBoard{}, nil))
	}
	return err
}

// trimmed is a driver's error without the names in front.
func trimmed(err error) string {
	s := err.Error()
	for range 2 {
		if _, rest, ok := strings.Cut(s, ": "); ok {
			s = rest
		}
	}
	return s
}

// noBoard is a board that is not touched.
type noBoard struct{ radio.Board }
