package gwmp

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"fieldgate/radio"
)

// MaxPackets is how many packets one PUSH_DATA may have.
const MaxPackets = 255

// Rxpk is a frame that a forwarder heard (PROTOCOL.TXT section 4).
type Rxpk struct {
	Time       time.Time // of its end, UTC, to the microsecond; zero: not told
	GPS        uint64    // the same in ms of GPS time (tmms); 0: not told
	Counter    uint32    // tmst: the same by the concentrator, µs
	Frequency  uint32    // Hz
	Channel    uint8     // chan
	Chain      uint8     // rfch
	CRC        radio.CRC // stat
	Modulation radio.Modulation
	RSSI       float32 // dBm, of the channel; of several antennas that with the best SNR
	SNR        float32 // dB
	Offset     int32   // foff, Hz
	Data       []byte  // up to radio.MaxPayload bytes
	// Late, if not 0, is written as meta.late in seconds: that the frame has
	// waited so long before it was sent. It is not read.
	Late time.Duration
}

// Push is the content of a PUSH_DATA.
type Push struct {
	Packets []Rxpk
	Stat    *Stat // nil: none
	Bad     int   // packets that were refused
	BadErr  error // why the first of them was; wraps ErrField
}

// Parse reads the JSON of a PUSH_DATA into p, whose memory it uses again; the
// Data of the packets is new. If the document is damaged, what stands in front
// of the damage is kept and the error wraps ErrJSON.
func (p *Push) Parse(body []byte) error {
	*p = Push{Packets: p.Packets[:0]}
	s := scanner{b: body}
	err := s.members(func(name []byte) error {
		switch {
		case string(name) == "rxpk" && s.peek() == '[':
			return s.elements(func() error { return p.packet(&s) })
		case string(name) == "rxpk" && s.peek() == '{': // some send a single one without the array
			return p.packet(&s)
		case string(name) == "stat" && s.peek() == '{':
			st, err := parseStat(&s)
			p.Stat = &st
			return err
		case string(name) == "rxpk" && s.peek() != 'n':
			p.refuse(errors.New("rxpk is no array"))
		}
		_, err := s.value(1)
		return err
	})
	if err != nil {
		return err
	}
	return s.end()
}

func (p *Push) refuse(err error) {
	if p.Bad == 0 {
		p.BadErr = fmt.Errorf("gwmp: rxpk: %w: %w", ErrField, err)
	}
	p.Bad++
}

// packet reads one element of rxpk. Only damage of the document is returned.
func (p *Push) packet(s *scanner) error {
	if s.peek() != '{' {
		_, err := s.value(2)
		if err == nil {
			p.refuse(errors.New("an object is expected"))
		}
		return err
	}
	var r rxpkReader
	err := s.members(func(name []byte) error {
		v, err := s.value(3)
		if err == nil && r.err == nil {
			r.field(name, v)
		}
		return err
	})
	if err != nil {
		return err
	}
	r.finish()
	switch {
	case r.err != nil:
		p.refuse(r.err)
	case len(p.Packets) == MaxPackets:
		p.refuse(fmt.Errorf("more than %d packets", MaxPackets))
	default:
		p.Packets = append(p.Packets, r.Rxpk)
	}
	return nil
}

// rxpkReader collects the fields of a packet, which come in any order.
type rxpkReader struct {
	Rxpk
	err      error // of the first wrong field
	rate     value
	fsk      bool
	coding   uint8
	size     int64
	seen     uint8 // of the fields without which it is no frame
	hasSize  bool
	antennas int
}

const (
	hasTmst = 1 << iota
	hasFreq
	hasRate
	hasData
)

func (r *rxpkReader) field(name []byte, v value) {
	if v.absent() && string(name) != "data" {
		return
	}
	var err error
	var n int64
	var f float64
	switch string(name) {
	case "tmst":
		n, err = v.integer(-1<<31, 1<<32-1) // some print it signed
		r.Counter, r.seen = uint32(n), r.seen|hasTmst
	case "freq":
		r.Frequency, err = v.hertz()
		r.seen |= hasFreq
	case "datr":
		r.rate, r.seen = v, r.seen|hasRate
	case "data":
		r.Data, err = v.payload()
		r.seen |= hasData
	case "size":
		r.size, err = v.integer(0, 1<<16)
		r.hasSize = true
	case "modu":
		r.fsk, err = v.isFSK()
	case "codr":
		r.coding, err = v.codingRate()
	case "stat":
		n, err = v.integer(-1, 1)
		r.CRC = [...]radio.CRC{radio.CRCBad, radio.CRCNone, radio.CRCOK}[n+1]
	case "rssi":
		f, err = v.float()
		if r.antennas == 0 {
			r.RSSI = float32(f)
		}
	case "lsnr":
		f, err = v.float()
		if r.antennas == 0 {
			r.SNR = float32(f)
		}
	case "foff":
		n, err = v.integer(-1<<31, 1<<31-1)
		if r.antennas == 0 {
			r.Offset = int32(n)
		}
	case "chan":
		n, err = v.integer(0, 255)
		if r.antennas == 0 {
			r.Channel = uint8(n)
		}
	case "rfch":
		n, err = v.integer(0, 255)
		r.Chain = uint8(n)
	case "time":
		r.Time = v.time() // what cannot be read is no time, but the frame is good
	case "tmms":
		n, err = v.integer(0, 1<<53)
		r.GPS = uint64(n)
	case "rsig":
		err = r.signals(v)
	}
	if err != nil {
		r.err = fmt.Errorf("%s: %w", name, err)
	}
}

// signals reads what the antennas heard; the best of them counts.
func (r *rxpkReader) signals(v value) error {
	if v.kind != array {
		return errors.New("an array is expected")
	}
	s := scanner{b: v.raw}
	return s.elements(func() error {
		var channel, offset int64
		var rssi, snr float64
		if s.peek() != '{' {
			return errors.New("an object is expected")
		}
		err := s.members(func(name []byte) error {
			v, err := s.value(4)
			if err != nil || v.absent() {
				return err
			}
			switch string(name) {
			case "chan":
				channel, err = v.integer(0, 255)
			case "rssic":
				rssi, err = v.float()
			case "lsnr":
				snr, err = v.float()
			case "foff":
				offset, err = v.integer(-1<<31, 1<<31-1)
			}
			return err
		})
		if err == nil && (r.antennas == 0 || float32(snr) > r.SNR || float32(snr) == r.SNR && float32(rssi) > r.RSSI) {
			r.Channel, r.RSSI, r.SNR = uint8(channel), float32(rssi), float32(snr)
			if offset != 0 {
				r.Offset = int32(offset)
			}
		}
		r.antennas++
		return err
	})
}

// finish puts together what needs several fields.
func (r *rxpkReader) finish() {
	if r.err != nil {
		return
	}
	for i, name := range [...]string{"tmst", "freq", "datr", "data"} {
		if r.seen&(1<<i) == 0 {
			r.err = fmt.Errorf("no %s", name)
			return
		}
	}
	if r.hasSize && r.size != int64(len(r.Data)) {
		r.err = fmt.Errorf("size is %d, data has %d bytes", r.size, len(r.Data))
		return
	}
	r.Modulation, r.err = r.rate.modulation(r.fsk, r.coding)
}

// hertz reads a frequency in MHz.
func (v value) hertz() (uint32, error) {
	f, err := v.float()
	if err != nil {
		return 0, err
	}
	if f < 1 || f > 4294.967295 {
		return 0, fmt.Errorf("%v MHz", f)
	}
	return uint32(f*1e6 + 0.5), nil
}

// isFSK reads modu.
func (v value) isFSK() (bool, error) {
	switch {
	case v.kind == text && bytes.EqualFold(v.raw, []byte("LORA")):
		return false, nil
	case v.kind == text && bytes.EqualFold(v.raw, []byte("FSK")):
		return true, nil
	}
	return false, fmt.Errorf("%.20q is neither LORA nor FSK", v.raw)
}

// codingRate reads codr; 0 for OFF and for what is not known.
func (v value) codingRate() (uint8, error) {
	if v.kind == number {
		return 0, nil
	}
	t, err := v.text()
	switch string(t) {
	case "4/5":
		return 5, err
	case "4/6", "2/3":
		return 6, err
	case "4/7":
		return 7, err
	case "4/8", "1/2":
		return 8, err
	}
	return 0, err
}

// modulation reads datr.
func (v value) modulation(fsk bool, coding uint8) (radio.Modulation, error) {
	if m, ok := dataRates[string(v.raw)]; ok && v.kind == text && !fsk {
		m.CodingRate = coding
		return m, nil
	}
	if fsk || v.kind == number {
		n, err := v.integer(500, 1_000_000) // what an SX1301 can
		if err == nil {
			return radio.Modulation{BitRate: uint32(n)}, nil
		}
	}
	return radio.Modulation{}, fmt.Errorf("datr: %w: %.20q", radio.ErrDataRate, v.raw)
}

// dataRates are all LoRa data rates by their names.
var dataRates = func() map[string]radio.Modulation {
	m := map[string]radio.Modulation{}
	for sf := uint8(5); sf <= 12; sf++ {
		for _, bw := range radio.Bandwidths {
			r := radio.Modulation{SF: sf, Bandwidth: bw}
			m[r.DataRate()] = r
		}
	}
	return m
}()
