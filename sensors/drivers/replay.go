package drivers

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"fieldgate/gateway"
	"fieldgate/sensors"
)

// Values from a file, each at the time that stands before it, such as a recording
// of a sensor that is elsewhere.
func init() {
	sensors.Register(sensors.Driver{
		Name: "replay",
		Doc:  "CSV file: values with their time offsets",
		Options: []sensors.Option{
			{Name: "file", Doc: "CSV: offset in seconds or as in 1m30s, then the value", Kind: sensors.File, Required: true},
			{Name: "loop", Doc: "begin again after the last value", Kind: sensors.Switch, Default: "false"},
		},
		Channels: func(sensors.Options) []sensors.Channel { return []sensors.Channel{{Decimals: 3}} },
		Open: func(_ context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			f, err := os.Open(o.Text("file"))
			if err != nil {
				return nil, fmt.Errorf("sensors: replay: %w", err)
			}
			defer f.Close()
			rows, err := ParseReplay(f)
			if err != nil {
				return nil, fmt.Errorf("sensors: replay: %s: %w", o.Text("file"), err)
			}
			return newReplay(env.Now, rows, o.Switch("loop")), nil
		},
	})
}

// ReplayRow is one line of a replay file.
type ReplayRow struct {
	Offset time.Duration // since the beginning, never below the row before
	Value  json.RawMessage
}

// Limits of a replay file.
const (
	maxReplayRows   = 1 << 20
	maxReplayOffset = 366 * 24 * time.Hour
)

// ParseReplay reads a replay file: CSV (RFC 4180) with two columns, '#' before
// comments. The first is the time since the beginning, in seconds ("1.5") or
// with units ("1m30s"), ascending; the second is the value: JSON, or else a
// text. A first line whose offset is no time is taken for a heading.
func ParseReplay(r io.Reader) ([]ReplayRow, error) {
	c := csv.NewReader(r)
	c.FieldsPerRecord = 2
	c.Comment = '#'
	c.TrimLeadingSpace = true
	var rows []ReplayRow
	var last time.Duration
	for first := true; ; first = false {
		rec, err := c.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		line, _ := c.FieldPos(0)
		at, err := parseOffset(rec[0])
		switch {
		case err != nil && first:
			continue
		case err != nil:
			return nil, fmt.Errorf("line %d: %w", line, err)
		case at < last:
			return nil, fmt.Errorf("line %d: offset %s is before the one above", line, rec[0])
		case len(rows) == maxReplayRows:
			return nil, fmt.Errorf("line %d: more than %d rows", line, maxReplayRows)
		}
		value, err := replayValue(strings.TrimSpace(rec[1]))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		last = at
		rows = append(rows, ReplayRow{at, value})
	}
	if len(rows) == 0 {
		return nil, errors.New("no values")
	}
	return rows, nil
}

func parseOffset(s string) (time.Duration, error) {
	s = strings.TrimSpace(s)
	d, err := time.ParseDuration(s)
	if f, ferr := strconv.ParseFloat(s, 64); ferr == nil && math.Abs(f) <= maxReplayOffset.Seconds() {
		d, err = time.Duration(f*float64(time.Second)), nil
	}
	if err != nil || d < 0 || d > maxReplayOffset {
		return 0, fmt.Errorf("%.40q is no offset: seconds or as in 1m30s, at most a year", s)
	}
	return d, nil
}

// replayValue takes text as JSON if it is a value that can be recorded, else as
// a string.
func replayValue(text string) (json.RawMessage, error) {
	if f, err := strconv.ParseFloat(text, 64); errors.Is(err, strconv.ErrRange) || err == nil && (math.IsNaN(f) || math.IsInf(f, 0)) {
		return nil, fmt.Errorf("%.40q is no number that a sensor can give", text)
	}
	if text == "" {
		return nil, errors.New("no value")
	}
	if gateway.CheckValue([]byte(text)) == nil {
		return json.RawMessage(text), nil
	}
	if !utf8.ValidString(text) {
		return nil, errors.New("value is not UTF-8")
	}
	raw, err := json.Marshal(text)
	if err == nil {
		err = gateway.CheckValue(raw)
	}
	return raw, err
}

// replay gives the rows whose time has come since the last sample.
type replay struct {
	now    func() time.Time
	begin  time.Time
	rows   []ReplayRow
	length time.Duration // of one round; 0: there is only one
	next   int           // row
	round  int64
}

func newReplay(now func() time.Time, rows []ReplayRow, loop bool) *replay {
	r := &replay{now: now, begin: now(), rows: rows}
	if loop {
		last := rows[len(rows)-1].Offset
		gap := time.Second // between the last row and the first of the next round
		if n := len(rows); n > 1 && last > rows[n-2].Offset {
			gap = last - rows[n-2].Offset
		}
		r.length = last + gap
	}
	return r
}

// Sample implements sensors.Sampler. Rounds that were slept through are left out.
func (r *replay) Sample(context.Context) ([]sensors.Sample, error) {
	elapsed := r.now().Sub(r.begin)
	if r.length > 0 {
		if missed := int64(elapsed/r.length) - r.round; missed > 1 {
			r.round += missed - 1 // one round is caught up with, the rest is not
		}
	}
	var out []sensors.Sample
	for {
		if r.next == len(r.rows) {
			if r.length == 0 {
				return out, nil
			}
			r.next, r.round = 0, r.round+1
		}
		row := r.rows[r.next]
		if time.Duration(r.round)*r.length+row.Offset > elapsed {
			return out, nil
		}
		out = append(out, sensors.Sample{Value: row.Value})
		r.next++
	}
}

// Close implements sensors.Sampler.
func (r *replay) Close() error { return nil }
