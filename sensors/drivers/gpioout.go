package drivers

import (
	"context"

	"fieldgate/sensors"
)

// A GPIO line as an actuator: a relay, a valve, a lamp. The line shows its first
// level from the moment in which it is taken. Many relay boards switch on at low:
// active_low.
func init() {
	sensors.RegisterOutput(sensors.OutputDriver{
		Name: "gpio-out",
		Doc:  "GPIO line: switched on and off",
		Options: []sensors.Option{
			pinOption(),
			{Name: "active_low", Doc: "a low line is on, as for many relay boards", Kind: sensors.Switch, Default: "false"},
		},
		Open: func(_ context.Context, env sensors.Env, o sensors.Options, first sensors.Level) (sensors.Actuator, error) {
			g := &gpioout{label: lineLabel("gpio-out", o), activeLow: o.Switch("active_low")}
			var err error
			if g.line, err = env.Board.Output(o.Text("pin"), g.wire(first)); err != nil {
				return nil, g.wrap(err)
			}
			return g, nil
		},
	})
}

// gpioout is a line that is switched.
type gpioout struct {
	label
	activeLow bool
	line      sensors.Output
}

// wire is the level of the wire for l.
func (g *gpioout) wire(l sensors.Level) bool { return (l > sensors.Off) != g.activeLow }

// Set implements sensors.Actuator.
func (g *gpioout) Set(l sensors.Level) error { return g.wrap(g.line.Set(g.wire(l))) }

// Close implements sensors.Actuator.
func (g *gpioout) Close() error { return g.wrap(g.line.Close()) }
