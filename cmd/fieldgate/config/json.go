package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"go.yaml.in/yaml/v3"

	"fieldgate/gateway"
)

// object reads a table of anything as a JSON object.
func (v value) object() json.RawMessage {
	if !v.present() {
		return nil
	}
	if v.node.Kind != yaml.MappingNode {
		v.mistake("is "+kindOf(v.node), "must be keys with values")
		return nil
	}
	var b bytes.Buffer
	v.json(&b, 1)
	if b.Len() > gateway.MaxValue {
		v.mistake(fmt.Sprintf("is %d bytes long", b.Len()), fmt.Sprintf("at most %d", gateway.MaxValue))
	}
	return b.Bytes()
}

// json writes a node of any kind as JSON, keys in the order of the file.
func (v value) json(b *bytes.Buffer, depth int) {
	if depth > gateway.MaxDepth {
		v.mistake("is nested too deeply", fmt.Sprintf("at most %d levels", gateway.MaxDepth))
		return
	}
	if !v.present() {
		b.WriteString("null")
		return
	}
	switch v.node.Kind {
	case yaml.MappingNode:
		t := v.table()
		b.WriteByte('{')
		for i, key := range t.order {
			if i > 0 {
				b.WriteByte(',')
			}
			text(b, key)
			b.WriteByte(':')
			t.items[key].json(b, depth+1)
		}
		b.WriteByte('}')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, n := range v.node.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			v.sub(n, v.path+"["+strconv.Itoa(i)+"]").json(b, depth+1)
		}
		b.WriteByte(']')
	default:
		v.jsonScalar(b)
	}
}

func (v value) jsonScalar(b *bytes.Buffer) {
	s := v.node.Value
	switch v.node.ShortTag() {
	case "!!bool":
		b.WriteString(strconv.FormatBool(s[0] == 't' || s[0] == 'T'))
	case "!!int", "!!float":
		var f float64
		switch err := v.node.Decode(&f); {
		case json.Valid([]byte(s)) && gateway.CheckValue([]byte(s)) == nil:
			b.WriteString(s) // keeps every digit
		case err != nil || math.IsInf(f, 0) || math.IsNaN(f):
			v.mistake(fmt.Sprintf("%.40q is no number that JSON can hold", s), "a number, or text in quotes")
		default:
			text, _ := json.Marshal(f)
			b.Write(text)
		}
	default:
		text(b, s)
	}
}

func text(b *bytes.Buffer, s string) {
	raw, _ := json.Marshal(s)
	b.Write(raw)
}
