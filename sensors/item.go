package sensors

import "time"

// Limits of the interval of one sensor.
const (
	MinEvery     = 10 * time.Millisecond
	MaxEvery     = 7 * 24 * time.Hour
	DefaultEvery = 10 * time.Second
)

// Item is one attached sensor as configured.
type Item struct {
	Driver  string
	Device  string           // whose readings they are
	Sensor  string           // id of the sensor there; "": the channel's suffix, or the driver's name
	Alone   bool             // the driver has one channel: Sensor is its id without the suffix
	Bus     string           // by its name from ParseBus; items with the same bus take turns; "": a bus of its own
	Every   time.Duration    // MinEvery to MaxEvery
	Options Options          // as Driver.Parse made them
	Rules   map[string]Rules // by a channel's suffix; absent: all is published as it is measured
}

// SensorID is the id under which the channel with this suffix is published.
func (it *Item) SensorID(suffix string) string {
	switch {
	case suffix == "" && it.Sensor == "":
		return it.Driver
	case suffix == "", it.Alone && it.Sensor != "":
		return it.Sensor
	case it.Sensor == "":
		return suffix
	}
	return it.Sensor + "-" + suffix
}

// Rules say what becomes of the values of one channel.
type Rules struct {
	// Scale and Offset calibrate: value = measured*Scale + Offset. A Scale of 0
	// is 1.
	Scale, Offset float64
	// Points calibrate instead: straight lines between them, and beyond the
	// first and last one as between the two next to it. At least two, ascending
	// in Measured.
	Points []Point
	// Limits is what a calibrated value can be; nil: anything. One outside is an
	// error and is not published.
	Limits  *Limits
	Publish Publish
}

// Point is what a sensor measures where the true value is known.
type Point struct{ Measured, True float64 }

// Limits are the least and the greatest value that can be right.
type Limits struct{ Low, High float64 }

// Publish says which values are published.
type Publish struct {
	OnChange bool
	Change   float64       // OnChange: how far a number must be from the one published last; 0: any change
	Min      time.Duration // shortest time between two; what comes between is left out. 0: no limit
	Max      time.Duration // longest time between two: then a value goes out although it has not changed. 0: no limit
	// Extremes publishes, instead of each value, the lowest and the highest of
	// each span of this length, as the sensors "ID-min" and "ID-max". 0: no.
	Extremes time.Duration
}

// The suffixes of the sensors that Publish.Extremes publishes as.
const (
	LowestSuffix  = "-min"
	HighestSuffix = "-max"
)
