package frame

// upLayouts are the commands that devices send, by CID.
var upLayouts = [CIDDeviceTime + 1]layout{
	CIDLinkCheck: {0, func([]byte) Command { return LinkCheckReq{} }},
	CIDLinkADR: {1, func(b []byte) Command {
		return LinkADRAns{ChannelMaskACK: bit(b[0], 0), DataRateACK: bit(b[0], 1), PowerACK: bit(b[0], 2)}
	}},
	CIDDutyCycle: {0, func([]byte) Command { return DutyCycleAns{} }},
	CIDRXParamSetup: {1, func(b []byte) Command {
		return RXParamSetupAns{ChannelACK: bit(b[0], 0), RX2DataRateACK: bit(b[0], 1), RX1OffsetACK: bit(b[0], 2)}
	}},
	CIDDevStatus: {2, func(b []byte) Command { return DevStatusAns{Battery: b[0], Margin: int8(b[1]<<2) >> 2} }},
	CIDNewChannel: {1, func(b []byte) Command {
		return NewChannelAns{FrequencyOK: bit(b[0], 0), DataRatesOK: bit(b[0], 1)}
	}},
	CIDRXTiming:     {0, func([]byte) Command { return RXTimingSetupAns{} }},
	CIDTxParamSetup: {0, func([]byte) Command { return TxParamSetupAns{} }},
	CIDDlChannel: {1, func(b []byte) Command {
		return DlChannelAns{FrequencyOK: bit(b[0], 0), UplinkFrequencyExists: bit(b[0], 1)}
	}},
	CIDDeviceTime: {0, func([]byte) Command { return DeviceTimeReq{} }},
}

// LinkCheckReq asks how well the device is heard (section 5.1).
type LinkCheckReq struct{}

// ID is 0x02.
func (LinkCheckReq) ID() byte { return CIDLinkCheck }

// Uplink is true.
func (LinkCheckReq) Uplink() bool { return true }

func (c LinkCheckReq) append(dst []byte) []byte { return append(dst, c.ID()) }

// LinkADRAns answers LinkADRReq; the device took it if all three are true
// (section 5.2).
type LinkADRAns struct {
	ChannelMaskACK, DataRateACK, PowerACK bool
}

// ID is 0x03.
func (LinkADRAns) ID() byte { return CIDLinkADR }

// Uplink is true.
func (LinkADRAns) Uplink() bool { return true }

// OK reports whether the device took the request.
func (c LinkADRAns) OK() bool { return c.ChannelMaskACK && c.DataRateACK && c.PowerACK }

func (c LinkADRAns) append(dst []byte) []byte {
	return append(dst, c.ID(), bits(c.ChannelMaskACK, c.DataRateACK, c.PowerACK))
}

// DutyCycleAns answers DutyCycleReq (section 5.3).
type DutyCycleAns struct{}

// ID is 0x04.
func (DutyCycleAns) ID() byte { return CIDDutyCycle }

// Uplink is true.
func (DutyCycleAns) Uplink() bool { return true }

func (c DutyCycleAns) append(dst []byte) []byte { return append(dst, c.ID()) }

// RXParamSetupAns answers RXParamSetupReq; the device took it if all three are
// true. It is repeated in every uplink until a downlink comes (section 5.4).
type RXParamSetupAns struct {
	ChannelACK, RX2DataRateACK, RX1OffsetACK bool
}

// ID is 0x05.
func (RXParamSetupAns) ID() byte { return CIDRXParamSetup }

// Uplink is true.
func (RXParamSetupAns) Uplink() bool { return true }

// OK reports whether the device took the request.
func (c RXParamSetupAns) OK() bool { return c.ChannelACK && c.RX2DataRateACK && c.RX1OffsetACK }

func (c RXParamSetupAns) append(dst []byte) []byte {
	return append(dst, c.ID(), bits(c.ChannelACK, c.RX2DataRateACK, c.RX1OffsetACK))
}

// Values of DevStatusAns.Battery that are no level from 1 (lowest) to 254.
const (
	BatteryExternal = 0
	BatteryUnknown  = 255
)

// DevStatusAns answers DevStatusReq (section 5.5).
type DevStatusAns struct {
	Battery uint8
	Margin  int8 // SNR of the request in dB, -32 to 31
}

// ID is 0x06.
func (DevStatusAns) ID() byte { return CIDDevStatus }

// Uplink is true.
func (DevStatusAns) Uplink() bool { return true }

func (c DevStatusAns) append(dst []byte) []byte {
	return append(dst, c.ID(), c.Battery, byte(c.Margin)&0x3f)
}

// NewChannelAns answers NewChannelReq; the device took it if both are true
// (section 5.6).
type NewChannelAns struct {
	FrequencyOK, DataRatesOK bool
}

// ID is 0x07.
func (NewChannelAns) ID() byte { return CIDNewChannel }

// Uplink is true.
func (NewChannelAns) Uplink() bool { return true }

// OK reports whether the device took the request.
func (c NewChannelAns) OK() bool { return c.FrequencyOK && c.DataRatesOK }

func (c NewChannelAns) append(dst []byte) []byte {
	return append(dst, c.ID(), bits(c.FrequencyOK, c.DataRatesOK))
}

// RXTimingSetupAns answers RXTimingSetupReq. It is repeated in every uplink until
// a downlink comes (section 5.7).
type RXTimingSetupAns struct{}

// ID is 0x08.
func (RXTimingSetupAns) ID() byte { return CIDRXTiming }

// Uplink is true.
func (RXTimingSetupAns) Uplink() bool { return true }

func (c RXTimingSetupAns) append(dst []byte) []byte { return append(dst, c.ID()) }

// TxParamSetupAns answers TxParamSetupReq, in the regions that have it (section
// 5.8).
type TxParamSetupAns struct{}

// ID is 0x09.
func (TxParamSetupAns) ID() byte { return CIDTxParamSetup }

// Uplink is true.
func (TxParamSetupAns) Uplink() bool { return true }

func (c TxParamSetupAns) append(dst []byte) []byte { return append(dst, c.ID()) }

// DlChannelAns answers DlChannelReq; the device took it if both are true. It is
// repeated in every uplink until a downlink comes (section 5.6).
type DlChannelAns struct {
	FrequencyOK, UplinkFrequencyExists bool
}

// ID is 0x0a.
func (DlChannelAns) ID() byte { return CIDDlChannel }

// Uplink is true.
func (DlChannelAns) Uplink() bool { return true }

// OK reports whether the device took the request.
func (c DlChannelAns) OK() bool { return c.FrequencyOK && c.UplinkFrequencyExists }

func (c DlChannelAns) append(dst []byte) []byte {
	return append(dst, c.ID(), bits(c.FrequencyOK, c.UplinkFrequencyExists))
}

// DeviceTimeReq asks what time it was at the end of this uplink (section 5.9).
type DeviceTimeReq struct{}

// ID is 0x0d.
func (DeviceTimeReq) ID() byte { return CIDDeviceTime }

// Uplink is true.
func (DeviceTimeReq) Uplink() bool { return true }

func (c DeviceTimeReq) append(dst []byte) []byte { return append(dst, c.ID()) }
