package broker

import (
	"bytes"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
	"pgregory.net/rapid"
)

// TestFrame: the packet is what mochi's encoder makes of the same, and as long
// as it was said to be.
func TestFrame(t *testing.T) {
	texts := rapid.StringMatching(`[a-z/äöü]{0,40}`)
	rapid.Check(t, func(t *rapid.T) {
		long := rapid.SampledFrom([]int{0, 1, 100, 127, 128, 16_000, 16_384, 2_097_152}).Draw(t, "long")
		f := frame{
			flags:   byte(rapid.SampledFrom([]int{0, 1, 2, 3, 4, 5, 10, 11, 12, 13}).Draw(t, "flags")),
			topic:   texts.Draw(t, "topic"),
			packet:  rapid.Uint16Min(1).Draw(t, "packet"),
			payload: bytes.Repeat([]byte{'x'}, long+rapid.IntRange(0, 3).Draw(t, "more")),
			v5:      rapid.Bool().Draw(t, "v5"),
		}
		pk := packets.Packet{
			FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: f.flags >> 1 & 3, Retain: f.flags&retainFlag != 0, Dup: f.flags&dupFlag != 0},
			TopicName:   f.topic, PacketID: f.packet, Payload: f.payload,
			Mods: packets.Mods{AllowResponseInfo: true},
		}
		if f.v5 {
			pk.ProtocolVersion = 5
			if rapid.Bool().Draw(t, "props") {
				f.props = &packets.Properties{
					PayloadFormat:     1,
					PayloadFormatFlag: rapid.Bool().Draw(t, "format"),
					ContentType:       texts.Draw(t, "type"),
					ResponseTopic:     texts.Draw(t, "response"),
					CorrelationData:   rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "correlation"),
				}
				for range rapid.IntRange(0, 3).Draw(t, "user") {
					f.props.User = append(f.props.User, packets.UserProperty{Key: texts.Draw(t, "key"), Val: texts.Draw(t, "value")})
				}
				pk.Properties = *f.props
			}
			f.expiry = rapid.SampledFrom([]uint32{0, 1, 1 << 31}).Draw(t, "expiry")
			f.alias = rapid.SampledFrom([]uint16{0, 1, 300}).Draw(t, "alias")
			f.ids = rapid.SliceOfN(rapid.IntRange(1, 268_435_455), 0, 4).Draw(t, "ids")
			pk.Properties.MessageExpiryInterval, pk.Properties.SubscriptionIdentifier = f.expiry, f.ids
			pk.Properties.TopicAlias, pk.Properties.TopicAliasFlag = f.alias, f.alias > 0
		}
		var want bytes.Buffer
		if err := pk.PublishEncode(&want); err != nil {
			t.Fatal(err)
		}
		props, rest := f.size()
		got := append(f.appendHead(nil, props, rest), f.payload...)
		if !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%x, not %x", got, want.Bytes())
		}
		if n := 1 + varintLen(rest) + rest; n != len(got) {
			t.Fatalf("%d bytes, not %d", len(got), n)
		}
	})
}
