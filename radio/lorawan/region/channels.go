package region

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
)

// ChannelSet is a set of uplink channels by their numbers, 0 to 79: the ChMask of
// each bank of 16, bit 0 being the lowest.
type ChannelSet [5]uint16

// SetOf makes a set; numbers outside of 0 to 79 are left out.
func SetOf(channels ...int) ChannelSet {
	var s ChannelSet
	for _, c := range channels {
		s.Add(c)
	}
	return s
}

// Add puts channel c in, if it is one of 0 to 79.
func (s *ChannelSet) Add(c int) {
	if c >= 0 && c < 16*len(s) {
		s[c/16] |= 1 << (c % 16)
	}
}

// Remove takes channel c out.
func (s *ChannelSet) Remove(c int) {
	if c >= 0 && c < 16*len(s) {
		s[c/16] &^= 1 << (c % 16)
	}
}

// Has reports whether channel c is in it.
func (s ChannelSet) Has(c int) bool { return c >= 0 && c < 16*len(s) && s[c/16]>>(c%16)&1 != 0 }

// Len is how many are in it.
func (s ChannelSet) Len() int {
	n := 0
	for _, m := range s {
		n += bits.OnesCount16(m)
	}
	return n
}

// List gives the numbers in order.
func (s ChannelSet) List() []int {
	var l []int
	for c := range 16 * len(s) {
		if s.Has(c) {
			l = append(l, c)
		}
	}
	return l
}

// without gives the channels of s that are not in t.
func (s ChannelSet) without(t ChannelSet) ChannelSet {
	for i := range s {
		s[i] &^= t[i]
	}
	return s
}

// ChannelMask is what one LinkADRReq says of channels.
type ChannelMask struct {
	Mask    uint16 // ChMask
	Control uint8  // ChMaskCntl, 0 to 7
}

// ErrMask is returned for a channel mask that a device refuses.
var ErrMask = errors.New("bad channel mask")

// DefaultChannels is the set of the region's default channels.
func (r *Region) DefaultChannels() ChannelSet {
	var s ChannelSet
	for i := range r.channels {
		s.Add(i)
	}
	return s
}

// Block gives the channels of an eight-channel gateway where channels are fixed:
// n from 1 to 8 is eight of 125 kHz and the one of 500 kHz among them, such as 8 to
// 15 and 65 for 2. False: there is no such block.
func (r *Region) Block(n int) (ChannelSet, bool) {
	if !r.Fixed() || n < 1 || n > 8 {
		return ChannelSet{}, false
	}
	s := SetOf(64 + n - 1)
	for i := range 8 {
		s.Add(8*(n-1) + i)
	}
	return s, true
}

// Masks gives what the LinkADRReq commands of one answer have to say, in that
// order and one behind the other, so that a device has the channels of want
// whatever it had before. The error wraps ErrMask: want is empty, or has channels
// that the region has not.
//
// Where channels are fixed it is ChMaskCntl 7 or 6, all 125 kHz off or on, then the
// banks that differ. ChMaskCntl 5 does the same for whole blocks but is unknown to
// devices before RP002 and was once redefined by mistake (erratum to RP002-1.0.4).
func (r *Region) Masks(want ChannelSet) ([]ChannelMask, error) {
	if want == (ChannelSet{}) {
		return nil, fmt.Errorf("region: %s: %w: no channel", r.name, ErrMask)
	}
	if l := want.List(); l[len(l)-1] >= r.MaxChannels() {
		return nil, fmt.Errorf("region: %s: %w: channel %d", r.name, ErrMask, l[len(l)-1])
	}
	if !r.Fixed() {
		return []ChannelMask{{want[0], 0}}, nil
	}
	off := []ChannelMask{{want[4], 7}}
	on := []ChannelMask{{want[4], 6}}
	for bank, mask := range want[:4] {
		if mask != 0 {
			off = append(off, ChannelMask{mask, uint8(bank)})
		}
		if mask != 0xffff {
			on = append(on, ChannelMask{mask, uint8(bank)})
		}
	}
	if len(on) < len(off) {
		return on, nil
	}
	return off, nil
}

// Apply gives the channels that a device uses after the LinkADRReq commands of one
// answer, if it used now and knows the channels defined (DefaultChannels where they
// are fixed). The error wraps ErrMask: a device refuses them all, because of a
// ChMaskCntl that is reserved, a channel that it does not know, or no channel left.
func (r *Region) Apply(now, defined ChannelSet, masks []ChannelMask) (ChannelSet, error) {
	for _, m := range masks {
		switch {
		case !r.Fixed() && m.Control == 0:
			now[0] = m.Mask
		case !r.Fixed() && m.Control == 6: // all that are defined
			now = defined
		case r.Fixed() && int(m.Control) < r.banks:
			now[m.Control] = m.Mask
		case r.Fixed() && m.Control == 5: // bit n is block n+1; the others are reserved
			if m.Mask>>8 != 0 {
				return ChannelSet{}, fmt.Errorf("region: %s: %w: ChMaskCntl 5 with ChMask %#04x", r.name, ErrMask, m.Mask)
			}
			now = ChannelSet{}
			for n := 1; n <= 8; n++ {
				if block, _ := r.Block(n); m.Mask>>(n-1)&1 != 0 {
					for i := range now {
						now[i] |= block[i]
					}
				}
			}
		case r.Fixed() && (m.Control == 6 || m.Control == 7):
			all := uint16(0)
			if m.Control == 6 {
				all = 0xffff
			}
			now = ChannelSet{all, all, all, all, m.Mask}
		default:
			return ChannelSet{}, fmt.Errorf("region: %s: %w: ChMaskCntl %d", r.name, ErrMask, m.Control)
		}
	}
	if unknown := now.without(defined).List(); unknown != nil {
		return ChannelSet{}, fmt.Errorf("region: %s: %w: channel %d is not defined", r.name, ErrMask, unknown[0])
	}
	if now == (ChannelSet{}) {
		return ChannelSet{}, fmt.Errorf("region: %s: %w: no channel", r.name, ErrMask)
	}
	return now, nil
}

// eirps are the powers of MaxEIRP of TxParamSetupReq in dBm (LoRaWAN 1.0.4 section
// 5.9).
var eirps = [16]int8{8, 10, 12, 13, 14, 16, 18, 20, 21, 24, 26, 27, 29, 30, 33, 36}

// EIRP gives the power in dBm for MaxEIRP of TxParamSetupReq; only its lowest four
// bits count.
func EIRP(code uint8) int8 { return eirps[code&0xf] }

// EIRPCode gives the MaxEIRP of TxParamSetupReq for a power in dBm: the highest
// that is not above it, or 0 for less than 8 dBm.
func EIRPCode(dBm int8) uint8 {
	i, exact := slices.BinarySearch(eirps[:], dBm)
	if exact || i == 0 {
		return uint8(i)
	}
	return uint8(i - 1)
}
