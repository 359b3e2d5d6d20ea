package codec

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// The payload as it is, in hex digits: for devices whose payload nothing here
// understands. It is one value, payload. A command is one value payload too,
// whose digits may be apart by spaces, ':' or '-'.
func init() { Register("hex", func() Codec { return hexCodec{} }) }

type hexCodec struct{}

func (hexCodec) Decode(_ context.Context, u *Uplink) (Decoded, error) {
	if err := short(u); err != nil {
		return Decoded{}, fmt.Errorf("codec: hex: %w", err)
	}
	var v values
	if len(u.Bytes) == 0 {
		return v.Decoded, nil
	}
	err := v.add(Value{Name: "payload", Value: quoted(hex.EncodeToString(u.Bytes))})
	return v.Decoded, err
}

func (hexCodec) Encode(_ context.Context, c *Command) (Encoded, error) {
	names, err := c.names()
	if err != nil {
		return Encoded{}, fmt.Errorf("codec: hex: %w", err)
	}
	var s string
	if len(names) != 1 || names[0] != "payload" {
		return Encoded{}, fmt.Errorf("codec: hex: %w: it sets %s, but the codec knows one actuator, payload", ErrCommand, strings.Join(names, ", "))
	}
	raw := c.Values["payload"]
	err = json.Unmarshal(raw, &s)
	b, bad := hex.DecodeString(strings.NewReplacer(" ", "", ":", "", "-", "").Replace(s))
	if err != nil || bad != nil || len(b) == 0 {
		return Encoded{}, fmt.Errorf(`codec: hex: %w: payload: %.40s is no string of hex digits such as "01ff"`, ErrCommand, raw)
	}
	out, err := fits(b)
	if err != nil {
		return Encoded{}, fmt.Errorf("codec: hex: %w", err)
	}
	return out, nil
}
