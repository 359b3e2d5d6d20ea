package waziup

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"fieldgate/gateway"
)

// Limits of what is read.
const (
	MaxValues      = 30_000  // elements of an array on .../values, as the cloud has it
	MaxValuesBytes = 2 << 20 // bytes of such an array
	// maxExtra is what may stand around the value of an object: its time and
	// fields that are ignored.
	maxExtra = 4 << 10 // bytes
)

// Sample is one value and when it was taken.
type Sample struct {
	Value json.RawMessage // in the very text it came in
	Time  time.Time       // UTC, whole microseconds; zero if the sender did not say
}

// DecodeValue reads the payload of .../value. An object with a member "value"
// holds the value there and its time in "timestamp" (the cloud's name) or
// "time" (the edge's), the first one winning; other members are ignored. Any
// other JSON, an object without "value" included, is itself the value. A
// repeated member counts as it stands last. For the forms of a time see
// ParseTime; null is no time.
//
// Errors wrap gateway.ErrBadPayload, ErrBadTime, ErrBadNumber, ErrTooDeep or
// ErrTooLarge. The value is checked by gateway.CheckValue and shares no memory
// with payload.
func DecodeValue(payload []byte) (Sample, error) {
	if len(payload) > gateway.MaxValue+maxExtra {
		return Sample{}, fmt.Errorf("waziup: %w: %d bytes", gateway.ErrTooLarge, len(payload))
	}
	if err := checkShape(payload, 1); err != nil {
		return Sample{}, fmt.Errorf("waziup: %w", err)
	}
	s, err := decodeSample(payload)
	if err != nil {
		return Sample{}, fmt.Errorf("waziup: %w", err)
	}
	s.Value = bytes.Clone(s.Value)
	return s, nil
}

// DecodeValues reads the payload of .../values: an array, of at most MaxValues
// elements and MaxValuesBytes bytes, of what DecodeValue reads. One bad element
// makes all of it bad. The errors are those of DecodeValue.
func DecodeValues(payload []byte) ([]Sample, error) {
	if len(payload) > MaxValuesBytes {
		return nil, fmt.Errorf("waziup: %w: %d bytes", gateway.ErrTooLarge, len(payload))
	}
	if err := checkShape(payload, 2); err != nil {
		return nil, fmt.Errorf("waziup: %w", err)
	}
	payload = bytes.Clone(trim(payload))
	if payload[0] != '[' {
		return nil, fmt.Errorf("waziup: %w of an array", gateway.ErrBadPayload)
	}
	var out []Sample
	for raw := range elements(payload) {
		if len(out) == MaxValues {
			return nil, fmt.Errorf("waziup: %w: more than %d values", gateway.ErrTooLarge, MaxValues)
		}
		s, err := decodeSample(raw)
		if err != nil {
			return nil, fmt.Errorf("waziup: value %d: %w", len(out), err)
		}
		out = append(out, s)
	}
	return out, nil
}

// decodeSample reads one value in either form from valid JSON.
func decodeSample(raw []byte) (Sample, error) {
	raw = trim(raw)
	s := Sample{Value: raw}
	if raw[0] == '{' {
		var value, timestamp, edgeTime []byte
		for key, v := range members(raw) {
			switch key {
			case "value":
				value = v
			case "timestamp":
				timestamp = v
			case "time":
				edgeTime = v
			}
		}
		if value != nil {
			s.Value = value
			for _, t := range [][]byte{edgeTime, timestamp} {
				at, err := decodeTime(t)
				if err != nil {
					return Sample{}, err
				}
				if !at.IsZero() {
					s.Time = at
				}
			}
		}
	}
	return s, gateway.CheckValue(s.Value)
}
