package sensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// ErrLimits is wrapped by the error about a value that cannot be right.
var ErrLimits = errors.New("outside its limits")

// gauge makes of the samples of one channel what is published.
type gauge struct {
	id       string
	channel  Channel
	rules    Rules
	every    time.Duration   // longest time between two values, while all goes well
	numeric  bool            // rules that need a number
	newest   json.RawMessage // of a Fixed channel, published or not; nil: none
	measured bool            // a value was published
	last     float64
	lastText string
	lastAt   time.Time

	// Publish.Extremes:
	opened    time.Time // of the span; zero: no value yet
	low, high float64
}

// reading is a value on its way out.
type reading struct {
	id    string
	value json.RawMessage
}

func newGauge(id string, ch Channel, r Rules, every time.Duration) *gauge {
	if r.Scale == 0 {
		r.Scale = 1
	}
	return &gauge{id: id, channel: ch, rules: r, every: every, numeric: r.calibrates() || r.Limits != nil || r.Publish.Extremes > 0}
}

func (r *Rules) calibrates() bool {
	return len(r.Points) > 0 || r.Scale != 1 && r.Scale != 0 || r.Offset != 0
}

// take gives what of value, measured at a time, is to be published, an error if
// it cannot be right. A final value is the last one: where a channel goes on from
// where it was, it is published if it is news, whatever Publish says.
func (g *gauge) take(out []reading, value json.RawMessage, now time.Time, final bool) ([]reading, error) {
	p := &g.rules.Publish
	v := math.NaN() // of what is no number, or need not be looked at
	if g.numeric || p.OnChange && p.Change > 0 {
		f, err := strconv.ParseFloat(string(value), 64)
		switch {
		case err == nil:
			v = f
		case g.numeric:
			return out, fmt.Errorf("sensors: %s: %.40s is no number", g.id, value)
		}
	}
	if g.rules.calibrates() {
		v = g.rules.calibrate(v)
		var err error
		if value, err = Number(v, g.channel.Decimals); err != nil {
			return out, fmt.Errorf("%w, calibrated, for %s", err, g.id)
		}
	}
	if l := g.rules.Limits; l != nil && (v < l.Low || v > l.High) {
		return out, fmt.Errorf("sensors: %s: %s is %w of %v to %v", g.id, value, ErrLimits, l.Low, l.High)
	}
	if p.Extremes > 0 {
		return g.extremes(out, v, now)
	}
	if g.channel.Fixed {
		g.newest = value
	}
	if g.measured && !g.due(value, v, now) && !(final && g.channel.Fixed && string(value) != g.lastText) {
		return out, nil
	}
	g.measured, g.last, g.lastText, g.lastAt = true, v, string(value), now
	return append(out, reading{g.id, value}), nil
}

// calibrate turns a measured value into the true one.
func (r *Rules) calibrate(v float64) float64 {
	if len(r.Points) < 2 {
		return v*r.Scale + r.Offset
	}
	i := 1
	for i < len(r.Points)-1 && v > r.Points[i].Measured {
		i++
	}
	a, b := r.Points[i-1], r.Points[i]
	return a.True + (v-a.Measured)*(b.True-a.True)/(b.Measured-a.Measured)
}

// due reports whether a value is published after the last one.
func (g *gauge) due(value json.RawMessage, v float64, now time.Time) bool {
	p := &g.rules.Publish
	since := max(now.Sub(g.lastAt), 0)
	switch {
	case since < p.Min:
		return false
	case p.Max > 0 && since+g.every > p.Max: // the next one would be too late
		return true
	case !p.OnChange:
		return true
	case p.Change > 0 && !math.IsNaN(v) && !math.IsNaN(g.last):
		// Half a digit of the text is no change: 20.1 and 20.3 are 0.2 apart.
		return math.Abs(v-g.last) >= p.Change*(1-1e-9)
	}
	return string(value) != g.lastText
}

// extremes keeps the lowest and the highest value, and gives both when the span
// is over.
func (g *gauge) extremes(out []reading, v float64, now time.Time) ([]reading, error) {
	if g.opened.IsZero() {
		g.opened, g.low, g.high = now, v, v
		return out, nil
	}
	if now.Sub(g.opened) < g.rules.Publish.Extremes {
		g.low, g.high = min(g.low, v), max(g.high, v)
		return out, nil
	}
	low, err := Number(g.low, g.channel.Decimals)
	if err != nil {
		return out, err
	}
	high, err := Number(g.high, g.channel.Decimals)
	if err != nil {
		return out, err
	}
	g.opened, g.low, g.high = now, v, v
	return append(out, reading{g.id + LowestSuffix, low}, reading{g.id + HighestSuffix, high}), nil
}
