package radio

import "time"

// AirtimeOptions says what of a frame is not as LoRaWAN has it.
type AirtimeOptions struct {
	// Preamble is its length in symbols, of FSK in bytes; 0: 8 symbols or 5 bytes.
	// More than 65535 count as that.
	Preamble int
	Implicit bool // no header; of FSK no length byte
	NoCRC    bool // no checksum below the payload: LoRaWAN's downlinks have none
	// SX127x says that SF6 is sent by an SX127x. It makes no difference to others.
	SX127x bool
}

// Airtime is how long a frame with a payload of that many bytes is on the air,
// rounded up to a nanosecond. A coding rate of 0 counts as 4/5. It is 0 for what
// is no modulation.
//
// LoRa: Semtech SX1276/77/78/79 datasheet (rev. 7) section 4.1.1.7 and AN1200.13;
// SF5 and SF6 have two symbols more before the payload and fill the first block
// otherwise, SX1261/2 datasheet (rev. 2.1) section 6.1.4. An SX127x has no SF5 and
// keeps to the first formula for SF6, see AirtimeOptions. Low data rate
// optimisation is on where LowDataRate says so.
//
// FSK: section 4.2 of the same datasheet, with a sync word of 3 bytes, a length
// byte and a CRC of 2 bytes (LoRaWAN RP002-1.0.4 section 2.4.1).
//
// Bandwidths count as they are named. Those below 62.5 kHz are rounded: a chip
// that is asked for 41.7 kHz has 41667 Hz and sends 0.08 % longer, 7.8, 10.4, 15.6
// and 20.8 kHz are 0.16 % shorter.
func Airtime(m Modulation, payload int, o AirtimeOptions) time.Duration {
	payload = min(max(payload, 0), MaxPayload)
	preamble := min(max(o.Preamble, 0), 65535)
	if !m.LoRa() {
		return fskAirtime(m, payload, preamble, o)
	}
	if m.SF < 5 || m.SF > 12 || m.Bandwidth == 0 || m.CodingRate > 8 || m.CodingRate != 0 && m.CodingRate < 5 {
		return 0
	}
	if preamble == 0 {
		preamble = 8
	}
	quarters := 4*preamble + 17 // the sync word and the start of the frame have 4.25 symbols
	sf := int(m.SF)
	bits := 8*payload - 4*sf + 8
	perBlock := 4 * sf
	if m.LowDataRate() {
		perBlock = 4 * (sf - 2)
	}
	if sf == 5 || sf == 6 && !o.SX127x {
		quarters += 8
		bits -= 8
	}
	if !o.Implicit {
		bits += 20
	}
	if !o.NoCRC {
		bits += 16
	}
	rate := int(m.CodingRate)
	if rate == 0 {
		rate = 5
	}
	blocks := (max(bits, 0) + perBlock - 1) / perBlock
	quarters += 4 * (8 + blocks*rate)
	// At most 2^18 + 2^12 quarters of 2^12 chips: it stays below 2^63.
	return divideUp(uint64(quarters)<<m.SF*uint64(time.Second), 4*uint64(m.Bandwidth))
}

// fskAirtime is the airtime of FSK; a preamble of 0 is 5 bytes.
func fskAirtime(m Modulation, payload, preamble int, o AirtimeOptions) time.Duration {
	if m.BitRate == 0 {
		return 0
	}
	if preamble == 0 {
		preamble = 5
	}
	bytes := preamble + 3 + payload
	if !o.Implicit {
		bytes++
	}
	if !o.NoCRC {
		bytes += 2
	}
	return divideUp(uint64(bytes)*8*uint64(time.Second), uint64(m.BitRate))
}

// divideUp is a/b rounded up, as nanoseconds.
func divideUp(a, b uint64) time.Duration { return time.Duration((a + b - 1) / b) }

// LowDataRate reports whether low data rate optimisation is to be on: where a
// symbol lasts longer than 16 ms (SX1276 datasheet section 4.1.1.6, which has it
// mandated for 16.384 ms).
func (m Modulation) LowDataRate() bool {
	return m.LoRa() && m.SF <= 12 && uint64(1000)<<m.SF > 16*uint64(m.Bandwidth)
}
