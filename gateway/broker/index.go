package broker

import (
	"strings"
	"sync"
)

// subscription is one filter of one session.
type subscription struct {
	sess           *session
	filter         string // as the client sent it
	share          string // group of a shared subscription; "" if it is none
	qos            byte
	noLocal        bool
	asPublished    bool // "retain as published"
	retainHandling byte
	id             int // subscription identifier; 0 is none

	api    bool   // to the API: it is not in the index
	secret bool   // there is an API key in the filter
	watch  *watch // of api, while the session is connected; under its lock
}

// inner is the filter without "$share/group/".
func (s *subscription) inner() string {
	if s.share == "" {
		return s.filter
	}
	return s.filter[len("$share/")+len(s.share)+1:]
}

// shareOf gives the group of a filter that passed topicFilter, "" if it is no
// shared one.
func shareOf(filter string) string {
	rest, ok := cutShare(filter)
	if !ok {
		return ""
	}
	group, _, _ := strings.Cut(rest, "/")
	return group
}

// index finds the subscriptions that match a topic: a tree of levels.
type index struct {
	mu   sync.RWMutex
	root node
	n    int
}

type node struct {
	next   map[string]*node
	subs   []*subscription
	shared map[string]*group
}

// group is the members of a shared subscription with one filter.
type group struct {
	members []*subscription
	turn    uint32 // of the round robin; atomic
}

func (n *node) empty() bool { return len(n.next) == 0 && len(n.subs) == 0 && len(n.shared) == 0 }

// add adds s, or puts it in the place of the same session's subscription with
// the same filter and share.
func (x *index) add(s *subscription) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := &x.root
	for rest, more := s.inner(), true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		child := n.next[level]
		if child == nil {
			child = &node{}
			if n.next == nil {
				n.next = map[string]*node{}
			}
			n.next[level] = child
		}
		n = child
	}
	list := &n.subs
	if s.share != "" {
		if n.shared == nil {
			n.shared = map[string]*group{}
		}
		g := n.shared[s.share]
		if g == nil {
			g = &group{}
			n.shared[s.share] = g
		}
		list = &g.members
	}
	for i, old := range *list {
		if old.sess == s.sess {
			(*list)[i] = s
			return
		}
	}
	*list = append(*list, s)
	x.n++
	s.sess.indexed++
}

// remove removes s, which must be in the index.
func (x *index) remove(s *subscription) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.prune(&x.root, s.inner(), true, s)
}

// prune removes s below n and all nodes that become empty.
func (x *index) prune(n *node, rest string, more bool, s *subscription) {
	if !more {
		if s.share == "" {
			n.subs = x.without(n.subs, s)
			return
		}
		if g := n.shared[s.share]; g != nil {
			if g.members = x.without(g.members, s); len(g.members) == 0 {
				delete(n.shared, s.share)
			}
		}
		return
	}
	level, rest, more := strings.Cut(rest, "/")
	child := n.next[level]
	if child == nil {
		return
	}
	x.prune(child, rest, more, s)
	if child.empty() {
		delete(n.next, level)
	}
}

func (x *index) without(list []*subscription, s *subscription) []*subscription {
	for i, o := range list {
		if o == s {
			x.n--
			s.sess.indexed--
			last := len(list) - 1
			out := append(list[:i:i], list[i+1:]...) // keeps the order of a share
			if last == 0 {
				return nil
			}
			return out
		}
	}
	return list
}

func (x *index) len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.n
}

// match calls one for each subscription whose filter matches topic, and share
// for each group (MQTT 5.0 section 4.7). They must not call the index.
func (x *index) match(topic string, one func(*subscription), share func(*group)) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	m := matcher{one: one, share: share}
	m.walk(&x.root, topic, true, topic != "" && topic[0] == '$')
}

// some says whether any subscription matches topic.
func (x *index) some(topic string) (found bool) {
	x.match(topic, func(*subscription) { found = true }, func(*group) { found = true })
	return found
}

type matcher struct {
	one   func(*subscription)
	share func(*group)
}

// walk matches the levels in rest below n. System is set in the first level of
// a topic that begins with '$', which no wildcard matches (section 4.7.2).
func (m *matcher) walk(n *node, rest string, more, system bool) {
	if !system {
		if hash := n.next["#"]; hash != nil { // the level above '#' included
			m.found(hash)
		}
	}
	if !more {
		m.found(n)
		return
	}
	level, rest, more := strings.Cut(rest, "/")
	if child := n.next[level]; child != nil {
		m.walk(child, rest, more, false)
	}
	if !system {
		if child := n.next["+"]; child != nil {
			m.walk(child, rest, more, false)
		}
	}
}

func (m *matcher) found(n *node) {
	for _, s := range n.subs {
		m.one(s)
	}
	for _, g := range n.shared {
		m.share(g)
	}
}
