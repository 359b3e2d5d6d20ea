package config

import (
	"strings"
	"testing"
	"time"

	"fieldgate/sensors"
)

// TestFormsOfOneValue: what means the same is the same, however it is written.
func TestFormsOfOneValue(t *testing.T) {
	const devices = "devices: [{id: D}]\n"
	for _, c := range []struct {
		yaml string
		ok   func(*Config) bool
	}{
		{`sensors: [{driver: bme280, device: D, address: 0x76, bus: "i2c:1"}]`, address(0x76)},
		{`sensors: [{driver: bme280, device: D, address: "0x77", bus: /dev/i2c-1}]`, address(0x77)},
		{`sensors: [{driver: bme280, device: D, address: 118, bus: I2C1}]`, address(0x76)},
		{`sensors: [{driver: bme280, device: D}]`, address(0x76)},
		{`sensors: [{driver: gpio-in, device: D, pin: "gpiochip0:07", active_low: True, debounce: 0s}]`, func(c *Config) bool {
			o := c.Sensors[0].Options
			return o.Switch("active_low") && o.Text("pin") == "gpiochip0:7"
		}},
		{`sensors: [{driver: fake, device: D, period: 1d, every: 1d}]`, func(c *Config) bool {
			return c.Sensors[0].Options.Span("period") == 24*time.Hour && c.Sensors[0].Every == 24*time.Hour
		}},
		{`actuators: [{driver: gpio-out, device: D, actuator: a, pin: "sim:04", initial: off, on_stop: "off"}]`, settings(sensors.Off, sensors.Off)},
		{`actuators: [{driver: gpio-out, device: D, actuator: a, pin: GPIO4, initial: On, on_stop: True}]`, settings(sensors.On, sensors.On)},
		{`actuators: [{driver: gpio-out, device: D, actuator: a, pin: GPIO4, initial: 1, on_stop: false}]`, settings(sensors.On, sensors.Off)},
		{`actuators: [{driver: pwm-out, device: D, actuator: a, initial: 1, on_stop: 0.5}]`, settings(1, 0.5)},
	} {
		got, err := Parse("f.yaml", []byte(devices+c.yaml))
		if err != nil {
			t.Errorf("%s: %v", c.yaml, err)
		} else if !c.ok(got) {
			t.Errorf("%s: %+v %+v", c.yaml, got.Sensors, got.Actuators)
		}
	}
}

func address(a int64) func(*Config) bool {
	return func(c *Config) bool {
		return c.Sensors[0].Options.Integer("address") == a && c.Sensors[0].Bus == "i2c:1"
	}
}

func settings(initial, onStop sensors.Level) func(*Config) bool {
	return func(c *Config) bool {
		a := c.Actuators[0]
		return a.Initial == sensors.Setting{Level: initial} && a.OnStop == sensors.Setting{Level: onStop}
	}
}

// TestOneLineByTwoNames: gpiochip0:17 is GPIO17 on most boards, but not on all.
func TestOneLineByTwoNames(t *testing.T) {
	c, err := Parse("f.yaml", []byte(`devices: [{id: D}]
sensors:
  - {driver: gpio-in, device: D, sensor: a, pin: GPIO17}
  - {driver: gpio-in, device: D, sensor: b, pin: GPIO18}
  - {driver: gpio-in, device: D, sensor: c, pin: "gpiochip1:18"}
actuators:
  - {driver: gpio-out, device: D, actuator: d, pin: "gpiochip0:17"}
`))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Warnings.Error(); len(c.Warnings) != 2 || !strings.Contains(got, "f.yaml:7:53: actuators[0].pin: gpiochip0:17 may be the line of the sensor in line 3") {
		t.Errorf("warnings:\n%s", got)
	}
}

// TestWrongOptionsHideNothing: what stands beside a wrong option is checked too,
// and is not said to be wrong because of it.
func TestWrongOptionsHideNothing(t *testing.T) {
	for _, name := range sensors.Builtin().Names() {
		yaml := "devices: [{id: D}]\nsensors:\n  - {driver: " + name + ", device: D, nonsense: 1, publish: never, channels: {x: {scale: 0}, temperature: {scale: 2}}}\n"
		_, err := Parse("f.yaml", []byte(yaml))
		if err == nil {
			t.Fatalf("%s: no mistake", name)
		}
		for _, want := range []string{"nonsense: unknown key", "publish: \"never\"", "channels.x.scale: is 0"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not told:\n%v", name, want, err)
			}
		}
		if strings.Contains(err.Error(), "cannot be calibrated") || strings.Contains(err.Error(), "channels.x: unknown") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
