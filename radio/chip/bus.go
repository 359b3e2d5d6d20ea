package chip

import (
	"strings"
	"sync"
)

var (
	busesLock sync.Mutex
	buses     = map[string]*sync.Mutex{}
)

// Exclusive is what to hold while a chip is selected by a line that is none of its
// bus's own chip selects: the kernel does not know that it is, and what somebody
// else transfers meanwhile would go to that chip too. All that use the bus have to
// hold it for their transfers, those with a chip select of the bus's own too. Bus
// is the name of any chip select of it, such as "spi:0.1".
func Exclusive(bus string) sync.Locker {
	name, _, _ := strings.Cut(bus, ".")
	busesLock.Lock()
	defer busesLock.Unlock()
	l, ok := buses[name]
	if !ok {
		l = &sync.Mutex{}
		buses[name] = l
	}
	return l
}
