package drivers

import (
	"testing"

	"fieldgate/sensors"
)

func TestThermal(t *testing.T) {
	tree := map[string]string{
		"sys/class/thermal/cooling_device0/type": "pwm-fan",
		"sys/class/thermal/thermal_zone0/type":   "cpu-thermal\n",
		"sys/class/thermal/thermal_zone0/temp":   "48312\n",
		"sys/class/thermal/thermal_zone1/type":   "gpu-thermal\n",
		"sys/class/thermal/thermal_zone1/temp":   "-5000\n",
		"sys/class/thermal/thermal_zone2/type":   "off",
		"sys/class/thermal/thermal_zone2/temp":   "",
		"sys/class/thermal/thermal_zone3/type":   "broken",
		"sys/class/thermal/thermal_zone3/temp":   "-274000",
		"sys/class/thermal/thermal_zone4/temp":   "hot",
	}
	for zone, want := range map[string]string{"": "=48.3", "0": "=48.3", "cpu-thermal": "=48.3", "thermal_zone1": "=-5.0", "gpu-thermal": "=-5.0"} {
		written := map[string]string{"zone": zone}
		if zone == "" {
			written = nil
		}
		sysfsRead(t, "thermal", tree, written, want)
	}
	for zone, says := range map[string]string{
		"2": "thermal_zone2/temp: the file is empty", "broken": "thermal_zone3/temp: -274 DegreeCelsius is not possible", "4": `"hot" is no number`,
		"9": "thermal_zone0 (cpu-thermal)", "pwm-fan": sensors.ErrAbsent.Error(), "cooling_device0": sensors.ErrAbsent.Error(), "../hwmon0": sensors.ErrAbsent.Error(),
	} {
		sysfsRead(t, "thermal", tree, map[string]string{"zone": zone}, "", says, "zone "+zone)
	}
	sysfsRead(t, "thermal", nil, nil, "", "sys/class/thermal", sensors.ErrAbsent.Error())
}
