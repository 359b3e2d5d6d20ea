package codec

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// xlppWords are the types of commands that have no fixed length.
var xlppWords = []string{"integer", "string", "bool", "binary", "null", "array", "object"}

func (xlpp) Encode(_ context.Context, c *Command) (Encoded, error) {
	names, err := c.names()
	if err != nil {
		return Encoded{}, fmt.Errorf("codec: xlpp: %w", err)
	}
	var parts []lppPart
	for _, name := range names {
		word, channel, err := lppTarget(c, name)
		if err != nil {
			return Encoded{}, fmt.Errorf("codec: xlpp: %w", err)
		}
		if channel >= 250 {
			return Encoded{}, fmt.Errorf("codec: xlpp: %w: %s: the channels from 250 are reserved", ErrCommand, name)
		}
		t := xlppByName[word]
		if t == nil && !slices.Contains(xlppWords, word) {
			return Encoded{}, fmt.Errorf("codec: xlpp: %w", lppUnknown("XLPP", name, lppNames(xlppTypes)+", "+strings.Join(xlppWords, ", ")))
		}
		var data []byte
		if t != nil {
			data, err = t.encode([]byte{channel, t.id}, c.Values[name])
		} else {
			data, err = xlppAppend([]byte{channel}, word, bytes.TrimSpace(c.Values[name]))
		}
		if err != nil {
			return Encoded{}, fmt.Errorf("codec: xlpp: %w: %s: %w", ErrCommand, name, err)
		}
		parts = append(parts, lppPart{channel, data[1], data})
	}
	out, err := lppJoin(parts)
	if err != nil {
		return Encoded{}, fmt.Errorf("codec: xlpp: %w", err)
	}
	return out, nil
}

// xlppAppend appends type and data of a JSON value without spaces around it. Word
// is one of xlppWords.
func xlppAppend(dst []byte, word string, raw json.RawMessage) ([]byte, error) {
	switch {
	case word == "integer":
		n, ok := steps(string(raw), 1)
		if !ok {
			return nil, fmt.Errorf("%.40s is no number of 64 bits", raw)
		}
		return binary.AppendVarint(append(dst, xlppInteger), n), nil
	case word == "bool" && (string(raw) == "true" || string(raw) == "1"):
		return append(dst, xlppTrue), nil
	case word == "bool" && (string(raw) == "false" || string(raw) == "0"):
		return append(dst, xlppFalse), nil
	case word == "null" && string(raw) == "null":
		return append(dst, xlppNull), nil
	case word == "binary":
		var s string
		if err := json.Unmarshal(raw, &s); err == nil && raw[0] == '"' {
			if b, err := hex.DecodeString(s); err == nil {
				return append(binary.AppendUvarint(append(dst, xlppBinary), uint64(len(b))), b...), nil
			}
		}
		return nil, fmt.Errorf(`%.40s is no string of hex digits such as "01ff"`, raw)
	case word == "string" && raw[0] == '"', word == "array" && raw[0] == '[', word == "object" && raw[0] == '{':
		return xlppAny(dst, raw)
	}
	return nil, fmt.Errorf("%.40s is no %s", raw, word)
}

// xlppAny appends type and data of a JSON value, whose depth is bounded, by what
// it is.
func xlppAny(dst []byte, raw json.RawMessage) ([]byte, error) {
	raw = bytes.TrimSpace(raw)
	var err error
	switch raw[0] {
	case 'n':
		return append(dst, xlppNull), nil
	case 't':
		return append(dst, xlppTrue), nil
	case 'f':
		return append(dst, xlppFalse), nil
	case '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil || strings.ContainsRune(s, 0) {
			return nil, fmt.Errorf("%.40s: a string cannot have a NUL in it", raw)
		}
		return append(append(append(dst, xlppString), s...), 0), nil
	case '[':
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, err
		}
		dst = append(dst, xlppArray)
		for _, x := range list {
			if dst, err = xlppAny(dst, x); err != nil {
				return nil, err
			}
		}
		return append(dst, xlppArrayEnd), nil
	case '{':
		var object map[string]json.RawMessage
		if err := json.Unmarshal(raw, &object); err != nil {
			return nil, err
		}
		dst = append(dst, xlppObject)
		for _, key := range slices.Sorted(maps.Keys(object)) {
			if key == "" || strings.ContainsRune(key, 0) {
				return nil, fmt.Errorf("%q cannot be a key", key)
			}
			if dst, err = xlppAny(append(append(dst, key...), 0), object[key]); err != nil {
				return nil, err
			}
		}
		return append(dst, 0), nil
	}
	given, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return nil, fmt.Errorf("%.40s is too large", raw)
	}
	if n, ok := steps(string(raw), 1); ok && float64(n) == given {
		return binary.AppendVarint(append(dst, xlppInteger), n), nil
	}
	analog := xlppByID[3]
	if data, err := analog.encode(append(dst, analog.id), raw); err == nil {
		// Only what arrives as it was given.
		sent, err := strconv.ParseFloat(string(analog.append(nil, data[len(dst)+1:])), 64)
		if err == nil && sent == given {
			return data, nil
		}
	}
	return nil, fmt.Errorf("%.40s: in arrays and objects there are whole numbers, and up to two decimals from -327.68 to 327.67", raw)
}
