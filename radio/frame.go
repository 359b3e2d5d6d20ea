package radio

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MaxPayload is the longest payload of a LoRa frame, in bytes.
const MaxPayload = 255

// Modulation says how a frame is keyed: LoRa, or FSK where SF is 0.
type Modulation struct {
	SF         uint8  // spreading factor, 5 to 12; 0: FSK
	Bandwidth  uint32 // Hz: 7800, 10400, 15600, 20800, 31250, 41700, 62500, 125000, 250000 or 500000
	CodingRate uint8  // 5 to 8 for 4/5 to 4/8; 0 where it is not known
	BitRate    uint32 // FSK: bit/s
}

// Bandwidths are those of LoRa in Hz, as the chips' datasheets round them.
var Bandwidths = []uint32{7800, 10400, 15600, 20800, 31250, 41700, 62500, 125000, 250000, 500000}

// LoRa reports whether m is LoRa.
func (m Modulation) LoRa() bool { return m.SF != 0 }

// DataRate is m in the words of the packet forwarder, such as "SF7BW125" or, for
// FSK, "50000".
func (m Modulation) DataRate() string {
	if !m.LoRa() {
		return strconv.FormatUint(uint64(m.BitRate), 10)
	}
	return fmt.Sprintf("SF%dBW%s", m.SF, strconv.FormatFloat(float64(m.Bandwidth)/1000, 'f', -1, 64))
}

// Symbol is how long one LoRa symbol lasts, 2^SF / bandwidth.
func (m Modulation) Symbol() time.Duration {
	if !m.LoRa() || m.Bandwidth == 0 {
		return 0
	}
	return time.Duration((uint64(1) << m.SF) * uint64(time.Second) / uint64(m.Bandwidth))
}

// ErrDataRate is returned for what is no data rate.
var ErrDataRate = errors.New("no data rate")

// ParseDataRate reads a LoRa data rate such as "SF7BW125". CodingRate stays 0.
func ParseDataRate(s string) (Modulation, error) {
	sf, bw, ok := strings.Cut(strings.TrimPrefix(s, "SF"), "BW")
	n, err := strconv.ParseUint(sf, 10, 8)
	if !strings.HasPrefix(s, "SF") || !ok || err != nil || n < 5 || n > 12 {
		return Modulation{}, fmt.Errorf("radio: %w: %.40q", ErrDataRate, s)
	}
	for _, hz := range Bandwidths {
		m := Modulation{SF: uint8(n), Bandwidth: hz}
		if m.DataRate() == fmt.Sprintf("SF%dBW%s", n, bw) {
			return m, nil
		}
	}
	return Modulation{}, fmt.Errorf("radio: %w: %.40q", ErrDataRate, s)
}

// CRC says what is known of the checksum that a sender puts below its payload.
type CRC uint8

// What the checksum of a frame told.
const (
	CRCNone CRC = iota // the sender sent none: nothing vouches for the frame
	CRCOK
	CRCBad
)

// String is "none", "ok" or "bad".
func (c CRC) String() string {
	switch c {
	case CRCOK:
		return "ok"
	case CRCBad:
		return "bad"
	}
	return "none"
}

// Frame is what a radio heard.
type Frame struct {
	Payload   []byte // up to MaxPayload bytes; nobody changes them
	Frequency uint32 // Hz
	Modulation
	RSSI           float32 // dBm
	SNR            float32 // dB
	CRC            CRC
	FrequencyError int32  // Hz, the sender's carrier above ours; 0 where it is not known
	Radio          string // name of the radio; of a packet forwarder its EUI, 16 hex digits
	// Counter is the radio's count of microseconds at the end of the frame.
	Counter uint32
	// At is the end of the frame by the clock of this process, with Go's monotonic
	// reading; for a packet forwarder it is when its datagram came.
	At time.Time
	// Heard is the end of the frame by the clock of the packet forwarder, if it has
	// one that it trusts.
	Heard time.Time
	// Channel and Chain are the forwarder's chan and rfch.
	Channel, Chain uint8
	// Private says that the frame came with the sync word of private networks.
	Private bool
}

// Transmission is a frame to be sent.
type Transmission struct {
	// ID tells transmissions apart in logs and on the topic tx.
	ID        string
	Radio     string // name of the radio that is to send it
	Payload   []byte
	Frequency uint32 // Hz
	Modulation
	Power    int8   // dBm EIRP; the radio takes off its antenna's gain
	InvertIQ bool   // as LoRaWAN's downlinks are
	CRC      bool   // LoRaWAN's downlinks have none
	Preamble uint16 // symbols; 0: 8
	// Counter is when the first symbol is to leave, by the radio's own count.
	Counter uint32
	// Immediately has it sent at once, whatever Counter says.
	Immediately bool
}

// Errors of Send. A packet forwarder's other words are wrapped in ErrRefused.
var (
	ErrTooLate   = errors.New("too late to be sent at its time")
	ErrTooEarly  = errors.New("too far ahead to be sent at its time")
	ErrCollision = errors.New("another transmission has that time")
	ErrFrequency = errors.New("the radio cannot send on that frequency")
	ErrPower     = errors.New("the radio cannot send with that power")
	ErrDown      = errors.New("the radio is down")
	ErrNoRadio   = errors.New("there is no such radio")
	ErrRefused   = errors.New("the radio refused it")
	// ErrNoAnswer: whether it is sent, nobody knows.
	ErrNoAnswer = errors.New("the radio does not say whether it sends it")
)
