package drivers

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"fieldgate/sensors"
)

// A GPIO line as a sensor: a switch, a door contact, a motion detector. The
// kernel tells of its edges; nothing polls.
//
// A mechanical contact bounces for some milliseconds, and each bounce is a
// change: give it a debounce of 20ms. There is none by default, because it holds
// up each change by its length.
func init() {
	sensors.Register(sensors.Driver{
		Name: "gpio-in",
		Doc:  "GPIO line: whether it is on, published on each change and at each interval",
		Options: append(lineOptions("as-is"),
			sensors.Option{Name: "active_low", Doc: "a low line is on, such as a contact to ground", Kind: sensors.Switch, Default: "false"},
			sensors.Option{Name: "values", Doc: "true and false, or the numbers 1 and 0", Kind: sensors.Text, Default: "bool", Choices: []string{"bool", "number"}},
		),
		Events: true,
		Every:  time.Minute,
		Channels: func(sensors.Options) []sensors.Channel {
			return []sensors.Channel{{Kind: "OtherSensor", Fixed: true}}
		},
		Open: func(_ context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			g := &gpioin{label: lineLabel("gpio-in", o), activeLow: o.Switch("active_low"), numbers: o.Text("values") == "number"}
			var err error
			if g.line, err = openLine(env, o, sensors.BothEdges); err != nil {
				return nil, g.wrap(err)
			}
			return g, nil
		},
	})
}

// gpioin is a line that is read.
type gpioin struct {
	label
	line      sensors.Input
	activeLow bool
	numbers   bool

	// mu keeps the order: a level that was read before an edge must not be
	// published after it, where it would stand until the next interval.
	mu    sync.Mutex
	emit  func([]sensors.Sample) // nil: nobody watches
	last  bool                   // published last
	known bool                   // one was
}

// sample is what is published of a level of the wire, for who has the lock.
func (g *gpioin) sample(high bool) []sensors.Sample {
	g.last, g.known = high, true
	on := high != g.activeLow
	value := json.RawMessage(strconv.FormatBool(on))
	if g.numbers {
		value = json.RawMessage("0")
		if on {
			value = json.RawMessage("1")
		}
	}
	return []sensors.Sample{{Value: value}}
}

// Sample implements sensors.Sampler. While the line is watched it publishes the
// level itself and gives none.
func (g *gpioin) Sample(context.Context) ([]sensors.Sample, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	high, err := g.line.Level()
	if err != nil {
		return nil, g.wrap(err)
	}
	samples := g.sample(high)
	if g.emit != nil {
		g.emit(samples)
		return nil, nil
	}
	return samples, nil
}

// Watch implements sensors.Watcher.
func (g *gpioin) Watch(ctx context.Context, emit func([]sensors.Sample)) error {
	g.watch(emit)
	defer g.watch(nil)
	for {
		e, err := g.line.Next(ctx)
		if err != nil {
			return g.wrap(err)
		}
		g.changed(e.Rising)
		// Some edges are lost and some are told wrong, but the level is the level.
		high, err := g.line.Level()
		if err != nil {
			return g.wrap(err)
		}
		g.changed(high)
	}
}

func (g *gpioin) watch(emit func([]sensors.Sample)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.emit = emit
}

// changed publishes a level if it is news.
func (g *gpioin) changed(high bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.known || high != g.last {
		g.emit(g.sample(high))
	}
}

// Close implements sensors.Sampler.
func (g *gpioin) Close() error { return g.wrap(g.line.Close()) }
