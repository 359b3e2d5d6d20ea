package store

import (
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"fieldgate/gateway"
)

// The forms of a value in an export.
const (
	formJSON   = "json"   // the JSON text as it came
	formText   = "text"   // UTF-8 that is not JSON
	formBase64 = "base64" // any other bytes, RFC 4648 section 4
)

func valueForm(v []byte) (form, text string) {
	switch {
	case len(v) == 0:
		return "", ""
	case !utf8.Valid(v):
		return formBase64, base64.StdEncoding.EncodeToString(v)
	case json.Valid(v):
		return formJSON, string(v)
	}
	return formText, string(v)
}

var columns = []string{"id", "seq", "kind", "device", "channel", "topic", "form", "value", "qos", "retain",
	"time", "clock", "source_time", "wall", "wall_clock", "boot", "mono_us", "origin", "uplink", "lost"}

// stampFormat is RFC 3339 in UTC with microseconds.
const stampFormat = "2006-01-02T15:04:05.000000Z"

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(stampFormat)
}

// ExportCSV writes records as CSV (RFC 4180) with a line of headings: id
// (gateway id and sequence), the best known time with how far to trust it, the
// value with the form it is in (json, text or base64), and everything that was
// recorded. Next gives runs of records, none at the end.
func ExportCSV(w io.Writer, gatewayID string, next func() ([]gateway.Record, error)) error {
	out := csv.NewWriter(w)
	if err := out.Write(columns); err != nil {
		return fmt.Errorf("store: export: %w", err)
	}
	for {
		recs, err := next()
		if err != nil {
			out.Flush()
			return fmt.Errorf("store: export: %w", err)
		}
		if len(recs) == 0 {
			break
		}
		for i := range recs {
			r := &recs[i]
			form, text := valueForm(r.Value)
			lost := ""
			if r.Lost != nil {
				b, err := json.Marshal(r.Lost)
				if err != nil {
					return fmt.Errorf("store: export: record %d: %w", r.Seq, err)
				}
				lost = string(b)
			}
			err := out.Write([]string{r.ID(gatewayID), strconv.FormatUint(r.Seq, 10), r.Kind.String(), r.Device, r.Channel,
				r.Topic, form, text, strconv.Itoa(int(r.QoS)), strconv.FormatBool(r.Retain), stamp(r.At), r.Clock.String(),
				stamp(r.Time), stamp(r.Stamp.Wall), r.Stamp.Quality.String(), hex.EncodeToString(r.Stamp.Boot[:]),
				strconv.FormatInt(r.Stamp.Mono.Microseconds(), 10), r.Origin, r.Uplink, lost})
			if err != nil {
				return fmt.Errorf("store: export: %w", err)
			}
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("store: export: %w", err)
	}
	return nil
}

// line is a record as a JSON object.
type line struct {
	ID         string          `json:"id"`
	Seq        uint64          `json:"seq"`
	Kind       string          `json:"kind"`
	Device     string          `json:"device,omitempty"`
	Channel    string          `json:"channel,omitempty"`
	Topic      string          `json:"topic,omitempty"`
	Value      json.RawMessage `json:"value,omitempty"`
	Text       string          `json:"text,omitempty"`
	Base64     string          `json:"base64,omitempty"`
	QoS        byte            `json:"qos,omitempty"`
	Retain     bool            `json:"retain,omitempty"`
	Time       string          `json:"time"`
	Clock      string          `json:"clock"`
	SourceTime string          `json:"source_time,omitempty"`
	Wall       string          `json:"wall"`
	WallClock  string          `json:"wall_clock"`
	Boot       string          `json:"boot"`
	MonoUS     int64           `json:"mono_us"`
	Origin     string          `json:"origin,omitempty"`
	Uplink     string          `json:"uplink,omitempty"`
	Lost       *gateway.Lost   `json:"lost,omitempty"`
}

// ExportJSONLines writes each record as a JSON object on a line of its own. A
// value that is JSON is in "value", other text in "text", other bytes in
// "base64". Next gives runs of records, none at the end.
func ExportJSONLines(w io.Writer, gatewayID string, next func() ([]gateway.Record, error)) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for {
		recs, err := next()
		if err != nil {
			return fmt.Errorf("store: export: %w", err)
		}
		if len(recs) == 0 {
			return nil
		}
		for i := range recs {
			r := &recs[i]
			o := line{ID: r.ID(gatewayID), Seq: r.Seq, Kind: r.Kind.String(), Device: r.Device, Channel: r.Channel,
				Topic: r.Topic, QoS: r.QoS, Retain: r.Retain, Time: stamp(r.At), Clock: r.Clock.String(),
				SourceTime: stamp(r.Time), Wall: stamp(r.Stamp.Wall), WallClock: r.Stamp.Quality.String(),
				Boot: hex.EncodeToString(r.Stamp.Boot[:]), MonoUS: r.Stamp.Mono.Microseconds(),
				Origin: r.Origin, Uplink: r.Uplink, Lost: r.Lost}
			switch form, text := valueForm(r.Value); form {
			case formJSON:
				o.Value = r.Value
			case formText:
				o.Text = text
			case formBase64:
				o.Base64 = text
			}
			if err := enc.Encode(&o); err != nil {
				return fmt.Errorf("store: export: record %d: %w", r.Seq, err)
			}
		}
	}
}
