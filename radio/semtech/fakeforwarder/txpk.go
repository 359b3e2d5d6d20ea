package fakeforwarder

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"fieldgate/radio"
)

// txpk has pointers where the forwarder wants a field to be there.
type txpk struct {
	Imme bool
	Tmst *float64
	Tmms *float64
	Freq *float64
	Rfch *float64
	Powe float64
	Modu string
	Datr json.RawMessage
	Codr string
	Fdev *float64
	Ipol bool
	Prea *float64
	Size *float64
	Data *string
	Ncrc bool
}

var errNoGPS = errors.New("no GPS")

// decode reads a txpk as strictly as Semtech's forwarder does; the power is what
// the server asked for.
func decode(body []byte) (radio.Transmission, error) {
	var doc struct{ Txpk *txpk }
	var t radio.Transmission
	if err := json.Unmarshal(bytes.TrimRight(body, "\x00"), &doc); err != nil {
		return t, err
	}
	p := doc.Txpk
	switch {
	case p == nil:
		return t, errors.New("no txpk")
	case p.Imme:
		t.Immediately = true
	case p.Tmst != nil:
		t.Counter = uint32(*p.Tmst)
	case p.Tmms != nil:
		return t, errNoGPS
	default:
		return t, errors.New("neither tmst nor tmms")
	}
	if p.Freq == nil || p.Rfch == nil || p.Size == nil || p.Data == nil {
		return t, errors.New("freq, rfch, size or data is missing")
	}
	if *p.Rfch != 0 {
		return t, fmt.Errorf("rfch %v does not send", *p.Rfch)
	}
	t.Frequency = uint32(math.Round(*p.Freq * 1e6))
	t.Power = int8(p.Powe)
	t.InvertIQ = p.Ipol
	t.CRC = !p.Ncrc
	var err error
	if t.Payload, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(*p.Data, "=")); err != nil {
		return t, err
	}
	if len(t.Payload) != int(*p.Size) || len(t.Payload) > radio.MaxPayload {
		return t, fmt.Errorf("size %v", *p.Size)
	}
	switch p.Modu {
	case "LORA":
		err = p.lora(&t)
	case "FSK":
		err = p.fsk(&t)
	default:
		err = fmt.Errorf("modu %q", p.Modu)
	}
	return t, err
}

func (p *txpk) lora(t *radio.Transmission) error {
	var rate string
	if err := json.Unmarshal(p.Datr, &rate); err != nil {
		return err
	}
	m, err := radio.ParseDataRate(rate)
	if err != nil || m.Bandwidth < 125000 {
		return fmt.Errorf("datr %q", rate)
	}
	switch p.Codr {
	case "4/5":
		m.CodingRate = 5
	case "4/6", "2/3":
		m.CodingRate = 6
	case "4/7":
		m.CodingRate = 7
	case "4/8", "1/2":
		m.CodingRate = 8
	default:
		return fmt.Errorf("codr %q", p.Codr)
	}
	t.Modulation, t.Preamble = m, 8
	if p.Prea != nil {
		t.Preamble = uint16(max(*p.Prea, 6))
	}
	return nil
}

func (p *txpk) fsk(t *radio.Transmission) error {
	var rate float64
	if err := json.Unmarshal(p.Datr, &rate); err != nil {
		return err
	}
	if p.Fdev == nil {
		return errors.New("no fdev")
	}
	t.Modulation, t.Preamble = radio.Modulation{BitRate: uint32(rate)}, 5
	if p.Prea != nil {
		t.Preamble = uint16(max(*p.Prea, 3))
	}
	return nil
}
