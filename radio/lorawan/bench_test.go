package lorawan

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
)

const manyDevices = 10000

// many are devices by personalisation, each with keys of its own.
func many() []Device {
	all := make([]Device, manyDevices)
	for i := range all {
		d := &all[i]
		d.Device, d.DevAddr, d.ADR = fmt.Sprintf("node-%05d", i), frame.DevAddr(0x26000000+i), true
		binary.BigEndian.PutUint32(d.NwkSKey[:], uint32(i+1))
		binary.BigEndian.PutUint32(d.AppSKey[4:], uint32(i+1))
	}
	return all
}

// frameOf is an uplink of 12 bytes of a device, as a radio hears it.
func frameOf(t testing.TB, d *Device, fcnt uint32) *radio.Frame {
	u := frame.Data{Kind: frame.UnconfirmedUp, DevAddr: d.DevAddr, ADR: true, FPort: 1, Payload: []byte("12 bytes now")}
	b, err := u.Append(nil, d.NwkSKey, d.AppSKey, fcnt)
	if err != nil {
		t.Fatal(err)
	}
	return &radio.Frame{Payload: b, Frequency: 868100000, Modulation: radio.Modulation{SF: 9, Bandwidth: 125000, CodingRate: 5},
		RSSI: -100, SNR: 2, CRC: radio.CRCOK, Radio: "aa555a0000000101", At: time.Now()}
}

func manyServer(t testing.TB, devices []Device, onUplink func(*Uplink)) *Server {
	s, err := New(Config{Region: regionNamed(t, "EU868"), Devices: devices, Table: &table{}, Radio: &air{}, StatusEvery: -1, OnUplink: onUplink})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// BenchmarkReceive has frames of 10,000 devices in turn, from Receive to
// OnUplink, all of them new, with a table in memory.
func BenchmarkReceive(b *testing.B) {
	devices := many()
	var got atomic.Int64
	done := make(chan bool, 1)
	var want atomic.Int64
	s := manyServer(b, devices, func(*Uplink) {
		if got.Add(1) == want.Load() {
			done <- true
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error)
	go func() { stopped <- s.Run(ctx) }()
	frames := make([]*radio.Frame, b.N)
	for i := range frames {
		frames[i] = frameOf(b, &devices[i%manyDevices], uint32(i/manyDevices))
	}
	want.Store(int64(b.N))
	b.ReportAllocs()
	b.ResetTimer()
	for _, f := range frames {
		for len(s.frames) == cap(s.frames) || s.waiting.Load() > int64(s.cfg.Backlog/2) {
			runtime.Gosched()
		}
		f.At = time.Now()
		s.Receive(f)
	}
	<-done
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
	b.ReportMetric(float64(b.N)/float64(s.Stats().Writes), "frames/write")
	cancel()
	<-stopped
}

// BenchmarkStranger has frames with an address that nobody has, and such with a
// wrong MIC.
func BenchmarkStranger(b *testing.B) {
	devices := many()
	s := manyServer(b, devices, nil)
	unknown, wrong := frameOf(b, &devices[0], 0), frameOf(b, &devices[1], 0)
	unknown.Payload[4], wrong.Payload[9] = 0xff, 0xff
	for name, f := range map[string]*radio.Frame{"address": unknown, "MIC": wrong} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.handle(f)
			}
		})
	}
}

// TestMemory: a device that was heard often, with its configuration, takes less
// than 1 KiB.
func TestMemory(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	devices := many()
	s := manyServer(t, devices, nil)
	for fcnt := range uint32(3) {
		for i := range devices {
			s.handle(frameOf(t, &devices[i], fcnt))
		}
		s.effects, s.changed = nil, nil // as after a write
		for _, d := range s.devices {
			d.window, d.dirty, d.undelivered = nil, 0, 0
		}
	}
	per := float64(heap()-before) / manyDevices
	t.Logf("%.0f bytes a device", per)
	if per > 1024 {
		t.Errorf("%.0f bytes a device", per)
	}
	if st := s.Stats(); st.Uplinks != 3*manyDevices {
		t.Errorf("%+v", st)
	}
	runtime.KeepAlive(s)
}
