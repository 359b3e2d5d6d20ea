package gateway

import (
	"encoding/json"
	"strconv"
	"time"
)

// Kind says what a Record is about.
type Kind uint8

// The kinds of records. Their numbers are on disk: never reuse one.
const (
	KindSensor   Kind = 1 // a sensor's value
	KindActuator Kind = 2 // an actuator's value that was set from here or confirmed by its owner
	KindCommand  Kind = 3 // an actuator's value asked for: by a cloud (Origin names the uplink), or of an actuator of this gateway by anybody
	KindChange   Kind = 4 // a registry change (create, name, meta, delete): Topic and Value as on MQTT
	KindMessage  Kind = 5 // a message outside the dialects kept for forwarding: Topic, Value (any bytes), QoS, Retain
	KindGap      Kind = 6 // records that were dropped before Uplink had them: Lost
	KindErase    Kind = 7 // earlier values of a sensor that count no more: Value is an Erasure
)

// String names the kind as the exports of the log do.
func (k Kind) String() string {
	switch k {
	case KindSensor:
		return "sensor"
	case KindActuator:
		return "actuator"
	case KindCommand:
		return "command"
	case KindChange:
		return "change"
	case KindMessage:
		return "message"
	case KindGap:
		return "gap"
	case KindErase:
		return "erase"
	}
	return "kind" + strconv.Itoa(int(k))
}

// Reading is one value of one sensor or actuator before it is in the log.
type Reading struct {
	Kind    Kind            // KindSensor, KindActuator or KindCommand
	Device  string          // device id
	Channel string          // sensor or actuator id
	Value   json.RawMessage // one JSON value, in the very text it came in
	Time    time.Time       // when it was taken, as its source says; zero if the source did not say
}

// Record is one entry of the log.
type Record struct {
	Seq     uint64 // 1 upward, never reused; gaps in the numbering are legal
	Kind    Kind
	Device  string
	Channel string          // sensor or actuator id
	Topic   string          // KindChange and KindMessage: the MQTT topic on the local broker
	Value   json.RawMessage // one JSON value; for KindMessage and an emptying KindChange any bytes
	QoS     byte            // KindMessage only
	Retain  bool            // KindMessage only
	Time    time.Time       // as the source said; zero if it did not
	Stamp   Stamp           // when the gateway took it
	Origin  string          // "": born here; else the name of the uplink it came down from
	Uplink  string          // KindGap: the uplink that missed the records; KindMessage: the one it is for
	Lost    *Lost           // KindGap only

	// At and Clock are worked out when a record is read, not stored: the best
	// known time of the record (Time if given, else Stamp.Wall corrected by
	// what became known later about that boot's clock) and how far to trust it.
	At    time.Time
	Clock ClockQuality
}

// ID is the record's identity at the cloud: "<gateway id>/<sequence>", the
// same at each resend and after each restart.
func (r *Record) ID(gatewayID string) string {
	return gatewayID + "/" + strconv.FormatUint(r.Seq, 10)
}

// Lost describes records that are gone. From and To enclose them: the ranges of
// successive gaps may overlap, what they count does not.
type Lost struct {
	Reason string            `json:"reason"` // "max_size", "max_age", "damage", or "disk" (never written)
	From   uint64            `json:"from"`   // first sequence lost; 0 for records that never had one
	To     uint64            `json:"to"`     // last sequence lost
	Count  uint64            `json:"count"`  // records lost; 0 if nobody can know
	First  time.Time         `json:"first,omitzero"`
	Last   time.Time         `json:"last,omitzero"`
	Counts map[string]uint64 `json:"sensors,omitempty"` // "device/sensor" to records lost
}

// Erasure is the Value of a KindErase record: values of the sensor Device,
// Channel with a lower sequence whose time is From to To, both included, are no
// part of its history any more. A zero end is open.
type Erasure struct {
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
}

// HistoryQuery asks for the values of one sensor or actuator.
type HistoryQuery struct {
	Kind     Kind // KindSensor, or KindActuator, which includes commands
	Device   string
	Channel  string
	From, To time.Time // best known time (Record.At), both included; zero: no limit
	Born     time.Time // what a clock that was not unset stamped earlier is left out: another device had this id
	Limit    int       // most values; 0: no limit
	Backward bool      // newest first; otherwise oldest first
}

// Range is a run of sequence numbers, both ends included.
type Range struct{ From, To uint64 }

// Cursor is how far a destination has acknowledged the log.
type Cursor struct {
	Next uint64  // every record below is acknowledged
	Done []Range // ascending, disjoint runs at or above Next that are acknowledged too
}
