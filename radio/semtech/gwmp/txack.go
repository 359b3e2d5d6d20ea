package gwmp

import (
	"errors"
	"fmt"
	"strconv"

	"fieldgate/radio"
)

// Words of TX_ACK (PROTOCOL.md section 6).
const (
	None            = "NONE"
	TooLate         = "TOO_LATE"
	TooEarly        = "TOO_EARLY"
	CollisionPacket = "COLLISION_PACKET"
	CollisionBeacon = "COLLISION_BEACON"
	TxFreq          = "TX_FREQ"
	TxPower         = "TX_POWER"
	GPSUnlocked     = "GPS_UNLOCKED"
	Unknown         = "UNKNOWN"
)

// Ack is the content of a TX_ACK.
type Ack struct {
	Error string // why it will not be sent; "" if it will
	// Warning says that it will be sent otherwise than it was asked for. With
	// TxPower, Value is the power in dBm.
	Warning string
	Value   int
}

// Err gives why the frame will not be sent as one of package radio's errors, and
// nil if it will be.
func (a Ack) Err() error {
	switch a.Error {
	case "":
		return nil
	case TooLate:
		return radio.ErrTooLate
	case TooEarly:
		return radio.ErrTooEarly
	case CollisionPacket, CollisionBeacon:
		return radio.ErrCollision
	case TxFreq:
		return radio.ErrFrequency
	case TxPower:
		return radio.ErrPower
	}
	return fmt.Errorf("%w: %.64q", radio.ErrRefused, a.Error)
}

// AckOf gives the TX_ACK for an error of a radio.
func AckOf(err error) Ack {
	for _, w := range [...]struct {
		err  error
		word string
	}{
		{radio.ErrTooLate, TooLate}, {radio.ErrTooEarly, TooEarly}, {radio.ErrCollision, CollisionPacket},
		{radio.ErrFrequency, TxFreq}, {radio.ErrDataRate, TxFreq}, {radio.ErrPower, TxPower},
	} {
		if errors.Is(err, w.err) {
			return Ack{Error: w.word}
		}
	}
	if err != nil {
		return Ack{Error: Unknown}
	}
	return Ack{}
}

// ParseAck reads the body of a TX_ACK: nothing, or JSON. The error wraps ErrJSON.
func ParseAck(body []byte) (Ack, error) {
	var a Ack
	s := scanner{b: body}
	if s.end() == nil {
		return a, nil
	}
	err := s.members(func(name []byte) error {
		if string(name) != "txpk_ack" || s.peek() != '{' {
			_, err := s.value(1)
			return err
		}
		return s.members(func(name []byte) error {
			v, err := s.value(2)
			switch string(name) {
			case "error":
				a.Error = v.clean()
			case "warn":
				a.Warning = v.clean()
			case "value":
				n, _ := v.integer(-1000, 1000)
				a.Value = int(n)
			}
			return err
		})
	})
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return Ack{}, err
	}
	if a.Error == None {
		a.Error = ""
	}
	if a.Warning == None {
		a.Warning = ""
	}
	return a, nil
}

// Append appends the body of a TX_ACK, which is empty if there is nothing to say.
func (a Ack) Append(dst []byte) []byte {
	switch {
	case a.Error != "":
		return append(appendText(append(dst, `{"txpk_ack":{"error":`...), a.Error), "}}"...)
	case a.Warning != "":
		dst = appendText(append(dst, `{"txpk_ack":{"warn":`...), a.Warning)
		dst = strconv.AppendInt(append(dst, `,"value":`...), int64(a.Value), 10)
		return append(dst, "}}"...)
	}
	return dst
}
