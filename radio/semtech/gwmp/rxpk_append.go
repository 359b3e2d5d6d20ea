package gwmp

import (
	"strconv"
	"time"

	"fieldgate/radio"
)

// AppendPush appends the JSON of a PUSH_DATA. Without packets there is no rxpk,
// without stat (nil) no stat.
func AppendPush(dst []byte, packets []Rxpk, stat *Stat) []byte {
	dst = append(dst, '{')
	for i := range packets {
		if i == 0 {
			dst = append(dst, `"rxpk":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = packets[i].append(dst)
	}
	if len(packets) > 0 {
		dst = append(dst, ']')
	}
	if stat != nil {
		if len(packets) > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `"stat":`...)
		dst = stat.append(dst)
	}
	return append(dst, '}')
}

func (r *Rxpk) append(dst []byte) []byte {
	dst = append(dst, `{"tmst":`...)
	dst = strconv.AppendUint(dst, uint64(r.Counter), 10)
	if !r.Time.IsZero() {
		dst = append(dst, `,"time":"`...)
		dst = r.Time.UTC().AppendFormat(dst, timeForm)
		dst = append(dst, '"')
	}
	if r.GPS != 0 {
		dst = append(dst, `,"tmms":`...)
		dst = strconv.AppendUint(dst, r.GPS, 10)
	}
	dst = append(dst, `,"chan":`...)
	dst = strconv.AppendUint(dst, uint64(r.Channel), 10)
	dst = append(dst, `,"rfch":`...)
	dst = strconv.AppendUint(dst, uint64(r.Chain), 10)
	dst = append(dst, `,"freq":`...)
	dst = appendMHz(dst, r.Frequency)
	switch r.CRC {
	case radio.CRCOK:
		dst = append(dst, `,"stat":1`...)
	case radio.CRCBad:
		dst = append(dst, `,"stat":-1`...)
	default:
		dst = append(dst, `,"stat":0`...)
	}
	dst = appendRate(dst, r.Modulation)
	dst = append(dst, `,"rssi":`...)
	dst = appendRounded(dst, float64(r.RSSI), 0)
	if r.Modulation.LoRa() {
		dst = append(dst, `,"lsnr":`...)
		dst = appendRounded(dst, float64(r.SNR), 1)
	}
	if r.Offset != 0 {
		dst = append(dst, `,"foff":`...)
		dst = strconv.AppendInt(dst, int64(r.Offset), 10)
	}
	dst = appendData(dst, r.Data)
	if r.Late > 0 { // as texts: ChirpStack takes no other
		dst = append(dst, `,"meta":{"late":"`...)
		dst = strconv.AppendInt(dst, int64(r.Late/time.Second), 10)
		dst = append(dst, `"}`...)
	}
	return append(dst, '}')
}

// FromFrame gives the packet of a frame. Time is that of Heard only.
func FromFrame(f *radio.Frame) Rxpk {
	return Rxpk{
		Time: f.Heard, Counter: f.Counter, Frequency: f.Frequency, Channel: f.Channel, Chain: f.Chain, CRC: f.CRC,
		Modulation: f.Modulation, RSSI: f.RSSI, SNR: f.SNR, Offset: f.FrequencyError, Data: f.Payload,
	}
}

// Frame gives the frame of the forwarder with the name eui, whose datagram came
// at at. It shares Data.
func (r *Rxpk) Frame(eui string, at time.Time) *radio.Frame {
	heard := r.Time
	if heard.IsZero() && r.GPS != 0 {
		heard = fromGPS(r.GPS)
	}
	return &radio.Frame{
		Payload: r.Data, Frequency: r.Frequency, Modulation: r.Modulation, RSSI: r.RSSI, SNR: r.SNR, CRC: r.CRC,
		FrequencyError: r.Offset, Radio: eui, Counter: r.Counter, At: at, Heard: heard, Channel: r.Channel, Chain: r.Chain,
	}
}
