package drivers

import (
	"strings"
	"testing"

	"fieldgate/sensors"
)

// iioTree is what some drivers of the kernel show: bmp280 and dht11 (processed
// values), hdc100x (raw, offset and scale), ads1015 (a scale for each channel),
// mcp320x (one for all), scd4x, a light sensor and one with strange files.
var iioTree = map[string]string{
	"sys/bus/iio/devices/trigger0/name":                          "sysfstrig0",
	"sys/bus/iio/devices/iio:device0":                            "->../../../devices/platform/i2c/iio:device0",
	"sys/devices/platform/i2c/iio:device0/name":                  "bmp280\n",
	"sys/devices/platform/i2c/iio:device0/in_temp_input":         "23450\n",
	"sys/devices/platform/i2c/iio:device0/in_pressure_input":     "100.652125000\n",
	"sys/bus/iio/devices/iio:device1/name":                       "hdc100x\n",
	"sys/bus/iio/devices/iio:device1/label":                      "cellar\n",
	"sys/bus/iio/devices/iio:device1/in_temp_raw":                "26300\n",
	"sys/bus/iio/devices/iio:device1/in_temp_offset":             "-15887.515151\n",
	"sys/bus/iio/devices/iio:device1/in_temp_scale":              "2.517700195\n",
	"sys/bus/iio/devices/iio:device1/in_humidityrelative_raw":    "32768\n",
	"sys/bus/iio/devices/iio:device1/in_humidityrelative_scale":  "1.525878906\n",
	"sys/bus/iio/devices/iio:device2/name":                       "ads1015\n",
	"sys/bus/iio/devices/iio:device2/in_voltage0_raw":            "1000\n",
	"sys/bus/iio/devices/iio:device2/in_voltage0_scale":          "3.000000000\n",
	"sys/bus/iio/devices/iio:device2/in_voltage_scale":           "9\n",
	"sys/bus/iio/devices/iio:device2/in_voltage0-voltage1_raw":   "-100\n",
	"sys/bus/iio/devices/iio:device2/in_voltage-voltage_scale":   "2\n",
	"sys/bus/iio/devices/iio:device3/name":                       "mcp3208\n",
	"sys/bus/iio/devices/iio:device3/in_voltage7_raw":            "2048\n",
	"sys/bus/iio/devices/iio:device3/in_voltage_scale":           "0.805664062\n",
	"sys/bus/iio/devices/iio:device3/in_current0_raw":            "500",
	"sys/bus/iio/devices/iio:device3/scale":                      "0.5",
	"sys/bus/iio/devices/iio:device4/name":                       "scd4x\n",
	"sys/bus/iio/devices/iio:device4/in_concentration_co2_raw":   "612\n",
	"sys/bus/iio/devices/iio:device4/in_concentration_co2_scale": "0.000100000\n",
	"sys/bus/iio/devices/iio:device4/in_distance_input":          "0.253",
	"sys/bus/iio/devices/iio:device4/in_illuminance0_input":      "312.5",
	"sys/bus/iio/devices/iio:device4/in_power3_raw":              "1500",
	"sys/bus/iio/devices/iio:device4/in_resistance_raw":          "10000",
	"sys/bus/iio/devices/iio:device4/in_accel_x_raw":             "16384",
	"sys/bus/iio/devices/iio:device4/in_accel_scale":             "0.000598",
	"sys/bus/iio/devices/iio:device4/in_temp_object_raw":         "14657",
	"sys/bus/iio/devices/iio:device4/in_temp_offset":             "-13657.5",
	"sys/bus/iio/devices/iio:device4/in_temp_scale":              "20",
	"sys/bus/iio/devices/iio:device4/in_proximity_raw":           "44",
	"sys/bus/iio/devices/iio:device4/in_newthing_raw":            "7",
	"sys/bus/iio/devices/iio:device5/name":                       "strange\n",
	"sys/bus/iio/devices/iio:device5/in_temp_raw":                "x\n",
	"sys/bus/iio/devices/iio:device5/in_temp1_raw":               "0\n",
	"sys/bus/iio/devices/iio:device5/in_temp1_offset":            "-300000\n",
	"sys/bus/iio/devices/iio:device5/in_temp2_raw":               "10\n",
	"sys/bus/iio/devices/iio:device5/in_temp2_scale":             "\n",
	"sys/bus/iio/devices/iio:device5/in_temp3_raw":               "10\n",
	"sys/bus/iio/devices/iio:device5/in_temp3_offset":            "1.000000 dB\n",
	"sys/bus/iio/devices/iio:device5/in_temp4_input":             "",
	"sys/bus/iio/devices/iio:device5/in_temp4_raw":               "20000",
	"sys/bus/iio/devices/iio:device5/in_rot_quaternion_raw":      "1 2 3 4",
	"sys/bus/iio/devices/iio:device5/in_humidityrelative_input":  "150000",
	"sys/bus/iio/devices/iio:device5/in_illuminance_input":       "-1",
	"sys/bus/iio/devices/iio:device6/name":                       "bmp280\n",
	"sys/bus/iio/devices/iio:device7/name":                       "dht11@0\n",
	"sys/bus/iio/devices/iio:device7/in_temp_input":              "19000",
}

func TestIIO(t *testing.T) {
	for _, c := range []struct{ chip, input, want string }{
		{"iio:device0", "in_temp", "=23.45"},
		{"iio:device0", "in_temp_input", "=23.45"},
		{"iio:device0", "in_pressure", "=1006.52"},
		{"hdc100x", "in_temp", "=26.22"}, // (26300 - 15887.515151) * 2.517700195
		{"cellar", "in_humidityrelative", "=50.00"},
		{"hdc100x", "in_temp_raw", "=26300"},
		{"ads1015", "in_voltage0", "=3.000000"},
		{"ads1015", "in_voltage0_raw", "=1000"},
		{"ads1015", "in_voltage0-voltage1", "=-0.200000"},
		{"mcp3208", "in_voltage7", "=1.650000"},
		{"mcp3208", "in_current0", "=0.250000"},
		{"scd4x", "in_concentration_co2", "=612.0"},
		{"scd4x", "in_distance", "=0.253"},
		{"scd4x", "in_illuminance0", "=312.50"},
		{"scd4x", "in_power3", "=1.500000"},
		{"scd4x", "in_resistance", "=10000.000"},
		{"scd4x", "in_accel_x", "=9.7976"},
		{"scd4x", "in_temp_object", "=19.99"}, // MLX90614: 293.14 K
		{"scd4x", "in_proximity", "=44.000"},
		{"scd4x", "in_newthing", "=7.000000"},
		{"dht11@0", "in_temp", "=19.00"},
	} {
		sysfsRead(t, "iio", iioTree, map[string]string{"chip": c.chip, "input": c.input}, c.want)
	}
}

func TestIIOFaults(t *testing.T) {
	for _, c := range []struct{ chip, input, says string }{
		{"strange", "in_temp", `iio:device5/in_temp_raw: "x" is no number`},
		{"strange", "in_temp1", "in_temp1_raw: -300 DegreeCelsius is not possible"},
		{"strange", "in_temp2", "in_temp2_scale: the file is empty"},
		{"strange", "in_temp3", "in_temp3_offset"},
		{"strange", "in_temp4", "in_temp4_input: the file is empty"},
		{"strange", "in_rot_quaternion", `"1 2 3 4" is no number`},
		{"strange", "in_humidityrelative", "150 Percent is not possible"},
		{"strange", "in_illuminance", "-1 Lux is not possible"},
		{"strange", "in_voltage3", "in_voltage3_raw: no such file"},
		{"strange", "in_temp1_input", "in_temp1_input: no such file"},
		{"bmp280", "in_temp", "iio:device0, iio:device6"},
		{"bme680", "in_temp", "iio:device1 (cellar)"},
		{"iio:device9", "in_temp", sensors.ErrAbsent.Error()},
	} {
		sysfsRead(t, "iio", iioTree, map[string]string{"chip": c.chip, "input": c.input}, "", c.says, c.chip+" "+c.input)
	}
	sysfsRead(t, "iio", nil, map[string]string{"chip": "bmp280", "input": "in_temp"}, "", "sys/bus/iio/devices", sensors.ErrAbsent.Error())
	for _, input := range []string{"temp", "in_", "in_temp/../x", "out_voltage0", "in_Temp", "in_temp.raw", "in_temp_", ""} {
		sysfsRefuses(t, "iio", map[string]string{"chip": "x", "input": input}, "input")
	}
}

// TestIIOShared: where a channel's scale may be, the most particular first
// (sysfs-bus-iio).
func TestIIOShared(t *testing.T) {
	for input, want := range map[string]string{
		"in_temp":                       "in_temp_scale in_scale scale",
		"in_voltage0":                   "in_voltage0_scale in_voltage_scale in_scale scale",
		"in_voltage0_i":                 "in_voltage0_i_scale in_voltage0_scale in_voltage_i_scale in_voltage_scale in_scale scale",
		"in_voltage2-voltage3":          "in_voltage2-voltage3_scale in_voltage-voltage_scale in_scale scale",
		"in_accel_x":                    "in_accel_x_scale in_accel_scale in_scale scale",
		"in_velocity_sqrt(x^2+y^2+z^2)": "in_velocity_sqrt(x^2+y^2+z^2)_scale in_velocity_scale in_scale scale",
	} {
		in, err := parseIIOInput(input)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := strings.Join(in.shared("scale"), " "); got != want {
			t.Errorf("%s: %s; want %s", input, got, want)
		}
	}
}

func TestIIOWords(t *testing.T) {
	for _, kind := range strings.Fields(`temp humidityrelative pressure voltage altvoltage current altcurrent power energy resistance capacitance
		electricalconductivity illuminance intensity distance proximity accel gravity anglvel angl incli magn velocity count steps ph
		concentration concentration_co2 concentration_voc massconcentration_pm2p5`) {
		d, _ := sensors.Builtin().Lookup("iio")
		got := d.Channels(sensors.Options{"input": "in_" + kind})
		channels(t, got)
		if got[0].Kind == "" {
			t.Errorf("%s: %+v", kind, got)
		}
	}
}

func FuzzIIOInput(f *testing.F) {
	for _, s := range []string{"in_temp", "in_voltage0-voltage1_raw", "in_velocity_sqrt(x^2+y^2+z^2)", "in_concentration_co2_input"} {
		f.Add(s, "612")
	}
	f.Fuzz(func(t *testing.T, s, text string) {
		in, err := parseIIOInput(s)
		if err != nil {
			return
		}
		for _, name := range append(in.shared("scale"), in.name) {
			if strings.ContainsAny(name, "/.") {
				t.Errorf("%q: %q leaves the folder", s, name)
			}
		}
		v, err := parseSysfsNumber(text)
		if err != nil {
			return
		}
		q := in.quantity()
		if v, err = q.convert(v); err == nil && !(v >= q.low && v <= q.high) {
			t.Errorf("%s %s: %v", s, text, v)
		}
	})
}
