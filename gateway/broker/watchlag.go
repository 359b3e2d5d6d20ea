package broker

import "slices"

// Of what the API pushes the newest must win in the end. If a push is dropped
// for want of room, its watch is behind: once there is room again it is started
// anew, which has the API push the present state.

// lag notes that m, a push, was dropped for want of room. Needs s.mu.
func (s *session) lag(m *message) {
	w := m.watch
	if w == nil || w.over.Load() {
		return
	}
	if w.behind == 0 {
		s.lagging = append(s.lagging, w)
	}
	w.behind = m.size
	s.catchUp()
}

// caughtUp notes that m is on its way: if it is a push, what was dropped before
// it does not matter any more. Needs s.mu.
func (s *session) caughtUp(m *message) {
	if w := m.watch; w != nil && w.behind > 0 {
		w.behind = 0
		s.lagging = slices.DeleteFunc(s.lagging, func(o *watch) bool { return o == w })
	}
}

// queued says whether a push of w waits in the queue. A later one must not
// overtake it. Needs s.mu.
func (s *session) queued(w *watch) bool {
	return slices.ContainsFunc(s.queue, func(o *outgoing) bool { return o.msg.watch == w })
}

// catchUp starts watches anew that are behind, as far as there is room now, in
// a goroutine that the broker waits for: the API must not be called under the
// session's lock, and takes its time. Needs s.mu.
func (s *session) catchUp() {
	if s.catching || s.nextBehind() == nil {
		return
	}
	s.catching = true
	s.b.wg.Add(1) // not 0 before: the connection of s is there
	go s.catchingUp()
}

func (s *session) catchingUp() {
	defer s.b.wg.Done()
	for {
		s.mu.Lock()
		w := s.nextBehind()
		if w == nil {
			s.catching = false
			s.mu.Unlock()
			return
		}
		s.lagging = s.lagging[1:]
		w.behind = 0
		s.mu.Unlock()
		w.startAgain()
	}
}

// nextBehind gives the watch that has been behind for longest if what it lost
// last has room now. Otherwise drained is called when there is room. Needs s.mu.
func (s *session) nextBehind() *watch {
	for len(s.lagging) > 0 && s.lagging[0].over.Load() {
		s.lagging = s.lagging[1:]
	}
	if len(s.lagging) == 0 || !s.ready || s.conn.isClosed() {
		return nil
	}
	// While others wait before it a push would be queued, and could drive
	// another watch's out of the queue, which would be behind then.
	w := s.lagging[0]
	if len(s.retainedQ) > 0 || s.queued(w) || !s.conn.room(w.behind) {
		return nil
	}
	return w
}

func (w *watch) startAgain() {
	defer w.sub.sess.b.caught("push")
	w.start()
}
