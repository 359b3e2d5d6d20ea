package codec

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
)

// Cayenne LPP, the Low Power Payload of myDevices: any number of channel (1
// byte), type (1 byte), data, most significant byte first.
//
// Values are called type_channel, as The Things Stack calls them: temperature_1,
// relative_humidity_2, digital_in_3, analog_out_4, barometric_pressure_5, gps_6.
// Numbers have the steps of their type: 27.2. A GPS value is {"latitude":,
// "longitude":,"altitude":}, those of accelerometer (g) and gyrometer (degrees a
// second) {"x":,"y":,"z":}, a colour is "#rrggbb". digital_out and analog_out
// are the states of actuators.
//
// Commands are sent in the same form, as ChirpStack does: the actuator's name is
// type_channel too, or the device has a variable of that name whose value is.
// What is on or off may be true and false. An actuator called value_3 is sent as
// myDevices' cloud and The Things Stack do: channel, value in hundredths
// (2 bytes, signed), and 255 at the end; a command has either form.
func init() { Register("cayenne", func() Codec { return cayenne{} }) }

type cayenne struct{}

var cayenneByID, cayenneByName = func() (map[byte]*lppType, map[string]*lppType) {
	return lppIndex(cayenneTypes)
}()

// lppIndex finds types by their byte, and by their name with and without '_'.
func lppIndex(types []lppType) (byID map[byte]*lppType, byName map[string]*lppType) {
	byID, byName = map[byte]*lppType{}, map[string]*lppType{}
	for i := range types {
		t := &types[i]
		byID[t.id] = t
		byName[t.name], byName[strings.ReplaceAll(t.name, "_", "")] = t, t
	}
	return byID, byName
}

// lppNames lists the names of types, for errors.
func lppNames(types []lppType) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.name
	}
	return strings.Join(names, ", ")
}

func (cayenne) Decode(_ context.Context, u *Uplink) (Decoded, error) {
	if err := short(u); err != nil {
		return Decoded{}, fmt.Errorf("codec: cayenne: %w", err)
	}
	var v values
	for b := u.Bytes; len(b) > 0; {
		at := len(u.Bytes) - len(b)
		if len(b) < 2 {
			return v.Decoded, fmt.Errorf("codec: cayenne: %w: it ends after a channel, at byte %d", ErrPayload, at)
		}
		t := cayenneByID[b[1]]
		if t == nil {
			return v.Decoded, fmt.Errorf("codec: cayenne: %w: unknown type %d at byte %d", ErrPayload, b[1], at+1)
		}
		if len(b) < 2+t.size() {
			return v.Decoded, fmt.Errorf("codec: cayenne: %w: it ends within the %s at byte %d", ErrPayload, t.name, at)
		}
		x := t.value(b[0])
		x.Value = t.append(nil, b[2:])
		if err := v.add(x); err != nil {
			return v.Decoded, fmt.Errorf("codec: cayenne: %w", err)
		}
		b = b[2+t.size():]
	}
	return v.Decoded, nil
}

// lppPart is one value of a command.
type lppPart struct {
	channel, id byte
	data        []byte // with channel and type
}

// lppJoin puts the parts of a command in the order of their channels. The error
// wraps ErrCommand.
func lppJoin(parts []lppPart) (Encoded, error) {
	slices.SortFunc(parts, func(a, b lppPart) int { return cmp.Or(cmp.Compare(a.channel, b.channel), cmp.Compare(a.id, b.id)) })
	var b []byte
	for i, p := range parts {
		if i > 0 && p.channel == parts[i-1].channel && p.id == parts[i-1].id {
			return Encoded{}, fmt.Errorf("%w: it sets channel %d twice", ErrCommand, p.channel)
		}
		b = append(b, p.data...)
	}
	return fits(b)
}

func (cayenne) Encode(_ context.Context, c *Command) (Encoded, error) {
	names, err := c.names()
	if err != nil {
		return Encoded{}, fmt.Errorf("codec: cayenne: %w", err)
	}
	var typed, untyped []lppPart
	for _, name := range names {
		word, channel, err := lppTarget(c, name)
		if err != nil {
			return Encoded{}, fmt.Errorf("codec: cayenne: %w", err)
		}
		t, to, head := cayenneByName[word], &typed, []byte{channel}
		switch {
		case word == "value":
			t, to = cayenneByID[3], &untyped
			if channel == 255 {
				return Encoded{}, fmt.Errorf("codec: cayenne: %w: %s: 255 is the end of a command, channels are 0 to 254", ErrCommand, name)
			}
		case t == nil:
			return Encoded{}, fmt.Errorf("codec: cayenne: %w", lppUnknown("Cayenne LPP", name, lppNames(cayenneTypes)))
		default:
			head = append(head, t.id)
		}
		data, err := t.encode(head, c.Values[name])
		if err != nil {
			return Encoded{}, fmt.Errorf("codec: cayenne: %w: %s: %w", ErrCommand, name, err)
		}
		*to = append(*to, lppPart{channel, t.id, data})
	}
	if len(typed) > 0 && len(untyped) > 0 {
		return Encoded{}, fmt.Errorf("codec: cayenne: %w: value_%d has no type, the others have one: send two commands", ErrCommand, untyped[0].channel)
	}
	out, err := lppJoin(append(typed, untyped...))
	if err == nil && len(untyped) > 0 {
		out, err = fits(append(out.Bytes, 255))
	}
	if err != nil {
		return Encoded{}, fmt.Errorf("codec: cayenne: %w", err)
	}
	return out, nil
}
