package store

import (
	"encoding/binary"
	"slices"

	"go.etcd.io/bbolt"

	"fieldgate/gateway"
)

// marks are those of entries whose sources have not said yet that they know
// the outcome themselves, in the order of their commits. They are written with
// the records they belong to, so that both are on disk or neither.
type marks struct {
	open  []gateway.Mark // of what was committed; under the log's mu
	moved bool           // open is not on disk; under the log's mu
}

// maxMarks bounds the list. Each connected client has at most its receive
// maximum of them, mostly a few; what is beyond is the oldest, and is forgotten.
const maxMarks = 1 << 14

// Marks gives those of entries that were committed and not forgotten, in the
// order of their commits. It says after a crash what the log has.
func (l *Log) Marks() []gateway.Mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.marks.open)
}

// ForgetMarks drops the session's marks up to a count. That is on disk with the
// next commit that there is a reason for.
func (l *Log) ForgetMarks(session, upTo uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.marks.open)
	l.marks.open = slices.DeleteFunc(l.marks.open, func(m gateway.Mark) bool { return m.Session == session && m.Count <= upTo })
	l.marks.moved = l.marks.moved || len(l.marks.open) < n
}

// saveMarks writes the list if this transaction changes it, or an earlier
// change is not on disk.
func (b *build) saveMarks(meta *bbolt.Bucket) error {
	b.marked = markedOf(b.entries)
	if len(b.marked) == 0 && !b.marksMoved {
		return nil
	}
	all := newestMarks(append(b.marks, b.marked...))
	return meta.Put(keyMarks, appendBlob(nil, blobMarks, b.x.id, appendMarks(nil, all)))
}

// markedOf gives the marks of entries that have records.
func markedOf(entries []*pending) (out []gateway.Mark) {
	for _, p := range entries {
		if p.Mark.Session != 0 && len(p.Records) > 0 {
			out = append(out, p.Mark)
		}
	}
	return out
}

// addMarks notes what was committed. Needs the log's mu.
func (l *Log) addMarks(marked []gateway.Mark) {
	if len(marked) > 0 {
		// What was forgotten meanwhile stays forgotten, and is written later.
		l.marks.open = newestMarks(append(l.marks.open, marked...))
	}
}

func newestMarks(all []gateway.Mark) []gateway.Mark { return all[max(0, len(all)-maxMarks):] }

func appendMarks(dst []byte, list []gateway.Mark) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, m := range list {
		dst = binary.LittleEndian.AppendUint64(dst, m.Session)
		dst = binary.AppendUvarint(dst, m.Count)
		dst = binary.AppendUvarint(dst, uint64(m.Packet))
	}
	return dst
}

func decodeMarks(body []byte) ([]gateway.Mark, error) {
	f := fields{b: body}
	n := f.uint()
	if n > maxMarks {
		return nil, errShort
	}
	var out []gateway.Mark
	for range n {
		var session [8]byte
		f.fixed(session[:])
		m := gateway.Mark{Session: binary.LittleEndian.Uint64(session[:]), Count: f.uint()}
		packet := f.uint()
		if m.Packet = uint16(packet); uint64(m.Packet) != packet {
			f.fail()
		}
		out = append(out, m)
	}
	if err := f.end(); err != nil {
		return nil, err
	}
	return out, nil
}
