package station

import (
	"encoding/json"
	"log/slog"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/codec"
	"fieldgate/radio/lorawan"
	"fieldgate/radio/raw"
)

// Hub is what a Station needs of the gateway's Hub.
type Hub interface {
	Submit(b *gateway.Batch) error
	Change(b *gateway.Batch, req gateway.ChangeRequest) error
}

// Devices knows the gateway's devices (gateway.Registry).
type Devices interface {
	Device(id string) (*gateway.Device, bool)
}

// Device is one of the gateway's devices that is reached by LoRa.
type Device struct {
	Name      string // its id at the gateway
	Codec     codec.Codec
	Variables map[string]string
	// Script says that Codec takes its time: it runs apart from the others.
	Script bool
	// Sensors and Actuators give the ids that names of the codec have at the
	// gateway. A name that is not there is the id itself.
	Sensors, Actuators map[string]string
	// Create says that sensors which the codec finds are created.
	Create bool
	// Mute says that Codec encodes nothing: there are no commands.
	Mute bool
	Raw  bool // it has no LoRaWAN
	// AfterUplink, of a device without LoRaWAN, has its commands wait for its next
	// frame: it listens only then.
	AfterUplink bool
	Port        uint8 // FPort of commands whose codec names none
	Confirmed   bool
	// Priority is that of its commands, of which the higher ones go first; Priorities
	// are those of actuators, by their ids, that have another.
	Priority   int8
	Priorities map[string]int8
	Expires    time.Duration // how long a command may wait; 0: for ever
}

// Forwarder takes the frames to another network server.
type Forwarder interface {
	// Take must not block. Known says that the frame is of one of our devices.
	Take(f *radio.Frame, known bool)
}

// Config is what a Station works with. Publish, Observe and Forwarders may be
// absent.
type Config struct {
	Gateway string // its id
	Radios  []radio.Radio
	LoRaWAN lorawan.Config // without what the Station sets: Radio, and the callbacks
	Raw     raw.Config     // the same
	// RawRadios are those that hear no LoRaWAN, because of their sync word.
	RawRadios  map[string]bool
	Devices    []Device
	Hub        Hub
	Registry   Devices
	Table      gateway.Table // the last command of each actuator; nil: they end with the process
	Clock      gateway.Clock
	Log        *slog.Logger
	Forwarders []Forwarder
	// Publish hands a message of the gateway's own to local subscribers. It must not
	// block.
	Publish func(gateway.Message)
	// Observe is told of each frame that was heard or sent, after it was dealt
	// with. It must not block.
	Observe func(*Event)
}

// Event is a frame that was heard, or one that was sent, as the topics
// gateways/{id}/radio/rx and tx show it.
type Event struct {
	Sent      bool            `json:"sent,omitempty"`
	Time      *time.Time      `json:"time,omitempty"` // absent while the clock is unset
	Radio     string          `json:"radio"`
	Frequency float64         `json:"frequency"` // MHz
	DataRate  string          `json:"data_rate"`
	RSSI      float32         `json:"rssi,omitempty"` // dBm
	SNR       *float32        `json:"snr,omitempty"`  // dB
	CRC       string          `json:"crc,omitempty"`
	Power     *int8           `json:"power,omitempty"` // dBm, of what is sent
	Size      int             `json:"size"`            // bytes
	Payload   string          `json:"payload"`         // the frame as it is in the air, in hex
	Kind      string          `json:"kind,omitempty"`  // of a LoRaWAN frame
	Device    string          `json:"device,omitempty"`
	FCnt      *uint32         `json:"fcnt,omitempty"`
	FPort     *uint8          `json:"fport,omitempty"`
	Values    json.RawMessage `json:"values,omitempty"` // what the codec made of it
	Error     string          `json:"error,omitempty"`  // why it was not taken, or not sent
}
