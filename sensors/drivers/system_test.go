package drivers

import (
	"strings"
	"testing"

	"fieldgate/sensors"
)

// systemTree is what a Raspberry Pi with an eMMC shows (shortened).
var systemTree = map[string]string{
	"proc/loadavg":                           "0.52 0.48 0.40 1/213 4242\n",
	"proc/uptime":                            "350735.47 234388.90\n",
	"proc/meminfo":                           "MemTotal:         948280 kB\nMemFree:          104180 kB\nMemAvailable:     711210 kB\nBuffers:           38204 kB\n",
	"sys/class/hwmon/hwmon1/name":            "rpi_volt\n",
	"sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1\n",
	"sys/devices/platform/soc/soc:firmware/get_throttled": "50000\n",
	"sys/block/mmcblk0/device/life_time":                  "0x01 0x02\n",
	"sys/block/mmcblk1/device/name":                       "SD32G",
}

// systemWith gives the tree without some files, and with others.
func systemWith(files map[string]string, gone ...string) map[string]string {
	tree := map[string]string{}
	for name, text := range systemTree {
		tree[name] = text
	}
	for _, name := range gone {
		delete(tree, name)
	}
	for name, text := range files {
		tree[name] = text
	}
	return tree
}

func TestSystem(t *testing.T) {
	const firmware, volt = "sys/devices/platform/soc/soc:firmware/get_throttled", "sys/class/hwmon/hwmon1/name"
	for _, c := range []struct {
		values string
		tree   map[string]string
		want   string
	}{
		{"load,memory,uptime", systemTree, "load=0.52 memory=25.0 uptime=350735"},
		{" uptime , load", systemTree, "uptime=350735 load=0.52"},
		{"undervoltage,throttled,card", systemTree, "undervoltage=true throttled=true card=20"},
		{"undervoltage", systemWith(map[string]string{"sys/class/hwmon/hwmon1/in0_lcrit_alarm": "0\n"}), "undervoltage=false"},
		// Without rpi_volt the firmware's bits say it.
		{"undervoltage,throttled", systemWith(nil, volt), "undervoltage=true throttled=true"},
		{"undervoltage,throttled", systemWith(map[string]string{firmware: "0"}, volt), "undervoltage=false throttled=false"},
		{"undervoltage,throttled", systemWith(map[string]string{firmware: "1"}, volt), "undervoltage=true throttled=false"},
		{"undervoltage,throttled", systemWith(map[string]string{firmware: "80008"}, volt), "undervoltage=false throttled=true"},
		{"throttled", systemWith(map[string]string{"sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled": "e0000"}, firmware), "throttled=true"},
		{"card", systemWith(map[string]string{"sys/block/mmcblk0/device/life_time": "0x0b 0x00"}), "card=110"},
	} {
		sysfsRead(t, "system", c.tree, map[string]string{"values": c.values}, c.want)
	}
	// The disk is that of this machine: only that it is measured can be said.
	got, err := measure(t, &bench{root: sysfsTree(t, systemTree)}, "system", map[string]string{"disk": "/proc"})
	if err != nil || !strings.HasPrefix(got, "load=0.52 memory=25.0 disk=") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestSystemFaults(t *testing.T) {
	const firmware, volt = "sys/devices/platform/soc/soc:firmware/get_throttled", "sys/class/hwmon/hwmon1/name"
	for _, c := range []struct {
		values string
		tree   map[string]string
		says   string
	}{
		{"load", nil, "proc/loadavg: no such file"},
		{"load", map[string]string{"proc/loadavg": "much"}, `proc/loadavg: "much" is no number`},
		{"load", map[string]string{"proc/loadavg": "-1"}, "-1 is not possible"},
		{"uptime", map[string]string{"proc/uptime": "\n"}, "proc/uptime: the file is empty"},
		{"memory", map[string]string{"proc/meminfo": "MemTotal: 10 kB\n"}, "proc/meminfo: there is no MemAvailable"},
		{"memory", map[string]string{"proc/meminfo": "MemAvailable: 10 kB\n"}, "there is no MemTotal"},
		{"memory", map[string]string{"proc/meminfo": "MemTotal: 10 kB\nMemAvailable: 11 kB\n"}, "not possible"},
		{"memory", map[string]string{"proc/meminfo": "MemTotal: 0 kB\nMemAvailable: 0 kB\n"}, "not possible"},
		{"memory", map[string]string{"proc/meminfo": "MemTotal: ten kB\n"}, `MemTotal: "ten" is no number`},
		{"disk", nil, "nowhere: no such file"},
		{"undervoltage", nil, "rpi_volt"},
		{"undervoltage", systemWith(map[string]string{"sys/class/hwmon/hwmon1/in0_lcrit_alarm": "2"}), "in0_lcrit_alarm: 2 is neither"},
		{"undervoltage", systemWith(map[string]string{"sys/class/hwmon/hwmon1/in0_lcrit_alarm": ""}), "in0_lcrit_alarm: the file is empty"},
		{"undervoltage", systemWith(map[string]string{firmware: "zz"}, volt), `get_throttled: "zz" is no hexadecimal`},
		{"throttled", systemWith(nil, firmware), "get_throttled is not there"},
		{"throttled", systemWith(map[string]string{firmware: ""}), "get_throttled: the file is empty"},
		{"card", nil, "life_time: no such file"},
		{"card", map[string]string{"sys/block/mmcblk0/device/life_time": "0x00 0x00"}, "does not know"},
		{"card", map[string]string{"sys/block/mmcblk0/device/life_time": "0x0c 0x01"}, "is no estimate"},
		{"card", map[string]string{"sys/block/mmcblk0/device/life_time": "0x01"}, "not two estimates"},
	} {
		sysfsRead(t, "system", c.tree, map[string]string{"values": c.values, "disk": "/nowhere"}, "", c.says, ": "+c.values+": ")
	}
	// Whatever cannot be read is named, not the first alone, and nothing is given.
	sysfsRead(t, "system", systemWith(nil, "proc/loadavg", "proc/meminfo"), map[string]string{"values": "load,uptime,memory"}, "", "loadavg", "meminfo")
	for written, option := range map[string]string{"values=": "values", "values=load,,disk": "values", "values=load,cpu": "values", "values=load,load": "values", "disk=var": "disk", "card=../x": "card"} {
		k, v, _ := strings.Cut(written, "=")
		sysfsRefuses(t, "system", map[string]string{k: v}, option)
	}
}

func TestSystemUsed(t *testing.T) {
	for _, c := range []struct {
		blocks, free, avail uint64
		want                float64
	}{{1000, 1000, 1000, 0}, {1000, 0, 0, 100}, {1000, 100, 50, 900.0 / 950 * 100}, {1000, 500, 500, 50}, {1000, 1000, 0, 100}} {
		if got, err := systemUsed(c.blocks, c.free, c.avail); err != nil || got != c.want {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
	for _, c := range [][3]uint64{{0, 0, 0}, {10, 11, 1}, {10, 5, 6}} {
		if got, err := systemUsed(c[0], c[1], c[2]); err == nil {
			t.Errorf("%v gives %v", c, got)
		}
	}
}

func TestSystemChannels(t *testing.T) {
	d, _ := sensors.Builtin().Lookup("system")
	o, wrong := d.Parse(map[string]string{"values": strings.Join(systemNames(), ",")})
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	got := d.Channels(o)
	if len(got) != len(systemNames()) {
		t.Errorf("%d channels", len(got))
	}
	channels(t, got)
}

func FuzzSystem(f *testing.F) {
	f.Add("MemTotal:         948280 kB\nMemAvailable:     711210 kB\n")
	f.Add("0x01 0x02")
	f.Add("50005")
	f.Fuzz(func(t *testing.T, text string) {
		if v, err := parseMeminfo(text); err == nil && !(v >= 0 && v <= 100) {
			t.Errorf("memory %q: %v", text, v)
		}
		if v, err := parseLifeTime(text); err == nil && !(v >= 10 && v <= 110) {
			t.Errorf("card %q: %v", text, v)
		}
		if v, err := parseThrottled(text); err == nil && v > 1<<32 {
			t.Errorf("throttled %q: %v", text, v)
		}
	})
}
