package config

import (
	"log/slog"
	"net/url"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/sensors"
)

// Config is a configuration file that was found to be right. What the file
// leaves out has its default.
type Config struct {
	File string // as given to Load; "" for Default
	ID   string // of the gateway; the host name by default
	Data string // folder of the databases

	Listen     Listen
	TLS        TLS
	Access     Access
	Devices    []gateway.Device // Declared is set; Feed is 0 where the file gives none
	AutoCreate bool
	Sensors    []sensors.Item
	Actuators  []sensors.OutputItem // those that this gateway switches itself
	Radios     []Radio
	LoRaWAN    LoRaWAN
	Uplinks    []Uplink
	Store      Store
	Limits     Limits
	Log        Log

	// Warnings are no mistakes, but somebody should look at them.
	Warnings Mistakes
}

// Listen are the addresses to accept connections on, each "host:port" (port 0:
// the kernel chooses one) or "" for off.
type Listen struct {
	MQTT  string // 127.0.0.1:1883 by default
	MQTTS string // off by default
	HTTP  string // 127.0.0.1:8080 by default
}

// TLS are the files of the TLS listener.
type TLS struct {
	Cert     string // path of a PEM chain; "" without TLS
	Key      string // path of its PEM key
	ClientCA string // path of PEM authorities that client certificates are checked against; "": none are asked for
}

// Access says who may connect.
type Access struct {
	Anonymous bool
	Users     []access.User
	Keys      []access.Key
	ACL       access.ACL
}

// Uplink is one cloud to send readings to.
type Uplink struct {
	Name     string   // [A-Za-z0-9_-]+, unique
	URL      *url.URL // scheme mqtt, mqtts, ws or wss; never with a password
	ClientID string   // the gateway's id by default
	Username string
	Password Secret // see ReadPassword
	// PasswordFile is the path of a file with the password in its first line;
	// Password is empty then.
	PasswordFile string
	Dialect      string // DialectWaziup, DialectXively or DialectNone
	Xively       UplinkXively
	Forward      []Forward
	Window       int    // publishes in flight, 1 to 10000
	CatchUp      string // CatchUpOrdered, CatchUpFreshFirst or CatchUpBatches
	IDs          bool   // record ids in the payload
	Filter       []string
	TLS          UplinkTLS
	AckTimeout   time.Duration // longest wait for an acknowledgement before the link counts as dead
	Keepalive    time.Duration // of the MQTT connection
	// CatchUpRate is how many records a second of a backlog are sent beside
	// fresh ones, with CatchUpFreshFirst.
	CatchUpRate int
}

// The dialects an uplink can speak.
const (
	DialectWaziup = "waziup"
	DialectXively = "xively"
	DialectNone   = "none"
)

// How a backlog goes up.
const (
	CatchUpOrdered    = "ordered"
	CatchUpFreshFirst = "fresh_first"
	CatchUpBatches    = "batches"
)

// UplinkTLS are the TLS settings of one uplink.
type UplinkTLS struct {
	CA         string // path of PEM authorities; "": those of the system
	Cert       string // path of the client's PEM chain; "" without
	Key        string // path of its PEM key
	ServerName string // name the broker's certificate must have; "": the host of the URL
}

// Forward maps topics as a Mosquitto bridge does: Topic is a filter to which
// LocalPrefix is put in front on this broker, RemotePrefix at the cloud.
type Forward struct {
	Topic        string
	Direction    string // ForwardIn, ForwardOut (default) or ForwardBoth
	QoS          byte
	LocalPrefix  string
	RemotePrefix string
}

// Directions of a Forward.
const (
	ForwardIn   = "in"
	ForwardOut  = "out"
	ForwardBoth = "both"
)

// Store are the settings of the log on disk.
type Store struct {
	MaxSize     int64         // bytes, MinStoreSize to MaxStoreSize
	MaxAge      time.Duration // 0: no limit
	CommitEvery time.Duration // longest wait of a publisher for the shared commit
	// Acknowledge says that publishes at QoS 1 and 2 are acknowledged although
	// the disk fails (`when_failing: acknowledge`); by default they are not.
	Acknowledge bool
}

// Limits protect the broker.
type Limits struct {
	Clients        int           // connections at once
	PacketSize     int           // bytes of one MQTT packet
	QueueBytes     int           // bytes waiting for one client
	QueueMessages  int           // messages waiting for one client
	ConnectTimeout time.Duration // from the connection to its CONNECT
	WriteTimeout   time.Duration // for one write to a client
}

// Log says what is logged to standard error, and how.
type Log struct {
	Level  slog.Level
	Format string // "text" or "json"
}

// Radio is an item of the list of radios. No driver is built in yet, so that
// any item is a mistake; the shape is checked all the same.
type Radio struct {
	Driver   string
	Listen   string   // driver semtech: UDP address
	Gateways []string // driver semtech: the gateways' EUIs, 16 hex digits
}

// LoRaWAN are the settings of the network server.
type LoRaWAN struct {
	Region  string
	Devices []LoRaDevice
}

// LoRaDevice is one LoRaWAN end device: with JoinEUI and AppKey if it joins
// over the air, else with its session's address and keys.
type LoRaDevice struct {
	Device                   string
	DevEUI, JoinEUI          string // 16 hex digits
	AppKey, NwkSKey, AppSKey Secret // 32 hex digits
	DevAddr                  string // 8 hex digits
	Codec                    string
}
