package gwmp

import (
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Stat is what a forwarder tells of itself, about every 30 s. Its counters are of
// the time since the stat before.
type Stat struct {
	Time       time.Time // UTC, to the second; zero: not told
	Position   *Position // nil: not told
	Received   uint32    // rxnb: frames heard
	OK         uint32    // rxok: of these with a right checksum
	Forwarded  uint32    // rxfw: of these sent to the server
	Acked      float64   // ackr: datagrams that were acknowledged, percent
	Downlinks  uint32    // dwnb: PULL_RESP received
	Sent       uint32    // txnb: frames sent
	Platform   string    // pfrm; these three are used by some forwarders only
	Mail       string
	Descriptor string // desc
}

// Position is where a gateway is.
type Position struct {
	Latitude, Longitude float64 // degrees, north and east positive
	Altitude            int     // m
}

const maxText = 64 // bytes of a text in stat

// parseStat reads the object that begins at s. Fields of a wrong type are as if
// they were not there: nothing depends on them.
func parseStat(s *scanner) (Stat, error) {
	var st Stat
	var p Position
	err := s.members(func(name []byte) error {
		v, err := s.value(2)
		if err != nil || v.absent() {
			return err
		}
		switch string(name) {
		case "time":
			st.Time = v.time()
		case "lati":
			p.Latitude, _ = v.float()
		case "long":
			p.Longitude, _ = v.float()
		case "alti":
			n, _ := v.integer(-1e5, 1e8)
			p.Altitude = int(n)
		case "rxnb":
			st.Received = v.count()
		case "rxok":
			st.OK = v.count()
		case "rxfw":
			st.Forwarded = v.count()
		case "ackr":
			st.Acked, _ = v.float()
		case "dwnb":
			st.Downlinks = v.count()
		case "txnb":
			st.Sent = v.count()
		case "pfrm":
			st.Platform = v.clean()
		case "mail":
			st.Mail = v.clean()
		case "desc":
			st.Descriptor = v.clean()
		}
		return nil
	})
	if p != (Position{}) && p.Latitude >= -90 && p.Latitude <= 90 && p.Longitude >= -180 && p.Longitude <= 180 {
		st.Position = &p
	}
	return st, err
}

func (v value) count() uint32 {
	n, _ := v.integer(0, 1<<32-1)
	return uint32(n)
}

// clean gives a text for people, of at most maxText bytes.
func (v value) clean() string {
	t, err := v.text()
	if err != nil {
		return ""
	}
	s := strings.ToValidUTF8(string(t), "")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return strings.TrimSpace(s)
}

func (s *Stat) append(dst []byte) []byte {
	at := s.Time
	if at.IsZero() {
		at = time.Unix(0, 0)
	}
	dst = append(dst, `{"time":"`...)
	dst = at.UTC().AppendFormat(dst, "2006-01-02 15:04:05 GMT")
	dst = append(dst, '"')
	if p := s.Position; p != nil {
		dst = appendRounded(append(dst, `,"lati":`...), p.Latitude, 5)
		dst = appendRounded(append(dst, `,"long":`...), p.Longitude, 5)
		dst = strconv.AppendInt(append(dst, `,"alti":`...), int64(p.Altitude), 10)
	}
	for _, c := range [...]struct {
		name string
		n    uint32
	}{{"rxnb", s.Received}, {"rxok", s.OK}, {"rxfw", s.Forwarded}, {"dwnb", s.Downlinks}, {"txnb", s.Sent}} {
		dst = append(append(append(dst, `,"`...), c.name...), `":`...)
		dst = strconv.AppendUint(dst, uint64(c.n), 10)
	}
	dst = appendRounded(append(dst, `,"ackr":`...), s.Acked, 1)
	for _, t := range [...]struct{ name, text string }{{"pfrm", s.Platform}, {"mail", s.Mail}, {"desc", s.Descriptor}} {
		if t.text != "" {
			dst = appendText(append(append(append(dst, `,"`...), t.name...), `":`...), t.text)
		}
	}
	return append(dst, '}')
}
