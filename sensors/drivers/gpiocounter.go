package drivers

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"fieldgate/sensors"
)

// Pulses on a GPIO line: a rain gauge, a flow meter, the S0 output of an energy
// meter (pulses of 30 ms and more, EN 62053-31), an anemometer. The defaults are
// for a contact to ground, which pulls the line down.
//
// Pulses that the kernel had no room to queue are counted too: it numbers the
// edges. The total begins with the value that was recorded last, so that pulses
// since then are lost when the process is killed or the power is cut: at most those
// of ten seconds, whatever the interval, because the total is published for their
// sake. None are when the gateway stops or the line fails.
func init() {
	sensors.Register(sensors.Driver{
		Name: "gpio-counter",
		Doc:  "GPIO line: total of its pulses, which survives a restart, and their rate",
		Options: append(lineOptions("up"),
			sensors.Option{Name: "edge", Doc: "which changes of the line count", Kind: sensors.Text, Default: "falling",
				Choices: []string{"falling", "rising", "both"}},
			sensors.Option{Name: "per_pulse", Doc: "what one pulse stands for, such as 0.2794 (mm of rain)", Kind: sensors.Decimal, Default: "1",
				Min: 1e-9, Max: 1e9},
			sensors.Option{Name: "rate_per", Doc: "time that the rate is for", Kind: sensors.Text, Default: "minute",
				Choices: []string{"second", "minute", "hour"}},
			sensors.Option{Name: "initial", Doc: "total to begin with while none is recorded, such as the meter's reading", Kind: sensors.Decimal,
				Default: "0", Min: -1e12, Max: 1e12},
		),
		Events:   true,
		Every:    time.Minute,
		Channels: gpiocounterChannels,
		Open: func(_ context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			c := newGPIOCounter(env, o)
			var err error
			if c.line, err = openLine(env, o, gpiocounterEdges[o.Text("edge")]); err != nil {
				return nil, c.wrap(err)
			}
			return c, nil
		},
	})
}

var gpiocounterEdges = map[string]sensors.Edges{"falling": sensors.FallingEdge, "rising": sensors.RisingEdge, "both": sensors.BothEdges}

func gpiocounterChannels(o sensors.Options) []sensors.Channel {
	places := gpiocounterPlaces(o.Decimal("per_pulse"))
	total := sensors.Channel{Suffix: "total", Kind: "Counter", Decimals: max(places, gpiocounterPlaces(o.Decimal("initial"))), Fixed: true}
	rate := sensors.Channel{Suffix: "rate", Kind: "Counter", Decimals: gpiocounterRatePlaces(places)}
	if o.Decimal("per_pulse") == 1 {
		total.Quantity, total.Unit = "Count", "Dimensionless"
		if o.Text("rate_per") == "second" {
			rate.Kind, rate.Quantity, rate.Unit = "FrequencySensor", "Frequency", "Hertz"
		}
	}
	return []sensors.Channel{total, rate}
}

// gpiocounterPlaces is how many digits after the point a number has, at most 9.
func gpiocounterPlaces(v float64) int {
	_, digits, _ := strings.Cut(strconv.FormatFloat(v, 'f', -1, 64), ".")
	return min(len(digits), 9)
}

// gpiocounterRatePlaces is how many a rate has: it is no multiple of a pulse.
func gpiocounterRatePlaces(perPulse int) int { return max(perPulse, 3) }

// gpiocounter counts the edges of a line.
type gpiocounter struct {
	label
	line              sensors.Input
	now               func() time.Time
	perPulse          float64
	ratePer           time.Duration
	base              float64 // total when it was opened
	places, ratePlace int

	mu       sync.Mutex
	pulses   uint64 // since then
	watching bool
	told     uint64    // pulses that the last total counts
	before   uint64    // pulses at the last sample with a rate
	sampled  time.Time // when that was; zero: never
}

func newGPIOCounter(env sensors.Env, o sensors.Options) *gpiocounter {
	c := &gpiocounter{
		label:    lineLabel("gpio-counter", o),
		now:      env.Now,
		perPulse: o.Decimal("per_pulse"),
		ratePer:  map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour}[o.Text("rate_per")],
		base:     o.Decimal("initial"),
	}
	if env.Last != nil {
		if raw, ok := env.Last("total"); ok {
			if v, err := strconv.ParseFloat(string(raw), 64); err == nil { // else it was no counter's
				c.base = v
			}
		}
	}
	c.places = max(gpiocounterPlaces(c.perPulse), gpiocounterPlaces(c.base))
	c.ratePlace = gpiocounterRatePlaces(gpiocounterPlaces(c.perPulse))
	return c
}

// Sample implements sensors.Sampler: the total, and the rate since the sample
// before. The first one after the line was opened has no rate, nor has the last
// one, which may come soon after the one before it.
func (c *gpiocounter) Sample(context.Context) ([]sensors.Sample, error) {
	if _, err := c.line.Level(); err != nil { // a line that is gone gives no pulses
		return nil, c.wrap(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	total, err := c.total()
	if err != nil {
		return nil, c.wrap(err)
	}
	out := []sensors.Sample{total}
	now := c.now()
	if span := now.Sub(c.sampled); !c.sampled.IsZero() && c.watching && span > 0 {
		rate, err := sensors.Measured("rate", float64(c.pulses-c.before)*c.perPulse*float64(c.ratePer)/float64(span), c.ratePlace)
		if err != nil {
			return nil, c.wrap(err)
		}
		out = append(out, rate)
	}
	c.before, c.sampled = c.pulses, now
	return out, nil
}

// gpiocounterWait is how long pulses wait for the next sample before the total is
// published for their sake: no more are lost when the process is killed.
const gpiocounterWait = 10 * time.Second

// total is the present total, for who has the lock and tells it.
func (c *gpiocounter) total() (sensors.Sample, error) {
	c.told = c.pulses
	return sensors.Measured("total", c.base+float64(c.pulses)*c.perPulse, c.places)
}

// Watch implements sensors.Watcher.
func (c *gpiocounter) Watch(ctx context.Context, emit func([]sensors.Sample)) error {
	c.watch(true)
	defer c.watch(false)
	for {
		err := c.until(ctx)
		if ctx.Err() != nil {
			c.rest()
			return ctx.Err()
		}
		// A line that failed is opened anew, and the total goes on from what is
		// recorded.
		c.mu.Lock()
		news := c.told != c.pulses
		total, terr := c.total()
		c.mu.Unlock()
		if terr == nil && (news || err != nil) {
			emit([]sensors.Sample{total})
		}
		if err != nil {
			return c.wrap(err)
		}
	}
}

// until counts edges until some have waited for gpiocounterWait, or the line fails.
func (c *gpiocounter) until(ctx context.Context) error {
	e, err := c.line.Next(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, gpiocounterWait)
	defer cancel()
	for ; err == nil; e, err = c.line.Next(ctx) {
		c.count(e)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// rest counts the edges that are queued still.
func (c *gpiocounter) rest() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	for {
		e, err := c.line.Next(ctx)
		if err != nil {
			return
		}
		c.count(e)
	}
}

func (c *gpiocounter) watch(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watching = on
}

// count adds an edge and those that were lost right before it. Only those that
// count were asked for: of both, the kernel does not know the directions well.
func (c *gpiocounter) count(e sensors.Edge) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pulses += 1 + uint64(e.Lost)
}

// Close implements sensors.Sampler.
func (c *gpiocounter) Close() error { return c.wrap(c.line.Close()) }
