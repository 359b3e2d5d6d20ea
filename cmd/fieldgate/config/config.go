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
	LoRa       []RawDevice // those without LoRaWAN
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
	Pending        int           // connections whose CONNECT has not been answered
	ConnectRate    int           // connections accepted a second by one listener
	Sessions       int           // of connected and of absent clients; at least Clients
	Filters        int           // subscriptions of one client
	FiltersTotal   int           // subscriptions of all clients
	Retained       int           // retained messages
	RetainedBytes  int           // of all retained messages
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
