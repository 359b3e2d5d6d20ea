package waziup

import (
	"errors"
	"strings"
	"testing"

	"fieldgate/gateway"
)

func TestParseTopic(t *testing.T) {
	cases := []struct {
		topic string
		want  Topic
	}{
		{"devices/D/sensors/S/value", Topic{SensorValue, "D", "S", ""}},
		{"devices/D/sensors/S/values", Topic{SensorValues, "D", "S", ""}},
		{"devices/D/actuators/A/value", Topic{ActuatorValue, "D", "", "A"}},
		{"devices/D/actuators/A/values", Topic{ActuatorValues, "D", "", "A"}},
		{"devices", Topic{Kind: CreateDevice}},
		{"devices/D/sensors", Topic{CreateSensor, "D", "", ""}},
		{"devices/D/actuators", Topic{CreateActuator, "D", "", ""}},
		{"devices/D", Topic{DevicePayload, "D", "", ""}},
		{"devices/D/sensors/S", Topic{DeleteSensor, "D", "S", ""}},
		{"devices/D/actuators/A", Topic{DeleteActuator, "D", "", "A"}},
		{"devices/D/name", Topic{DeviceName, "D", "", ""}},
		{"devices/D/meta", Topic{DeviceMeta, "D", "", ""}},
		{"devices/D/sensors/S/name", Topic{SensorName, "D", "S", ""}},
		{"devices/D/sensors/S/meta", Topic{SensorMeta, "D", "S", ""}},
		{"devices/D/actuators/A/name", Topic{ActuatorName, "D", "", "A"}},
		{"devices/D/actuators/A/meta", Topic{ActuatorMeta, "D", "", "A"}},
		// ids that look like words of the dialect, or like nothing at all
		{"devices/devices/sensors/value/value", Topic{SensorValue, "devices", "value", ""}},
		{"devices/name", Topic{DevicePayload, "name", "", ""}},
		{"devices/my field/sensors/Bodenfeuchte ü/value", Topic{SensorValue, "my field", "Bodenfeuchte ü", ""}},
		{"devices/$x/sensors/%u/value", Topic{SensorValue, "$x", "%u", ""}},
	}
	for _, c := range cases {
		got, ok, err := ParseTopic(c.topic)
		if !ok || err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, %v", c.topic, got, ok, err)
		}
		if s := got.String(); s != c.topic {
			t.Errorf("%s became %s", c.topic, s)
		}
	}
}

func TestParseTopicOutsideTheDialect(t *testing.T) {
	for _, topic := range []string{
		"", "/", "device", "devicesX", "devicesX/D/sensors/S/value", "Devices/D", "/devices/D/sensors/S/value",
		"factory/devices/D", "sensors/S/value", "$SYS/devices", "v2/feeds/1",
	} {
		if got, ok, err := ParseTopic(topic); ok || err != nil || got != (Topic{}) {
			t.Errorf("%q: %+v, %v, %v", topic, got, ok, err)
		}
		if _, ok := Device(topic); ok {
			t.Errorf("Device(%q) says it is of the dialect", topic)
		}
	}
}

func TestParseTopicMistakes(t *testing.T) {
	long := strings.Repeat("x", gateway.MaxID+1)
	cases := []struct {
		topic string
		want  error
	}{
		{"devices/", gateway.ErrBadID},
		{"devices//sensors/S/value", gateway.ErrBadID},
		{"devices/D/sensors//value", gateway.ErrBadID},
		{"devices/D/sensors/", gateway.ErrBadID},
		{"devices/D/actuators//name", gateway.ErrBadID},
		{"devices/+/sensors/S/value", gateway.ErrBadID},
		{"devices/D/sensors/#/value", gateway.ErrBadID},
		{"devices/D\x00/sensors/S/value", gateway.ErrBadID},
		{"devices/D/sensors/\xff/value", gateway.ErrBadID},
		{"devices/" + long + "/sensors/S/value", gateway.ErrBadID},
		{"devices/D/sensors/" + long + "/value", gateway.ErrBadID},
		{"devices/D/", gateway.ErrBadTopic},
		{"devices/D/sensor/S/value", gateway.ErrBadTopic},
		{"devices/D/gps", gateway.ErrBadTopic},
		{"devices/D/sensors/S/", gateway.ErrBadTopic},
		{"devices/D/sensors/S/Value", gateway.ErrBadTopic},
		{"devices/D/sensors/S/value/", gateway.ErrBadTopic},
		{"devices/D/sensors/S/value/x", gateway.ErrBadTopic},
		{"devices/D/name/x", gateway.ErrBadTopic},
		{"devices/D/sensors/S/value" + strings.Repeat("/x", 30_000), gateway.ErrBadTopic},
	}
	for _, c := range cases {
		if got, ok, err := ParseTopic(c.topic); !ok || !errors.Is(err, c.want) || got != (Topic{}) {
			t.Errorf("%.60q: %+v, %v, %v; want %v", c.topic, got, ok, err, c.want)
		}
	}
}

func TestTopicOfNoKind(t *testing.T) {
	if s := (Topic{Device: "D"}).String(); s != "" {
		t.Error(s)
	}
}

func TestReading(t *testing.T) {
	for topic, want := range map[string]struct {
		kind    gateway.Kind
		channel string
	}{
		"devices/D/sensors/S/value":    {gateway.KindSensor, "S"},
		"devices/D/sensors/S/values":   {gateway.KindSensor, "S"},
		"devices/D/actuators/A/value":  {gateway.KindActuator, "A"},
		"devices/D/actuators/A/values": {gateway.KindActuator, "A"},
		"devices/D/sensors/S/name":     {},
		"devices":                      {},
	} {
		parsed, _, _ := ParseTopic(topic)
		kind, channel, ok := parsed.Reading()
		if kind != want.kind || channel != want.channel || ok != (want.kind != 0) {
			t.Errorf("%s: %v %q %v", topic, kind, channel, ok)
		}
	}
}

func TestDevice(t *testing.T) {
	for topic, want := range map[string]string{
		"devices": "", "devices/": "", "devices/D": "D", "devices/D/": "D", "devices/D/sensors/S/value": "D", "devices/D/what/ever/it/is": "D",
	} {
		if got, ok := Device(topic); !ok || got != want {
			t.Errorf("%s: %q, %v", topic, got, ok)
		}
	}
	topic := SensorTopic("D", "S")
	if n := testing.AllocsPerRun(100, func() { Device(topic) }); n != 0 {
		t.Errorf("Device allocates %v times", n)
	}
}

func FuzzParseTopic(f *testing.F) {
	for _, s := range []string{"devices", "devices/D/sensors/S/value", "devices/D/actuators/A/meta", "devices//", "x", "devices/+/#"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, topic string) {
		got, ok, err := ParseTopic(topic)
		device, mine := Device(topic)
		if mine != ok {
			t.Errorf("%q: ParseTopic says %v, Device %v", topic, ok, mine)
		}
		if !ok || err != nil {
			if got != (Topic{}) {
				t.Errorf("%q: %+v with %v", topic, got, err)
			}
			return
		}
		if s := got.String(); s != topic {
			t.Errorf("%q became %q", topic, s)
		}
		if device != got.Device {
			t.Errorf("%q: device %q and %q", topic, got.Device, device)
		}
	})
}
