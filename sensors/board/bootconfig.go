package board

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// bootLine is one device tree setting of a Raspberry Pi's config.txt.
type bootLine struct {
	File    string
	Number  int      // of the line, from 1
	Text    string   // the line
	Off     bool     // it is commented out
	Filters []string // conditional sections that it is in: "pi4", "gpio4=1", "none"
	Key     string   // dtparam or dtoverlay
	Name    string   // of the parameter or overlay
	Value   string   // of the parameter: "on" if none is written; of the overlay: its parameters
}

// maxBootLines is how many settings are looked at.
const maxBootLines = 4096

// parseBootConfig reads the device tree settings of a config.txt, those that are
// commented out too, and the files that it includes. Sections stay in force until
// [all]; one of the same kind replaces the one before (Raspberry Pi
// documentation, config.txt, conditional filters). Whatever else is in the file
// is left out.
func parseBootConfig(file, text string) (lines []bootLine, includes []string) {
	filters := map[string]string{} // by kind
	number := 0
	for raw := range strings.Lines(text) {
		number++
		line := strings.TrimSpace(raw)
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") && len(line) > 2 {
			name := strings.TrimSpace(line[1 : len(line)-1])
			if strings.EqualFold(name, "all") {
				clear(filters)
			} else {
				filters[filterKind(name)] = name
			}
			continue
		}
		if name, ok := strings.CutPrefix(line, "include "); ok {
			includes = append(includes, strings.TrimSpace(name))
			continue
		}
		setting := strings.TrimLeft(line, "# \t")
		b := bootLine{File: file, Number: number, Text: line, Off: strings.HasPrefix(line, "#"),
			Filters: slices.Sorted(maps.Values(filters))}
		key, value, ok := strings.Cut(setting, "=")
		switch {
		case !ok || strings.ContainsAny(key, " \t"):
		case key == "dtparam" || key == "device_tree_param":
			for one := range strings.SplitSeq(value, ",") {
				b.Key = "dtparam"
				if b.Name, b.Value, ok = strings.Cut(strings.TrimSpace(one), "="); !ok {
					b.Value = "on"
				}
				if b.Name != "" {
					lines = append(lines, b)
				}
			}
		case key == "dtoverlay" || key == "device_tree_overlay":
			b.Key = "dtoverlay"
			b.Name, b.Value, _ = strings.Cut(strings.TrimSpace(value), ",")
			if b.Name = strings.TrimSuffix(b.Name, ".dtbo"); b.Name != "" {
				lines = append(lines, b)
			}
		}
		if len(lines) > maxBootLines {
			break
		}
	}
	return lines, includes
}

// filterKind tells which filters replace each other.
func filterKind(name string) string {
	low := strings.ToLower(name)
	for _, kind := range []string{"pi", "cm", "gpio", "edid", "hdmi", "0x", "board-type", "tryboot", "none"} {
		if strings.HasPrefix(low, kind) {
			if kind == "cm" {
				return "pi"
			}
			return kind
		}
	}
	return low
}

// bootConfig reads the boot configuration with what it includes. It is empty
// where there is none.
func (t tree) bootConfig() []bootLine {
	file := t.bootFile()
	lines, includes := parseBootConfig(file, t.text(file))
	for i, name := range includes {
		if i == 16 {
			break
		}
		name = path.Join(path.Dir(file), path.Clean("/"+name))
		more, _ := parseBootConfig(name, t.text(name))
		lines = append(lines, more...)
	}
	return lines
}

// applies reports whether the line is in force on a model. Of filters that
// nobody can judge later (a pin at boot, a monitor) it says yes.
func (b *bootLine) applies(model string) bool {
	if b.Off {
		return false
	}
	is := piFilters(model)
	for _, f := range b.Filters {
		f = strings.ToLower(f)
		if f == "none" || filterKind(f) == "pi" && !is[f] {
			return false
		}
	}
	return true
}

// piFilters are the sections of config.txt that a model of the Raspberry Pi sees
// (Raspberry Pi documentation, config.txt, model filters).
func piFilters(model string) map[string]bool {
	rest, ok := strings.CutPrefix(model, "Raspberry Pi ")
	if !ok {
		return nil
	}
	for _, m := range []struct {
		begins  string
		filters []string
	}{
		{"Compute Module 5", []string{"pi5", "cm5"}},
		{"500", []string{"pi5", "pi500"}},
		{"5", []string{"pi5"}},
		{"Compute Module 4S", []string{"pi4", "cm4s"}},
		{"Compute Module 4", []string{"pi4", "cm4"}},
		{"400", []string{"pi4", "pi400"}},
		{"4", []string{"pi4"}},
		{"Compute Module 3 Plus", []string{"pi3", "cm3", "cm3+"}},
		{"Compute Module 3", []string{"pi3", "cm3"}},
		{"3 Model B Plus", []string{"pi3", "pi3+"}},
		{"3 Model A Plus", []string{"pi3", "pi3+"}},
		{"3", []string{"pi3"}},
		{"2", []string{"pi2"}},
		{"Zero 2", []string{"pi0", "pi0w", "pi02"}},
		{"Zero W", []string{"pi0", "pi0w"}},
		{"Zero", []string{"pi0"}},
		{"Compute Module 0", []string{"pi0", "cm0"}},
		{"Compute Module", []string{"pi1", "cm1"}},
		{"Model", []string{"pi1"}},
	} {
		if strings.HasPrefix(rest, m.begins) {
			is := map[string]bool{}
			for _, f := range m.filters {
				is[f] = true
			}
			return is
		}
	}
	return nil
}

// same reports whether the line sets what want does, a line such as
// "dtparam=i2c_arm=on": the same parameter, perhaps to another value, or the same
// overlay with any parameters. on says whether it switches it on.
func (b *bootLine) same(want string) (same, on bool) {
	key, value, _ := strings.Cut(want, "=")
	if key != b.Key {
		return false, false
	}
	if key == "dtoverlay" {
		name, _, _ := strings.Cut(value, ",")
		return b.Name == name, true
	}
	name, _, _ := strings.Cut(value, "=")
	// Aliases of the base device tree: the bus of the header was 0 on the first boards.
	alias := map[string]string{"i2c": "i2c_arm", "i2c1": "i2c_arm"}
	have := b.Name
	if alias[have] != "" {
		have = alias[have]
	}
	switch strings.ToLower(b.Value) {
	case "off", "no", "false", "0", "disabled":
		return have == name, false
	}
	return have == name, true
}
