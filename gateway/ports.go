package gateway

import (
	"encoding/json"
	"time"

	"fieldgate/gateway/access"
)

// Log is the durable log as the Hub needs it (gateway/store has it).
type Log interface {
	// Append queues e in the order of calls and returns. It blocks while the
	// queue is full. ErrNotKept: the disk has been failing for so long that
	// there is no room to remember e either; neither e.Stalled nor e.Done is
	// called then. ErrClosed: the log is closed.
	Append(e *Entry) error
}

// Entry is a run of records that are made durable together or not at all.
type Entry struct {
	// Records get their Seq before Done is called with nil.
	Records []Record
	// Wait says that somebody waits for the disk: the entry goes with a commit
	// that starts as soon as the running one ends. Otherwise it goes with the
	// next commit, at most the log's commit interval later.
	Wait bool
	// Stalled is called at most once and before Done when the disk refuses the
	// entry for now. The log keeps it in memory and goes on trying. May be nil.
	Stalled func(err error)
	// Done is called exactly once, in the order of Append, from one goroutine:
	// with nil after the records are on disk, with ErrClosed if the log was
	// closed before that.
	Done func(err error)
	// Mark is kept with the records if its session is not 0.
	Mark Mark
}

// Mark says which publish at QoS 2 an entry of the log is of. After a crash
// between the commit of the log and that of the session it is how the publish
// is known when its client sends it again.
type Mark struct {
	Session uint64 // random, for the life of the session; 0: no mark
	Count   uint64 // of the session's publishes at QoS 2, ascending
	Packet  uint16 // packet identifier
}

// Table is a small durable set of keyed values (gateway/store has it).
type Table interface {
	// Each calls fn for each pair in the order of keys until fn returns an
	// error, which it returns. Key and value are copies.
	Each(fn func(key string, value []byte) error) error
	// Write stores all pairs in one transaction; a nil value deletes its key.
	// They are on disk when it returns nil.
	Write(pairs map[string][]byte) error
}

// Message is an MQTT application message as it came in, or as it is to go out.
type Message struct {
	Topic   string
	Payload []byte
	QoS     byte
	Retain  bool
	Client  string // id of the publishing session, for no-local; "" if none
	Props   any    // MQTT 5 properties that travel with it, in the broker's form; nil without
	// Expires is when it is no longer good, by its MQTT 5 message expiry interval
	// (MQTT 5.0 section 3.3.2.3.3), with Go's monotonic reading; zero: never.
	Expires time.Time
}

// Batch is what one source hands to the Hub at once: readings, a message, or
// readings that came as a message. It is recorded whole or not at all.
type Batch struct {
	From     access.Subject
	Source   string    // for logs: "mqtt client-7 (192.0.2.4:50123)", "sensor bme280"
	Origin   string    // name of the uplink it came down from; "" if born here
	Readings []Reading // may be empty
	Changed  string    // id of the device that a registry change is about; the Hub sets it
	// Confirmed says that the values are states that the actuators' owner has
	// reached. Otherwise a value for an actuator of HubConfig.Actuators is a
	// command to it.
	Confirmed bool
	// Carrier is the message the readings came in (handed on byte for byte), or
	// a message outside the dialects. Nil: subscribers get the readings in the
	// dialects' own forms.
	Carrier *Message
	// Wait: the source waits for durability (QoS 1 or 2). Otherwise the batch
	// is handed on at once and recorded with the next commit.
	Wait bool
	// Done is called exactly once if Submit returned nil: with nil when the
	// batch is on disk and handed on, else with the reason why it is not and
	// will not be. It must not block. May be nil.
	Done func(err error)
	// Mark goes into the log with the readings.
	Mark Mark
	// Recorded says that the log has the batch already: it is only handed on.
	Recorded bool
}

// Sink is a way out to local subscribers (gateway/broker is one).
type Sink interface {
	// Deliver hands b on to everybody who may see it. Records are what the log
	// made of it, nil if the batch has none. It must not block on a reader. It
	// calls settled exactly once, when what it holds for absent subscribers is
	// as durable as b asks for (at once unless b.Wait).
	Deliver(b *Batch, records []Record, settled func(error))
}

// Actuators are those that this gateway switches itself (sensors.Outputs has
// them). A command to one of them is recorded as KindCommand and is no news for
// a cloud; the state that it reaches is.
type Actuators interface {
	// Check reports whether an actuator is one of them, and if so why value, one
	// JSON value, is no command for it. It must not block.
	Check(device, actuator string, value json.RawMessage) (owned bool, err error)
}

// Forwarder turns messages into records for uplinks whose rules match.
type Forwarder interface {
	// Forward gives the names of the uplinks that want m. Origin is the
	// uplink m came from, which is never among them.
	Forward(m *Message, origin string) []string
}

// Op is a kind of registry change.
type Op uint8

// The registry changes that a device, a user or the cloud may ask for.
const (
	CreateDevice   Op = 1 + iota // Object: Device
	CreateSensor                 // Device, Object: Sensor
	CreateActuator               // Device, Object: Actuator
	SetName                      // Device, maybe Sensor or Actuator; Name
	SetMeta                      // Device, maybe Sensor or Actuator; Meta is merged, null removes a key
	Delete                       // Device, maybe Sensor or Actuator
	SetPublic                    // Device; Public
)

// ChangeRequest asks for one registry change.
type ChangeRequest struct {
	Op       Op
	Device   string // not for CreateDevice
	Sensor   string // SetName, SetMeta, Delete of a sensor
	Actuator string // the same of an actuator
	Name     string
	Meta     json.RawMessage // a JSON object
	Public   bool            // SetPublic: everybody may view it
	// What CreateDevice, CreateSensor and CreateActuator make. An empty ID is
	// given one.
	NewDevice   *Device
	NewSensor   *Sensor
	More        []Sensor // CreateSensor: further ones, made together with NewSensor or not at all
	NewActuator *Actuator
}
