package broker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"fieldgate/gateway"
)

// Keys in the table: "s/" session key, "m/" session key "/" order in 16 hex
// digits, "r/" topic.
const (
	prefixSession  = "s/"
	prefixMessage  = "m/"
	prefixRetained = "r/"
	orderDigits    = 16
	refreshMeta    = time.Hour // what is left of an absent session's life is written this often
)

func messageKey(session string, n uint64) string {
	return fmt.Sprintf("%s%s/%0*x", prefixMessage, session, orderDigits, n)
}

// markDirty notes that the session is not on disk as it is in memory. Needs
// s.mu.
func (s *session) markDirty() {
	if s.listed || s.b.table == nil || !s.saved && len(s.gone) == 0 && !s.persistent() {
		return
	}
	s.listed = true
	s.b.keep.mu.Lock()
	s.b.keep.dirty = append(s.b.keep.dirty, s)
	s.b.keep.mu.Unlock()
}

// whenStored calls settled when all that sessions hold now is on disk. Many
// who wait share one write.
func (b *Broker) whenStored(settled func(error)) {
	if b.table == nil {
		settled(nil)
		return
	}
	k := &b.keep
	k.mu.Lock()
	if k.stopped {
		k.mu.Unlock()
		settled(fmt.Errorf("broker: %w", gateway.ErrClosed))
		return
	}
	k.waiting = append(k.waiting, settled)
	k.mu.Unlock()
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

// keepLoop writes what has changed: at once if somebody waits for it, else now
// and then. What was acknowledged in the meantime never touches the disk.
func (b *Broker) keepLoop(ctx context.Context) {
	tick := time.NewTicker(b.limits.FlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-b.keep.kick:
		case <-tick.C:
		case <-ctx.Done():
			b.noteRemaining(b.mono())
			b.keep.mu.Lock()
			b.keep.stopped = true
			b.keep.mu.Unlock()
			b.flush()
			return
		}
		b.flush()
	}
}

// noteRemaining has what is left of each absent session's life written.
func (b *Broker) noteRemaining(before time.Duration) {
	for _, s := range b.allSessions() {
		s.mu.Lock()
		if s.conn == nil && s.saved && s.metaAt < before {
			s.metaDirty = true
			s.markDirty()
		}
		s.mu.Unlock()
	}
}

// flushing is one write, and what has to be undone if it fails.
type flushing struct {
	pairs  map[string][]byte
	parts  []flushedSession
	topics []string
}

type flushedSession struct {
	sess *session
	put  []*outgoing
	gone []uint64
}

// flush writes all that is dirty in one transaction. Only keepLoop calls it,
// or who knows that it does not run.
func (b *Broker) flush() {
	k := &b.keep
	k.mu.Lock()
	waiting, dirty := k.waiting, k.dirty
	k.waiting, k.dirty = nil, nil
	k.mu.Unlock()
	err := b.write(dirty)
	if err != nil {
		b.count.flushErrors.Add(1)
		b.notice("flush", "sessions and retained messages cannot be written", "error", err)
		err = fmt.Errorf("broker: keep for absent subscribers: %w: %w", gateway.ErrNotKept, err)
	}
	for _, settled := range waiting {
		func() {
			defer b.caught("settle")
			settled(err)
		}()
	}
}

func (b *Broker) write(dirty []*session) error {
	if b.table == nil {
		return nil
	}
	f := flushing{pairs: map[string][]byte{}}
	b.keep.whole.Lock()
	for _, s := range dirty {
		f.collect(s)
	}
	b.retained.collect(&f, b.mono())
	b.keep.whole.Unlock()
	if len(f.pairs) == 0 {
		return nil
	}
	err := b.table.Write(f.pairs)
	if err != nil {
		f.undo(b)
	}
	return err
}

// collect adds what of s has to be written, as if it were written.
func (f *flushing) collect(s *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listed = false
	part := flushedSession{sess: s, gone: s.gone}
	s.gone = nil
	for _, n := range part.gone {
		f.pairs[messageKey(s.key, n)] = nil
	}
	if !s.persistent() {
		if s.saved {
			// Unless a new session has the key: the order of a list does not matter.
			if key := prefixSession + s.key; f.pairs[key] == nil {
				f.pairs[key] = nil
			}
			s.saved = false
		}
		s.eachOutgoing(func(o *outgoing) {
			if o.stored {
				f.pairs[messageKey(s.key, o.n)] = nil
				part.gone = append(part.gone, o.n)
				o.stored = false
			}
		})
		f.parts = append(f.parts, part)
		return
	}
	if s.metaDirty || !s.saved {
		f.pairs[prefixSession+s.key] = encodeSession(s.stored())
		s.metaDirty, s.saved, s.metaAt = false, true, s.b.mono()
	}
	now := s.b.mono()
	s.eachOutgoing(func(o *outgoing) {
		if o.qos == 0 || o.stored && !o.dirty {
			return
		}
		f.pairs[messageKey(s.key, o.n)] = encodeMessage(o.stored_(now))
		o.stored, o.dirty = true, false
		part.put = append(part.put, o)
	})
	f.parts = append(f.parts, part)
}

// undo marks everything dirty again after a write that failed.
func (f *flushing) undo(b *Broker) {
	for _, part := range f.parts {
		s := part.sess
		s.mu.Lock()
		s.metaDirty, s.saved = true, true // deleting what is not there does no harm
		s.gone = append(s.gone, part.gone...)
		for _, o := range part.put {
			o.dirty = true
		}
		s.markDirty()
		s.mu.Unlock()
	}
	b.retained.mu.Lock()
	defer b.retained.mu.Unlock()
	for _, topic := range f.topics {
		b.retained.dirty[topic] = true
	}
}

func (s *session) eachOutgoing(fn func(*outgoing)) {
	for _, list := range [][]*outgoing{s.flight, s.retainedQ, s.queue} {
		for _, o := range list {
			fn(o)
		}
	}
}

// stored is the session as it goes to disk. Needs s.mu.
func (s *session) stored() *storedSession {
	out := &storedSession{subject: s.subject, clientID: s.clientID, version: s.version, expiry: s.expiry, remaining: s.expiry, mark: s.markID, known: s.known}
	out.received, out.recorded = s.received()
	if s.conn == nil {
		out.remaining = max(0, s.expiry-(s.b.mono()-s.absent))
	}
	for _, sub := range s.subs {
		out.subs = append(out.subs, *sub)
	}
	return out
}

func (o *outgoing) stored_(now time.Duration) *storedMessage {
	out := &storedMessage{msg: o.msg, qos: o.qos, retain: o.retain, released: o.released, packet: o.packet, ids: o.ids}
	if o.msg != nil && o.msg.expires > 0 {
		out.remaining = max(time.Second, o.msg.expires-now)
	}
	return out
}

// collect adds the topics whose retained messages have changed.
func (r *retained) collect(f *flushing, now time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for topic := range r.dirty {
		f.topics = append(f.topics, topic)
		m := r.find(topic)
		if !m.kept() {
			f.pairs[prefixRetained+topic] = nil
			continue
		}
		s := &storedMessage{msg: m, qos: m.qos, retain: true}
		if m.expires > 0 {
			s.remaining = max(time.Second, m.expires-now)
		}
		f.pairs[prefixRetained+topic] = encodeMessage(s)
	}
	clear(r.dirty)
}

// restore reads what was kept. Entries that cannot be read are counted, and
// left away.
func (b *Broker) restore() {
	if b.table == nil {
		return
	}
	queued := map[string][]*outgoing{} // by session key, in order
	var sessions []*storedSession
	damaged := func(key string, err error) {
		b.count.damaged.Add(1)
		b.notice("damaged", "a stored session or message cannot be read and is left away", "key", b.maskedKey(key), "error", err)
	}
	err := b.table.Each(func(key string, value []byte) error {
		switch {
		case strings.HasPrefix(key, prefixSession):
			s, err := decodeSession(value)
			if err != nil || key != prefixSession+sessionKey(s.subject, s.clientID) {
				damaged(key, err)
				return nil
			}
			sessions = append(sessions, s)
		case strings.HasPrefix(key, prefixMessage):
			if err := b.restoreMessage(key, value, queued); err != nil {
				damaged(key, err)
			}
		case strings.HasPrefix(key, prefixRetained):
			s, err := decodeMessage(value)
			if err != nil || s.msg == nil || s.msg.topic != key[len(prefixRetained):] {
				damaged(key, err)
				return nil
			}
			b.retained.set(b.revive(s))
		}
		return nil
	})
	if err != nil {
		damaged("", err)
	}
	clear(b.retained.dirty)
	for _, st := range sessions {
		b.restoreSession(st, queued)
	}
	b.discardOrphans(queued)
}

// maskedKey is a key in the table as it may stand in logs.
func (b *Broker) maskedKey(key string) string {
	if topic, ok := strings.CutPrefix(key, prefixRetained); ok {
		return prefixRetained + b.masked(topic)
	}
	return key
}

// revive completes a message that was decoded.
func (b *Broker) revive(s *storedMessage) *message {
	m := s.msg
	m.reach, m.device = b.reachOf(m.topic)
	if s.remaining > 0 {
		m.expires = b.mono() + s.remaining
	}
	return m
}

func (b *Broker) restoreMessage(key string, value []byte, queued map[string][]*outgoing) error {
	name := key[len(prefixMessage):]
	cut := len(name) - orderDigits - 1
	var n uint64
	if cut < 0 || name[cut] != '/' {
		return errDamaged
	}
	if _, err := fmt.Sscanf(name[cut+1:], "%x", &n); err != nil {
		return errDamaged
	}
	s, err := decodeMessage(value)
	if err != nil {
		return err
	}
	o := &outgoing{qos: s.qos, retain: s.retain, ids: s.ids, n: n, packet: s.packet, released: s.released, stored: true}
	if s.msg != nil {
		o.msg = b.revive(s)
	}
	if n > b.order.Load() {
		b.order.Store(n)
	}
	if o.qos == 0 || o.msg == nil && !o.released || o.released && o.packet == 0 {
		return errDamaged
	}
	session := name[:cut]
	queued[session] = append(queued[session], o)
	return nil
}

// restoreSession brings a session back as an absent one.
func (b *Broker) restoreSession(st *storedSession, queued map[string][]*outgoing) {
	s := &session{b: b, key: sessionKey(st.subject, st.clientID), subject: st.subject, clientID: st.clientID,
		version: st.version, expiry: min(st.expiry, b.limits.SessionExpiry),
		subs: map[string]*subscription{}, in2: map[uint16]*ticket{}, saved: true,
		markID: st.mark, count: st.known, known: st.known}
	if s.markID == 0 { // of a former version
		s.markID, s.metaDirty = b.newMark(), true
		s.markDirty()
	}
	s.absent = b.mono() - max(0, s.expiry-st.remaining)
	s.metaAt = b.mono()
	for _, id := range st.received {
		s.in2[id] = nil
	}
	for _, id := range st.recorded {
		s.in2[id] = &ticket{id: id, qos: 2, recorded: true, idle: true}
	}
	for i := range st.subs {
		sub := st.subs[i]
		sub.sess = s
		if sub.share == "" && b.requests(sub.filter) {
			sub.makeAPI()
			s.addAPI(&sub)
			continue
		}
		s.subs[sub.filter] = &sub
		b.index.add(&sub)
	}
	for _, o := range queued[s.key] {
		size := 0
		if o.msg != nil {
			size = o.msg.size
		}
		if o.packet > 0 {
			s.flight = append(s.flight, o)
			s.flightBytes += size
			s.lastID = o.packet
		} else {
			s.queue = append(s.queue, o)
			s.queueBytes += size
		}
		b.count.queueMessages.Add(1)
		b.count.queueBytes.Add(int64(size))
	}
	delete(queued, s.key)
	b.sessions[s.key] = s
	if s.secrets > 0 { // kept by a gateway that took it for another kind of filter
		s.markDirty()
	}
}

// discardOrphans has messages of sessions that are gone deleted.
func (b *Broker) discardOrphans(queued map[string][]*outgoing) {
	for key, list := range queued {
		s := &session{b: b, key: key, ended: true}
		for _, o := range list {
			s.gone = append(s.gone, o.n)
		}
		s.markDirty()
	}
}
