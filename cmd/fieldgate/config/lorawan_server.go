package config

import (
	"context"

	"fieldgate/radio"
	"fieldgate/radio/lorawan"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/region"
)

// NetworkServer is what the file says of the network server: region, settings and
// devices. What the server works with is missing. Where the file names no region
// there are no devices, and frames are told apart as EU868 has them.
func (c *Config) NetworkServer() (lorawan.Config, error) {
	l := &c.LoRaWAN
	name := l.Region
	if name == "" {
		name = "EU868"
	}
	plan, err := region.Get(name)
	if err != nil {
		return lorawan.Config{}, err
	}
	out := lorawan.Config{Region: plan, NetID: l.NetID, Settings: lorawan.Settings{Channels: c.channels(plan)}}
	shared := map[link]*lorawan.Settings{} // most devices have the same
	for i := range l.Devices {
		out.Devices = append(out.Devices, c.networkDevice(&l.Devices[i], plan, shared))
	}
	return out, nil
}

// channels are the uplink channels that devices are told of, nil for those that
// the region has by default.
func (c *Config) channels(plan *region.Region) []uint32 {
	if len(c.LoRaWAN.Channels) > 0 {
		return c.LoRaWAN.Channels
	}
	return subBand(plan, c.LoRaWAN.SubBand)
}

// link is how the radio of a device is set.
type link struct {
	delay, offset uint8
	rx2           lorawan.RX2 // zero: the region's
	single        lorawan.Single
	duty          uint8
	told          bool // of txParam
	txParam       frame.TxParamSetupReq
}

// link is how the radio of a device is to be.
func (c *Config) link(d *LoRaDevice, plan *region.Region) link {
	l := link{delay: uint8(d.RX1Delay), offset: uint8(d.RX1Offset), duty: uint8(d.DutyCycle)}
	if l.told = d.TxParam != nil; l.told {
		l.txParam = *d.TxParam
	}
	if d.RX2Frequency != 0 || d.RX2DataRate >= 0 {
		f, dr := plan.RX2()
		if d.RX2Frequency != 0 {
			f = d.RX2Frequency
		}
		if d.RX2DataRate >= 0 {
			dr = d.RX2DataRate
		}
		l.rx2 = lorawan.RX2{Frequency: f, DataRate: uint8(dr)}
	}
	if r := c.singleRadio(); d.SingleChannel && r != nil {
		l.single.Frequency = r.Tuning.Frequency
		dr, ok := plan.DataRateOf(r.Tuning.Modulation, true)
		if !ok {
			dr = 255 // no region has it
		}
		l.single.DataRate = uint8(dr)
	}
	return l
}

// settings are those of a link; channels are the region's sub-band.
func (l link) settings(channels []uint32) *lorawan.Settings {
	s := &lorawan.Settings{RX1Delay: l.delay, RX1Offset: l.offset, Channels: channels}
	s.DutyCycle = l.duty
	if l.told {
		s.TxParam = &l.txParam
	}
	if l.rx2 != (lorawan.RX2{}) {
		s.RX2 = &l.rx2
	}
	if l.single != (lorawan.Single{}) {
		s.Single = &l.single
	}
	return s
}

// networkDevice is a device as the network server has it. Shared are settings that
// others have too.
func (c *Config) networkDevice(d *LoRaDevice, plan *region.Region, shared map[link]*lorawan.Settings) lorawan.Device {
	out := lorawan.Device{Device: d.Device, DevEUI: d.DevEUI, JoinEUI: d.JoinEUI, AppKey: d.AppKey,
		DevAddr: d.DevAddr, NwkSKey: d.NwkSKey, AppSKey: d.AppSKey, CounterReset: d.CounterReset, NonceReset: d.NonceReset,
		Class: lorawan.Class(d.Class[0]), ADR: d.ADR && !d.SingleChannel, Retries: d.Retries}
	if d.Retries == 0 {
		out.Retries = -1
	}
	if d.Version == "1.0.4" {
		out.Version = lorawan.V104
	}
	l := c.link(d, plan)
	if shared[l] == nil {
		shared[l] = l.settings(c.channels(plan))
	}
	out.Settings = shared[l]
	if !d.Joins {
		// Nobody could tell the device when RX1 is: it was programmed with that, and is
		// told the rest in RX1.
		programmed := link{delay: l.delay, offset: l.offset}
		out.Preset = programmed.settings(nil)
	}
	return out
}

// try has the network server look at a device.
func (c *Config) try(d *LoRaDevice, plan *region.Region) error {
	if d.AppKey.Zero() && (d.NwkSKey.Zero() || d.AppSKey.Zero()) {
		return nil // a key of zeros is its own mistake
	}
	one := c.networkDevice(d, plan, map[link]*lorawan.Settings{})
	_, err := lorawan.New(lorawan.Config{Region: plan, Devices: []lorawan.Device{one}, Table: nothing{}, Radio: nothing{}, Backlog: 1})
	return err
}

// subBand lists the channels of a sub-band of a region with 72 channels: eight of
// 125 kHz and one of 500 kHz. Of 0 there are none, which means all.
func subBand(plan *region.Region, n int) (out []uint32) {
	if n == 0 {
		return nil
	}
	all := plan.Channels()
	block, _ := plan.Block(n)
	for _, i := range block.List() {
		out = append(out, all[i].Frequency)
	}
	return out
}

// nothing stands for what a network server works with.
type nothing struct{}

// Each implements gateway.Table.
func (nothing) Each(func(string, []byte) error) error { return nil }

// Write implements gateway.Table.
func (nothing) Write(map[string][]byte) error { return nil }

// Send implements lorawan.Radio.
func (nothing) Send(context.Context, *radio.Transmission) error { return nil }
