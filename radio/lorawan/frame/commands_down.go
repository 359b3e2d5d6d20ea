package frame

import (
	"encoding/binary"
	"time"
)

// downLayouts are the commands that networks send, by CID.
var downLayouts = [CIDDeviceTime + 1]layout{
	CIDLinkCheck: {2, func(b []byte) Command { return LinkCheckAns{Margin: b[0], GwCnt: b[1]} }},
	CIDLinkADR: {4, func(b []byte) Command {
		return LinkADRReq{DataRate: b[0] >> 4, TXPower: b[0] & 15, ChMask: binary.LittleEndian.Uint16(b[1:]),
			ChMaskCntl: b[3] >> 4 & 7, NbTrans: b[3] & 15}
	}},
	CIDDutyCycle: {1, func(b []byte) Command { return DutyCycleReq{MaxDutyCycle: b[0] & 15} }},
	CIDRXParamSetup: {4, func(b []byte) Command {
		return RXParamSetupReq{RX1Offset: b[0] >> 4 & 7, RX2DataRate: b[0] & 15, Frequency: frequency(b[1:])}
	}},
	CIDDevStatus: {0, func([]byte) Command { return DevStatusReq{} }},
	CIDNewChannel: {5, func(b []byte) Command {
		return NewChannelReq{ChIndex: b[0], Frequency: frequency(b[1:]), MaxDR: b[4] >> 4, MinDR: b[4] & 15}
	}},
	CIDRXTiming: {1, func(b []byte) Command { return RXTimingSetupReq{Delay: b[0] & 15} }},
	CIDTxParamSetup: {1, func(b []byte) Command {
		return TxParamSetupReq{DownlinkDwell: bit(b[0], 5), UplinkDwell: bit(b[0], 4), MaxEIRP: b[0] & 15}
	}},
	CIDDlChannel:  {4, func(b []byte) Command { return DlChannelReq{ChIndex: b[0], Frequency: frequency(b[1:])} }},
	CIDDeviceTime: {5, func(b []byte) Command { return DeviceTimeAns{Seconds: binary.LittleEndian.Uint32(b), Fraction: b[4]} }},
}

// LinkCheckAns answers LinkCheckReq (section 5.1).
type LinkCheckAns struct {
	Margin uint8 // dB above what the data rate needs, 0 to 254
	GwCnt  uint8 // gateways that heard the request
}

// ID is 0x02.
func (LinkCheckAns) ID() byte { return CIDLinkCheck }

// Uplink is false.
func (LinkCheckAns) Uplink() bool { return false }

func (c LinkCheckAns) append(dst []byte) []byte { return append(dst, c.ID(), c.Margin, c.GwCnt) }

// Keep is the DataRate or TXPower of a LinkADRReq that leaves the device's as it
// is.
const Keep = 15

// LinkADRReq sets data rate, power and channels (section 5.2). Several in a row
// are one request, of which the last one's DataRate, TXPower and NbTrans count.
type LinkADRReq struct {
	DataRate   uint8 // 0 to 14, or Keep
	TXPower    uint8 // index of the region's table, 0 to 14, or Keep
	ChMask     uint16
	ChMaskCntl uint8 // 0 to 7: which channels ChMask means, by region
	NbTrans    uint8 // how often an uplink is sent, 1 to 15; devices of 1.0.x take 0 for 1
}

// ID is 0x03.
func (LinkADRReq) ID() byte { return CIDLinkADR }

// Uplink is false.
func (LinkADRReq) Uplink() bool { return false }

func (c LinkADRReq) append(dst []byte) []byte {
	dst = append(dst, c.ID(), c.DataRate<<4|c.TXPower&15)
	dst = binary.LittleEndian.AppendUint16(dst, c.ChMask)
	return append(dst, c.ChMaskCntl&7<<4|c.NbTrans&15)
}

// DutyCycleReq limits the share of time on air to 1/2^MaxDutyCycle (section 5.3).
type DutyCycleReq struct {
	MaxDutyCycle uint8 // 0 to 15
}

// ID is 0x04.
func (DutyCycleReq) ID() byte { return CIDDutyCycle }

// Uplink is false.
func (DutyCycleReq) Uplink() bool { return false }

func (c DutyCycleReq) append(dst []byte) []byte { return append(dst, c.ID(), c.MaxDutyCycle&15) }

// RXParamSetupReq sets the windows' data rates and RX2's frequency (section 5.4).
type RXParamSetupReq struct {
	RX1Offset   uint8  // 0 to 7
	RX2DataRate uint8  // 0 to 15
	Frequency   uint32 // Hz, a multiple of 100, below 2^24 of them
}

// ID is 0x05.
func (RXParamSetupReq) ID() byte { return CIDRXParamSetup }

// Uplink is false.
func (RXParamSetupReq) Uplink() bool { return false }

func (c RXParamSetupReq) append(dst []byte) []byte {
	return appendFrequency(append(dst, c.ID(), c.RX1Offset&7<<4|c.RX2DataRate&15), c.Frequency)
}

// DevStatusReq asks for battery and margin (section 5.5).
type DevStatusReq struct{}

// ID is 0x06.
func (DevStatusReq) ID() byte { return CIDDevStatus }

// Uplink is false.
func (DevStatusReq) Uplink() bool { return false }

func (c DevStatusReq) append(dst []byte) []byte { return append(dst, c.ID()) }

// NewChannelReq makes, changes or removes a channel (section 5.6).
type NewChannelReq struct {
	ChIndex      uint8
	Frequency    uint32 // Hz, a multiple of 100, below 2^24 of them; 0 removes it
	MinDR, MaxDR uint8  // 0 to 15
}

// ID is 0x07.
func (NewChannelReq) ID() byte { return CIDNewChannel }

// Uplink is false.
func (NewChannelReq) Uplink() bool { return false }

func (c NewChannelReq) append(dst []byte) []byte {
	return append(appendFrequency(append(dst, c.ID(), c.ChIndex), c.Frequency), c.MaxDR<<4|c.MinDR&15)
}

// RXTimingSetupReq sets the delay of RX1 (section 5.7).
type RXTimingSetupReq struct {
	Delay uint8 // s, 1 to 15; 0 means 1 as well
}

// ID is 0x08.
func (RXTimingSetupReq) ID() byte { return CIDRXTiming }

// Uplink is false.
func (RXTimingSetupReq) Uplink() bool { return false }

func (c RXTimingSetupReq) append(dst []byte) []byte { return append(dst, c.ID(), c.Delay&15) }

// TxParamSetupReq sets dwell times and the highest power, in the regions that
// have it (section 5.8).
type TxParamSetupReq struct {
	DownlinkDwell, UplinkDwell bool  // 400 ms at most
	MaxEIRP                    uint8 // 0 to 15: 8 to 36 dBm by the table of section 5.8
}

// ID is 0x09.
func (TxParamSetupReq) ID() byte { return CIDTxParamSetup }

// Uplink is false.
func (TxParamSetupReq) Uplink() bool { return false }

func (c TxParamSetupReq) append(dst []byte) []byte {
	return append(dst, c.ID(), bits(false, false, false, false, c.UplinkDwell, c.DownlinkDwell)|c.MaxEIRP&15)
}

// DlChannelReq sets the frequency of RX1 behind an uplink on a channel (section
// 5.6).
type DlChannelReq struct {
	ChIndex   uint8
	Frequency uint32 // Hz, a multiple of 100, below 2^24 of them
}

// ID is 0x0a.
func (DlChannelReq) ID() byte { return CIDDlChannel }

// Uplink is false.
func (DlChannelReq) Uplink() bool { return false }

func (c DlChannelReq) append(dst []byte) []byte {
	return appendFrequency(append(dst, c.ID(), c.ChIndex), c.Frequency)
}

// DeviceTimeAns answers DeviceTimeReq: GPS time at the end of the uplink that
// asked (section 5.9).
type DeviceTimeAns struct {
	Seconds  uint32 // since 1980-01-06 00:00:00 UTC, leap seconds counted
	Fraction uint8  // 1/256 s
}

// ID is 0x0d.
func (DeviceTimeAns) ID() byte { return CIDDeviceTime }

// Uplink is false.
func (DeviceTimeAns) Uplink() bool { return false }

func (c DeviceTimeAns) append(dst []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(append(dst, c.ID()), c.Seconds), c.Fraction)
}

// gpsEpoch and leap: GPS time is ahead of UTC by the leap seconds since
// 1980, 18 since 2017 (IERS Bulletin C).
var gpsEpoch = time.Date(1980, time.January, 6, 0, 0, 0, 0, time.UTC)

const leap = 18 * time.Second

// DeviceTimeOf gives the answer for t, which is not before 2017. The fraction is
// rounded down.
func DeviceTimeOf(t time.Time) DeviceTimeAns {
	d := t.Sub(gpsEpoch) + leap
	return DeviceTimeAns{Seconds: uint32(d / time.Second), Fraction: uint8(d % time.Second * 256 / time.Second)}
}

// Time is the answer in UTC.
func (c DeviceTimeAns) Time() time.Time {
	return gpsEpoch.Add(time.Duration(c.Seconds)*time.Second + time.Duration(c.Fraction)*time.Second/256 - leap)
}
