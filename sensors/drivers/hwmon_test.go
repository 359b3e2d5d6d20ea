package drivers

import (
	"testing"

	"fieldgate/sensors"
)

// hwmonTree is what a Raspberry Pi with an INA226 has, and a chip of a PC that
// is older.
var hwmonTree = map[string]string{
	"sys/class/hwmon/hwmon0":                                       "->../../devices/virtual/thermal/thermal_zone0/hwmon0",
	"sys/devices/virtual/thermal/thermal_zone0/hwmon0/name":        "cpu_thermal\n",
	"sys/devices/virtual/thermal/thermal_zone0/hwmon0/temp1_input": "48312\n",
	"sys/class/hwmon/hwmon1/name":                                  "rpi_volt\n",
	"sys/class/hwmon/hwmon1/in0_lcrit_alarm":                       "0\n",
	"sys/class/hwmon/hwmon2/name":                                  "ina226\n",
	"sys/class/hwmon/hwmon2/in0_input":                             "7\n",
	"sys/class/hwmon/hwmon2/in1_input":                             "12048\n",
	"sys/class/hwmon/hwmon2/curr1_input":                           "-1250\n",
	"sys/class/hwmon/hwmon2/power1_input":                          "15060000\n",
	"sys/class/hwmon/hwmon3/name":                                  "w83627hf\n",
	"sys/class/hwmon/hwmon3/device/temp2_input":                    "-3500\n",
	"sys/class/hwmon/hwmon3/device/temp2_fault":                    "0\n",
	"sys/class/hwmon/hwmon3/device/temp3_input":                    "127000\n",
	"sys/class/hwmon/hwmon3/device/temp3_fault":                    "1\n",
	"sys/class/hwmon/hwmon3/fan1_input":                            "1480\n",
	"sys/class/hwmon/hwmon3/power1_average":                        "2500000\n",
	"sys/class/hwmon/hwmon3/humidity1_input":                       "45123\n",
	"sys/class/hwmon/hwmon3/energy1_input":                         "3600000\n",
	"sys/class/hwmon/hwmon3/freq1_input":                           "800000000\n",
	"sys/class/hwmon/hwmon3/temp5_input":                           "-300000\n",
	"sys/class/hwmon/hwmon3/humidity2_input":                       "125000\n",
	"sys/class/hwmon/hwmon3/temp6_input":                           "warm\n",
	"sys/class/hwmon/hwmon3/temp7_input":                           "",
	"sys/class/hwmon/hwmon3/temp8_input":                           "21000",
	"sys/class/hwmon/hwmon3/temp8_fault":                           "?",
}

func TestHwmon(t *testing.T) {
	for _, c := range []struct{ chip, input, want string }{
		{"cpu_thermal", "temp1", "=48.31"},
		{"hwmon0", "temp1_input", "=48.31"},
		{"ina226", "in0", "=0.007"},
		{"ina226", "in1", "=12.048"},
		{"ina226", "curr1", "=-1.250"},
		{"ina226", "power1", "=15.0600"},
		{"w83627hf", "temp2", "=-3.50"},
		{"w83627hf", "fan1", "=1480"},
		{"w83627hf", "power1", "=2.5000"},
		{"w83627hf", "humidity1", "=45.12"},
		{"w83627hf", "energy1", "=3.600"},
		{"w83627hf", "freq1", "=800000000"},
	} {
		sysfsRead(t, "hwmon", hwmonTree, map[string]string{"chip": c.chip, "input": c.input}, c.want)
	}
}

func TestHwmonFaults(t *testing.T) {
	for _, c := range []struct{ chip, input, says string }{
		{"w83627hf", "temp3", "temp3_fault: the chip reports a fault"},
		{"w83627hf", "temp4", "hwmon3/temp4_input: no such file"},
		{"w83627hf", "power9", "hwmon3/power9_input: no such file"},
		{"w83627hf", "temp5", "temp5_input: -300 DegreeCelsius is not possible"},
		{"w83627hf", "humidity2", "humidity2_input: 125 Percent is not possible"},
		{"w83627hf", "temp6", `temp6_input: "warm" is no number`},
		{"w83627hf", "temp7", "temp7_input: the file is empty"},
		{"w83627hf", "temp8", "temp8_fault"},
		{"bme280", "temp1", "hwmon2 (ina226)"},
	} {
		sysfsRead(t, "hwmon", hwmonTree, map[string]string{"chip": c.chip, "input": c.input}, "", c.says, c.chip+" "+c.input)
	}
	sysfsRead(t, "hwmon", nil, map[string]string{"chip": "ina226", "input": "in1"}, "", "sys/class/hwmon", sensors.ErrAbsent.Error())
	for _, input := range []string{"temp", "temp1_max", "pwm1", "../temp1", "in", "in0/x", ""} {
		sysfsRefuses(t, "hwmon", map[string]string{"chip": "x", "input": input}, "input")
	}
}

func FuzzHwmonInput(f *testing.F) {
	f.Add("temp1", "48312")
	f.Add("humidity1_input", "45123")
	f.Fuzz(func(t *testing.T, input, text string) {
		_, q, err := parseHwmonInput(input)
		if err != nil {
			return
		}
		channels(t, []sensors.Channel{q.channel})
		v, err := parseSysfsNumber(text)
		if err != nil {
			return
		}
		if v, err = q.convert(v); err == nil && !(v >= q.low && v <= q.high) {
			t.Errorf("%s %s: %v", input, text, v)
		}
	})
}
