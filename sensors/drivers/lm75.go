package drivers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fieldgate/sensors"
)

// LM75 and the many chips that are register-compatible with it: LM75A/B/C,
// DS75, STLM75, TCN75, MAX7500, G751 (model lm75: 9 bits, 0.5 °C), NXP's LM75A,
// LM75B and PCT2075 (model lm75b: 11 bits), Texas Instruments' TMP75, TMP105,
// TMP175 and TMP275 (9 to 12 bits, with a one-shot conversion out of shutdown,
// which keeps the chip from warming itself; the TMP75B, TMP75C and TMP1075 have
// other configuration registers and are not meant).
//
// Datasheet: TI LM75B/LM75C SNIS153 section 7.5 (registers); NXP LM75B rev. 6.1
// section 7.4 (tables 8 to 12); TI TMP105 SLLS648D tables 2 to 8; TI TMP175/TMP75
// SBOS288 section 7.5 and its table of 27 addresses for the TMP175.
//
// No chip of the family has an identity register. What stands in for one:
//   - Models lm75 and lm75b: the upper three bits of the configuration are
//     reserved and 0. That is looked at before each reading, since an undriven
//     bus reads ones there. A data line that is held low would read as 0 °C:
//     when the temperature is exactly 0, and at opening, the two limits are read
//     too, which are 75 and 80 °C from the factory; if both are 0 nothing is
//     there. A temperature of 0xffff is refused; with the unused bits at 0, as
//     they are on every chip above, the chip never sends it.
//   - TI models: the configuration is written and must read back, at opening
//     and after each conversion. So a chip that lost its supply in between is
//     found out: its 0 °C from power-up would look like a measurement. The chips
//     have no bit that says that a conversion is complete; one that answers but
//     converts no more is not found out.
//
// The bits below the resolution are undefined on the LM75 (not looked at) and 0
// on the others (checked).
func init() {
	sensors.Register(sensors.Driver{
		Name: "lm75",
		Doc:  "LM75 and compatible (LM75B, TMP75, TMP105, TMP175, DS75, PCT2075): temperature -55 to 127 °C, ±0.5 to ±3 °C; I2C",
		Bus:  sensors.I2C,
		Options: []sensors.Option{
			addressOption(0x48, 0x28, 0x77),
			{Name: "model", Doc: "lm75 for 9-bit chips, lm75b for NXP's LM75A/LM75B and PCT2075, else as printed on it", Kind: sensors.Text,
				Default: "lm75", Choices: []string{"lm75", "lm75b", "tmp75", "tmp105", "tmp175", "tmp275"}},
			{Name: "resolution", Doc: "bits of the TMP models, 9 (0.5 °C, 38 ms) to 12 (0.0625 °C, 0.3 s; if left out)", Kind: sensors.Integer, Min: 9, Max: 12},
		},
		Check: lm75Check,
		Channels: func(o sensors.Options) []sensors.Channel {
			return thermometerChannels(lm75ModelOf(o).bits)
		},
		Open: func(ctx context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			c, err := openI2C(env, o, "lm75")
			if err != nil {
				return nil, err
			}
			l := &lm75{i2cChip: c, model: lm75ModelOf(o)}
			return c.sampler(l.ready(ctx), func(ctx context.Context) ([]sensors.Sample, error) {
				raw, err := l.measure(ctx)
				if err != nil {
					return nil, err
				}
				v, err := l.model.decode(raw)
				if err != nil {
					return nil, err
				}
				return samplesOf(thermometerChannels(l.model.bits), v)
			})
		},
	})
}

// Registers, and the bits of the configuration.
const (
	lm75Temperature   = 0
	lm75Configuration = 1
	lm75Hysteresis    = 2
	lm75Overheat      = 3

	lm75Shutdown = 0x01
	lm75Reserved = 0xe0 // models lm75 and lm75b
	lm75Bits     = 0x60 // TI: resolution, bits less 9
	lm75OneShot  = 0x80 // TI: starts a conversion in shutdown, reads 0
)

// lm75FirstConversion is how long any of the chips takes for a conversion after
// power-up or wake-up (LM75: 300 ms at most).
const lm75FirstConversion = 300 * time.Millisecond

// lm75Model is what differs between the chips.
type lm75Model struct {
	bits    int     // of the temperature
	highest float64 // °C; the lowest is -55 for all
	oneShot bool    // Texas Instruments' configuration register
	zeros   bool    // the bits below the resolution read 0
}

func lm75ModelOf(o sensors.Options) lm75Model {
	switch o.Text("model") {
	case "lm75b":
		return lm75Model{bits: 11, highest: 125, zeros: true}
	case "tmp75", "tmp105", "tmp175", "tmp275":
		m := lm75Model{bits: 12, highest: 127, oneShot: true, zeros: true}
		if n := int(o.Integer("resolution")); n != 0 {
			m.bits = n
		}
		return m
	}
	return lm75Model{bits: 9, highest: 125}
}

// conversion is the longest time of one (TMP105 table 8, TMP75 section 6.5: 300
// ms for 12 bits, half of it for each bit less).
func (m lm75Model) conversion() time.Duration { return lm75FirstConversion >> (12 - m.bits) }

func lm75Check(o sensors.Options) []sensors.OptionError {
	var wrong []sensors.OptionError
	model, addr := o.Text("model"), o.Integer("address")
	if m, n := lm75ModelOf(o), o.Integer("resolution"); n != 0 && int(n) != m.bits {
		wrong = append(wrong, sensors.OptionError{Option: "resolution", Problem: fmt.Sprintf("model %s has %d bits", model, m.bits),
			Remedy: "leave it out, or name the TMP model it is"})
	}
	switch usual := addr >= 0x48 && addr <= 0x4f; {
	case model != "tmp175" && !usual:
		wrong = append(wrong, sensors.OptionError{Option: "address", Problem: fmt.Sprintf("model %s cannot have 0x%02x", model, addr),
			Remedy: "0x48 to 0x4f"})
	case !usual && (addr > 0x2f && addr < 0x35 || addr > 0x37 && addr < 0x70):
		wrong = append(wrong, sensors.OptionError{Option: "address", Problem: fmt.Sprintf("model %s cannot have 0x%02x", model, addr),
			Remedy: "0x28 to 0x2f, 0x35 to 0x37, 0x48 to 0x4f or 0x70 to 0x77"})
	}
	return wrong
}

// lm75 is an opened chip.
type lm75 struct {
	*i2cChip
	model lm75Model
	conf  byte // TI: the configuration that was set
}

// ready finds out whether the chip is there and sets it up.
func (l *lm75) ready(ctx context.Context) error {
	conf, err := l.configuration()
	if err != nil {
		return err
	}
	if l.model.oneShot {
		// The thermostat's bits stay as they are.
		l.conf = conf&^(lm75Bits|lm75OneShot) | byte(l.model.bits-9)<<5 | lm75Shutdown
		if err := l.set(l.conf); err != nil {
			return err
		}
		return l.confirm()
	}
	if err := l.alive(); err != nil {
		return err
	}
	if err := l.awake(ctx, conf); err != nil {
		return err
	}
	// It answered, so after this time there is a temperature even if its power
	// came on only now.
	return pause(ctx, lm75FirstConversion)
}

// measure gives the temperature register.
func (l *lm75) measure(ctx context.Context) (uint16, error) {
	if l.model.oneShot {
		if err := l.set(l.conf | lm75OneShot); err != nil {
			return 0, err
		}
		if err := pause(ctx, l.model.conversion()); err != nil {
			return 0, err
		}
		raw, err := l.readWord(lm75Temperature)
		if err != nil {
			return 0, err
		}
		return raw, l.confirm()
	}
	conf, err := l.configuration()
	if err != nil {
		return 0, err
	}
	if err := l.awake(ctx, conf); err != nil {
		return 0, err
	}
	raw, err := l.readWord(lm75Temperature)
	if err == nil && raw == 0 {
		err = l.alive()
	}
	return raw, err
}

// decode gives the temperature in °C of the temperature register.
func (m lm75Model) decode(raw uint16) (float64, error) {
	if raw == 0xffff {
		return 0, errAllOnes
	}
	if unused := raw & (0xffff >> m.bits); m.zeros && unused != 0 {
		return 0, fmt.Errorf("temperature 0x%04x: more than its %d bits are in use", raw, m.bits)
	}
	v := float64(int16(raw)>>(16-m.bits)) / float64(int(1)<<(m.bits-8))
	return v, within("temperature", v, -55, m.highest, "°C")
}

// awake wakes a chip that somebody has shut down, since its temperature is an
// old one, and waits for the first conversion.
func (l *lm75) awake(ctx context.Context, conf byte) error {
	if conf&lm75Shutdown == 0 {
		return nil
	}
	if err := l.set(conf &^ lm75Shutdown); err != nil {
		return err
	}
	if err := pause(ctx, lm75FirstConversion); err != nil {
		return err
	}
	conf, err := l.configuration()
	if err == nil && conf&lm75Shutdown != 0 {
		err = errors.New("stays in shutdown")
	}
	return err
}

// alive looks at the limits, which tell a chip from a data line that is held low.
func (l *lm75) alive() error {
	var limits []uint16
	for _, register := range []byte{lm75Hysteresis, lm75Overheat} {
		w, err := l.readWord(register)
		if err != nil {
			return err
		}
		limits = append(limits, w)
	}
	switch {
	case slices.Equal(limits, []uint16{0, 0}):
		return errors.New("temperature limits are 0: no LM75, or the data line is held low")
	case slices.Equal(limits, []uint16{0xffff, 0xffff}):
		return errAllOnes
	}
	return nil
}

// configuration reads the configuration and refuses what no chip of the model
// has.
func (l *lm75) configuration() (byte, error) {
	conf, err := l.readByte(lm75Configuration)
	switch {
	case err != nil:
		return 0, err
	case conf == 0xff:
		return 0, errAllOnes
	case !l.model.oneShot && conf&lm75Reserved != 0:
		return 0, fmt.Errorf("configuration 0x%02x has reserved bits: no LM75, or model is not the one that is there", conf)
	}
	return conf, nil
}

// confirm checks that the chip still has the configuration that it was given.
func (l *lm75) confirm() error {
	conf, err := l.configuration()
	if err == nil && conf != l.conf {
		err = fmt.Errorf("configuration is 0x%02x after 0x%02x was written: another chip, or its supply failed", conf, l.conf)
	}
	return err
}

func (l *lm75) set(conf byte) error { return l.write(lm75Configuration, conf) }
