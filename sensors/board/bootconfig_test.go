package board

import (
	"slices"
	"strings"
	"testing"

	"fieldgate/sensors"
)

// TestParseBootConfig reads what people write.
func TestParseBootConfig(t *testing.T) {
	lines, includes := parseBootConfig("c", strings.Join([]string{
		"dtparam=i2c_arm=on,spi=off,i2s", // 1
		"  # dtoverlay=w1-gpio,gpiopin=17",
		"# a comment about dtparam=audio=on",
		"include extra.txt",
		"[pi4]",
		"[gpio4=1]",
		"dtoverlay=i2c3,pins_2_3", // 7
		"[pi5]",
		"dtoverlay=i2c2-pi5.dtbo",
		"[none]",
		"dtparam=i2c", // 11
		"[all]",
		"dtoverlay=",
		"device_tree_param=i2c1=yes", // 14
		"gpu_mem=16",
	}, "\r\n"))
	if !slices.Equal(includes, []string{"extra.txt"}) {
		t.Errorf("includes %q", includes)
	}
	var got []string
	for _, b := range lines {
		got = append(got, strings.Join([]string{string(rune('a' + b.Number)), map[bool]string{true: "off"}[b.Off], strings.Join(b.Filters, "+"), b.Key, b.Name, b.Value}, "|"))
	}
	want := []string{
		"b|||dtparam|i2c_arm|on", "b|||dtparam|spi|off", "b|||dtparam|i2s|on",
		"c|off||dtoverlay|w1-gpio|gpiopin=17",
		"h||gpio4=1+pi4|dtoverlay|i2c3|pins_2_3",
		"j||gpio4=1+pi5|dtoverlay|i2c2-pi5|",
		"l||gpio4=1+none+pi5|dtparam|i2c|on",
		"o|||dtparam|i2c1|yes",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestSame compares settings.
func TestSame(t *testing.T) {
	for _, c := range []struct {
		have, want string
		same, on   bool
	}{
		{"dtparam=i2c_arm=on", "dtparam=i2c_arm=on", true, true},
		{"dtparam=i2c=on", "dtparam=i2c_arm=on", true, true},
		{"dtparam=i2c1", "dtparam=i2c_arm=on", true, true},
		{"dtparam=i2c_arm=off", "dtparam=i2c_arm=on", true, false},
		{"dtparam=i2c_arm_baudrate=400000", "dtparam=i2c_arm=on", false, true},
		{"dtoverlay=w1-gpio,gpiopin=5", "dtoverlay=w1-gpio", true, true},
		{"dtoverlay=w1-gpio-pullup", "dtoverlay=w1-gpio", false, true},
		{"dtparam=spi=on", "dtoverlay=spi1-1cs", false, false},
	} {
		lines, _ := parseBootConfig("c", c.have)
		same, on := lines[0].same(c.want)
		if same != c.same || on != c.on {
			t.Errorf("%s, %s: %v %v", c.have, c.want, same, on)
		}
	}
}

// TestApplies: a setting counts if its sections are for the model.
func TestApplies(t *testing.T) {
	lines, _ := parseBootConfig("c", "dtparam=spi\n[pi4]\ndtparam=spi\n[none]\ndtparam=spi\n[all]\n[gpio4=1]\ndtparam=spi\n#dtparam=spi\n[pi5]\ndtparam=spi\n[all]\n[none]\ndtparam=spi")
	want := []bool{true, true, false, true, false, false, false}
	for i, b := range lines {
		if got := b.applies("Raspberry Pi 4 Model B Rev 1.4"); got != want[i] {
			t.Errorf("line %d: %v", b.Number, got)
		}
	}
	if len(lines) != len(want) {
		t.Errorf("%d lines", len(lines))
	}
}

// TestPiFilters: each model sees the sections that are for it.
func TestPiFilters(t *testing.T) {
	for model, want := range map[string]string{
		"Raspberry Pi Zero 2 W Rev 1.0":          "pi0 pi02 pi0w",
		"Raspberry Pi Zero Rev 1.3":              "pi0",
		"Raspberry Pi Model B Plus Rev 1.2":      "pi1",
		"Raspberry Pi 2 Model B Rev 1.1":         "pi2",
		"Raspberry Pi 3 Model B Rev 1.2":         "pi3",
		"Raspberry Pi 3 Model A Plus Rev 1.0":    "pi3 pi3+",
		"Raspberry Pi 400 Rev 1.0":               "pi4 pi400",
		"Raspberry Pi Compute Module 4S Rev 1.0": "cm4s pi4",
		"Raspberry Pi Compute Module 5 Rev 1.0":  "cm5 pi5",
		"Raspberry Pi 500 Rev 1.0":               "pi5 pi500",
		"Radxa ROCK 4":                           "",
	} {
		var got []string
		for f := range piFilters(model) {
			got = append(got, f)
		}
		slices.Sort(got)
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %s", model, s)
		}
	}
}

// TestPiLine: the setting for each bus is that of the model.
func TestPiLine(t *testing.T) {
	const zero, four, five = "Raspberry Pi Zero Rev 1.3", "Raspberry Pi 4 Model B Rev 1.4", "Raspberry Pi 5 Model B Rev 1.0"
	for _, c := range []struct{ model, bus, want string }{
		{zero, "i2c:1", "dtparam=i2c_arm=on"},
		{five, "i2c:1", "dtparam=i2c_arm=on"},
		{five, "i2c:0", "dtoverlay=i2c0-pi5"},
		{four, "i2c:4", "dtoverlay=i2c4"},
		{zero, "i2c:4", "dtoverlay=i2c-gpio,bus=4"},
		{five, "i2c:6", "dtoverlay=i2c-gpio,bus=6"},
		{zero, "spi:0.0", "dtparam=spi=on"},
		{zero, "spi:0.2", ""},
		{zero, "spi:2.1", "dtoverlay=spi2-2cs"},
		{four, "spi:6.1", "dtoverlay=spi6-2cs"},
		{four, "spi:6.2", ""},
		{zero, "w1:2", "dtoverlay=w1-gpio,gpiopin=17"},
	} {
		kind, _, err := sensors.ParseBus(c.bus)
		if err != nil {
			t.Fatal(err)
		}
		_, number, _ := strings.Cut(c.bus, ":")
		bus, cs, _ := strings.Cut(number, ".")
		line, none := piLine(c.model, kind, bus, cs)
		if line != c.want || (none == "") != (c.want != "") {
			t.Errorf("%s, %s: %q, %q", c.model, c.bus, line, none)
		}
	}
}

// TestIncluded: a setting in an included file counts.
func TestIncluded(t *testing.T) {
	root := newTree(plant(t, files{
		"/boot/firmware/config.txt":        "include ../firmware/more.txt\n",
		"/boot/firmware/firmware/more.txt": "dtparam=spi=on\n", // what leads out of the folder stays in it
	}))
	lines := root.bootConfig()
	if len(lines) != 1 || lines[0].Name != "spi" || lines[0].File != "/boot/firmware/firmware/more.txt" {
		t.Errorf("%+v", lines)
	}
}

func FuzzParseBootConfig(f *testing.F) {
	f.Add("dtparam=i2c_arm=on\n[pi4]\ndtoverlay=x,y=1\n[all]\n#dtparam=spi")
	f.Add("[]\n[none]\n[0x1234]\ninclude\n=\ndtparam=,,=\n###dtoverlay=.dtbo")
	f.Fuzz(func(t *testing.T, text string) {
		lines, _ := parseBootConfig("c", text)
		last := 1
		for _, b := range lines {
			if b.Name == "" || b.Number < last || b.Number > strings.Count(text, "\n")+1 || b.Key != "dtparam" && b.Key != "dtoverlay" {
				t.Fatalf("%+v", b)
			}
			last = b.Number
			b.same("dtparam=i2c_arm=on")
			if on := b.applies("Raspberry Pi 5"); on && b.Off {
				t.Fatalf("%+v applies", b)
			}
		}
	})
}
