package broker

import (
	"crypto/rand"
	"encoding/binary"
	"math"

	"fieldgate/gateway"
)

// Marks is the log's memory of publishes at QoS 2 (gateway/store.Log has it).
// The log commits a message before the session notes the identifier it came
// with. The mark is part of the log's commit, so that after a crash in between
// the client's second attempt is not recorded again.
type Marks interface {
	// Marks gives those of the log's entries that were not forgotten.
	Marks() []gateway.Mark
	// ForgetMarks drops a session's marks up to a count.
	ForgetMarks(session, upTo uint64)
}

// noMarks is for a broker without a log.
type noMarks struct{}

func (noMarks) Marks() []gateway.Mark      { return nil }
func (noMarks) ForgetMarks(uint64, uint64) {}

// newMark names a session so that another one of the same client is not taken
// for it.
func (b *Broker) newMark() uint64 {
	if b.table == nil || b.marks == (noMarks{}) {
		return 0
	}
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // never fails, see crypto/rand
	return max(1, binary.LittleEndian.Uint64(raw[:]))
}

// mark gives a QoS 2 publish its mark, if the session is kept. Needs s.mu.
func (s *session) mark(t *ticket) {
	if s.markID != 0 && s.lasting() {
		s.count++
		t.mark = gateway.Mark{Session: s.markID, Count: s.count, Packet: t.id}
	}
}

// noteTaken makes the identifier of a marked publish part of what is written next,
// together with the message for subscribers that are absent. It reports
// whether the answer has to wait for that.
func (b *Broker) noteTaken(batch *gateway.Batch) bool {
	if batch.Carrier == nil {
		return false
	}
	b.mu.Lock()
	s := b.sessions[batch.Carrier.Client]
	b.mu.Unlock()
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.in2[batch.Mark.Packet]
	if t == nil || t.mark != batch.Mark || !s.lasting() {
		return false
	}
	s.take(t)
	return true
}

// take notes that the Hub has a QoS 2 publish. Needs s.mu.
func (s *session) take(t *ticket) {
	t.taken = true
	s.known = max(s.known, t.mark.Count)
	s.metaDirty = true
	s.markDirty()
}

// recall tells restored sessions what the log has of them and they do not know.
func (b *Broker) recall() {
	sessions := map[uint64]*session{}
	for _, s := range b.sessions {
		if s.markID != 0 {
			sessions[s.markID] = s
		}
	}
	for _, m := range b.marks.Marks() {
		s := sessions[m.Session]
		if s == nil {
			b.marks.ForgetMarks(m.Session, math.MaxUint64)
			continue
		}
		if _, used := s.in2[m.Packet]; m.Count > s.known && !used {
			s.in2[m.Packet] = &ticket{id: m.Packet, qos: 2, recorded: true, idle: true}
			s.metaDirty = true
		}
	}
	for _, m := range b.marks.Marks() {
		s := sessions[m.Session]
		if s == nil {
			continue
		}
		s.known = max(s.known, m.Count)
		s.count = max(s.count, s.known)
		s.markDirty()
	}
}
