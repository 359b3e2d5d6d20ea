package gwmp

import (
	"errors"
	"fmt"
	"strconv"

	"fieldgate/radio"
)

// Preambles of a txpk that names none.
const (
	preambleLoRa = 8
	preambleFSK  = 5 // bytes
)

// AppendTxpk appends the JSON of a PULL_RESP: all fields that Semtech's forwarder
// wants, without which it drops the datagram and does not answer. Chain is the
// chain of the concentrator (rfch). An error wraps radio.ErrFrequency,
// radio.ErrDataRate or ErrField.
func AppendTxpk(dst []byte, t *radio.Transmission, chain uint8) ([]byte, error) {
	m := t.Modulation
	switch {
	case t.Frequency == 0:
		return dst, fmt.Errorf("gwmp: txpk: %w: 0 Hz", radio.ErrFrequency)
	case len(t.Payload) > radio.MaxPayload:
		return dst, fmt.Errorf("gwmp: txpk: %w: a payload of %d bytes", ErrField, len(t.Payload))
	case !m.LoRa() && m.BitRate == 0, m.LoRa() && m.Bandwidth == 0:
		return dst, fmt.Errorf("gwmp: txpk: %w: %s", radio.ErrDataRate, m.DataRate())
	}
	if m.LoRa() && m.CodingRate == 0 {
		m.CodingRate = 5
	}
	if t.Immediately {
		dst = append(dst, `{"txpk":{"imme":true`...)
	} else {
		dst = append(dst, `{"txpk":{"imme":false,"tmst":`...)
		dst = strconv.AppendUint(dst, uint64(t.Counter), 10)
	}
	dst = append(dst, `,"freq":`...)
	dst = appendMHz(dst, t.Frequency)
	dst = append(dst, `,"rfch":`...)
	dst = strconv.AppendUint(dst, uint64(chain), 10)
	dst = append(dst, `,"powe":`...)
	dst = strconv.AppendInt(dst, int64(t.Power), 10)
	dst = appendRate(dst, m)
	preamble := t.Preamble
	if m.LoRa() {
		dst = append(dst, `,"ipol":`...)
		dst = strconv.AppendBool(dst, t.InvertIQ)
		if preamble == 0 {
			preamble = preambleLoRa
		}
	} else {
		dst = append(dst, `,"fdev":`...) // a modulation index of 1, as LoRaWAN's 50 kbit/s have
		dst = strconv.AppendUint(dst, uint64(m.BitRate/2), 10)
		if preamble == 0 {
			preamble = preambleFSK
		}
	}
	dst = append(dst, `,"prea":`...)
	dst = strconv.AppendUint(dst, uint64(preamble), 10)
	dst = append(dst, `,"ncrc":`...)
	dst = strconv.AppendBool(dst, !t.CRC)
	dst = appendData(dst, t.Payload)
	return append(dst, "}}"...), nil
}

// Txpk is a frame that a server wants to be sent (PROTOCOL.TXT section 6).
type Txpk struct {
	radio.Transmission        // without ID and Radio
	Chain              uint8  // rfch
	Deviation          uint32 // fdev, Hz, of FSK; 0: not told
	// GPS is tmms, ms of GPS time, where neither imme nor tmst are given.
	GPS uint64
}

// ParseTxpk reads the JSON of a PULL_RESP. The error wraps ErrJSON or ErrField;
// Semtech's forwarder does not answer in these cases.
func ParseTxpk(body []byte) (Txpk, error) {
	var t Txpk
	var r txpkReader
	found := false
	s := scanner{b: body}
	err := s.members(func(name []byte) error {
		if string(name) != "txpk" || s.peek() != '{' {
			_, err := s.value(1)
			return err
		}
		found = true
		return s.members(func(name []byte) error {
			v, err := s.value(2)
			if err == nil && r.err == nil {
				r.field(&t, name, v)
			}
			return err
		})
	})
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return Txpk{}, err
	}
	if !found {
		r.err = errors.New("there is no txpk")
	}
	if r.finish(&t); r.err != nil {
		return Txpk{}, fmt.Errorf("gwmp: txpk: %w: %w", ErrField, r.err)
	}
	return t, nil
}

// txpkReader collects the fields, which come in any order.
type txpkReader struct {
	err                                error
	rate                               value
	fsk                                bool
	coding                             uint8
	size                               int64
	timed, hasSize, freq, hasData, fed bool
}

func (r *txpkReader) field(t *Txpk, name []byte, v value) {
	if v.absent() && string(name) != "data" {
		return
	}
	var err error
	var n int64
	switch string(name) {
	case "imme":
		t.Immediately, err = v.truth()
	case "tmst":
		n, err = v.integer(-1<<31, 1<<32-1)
		t.Counter, r.timed = uint32(n), true
	case "tmms":
		n, err = v.integer(0, 1<<53)
		t.GPS = uint64(n)
	case "freq":
		t.Frequency, err = v.hertz()
		r.freq = true
	case "rfch":
		n, err = v.integer(0, 255)
		t.Chain = uint8(n)
	case "powe":
		n, err = v.integer(-128, 127)
		t.Power, r.fed = int8(n), true
	case "modu":
		r.fsk, err = v.isFSK()
	case "datr":
		r.rate = v
	case "codr":
		r.coding, err = v.codingRate()
	case "fdev":
		n, err = v.integer(0, 1<<32-1)
		t.Deviation = uint32(n)
	case "ipol":
		t.InvertIQ, err = v.truth()
	case "ncrc":
		t.CRC, err = v.truth()
	case "prea":
		n, err = v.integer(0, 1<<16-1)
		t.Preamble = uint16(n)
	case "size":
		r.size, err = v.integer(0, 1<<16)
		r.hasSize = true
	case "data":
		t.Payload, err = v.payload()
		r.hasData = true
	}
	if err != nil {
		r.err = fmt.Errorf("%s: %w", name, err)
	}
}

func (r *txpkReader) finish(t *Txpk) {
	switch {
	case r.err != nil:
		return
	case !t.Immediately && !r.timed && t.GPS == 0:
		r.err = errors.New("neither imme nor tmst")
	case !r.freq:
		r.err = errors.New("no freq")
	case !r.hasData:
		r.err = errors.New("no data")
	case r.hasSize && r.size != int64(len(t.Payload)):
		r.err = fmt.Errorf("size is %d, data has %d bytes", r.size, len(t.Payload))
	default:
		t.Modulation, r.err = r.rate.modulation(r.fsk, r.coding)
	}
	if t.Modulation.LoRa() && t.CodingRate == 0 {
		t.CodingRate = 5
	}
	if !r.fed {
		t.Power = DefaultPower
	}
	if t.Immediately || r.timed {
		t.GPS = 0
	}
	t.CRC = !t.CRC // ncrc
}

// DefaultPower is the power of a txpk that names none, in dBm.
const DefaultPower = 14
