package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"fieldgate/gateway"
	"fieldgate/sensors"
)

// actuators decodes the actuators that this gateway switches itself, and adds
// them to their devices.
func (c *Config) actuators(v value, taken *claims) {
	for _, t := range v.tables() {
		c.actuator(t, taken)
	}
}

func (c *Config) actuator(t *table, taken *claims) {
	it := sensors.OutputItem{}
	r := sensors.Builtin()
	driver := lookup(t.get("driver"), &it.Driver, r.OutputNames(), r.LookupOutput, r.Names(), "sensors")
	device := c.deviceOf(t.get("device"), &it.Device)
	id := t.get("actuator")
	if !id.present() {
		id.missing("the id of an actuator, such as relay")
	} else if id.text(&it.Actuator) {
		if err := gateway.CheckID(it.Actuator); err != nil {
			id.mistake(reason(err), "a name such as relay")
			device = nil
		}
	}
	var name string
	t.get("name").text(&name)
	t.get("max_on").duration(&it.MaxOn, time.Second, 366*24*time.Hour)
	if driver == nil {
		return
	}
	before := len(t.r.mistakes)
	t.get("initial").setting(driver, &it.Initial)
	t.get("on_stop").setting(driver, &it.OnStop)
	if it.MaxOn > 0 && it.OnStop.Level > 0 && !it.OnStop.Keep {
		t.get("on_stop").warn("leaves it on when the gateway ends, and then nobody keeps max_on", "on_stop: off")
	}
	it.Options, _ = t.options(driver.Name, driver.Options, driver.Parse)
	taken.pins(t, driver.Options, it.Options, "actuator")
	if driver.Claims != nil {
		keys := driver.Claims(it.Options)
		if slices.Equal(keys, driver.Claims(sensors.Complete(driver.Options, it.Options))) { // else it was not said right
			for _, key := range keys {
				taken.take(t.value, key, claim{line: t.at.Line, what: "actuator"})
			}
		}
	}
	if key := it.Device + "/" + it.Actuator; it.Actuator != "" {
		if line, twice := taken.actuators[key]; twice {
			id.mistake(fmt.Sprintf("the actuator in line %d is %s of %s already", line, it.Actuator, it.Device), "set actuator to another name")
		}
		taken.actuators[key] = t.at.Line
	}
	if device == nil || it.Actuator == "" || len(t.r.mistakes) > before {
		return
	}
	a, ok := device.Actuator(it.Actuator)
	if !ok {
		device.Actuators = append(device.Actuators, gateway.Actuator{ID: it.Actuator})
		a = &device.Actuators[len(device.Actuators)-1]
	}
	if a.Name == "" {
		a.Name = name
	}
	c.Actuators = append(c.Actuators, it)
}

// setting reads what an output is brought to at the start or at the end.
func (v value) setting(d *sensors.OutputDriver, dst *sensors.Setting) {
	want := "on, off or keep"
	if d.Percent {
		want = "on, off, keep or a number from 0 to 100"
	}
	s, ok := v.scalar(want)
	if !ok {
		return
	}
	setting, err := d.ParseSetting(s)
	if err != nil {
		if meant := map[string]string{"yes": "on", "no": "off"}[strings.ToLower(s)]; meant != "" {
			want = "did you mean " + meant + "? It is " + want
		}
		v.mistake(short(s)+" is not possible", want)
		return
	}
	*dst = setting
}
