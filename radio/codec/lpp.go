package codec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// lppType is a data type of Cayenne LPP: what follows channel and type byte.
// Waziup's XLPP has all of them too.
type lppType struct {
	id     byte
	name   string // of values: name_channel
	fields []lppField
	form   lppForm
	state  bool // an output: the value is the state of an actuator
	// Words of Waziup's vocabulary. Accelerations are in g, as all decoders of
	// Cayenne LPP give them, for which it has none.
	kind, quantity, unit string
}

// lppField is a number, most significant byte first.
type lppField struct {
	key    string // in the JSON object, "" if the type has one field only
	size   int    // bytes
	signed bool
	scale  int64 // steps in one: 10 for a resolution of 0.1
}

// lppForm says how a type's fields look as JSON.
type lppForm uint8

const (
	plain  lppForm = iota // a number, or an object of numbers
	colour                // "#rrggbb"
)

func scalar(size int, signed bool, scale int64) []lppField {
	return []lppField{{size: size, signed: signed, scale: scale}}
}

func axes(scale int64) []lppField {
	return []lppField{{"x", 2, true, scale}, {"y", 2, true, scale}, {"z", 2, true, scale}}
}

// cayenneTypes are those of myDevices (Cayenne documentation, "Cayenne Low Power
// Payload") and those that ElectronicCats/CayenneLPP added, with the names that
// the decoder of The Things Stack gives, and the numbers' signs of the
// documentation. Kind, quantity and unit are as Waziup's wazigate-edge has them
// (edge/codecs/xlpp/mapping.go), but for pressures, whose hPa its own vocabulary
// calls Millibar.
//
// A polyline (240) has no place here: it ends the reading, as an unknown type.
var cayenneTypes = []lppType{
	{id: 0, name: "digital_in", fields: scalar(1, false, 1)},
	{id: 1, name: "digital_out", fields: scalar(1, false, 1), state: true},
	{id: 2, name: "analog_in", fields: scalar(2, true, 100)},
	{id: 3, name: "analog_out", fields: scalar(2, true, 100), state: true},
	{id: 100, name: "generic", fields: scalar(4, false, 1)},
	{id: 101, name: "luminosity", fields: scalar(2, false, 1), kind: "LightSensor", quantity: "Illuminance", unit: "Lux"},
	{id: 102, name: "presence", fields: scalar(1, false, 1), kind: "HumanPresenceDetector", quantity: "Presence"},
	{id: 103, name: "temperature", fields: scalar(2, true, 10), kind: "Thermometer", quantity: "Temperature", unit: "DegreeCelsius"},
	{id: 104, name: "relative_humidity", fields: scalar(1, false, 2), kind: "HumiditySensor", quantity: "RelativeHumidity", unit: "Percent"},
	{id: 113, name: "accelerometer", fields: axes(1000), kind: "Accelerometer", quantity: "Acceleration"},
	{id: 115, name: "barometric_pressure", fields: scalar(2, false, 10), kind: "AtmosphericPressureSensor", quantity: "AtmosphericPressure", unit: "Millibar"},
	{id: 116, name: "voltage", fields: scalar(2, false, 100), kind: "VoltageSensor", quantity: "Voltage", unit: "Volt"},
	{id: 117, name: "current", fields: scalar(2, false, 1000), kind: "CurrentSensor", quantity: "ElectricCurrent", unit: "Ampere"},
	{id: 118, name: "frequency", fields: scalar(4, false, 1), kind: "FrequencySensor", quantity: "Frequency", unit: "Hertz"},
	{id: 120, name: "percentage", fields: scalar(1, false, 1), unit: "Percent"},
	{id: 121, name: "altitude", fields: scalar(2, true, 1), unit: "Metre"},
	{id: 125, name: "concentration", fields: scalar(2, false, 1), kind: "GaseousPollutantSensor", quantity: "ChemicalAgentConcentration", unit: "PartsPerMillion"},
	{id: 128, name: "power", fields: scalar(2, false, 1), kind: "ElectricalSensor", quantity: "ActivePower", unit: "Watt"},
	{id: 130, name: "distance", fields: scalar(4, false, 1000), kind: "DistanceSensor", quantity: "Distance", unit: "Metre"},
	{id: 131, name: "energy", fields: scalar(4, false, 1000), kind: "EnergyMeter", quantity: "Energy", unit: "KiloWattHour"},
	{id: 132, name: "direction", fields: scalar(2, false, 1), kind: "WindDirectionSensor", quantity: "WindDirection", unit: "DegreeAngle"},
	{id: 133, name: "unix_time", fields: scalar(4, false, 1), kind: "Clock", quantity: "Timestamp", unit: "SecondTime"},
	{id: 134, name: "gyrometer", fields: axes(100), kind: "GyroscopeSensor", quantity: "RotationalSpeed", unit: "DegreeAnglePerSecond"},
	{id: 135, name: "colour", fields: []lppField{{"r", 1, false, 1}, {"g", 1, false, 1}, {"b", 1, false, 1}}, form: colour},
	{id: 136, name: "gps", fields: []lppField{{"latitude", 3, true, 10000}, {"longitude", 3, true, 10000}, {"altitude", 3, true, 100}},
		kind: "GPSSensor", quantity: "Position"},
	{id: 142, name: "switch", fields: scalar(1, false, 1)},
}

// lppAliases are other names under which commands may ask for a type, without
// '_': those of the libraries and of ChirpStack.
var lppAliases = map[string]string{
	"digitalinput": "digital_in", "digitaloutput": "digital_out",
	"analoginput": "analog_in", "analogoutput": "analog_out",
	"illuminance": "luminosity", "humidity": "relative_humidity",
	"pressure": "barometric_pressure", "barometer": "barometric_pressure",
	"time": "unix_time", "color": "colour", "gyroscope": "gyrometer",
	"boolean": "bool",
}

// size is how many bytes a value takes.
func (t *lppType) size() int {
	n := 0
	for _, f := range t.fields {
		n += f.size
	}
	return n
}

// value describes a value of a channel; the caller adds the value itself.
func (t *lppType) value(channel byte) Value {
	v := Value{Name: t.name + "_" + strconv.Itoa(int(channel)), Kind: t.kind, Quantity: t.quantity, Unit: t.unit}
	if t.state {
		v.Actuator = true
	}
	return v
}

// append appends the value in b, which is long enough, as JSON.
func (t *lppType) append(dst, b []byte) []byte {
	if t.form == colour {
		return fmt.Appendf(dst, `"#%02x%02x%02x"`, b[0], b[1], b[2])
	}
	if t.fields[0].key == "" {
		return t.fields[0].append(dst, b)
	}
	for i, f := range t.fields {
		if i == 0 {
			dst = append(dst, '{')
		} else {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), f.key...), '"', ':')
		dst, b = f.append(dst, b), b[f.size:]
	}
	return append(dst, '}')
}

func (f lppField) append(dst, b []byte) []byte {
	var n int64
	for _, x := range b[:f.size] {
		n = n<<8 | int64(x)
	}
	if bits := 8 * f.size; f.signed && n>>(bits-1) != 0 {
		n -= 1 << bits
	}
	return appendSteps(dst, n, f.scale)
}

// limits are the lowest and the highest number of steps.
func (f lppField) limits() (low, high int64) {
	bits := 8 * f.size
	if f.signed {
		return -1 << (bits - 1), 1<<(bits-1) - 1
	}
	return 0, 1<<bits - 1
}

// encode appends a JSON value as the type has it. The error says what would be
// right.
func (t *lppType) encode(dst []byte, raw json.RawMessage) ([]byte, error) {
	if t.form == colour {
		var s string
		if err := json.Unmarshal(raw, &s); err == nil && len(s) == 7 && s[0] == '#' {
			if rgb, err := strconv.ParseUint(s[1:], 16, 24); err == nil {
				return append(dst, byte(rgb>>16), byte(rgb>>8), byte(rgb)), nil
			}
		}
		return nil, fmt.Errorf(`%.40s is no colour such as "#ff00aa"`, raw)
	}
	if t.fields[0].key == "" {
		return t.fields[0].encode(dst, raw)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil || len(object) != len(t.fields) {
		return nil, fmt.Errorf("%.40s is no object of %s", raw, t.keys())
	}
	for _, f := range t.fields {
		x, ok := object[f.key]
		if !ok {
			return nil, fmt.Errorf("%.40s is no object of %s", raw, t.keys())
		}
		var err error
		if dst, err = f.encode(dst, x); err != nil {
			return nil, fmt.Errorf("%s: %w", f.key, err)
		}
	}
	return dst, nil
}

func (t *lppType) keys() string {
	keys := make([]string, len(t.fields))
	for i, f := range t.fields {
		keys[i] = f.key
	}
	return strings.Join(keys, ", ")
}

func (f lppField) encode(dst []byte, raw json.RawMessage) ([]byte, error) {
	number := string(bytes.TrimSpace(raw))
	switch { // what is on or off may be said in either way
	case f.size == 1 && f.scale == 1 && number == "true":
		number = "1"
	case f.size == 1 && f.scale == 1 && number == "false":
		number = "0"
	}
	low, high := f.limits()
	n, ok := steps(number, f.scale)
	if !ok || n < low || n > high {
		return nil, fmt.Errorf("%.40s is no number from %s to %s", raw, appendSteps(nil, low, f.scale), appendSteps(nil, high, f.scale))
	}
	for i := f.size - 1; i >= 0; i-- {
		dst = append(dst, byte(n>>(8*i)))
	}
	return dst, nil
}

// lppTarget reads what an actuator's name asks for: a type and, at the end, a
// channel. Case and '_' do not count: digital_out_3, DigitalOutput3. If the
// device has a variable of the actuator's name, its value is read instead: with
// {"relay": "digital_out_3"} the actuator may be called relay.
func lppTarget(c *Command, name string) (kind string, channel byte, err error) {
	as := name
	if other, ok := c.Variables[name]; ok {
		as = other
	}
	word := strings.TrimRight(as, "0123456789")
	n, err := strconv.ParseUint(as[len(word):], 10, 8)
	word = strings.ToLower(strings.ReplaceAll(word, "_", ""))
	if err != nil || word == "" {
		return "", 0, fmt.Errorf("%w: %q does not end with a channel from 0 to 255: call the actuator by type and channel, "+
			"such as digital_out_3, or give the device a variable %q that says so", ErrCommand, as, name)
	}
	if known, ok := lppAliases[word]; ok {
		return known, byte(n), nil
	}
	return word, byte(n), nil
}

// lppUnknown is the error for a command whose actuator is named after no type.
func lppUnknown(codec, name, types string) error {
	return fmt.Errorf("%w: %s is named after no type of %s: call the actuator by type and channel, such as digital_out_3, "+
		"or give the device a variable %q that says so; the types are %s", ErrCommand, name, codec, name, types)
}
