package sim_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/sensors"
	_ "fieldgate/sensors/drivers"
	"fieldgate/sensors/sim"
)

// measure opens one of the gateway's drivers on the board and samples once.
func measure(t *testing.T, b sensors.Board, driver, bus string, written map[string]string) (map[string]float64, error) {
	t.Helper()
	d, ok := sensors.Builtin().Lookup(driver)
	if !ok {
		t.Fatalf("there is no driver %s", driver)
	}
	o, wrong := d.Parse(written)
	if len(wrong) > 0 {
		t.Fatal(driver, wrong)
	}
	s, err := d.Open(t.Context(), sensors.Env{Bus: bus, Device: "D", Sensor: "S", Now: time.Now, Board: b,
		Last: func(string) (json.RawMessage, bool) { return nil, false }}, o)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	samples, err := s.Sample(t.Context())
	if err != nil {
		return nil, err
	}
	values := map[string]float64{}
	for _, x := range samples {
		if values[x.Suffix], err = strconv.ParseFloat(string(x.Value), 64); err != nil {
			t.Fatal(err)
		}
	}
	return values, nil
}

// The gateway's drivers read what the world has, and give errors for each fault
// that they can see.
func TestDrivers(t *testing.T) {
	at := func(address uint16, more ...string) map[string]string {
		m := map[string]string{"address": fmt.Sprint(address)}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	air := map[string]sim.Quantity{"temperature": sim.AirTemperature, "humidity": sim.AirHumidity}
	weather := map[string]sim.Quantity{"temperature": sim.AirTemperature, "humidity": sim.AirHumidity, "pressure": sim.AirPressure}
	visible := []sim.Fault{sim.NAK, sim.AllOnes, sim.AllZeros, sim.NeverReady}
	for _, x := range []struct {
		driver, bus string
		options     map[string]string
		part        sim.Part
		want        map[string]sim.Quantity
		within      float64
		faults      []sim.Fault
	}{
		{"bme280", "i2c:sim", at(sim.AddressBME280), sim.ChipBME280, weather, 0.06, append(visible, sim.WrongID)},
		{"ads1115", "i2c:sim", at(sim.AddressADS1115, "channel", "1"), sim.ChipADS1115, map[string]sim.Quantity{"voltage": sim.Input(1)}, 0.0003, visible},
		{"lm75", "i2c:sim", at(sim.AddressTMP105, "model", "tmp105"), sim.ChipTMP105, map[string]sim.Quantity{"temperature": sim.BoxTemperature}, 0.05, visible[:3]},
		{"lm75", "i2c:sim", at(sim.AddressTMP105, "model", "tmp105", "resolution", "9"), sim.ChipTMP105, map[string]sim.Quantity{"temperature": sim.BoxTemperature}, 0.31, nil},
		{"sht3x", "i2c:sim", at(sim.AddressSHT31), sim.ChipSHT31, air, 0.06, append(visible, sim.BitFlip)},
		{"mcp3008", "spi:sim", map[string]string{"channel": "5"}, sim.ChipMCP3008, map[string]sim.Quantity{"voltage": sim.SPIInput(5)}, 0.005, []sim.Fault{sim.NAK, sim.AllOnes}},
		{"ds18b20", "w1:sim", map[string]string{"rom": "28-00000a5e0010"}, sim.ChipSoilProbe, map[string]sim.Quantity{"temperature": sim.SoilTemperature}, 0.05, append(visible, sim.BitFlip)},
		{"ds18b20", "w1:sim", map[string]string{"rom": "28-00000a5e0011"}, sim.ChipWaterProbe, map[string]sim.Quantity{"temperature": sim.WaterTemperature}, 0.05, nil},
	} {
		t.Run(x.driver, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := sim.New(nil, time.Now)
				for _, f := range append(x.faults, sim.Healthy, sim.Slow) {
					b.SetFault(x.part, f)
					time.Sleep(time.Hour)
					want := map[string]float64{} // what it is at the beginning: nothing moves far in a second
					for suffix, q := range x.want {
						want[suffix] = b.Value(q)
					}
					got, err := measure(t, b, x.driver, x.bus, x.options)
					if f != sim.Healthy && f != sim.Slow {
						if err == nil {
							t.Errorf("fault %d: %v and no error", f, got)
						}
						continue
					}
					if err != nil {
						t.Errorf("fault %d: %v", f, err)
						continue
					}
					for suffix, v := range want {
						if g, ok := got[suffix]; !ok || g-v > x.within || v-g > x.within {
							t.Errorf("fault %d: %s is %v, want %v within %v", f, suffix, got, v, x.within)
						}
					}
				}
			})
		})
	}
}
