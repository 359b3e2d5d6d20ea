package board

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// files are the files of a tree: what they say, or "-> target" for a link. A
// name that ends in / is an empty folder.
type files map[string]string

// with gives the files of both.
func (f files) with(more files) files {
	out := maps.Clone(f)
	maps.Copy(out, more)
	return out
}

// plant makes the files below a folder of the test's. Device nodes become files
// that the group may write.
func plant(t *testing.T, f files) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range f {
		p := filepath.Join(root, name)
		dir := filepath.Dir(p)
		if strings.HasSuffix(name, "/") {
			dir = p
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch target, link := strings.CutPrefix(text, "-> "); {
		case strings.HasSuffix(name, "/"):
		case link:
			err = os.Symlink(target, p)
		default:
			err = os.WriteFile(p, []byte(text), 0o644)
		}
		if err == nil && strings.HasPrefix(name, "/dev/") {
			err = os.Chmod(p, 0o660)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// people are two users with numbers that no test runs as; the group of the
// test's files has the name of group.
func people(group, members string) files {
	return files{
		"/etc/passwd": "root:x:0:0::/root:/bin/sh\npi:x:54321:54321::/home/pi:/bin/sh\nfieldgate:x:54322:54322::/:/bin/false\n",
		"/etc/group":  fmt.Sprintf("%s:x:%d:%s\n", group, os.Getgid(), members),
	}
}

// piZero is a Raspberry Pi Zero W where nothing is switched on.
func piZero() files {
	return files{
		"/sys/firmware/devicetree/base/model":                         "Raspberry Pi Zero W Rev 1.1\x00",
		"/proc/sys/kernel/osrelease":                                  "6.12.47+rpt-rpi-v6\n",
		"/boot/firmware/config.txt":                                   "# For more options see http://rptl.io/configtxt\n#dtparam=i2c_arm=on\n#dtparam=spi=on\n\n[cm5]\ndtoverlay=dwc2,dr_mode=host\n[pi4]\ndtoverlay=w1-gpio\n\n[all]\nenable_uart=1\n",
		"/proc/meminfo":                                               "MemTotal:         441000 kB\nMemFree:           20000 kB\nMemAvailable:     250000 kB\n",
		"/proc/mounts":                                                "/dev/root / ext4 rw,noatime 0 0\ntmpfs /run tmpfs rw,nosuid 0 0\n/dev/mmcblk0p1 /boot/firmware vfat rw 0 0\n",
		"/sys/class/thermal/thermal_zone0/type":                       "cpu-thermal\n",
		"/sys/class/thermal/thermal_zone0/temp":                       "41234\n",
		"/sys/devices/platform/soc/soc:firmware/get_throttled":        "0\n",
		"/sys/class/hwmon/hwmon0/name":                                "cpu_thermal\n",
		"/sys/class/hwmon/hwmon0/temp1_input":                         "41234\n",
		"/sys/class/hwmon/hwmon1/name":                                "rpi_volt\n",
		"/sys/class/hwmon/hwmon1/in0_lcrit_alarm":                     "0\n",
		"/sys/block/mmcblk0/device/type":                              "SD\n",
		"/sys/block/mmcblk0/device/name":                              "SC16G\n",
		"/sys/module/pinctrl_bcm2835/parameters/persist_gpio_outputs": "Y\n",
		"/dev/gpiochip0":                                              "",
		"/var/lib/":                                                   "",
	}
}

// pi5 is a Raspberry Pi 5 with everything switched on.
func pi5() files {
	return files{
		"/sys/firmware/devicetree/base/model":                        "Raspberry Pi 5 Model B Rev 1.0\x00",
		"/proc/sys/kernel/osrelease":                                 "6.12.47+rpt-rpi-2712\n",
		"/boot/firmware/config.txt":                                  "dtparam=i2c_arm=on,spi=on\ndtoverlay=w1-gpio\n",
		"/proc/net/connector":                                        "Name            ID\ncn_proc         1:1\nw1              3:1\n",
		"/dev/i2c-1":                                                 "",
		"/dev/i2c-13":                                                "",
		"/sys/class/i2c-dev/i2c-1/name":                              "Synopsys DesignWare I2C adapter\n",
		"/sys/class/i2c-dev/i2c-13/name":                             "107d508200.i2c\n",
		"/sys/bus/i2c/devices/1-0068/driver":                         "-> ../../../../bus/i2c/drivers/rtc-ds1307",
		"/sys/bus/i2c/devices/1-0050/name":                           "24c32\n",
		"/dev/spidev0.0":                                             "",
		"/dev/spidev0.1":                                             "",
		"/dev/gpiochip0":                                             "",
		"/sys/bus/w1/devices/w1_bus_master1/w1_master_slaves":        "28-0316a2795cff\n26-000001234567\n",
		"/sys/bus/iio/devices/iio:device0/name":                      "dht11\n",
		"/sys/bus/iio/devices/iio:device0/in_temp_input":             "21000\n",
		"/sys/bus/iio/devices/iio:device0/in_humidityrelative_input": "40000\n",
		"/sys/class/hwmon/hwmon0/name":                               "cpu_thermal\n",
		"/sys/class/hwmon/hwmon0/temp1_input":                        "52000\n",
		"/sys/class/hwmon/hwmon1/name":                               "rp1_adc\n",
		"/sys/class/hwmon/hwmon1/in1_input":                          "1500\n",
		"/sys/class/hwmon/hwmon1/in1_label":                          "CC1\n",
		"/sys/class/thermal/thermal_zone0/type":                      "cpu-thermal\n",
		"/sys/class/thermal/thermal_zone0/temp":                      "52000\n",
		"/sys/class/rtc/rtc0/name":                                   "rpi-rtc\n",
	}
}

// headerChips are the GPIO chips of a Raspberry Pi with the names that Debian's
// kernel has for the first lines.
func headerChips() []GPIOChip {
	c := GPIOChip{Name: "gpiochip0", Label: "pinctrl-bcm2835", ABI: 2, Lines: make([]GPIOLine, 54)}
	for i := range c.Lines {
		c.Lines[i].Name = fmt.Sprintf("GPIO%d", i)
	}
	c.Lines[2].Name, c.Lines[3].Name, c.Lines[4].Name, c.Lines[7].Name = "SDA1", "SCL1", "GPIO_GCLK", "SPI_CE1_N"
	c.Lines[40].Name = ""
	c.Lines[22] = GPIOLine{Name: "GPIO22", Consumer: "gpioset", Used: true, Output: true}
	c.Lines[23] = GPIOLine{Name: "GPIO23", Consumer: consumer, Used: true}
	expander := GPIOChip{Name: "gpiochip1", Label: "raspberrypi-exp-gpio", ABI: 2, Lines: []GPIOLine{{Name: "BT_ON"}, {Name: "GPIO17"}}}
	out := []GPIOChip{expander, c}
	sortChips(out)
	return out
}
