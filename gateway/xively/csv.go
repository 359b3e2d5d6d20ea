package xively

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The CSV of writes, as the Ruby library of the API reads it. encoding/csv is
// not used: it skips blank lines, turns CRLF into LF within quotes and cannot
// bound the number of cells.

// Bounds of a document, past which it cannot be within the limits of a write.
const (
	maxRows  = MaxDatapoints + MaxDatastreams
	maxCells = MaxDatastreams
)

// parseCSV splits a document into rows of cells, which are trimmed of white
// space on both sides, within quotes too. LF, CRLF or CR end a row; white space
// around the document does not count. There is at least one row. The error is
// an *Error with status 400, or 422 for a document past the bounds.
func parseCSV(body []byte) (rows [][]string, err error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff")))
	if len(body) == 0 {
		return nil, Malformed(CSV, "the document is empty")
	}
	if !utf8.Valid(body) {
		return nil, Malformed(CSV, "the document is not UTF-8")
	}
	rest := string(body)
	var row []string
	for more := true; more; {
		var cell string
		if cell, rest, err = cutCell(rest); err != nil {
			return nil, Malformed(CSV, "row %d: %v", len(rows)+1, err)
		}
		if row = append(row, strings.Clone(strings.TrimSpace(cell))); len(row) > maxCells {
			return nil, Unprocessable(FieldError{"datastreams", tooMany(maxCells)})
		}
		if strings.HasPrefix(rest, ",") {
			rest = rest[1:]
			continue
		}
		if rows, row = append(rows, row), nil; len(rows) > maxRows {
			return nil, Unprocessable(FieldError{"datapoints", tooMany(MaxDatapoints)})
		}
		more = rest != ""
		rest = strings.TrimPrefix(strings.TrimPrefix(rest, "\r"), "\n")
	}
	return rows, nil
}

// cutCell reads one cell. The rest begins with what ends it, or is empty.
func cutCell(s string) (cell, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ",\"\r\n")
		switch {
		case end < 0:
			return s, "", nil
		case s[end] == '"':
			return "", "", fmt.Errorf("a quote within a cell that does not begin with one")
		}
		return s[:end], s[end:], nil
	}
	from := 1
	for {
		end := strings.IndexByte(s[from:], '"')
		if end < 0 {
			return "", "", fmt.Errorf("a quote is not closed")
		}
		from += end + 1
		if from == len(s) || strings.IndexByte(",\r\n", s[from]) >= 0 {
			return strings.ReplaceAll(s[1:from-1], `""`, `"`), s[from:], nil
		}
		if s[from] != '"' {
			return "", "", fmt.Errorf("text after a closing quote")
		}
		from++
	}
}

// timed is a row's time and value.
type timed struct {
	Datapoint
	has bool // it has a cell for the time, and something in it
}

// readTimed reads the cells of row n after an id: VALUE or AT,VALUE. An empty
// time is none.
func readTimed(n int, cells []string) (t timed, err error) {
	t.Value = cells[len(cells)-1]
	if len(cells) == 2 && cells[0] != "" {
		t.has = true
		if t.At, err = ParseTime(cells[0]); err != nil {
			return t, Malformed(CSV, "row %d: %v", n, err)
		}
	}
	return t, nil
}

// put gives d its value, or datapoints if there are several rows, which then
// all must have a time.
func (d *DatastreamWrite) put(rows []timed) bool {
	if len(rows) == 1 {
		d.Value, d.At = &rows[0].Value, rows[0].At
		return true
	}
	d.Datapoints = make([]Datapoint, len(rows))
	for i, r := range rows {
		if !r.has {
			return false
		}
		d.Datapoints[i] = r.Datapoint
	}
	return true
}

// decodeFeedCSV reads, in version 1, one row with the values of the datastreams
// "0", "1" and so on; in version 2 rows ID,VALUE or ID,AT,VALUE.
func decodeFeedCSV(v Version, body []byte) (out FeedWrite, err error) {
	out.Datastreams, err = decodeDatastreamsCSV(v, body)
	return out, err
}

func decodeDatastreamsCSV(v Version, body []byte) (out []DatastreamWrite, err error) {
	rows, err := parseCSV(body)
	if err != nil {
		return nil, err
	}
	if v == V1 {
		if len(rows) != 1 {
			return nil, Malformed(CSV, "%d rows, but version 1 has one", len(rows))
		}
		out = make([]DatastreamWrite, len(rows[0]))
		for i := range rows[0] {
			out[i] = DatastreamWrite{ID: strconv.Itoa(i), Value: &rows[0][i]}
		}
		return out, nil
	}
	place := make(map[string]int)
	var groups [][]timed
	for i, row := range rows {
		if len(row) != 2 && len(row) != 3 {
			return nil, Malformed(CSV, "row %d: %d cells, not ID,VALUE or ID,AT,VALUE", i+1, len(row))
		}
		t, err := readTimed(i+1, row[1:])
		if err != nil {
			return nil, err
		}
		at, known := place[row[0]]
		if !known {
			at = len(out)
			place[row[0]] = at
			out, groups = append(out, DatastreamWrite{ID: row[0]}), append(groups, nil)
		}
		groups[at] = append(groups[at], t)
	}
	for i := range out {
		if !out[i].put(groups[i]) {
			return nil, Malformed(CSV, "several rows of the datastream %.40q, but not all of them with a time", out[i].ID)
		}
	}
	return out, nil
}

// decodeDatastreamCSV reads, in version 1, one value; in version 2 VALUE or one
// or more rows AT,VALUE.
func decodeDatastreamCSV(v Version, body []byte) (out DatastreamWrite, err error) {
	rows, err := parseCSV(body)
	if err != nil {
		return out, err
	}
	if v == V1 && (len(rows) != 1 || len(rows[0]) != 1) {
		return out, Malformed(CSV, "more than one value, which version 1 does not have")
	}
	points, err := timedRows(rows)
	if err != nil {
		return out, err
	}
	if !out.put(points) {
		return out, Malformed(CSV, "several rows, but not all of them with a time")
	}
	return out, nil
}

// timedRows reads rows VALUE or AT,VALUE.
func timedRows(rows [][]string) ([]timed, error) {
	points := make([]timed, len(rows))
	for i, row := range rows {
		if len(row) > 2 {
			return nil, Malformed(CSV, "row %d: %d cells, not VALUE or AT,VALUE", i+1, len(row))
		}
		var err error
		if points[i], err = readTimed(i+1, row); err != nil {
			return nil, err
		}
	}
	return points, nil
}

// decodeDatapointsCSV reads rows AT,VALUE.
func decodeDatapointsCSV(body []byte) (out []Datapoint, err error) {
	rows, err := parseCSV(body)
	if err != nil {
		return nil, err
	}
	points, err := timedRows(rows)
	if err != nil {
		return nil, err
	}
	out = make([]Datapoint, len(points))
	for i, p := range points {
		if !p.has {
			return nil, Malformed(CSV, "row %d: no time", i+1)
		}
		out[i] = p.Datapoint
	}
	return out, nil
}

// decodeDatapointCSV reads VALUE or AT,VALUE.
func decodeDatapointCSV(body []byte) (out Datapoint, err error) {
	rows, err := parseCSV(body)
	if err != nil {
		return out, err
	}
	if len(rows) != 1 {
		return out, Malformed(CSV, "%d rows, not one", len(rows))
	}
	points, err := timedRows(rows)
	if err != nil {
		return out, err
	}
	return points[0].Datapoint, nil
}
