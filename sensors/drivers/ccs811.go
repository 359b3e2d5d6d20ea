package drivers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"fieldgate/sensors"
)

// ams (ScioSense) CCS811: volatile organic compounds (TVOC), and an equivalent
// of CO2 that is estimated from them.
//
// Datasheet: ams CCS811 v1-06 of February 2019 (ScioSense SC-001232-DS):
// "Modes of Operation", "Conditioning Period", register tables from STATUS to
// ERROR_ID, "Application Mode State Diagram". The ranges are those of its
// firmware 2; that of v1-00 ends at 8192 ppm and 1187 ppb.
//
// The chip measures by itself, at the interval of the option drive_interval, and
// keeps the newest. It is read only when its status says that there is a new
// one; if there is none yet, a reading gives nothing, and is an error once one is
// overdue. A chip that already measures is not started anew, so that it stays
// warm when the gateway restarts.
//
// Limits: 48 hours of burn-in for a new chip and 20 minutes after each start
// before it is accurate; 10 minutes of rest before a longer drive_interval. The
// chip sends no checksum; what it sends is held against its ranges and its
// status. It stretches the clock, which the I2C of a Raspberry Pi before the 4
// gets wrong: use dtoverlay=i2c-gpio, or i2c_arm_baudrate=10000. Its pin WAKE
// must be low.
//
// Periph's ccs811 is not used. It starts the firmware without asking who the
// chip is, whether it has one, and whether it runs already, which the chip
// counts as an error; it sets the mode without the pause that starting takes;
// Sense gives old values, returns nil when the chip reports an error, and cuts
// off the upper bits of both values, so that 16784 ppm is 400.
func init() {
	sensors.Register(sensors.Driver{
		Name: "ccs811",
		Doc:  "ams CCS811: TVOC 0 to 32768 ppb, eCO2 400 to 29206 ppm, estimates; 20 min to warm up; needs clock stretching; I2C",
		Bus:  sensors.I2C,
		Options: []sensors.Option{
			addressOption(0x5a, 0x5a, 0x5b),
			{Name: "drive_interval", Doc: "how often the chip measures by itself: 1s (30 mA), 10s or 60s (less heating)", Kind: sensors.Text,
				Default: "1s", Choices: []string{"1s", "10s", "60s"}},
		},
		Channels: func(sensors.Options) []sensors.Channel { return gasChannels() },
		Open: func(ctx context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			c, err := openI2C(env, o, "ccs811")
			if err != nil {
				return nil, err
			}
			s := &ccs811{i2cChip: c, now: env.Now, mode: 1 << 4, interval: time.Second}
			switch o.Text("drive_interval") {
			case "10s":
				s.mode, s.interval = 2<<4, 10*time.Second
			case "60s":
				s.mode, s.interval = 3<<4, time.Minute
			}
			return c.sampler(s.ready(ctx), s.measure)
		},
	})
}

// Registers, and the bits of STATUS.
const (
	ccs811Status   = 0x00
	ccs811Mode     = 0x01
	ccs811Result   = 0x02
	ccs811Identity = 0x20
	ccs811Errors   = 0xe0 // reading it clears it and the bit in STATUS
	ccs811Start    = 0xf4

	ccs811Chip = 0x81

	ccs811Running = 0x80 // FW_MODE
	ccs811Valid   = 0x10 // APP_VALID
	ccs811New     = 0x08 // DATA_READY
	ccs811Failed  = 0x01 // ERROR
)

const (
	ccs811StartTime = 20 * time.Millisecond  // 1 at least after APP_START
	ccs811Look      = 100 * time.Millisecond // between looks for the first measurement
)

// ccs811Causes are the bits of ERROR_ID, read only.
var ccs811Causes = [8]string{
	"write to a register that there is not", "read of a register that there is not", "mode that there is not",
	"sensor resistance is at the end of its range", "heater current is out of range", "heater voltage is not applied", "bit 6", "bit 7",
}

var errCCS811NotReady = errors.New("there is no new measurement")

// ccs811 is an opened chip.
type ccs811 struct {
	*i2cChip
	now      func() time.Time
	mode     byte // MEAS_MODE
	interval time.Duration
	begun    bool      // a measurement was read since it was opened
	last     time.Time // when that was; else when the chip was opened
}

// ready asks the chip who it is, starts its firmware and sets its mode.
func (s *ccs811) ready(ctx context.Context) error {
	id, err := s.readByte(ccs811Identity)
	if err != nil {
		return err
	}
	if id != ccs811Chip {
		return fmt.Errorf("hardware id is 0x%02x, not 0x%02x: no CCS811", id, ccs811Chip)
	}
	status, err := s.readByte(ccs811Status)
	if err != nil {
		return err
	}
	if status&ccs811Valid == 0 {
		return fmt.Errorf("status 0x%02x: the chip has no valid firmware", status)
	}
	if status&ccs811Running == 0 {
		if err := s.write(ccs811Start); err != nil {
			return err
		}
		if err := pause(ctx, ccs811StartTime); err != nil {
			return err
		}
		if status, err = s.readByte(ccs811Status); err != nil {
			return err
		}
		if err := ccs811Check(status&^ccs811Failed, 0); err != nil {
			return err
		}
	}
	// What went wrong before, such as with another program, does not count.
	if _, err := s.readByte(ccs811Errors); err != nil {
		return err
	}
	mode, err := s.readByte(ccs811Mode)
	if err != nil {
		return err
	}
	if mode != s.mode {
		if err := s.write(ccs811Mode, s.mode); err != nil {
			return err
		}
		if mode, err = s.readByte(ccs811Mode); err != nil {
			return err
		}
	}
	if mode != s.mode {
		return fmt.Errorf("mode is 0x%02x after 0x%02x was written", mode, s.mode)
	}
	s.last = s.now()
	return nil
}

// measure gives the newest measurement, or nothing if the chip, which measures by
// itself, has no new one yet.
func (s *ccs811) measure(ctx context.Context) ([]sensors.Sample, error) {
	for {
		status, err := s.readByte(ccs811Status)
		if err != nil {
			return nil, err
		}
		var causes byte
		if status&ccs811Failed != 0 {
			if causes, err = s.readByte(ccs811Errors); err != nil {
				return nil, err
			}
		}
		if err := ccs811Check(status, causes); err != nil {
			return nil, err
		}
		if status&ccs811New != 0 {
			break
		}
		switch overdue := s.now().Sub(s.last) > 2*s.interval; {
		case overdue:
			return nil, errCCS811NotReady
		case s.begun || s.interval > time.Second:
			return nil, nil
		}
		// The first one is waited for, so that reading the chip once gives a value.
		if err := pause(ctx, ccs811Look); err != nil {
			return nil, err
		}
	}
	var b [6]byte
	if err := s.tx([]byte{ccs811Result}, b[:]); err != nil {
		return nil, err
	}
	eco2, tvoc, err := ccs811Decode(b)
	if err != nil {
		return nil, err
	}
	s.begun, s.last = true, s.now()
	return samplesOf(gasChannels(), eco2, tvoc)
}

// ccs811Decode gives ppm and ppb of ALG_RESULT_DATA: two words, STATUS, ERROR_ID.
func ccs811Decode(b [6]byte) (eco2, tvoc float64, err error) {
	if allOnes(b[:]) {
		return 0, 0, errAllOnes
	}
	if err := ccs811Check(b[4], b[5]); err != nil {
		return 0, 0, err
	}
	e, v := uint16(b[0])<<8|uint16(b[1]), uint16(b[2])<<8|uint16(b[3])
	eco2, tvoc = float64(e), float64(v)
	// Equivalent CO2 is 0 before the first measurement.
	return eco2, tvoc, errors.Join(within("equivalent CO2", eco2, 400, 29206, "ppm"), within("TVOC", tvoc, 0, 32768, "ppb"))
}

// ccs811Check says what is wrong with a status and the causes in ERROR_ID.
func ccs811Check(status, causes byte) error {
	switch {
	case status == 0xff:
		return errAllOnes
	case status&ccs811Running == 0 || status&ccs811Valid == 0:
		return fmt.Errorf("status 0x%02x: the chip does not run its firmware; its supply may have failed", status)
	case status&ccs811Failed == 0 && causes == 0:
		return nil
	}
	var texts []string
	for bit, text := range ccs811Causes {
		if causes>>bit&1 != 0 {
			texts = append(texts, text)
		}
	}
	return fmt.Errorf("the chip reports error 0x%02x: %s", causes, strings.Join(texts, ", "))
}
