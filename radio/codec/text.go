package codec

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text as the nodes of C. Pham's low-cost LoRa gateway and Waziup's first nodes
// send it (data formats in LowCostLoRaGw's README-NewCloud):
//
//	\!TC/22.5/HU/50        names and values
//	\!TC1/21.4
//	\!22.5                 a value alone is called DEF
//	\!##22.5               the same
//	\!#4#22.5              a value of the field 4
//	\!key#4#22.5           the same; the key was for a cloud and is dropped
//	\!key##TC/22.5
//	\$low battery          a line for the log: one value, log
//
// The prefix \! may be missing. What looks like a number is one, true and false
// are themselves, anything else is a string; nan, which is what nodes print for a
// sensor that failed, is left out with a warning. TC and TF, with or without a
// number behind them, are temperatures, HU is a humidity, LU light.
//
// A command is \!name/value, or \!name/value/name/value; true and false are sent
// as 1 and 0. Strings cannot have '/' or '#' in them.
func init() { Register("text", func() Codec { return text{} }) }

type text struct{}

var textNumber = regexp.MustCompile(`^([+-]?)([0-9]*)(?:\.([0-9]*))?([eE][+-]?[0-9]{1,3})?$`)

// textMeanings are the field names that say what they are.
var textMeanings = map[string]Value{
	"TC": {Kind: "Thermometer", Quantity: "Temperature", Unit: "DegreeCelsius"},
	"TF": {Kind: "Thermometer", Quantity: "Temperature", Unit: "DegreeFahrenheit"},
	"HU": {Kind: "HumiditySensor", Quantity: "RelativeHumidity", Unit: "Percent"},
	"LU": {Kind: "LightSensor"},
}

func (text) Decode(_ context.Context, u *Uplink) (Decoded, error) {
	if err := short(u); err != nil {
		return Decoded{}, fmt.Errorf("codec: text: %w", err)
	}
	s := strings.TrimRight(string(u.Bytes), "\x00\r\n\t ")
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }) {
		return Decoded{}, fmt.Errorf("codec: text: %w: it is not text", ErrPayload)
	}
	var v values
	if s == "" {
		return v.Decoded, nil
	}
	var err error
	if line, ok := strings.CutPrefix(s, `\$`); ok {
		err = v.add(Value{Name: "log", Value: quoted(strings.TrimSpace(line))})
	} else {
		err = v.text(strings.TrimPrefix(s, `\!`))
	}
	if err != nil {
		return v.Decoded, fmt.Errorf("codec: text: %w", err)
	}
	return v.Decoded, nil
}

// text reads what follows the prefix.
func (v *values) text(s string) error {
	field := ""
	if parts := strings.SplitN(s, "#", 3); len(parts) == 3 {
		field, s = parts[1], parts[2]
	} else if len(parts) == 2 {
		return fmt.Errorf("%w: one '#': channel#field#value has two", ErrPayload)
	}
	if !strings.Contains(s, "/") {
		if field == "" {
			field = "DEF"
		}
		return v.textField(field, s)
	}
	parts := strings.Split(s, "/")
	for i := 0; i+1 < len(parts); i += 2 {
		if parts[i] == "" {
			return fmt.Errorf("%w: a value without a name", ErrPayload)
		}
		if err := v.textField(parts[i], parts[i+1]); err != nil {
			return err
		}
	}
	if last := parts[len(parts)-1]; len(parts)%2 == 1 && last != "" {
		return fmt.Errorf("%w: %.40q has no value", ErrPayload, last)
	}
	return nil
}

func (v *values) textField(name, s string) error {
	name, s = strings.TrimSpace(name), strings.TrimSpace(s)
	x := textMeanings[strings.TrimRight(name, "0123456789")]
	x.Name = sensible(name)
	if s == "" {
		return fmt.Errorf("%w: %s has no value", ErrPayload, x.Name)
	}
	switch strings.ToLower(strings.TrimLeft(s, "+-")) {
	case "nan", "inf", "infinity", "ovf":
		v.warn("%s is %s", x.Name, s)
		return nil
	}
	switch number, ok := textDecimal(s); {
	case ok:
		x.Value = number
	case s == "true" || s == "false":
		x.Value = json.RawMessage(s)
	default:
		x.Value, x.Kind, x.Quantity, x.Unit = quoted(s), "", "", ""
	}
	return v.add(x)
}

// textDecimal writes what a node printed as a number the way JSON has it: without
// '+' and zeros in front, with a digit before the point.
func textDecimal(s string) (json.RawMessage, bool) {
	m := textNumber.FindStringSubmatch(s)
	if m == nil || m[2] == "" && m[3] == "" {
		return nil, false
	}
	whole := strings.TrimLeft(m[2], "0")
	if whole == "" {
		whole = "0"
	}
	number := strings.TrimPrefix(m[1], "+") + whole
	if m[3] != "" {
		number += "." + m[3]
	}
	number += m[4]
	return json.RawMessage(number), checkJSON([]byte(number)) == nil
}

func (text) Encode(_ context.Context, c *Command) (Encoded, error) {
	names, err := c.names()
	if err != nil {
		return Encoded{}, fmt.Errorf("codec: text: %w", err)
	}
	b := []byte(`\!`)
	for i, name := range names {
		s, err := textValue(c.Values[name])
		if err != nil {
			return Encoded{}, fmt.Errorf("codec: text: %w: %s: %w", ErrCommand, name, err)
		}
		if name != strings.TrimSpace(name) {
			return Encoded{}, fmt.Errorf("codec: text: %w: %q: a name cannot have spaces around it", ErrCommand, name)
		}
		if i > 0 {
			b = append(b, '/')
		}
		b = append(append(append(b, name...), '/'), s...)
	}
	out, err := fits(b)
	if err != nil {
		return Encoded{}, fmt.Errorf("codec: text: %w", err)
	}
	return out, nil
}

// textValue is a JSON value as a node reads it.
func textValue(raw json.RawMessage) (string, error) {
	var x any
	if err := json.Unmarshal(raw, &x); err != nil {
		return "", err
	}
	switch x := x.(type) {
	case bool:
		return map[bool]string{false: "0", true: "1"}[x], nil
	case float64:
		return strings.TrimSpace(string(raw)), nil
	case string:
		if x == "" || x != strings.TrimSpace(x) || strings.ContainsAny(x, "/#") || strings.ContainsFunc(x, unicode.IsControl) {
			return "", fmt.Errorf("%.40s: a string cannot be empty, have spaces around it, or '/', '#' and control characters in it", raw)
		}
		return x, nil
	}
	return "", fmt.Errorf("%.40s is neither number, string, true nor false", raw)
}
