package drivers

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"fieldgate/sensors"
)

// Sensirion SCD40, SCD41 and SCD43: CO2 by the photoacoustic effect, and the
// temperature and humidity that it corrects for.
//
// Datasheet: Sensirion SCD4x, version 1.3 of September 2022: specifications
// (section 1), sequences (3.3), commands (3.4 to 3.10), checksum (3.11).
//
// With variant scd40 the chip measures by itself every 5 s, and the newest
// measurement is read; every variant can do that, so that it is the way to have
// readings without delay. With scd41 (and for an SCD43) each reading is one
// single shot, between which the chip rests. That takes 5 s, for which it holds
// up the other sensors of the bus: meant for intervals of minutes. It is not begun
// for one reading and fetched at the next, because that would be minutes old. With
// scd40 only the first reading after opening waits for the chip.
//
// Limits: 400 to 2000 ppm (SCD40) or 5000 ppm (SCD41, SCD43) are specified; the
// chip gives up to 40000. The first single shot after power-up is less accurate.
// The self-calibration needs fresh air (400 ppm) once a week, and single shots
// every 5 minutes. The settings are sent at each opening and are kept in the
// chip's RAM only, because its EEPROM bears no more than 2000 writings. The chip
// goes on measuring when the gateway has stopped.
//
// Periph's scd4x is not used. It has no single shot; it sends no pause between a
// command and its answer, where the datasheet wants one of 1 ms; its waits of up
// to 11 s cannot be cancelled; it takes a temperature offset for an absolute
// temperature, so that it sets nonsense; it starts the chip without asking who
// it is; and it gives a CO2 of 0 ppm, which the chip sends when it has measured
// only the temperature.
func init() {
	sensors.Register(sensors.Driver{
		Name: "scd4x",
		Doc:  "Sensirion SCD40, SCD41, SCD43: CO2 0 to 40000 ppm, ±(50 ppm + 5 %) from 400 to 5000, temperature -40 to 70 °C, ±0.8 °C, humidity 0 to 100 %, ±6 %; I2C",
		Bus:  sensors.I2C,
		// CO2 in a room changes no faster.
		Every: time.Minute,
		Options: []sensors.Option{
			addressOption(0x62, 0x62, 0x62),
			{Name: "variant", Doc: "scd40: the chip measures every 5 s (any variant can); scd41: only when it is read, which takes 5 s (SCD41 and SCD43)",
				Kind: sensors.Text, Default: "scd40", Choices: []string{"scd40", "scd41"}},
			{Name: "temperature_offset", Doc: "by how much the case heats the chip in °C, is subtracted and corrects the humidity; if left out as set in the chip, 4 from the factory",
				Kind: sensors.Decimal, Min: 0, Max: 20},
			{Name: "altitude", Doc: "height above sea level in m; corrects the CO2; if left out as set in the chip, 0 from the factory", Kind: sensors.Decimal, Min: 0, Max: 3000},
			{Name: "pressure", Doc: "pressure of the air in hPa; corrects the CO2 in the place of altitude", Kind: sensors.Decimal, Min: 700, Max: 1200},
			{Name: "self_calibration", Doc: "take the lowest CO2 of a week for fresh air; false where there never is any; if left out as set in the chip, true from the factory",
				Kind: sensors.Switch},
		},
		Check: func(o sensors.Options) []sensors.OptionError {
			_, altitude := o["altitude"]
			if _, pressure := o["pressure"]; altitude && pressure {
				return []sensors.OptionError{{Option: "pressure", Problem: "altitude is set too", Remedy: "keep one of the two"}}
			}
			return nil
		},
		Channels: func(sensors.Options) []sensors.Channel { return scd4xChannels() },
		Open: func(ctx context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			c, err := openI2C(env, o, "scd4x")
			if err != nil {
				return nil, err
			}
			s := &scd4x{i2cChip: c, single: o.Text("variant") == "scd41", now: env.Now}
			return c.sampler(s.ready(ctx, o), s.measure)
		},
	})
}

func scd4xChannels() []sensors.Channel {
	return []sensors.Channel{
		{Suffix: "co2", Kind: "CO2Sensor", Quantity: "CO2", Unit: "PartsPerMillion"},
		{Suffix: "temperature", Kind: "AirThermometer", Quantity: "AirTemperature", Unit: "DegreeCelsius", Decimals: 2},
		{Suffix: "humidity", Kind: "HumiditySensor", Quantity: "AirHumidity", Unit: "Percent", Decimals: 1},
	}
}

// Commands, section 3.4.
const (
	scd4xWakeUp            = 0x36f6
	scd4xStart             = 0x21b1 // measuring every 5 s
	scd4xStop              = 0x3f86
	scd4xSingleShot        = 0x219d
	scd4xDataReady         = 0xe4b8
	scd4xRead              = 0xec05
	scd4xSerial            = 0x3682
	scd4xTemperatureOffset = 0x241d
	scd4xAltitude          = 0x2427
	scd4xPressure          = 0xe000
	scd4xSelfCalibration   = 0x2416
)

// How long the chip takes, sections 3.4 and 3.5.
const (
	scd4xCommandTime = 2 * time.Millisecond // 1 and to spare
	scd4xWakeUpTime  = 30 * time.Millisecond
	scd4xStopTime    = 500 * time.Millisecond
	scd4xShotTime    = 5 * time.Second
	scd4xInterval    = 5 * time.Second
	scd4xLate        = scd4xInterval + time.Second // without a new measurement: something is wrong
	scd4xLook        = 250 * time.Millisecond      // between looks for the first measurement
)

var errSCD4xNotReady = errors.New("there is no new measurement")

// scd4x is an opened chip.
type scd4x struct {
	*i2cChip
	single bool
	now    func() time.Time
	begun  bool      // a measurement was read since it was opened
	last   time.Time // when that was; else when measuring was started
}

// ready finds out whether the chip is there, sets it up, and starts it.
func (s *scd4x) ready(ctx context.Context, o sensors.Options) error {
	// A chip that is awake refuses to be woken up, one that sleeps says nothing:
	// whether it is there shows in the next command.
	_ = s.write(scd4xCommand(scd4xWakeUp)...)
	if err := pause(ctx, scd4xWakeUpTime); err != nil {
		return err
	}
	// It may measure since before; then it takes no other command.
	if err := s.send(ctx, scd4xCommand(scd4xStop), scd4xStopTime); err != nil {
		return err
	}
	serial, err := s.ask(ctx, scd4xCommand(scd4xSerial), scd4xCommandTime, 3)
	if err != nil {
		return fmt.Errorf("serial number: %w", err)
	}
	if serial[0]|serial[1]|serial[2] == 0 {
		return errors.New("the serial number is 0: no SCD4x")
	}
	if err := s.set(ctx, o); err != nil {
		return err
	}
	if s.single {
		return nil
	}
	s.last = s.now()
	return s.write(scd4xCommand(scd4xStart)...)
}

// set sends the settings that are given.
func (s *scd4x) set(ctx context.Context, o sensors.Options) error {
	for _, x := range []struct {
		option  string
		command uint16
		word    func() uint16
	}{
		{"temperature_offset", scd4xTemperatureOffset, func() uint16 { return scd4xOffset(o.Decimal("temperature_offset")) }},
		{"altitude", scd4xAltitude, func() uint16 { return uint16(math.Round(o.Decimal("altitude"))) }},
		{"pressure", scd4xPressure, func() uint16 { return uint16(math.Round(o.Decimal("pressure"))) }},
		{"self_calibration", scd4xSelfCalibration, func() uint16 {
			if o.Switch("self_calibration") {
				return 1
			}
			return 0
		}},
	} {
		if _, given := o[x.option]; !given {
			continue
		}
		if err := s.send(ctx, scd4xCommand(x.command, x.word()), scd4xCommandTime); err != nil {
			return fmt.Errorf("%s: %w", x.option, err)
		}
	}
	return nil
}

// scd4xOffset is a temperature difference in °C as the chip wants it (3.6.1).
func scd4xOffset(celsius float64) uint16 { return uint16(math.Round(celsius * 65535 / 175)) }

// measure gives the newest measurement, or nothing if the chip, which measures by
// itself, has no new one yet.
func (s *scd4x) measure(ctx context.Context) ([]sensors.Sample, error) {
	if s.single {
		if err := s.send(ctx, scd4xCommand(scd4xSingleShot), scd4xShotTime); err != nil {
			return nil, err
		}
	}
	for {
		status, err := s.ask(ctx, scd4xCommand(scd4xDataReady), scd4xCommandTime, 1)
		if err != nil {
			return nil, err
		}
		if status[0]&0x07ff != 0 { // section 3.8.2
			break
		}
		switch early := s.now().Sub(s.last) < scd4xLate; {
		case s.single, !early:
			return nil, errSCD4xNotReady
		case s.begun:
			return nil, nil
		}
		// The first one is waited for, so that reading the chip once gives a value.
		if err := pause(ctx, scd4xLook); err != nil {
			return nil, err
		}
	}
	words, err := s.ask(ctx, scd4xCommand(scd4xRead), scd4xCommandTime, 3)
	if err != nil {
		return nil, err
	}
	s.begun, s.last = true, s.now()
	co2, temperature, humidity, err := scd4xDecode(words)
	if err != nil {
		return nil, err
	}
	return samplesOf(scd4xChannels(), co2, temperature, humidity)
}

// scd4xDecode converts the three words of a measurement to ppm, °C and %
// (section 3.5.2). It refuses what the chip cannot have measured.
func scd4xDecode(w []uint16) (co2, temperature, humidity float64, err error) {
	co2 = float64(w[0])
	temperature = -45 + 175*float64(w[1])/65535
	humidity = 100 * float64(w[2]) / 65535
	if w[0] == 0 {
		return 0, 0, 0, errors.New("CO2 of 0 ppm: it was not measured")
	}
	// Beyond 70 °C it is not even to be stored.
	return co2, temperature, humidity, errors.Join(within("CO2", co2, 1, 40000, "ppm"), within("temperature", temperature, -40, 70, "°C"))
}

// scd4xCommand is a command with its parameters as they are sent.
func scd4xCommand(command uint16, words ...uint16) []byte {
	b := []byte{byte(command >> 8), byte(command)}
	for _, w := range words {
		b = append(b, byte(w>>8), byte(w))
		b = append(b, crc8(b[len(b)-2:]))
	}
	return b
}
