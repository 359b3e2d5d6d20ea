package sensors

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// OptionKind is the type of an option's value.
type OptionKind uint8

// The kinds of options, with the Go type that Options holds for each.
const (
	Text    OptionKind = iota // string, one of Choices if there are any
	Decimal                   // float64, within Min and Max
	Integer                   // int64, within Min and Max; also 0x48
	Switch                    // bool, true or false
	Span                      // time.Duration as in 10s, Min and Max in seconds
	File                      // string, path of a file that must be readable
	Pin                       // string, a GPIO line that is taken, see CheckPin
)

// Option is one setting of a driver.
type Option struct {
	Name     string // as in the configuration
	Doc      string // what it means, with its unit
	Kind     OptionKind
	Default  string // as it would be written; "" leaves the option out
	Required bool
	Min, Max float64  // both 0: no limits
	Choices  []string // Text only; empty: any text
}

// OptionError says what is wrong with one option and what would be right.
type OptionError struct {
	Option  string
	Problem string
	Remedy  string
}

// Error is "option: problem; remedy".
func (e OptionError) Error() string { return e.Option + ": " + e.Problem + "; " + e.Remedy }

// Options are the checked settings of one sensor. The methods give the zero
// value for an option that is not set and has no default.
type Options map[string]any

// Text gives a Text, File or Pin option.
func (o Options) Text(name string) string { v, _ := o[name].(string); return v }

// Decimal gives a Decimal option.
func (o Options) Decimal(name string) float64 { v, _ := o[name].(float64); return v }

// Integer gives an Integer option.
func (o Options) Integer(name string) int64 { v, _ := o[name].(int64); return v }

// Switch gives a Switch option.
func (o Options) Switch(name string) bool { v, _ := o[name].(bool); return v }

// Span gives a Span option.
func (o Options) Span(name string) time.Duration { v, _ := o[name].(time.Duration); return v }

// Parse checks the options as they were written and fills in the defaults. It
// reports every mistake: unknown options, values out of range, what is
// missing, and, if there is none of these, what Check finds. With mistakes it
// gives those options that are right.
func (d *Driver) Parse(written map[string]string) (Options, []OptionError) {
	return parseOptions(d.Name, d.Options, d.Check, written)
}

// Parse is as of Driver.
func (d *OutputDriver) Parse(written map[string]string) (Options, []OptionError) {
	return parseOptions(d.Name, d.Options, d.Check, written)
}

func parseOptions(driver string, options []Option, check func(Options) []OptionError, written map[string]string) (Options, []OptionError) {
	out := make(Options, len(options))
	var wrong []OptionError
	for _, o := range options {
		text, given := written[o.Name]
		switch {
		case !given && o.Required:
			wrong = append(wrong, OptionError{o.Name, "missing", o.Doc})
			continue
		case !given && o.Default == "":
			continue
		case !given:
			text = o.Default
		}
		v, err := o.parse(text)
		if err != nil {
			wrong = append(wrong, *err)
			continue
		}
		out[o.Name] = v
	}
	for name := range written {
		if !slices.ContainsFunc(options, func(o Option) bool { return o.Name == name }) {
			wrong = append(wrong, OptionError{name, "unknown option of driver " + driver, "it has " + strings.Join(names(options), ", ")})
		}
	}
	if len(wrong) == 0 && check != nil {
		wrong = check(out)
	}
	slices.SortFunc(wrong, func(a, b OptionError) int { return strings.Compare(a.Option, b.Option) })
	return out, wrong
}

// Complete is o with a possible value for each option that must be there and is
// not, for what has to be known of a driver although its options have mistakes.
func Complete(options []Option, o Options) Options {
	out := make(Options, len(options))
	maps.Copy(out, o)
	for _, opt := range options {
		text := opt.Default
		if text == "" && opt.Required {
			text = opt.Placeholder()
		}
		if _, ok := out[opt.Name]; ok || text == "" {
			continue
		}
		if v, err := opt.parse(text); err == nil {
			out[opt.Name] = v
		}
	}
	return out
}

func names(options []Option) []string {
	names := make([]string, len(options))
	for i, o := range options {
		names[i] = o.Name
	}
	return names
}

func (o *Option) parse(text string) (any, *OptionError) {
	bad := func(remedy string) (any, *OptionError) {
		return nil, &OptionError{o.Name, fmt.Sprintf("%.40q is not possible", text), remedy}
	}
	switch o.Kind {
	case Decimal:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || !o.within(f) {
			return bad("a number" + o.limits(formatFloat))
		}
		return f, nil
	case Integer:
		n, err := strconv.ParseInt(text, 0, 64)
		if err != nil || !o.within(float64(n)) {
			remedy := "a whole number" + o.limits(o.formatInteger)
			if hex, err := strconv.ParseInt(text, 16, 64); err == nil && strings.HasPrefix(o.Default, "0x") && o.within(float64(hex)) {
				remedy = "did you mean 0x" + text + "? It is " + remedy
			}
			return bad(remedy)
		}
		return n, nil
	case Switch:
		if text != "true" && text != "false" {
			return bad("true or false")
		}
		return text == "true", nil
	case Span:
		d, err := time.ParseDuration(text)
		if err != nil || !o.within(d.Seconds()) {
			return bad("a time such as 500ms, 10s or 5m" + o.limits(formatSeconds))
		}
		return d, nil
	case Pin:
		if CheckPin(text) != nil {
			if _, err := strconv.ParseUint(text, 10, 16); err == nil {
				return bad("GPIO" + text + ", or gpiochip0:" + text + ": the line's name, or its chip and number there")
			}
			return bad("a GPIO line such as GPIO17 or gpiochip0:17")
		}
		return normalPin(text), nil
	case File:
		if text == "" {
			return bad("the path of a file")
		}
		return text, nil
	}
	if len(o.Choices) > 0 && !slices.Contains(o.Choices, text) {
		return bad("one of " + strings.Join(o.Choices, ", "))
	}
	return text, nil
}

func (o *Option) within(f float64) bool {
	return o.Min == 0 && o.Max == 0 || f >= o.Min && f <= o.Max
}

func (o *Option) limits(format func(float64) string) string {
	if o.Min == 0 && o.Max == 0 {
		return ""
	}
	return " from " + format(o.Min) + " to " + format(o.Max)
}

// formatInteger writes a limit in the way the default is written.
func (o *Option) formatInteger(f float64) string {
	if strings.HasPrefix(o.Default, "0x") {
		return fmt.Sprintf("0x%02x", int64(f))
	}
	return formatFloat(f)
}

func formatFloat(f float64) string {
	if math.Abs(f) >= 1e-6 && math.Abs(f) < 1e15 {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

func formatSeconds(f float64) string { return time.Duration(f * float64(time.Second)).String() }

// Range says which values are possible, such as "(0x48 to 0x4b)" or "(a, b)";
// "" if any of its kind are.
func (o *Option) Range() string {
	switch {
	case len(o.Choices) > 0:
		return "(" + strings.Join(o.Choices, ", ") + ")"
	case o.Min == 0 && o.Max == 0:
		return ""
	case o.Min == o.Max:
		return "(" + o.formatInteger(o.Min) + ")"
	case o.Kind == Span:
		return "(" + formatSeconds(o.Min) + " to " + formatSeconds(o.Max) + ")"
	case o.Kind == Integer:
		return "(" + o.formatInteger(o.Min) + " to " + o.formatInteger(o.Max) + ")"
	}
	return "(" + formatFloat(o.Min) + " to " + formatFloat(o.Max) + ")"
}

// Placeholder is a value that the option could have, for showing what a driver
// gives.
func (o *Option) Placeholder() string {
	switch o.Kind {
	case Decimal, Integer:
		return formatFloat(o.Min)
	case Switch:
		return "false"
	case Span:
		return formatSeconds(o.Min)
	case Pin:
		return "GPIO17"
	}
	if len(o.Choices) > 0 {
		return o.Choices[0]
	}
	return "X"
}
