package codec

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// XLPP, Waziup's extension of Cayenne LPP (Waziup/xlpp): all of the types of
// Cayenne LPP, those without a unit below, and markers.
//
// Values are called type_channel, with the names of the codec cayenne and
// integer, string, bool, binary, null, array, object. Waziup's gateway gives a
// sensor the name of its type alone and keeps the channel beside it
// (relativehumidity, xlppChan 2); here that is relative_humidity_2, so that two
// sensors of one type can be told apart. A switch is true or false, as Waziup has
// it, bytes are written in hex.
//
// Where Waziup's documentation and programs differ, numbers that can be negative
// are signed as its programs read them (voltage, current, distance, energy), the
// others unsigned as documented (pressure, percentage). Its programs lose the sign
// of positions south or west, and cut numbers where these round.
//
// A delay marker moves all that follows into the past, by its hours, minutes and
// seconds more than the one before. An actuator marker says which actuators the
// device has: each becomes a null of the actuator type_channel, whose state is not
// known. The channels 250, 254 and 255 are reserved; they are read, as Waziup's
// gateway reads them, but not written.
//
// Commands are named as for the codec cayenne. In arrays and objects whole
// numbers are sent as integers, others, if they have up to two decimals, as analog
// outputs; there is no type for more.
func init() { Register("xlpp", func() Codec { return xlpp{} }) }

type xlpp struct{}

// The types that have no fixed length.
const (
	xlppInteger  = 51 // zig-zag varint
	xlppString   = 52 // up to a 0
	xlppBool     = 53 // no bytes, false: Waziup reads it so, and writes 54 and 55
	xlppTrue     = 54 // no bytes
	xlppFalse    = 55 // no bytes
	xlppBinary   = 57 // length as varint, bytes
	xlppNull     = 58 // no bytes
	xlppArray    = 91 // type and data, repeated, up to xlppArrayEnd
	xlppArrayEnd = 93
	xlppObject   = 123 // key, 0, type and data, repeated, up to a 0
)

// The channels of markers.
const (
	xlppActuatorsAt = 251 // count, (channel, type) repeated
	xlppActuators   = 252 // count, type repeated: channels from 0
	xlppDelay       = 253 // hours, minutes, seconds
)

// xlppNames are the names of types that have no fixed length.
var xlppNames = map[byte]string{
	xlppInteger: "integer", xlppString: "string", xlppBool: "bool", xlppTrue: "bool", xlppFalse: "bool",
	xlppBinary: "binary", xlppNull: "null", xlppArray: "array", xlppObject: "object",
}

var (
	xlppTypes = func() []lppType {
		var types []lppType
		for _, t := range cayenneTypes {
			switch t.name {
			case "voltage", "current", "distance", "energy":
				t.fields = scalar(t.fields[0].size, true, t.fields[0].scale)
			case "generic": // not one of Waziup's
				continue
			}
			types = append(types, t)
		}
		return types
	}()
	xlppByID, xlppByName = lppIndex(xlppTypes)
)

// xlppReader reads a payload.
type xlppReader struct {
	values
	b  []byte
	at int
}

// next takes n bytes; what is for the error.
func (r *xlppReader) next(n int, what string) ([]byte, error) {
	if len(r.b)-r.at < n {
		return nil, fmt.Errorf("%w: it ends within the %s, %d bytes early", ErrPayload, what, n-len(r.b)+r.at)
	}
	r.at += n
	return r.b[r.at-n : r.at], nil
}

func (xlpp) Decode(_ context.Context, u *Uplink) (Decoded, error) {
	if err := short(u); err != nil {
		return Decoded{}, fmt.Errorf("codec: xlpp: %w", err)
	}
	r := xlppReader{b: u.Bytes}
	var age time.Duration
	for r.at < len(r.b) {
		if err := r.field(&age); err != nil {
			return r.Decoded, fmt.Errorf("codec: xlpp: %w", err)
		}
	}
	return r.Decoded, nil
}

// field reads a value or a marker.
func (r *xlppReader) field(age *time.Duration) error {
	channel := r.b[r.at]
	r.at++
	switch channel {
	case xlppDelay:
		b, err := r.next(3, "delay")
		if err != nil {
			return err
		}
		*age += time.Duration(b[0])*time.Hour + time.Duration(b[1])*time.Minute + time.Duration(b[2])*time.Second
		return nil
	case xlppActuators, xlppActuatorsAt:
		return r.actuators(channel == xlppActuatorsAt)
	}
	b, err := r.next(1, "type")
	if err != nil {
		return err
	}
	x := Value{Name: xlppNames[b[0]] + "_" + strconv.Itoa(int(channel))}
	if t := xlppByID[b[0]]; t != nil {
		x = t.value(channel)
	}
	x.Age = *age
	if x.Value, err = r.data(nil, b[0], 0); err != nil {
		return err
	}
	return r.add(x)
}

// actuators reads an actuator marker; at says that it has channels.
func (r *xlppReader) actuators(at bool) error {
	b, err := r.next(1, "actuator marker")
	if err != nil {
		return err
	}
	for i := range int(b[0]) {
		channel, size := byte(i), 1
		if at {
			size = 2
		}
		b, err := r.next(size, "actuator marker")
		if err != nil {
			return err
		}
		if at {
			channel = b[0]
		}
		id := b[size-1]
		x := Value{Name: xlppNames[id] + "_" + strconv.Itoa(int(channel))}
		if t := xlppByID[id]; t != nil {
			x = t.value(channel)
		} else if xlppNames[id] == "" {
			r.warn("actuator %d has the unknown type %d", channel, id)
			continue
		}
		x.Kind, x.Actuator, x.Value = "", true, []byte("null") // a kind is one of sensors
		if err := r.add(x); err != nil {
			return err
		}
	}
	return nil
}

// data appends the data of a type as JSON.
func (r *xlppReader) data(dst []byte, id byte, depth int) ([]byte, error) {
	if t := xlppByID[id]; t != nil {
		b, err := r.next(t.size(), t.name)
		if err != nil {
			return nil, err
		}
		if t.name == "switch" {
			return strconv.AppendBool(dst, b[0] != 0), nil
		}
		return t.append(dst, b), nil
	}
	switch id {
	case xlppInteger:
		n, size := binary.Varint(r.b[r.at:])
		if size <= 0 {
			return nil, fmt.Errorf("%w: an integer that does not end, or has more than 64 bits, at byte %d", ErrPayload, r.at)
		}
		r.at += size
		return strconv.AppendInt(dst, n, 10), nil
	case xlppString:
		s, err := r.text("string")
		if err != nil {
			return nil, err
		}
		return appendQuoted(dst, s), nil
	case xlppBool, xlppFalse:
		return append(dst, "false"...), nil
	case xlppTrue:
		return append(dst, "true"...), nil
	case xlppNull:
		return append(dst, "null"...), nil
	case xlppBinary:
		n, size := binary.Uvarint(r.b[r.at:])
		if size <= 0 || n > maxInput {
			return nil, fmt.Errorf("%w: a length that cannot be, at byte %d", ErrPayload, r.at)
		}
		r.at += size
		b, err := r.next(int(n), "binary")
		if err != nil {
			return nil, err
		}
		return append(hex.AppendEncode(append(dst, '"'), b), '"'), nil
	case xlppArray, xlppObject:
		if depth == maxDepth {
			return nil, fmt.Errorf("%w: more than %d arrays and objects in each other", ErrPayload, maxDepth)
		}
		if id == xlppArray {
			return r.array(dst, depth+1)
		}
		return r.object(dst, depth+1)
	}
	return nil, fmt.Errorf("%w: unknown type %d at byte %d", ErrPayload, id, r.at-1)
}

// text reads up to a 0.
func (r *xlppReader) text(what string) (string, error) {
	n := bytes.IndexByte(r.b[r.at:], 0)
	if n < 0 {
		return "", fmt.Errorf("%w: it ends within the %s at byte %d", ErrPayload, what, r.at)
	}
	r.at += n + 1
	return string(r.b[r.at-n-1 : r.at-1]), nil
}

func (r *xlppReader) array(dst []byte, depth int) ([]byte, error) {
	dst = append(dst, '[')
	for first := true; ; first = false {
		id, err := r.next(1, "array")
		if err != nil {
			return nil, err
		}
		if id[0] == xlppArrayEnd {
			return append(dst, ']'), nil
		}
		if !first {
			dst = append(dst, ',')
		}
		if dst, err = r.data(dst, id[0], depth); err != nil {
			return nil, err
		}
	}
}

func (r *xlppReader) object(dst []byte, depth int) ([]byte, error) {
	dst = append(dst, '{')
	keys := map[string]bool{}
	for {
		key, err := r.text("object")
		if err != nil {
			return nil, err
		}
		if key == "" {
			return append(dst, '}'), nil
		}
		if keys[key] || !utf8.ValidString(key) {
			return nil, fmt.Errorf("%w: an object has the key %.40q twice, or it is not UTF-8", ErrPayload, key)
		}
		if len(keys) > 0 {
			dst = append(dst, ',')
		}
		keys[key] = true
		dst = append(appendQuoted(dst, key), ':')
		id, err := r.next(1, "object")
		if err != nil {
			return nil, err
		}
		if dst, err = r.data(dst, id[0], depth); err != nil {
			return nil, err
		}
	}
}
