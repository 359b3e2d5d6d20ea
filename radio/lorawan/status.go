package lorawan

import (
	"time"

	"fieldgate/radio/lorawan/frame"
)

// DeviceStatus is how a device is doing.
type DeviceStatus struct {
	Device  string
	DevEUI  frame.EUI
	Class   Class
	OTAA    bool
	Joined  bool // it has a session, with
	DevAddr frame.DevAddr
	// Seen is when its last frame came; zero: never.
	Seen     time.Time
	Radio    string // that heard it best
	RSSI     int    // dBm
	SNR      float32
	DataRate int
	// Battery is from 1 (lowest) to 254, frame.BatteryExternal or
	// frame.BatteryUnknown. Margin is the SNR in dB with which the device heard the
	// question; Asked is when it answered, zero: never.
	Battery  uint8
	Margin   int8
	Asked    time.Time
	FCntUp   uint32 // of its last uplink
	FCntDown uint32 // of its next downlink
	Queued   int
	Broken   bool // its record is damaged, and it is shut out
}

// Devices tells how all devices are doing, in the order of the configuration.
func (s *Server) Devices() []DeviceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]DeviceStatus, 0, len(s.devices))
	for _, d := range s.devices {
		all = append(all, s.statusOf(d))
	}
	return all
}

// Queue gives what is queued for a device, in the order in which it will be sent,
// and last states that the application has not heard of yet.
func (s *Server) Queue(name string) []DownlinkState {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.byName[name]
	if d == nil {
		return nil
	}
	var all []DownlinkState
	for _, i := range d.queue {
		all = append(all, *s.stateOf(d, i, i.state, i.why))
	}
	return all
}

// Status tells how one device is doing. False: there is none of that name.
func (s *Server) Status(name string) (DeviceStatus, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.byName[name]
	if d == nil {
		return DeviceStatus{}, false
	}
	return s.statusOf(d), true
}

func (s *Server) statusOf(d *device) DeviceStatus {
	st := DeviceStatus{Device: d.cfg.Device, DevEUI: d.cfg.DevEUI, Class: max(d.cfg.Class, ClassA), OTAA: d.cfg.joins(),
		Battery: d.battery, Margin: d.margin, Broken: d.broken}
	if d.seen != 0 {
		st.Seen, st.Radio = time.Unix(d.seen, 0), s.radios[d.radio]
		st.RSSI, st.SNR, st.DataRate = int(d.rssi), float32(d.snr)/4, int(d.dr)
	}
	if d.asked != 0 {
		st.Asked = time.Unix(d.asked, 0)
	}
	if n := d.now; n != nil {
		st.Joined, st.DevAddr, st.FCntUp, st.FCntDown = true, n.addr, n.up, n.down
	}
	for _, i := range d.queue {
		if !i.final {
			st.Queued++
		}
	}
	return st
}
