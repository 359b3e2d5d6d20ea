package drivers

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fieldgate/gateway"
	"fieldgate/sensors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keys are those that the configuration has for each sensor.
var keys = []string{"driver", "device", "sensor", "every", "bus", "channels", "name", "sensor_kind", "quantity", "unit", "scale", "offset", "points",
	"limits", "publish", "disabled", "phase"}

// kinds are Waziup's kinds of sensors that the drivers use, with the quantities
// that each can measure; nil: any (wazigate-edge, GET /ontologies).
var kinds = map[string][]string{
	"Accelerometer":             {"Acceleration"},
	"AirThermometer":            {"AirTemperature"},
	"AtmosphericPressureSensor": {"AtmosphericPressure"},
	"BoardThermometer":          {"BoardTemperature"},
	"CO2Sensor":                 {"CO2"},
	"ConductivitySensor":        {"Conductivity"},
	"Counter":                   {"Count"},
	"CurrentSensor":             {"ElectricCurrent"},
	"DeviceUptimeClock":         {"DeviceUptime"},
	"DistanceSensor":            {"Distance"},
	"DustSensor":                {"ChemicalAgentAtmosphericConcentrationDust"},
	"ElectricalSensor":          {"ElectricalResistance", "Capacitance"},
	"EnergyMeter":               {"Energy"},
	"FrequencySensor":           {"Frequency"},
	"GyroscopeSensor":           {"AngularSpeed", "Orientation"},
	"HumiditySensor":            {"AirHumidity", "RelativeHumidity"},
	"LightSensor":               {"Illuminance"},
	"Magnetometer":              {"MagneticFluxDensity"},
	"OtherSensor":               nil,
	"PHSensor":                  {"PH"},
	"PressureSensor":            {"Pressure"},
	"ProximitySensor":           {"Proximity"},
	"SoilHumiditySensor":        {"SoilHumidity"},
	"SpeedSensor":               {"Speed"},
	"Thermometer":               {"Temperature"},
	"VOCSensor":                 {"ChemicalAgentAtmosphericConcentrationVOC"},
	"VoltageSensor":             {"Voltage"},
	"WeightSensor":              {"Weight"},
}

var (
	driverName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	optionName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	suffixName = regexp.MustCompile(`^([a-z][a-z0-9-]*)?$`)
)

// TestEveryDriverDeclaration: names, one line of Doc that ends with the buses,
// options that say what they mean, and channels in Waziup's words, with each
// setting.
func TestEveryDriverDeclaration(t *testing.T) {
	docLine := func(t *testing.T, what, doc string) {
		if doc == "" || strings.ContainsAny(doc, "\n|") || strings.TrimSpace(doc) != doc || strings.HasSuffix(doc, ".") {
			t.Errorf("%s: documentation %q is no line of the usual form", what, doc)
		}
	}
	options := func(t *testing.T, all []sensors.Option) {
		for _, o := range all {
			docLine(t, o.Name, o.Doc)
			if !optionName.MatchString(o.Name) || slices.Contains(keys, o.Name) {
				t.Errorf("option %q: a name that an option cannot have", o.Name)
			}
			if o.Min > o.Max || o.Kind != sensors.Text && len(o.Choices) > 0 || o.Required && o.Default != "" {
				t.Errorf("option %s: %+v", o.Name, o)
			}
		}
	}
	each(t, func(t *testing.T, d *sensors.Driver) {
		docLine(t, d.Name, d.Doc)
		options(t, d.Options)
		maker, rest, form := strings.Cut(d.Doc, ": ")
		parts := strings.Split(rest, "; ")
		if last := parts[len(parts)-1]; d.Bus != 0 && (!form || maker == "" || last != d.Bus.String() && !strings.HasPrefix(last, d.Bus.String()+" ")) {
			t.Errorf("documentation %q is not of the form MAKER CHIP: QUANTITY LOW to HIGH UNIT, ACCURACY; %s", d.Doc, d.Bus)
		}
		if !driverName.MatchString(d.Name) || d.Every < 0 || d.Family != "" && d.Part == nil {
			t.Errorf("name %q, every %v, family %q", d.Name, d.Every, d.Family)
		}
		for _, written := range settings(t, d) {
			o, _ := d.Parse(written)
			channels(t, d.Channels(o))
			if d.Part != nil {
				d.Part(o) // must not panic
			}
		}
	})
	for _, name := range sensors.Builtin().OutputNames() {
		d, _ := sensors.Builtin().LookupOutput(name)
		docLine(t, name, d.Doc)
		options(t, d.Options)
	}
}

// channels checks what a driver says that it gives.
func channels(t *testing.T, all []sensors.Channel) {
	t.Helper()
	if len(all) == 0 {
		t.Error("no channels")
	}
	var suffixes []string
	for _, c := range all {
		if !suffixName.MatchString(c.Suffix) || slices.Contains(suffixes, c.Suffix) || c.Suffix == "" && len(all) > 1 {
			t.Errorf("suffix %q", c.Suffix)
		}
		suffixes = append(suffixes, c.Suffix)
		if of, known := kinds[c.Kind]; c.Kind != "" && (!known || of != nil && c.Quantity != "" && !slices.Contains(of, c.Quantity)) {
			t.Errorf("%+v: Waziup has no such kind, or it does not measure that", c)
		}
		if c.Quantity != "" && !sensors.KnownQuantity(c.Quantity) || c.Unit != "" && !sensors.KnownUnit(c.Unit) {
			t.Errorf("%+v: words that Waziup does not have", c)
		}
		if c.Decimals < 0 || c.Decimals > 15 {
			t.Errorf("%+v: decimals", c)
		}
	}
}

// clock is a time that the test moves on.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func open(t *testing.T, driver string, c *clock, sensor string, written map[string]string) sensors.Sampler {
	t.Helper()
	d, _ := sensors.Builtin().Lookup(driver)
	o, wrong := d.Parse(written)
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	s, err := d.Open(t.Context(), sensors.Env{Device: "D", Sensor: sensor, Now: c.now}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// series takes n samples, one every step.
func series(t *testing.T, s sensors.Sampler, c *clock, n int, step time.Duration) []string {
	t.Helper()
	var out []string
	for range n {
		samples, err := s.Sample(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var values []string
		for _, x := range samples {
			if err := gateway.CheckValue(x.Value); err != nil {
				t.Errorf("%s: %v", x.Value, err)
			}
			values = append(values, string(x.Value))
		}
		out = append(out, strings.Join(values, " "))
		c.t = c.t.Add(step)
	}
	return out
}
