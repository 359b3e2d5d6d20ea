package config

import (
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
)

// Radio is one item of the list of radios.
type Radio struct {
	Name   string // unique; the driver's name where the file gives none
	Driver string // RadioSemtech, RadioSX127x, RadioSX126x or RadioFake

	// Driver semtech.
	Listen   string   // UDP address for packet forwarders
	Gateways []string // their EUIs, 16 hex digits in lower case

	// The chips.
	Board                                            string   // preset, "" for none
	Bus                                              string   // "spi:0.0"
	ChipSelect, Reset, IRQ, Busy, TXEnable, RXEnable string   // GPIO lines, "" for none
	Enable                                           []string // lines that are high while it is used
	MaxPower, Amplifier                              int8     // the board's: most dBm of the chip (0: no limit), and dB behind it
	DIO2Switch                                       bool     // sx126x: its DIO2 switches the antenna
	TCXO                                             float64  // sx126x: volts of the oscillator on DIO3, 0: a crystal
	RFO                                              bool     // sx127x: the antenna is on RFO, not on PA_BOOST
	Part                                             string   // sx126x: sx1261, sx1262 or sx1268
	Tuning                                           radio.Tuning
	Power                                            int     // most dBm at the antenna's connector
	Gain                                             float64 // of the antenna, dBi

	// Driver fake: a simulated chip, and simulated nodes around it.
	Chip  string        // sx1276 or sx1262
	Nodes []string      // devices of LoRaWAN.Devices
	Every time.Duration // between two of a node's uplinks
}

// The drivers of radios.
const (
	RadioSemtech = "semtech"
	RadioSX127x  = "sx127x"
	RadioSX126x  = "sx126x"
	RadioFake    = "fake"
)

// OnSPI reports whether r is a chip on SPI, and not a packet forwarder.
func (r *Radio) OnSPI() bool { return r.Driver == RadioSX127x || r.Driver == RadioSX126x }

// LoRaWAN are the settings of the network server.
type LoRaWAN struct {
	Region  string
	NetID   uint32
	SubBand int // US915, AU915: 1 to 8; 0: all channels
	// Channels are uplink frequencies in Hz beside the region's own, at most 13, for
	// radios that hear more than those.
	Channels []uint32
	Devices  []LoRaDevice
	Forward  []LoRaForward
}

// LoRaDevice is one LoRaWAN end device: with JoinEUI and AppKey if it joins over
// the air, else with its session's address and keys.
type LoRaDevice struct {
	Device           string // in Config.Devices
	Joins            bool
	DevEUI, JoinEUI  frame.EUI
	AppKey           frame.Key
	DevAddr          frame.DevAddr
	NwkSKey, AppSKey frame.Key
	LoRaSettings
}

// LoRaSettings are those that a profile can have for several devices.
type LoRaSettings struct {
	Codec     Codec
	Variables map[string]string // for scripts

	Class         string // "A" or "C"
	Version       string // "1.0.0" to "1.0.4": how DevNonces and counters are checked
	ADR           bool
	SingleChannel bool // the device is kept on the channel of a single-channel radio
	CounterReset  bool // of a session without a join, the counter may begin anew
	NonceReset    bool // the DevNonce of a device that joins may begin anew
	RX1Delay      int  // seconds, 1 to 15
	RX1Offset     int
	RX2Frequency  uint32                 // Hz; 0: the region's
	RX2DataRate   int                    // -1: the region's
	DutyCycle     int                    // the device is on the air for 1/2^DutyCycle of the time at most; 0: no limit of ours
	TxParam       *frame.TxParamSetupReq // AS923, AU915: dwell times and power; nil: they are left alone

	Port      int // FPort of commands whose codec names none, 1 to 223
	Confirmed bool
	Retries   int           // of a confirmed downlink
	Priority  int           // of commands, MinPriority to MaxPriority: the higher ones of a device go first
	Expires   time.Duration // of a command in the queue
	Create    bool          // sensors that the codec finds are created

	Sensors   []Mapping
	Actuators []Mapping
}

// Mapping says which sensor or actuator a name of the codec is.
type Mapping struct {
	From, ID string
	// Of a sensor: what it is where the codec does not know.
	Name, Kind, Quantity, Unit string
	// Of an actuator: the priority of its commands; nil: the device's.
	Priority *int
}

// Bounds of priorities.
const (
	MinPriority = -8
	MaxPriority = 8
)

// Codec is a built-in one by its name, or a script.
type Codec struct {
	Name   string // "cayenne", or the script's path
	Source string // of a script; "" for a built-in one, or if files are not looked at
	Script bool
	Mute   bool // it is a script that encodes no commands
}

// LoRaForward is a network server that frames are forwarded to.
type LoRaForward struct {
	Server  string // host:port
	EUI     string // of this gateway there, 16 hex digits
	Late    string // LateSend, LateMark or LateDrop
	MaxAge  time.Duration
	Unknown bool // only frames of devices that are not this gateway's
}

// What is done with frames that waited for the link.
const (
	LateSend = "send"
	LateMark = "mark"
	LateDrop = "drop"
)

// RawDevice is a device that sends LoRa without LoRaWAN.
type RawDevice struct {
	Device  string
	Address int    // of the Waziup header, 2 to 255; 0: a plain frame
	Radio   string // only frames of this radio, or packet forwarder; "" for all
	Prefix  []byte // a plain frame begins with
	Length  int    // of a plain frame; 0: any
	Match   string // regular expression that the text of a plain frame matches
	// AfterUplink: the device listens only after its own frames.
	AfterUplink bool
	LoRaSettings
}
