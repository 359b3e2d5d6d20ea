package preset

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestPresets checks each preset by the rules of Check, and that the names asked
// for are there.
func TestPresets(t *testing.T) {
	names := Names()
	if len(names) < 12 || !slices.IsSorted(names) {
		t.Errorf("%d presets: %v", len(names), names)
	}
	for _, name := range names {
		p, ok := Get(name)
		if !ok || p.Name != name {
			t.Errorf("%s is %q, %v", name, p.Name, ok)
		}
		if err := p.Check(); err != nil {
			t.Error(err)
		}
	}
	if _, ok := Get("none"); ok {
		t.Error("there is a preset called none")
	}
}

// TestWiring has the boards whose pins two sources agree on.
func TestWiring(t *testing.T) {
	for name, want := range map[string]string{
		"dragino-hat":      "sx127x spi:0.0 chip select GPIO25, reset GPIO17, interrupt GPIO4",
		"adafruit-bonnet":  "sx127x spi:0.1 reset GPIO25, interrupt GPIO22",
		"wazihat":          "sx127x spi:0.0 reset GPIO17",
		"pham-breakout":    "sx127x spi:0.0 reset GPIO4",
		"waveshare-sx1262": "sx126x spi:0.0 chip select GPIO21, reset GPIO18, interrupt GPIO16, busy GPIO20, tx enable GPIO6",
	} {
		p, _ := Get(name)
		if got := p.Driver + " " + p.Bus + " " + p.wiring(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestCheck(t *testing.T) {
	good := Preset{Name: "a-board", Title: "A board", Driver: SX126x, Chip: "SX1262", Bus: "spi:0.0", Reset: "GPIO17", IRQ: "GPIO4", Source: "here"}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*Preset){
		"name is not":                   func(p *Preset) { p.Name = "A board" },
		"not of the form":               func(p *Preset) { p.Bus = "/dev/spidev0.0" },
		"is missing":                    func(p *Preset) { p.Source = "" },
		"driver":                        func(p *Preset) { p.Driver = "sx1301" },
		"has no PA_BOOST":               func(p *Preset) { p.PABoost = true },
		"has neither BUSY":              func(p *Preset) { p.Driver, p.Busy = SX127x, "GPIO5" },
		"is no line such as":            func(p *Preset) { p.Busy = "25" },
		"GPIO4 is interrupt and busy":   func(p *Preset) { p.Busy = "GPIO4" },
		"GPIO10 is the bus and enable":  func(p *Preset) { p.Enable = []string{"GPIO10"} },
		"GPIO8 is the bus and tx":       func(p *Preset) { p.TXEnable = "GPIO8" },
		"\"GPIO04\" is no line such as": func(p *Preset) { p.RXEnable = "GPIO04" },
	} {
		p := good
		spoil(&p)
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if p := good; p.ChipSelect == "" {
		p.ChipSelect = "GPIO8" // a select that the driver moves, with the overlay that frees it
		if err := p.Check(); err != nil {
			t.Error(err)
		}
	}
}

func TestRegisterTwice(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a name that is taken was registered")
		}
	}()
	p, _ := Get("dragino-hat")
	Register(p)
}

func TestMarkdown(t *testing.T) {
	text := Markdown()
	for _, name := range Names() {
		if strings.Count(text, "| `"+name+"` |") != 1 {
			t.Errorf("%s is not there once", name)
		}
	}
	for _, want := range []string{"UART", "LoRaWAN/GNSS HAT", "dtparam=spi=on"} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing is said of %s", want)
		}
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "|") && strings.Count(line, "|") != 7 {
			t.Errorf("not six columns: %s", line)
		}
	}
}

// TestSources checks that each file with a preset names a source in the comment
// of its init, and that only init registers.
func TestSources(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name := f.Name(); strings.HasSuffix(name, "_test.go") || !strings.HasSuffix(name, ".go") || name == "preset.go" || name == "doc.go" {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Name.Name != "init" || !strings.Contains(fn.Doc.Text(), "Pins: ") {
				t.Errorf("%s: not an init that says where its pins are from", f.Name())
			}
		}
	}
}
