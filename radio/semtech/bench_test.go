package semtech

import (
	"encoding/binary"
	"fmt"
	"syscall"
	"testing"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/semtech/gwmp"
)

// BenchmarkReceive has frames of 10,000 devices come over loopback UDP, some in
// each datagram. An operation is a frame. The processor time is that of both
// ends; the sender's datagrams are made before.
//
//	go test ./radio/semtech -run xxx -bench Receive -cpu 1
func BenchmarkReceive(b *testing.B) {
	const devices = 10_000
	for _, each := range []int{1, 8} {
		b.Run(fmt.Sprintf("%d in a datagram", each), func(b *testing.B) {
			// As many frames may be under way: the sender is faster.
			const under = 256
			heard := make(chan struct{}, under)
			s := start(b, Config{}, func(f *radio.Frame) { heard <- struct{}{} })
			p := dial(b, s, "127.0.0.1")
			eui := mustEUI(b, euiA)
			var datagrams [][]byte
			for d := 0; d < devices; d += each {
				packets := make([]gwmp.Rxpk, each)
				for i := range packets {
					data := make([]byte, 23)
					data[0] = 0x40
					binary.LittleEndian.PutUint32(data[1:], 0x26011000+uint32(d+i))
					packets[i] = gwmp.Rxpk{Counter: uint32(d), Frequency: 868100000, CRC: radio.CRCOK, Modulation: sf7, RSSI: -97, SNR: 7.5, Data: data}
				}
				dg := gwmp.Datagram{Version: 2, Kind: gwmp.PushData, EUI: eui, Body: gwmp.AppendPush(nil, packets, nil)}
				datagrams = append(datagrams, dg.Append(nil))
			}
			want := (b.N + each - 1) / each * each
			ack := make([]byte, 64)
			_ = p.c.SetReadDeadline(time.Now().Add(10 * time.Minute))
			b.ReportAllocs()
			b.ResetTimer()
			before := cpu(b)
			for sent, got := 0, 0; got < want; {
				if sent < want && sent-got <= under-each {
					if _, err := p.c.Write(datagrams[sent/each%len(datagrams)]); err != nil {
						b.Fatal(err)
					}
					sent += each
					if sent%(16*each) == 0 || sent == want { // acknowledgements are taken in groups
						for range (sent-1)/each%16 + 1 {
							if _, err := p.c.Read(ack); err != nil {
								b.Fatal(err)
							}
						}
					}
					continue
				}
				<-heard
				got++
			}
			b.StopTimer()
			b.ReportMetric(float64(want)/b.Elapsed().Seconds(), "frames/s")
			b.ReportMetric(float64(cpu(b)-before)/1e3/float64(want), "cpu-us/frame")
			if c := s.Counters(); c != (Counters{}) {
				b.Errorf("%+v", c)
			}
		})
	}
}

// cpu is the processor time of the process.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
