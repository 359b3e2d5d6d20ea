package codec

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"

	"github.com/fxamacker/cbor/v2"
)

// CBOR (RFC 8949), read as the codec json reads the JSON of the same values: a map
// of values by name, or whatever else it takes. Keys may be integers: 1 becomes
// "1". Byte strings become hex, NaN, the infinities and undefined become null,
// a float of 32 bits has the digits that 32 bits have. Tags are looked through;
// times become RFC 3339; bignums are refused.
//
// A command is a map of its values by the actuators' names, in RFC 8949's
// deterministic encoding (section 4.2.1), but fractions with up to about 7 digits
// take 4 bytes.
//
// fxamacker/cbor is used because it is fuzzed, bounds depth and lengths before
// it allocates, and is in wide use; CBOR by hand would be more code than all of
// the other codecs.
func init() { Register("cbor", func() Codec { return cborCodec{} }) }

type cborCodec struct{}

var (
	cborIn = must(cbor.DecOptions{
		DupMapKey:            cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:      maxDepth,
		MaxArrayElements:     1024,
		MaxMapPairs:          MaxValues,
		BignumTag:            cbor.BignumTagForbidden,
		UnrecognizedTagToAny: cbor.UnrecognizedTagContentToAny,
		TimeTagToAny:         cbor.TimeTagToRFC3339Nano,
	}.DecMode())
	cborOut = must(cbor.CoreDetEncOptions().EncMode())
)

func must[T any](x T, err error) T {
	if err != nil { // options that exclude each other, written above
		panic(err)
	}
	return x
}

func (cborCodec) Decode(_ context.Context, u *Uplink) (Decoded, error) {
	if err := short(u); err != nil {
		return Decoded{}, fmt.Errorf("codec: cbor: %w", err)
	}
	if len(u.Bytes) == 0 {
		return Decoded{}, nil
	}
	var x any
	if err := cborIn.Unmarshal(u.Bytes, &x); err != nil {
		return Decoded{}, fmt.Errorf("codec: cbor: %w: %w", ErrPayload, err)
	}
	raw, err := cborJSON(nil, x)
	if err == nil && len(raw) > 2*MaxResult {
		err = fmt.Errorf("its values are longer than %d bytes", MaxResult)
	}
	if err == nil {
		err = checkJSON(raw)
	}
	if err != nil {
		return Decoded{}, fmt.Errorf("codec: cbor: %w: %w", ErrPayload, err)
	}
	r := jsonReader{received: u.Received}
	if err := r.document(raw); err != nil {
		return r.Decoded, fmt.Errorf("codec: cbor: %w", err)
	}
	return r.Decoded, nil
}

// cborJSON appends what the library made of an item as JSON.
func cborJSON(dst []byte, x any) ([]byte, error) {
	switch x := x.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, x), nil
	case uint64:
		return strconv.AppendUint(dst, x, 10), nil
	case int64:
		return strconv.AppendInt(dst, x, 10), nil
	case big.Int: // below the range of int64
		return x.Append(dst, 10), nil
	case float64:
		return appendFloat(dst, x), nil
	case string:
		return appendQuoted(dst, x), nil
	case []byte:
		return append(hex.AppendEncode(append(dst, '"'), x), '"'), nil
	case []any:
		dst = append(dst, '[')
		for i, e := range x {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = cborJSON(dst, e); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	case map[any]any:
		return cborObject(dst, x)
	}
	return nil, fmt.Errorf("an item that JSON has nothing for (%T)", x)
}

func cborObject(dst []byte, m map[any]any) ([]byte, error) {
	members := make(map[string]any, len(m))
	keys := make([]string, 0, len(m))
	for k, e := range m {
		var key string
		switch k := k.(type) {
		case string:
			key = k
		case uint64:
			key = strconv.FormatUint(k, 10)
		case int64:
			key = strconv.FormatInt(k, 10)
		default:
			return nil, fmt.Errorf("a key that is neither text nor integer (%T)", k)
		}
		if _, twice := members[key]; twice {
			return nil, fmt.Errorf("the key %.40q twice", key)
		}
		members[key], keys = e, append(keys, key)
	}
	slices.Sort(keys)
	dst = append(dst, '{')
	for i, key := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, key), ':')
		var err error
		if dst, err = cborJSON(dst, members[key]); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

func (cborCodec) Encode(_ context.Context, c *Command) (Encoded, error) {
	names, err := c.names()
	if err != nil {
		return Encoded{}, fmt.Errorf("codec: cbor: %w", err)
	}
	m := make(map[string]any, len(names))
	for _, name := range names {
		d := json.NewDecoder(bytes.NewReader(c.Values[name]))
		d.UseNumber()
		var x any
		if err := d.Decode(&x); err != nil {
			return Encoded{}, fmt.Errorf("codec: cbor: %w: %s: %w", ErrCommand, name, err)
		}
		m[name] = cborNumbers(x)
	}
	b, err := cborOut.Marshal(m)
	if err != nil {
		return Encoded{}, fmt.Errorf("codec: cbor: %w: %w", ErrCommand, err)
	}
	out, err := fits(b)
	if err != nil {
		return Encoded{}, fmt.Errorf("codec: cbor: %w", err)
	}
	return out, nil
}

// cborNumbers puts numbers in the place of the json.Numbers in x.
func cborNumbers(x any) any {
	switch x := x.(type) {
	case json.Number:
		if n, err := x.Int64(); err == nil {
			return n
		}
		if n, ok := new(big.Int).SetString(string(x[:min(len(x), 21)]), 10); ok && len(x) <= 21 && (n.IsUint64() || new(big.Int).Not(n).IsUint64()) {
			return n
		}
		f, _ := x.Float64() // checked before
		if whole := int64(f); math.Abs(f) < 1<<53 && float64(whole) == f {
			return whole // 1.0 and 1e3 (section 6.2)
		}
		short := float32(f)
		if f != math.Trunc(f) && strconv.FormatFloat(float64(short), 'g', -1, 32) == strconv.FormatFloat(f, 'g', -1, 64) {
			return short
		}
		return f
	case []any:
		for i := range x {
			x[i] = cborNumbers(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = cborNumbers(x[k])
		}
	}
	return x
}
