package lorawan

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// nonces is a set of DevNonces. Those in a row take the room of one.
type nonces []span

type span struct{ low, high uint16 } // both in it

func (n nonces) find(v uint16) (int, bool) {
	return slices.BinarySearchFunc(n, v, func(s span, v uint16) int {
		if s.low <= v && v <= s.high {
			return 0
		}
		return cmp.Compare(s.low, v)
	})
}

// has reports whether v is in the set.
func (n nonces) has(v uint16) bool {
	_, ok := n.find(v)
	return ok
}

// highest is the largest of them; false: there is none.
func (n nonces) highest() (uint16, bool) {
	if len(n) == 0 {
		return 0, false
	}
	return n[len(n)-1].high, true
}

// with gives the set with v in it; n itself is not valid any more.
func (n nonces) with(v uint16) nonces {
	i, ok := n.find(v)
	if ok {
		return n
	}
	below := i > 0 && n[i-1].high == v-1 && v > 0
	above := i < len(n) && n[i].low == v+1 && v < 0xffff
	switch {
	case below && above:
		n[i-1].high = n[i].high
		return slices.Delete(n, i, i+1)
	case below:
		n[i-1].high = v
	case above:
		n[i].low = v
	default:
		return slices.Insert(n, i, span{v, v})
	}
	return n
}

// bytes is the set as it is stored: four bytes for each span.
func (n nonces) bytes() []byte {
	b := make([]byte, 0, 4*len(n))
	for _, s := range n {
		b = binary.BigEndian.AppendUint16(b, s.low)
		b = binary.BigEndian.AppendUint16(b, s.high)
	}
	return b
}

// parseNonces reads what bytes made. What is no set is errRecord: it must not be
// taken for an empty one.
func parseNonces(b []byte) (nonces, error) {
	if len(b)%4 != 0 {
		return nil, errRecord
	}
	var n nonces
	for ; len(b) > 0; b = b[4:] {
		s := span{binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])}
		if last, ok := n.highest(); s.low > s.high || ok && s.low <= last {
			return nil, errRecord
		}
		n = append(n, s)
	}
	return n, nil
}
