package drivers

import (
	"context"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"time"

	"fieldgate/sensors"
)

// A made-up wave, for tests, for the demo and for trying things out. It follows from
// the clock and a seed alone.
func init() {
	sensors.Register(sensors.Driver{
		Name: "fake",
		Doc:  "made-up wave: for trying things out without hardware",
		Options: []sensors.Option{
			{Name: "kind", Doc: "form of the wave", Kind: sensors.Text, Default: "sine", Choices: []string{"sine", "ramp", "random-walk", "noise"}},
			{Name: "period", Doc: "length of one sine or ramp", Kind: sensors.Span, Default: "10m", Min: 0.001, Max: 366 * 86400},
			{Name: "min", Doc: "smallest value", Kind: sensors.Decimal, Default: "0"},
			{Name: "max", Doc: "largest value", Kind: sensors.Decimal, Default: "100"},
			{Name: "step", Doc: "longest step of the random walk", Kind: sensors.Decimal, Default: "1", Min: 1e-12, Max: 1e12},
			{Name: "decimals", Doc: "digits after the point", Kind: sensors.Integer, Default: "2", Min: 0, Max: 9},
			{Name: "seed", Doc: "start of the random numbers", Kind: sensors.Integer, Default: "1"},
		},
		Check: func(o sensors.Options) []sensors.OptionError {
			if o.Decimal("min") > o.Decimal("max") {
				return []sensors.OptionError{{Option: "min", Problem: "above max", Remedy: "a number that is not above max"}}
			}
			return nil
		},
		Channels: func(o sensors.Options) []sensors.Channel {
			return []sensors.Channel{{Decimals: int(o.Integer("decimals"))}}
		},
		Open: func(_ context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			return newFake(env, o), nil
		},
	})
}

// fake is a wave. Sine and ramp follow from the wall clock alone, so that they
// go on where they were after a restart; noise and the random walk follow from
// the seed and the number of samples since it was opened.
type fake struct {
	now            func() time.Time
	kind           string
	period         time.Duration
	min, max, step float64
	decimals       int
	random         *rand.Rand
	at             float64 // of the random walk
}

func newFake(env sensors.Env, o sensors.Options) *fake {
	h := fnv.New64a() // two sensors with the same seed shall not be in step
	_, _ = h.Write([]byte(env.Device + "/" + env.Sensor))
	f := &fake{
		now:      env.Now,
		kind:     o.Text("kind"),
		period:   o.Span("period"),
		min:      o.Decimal("min"),
		max:      o.Decimal("max"),
		step:     o.Decimal("step"),
		decimals: int(o.Integer("decimals")),
		random:   rand.New(rand.NewPCG(uint64(o.Integer("seed")), h.Sum64())),
	}
	f.at = f.mid()
	return f
}

// mid is halfway between the limits; written so that it cannot overflow.
func (f *fake) mid() float64 { return f.min/2 + f.max/2 }

// Sample implements sensors.Sampler.
func (f *fake) Sample(context.Context) ([]sensors.Sample, error) {
	v, err := sensors.Number(f.value(), f.decimals)
	if err != nil {
		return nil, err
	}
	return []sensors.Sample{{Value: v}}, nil
}

func (f *fake) value() float64 {
	switch f.kind {
	case "ramp":
		return f.between(f.phase())
	case "noise":
		return f.between(f.random.Float64())
	case "random-walk":
		f.at += f.step * (2*f.random.Float64() - 1)
		f.at = min(max(f.at, f.min), f.max)
		return f.at
	}
	return f.between((1 + math.Sin(2*math.Pi*f.phase())) / 2)
}

// between is min at 0 and max at 1.
func (f *fake) between(share float64) float64 { return f.min*(1-share) + f.max*share }

// phase is the part of the present period that has passed, 0 to 1.
func (f *fake) phase() float64 {
	past := time.Duration(f.now().UnixNano()) % f.period
	if past < 0 { // before 1970
		past += f.period
	}
	return float64(past) / float64(f.period)
}

// Close implements sensors.Sampler.
func (f *fake) Close() error { return nil }
