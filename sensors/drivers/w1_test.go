package drivers

import (
	"fmt"
	"math"
	"testing"

	"fieldgate/sensors"
)

// w1Slave is the file w1_slave as the kernel writes it.
func w1Slave(pad [9]byte, verdict string, milli int) string {
	return fmt.Sprintf("% x : crc=%02x %s\n% x t=%d\n", pad[:], pad[8], verdict, pad[:], milli)
}

func w1Tree(id, file, text string) map[string]string {
	return map[string]string{
		"sys/bus/w1/devices/w1_bus_master1/w1_master_slave_count": "1\n",
		"sys/bus/w1/devices/01-000000000007/id":                   "x",
		"sys/bus/w1/devices/" + id + "/" + file:                   text,
	}
}

func TestW1(t *testing.T) {
	const id = "28-0316a2795cff"
	// As a Raspberry Pi gave it.
	recorded := "6e 01 4b 46 7f ff 02 10 71 : crc=71 YES\n6e 01 4b 46 7f ff 02 10 71 t=22875\n"
	for name, c := range map[string]struct {
		id, file, text, rom, want string
	}{
		"recorded":     {id, "w1_slave", recorded, id, "=22.88"},
		"the only one": {id, "w1_slave", recorded, "", "=22.88"},
		"16 digits":    {"28-0000070e41ac", "w1_slave", recorded, "740000070e41ac28", "=22.88"},
		"cold":         {id, "w1_slave", w1Slave(ds18b20Pad(0x90, 0xfc, 0, 0, 0x7f, 0xff, 0, 0x10), "YES", -55000), "", "=-55.00"},
		"a true 85":    {id, "w1_slave", w1Slave(ds18b20Pad(0x50, 0x05, 0, 0, 0x7f, 0xff, 0x10, 0x10), "YES", 85000), "", "=85.00"},
		"9 bits":       {id, "w1_slave", w1Slave(ds18b20Pad(0x97, 0x01, 0, 0, 0x1f, 0xff, 0x10, 0x10), "YES", 25437), "", "=25.00"},
		"DS18S20":      {"10-000802b4635f", "w1_slave", w1Slave(ds18b20Pad(0x32, 0, 0, 0, 0xff, 0xff, 0x0b, 0x10), "YES", 25062), "", "=25.06"},
		"DS28EA00":     {"42-000000271828", "w1_slave", w1Slave(ds18b20Pad(0x91, 0x01, 0, 0, 0x7f, 0xff, 0x0f, 0x10), "YES", 25062), "", "=25.06"},
		"MAX31850":     {"3b-000000271828", "w1_slave", w1Slave(ds18b20Pad(0x40, 0x1f, 0, 0, 0xf0, 0xff, 0xff, 0xff), "YES", 500000), "", "=500.00"},
		"temperature":  {id, "temperature", "21625\n", "", "=21.62"},
	} {
		t.Run(name, func(t *testing.T) {
			written := map[string]string{}
			if c.rom != "" {
				written["rom"] = c.rom
			}
			sysfsRead(t, "w1", w1Tree(c.id, c.file, c.text), written, c.want)
		})
	}
}

func TestW1Faults(t *testing.T) {
	const id = "28-0316a2795cff"
	good := ds18b20Pad(0x91, 0x01, 0x4b, 0x46, 0x7f, 0xff, 0x0f, 0x10)
	bad := good
	bad[0] ^= 4
	for name, c := range map[string]struct{ id, file, text, says string }{
		"CRC":                  {id, "w1_slave", w1Slave(bad, "NO", 25062), "wrong checksum"},
		"CRC, says the chip":   {id, "w1_slave", w1Slave(bad, "YES", 25062), "wrong checksum"},
		"CRC, says the kernel": {id, "w1_slave", w1Slave(good, "NO", 25062), "checksum: NO"},
		"no answer":            {id, "w1_slave", "", "w1_slave: the file is empty"},
		"ones":                 {id, "w1_slave", w1Slave([9]byte{255, 255, 255, 255, 255, 255, 255, 255, 255}, "NO", -62), errAllOnes.Error()},
		"zeros":                {id, "w1_slave", w1Slave([9]byte{}, "YES", 0), "only zeros"},
		"power-up":             {id, "w1_slave", w1Slave(ds18b20Pad(0x50, 0x05, 0x4b, 0x46, 0x7f, 0xff, 0x0c, 0x10), "YES", 85000), "from power-up"},
		"no power":             {id, "w1_slave", w1Slave(ds18b20Pad(0xff, 0x07, 0x4b, 0x46, 0x7f, 0xff, 0x0c, 0x10), "YES", 127937), "too little power"},
		"DS18S20, no count":    {"10-000802b4635f", "w1_slave", w1Slave(ds18b20Pad(0x32, 0, 0, 0, 0xff, 0xff, 0x0c, 0), "YES", 0), "count remain"},
		"DS28EA00, power-up":   {"42-000000271828", "w1_slave", w1Slave(ds18b20Pad(0x50, 0x05, 0, 0, 0x7f, 0xff, 0x0c, 0x10), "YES", 85000), "from power-up"},
		"DS28EA00, too hot":    {"42-000000271828", "w1_slave", w1Slave(good, "YES", 125063), "125.063 °C is outside"},
		"DS28EA00, no number":  {"42-000000271828", "w1_slave", fmt.Sprintf("% x : crc=%02x YES\n% x t=?", good[:], good[8], good[:]), "has no temperature"},
		"one line":             {id, "w1_slave", fmt.Sprintf("% x : crc=%02x YES\n", good[:], good[8]), "is no scratchpad"},
		"short":                {id, "w1_slave", "91 01 : crc=25 YES\nt=1", "is no scratchpad"},
		"not hexadecimal":      {id, "w1_slave", "91 01 4b 46 7f ff 0f 10 xx : crc=25 YES\nt=1", "is no scratchpad"},
		"85000":                {id, "temperature", "85000\n", "temperature: 85 °C"},
		"cold":                 {id, "temperature", "-55100\n", "-55.1 °C is outside"},
		"empty":                {id, "temperature", "", "temperature: the file is empty"},
		"neither file":         {id, "uevent", "", "temperature: no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			sysfsRead(t, "w1", w1Tree(c.id, c.file, c.text), nil, "", c.says, c.id)
		})
	}
	parasite := w1Tree(id, "w1_slave", w1Slave(ds18b20Pad(0x50, 0x05, 0, 0, 0x7f, 0xff, 0x10, 0x10), "YES", 85000))
	parasite["sys/bus/w1/devices/"+id+"/ext_power"] = "0\n"
	sysfsRead(t, "w1", parasite, nil, "", "too little power")
	two := w1Tree(id, "w1_slave", "x")
	two["sys/bus/w1/devices/10-000802b4635f/w1_slave"] = "y"
	sysfsRead(t, "w1", two, nil, "", "10-000802b4635f, 28-0316a2795cff", "rom")
	sysfsRead(t, "w1", two, map[string]string{"rom": "28-000000000001"}, "", "28-000000000001 is not there", "10-000802b4635f")
	sysfsRead(t, "w1", map[string]string{"sys/bus/w1/devices/w1_bus_master1/x": ""}, nil, "", sensors.ErrAbsent.Error())
	sysfsRead(t, "w1", nil, nil, "", "sys/bus/w1/devices", sensors.ErrAbsent.Error())
	for _, rom := range []string{"28", "01-000000000007", "../../x", "28-0316a2795cf/"} {
		sysfsRefuses(t, "w1", map[string]string{"rom": rom}, "rom")
	}
}

func FuzzW1Slave(f *testing.F) {
	f.Add("28-0316a2795cff", "6e 01 4b 46 7f ff 02 10 71 : crc=71 YES\n6e 01 4b 46 7f ff 02 10 71 t=22875\n")
	f.Add("42-000000271828", w1Slave(ds18b20Pad(0x91, 0x01, 0, 0, 0x7f, 0xff, 0x0f, 0x10), "YES", 25062))
	f.Fuzz(func(t *testing.T, id, text string) {
		if !w1Knows(id) {
			return
		}
		v, err := parseW1Slave(id, text)
		if err != nil {
			return
		}
		if v, err = w1Possible("", v, id); err == nil && (math.IsNaN(v) || v < -270 || v > 1820) {
			t.Errorf("%q: %v", text, v)
		}
	})
}
