package board

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"fieldgate/sensors"
)

var today = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// calm is a kernel of which nothing bad is to be said.
func calm(chips []GPIOChip) *machine {
	return &machine{
		chips:        func() ([]GPIOChip, error) { return chips, nil },
		synchronised: func() (bool, error) { return true, nil },
		space:        func(string) (space, error) { return space{free: 8 << 30, total: 16 << 30}, nil },
		user:         "pi",
	}
}

func diagnose(t *testing.T, tree files, o DoctorOptions) []Finding {
	t.Helper()
	o.Root = plant(t, tree)
	if o.machine == nil {
		o.machine = calm(headerChips())
	}
	if o.Now.IsZero() {
		o.Now = today
	}
	return Diagnose(t.Context(), o)
}

// expect fails unless a finding about what has the level, and says and fixes what
// it should.
func expect(t *testing.T, findings []Finding, level Level, what, why, fix string) {
	t.Helper()
	for _, f := range findings {
		if strings.Contains(f.What, what) && f.Level == level && strings.Contains(f.Why, why) && strings.Contains(f.Fix, fix) {
			return
		}
	}
	var b strings.Builder
	WriteFindings(&b, findings)
	t.Errorf("no %s about %s that says %q and is mended by %q in\n%s", level, what, why, fix, b.String())
}

// TestDiagnoseGood: a board where all is well.
func TestDiagnoseGood(t *testing.T) {
	tree := pi5().with(people("i2c", "fieldgate,pi")).with(files{"/var/lib/fieldgate/": "", "/proc/mounts": "/dev/mmcblk0p2 / ext4 rw 0 0\n"})
	chips := headerChips()
	chips[0].Label = "pinctrl-rp1"
	got := diagnose(t, tree, DoctorOptions{Buses: []string{"i2c:1", "I2C1", "spi:0.0", "w1:1", "i2c:sim"}, Pins: []string{"GPIO17", "GPIO23", "sim:1"}, machine: calm(chips)})
	if Worst(got) > OK {
		var b strings.Builder
		WriteFindings(&b, got)
		t.Errorf("%s", b.String())
	}
	expect(t, got, OK, "board", "Raspberry Pi 5", "")
	expect(t, got, OK, "kernel", "Linux 6.12.47", "")
	expect(t, got, OK, "i2c:1", "/dev/i2c-1, and user fieldgate may use it", "")
	expect(t, got, OK, "w1:1", "w1_bus_master1", "")
	expect(t, got, OK, "GPIO17", "line 17 of gpiochip0", "")
	expect(t, got, OK, "GPIO23", "taken by the gateway that runs", "")
	expect(t, got, OK, "clock", "rtc0", "")
	expect(t, got, OK, "temperature", "52", "")
}

// TestDiagnoseZero: a Pi where nothing was switched on yet.
func TestDiagnoseZero(t *testing.T) {
	got := diagnose(t, piZero().with(people("gpio", "pi")), DoctorOptions{
		Buses: []string{"i2c:1", "spi:1.0", "w1:1"}, Pins: []string{"GPIO22", "GPIO33A", "GPIO5"}, DataDir: "/var/lib/fieldgate",
	})
	expect(t, got, Fault, "i2c:1", "line 2 of /boot/firmware/config.txt is a comment (#dtparam=i2c_arm=on)", `sudo sed -i '2s/^[# \t]*//' /boot/firmware/config.txt`)
	expect(t, got, Fault, "spi:1.0", "has no dtoverlay=spi1-1cs", `printf '\n[all]\ndtoverlay=spi1-1cs\n' | sudo tee -a /boot/firmware/config.txt && sudo reboot`)
	expect(t, got, Fault, "w1:1", "line 8 of /boot/firmware/config.txt is in the section [pi4]", "dtoverlay=w1-gpio")
	expect(t, got, Note, "spi:0.0", "the configuration does not use it", "'3s/")
	expect(t, got, Fault, "GPIO", "user fieldgate is not in it", "sudo usermod -aG gpio fieldgate && sudo systemctl restart fieldgate")
	expect(t, got, Fault, "GPIO22", "taken by gpioset", "lsof /dev/gpiochip0")
	expect(t, got, Fault, "GPIO33A", "like it are GPIO33", "fieldgate scan")
	expect(t, got, OK, "GPIO5", "free", "")
	expect(t, got, OK, "GPIO outputs", "keep their level", "")
	expect(t, got, Note, "clock", "without a real-time clock", "")
	expect(t, got, Fault, "data folder /var/lib/fieldgate", "user fieldgate may not make it", "sudo install -d -o fieldgate")
	expect(t, got, OK, "data folder", "8192 MB free", "")
	expect(t, got, OK, "card mmcblk0 SC16G", "does not say", "")
	expect(t, got, OK, "memory", "244 MB", "")
	expect(t, got, OK, "power", "never too low", "")
	if Worst(got) != Fault {
		t.Error("no fault")
	}
}

// TestDiagnosePC: a machine without anything, and without a configuration.
func TestDiagnosePC(t *testing.T) {
	got := diagnose(t, files{}, DoctorOptions{machine: calm(nil)})
	if Worst(got) > Note {
		var b strings.Builder
		WriteFindings(&b, got)
		t.Errorf("%s", b.String())
	}
	expect(t, got, Note, "board", "no device tree", "")
	expect(t, got, Note, "I2C", "no bus, and the configuration uses none", "")
	got = diagnose(t, files{}, DoctorOptions{machine: calm(nil), Buses: []string{"i2c:0", "nonsense"}, Pins: []string{"GPIO17"}})
	expect(t, got, Fault, "i2c:0", "CONFIG_I2C_CHARDEV", "sudo modprobe i2c-dev && echo i2c-dev | sudo tee /etc/modules-load.d/i2c-dev.conf")
	expect(t, got, Fault, "nonsense", "no name of a bus", "")
	expect(t, got, Fault, "GPIO", "no /dev/gpiochip0", "")
}

// TestDiagnoseBoot: a setting that is there and has no effect.
func TestDiagnoseBoot(t *testing.T) {
	for _, c := range []struct{ config, why, fix string }{
		{"dtparam=i2c_arm=on", "although line 1 of /boot/firmware/config.txt has dtparam=i2c_arm=on: the machine has not restarted since", "sudo reboot"},
		{"dtparam=i2c_arm=on\ndtparam=i2c_arm=off", "line 2 of /boot/firmware/config.txt switches it off", "[all]"},
		{"dtparam=i2c_arm=off\ndtparam=i2c_arm=on", "although line 2", "sudo reboot"},
		{"#dtparam=i2c_arm=off", "is a comment", "tee -a"},
		{"", "has no dtparam=i2c_arm=on", "tee -a"},
	} {
		tree := piZero().with(files{"/boot/firmware/config.txt": c.config})
		expect(t, diagnose(t, tree, DoctorOptions{Buses: []string{"i2c:1"}}), Fault, "i2c:1", c.why, c.fix)
	}
}

// TestDiagnoseRights: who may use a node, and what changes that.
func TestDiagnoseRights(t *testing.T) {
	uses := DoctorOptions{Buses: []string{"i2c:1"}}
	expect(t, diagnose(t, pi5().with(people("root", "")), uses), Fault, "i2c:1", "for root only", `GROUP="i2c"`)
	expect(t, diagnose(t, pi5().with(people("i2c", "fieldgate")), uses), Note, "i2c:1", "user pi is not in group i2c, so fieldgate scan and read need sudo", "usermod -aG i2c pi")
	alone := people("i2c", "")
	alone["/etc/passwd"] = "pi:x:54321:54321::/home/pi:/bin/sh\n"
	expect(t, diagnose(t, pi5().with(alone), uses), Fault, "i2c:1", "user pi is not in it", "usermod -aG i2c pi, then log in anew")
	m := calm(nil)
	m.opens = func(string) error { return syscall.EACCES }
	expect(t, diagnose(t, pi5().with(people("i2c", "pi,fieldgate")), DoctorOptions{Buses: []string{"i2c:1"}, machine: m}), Fault, "i2c:1", "not in this session", "su - pi")
	uses.User = "root"
	expect(t, diagnose(t, pi5().with(alone), uses), OK, "i2c:1", "user root may use it", "")
	none := pi5().with(people("i2c", "fieldgate")).with(files{"/proc/net/connector": "Name            ID\n"})
	expect(t, diagnose(t, none, DoctorOptions{Buses: []string{"w1:1"}}), Fault, "w1:1", "CONFIG_W1_CON", "")
}

// TestDiagnosePorts: who has a port, and who may have it.
func TestDiagnosePorts(t *testing.T) {
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	tree := files{
		"/proc/net/tcp": head +
			"   0: 00000000:075B 00000000:0000 0A 00000000:00000000 00:00000000 00000000   112        0 11111 1 0 100 0 0 10 0\n" + // 0.0.0.0:1883
			"   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000   112        0 22222 1 0 100 0 0 10 0\n" + // 127.0.0.1:8080
			"   2: 0100007F:1F91 0100007F:9999 01 00000000:00000000 00:00000000 00000000   112        0 33333 1 0 100 0 0 10 0\n", // a connection
		"/proc/net/tcp6": head +
			"   0: 00000000000000000000000000000000:22B8 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 44444 1 0\n" + // :::8888
			"   1: 00000000000000000000000001000000:22B9 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 55555 1 0\n", // ::1:8889
		"/proc/net/udp":    head + "  10: 00000000:06A4 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 66666 2 0\n", // 1700
		"/proc/321/comm":   "mosquitto\n",
		"/proc/321/cgroup": "0::/system.slice/mosquitto.service\n",
		"/proc/321/fd/5":   "-> socket:[11111]",
		"/proc/322/comm":   "fieldgate\n",
		"/proc/322/fd/7":   "-> socket:[22222]",
		"/proc/322/fd/8":   "-> /dev/null",
		"/proc/self/fd/1":  "-> socket:[66666]",
		"/proc/323/comm":   "python3\n",
		"/proc/323/cgroup": "0::/user.slice/user-1000.slice/session-3.scope\n",
		"/proc/323/fd/4":   "-> socket:[55555]",
	}
	got := diagnose(t, tree, DoctorOptions{Listen: []string{
		"127.0.0.1:1883", "localhost:8080", "127.0.0.1:8081", ":8888", "0.0.0.0:8889", "udp:0.0.0.0:1700", "tcp://:1700", ":80", ":0", "?",
	}})
	expect(t, got, Fault, "tcp port 1883", "0.0.0.0:1883 is taken by mosquitto (process 321)", "sudo systemctl disable --now mosquitto.service")
	expect(t, diagnose(t, tree, DoctorOptions{Listen: []string{"[::1]:8889"}}), Fault, "tcp port 8889", "taken by python3 (process 323)", "sudo kill 323")
	expect(t, got, OK, "tcp port 8080", "the gateway that runs has it (process 322)", "")
	expect(t, got, OK, "tcp port 8081", "free", "")
	expect(t, got, Fault, "tcp port 8888", "[::]:8888 is taken, by a program that does not show", "sudo ss -lnpt 'sport = :8888'")
	expect(t, got, OK, "tcp port 8889", "free", "")
	expect(t, got, Fault, "udp port 1700", "is taken", "ss -lnpu")
	expect(t, got, OK, "tcp port 1700", "free", "")
	expect(t, got, Warning, "tcp port 80", "ports below 1024 are for root only", "ip_unprivileged_port_start=80")
}

func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"0.0.0.0", "127.0.0.1", true}, {"127.0.0.1", "0.0.0.0", true}, {"::", "127.0.0.1", true}, {"::", "0.0.0.0", true},
		{"0.0.0.0", "::1", false}, {"::", "::1", true}, {"127.0.0.1", "127.0.0.2", false}, {"::1", "::1", true},
	} {
		if got := overlap(netip.MustParseAddr(c.a), netip.MustParseAddr(c.b)); got != c.want {
			t.Errorf("%s, %s: %v", c.a, c.b, got)
		}
	}
}

// TestDiagnoseTrouble: one thing wrong at a time.
func TestDiagnoseTrouble(t *testing.T) {
	unsynced := calm(nil)
	unsynced.synchronised = func() (bool, error) { return false, nil }
	mute := calm(nil)
	mute.synchronised = func() (bool, error) { return false, errors.New("no") }
	full := calm(nil)
	full.space = func(string) (space, error) { return space{free: 5 << 20, total: 1 << 30}, nil }
	tight := calm(nil)
	tight.space = func(string) (space, error) { return space{free: 150 << 20, total: 1 << 30}, nil }
	inodes := calm(nil)
	inodes.space = func(string) (space, error) {
		return space{free: 8 << 30, total: 16 << 30, freeInodes: 1, totalInodes: 1000}, nil
	}
	old := headerChips()
	old[0].ABI = 1
	data := DoctorOptions{DataDir: "/var/lib/fieldgate"}
	on := func(o DoctorOptions, m *machine) DoctorOptions { o.machine = m; return o }
	const throttle = "/sys/devices/platform/soc/soc:firmware/get_throttled"
	const life, eol = "/sys/block/mmcblk0/device/life_time", "/sys/block/mmcblk0/device/pre_eol_info"
	for _, c := range []struct {
		tree           files
		o              DoctorOptions
		level          Level
		what, why, fix string
	}{
		{files{"/proc/sys/kernel/osrelease": "5.4.83-v7+"}, DoctorOptions{}, Warning, "kernel", "before 5.10", "apt"},
		{files{}, DoctorOptions{Pins: []string{"GPIO5"}, machine: calm(old)}, Warning, "GPIO", "version 1", ""},
		{files{"/sys/module/pinctrl_bcm2835/parameters/persist_gpio_outputs": "N"}, DoctorOptions{Pins: []string{"GPIO5"}}, Warning, "GPIO outputs", "into inputs", "persist_gpio_outputs=y"},
		{files{}, DoctorOptions{Now: time.Unix(1000, 0)}, Fault, "clock", "never set", "set-ntp"},
		{files{}, on(DoctorOptions{}, unsynced), Warning, "clock", "no real-time clock", "set-ntp"},
		{files{"/sys/class/rtc/rtc0/name": ""}, on(DoctorOptions{}, unsynced), Warning, "clock", "drifts", "set-ntp"},
		{files{}, on(DoctorOptions{}, mute), Note, "clock", "does not say", ""},
		{files{"/var/lib/fieldgate/": ""}, on(data, full), Fault, "data folder", "5 MB free", "vacuum"},
		{files{"/var/lib/fieldgate/": ""}, on(data, tight), Warning, "data folder", "150 MB free", "vacuum"},
		{files{"/var/lib/fieldgate/": ""}, on(data, inodes), Warning, "data folder", "more files", ""},
		{files{"/var/lib/fieldgate": "a file"}, data, Fault, "data folder", "is a file", ""},
		{files{"/var/lib/fieldgate/": ""}.with(people("x", "")), data, Fault, "data folder", "fieldgate may not write", "chown -R fieldgate"},
		{files{"/var/lib/fieldgate/": "", "/proc/mounts": "a / ext4 rw 0 0\nb /var/lib tmpfs rw 0 0\n"}, data, Warning, "data folder", "/var/lib is in memory", ""},
		{files{"/var/lib/fieldgate/": "", "/proc/mounts": "a / ext4 rw 0 0\nb /var/lib ext4 ro 0 0\nb /var/library tmpfs ro 0 0\n"}, data, Fault, "data folder", "/var/lib is mounted read-only", "remount,rw /var/lib"},
		{files{"/var/lib/fieldgate/": "", "/proc/mounts": "o / overlay rw 0 0\n"}, data, Warning, "data folder", "overlay", "disable_overlayfs"},
		{files{"/var/lib/fieldgate/": "", "/proc/mounts": "o /var/lib/fieldgate vfat rw 0 0\n"}, data, Warning, "data folder", "ext4", ""},
		{files{"/proc/mounts": "/dev/root / ext4 ro,errors=remount-ro 0 0\n"}, DoctorOptions{}, Fault, "file system /", "after errors of /dev/root", "dmesg"},
		{files{"/proc/mounts": "/dev/root / squashfs ro 0 0\n"}, DoctorOptions{}, Note, "file system /", "read-only", ""},
		{files{"/proc/mounts": "/dev/root / ext4 rw 0 0\n", "/sys/fs/ext4/mmcblk0p2/errors_count": "3"}, DoctorOptions{}, Warning, "mmcblk0p2", "3 errors", "forcefsck"},
		{files{life: "0x01 0x0b\n"}, DoctorOptions{}, Fault, "card mmcblk0", "worn out", "dd if=/dev/mmcblk0"},
		{files{eol: "0x03\n"}, DoctorOptions{}, Fault, "card mmcblk0", "worn out", ""},
		{files{eol: "0x02\n", life: "0x03 0x04"}, DoctorOptions{}, Warning, "card mmcblk0", "40 % of its life", ""},
		{files{eol: "0x01\n", life: "0x03 0x02"}, DoctorOptions{}, OK, "card mmcblk0", "at most 30 %", ""},
		{files{"/proc/meminfo": "MemAvailable:      20000 kB\n"}, DoctorOptions{}, Warning, "memory", "19 MB", ""},
		{files{throttle: "50005\n"}, DoctorOptions{}, Fault, "power", "too low now", "official supply"},
		{files{throttle: "0x50000\n"}, DoctorOptions{}, Warning, "power", "too low since the start", "official supply"},
		{files{throttle: "0x50000\n"}, DoctorOptions{}, Note, "power", "slowed down since the start", ""},
		{files{throttle: "0x80008\n"}, DoctorOptions{}, Warning, "power", "soft temperature limit now", ""},
		{files{throttle: "", "/sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1\n"}, DoctorOptions{}, Warning, "power", "too low", "official supply"},
		{files{"/sys/class/thermal/thermal_zone0/temp": "81500"}, DoctorOptions{}, Warning, "temperature", "81 °C", "heat sink"},
	} {
		tree := piZero()
		if _, file := c.tree["/var/lib/fieldgate"]; file {
			delete(tree, "/var/lib/")
		}
		expect(t, diagnose(t, tree.with(c.tree), c.o), c.level, c.what, c.why, c.fix)
	}
}

// TestThrottledSince: what is over is not said to be now.
func TestThrottledSince(t *testing.T) {
	for _, f := range diagnose(t, piZero().with(files{"/sys/devices/platform/soc/soc:firmware/get_throttled": "0xd0000"}), DoctorOptions{}) {
		if f.What == "power" && (f.Level > Warning || strings.Contains(f.Why, "now")) {
			t.Errorf("%+v", f)
		}
	}
}

// TestDiagnoseEnds: it stops with its context.
func TestDiagnoseEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := Diagnose(ctx, DoctorOptions{Root: t.TempDir()}); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// TestDiagnoseHere: on the machine that the test runs on nothing panics.
func TestDiagnoseHere(t *testing.T) {
	got := Diagnose(t.Context(), DoctorOptions{Buses: []string{"i2c:1"}, Pins: []string{"GPIO17"}, Listen: []string{":1883"}, DataDir: t.TempDir()})
	if len(got) < 4 {
		t.Errorf("%v", got)
	}
	if r, err := Scan(t.Context(), ScanOptions{Drivers: &sensors.Registry{}, ReadOnly: true, Board: fakeBoard{}}); err != nil || written(t, r) == "" {
		t.Error(err)
	}
}

func TestWriteFindings(t *testing.T) {
	var b strings.Builder
	if err := WriteFindings(&b, []Finding{{OK, "board", "fine", ""}, {Fault, "i2c:1", "is not there", "sudo reboot"}}); err != nil {
		t.Fatal(err)
	}
	if want := "ok       board: fine\nfault    i2c:1: is not there\n           sudo reboot\n"; b.String() != want {
		t.Errorf("%q", b.String())
	}
	if s := Level(9).String(); s != "fault" {
		t.Error(s)
	}
}

func FuzzParseSockets(f *testing.F) {
	f.Add("  0: 00000000:075B 00000000:0000 0A 0:0 00:0 0 112 0 11111 1\n")
	f.Add("  0: 00000000000000000000000001000000:22B9 0:0 0A 0 0 0 0 0 5\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range parseSockets(text, "0A") {
			if !s.Local.IsValid() || s.Inode == "" {
				t.Fatalf("%+v", s)
			}
		}
	})
}

func FuzzParseMounts(f *testing.F) {
	f.Add("/dev/root / ext4 rw,noatime 0 0\ntmpfs /a\\040b tmpfs rw 0 0\n", "/a b/c")
	f.Fuzz(func(t *testing.T, text, path string) {
		mounts := parseMounts(text)
		if m, ok := mountOf(mounts, path); ok && m.at != "/" && !strings.HasPrefix(path, m.at) {
			t.Fatalf("%q is not on %q", path, m.at)
		}
	})
}
