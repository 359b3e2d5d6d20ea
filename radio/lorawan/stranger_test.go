package lorawan

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"testing"

	"fieldgate/radio/lorawan/frame"
)

// Frames of strangers, of those who lie about their address and of devices that
// nobody knows cost no memory, however many come.
func TestStrangersTakeNoMemory(t *testing.T) {
	devices := many()[:100]
	s := manyServer(t, devices, nil)
	rng := rand.New(rand.NewPCG(1, 2))
	strange := func(n int) {
		for i := range n {
			f := frameOf(t, &devices[i%len(devices)], 1)
			switch i % 3 {
			case 0: // an address that nobody has
				binary.LittleEndian.PutUint32(f.Payload[1:], 0xfe000000|rng.Uint32())
			case 1: // somebody's address, and a wrong MIC
				binary.LittleEndian.PutUint32(f.Payload[len(f.Payload)-4:], rng.Uint32())
			case 2: // a join of a device that is not known
				f.Payload = make([]byte, 23)
				f.Payload[0] = byte(frame.JoinRequest) << 5
				binary.LittleEndian.PutUint64(f.Payload[9:], rng.Uint64())
				binary.LittleEndian.PutUint32(f.Payload[17:], rng.Uint32())
			}
			s.handle(f)
		}
	}
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	strange(3000) // what there is once for all
	before := heap()
	const n = 60_000
	strange(n)
	if grown := heap() - before; grown > 4*n {
		t.Errorf("%d strange frames cost %d bytes", n, grown)
	}
	st := s.Stats()
	for _, r := range []Reason{UnknownAddress, WrongMIC, UnknownDevice} {
		if got := st.Refused[r]; got < n/3 {
			t.Errorf("%v: %d", r, got)
		}
	}
	if len(s.devices) != len(devices) || st.Uplinks != 0 {
		t.Errorf("%d devices, %d uplinks", len(s.devices), st.Uplinks)
	}
	runtime.KeepAlive(s)
}
