package drivers

import "fieldgate/sensors"

// pinOption is the line of a driver that has one.
func pinOption() sensors.Option {
	return sensors.Option{Name: "pin", Doc: "GPIO line, such as GPIO17 or gpiochip0:17", Kind: sensors.Pin, Required: true}
}

// lineLabel is the label of a driver with a pinOption.
func lineLabel(driver string, o sensors.Options) label { return label(driver + " at " + o.Text("pin")) }

// lineOptions are those of each driver that reads a line; pull is the usual one.
func lineOptions(pull string) []sensors.Option {
	return []sensors.Option{
		pinOption(),
		{Name: "pull", Doc: "resistor that holds the line while nothing drives it", Kind: sensors.Text, Default: pull,
			Choices: []string{"up", "down", "none", "as-is"}},
		{Name: "debounce", Doc: "changes that do not last this long are left out; 20ms for contacts, 0s for none", Kind: sensors.Span,
			Default: "0s", Min: 0, Max: 10},
	}
}

// openLine takes the line of lineOptions.
func openLine(env sensors.Env, o sensors.Options, edges sensors.Edges) (sensors.Input, error) {
	c := sensors.InputConfig{Edges: edges, Debounce: o.Span("debounce")}
	switch o.Text("pull") {
	case "up":
		c.Pull = sensors.PullUp
	case "down":
		c.Pull = sensors.PullDown
	case "none":
		c.Pull = sensors.PullNone
	}
	return env.Board.Input(o.Text("pin"), c)
}
