package board

import (
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clock looks at whether the time is right, and stays so without a network.
func (d *doctor) clock() {
	rtc := d.root.names("/sys/class/rtc", "rtc")
	what := "clock"
	const first = 2024 // a year that is past
	if d.Now.Year() < first {
		d.find(Fault, what, "sudo timedatectl set-ntp true", "it was never set: it says %s", d.Now.Format(time.DateTime))
		return
	}
	synced, err := d.machine.synchronised()
	switch {
	case err != nil:
		d.find(Note, what, "", "the kernel does not say whether it is synchronised: %v", err)
	case synced && len(rtc) > 0:
		d.find(OK, what, "", "synchronised, and %s keeps it while the power is off", rtc[0])
	case synced:
		d.find(Note, what, "", "synchronised; without a real-time clock it is wrong after a power cut until there is a network (dtoverlay=i2c-rtc,ds3231)")
	case len(rtc) > 0:
		d.find(Warning, what, "sudo timedatectl set-ntp true", "set by %s, but nothing synchronises it: it drifts by seconds a day", rtc[0])
	default:
		d.find(Warning, what, "sudo timedatectl set-ntp true", "nothing synchronises it and there is no real-time clock: after a power cut readings get wrong times")
	}
}

// mount is a line of /proc/mounts.
type mount struct {
	device, at, kind string
	options          map[string]bool
}

// mounts reads a /proc/mounts; lines that are none are left out.
func parseMounts(text string) []mount {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var out []mount
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		m := mount{unescape.Replace(f[0]), unescape.Replace(f[1]), f[2], map[string]bool{}}
		for o := range strings.SplitSeq(f[3], ",") {
			m.options[o] = true
		}
		out = append(out, m)
	}
	return out
}

// mountOf is the mount that a path is on. What is mounted later covers what was
// before.
func mountOf(mounts []mount, p string) (mount, bool) {
	var best mount
	found := false
	for _, m := range mounts {
		inside := m.at == "/" || p == m.at || strings.HasPrefix(p, m.at+"/")
		if inside && (!found || len(m.at) >= len(best.at)) {
			best, found = m, true
		}
	}
	return best, found
}

// data looks at the folder that the readings are kept in.
func (d *doctor) data() {
	if d.DataDir == "" {
		return
	}
	dir, err := filepath.Abs(d.DataDir)
	if err != nil {
		dir = d.DataDir
	}
	what := "data folder " + dir
	user := d.User
	if _, _, ok := d.root.ids(serviceUser); ok {
		user = serviceUser
	}
	there := dir
	for !d.root.exists(there) && there != "/" {
		there = path.Dir(there)
	}
	info, err := os.Stat(d.root.path(there))
	switch {
	case err != nil:
		d.find(Fault, what, "", "%v", err)
		return
	case there != dir && d.root.may(info, user, 3):
		d.find(Note, what, "", "it is not there yet, and will be made")
	case there != dir:
		d.find(Fault, what, "sudo install -d -o "+user+" -m 0700 "+dir, "it is not there, and user %s may not make it", user)
	case !info.IsDir():
		d.find(Fault, what, "", "it is a file")
		return
	case !d.root.may(info, user, 7):
		d.find(Fault, what, "sudo chown -R "+user+" "+dir+" && sudo chmod u+rwx "+dir, "user %s may not write there", user)
	default:
		d.find(OK, what, "", "user %s may write there", user)
	}
	mounts := parseMounts(d.root.text("/proc/mounts"))
	if m, ok := mountOf(mounts, dir); ok {
		d.fileSystem(what, m)
	}
	s, err := d.machine.space(d.root.path(there))
	if err != nil {
		d.find(Warning, what, "", "its file system does not say how much room it has: %v", err)
		return
	}
	const mega = 1 << 20
	clean := "sudo apt clean && sudo journalctl --vacuum-size=50M"
	switch {
	case s.free < 20*mega:
		d.find(Fault, what, clean, "%d MB free: the gateway cannot keep readings", s.free/mega)
	case s.free < 200*mega || s.free < s.total/20:
		d.find(Warning, what, clean, "%d MB free of %d MB", s.free/mega, s.total/mega)
	case s.totalInodes > 0 && s.freeInodes < s.totalInodes/50:
		d.find(Warning, what, clean, "only %d more files can be made on its file system", s.freeInodes)
	default:
		d.find(OK, what, "", "%d MB free of %d MB", s.free/mega, s.total/mega)
	}
}

// fileSystem says what is wrong with keeping readings on a mount.
func (d *doctor) fileSystem(what string, m mount) {
	switch {
	case m.options["ro"]:
		d.find(Fault, what, "sudo mount -o remount,rw "+m.at, "%s is mounted read-only", m.at)
	case m.kind == "tmpfs" || m.kind == "ramfs":
		d.find(Warning, what, "", "%s is in memory: readings are gone with the power", m.at)
	case m.kind == "overlay":
		d.find(Warning, what, "sudo raspi-config nonint disable_overlayfs && sudo reboot", "%s is an overlay, which on a Raspberry Pi is in memory: readings are gone with the power", m.at)
	case m.kind == "vfat" || m.kind == "exfat" || strings.HasPrefix(m.kind, "ntfs"):
		d.find(Warning, what, "", "%s is %s, which a power cut damages: use ext4", m.at, m.kind)
	}
}

// rootFileSystem looks at whether the kernel has given up on the card.
func (d *doctor) rootFileSystem() {
	mounts := parseMounts(d.root.text("/proc/mounts"))
	m, ok := mountOf(mounts, "/")
	if !ok {
		return
	}
	if m.options["ro"] {
		if m.options["errors=remount-ro"] {
			d.find(Fault, "file system /", "sudo dmesg | grep -iE 'mmc|ext4|i/o error'",
				"read-only: the kernel makes it so after errors of %s; copy the card, then replace it", m.device)
			return
		}
		d.find(Note, "file system /", "", "read-only")
	}
	for _, name := range d.root.names("/sys/fs/ext4", "") {
		if n, err := strconv.Atoi(d.root.text("/sys/fs/ext4/" + name + "/errors_count")); err == nil && n > 0 {
			d.find(Warning, "file system of "+name, "sudo touch /forcefsck && sudo reboot", "the kernel has found %d errors in it: the card may be dying", n)
		}
	}
}

// card looks at the wear that SD cards and eMMC tell of (JESD84-B51 section
// 7.4.18, PRE_EOL_INFO and DEVICE_LIFE_TIME_EST).
func (d *doctor) card() {
	for _, name := range d.root.names("/sys/block", "mmcblk") {
		dir := "/sys/block/" + name + "/device/"
		if strings.Contains(strings.TrimPrefix(name, "mmcblk"), "boot") || !d.root.exists(dir+"type") {
			continue
		}
		what := "card " + name
		if model := d.root.text(dir + "name"); model != "" {
			what += " " + model
		}
		worst := 0
		for _, f := range strings.Fields(d.root.text(dir + "life_time")) {
			if n, err := strconv.ParseUint(f, 0, 8); err == nil {
				worst = max(worst, int(n))
			}
		}
		end, err := strconv.ParseUint(d.root.text(dir+"pre_eol_info"), 0, 8)
		replace := "copy it to a new one: sudo dd if=/dev/" + name + " of=card.img bs=4M status=progress"
		switch {
		case err == nil && end == 3, worst >= 11:
			d.find(Fault, what, replace, "worn out: it may refuse to write any day")
		case err == nil && end == 2, worst >= 9:
			d.find(Warning, what, replace, "nearly worn out: %d %% of its life is used", min(worst*10, 100))
		case worst > 0:
			d.find(OK, what, "", "at most %d %% of its life is used", worst*10)
		default:
			d.find(OK, what, "", "it does not say how worn it is")
		}
	}
}

// memory looks at how much is left (proc_meminfo(5), MemAvailable).
func (d *doctor) memory() {
	for line := range strings.Lines(d.root.text("/proc/meminfo")) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "MemAvailable:" {
			continue
		}
		kilo, err := strconv.ParseUint(f[1], 10, 64)
		switch {
		case err != nil:
		case kilo < 32<<10:
			d.find(Warning, "memory", "ps -eo rss,comm --sort=-rss | head", "%d MB available: the kernel may end the gateway", kilo>>10)
		default:
			d.find(OK, "memory", "", "%d MB available", kilo>>10)
		}
		return
	}
}

// throttled are the bits of a Raspberry Pi's get_throttled (Raspberry Pi
// documentation, vcgencmd).
var throttled = []struct {
	bit     uint
	level   Level
	happens string
}{
	{0, Fault, "the supply voltage is too low now"},
	{16, Warning, "the supply voltage was too low since the start"},
	{2, Warning, "the processor is slowed down now"},
	{18, Note, "the processor was slowed down since the start"},
	{1, Warning, "the processor's frequency is capped now"},
	{17, Note, "the processor's frequency was capped since the start"},
	{3, Warning, "the processor is at its soft temperature limit now"},
	{19, Note, "the processor was at its soft temperature limit since the start"},
}

// power looks at what a Raspberry Pi says of its supply.
func (d *doctor) power() {
	const supply = "use the official supply, a short thick cable, and a hub of its own for USB devices"
	const driver = "/sys/bus/platform/drivers/raspberrypi-firmware"
	files := []string{"/sys/devices/platform/soc/soc:firmware/get_throttled"}
	for _, device := range d.root.names(driver, "soc") { // what it is called differs by model
		files = append(files, driver+"/"+device+"/get_throttled")
	}
	for _, file := range files {
		text := strings.TrimPrefix(d.root.text(file), "0x")
		bits, err := strconv.ParseUint(text, 16, 32)
		if err != nil {
			continue
		}
		if bits == 0 {
			d.find(OK, "power", "", "the supply voltage was never too low")
		}
		for _, t := range throttled {
			if bits>>t.bit&1 == 1 {
				fix := ""
				if t.bit%16 == 0 {
					fix = supply
				}
				d.find(t.level, "power", fix, "%s", t.happens)
			}
		}
		return
	}
	for _, h := range d.root.names("/sys/class/hwmon", "hwmon") {
		dir := "/sys/class/hwmon/" + h
		if d.root.text(dir+"/name") != "rpi_volt" {
			continue
		}
		switch d.root.text(dir + "/in0_lcrit_alarm") {
		case "1":
			d.find(Warning, "power", supply, "the supply voltage is too low, or was since the alarm was read last")
		case "0":
			d.find(OK, "power", "", "the supply voltage is high enough")
		}
	}
}

// temperature looks at the processor's (a Raspberry Pi slows down from 80 °C).
func (d *doctor) temperature() {
	const zones = "/sys/class/thermal"
	for _, z := range d.root.names(zones, "thermal_zone") {
		kind := d.root.text(zones + "/" + z + "/type")
		if !strings.Contains(kind, "cpu") && kind != "x86_pkg_temp" {
			continue
		}
		milli, err := strconv.Atoi(d.root.text(zones + "/" + z + "/temp"))
		switch {
		case err != nil:
		case milli >= 80000:
			d.find(Warning, "temperature", "give it a heat sink, and air", "the processor has %d °C", milli/1000)
		default:
			d.find(OK, "temperature", "", "the processor has %d °C", milli/1000)
		}
		return
	}
}
