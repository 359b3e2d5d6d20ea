package region

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"fieldgate/radio"
)

// Delays of all regions (section 2.3), from the end of an uplink to the start of
// a downlink. RX2 opens a second after RX1.
const (
	RxDelay    = time.Second // of RX1, unless join accept or RXTimingSetup say otherwise
	JoinDelay1 = 5 * time.Second
	JoinDelay2 = 6 * time.Second
)

// DwellTime is the longest transmission where dwell time is limited.
const DwellTime = 400 * time.Millisecond

// Errors of this package.
var (
	ErrUnknown  = errors.New("no such region")
	ErrChannel  = errors.New("not a channel of the region")
	ErrDataRate = errors.New("not a data rate of the region")
	ErrOffset   = errors.New("not a data rate offset of the region")
)

// Channel is an uplink channel.
type Channel struct {
	Frequency    uint32 // Hz
	MinDR, MaxDR int
}

// SubBand is a range of frequencies with limits of its own for what a gateway
// sends.
type SubBand struct {
	Name      string // "868.0-868.6", MHz
	Low, High uint32 // Hz; Low is in it, High is not unless nothing follows
	// Permille is the share of any hour that all transmissions of one radio may
	// take together; 1000 where nothing limits it.
	Permille int
	MaxEIRP  int8 // dBm, rounded down
}

// Share is Permille as a fraction of 1.
func (b SubBand) Share() float64 { return float64(b.Permille) / 1000 }

// direction says who may use a data rate.
type direction uint8

const (
	up direction = 1 << iota
	down
	both = up | down
)

// rate is a data rate; the zero value is none.
type rate struct {
	radio.Modulation
	direction
	size      int // M, the longest MACPayload in bytes, of the table without repeaters
	sizeDwell int // M with dwell time limited; 0: not to be used then
}

// lora is a LoRa data rate. The longest MACPayload is given without and with
// limited dwell time.
func lora(sf uint8, bandwidth uint32, d direction, size, sizeDwell int) rate {
	return rate{radio.Modulation{SF: sf, Bandwidth: bandwidth, CodingRate: 5}, d, size, sizeDwell}
}

// fsk is the FSK data rate of 50 kbit/s.
func fsk() rate { return rate{radio.Modulation{BitRate: 50000}, both, 250, 250} }

// Region is the LoRaWAN of one part of the world. It never changes; its methods
// may be called from any goroutine.
type Region struct {
	name     string
	rates    []rate
	channels []Channel // default uplink channels
	join     []Channel // the same with the data rates of join requests
	// downlinks are the frequencies of RX1 where the channels are fixed; uplink
	// channel n is answered on n modulo their number. Without them RX1 is on the
	// frequency of the uplink.
	downlinks []uint32
	rx1       [][]int // by uplink data rate and offset: the data rate of RX1
	rx1Dwell  [][]int // the same with downlink dwell time limited; nil: the same
	rx2       uint32
	rx2DR     int
	power     int8 // dBm EIRP of TXPower 0
	powers    int  // number of TXPower values, 2 dB apart
	adrMin    int
	adrMax    int
	adrDwell  int // adrMin with uplink dwell time limited
	// txParamSetup says that devices know TxParamSetupReq.
	txParamSetup       bool
	dwellUp, dwellDown bool // as a device takes them to be until it is told
	bands              []SubBand
	cfListType         uint8
	banks              int // of 16 channels that ChMaskCntl counts
}

var regions = map[string]*Region{}

// register adds a region. Each file of this package does so for its own from
// init; a name that is taken panics.
func register(r *Region) {
	if _, taken := regions[r.name]; taken {
		panic("region: " + r.name + " is registered twice")
	}
	regions[r.name] = r
}

// Names lists the regions, sorted.
func Names() []string { return slices.Sorted(maps.Keys(regions)) }

// Get gives the region of that name, such as "EU868"; "AS923" is "AS923-1". The
// error wraps ErrUnknown and lists the names.
func Get(name string) (*Region, error) {
	if name == "AS923" {
		name = "AS923-1"
	}
	if r, ok := regions[name]; ok {
		return r, nil
	}
	return nil, fmt.Errorf("region: %w: %.40q; there are %s", ErrUnknown, name, strings.Join(Names(), ", "))
}

// Name is such as "EU868" or "AS923-1".
func (r *Region) Name() string { return r.name }

// Fixed reports whether all channels are known beforehand (US915, AU915).
// Elsewhere a device has the default channels and those that it is told of, up to
// MaxChannels.
func (r *Region) Fixed() bool { return r.downlinks != nil }

// MaxChannels is how many uplink channels a device can have: 16 or 72.
func (r *Region) MaxChannels() int {
	if r.Fixed() {
		return len(r.channels)
	}
	return 16
}

// DataRate gives the modulation of a data rate, either direction; the coding rate
// of LoRa is 5. False: the region has no such data rate.
func (r *Region) DataRate(dr int) (radio.Modulation, bool) {
	if !r.has(dr, both) {
		return radio.Modulation{}, false
	}
	return r.rates[dr].Modulation, true
}

// Uplink reports whether devices may send with a data rate, Downlink whether they
// may be sent to with it.
func (r *Region) Uplink(dr int) bool   { return r.has(dr, up) }
func (r *Region) Downlink(dr int) bool { return r.has(dr, down) }

// has reports whether there is data rate dr for one of the directions of d.
func (r *Region) has(dr int, d direction) bool {
	return dr >= 0 && dr < len(r.rates) && r.rates[dr].direction&d != 0
}

// DataRateOf gives the data rate of a modulation, whatever its coding rate.
// Uplinks and downlinks may have it under different numbers.
func (r *Region) DataRateOf(m radio.Modulation, uplink bool) (int, bool) {
	d := down
	if uplink {
		d = up
	}
	for dr, c := range r.rates {
		if c.direction&d == 0 || c.SF != m.SF {
			continue
		}
		if m.LoRa() && c.Bandwidth == m.Bandwidth || !m.LoRa() && c.BitRate == m.BitRate {
			return dr, true
		}
	}
	return 0, false
}

// Channels are the default uplink channels, by their number: all 72 in US915 and
// AU915. The slice is the caller's.
func (r *Region) Channels() []Channel { return slices.Clone(r.channels) }

// JoinChannels are the channels and data rates on which devices ask to join.
func (r *Region) JoinChannels() []Channel { return slices.Clone(r.join) }

// tolerance is how far from a channel a frequency may be, in Hz. Chips round by
// 31 Hz, forwarders to what they like.
const tolerance = 1000

// ChannelAt finds the default channel of a frequency, exact to 1 kHz. In US915 and
// AU915 no two channels of different bandwidths have the same frequency.
func (r *Region) ChannelAt(freq uint32) (index int, ok bool) {
	for i, c := range r.channels {
		if freq+tolerance >= c.Frequency && freq <= c.Frequency+tolerance {
			return i, true
		}
	}
	return 0, false
}

// RX1 gives frequency and data rate of the first receive window after an uplink
// at freq with upDR, where offset is the RX1DROffset of the device and downlink
// dwell time is not limited. The error wraps ErrChannel, ErrDataRate or ErrOffset.
func (r *Region) RX1(freq uint32, upDR, offset int) (downFreq uint32, downDR int, err error) {
	return r.RX1Dwell(freq, upDR, offset, false)
}

// RX1Dwell is RX1 where downlink dwell time may be limited.
func (r *Region) RX1Dwell(freq uint32, upDR, offset int, limited bool) (downFreq uint32, downDR int, err error) {
	downFreq = freq
	i, ok := r.ChannelAt(freq)
	switch {
	case r.Fixed():
		if !ok {
			return 0, 0, fmt.Errorf("region: %s: RX1: %w: %d Hz", r.name, ErrChannel, freq)
		}
		downFreq = r.downlinks[i%len(r.downlinks)]
	case ok:
		downFreq = r.channels[i].Frequency
	case !r.Contains(freq):
		return 0, 0, fmt.Errorf("region: %s: RX1: %w: %d Hz", r.name, ErrChannel, freq)
	}
	if !r.has(upDR, up) {
		return 0, 0, fmt.Errorf("region: %s: RX1: %w: uplink DR%d", r.name, ErrDataRate, upDR)
	}
	row := r.rx1[upDR]
	if limited && r.rx1Dwell != nil {
		row = r.rx1Dwell[upDR]
	}
	if offset < 0 || offset >= len(row) {
		return 0, 0, fmt.Errorf("region: %s: RX1: %w: %d, 0 to %d", r.name, ErrOffset, offset, len(row)-1)
	}
	return downFreq, row[offset], nil
}

// MaxRX1Offset is the highest RX1DROffset.
func (r *Region) MaxRX1Offset() int { return len(r.rx1[0]) - 1 }

// RX2 gives frequency and data rate of the second receive window, unless a device
// was told others.
func (r *Region) RX2() (freq uint32, dr int) { return r.rx2, r.rx2DR }

// macHeader is what a MACPayload without FOpts has around FRMPayload: DevAddr,
// FCtrl, FCnt and FPort.
const macHeader = 8

// MaxPayload is the longest FRMPayload without FOpts in bytes (N, of the table
// without repeaters) where dwell time is not limited. FOpts take of it. 0: the
// region has no such data rate.
func (r *Region) MaxPayload(dr int) int { return r.MaxPayloadDwell(dr, false) }

// MaxPayloadDwell is MaxPayload where dwell time may be limited; 0 also where a
// data rate is too slow for that. Devices keep to the unlimited sizes for what
// they receive, whatever they were told (section 2.10.6).
func (r *Region) MaxPayloadDwell(dr int, limited bool) int {
	if !r.has(dr, both) {
		return 0
	}
	size := r.rates[dr].size
	if limited {
		size = r.rates[dr].sizeDwell
	}
	return max(size-macHeader, 0)
}

// NoEIRP is the power where a gateway must not send at all.
const NoEIRP int8 = math.MinInt8

// MaxEIRP is what a gateway may send with at a frequency, in dBm EIRP; NoEIRP
// where it must not.
func (r *Region) MaxEIRP(freq uint32) int8 {
	if b, ok := r.band(freq); ok {
		return b.MaxEIRP
	}
	return NoEIRP
}

// TXPower gives the power that a device takes for TXPower of LinkADRReq, in dBm
// EIRP rounded down, if it can do the most that the region has. False: not
// defined.
func (r *Region) TXPower(index int) (dBm int8, ok bool) {
	if index < 0 || index >= r.powers {
		return 0, false
	}
	return r.power - int8(2*index), true
}

// MaxTXPower is the highest index of TXPower, the lowest power.
func (r *Region) MaxTXPower() int { return r.powers - 1 }

// MaxADRDataRate is the fastest data rate that ADR goes to. Faster ones need
// other channels.
func (r *Region) MaxADRDataRate() int { return r.adrMax }

// ADRDataRates is the range that ADR may use, without or with limited uplink dwell
// time. Where all channels of a device are narrow (125 kHz) all of it works on
// each.
func (r *Region) ADRDataRates(limited bool) (lowest, highest int) {
	if limited {
		return r.adrDwell, r.adrMax
	}
	return r.adrMin, r.adrMax
}

// HasTxParamSetup reports whether devices know TxParamSetupReq.
func (r *Region) HasTxParamSetup() bool { return r.txParamSetup }

// Dwell says for which directions a device takes dwell time to be limited to
// DwellTime as long as nobody told it otherwise.
func (r *Region) Dwell() (uplink, downlink bool) { return r.dwellUp, r.dwellDown }

// band finds the sub-band of a frequency.
func (r *Region) band(freq uint32) (SubBand, bool) {
	for i, b := range r.bands {
		last := i+1 == len(r.bands) || r.bands[i+1].Low != b.High
		if freq >= b.Low && (freq < b.High || last && freq == b.High) {
			return b, true
		}
	}
	return SubBand{}, false
}

// SubBand gives the sub-band of a frequency, the middle of a channel, where the
// duty cycle is limited. False: it is not limited, or the region has no such
// frequency (see Contains).
func (r *Region) SubBand(freq uint32) (SubBand, bool) {
	b, ok := r.band(freq)
	if !ok || b.Permille >= 1000 {
		return SubBand{}, false
	}
	return b, true
}

// SubBands are all of them in order, those without limited duty cycle too.
func (r *Region) SubBands() []SubBand { return slices.Clone(r.bands) }

// Contains reports whether a gateway may send at a frequency. Between the
// sub-bands of EU868 it may not.
func (r *Region) Contains(freq uint32) bool {
	_, ok := r.band(freq)
	return ok
}

// Fits reports whether a channel lies in one sub-band with all of its bandwidth,
// both in Hz.
func (r *Region) Fits(freq, bandwidth uint32) bool {
	b, ok := r.band(freq)
	return ok && freq-b.Low >= bandwidth/2 && b.High-freq >= bandwidth/2
}

// rx1Table makes a table for RX1: each data rate of the region, less the offset as
// it counts (effective), not below lowest and not above the fastest.
func rx1Table(rates []rate, lowest int, effective ...int) [][]int {
	table := make([][]int, len(rates))
	for dr := range rates {
		for _, e := range effective {
			table[dr] = append(table[dr], min(max(dr-e, lowest), len(rates)-1))
		}
	}
	return table
}

// at makes channels of the same data rates.
func at(lowest, highest int, frequencies ...uint32) []Channel {
	var c []Channel
	for _, f := range frequencies {
		c = append(c, Channel{f, lowest, highest})
	}
	return c
}

// every makes n channels of the same data rates, step Hz apart.
func every(n int, first, step uint32, lowest, highest int) []Channel {
	var c []Channel
	for i := range n {
		c = append(c, Channel{first + uint32(i)*step, lowest, highest})
	}
	return c
}
