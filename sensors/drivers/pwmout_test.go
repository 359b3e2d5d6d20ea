package drivers

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/sensors"
)

// pwmKernel is a tree of the kernel's PWM files that keeps its rules.
type pwmKernel struct {
	t      *testing.T
	root   string
	writes []string
	deny   time.Time // until then udev has not given the channel's files to their group
}

func newPWMKernel(t *testing.T) *pwmKernel {
	k := &pwmKernel{t: t, root: t.TempDir()}
	k.put("pwmchip0/npwm", "2")
	k.put("pwmchip0/export", "")
	return k
}

func (k *pwmKernel) put(name, value string) {
	k.t.Helper()
	path := filepath.Join(k.root, "sys/class/pwm", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		k.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(value+"\n"), 0o644); err != nil {
		k.t.Fatal(err)
	}
}

// channel makes the files of channel 1 with a state.
func (k *pwmKernel) channel(enable, period, duty, polarity string) {
	for name, value := range map[string]string{"enable": enable, "period": period, "duty_cycle": duty, "polarity": polarity} {
		k.put("pwmchip0/pwm1/"+name, value)
	}
}

func (k *pwmKernel) files() pwmoutTree { return pwmoutTree(filepath.Join(k.root, "sys/class/pwm")) }

func (k *pwmKernel) Read(name string) (string, error) { return k.files().Read(name) }

func (k *pwmKernel) number(name string) int {
	n, err := strconv.Atoi(k.text(name))
	if err != nil {
		k.t.Fatal(err)
	}
	return n
}

func (k *pwmKernel) text(name string) string {
	text, err := k.Read("pwmchip0/pwm1/" + name)
	if err != nil {
		k.t.Fatal(err)
	}
	return text
}

// Write does what pwm_apply_state and the files do.
func (k *pwmKernel) Write(name, value string) error {
	k.writes = append(k.writes, strings.TrimPrefix(name, "pwmchip0/")+"="+value)
	if name == "pwmchip0/export" {
		if _, err := k.Read("pwmchip0/pwm1/enable"); err == nil {
			return syscall.EBUSY
		}
		k.channel("0", "0", "0", "normal")
		return nil
	}
	if time.Now().Before(k.deny) {
		return &fs.PathError{Op: "open", Path: name, Err: syscall.EACCES}
	}
	file := strings.TrimPrefix(name, "pwmchip0/pwm1/")
	period, duty := k.number("period"), k.number("duty_cycle")
	switch file {
	case "period":
		period, _ = strconv.Atoi(value)
	case "duty_cycle":
		duty, _ = strconv.Atoi(value)
	case "polarity":
		if k.number("enable") != 0 {
			return syscall.EBUSY
		}
	}
	if period == 0 || duty > period {
		return syscall.EINVAL
	}
	return k.files().Write(name, value)
}

func (k *pwmKernel) open(t *testing.T, l sensors.Level, written map[string]string) (*pwmout, error) {
	p := newPWMOut(pwmOptions(t, written), k)
	return p, p.open(t.Context(), l)
}

func pwmOptions(t *testing.T, written map[string]string) sensors.Options {
	t.Helper()
	d, _ := sensors.Builtin().LookupOutput("pwm-out")
	all := map[string]string{"output": "1"}
	for k, v := range written {
		all[k] = v
	}
	o, wrong := d.Parse(all)
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	return o
}

func TestPWMOutInTheOrderOfTheKernel(t *testing.T) {
	for _, c := range []struct {
		name    string
		before  [4]string // enable, period, duty_cycle, polarity; all "": not exported
		written map[string]string
		level   sensors.Level
		want    []string
	}{
		{"not exported", [4]string{}, nil, 25,
			[]string{"export=1", "pwm1/period=1000000", "pwm1/duty_cycle=250000", "pwm1/enable=1"}},
		{"not exported, active low", [4]string{}, map[string]string{"active_low": "true"}, 0,
			[]string{"export=1", "pwm1/period=1000000", "pwm1/polarity=inversed", "pwm1/duty_cycle=0", "pwm1/enable=1"}},
		{"runs already: only the duty cycle changes", [4]string{"1", "1000000", "500000", "normal"}, nil, 100,
			[]string{"pwm1/duty_cycle=1000000"}},
		{"shorter period", [4]string{"1", "1000000", "500000", "normal"}, map[string]string{"frequency": "25000"}, 50,
			[]string{"pwm1/duty_cycle=20000", "pwm1/period=40000", "pwm1/duty_cycle=20000"}},
		{"longer period", [4]string{"1", "1000000", "1000000", "normal"}, map[string]string{"frequency": "50"}, 7.5,
			[]string{"pwm1/period=20000000", "pwm1/duty_cycle=1500000"}},
		{"other polarity", [4]string{"1", "1000000", "1000000", "inversed"}, nil, 1,
			[]string{"pwm1/enable=0", "pwm1/polarity=normal", "pwm1/duty_cycle=10000", "pwm1/enable=1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newPWMKernel(t)
			if c.before[0] != "" {
				k.channel(c.before[0], c.before[1], c.before[2], c.before[3])
			}
			p, err := k.open(t, c.level, c.written)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(k.writes, c.want) {
				t.Errorf("wrote %v, want %v", k.writes, c.want)
			}
			if k.number("enable") != 1 || k.text("polarity") != p.polarity {
				t.Errorf("enable %d, polarity %s", k.number("enable"), k.text("polarity"))
			}
			if err := p.Set(sensors.On); err != nil || k.number("duty_cycle") != k.number("period") {
				t.Errorf("on: %v, %d of %d", err, k.number("duty_cycle"), k.number("period"))
			}
			k.writes = nil
			if err := p.Set(sensors.Off); err != nil || k.number("duty_cycle") != 0 || k.number("enable") != 1 {
				t.Errorf("off: %v, %d", err, k.number("duty_cycle"))
			}
			if err := p.Close(); err != nil || len(k.writes) != 1 {
				t.Errorf("close: %v, wrote %v", err, k.writes)
			}
		})
	}
}

func TestPWMOutWaitsForItsFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newPWMKernel(t)
		k.deny = time.Now().Add(time.Second)
		if _, err := k.open(t, sensors.On, nil); err != nil || k.number("enable") != 1 {
			t.Error(err)
		}
		k = newPWMKernel(t)
		k.deny = time.Now().Add(time.Hour)
		begin := time.Now()
		if _, err := k.open(t, sensors.On, nil); !errors.Is(err, fs.ErrPermission) || time.Since(begin) > 2*pwmoutWait {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

func TestPWMOutThatCannotBe(t *testing.T) {
	k := newPWMKernel(t)
	if _, err := k.open(t, 0, map[string]string{"chip": "3"}); !errors.Is(err, sensors.ErrAbsent) || !strings.Contains(err.Error(), "dtoverlay") {
		t.Errorf("no chip: %v", err)
	}
	if _, err := k.open(t, 0, map[string]string{"output": "2"}); !errors.Is(err, sensors.ErrAbsent) || !strings.Contains(err.Error(), "0 to 1") {
		t.Errorf("no output: %v", err)
	}
	busy := pwmBusy{k}
	if err := newPWMOut(pwmOptions(t, nil), busy).open(t.Context(), 0); !errors.Is(err, sensors.ErrTaken) {
		t.Errorf("taken: %v", err)
	}
	k.put("pwmchip0/npwm", "two")
	if _, err := k.open(t, 0, nil); err == nil || !strings.Contains(err.Error(), "npwm") {
		t.Errorf("nonsense: %v", err)
	}
	k = newPWMKernel(t)
	k.channel("0", "0", "0", "normal")
	if err := os.Remove(filepath.Join(k.root, "sys/class/pwm/pwmchip0/pwm1/polarity")); err != nil {
		t.Fatal(err)
	}
	if _, err := k.open(t, 0, map[string]string{"active_low": "true"}); err == nil || !strings.Contains(err.Error(), "active_low") {
		t.Errorf("one polarity: %v", err)
	}
	if _, err := k.open(t, 50, nil); err != nil || k.number("duty_cycle") != 500000 {
		t.Errorf("one polarity: %v", err)
	}
}

// pwmBusy is a channel that a driver of the kernel has.
type pwmBusy struct{ *pwmKernel }

func (pwmBusy) Write(name, _ string) error {
	return &fs.PathError{Op: "write", Path: name, Err: syscall.EBUSY}
}

// TestPWMOutOnFiles goes through the driver as it is registered.
func TestPWMOutOnFiles(t *testing.T) {
	k := newPWMKernel(t)
	k.channel("0", "0", "0", "normal")
	d, ok := sensors.Builtin().LookupOutput("pwm-out")
	if !ok || !d.Percent || d.Doc == "" {
		t.Fatalf("%+v", d)
	}
	o := pwmOptions(t, map[string]string{"active_low": "true"})
	if got := d.Claims(o); !slices.Equal(got, []string{"pwm:0.1"}) {
		t.Errorf("claims %v", got)
	}
	a, err := d.Open(t.Context(), sensors.Env{Board: &bench{root: k.root}}, o, 30)
	if err != nil {
		t.Fatal(err)
	}
	if k.number("period") != 1000000 || k.number("duty_cycle") != 300000 || k.number("enable") != 1 || k.text("polarity") != "inversed" {
		t.Errorf("period %d, duty cycle %d", k.number("period"), k.number("duty_cycle"))
	}
	l, err := d.ParseLevel(json.RawMessage("12.5"))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Set(l); err != nil || k.number("duty_cycle") != 125000 {
		t.Errorf("%v, duty cycle %d", err, k.number("duty_cycle"))
	}
	if err := os.RemoveAll(filepath.Join(k.root, "sys/class/pwm/pwmchip0")); err != nil {
		t.Fatal(err)
	}
	if err := a.Set(l); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "pwm-out at pwmchip0, output 1") {
		t.Errorf("gone: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}
