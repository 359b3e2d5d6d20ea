package region

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// CFListSize is the length of a CFList in bytes.
const CFListSize = 16

// ErrCFList is returned for what is no CFList, or cannot be one.
var ErrCFList = errors.New("no CFList")

// MaxCFList is how many channels a CFList can add to the default ones: 5, or 0
// where channels are fixed and it chooses among them.
func (r *Region) MaxCFList() int {
	if r.cfListType == 1 {
		return 0
	}
	return 5
}

// CFList makes the CFList of a join accept, 16 bytes (sections 2.3.1 and 2.3.2).
// Where devices have to be told of channels (type 0) these are up to 5 more than
// the default ones, which it leaves out, and they get the numbers that follow.
// Where channels are fixed (type 1) it is all that are to be used. Frequencies are
// in Hz. Nil: there is nothing to say. The error wraps ErrCFList.
func (r *Region) CFList(channels []uint32) ([]byte, error) {
	if len(channels) == 0 {
		return nil, nil
	}
	list := make([]byte, CFListSize)
	list[CFListSize-1] = r.cfListType
	if r.cfListType == 1 {
		var set ChannelSet
		for _, f := range channels {
			i, ok := r.ChannelAt(f)
			if !ok {
				return nil, fmt.Errorf("region: %s: %w: %d Hz is no channel", r.name, ErrCFList, f)
			}
			set.Add(i)
		}
		for i, mask := range set {
			binary.LittleEndian.PutUint16(list[2*i:], mask)
		}
		return list, nil
	}
	n := 0
	for _, f := range channels {
		if _, usual := r.ChannelAt(f); usual {
			continue
		}
		switch {
		case !r.Contains(f):
			return nil, fmt.Errorf("region: %s: %w: %d Hz is outside of the region", r.name, ErrCFList, f)
		case f%100 != 0:
			return nil, fmt.Errorf("region: %s: %w: %d Hz is no multiple of 100 Hz", r.name, ErrCFList, f)
		case n == r.MaxCFList():
			return nil, fmt.Errorf("region: %s: %w: more than %d channels besides the default ones", r.name, ErrCFList, r.MaxCFList())
		}
		v := f / 100
		list[3*n], list[3*n+1], list[3*n+2] = byte(v), byte(v>>8), byte(v>>16)
		n++
	}
	if n == 0 {
		return nil, nil
	}
	return list, nil
}

// ParseCFList gives the frequencies of a CFList in Hz, as a device reads it: of
// type 0 the channels besides the default ones, those left free as 0; of type 1
// all channels that are to be used. The error wraps ErrCFList.
func (r *Region) ParseCFList(list []byte) ([]uint32, error) {
	if len(list) != CFListSize {
		return nil, fmt.Errorf("region: %s: %w: %d bytes, not %d", r.name, ErrCFList, len(list), CFListSize)
	}
	if t := list[CFListSize-1]; t != r.cfListType {
		return nil, fmt.Errorf("region: %s: %w: type %d, not %d", r.name, ErrCFList, t, r.cfListType)
	}
	var channels []uint32
	if r.cfListType == 1 {
		var set ChannelSet
		for i := range set {
			set[i] = binary.LittleEndian.Uint16(list[2*i:])
		}
		for _, i := range set.List() {
			if i >= len(r.channels) {
				return nil, fmt.Errorf("region: %s: %w: channel %d", r.name, ErrCFList, i)
			}
			channels = append(channels, r.channels[i].Frequency)
		}
		return channels, nil
	}
	for n := range r.MaxCFList() {
		f := 100 * (uint32(list[3*n]) | uint32(list[3*n+1])<<8 | uint32(list[3*n+2])<<16)
		if f != 0 && !r.Contains(f) {
			return nil, fmt.Errorf("region: %s: %w: %d Hz is outside of the region", r.name, ErrCFList, f)
		}
		channels = append(channels, f)
	}
	return channels, nil
}
