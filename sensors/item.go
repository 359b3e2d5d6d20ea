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
	Device  string        // whose readings they are
	Sensor  string        // id of the sensor there; "": the channel's suffix, or the driver's name
	Bus     string        // items with the same bus take turns; "": a bus of its own
	Every   time.Duration // MinEvery to MaxEvery
	Options Options       // as Driver.Parse made them
}

// SensorID is the id under which the channel with this suffix is published.
func (it *Item) SensorID(suffix string) string {
	switch {
	case suffix == "" && it.Sensor == "":
		return it.Driver
	case suffix == "":
		return it.Sensor
	case it.Sensor == "":
		return suffix
	}
	return it.Sensor + "-" + suffix
}
