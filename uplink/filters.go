package uplink

import (
	"slices"
	"strings"

	"fieldgate/gateway/access"
)

// deviceFilters are the topics below devices/D on which the cloud says what to
// do, at QoS 1.
var deviceFilters = [...]string{
	"/actuators/+/value", "/actuators/+/values",
	"/name", "/meta",
	"/sensors/+/name", "/sensors/+/meta",
	"/actuators/+/name", "/actuators/+/meta",
}

// listens reports whether anything can come down at all.
func (u *Uplink) listens() bool {
	if u.commanded() {
		return true
	}
	return slices.ContainsFunc(u.cfg.Forward, func(f Forward) bool { return f.Direction != Out })
}

// commanded reports whether the dialect has topics on which the cloud says what
// devices are to do.
func (u *Uplink) commanded() bool {
	return u.cfg.Dialect != None && u.cfg.Dialect != Xively && u.cfg.Devices != nil
}

// downFilters are the filters to subscribe to now, with their QoS. None covers
// another: brokers may deliver a message once for each filter that matches.
func (u *Uplink) downFilters() map[string]byte {
	all := map[string]byte{}
	if u.commanded() {
		for _, id := range u.cfg.Devices() {
			for _, f := range deviceFilters {
				if filter := "devices/" + id + f; access.ValidFilter(filter) {
					all[filter] = 1
				}
			}
		}
	}
	for _, f := range u.cfg.Forward {
		if f.Direction != Out {
			filter := f.RemotePrefix + f.Topic
			all[filter] = max(all[filter], min(f.QoS, 1))
		}
	}
	var wild []string // those that can cover another, with these few comparisons are enough
	for _, f := range u.cfg.Forward {
		if f.Direction != Out && strings.ContainsAny(f.Topic, "+#") {
			wild = append(wild, f.RemotePrefix+f.Topic)
		}
	}
	for filter, qos := range all {
		for _, w := range wild {
			if w != filter && covers(w, filter) {
				delete(all, filter)
				all[w] = max(all[w], qos)
				break
			}
		}
	}
	return all
}

// covers reports whether each topic that matches filter b matches a too.
func covers(a, b string) bool {
	if a == "" || b == "" || b[0] == '$' && a[0] != '$' {
		return false
	}
	ar, am := a, true
	br, bm := b, true
	for am && bm {
		var al, bl string
		al, ar, am = strings.Cut(ar, "/")
		bl, br, bm = strings.Cut(br, "/")
		switch {
		case al == "#":
			return true
		case bl == "#":
			return false
		case al != "+" && al != bl:
			return false
		}
	}
	return am == bm || am && ar == "#"
}
