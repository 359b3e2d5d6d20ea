package access

import (
	"net/netip"
	"strings"
	"time"
)

// limiter remembers who failed. Times count from the gate's start. Its user
// holds a lock around each call.
type limiter struct {
	opts    *GateOptions
	pending int // attempts that are being checked
	addrs   *lru[string, addrState]
	names   *lru[nameKey, nameState]
}

// nameKey stands for a login name, whatever its length.
type nameKey [16]byte

// addrState is what one address did.
type addrState struct {
	failures []time.Duration // within the last Window, oldest first
	pending  int
	blocked  time.Duration // until then
}

// nameState is what was tried with one name.
type nameState struct {
	failures int
	last     time.Duration
}

func newLimiter(opts *GateOptions) *limiter {
	return &limiter{
		opts:  opts,
		addrs: newLRU[string](opts.Entries, func(a *addrState) bool { return a.pending > 0 }),
		names: newLRU[nameKey, nameState](opts.Entries, nil),
	}
}

func (l *limiter) blocked(addr string, now time.Duration) bool {
	a := l.addrs.get(addr)
	return a != nil && now < a.blocked
}

// enter begins an attempt, to be ended by leave, and tells how long it has to
// wait first.
func (l *limiter) enter(addr string, name nameKey, now time.Duration) (time.Duration, error) {
	if l.blocked(addr, now) {
		return 0, ErrThrottled
	}
	var failed, pending int
	if a := l.addrs.get(addr); a != nil {
		a.forget(now - l.opts.Window)
		failed, pending = len(a.failures), a.pending
	}
	room := l.opts.Queue
	if failed > 0 {
		room = (room + 1) / 2 // the rest is for those who did nothing wrong
	}
	if l.pending >= room || failed+pending >= l.opts.Failures {
		return 0, ErrBusy
	}
	l.pending++
	l.addrs.add(addr).pending++
	return l.delay(name, failed > 0, now), nil
}

// delay grows with the failures of a name. It stays short for an address
// without failures of its own, which may be that of the name's owner.
func (l *limiter) delay(name nameKey, suspect bool, now time.Duration) time.Duration {
	n := l.names.get(name)
	if n == nil {
		return 0
	}
	if now-n.last > l.opts.NameMemory {
		l.names.remove(name)
		return 0
	}
	steps := n.failures - l.opts.NameFailures
	if steps < 0 {
		return 0
	}
	most := l.opts.MaxDelay
	if !suspect {
		most /= 4
	}
	return min(l.opts.Delay<<min(steps, 16), most)
}

func (l *limiter) leave(addr string) {
	l.pending--
	if a := l.addrs.get(addr); a != nil {
		a.pending--
		if a.pending == 0 && len(a.failures) == 0 && a.blocked == 0 {
			l.addrs.remove(addr)
		}
	}
}

// fail counts a wrong password.
func (l *limiter) fail(addr string, name nameKey, now time.Duration) {
	a := l.addrs.add(addr)
	a.forget(now - l.opts.Window)
	a.failures = append(a.failures, now)
	if len(a.failures) >= l.opts.Failures {
		a.failures = nil
		a.blocked = now + l.opts.Block
	}
	n := l.names.add(name)
	if now-n.last > l.opts.NameMemory {
		n.failures = 0
	}
	n.failures++
	n.last = now
}

// forget drops the failures before since.
func (a *addrState) forget(since time.Duration) {
	i := 0
	for i < len(a.failures) && a.failures[i] < since {
		i++
	}
	if a.failures = a.failures[i:]; len(a.failures) == 0 {
		a.failures = nil
	}
}

// AddressKey is what counts as one address: an IPv4 address, or the /64 network of
// an IPv6 address, which is what a single machine may have. In fe80::/64 every
// machine of a link is its own. The port is left away.
func AddressKey(addr string) string {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		if ap, err := netip.ParseAddrPort(addr); err == nil {
			ip = ap.Addr()
		} else if ip, err = netip.ParseAddr(strings.Trim(addr, "[]")); err != nil {
			return addr[:min(len(addr), 64)] // a Unix socket, say
		}
	}
	ip = ip.Unmap()
	if ip.Is4() || ip.IsLinkLocalUnicast() {
		return ip.String()
	}
	net, _ := ip.WithZone("").Prefix(64)
	return net.String()
}
