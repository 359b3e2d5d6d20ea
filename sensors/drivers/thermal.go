package drivers

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"fieldgate/sensors"
)

// thermal reads the kernel's thermal zones: the temperature of the processor
// and of other hot places of the board.
//
// Source: the kernel's Documentation/ABI/testing/sysfs-class-thermal; temp is in
// milli °C. A zone whose sensor is off gives an error of the kernel (EAGAIN,
// EINVAL), or a temperature below absolute zero, which is an error here.
func init() {
	q := &sysfsQuantity{factor: 1e-3, low: -273.15, high: math.MaxFloat64,
		channel: sensors.Channel{Kind: "BoardThermometer", Quantity: "BoardTemperature", Unit: "DegreeCelsius", Decimals: 1}}
	sensors.Register(sensors.Driver{
		Name: "thermal",
		Doc:  "the kernel's thermal zones: temperature of the processor and other hot places",
		Options: []sensors.Option{
			{Name: "zone", Doc: "its number, or its type such as cpu-thermal", Kind: sensors.Text, Default: "0"},
		},
		Every:    30 * time.Second,
		Channels: func(sensors.Options) []sensors.Channel { return []sensors.Channel{q.channel} },
		Open: func(_ context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			zone := o.Text("zone")
			s := &sysfsSensor{label: label("thermal: zone " + zone), channel: q.channel}
			if thermalNumber(zone) {
				zone = "thermal_zone" + zone
			}
			dir, err := sysfsDevice(env.Board.Root(), "sys/class/thermal", "thermal_zone", zone, "type")
			if err != nil {
				return nil, s.wrap(err)
			}
			path := filepath.Join(dir, "temp")
			s.read = func() (float64, error) {
				v, err := sysfsNumber(path)
				if err != nil {
					return 0, err
				}
				if v, err = q.convert(v); err != nil {
					return 0, fmt.Errorf("%s: %w", path, err)
				}
				return v, nil
			}
			return s, nil
		},
	})
}

// thermalNumber reports whether a zone is named by its number.
func thermalNumber(zone string) bool {
	for _, c := range zone {
		if c < '0' || c > '9' {
			return false
		}
	}
	return zone != ""
}
