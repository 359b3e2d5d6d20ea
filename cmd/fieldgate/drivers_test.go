package main

import (
	"os"
	"strings"
	"testing"
)

// TestDriverTable: the documentation has a row for each driver.
func TestDriverTable(t *testing.T) {
	var want strings.Builder
	if err := driverTable(&want); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../sensors/DRIVERS.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want.String() {
		t.Error("sensors/DRIVERS.md is not what it should be: go run ./cmd/fieldgate sensors --markdown > sensors/DRIVERS.md")
	}
}

// TestSensorsCommand lists drivers, or one of them.
func TestSensorsCommand(t *testing.T) {
	code, out, errOut := command(t, "", "sensors")
	for _, want := range []string{"bme280\n", "gpio-out (actuator)\n", "address", "(0x76 to 0x77)", "temperature DegreeCelsius"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in the list", want)
		}
	}
	if code != 0 || errOut != "" {
		t.Errorf("%d %s", code, errOut)
	}
	if _, out, _ := command(t, "", "sensors", "lm75"); !strings.HasPrefix(out, "lm75\n") || strings.Contains(out, "bme280") {
		t.Errorf("one driver:\n%s", out)
	}
	if code, _, errOut := command(t, "", "sensors", "lm76"); code != exitUsage || !strings.Contains(errOut, "lm76") {
		t.Errorf("no such driver: %d %s", code, errOut)
	}
}
