package gwmp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"fieldgate/radio"
)

// payload reads data: base64 with or without padding, in the standard or the
// URL alphabet. The result is never nil.
func (v value) payload() ([]byte, error) {
	t, err := v.text()
	if err != nil {
		return nil, err
	}
	t = bytes.TrimRight(t, "=")
	if len(t) > base64.RawStdEncoding.EncodedLen(radio.MaxPayload) {
		return nil, fmt.Errorf("a payload has at most %d bytes", radio.MaxPayload)
	}
	encoding := base64.RawStdEncoding
	if bytes.ContainsAny(t, "-_") {
		encoding = base64.RawURLEncoding
	}
	out := make([]byte, encoding.DecodedLen(len(t)))
	n, err := encoding.Decode(out, t)
	if err != nil {
		return nil, errors.New("not base64")
	}
	return out[:n], nil
}

// times are the forms of time that forwarders use beside RFC 3339.
var times = []string{
	"2006-01-02 15:04:05 MST",
	"2006-01-02 15:04:05",
	"2006-01-02T15:04:05.999999999",
	"20060102T150405.999999999Z",
}

// time reads a time; zero if it cannot be read.
func (v value) time() time.Time {
	raw, err := v.text()
	if err != nil || len(raw) > 40 {
		return time.Time{}
	}
	var t time.Time
	if t.UnmarshalText(raw) == nil {
		return t.UTC()
	}
	for _, form := range times {
		if t, err := time.Parse(form, string(raw)); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

const timeForm = "2006-01-02T15:04:05.000000Z"

// gpsEpoch is when GPS time began; it has no leap seconds since, UTC has had 18
// (none from 2017 on, and no more are planned).
var gpsEpoch = time.Date(1980, 1, 6, 0, 0, 0, 0, time.UTC).Add(-18 * time.Second)

func fromGPS(ms uint64) time.Time {
	if ms > math.MaxInt64/uint64(time.Millisecond) {
		return time.Time{}
	}
	return gpsEpoch.Add(time.Duration(ms) * time.Millisecond)
}

// appendMHz appends a frequency in Hz as MHz with six decimals.
func appendMHz(dst []byte, hz uint32) []byte {
	dst = strconv.AppendUint(dst, uint64(hz/1e6), 10)
	fraction := strconv.AppendUint(nil, uint64(hz%1e6+1e6), 10)
	fraction[0] = '.'
	return append(dst, fraction...)
}

// appendRate appends modu, datr and codr.
func appendRate(dst []byte, m radio.Modulation) []byte {
	if !m.LoRa() {
		dst = append(dst, `,"modu":"FSK","datr":`...)
		return strconv.AppendUint(dst, uint64(m.BitRate), 10)
	}
	dst = append(dst, `,"modu":"LORA","datr":"SF`...)
	dst = strconv.AppendUint(dst, uint64(m.SF), 10)
	dst = append(dst, "BW"...)
	dst = strconv.AppendFloat(dst, float64(m.Bandwidth)/1000, 'f', -1, 64)
	if m.CodingRate < 5 || m.CodingRate > 8 {
		return append(dst, `","codr":"OFF"`...)
	}
	return append(dst, '"', ',', '"', 'c', 'o', 'd', 'r', '"', ':', '"', '4', '/', '0'+m.CodingRate, '"')
}

// appendData appends size and data.
func appendData(dst, data []byte) []byte {
	dst = append(dst, `,"size":`...)
	dst = strconv.AppendInt(dst, int64(len(data)), 10)
	dst = append(dst, `,"data":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, data)
	return append(dst, '"')
}

// appendText appends s as a JSON text.
func appendText(dst []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // a string never fails
	return append(dst, quoted...)
}

// appendRounded appends f with at most so many decimals.
func appendRounded(dst []byte, f float64, decimals int) []byte {
	scale := math.Pow10(decimals)
	if f = math.Round(f*scale) / scale; math.IsNaN(f) || math.IsInf(f, 0) {
		f = 0
	}
	if f == 0 {
		f = 0 // no sign
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}
