package access

import "container/list"

// lru is a map of at most max entries that forgets what was used longest ago.
// It is not safe for concurrent use.
type lru[K comparable, V any] struct {
	max   int
	keep  func(*V) bool // entries that must not be forgotten now; may be nil
	order list.List     // of *lruEntry, the most recently used in front
	byKey map[K]*list.Element
}

type lruEntry[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](max int, keep func(*V) bool) *lru[K, V] {
	return &lru[K, V]{max: max, keep: keep, byKey: make(map[K]*list.Element)}
}

// get finds the value of k and marks it as used; nil without one.
func (l *lru[K, V]) get(k K) *V {
	e, ok := l.byKey[k]
	if !ok {
		return nil
	}
	l.order.MoveToFront(e)
	return &e.Value.(*lruEntry[K, V]).value
}

// add finds the value of k, or makes room for a new zero one.
func (l *lru[K, V]) add(k K) *V {
	if v := l.get(k); v != nil {
		return v
	}
	for e := l.order.Back(); e != nil && len(l.byKey) >= l.max; {
		old := e
		e = e.Prev()
		if entry := old.Value.(*lruEntry[K, V]); l.keep == nil || !l.keep(&entry.value) {
			l.order.Remove(old)
			delete(l.byKey, entry.key)
		}
	}
	entry := &lruEntry[K, V]{key: k}
	l.byKey[k] = l.order.PushFront(entry)
	return &entry.value
}

func (l *lru[K, V]) remove(k K) {
	if e, ok := l.byKey[k]; ok {
		l.order.Remove(e)
		delete(l.byKey, k)
	}
}

func (l *lru[K, V]) len() int { return len(l.byKey) }
