package lorawan

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/node"
	"fieldgate/radio/lorawan/region"
)

func TestServer(t *testing.T) {
	bubble(t, "many frames share few writes, and each device's order is kept", func(t *testing.T) {
		var devices []Device
		for i := range 10 {
			d := abpDevice()
			d.Device, d.DevAddr = fmt.Sprint(i), devAddr1+frame.DevAddr(i)
			devices = append(devices, d)
		}
		r := newRig(t, func(c *Config) { c.Gather = 5 * time.Millisecond }, devices...)
		defer r.stop()
		for fcnt := range uint32(50) {
			for i := range devices {
				r.server.Receive(frameOf(t, &devices[i], fcnt))
			}
		}
		r.windows()
		next := map[string]uint32{}
		for _, u := range r.uplinks {
			if u.FCnt != next[u.Device] {
				t.Errorf("%s: %d, %d was due", u.Device, u.FCnt, next[u.Device])
			}
			next[u.Device] = u.FCnt + 1
		}
		if len(r.uplinks) != 500 || r.table.writes > 3 {
			t.Errorf("%d uplinks, %d writes", len(r.uplinks), r.table.writes)
		}
	})
	bubble(t, "what cannot be kept is dropped and counted", func(t *testing.T) {
		block := make(chan bool)
		c := Config{Region: regionNamed(t, "EU868"), Devices: []Device{abpDevice()}, Table: &table{}, Radio: &air{}, Backlog: 4, StatusEvery: -1,
			OnUplink: func(*Uplink) { <-block }}
		s, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		for i := range uint32(10) {
			s.Receive(frameOf(t, &c.Devices[0], i)) // nobody takes them
		}
		if n := s.Stats().Refused[Overload]; n != 6 {
			t.Errorf("%d dropped", n)
		}
		r := &rig{T: t, table: &table{}, air: &air{}}
		r.run(s)
		time.Sleep(time.Second)
		for i := range uint32(10) { // the application does not come back
			s.Receive(frameOf(t, &c.Devices[0], 10+i))
			time.Sleep(time.Second)
		}
		if st := s.Stats(); st.Refused[Overload] != 16 || st.Uplinks != 4 {
			t.Errorf("%+v", st)
		}
		close(block)
		synctest.Wait()
		s.Receive(frameOf(t, &c.Devices[0], 30))
		time.Sleep(time.Second)
		if st := s.Stats(); st.Uplinks != 5 {
			t.Errorf("%+v", st)
		}
		r.stop()
	})
	bubble(t, "Run ends while something is on its way", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		n := r.abpNode()
		r.enqueue(Downlink{Device: "abp", ID: "1", FPort: 1, Payload: []byte("on")})
		r.send(n.Uplink(1, []byte("a"), true))
		time.Sleep(700 * time.Millisecond) // at the radio
		at := time.Now()
		r.stop()
		if d := time.Since(at); d > 0 {
			t.Errorf("it took %v", d)
		}
		r.start()
		r.uplink(n, 1, "b", false)
		if got := r.taken(); len(got) != 1 || got[0].FCnt != 1 {
			t.Errorf("%+v", got)
		}
		r.stop()
	})
	bubble(t, "what came before the end is told, and may be answered", func(t *testing.T) {
		var s *Server
		told, answered := 0, 0
		c := Config{Region: regionNamed(t, "EU868"), Devices: []Device{abpDevice()}, Table: &table{}, Radio: &air{}, StatusEvery: -1}
		c.OnUplink = func(u *Uplink) {
			told++
			q := Downlink{Device: "abp", ID: fmt.Sprint(u.FCnt), FPort: 1}
			if err := s.Enqueue(context.Background(), q); err == nil {
				answered++
			} else if !errors.Is(err, ErrStopped) {
				t.Error(err)
			}
		}
		var err error
		if s, err = New(c); err != nil {
			t.Fatal(err)
		}
		r := &rig{T: t, table: &table{}, air: &air{}}
		r.run(s)
		s.Receive(frameOf(t, &c.Devices[0], 0))
		time.Sleep(time.Second)
		for i := range uint32(5) {
			s.Receive(frameOf(t, &c.Devices[0], 1+i))
		}
		r.stop()
		if told != 6 || answered < 1 {
			t.Errorf("%d told, %d answered", told, answered)
		}
		if err := s.Enqueue(context.Background(), Downlink{Device: "abp", ID: "x", FPort: 1}); !errors.Is(err, ErrStopped) {
			t.Error(err)
		}
	})
	bubble(t, "the region changed", func(t *testing.T) {
		d := abpDevice()
		d.Settings = &Settings{Channels: []uint32{867100000}}
		r := newRig(t, nil, d)
		defer func() { r.stop() }()
		n := r.abpNode()
		r.uplink(n, 1, "a", false)
		r.uplink(n, 1, "a", false)
		r.stop()
		r.cfg.Region, r.cfg.Devices[0].Settings = regionNamed(t, "US915"), nil
		r.start()
		m := r.node(node.Config{ABP: true, DevAddr: devAddr1, NwkSKey: nwkSKey, AppSKey: appSKey, DataRate: 3, FCntUp: 5, FCntDown: 2})
		r.uplink(m, 1, "b", true)
		r.wantPayloads("a", "a", "b")
	})
	bubble(t, "ABP in US915 gets its block of channels", func(t *testing.T) {
		reg := regionNamed(t, "US915")
		block, _ := reg.Block(2)
		d := abpDevice()
		d.Settings = &Settings{}
		for _, i := range block.List() {
			d.Settings.Channels = append(d.Settings.Channels, reg.Channels()[i].Frequency)
		}
		r := newRig(t, func(c *Config) { c.Region = reg }, d)
		defer r.stop()
		n := r.node(node.Config{ABP: true, DevAddr: devAddr1, NwkSKey: nwkSKey, AppSKey: appSKey, DataRate: 3, Channels: region.SetOf(8, 9, 30, 65)})
		for range 3 {
			r.uplink(n, 1, "a", false)
		}
		for _, c := range n.State().Channels {
			if c.Enabled != block.Has(c.Index) {
				t.Errorf("%+v", c)
			}
		}
		if got := r.taken(); len(got) != 1 {
			t.Errorf("%d downlinks: %+v", len(got), got)
		}
	})
}

func TestSiblings(t *testing.T) {
	s := &Server{sessions: map[frame.DevAddr]*session{}}
	list := func() (n int) {
		for x := s.sessions[1]; x != nil; x = x.sibling {
			n++
		}
		return n
	}
	all := []*session{{addr: 1}, {addr: 1}, {addr: 1}, {addr: 2}}
	for _, n := range all {
		s.index(n)
	}
	s.forget(nil)
	s.forget(&session{addr: 1})
	for i, want := range []int{2, 1, 0} {
		s.forget(all[[]int{1, 2, 0}[i]])
		if got := list(); got != want {
			t.Errorf("%d sessions, want %d", got, want)
		}
	}
	if len(s.sessions) != 1 {
		t.Errorf("%d addresses", len(s.sessions))
	}
}

func TestConfig(t *testing.T) {
	r := regionNamed(t, "EU868")
	abp, otaa := abpDevice(), otaaDevice()
	change := func(d Device, f func(*Device)) Device {
		f(&d)
		return d
	}
	for name, devices := range map[string][]Device{
		"no name":         {change(abp, func(d *Device) { d.Device = "" })},
		"two of a name":   {abp, change(otaa, func(d *Device) { d.Device = "abp" })},
		"two of a DevEUI": {otaa, change(otaa, func(d *Device) { d.Device = "x" })},
		"the same twice":  {abp, change(abp, func(d *Device) { d.Device = "x" })},
		"no key":          {change(abp, func(d *Device) { d.NwkSKey, d.AppSKey = frame.Key{}, frame.Key{} })},
		"both":            {change(abp, func(d *Device) { d.AppKey = appKey })},
		"half":            {change(abp, func(d *Device) { d.AppSKey = frame.Key{} })},
		"no DevEUI":       {change(otaa, func(d *Device) { d.DevEUI = frame.EUI{} })},
		"class B":         {change(otaa, func(d *Device) { d.Class = 'B' })},
		"settings":        {change(otaa, func(d *Device) { d.Settings = &Settings{RX1Delay: 16} })},
		"preset":          {change(abp, func(d *Device) { d.Preset = &Settings{RX1Delay: 16} })},
		"preset and join": {change(otaa, func(d *Device) { d.Preset = &Settings{} })},
	} {
		if _, err := New(Config{Region: r, Table: &table{}, Radio: &air{}, Devices: devices}); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]Config{
		"nothing":  {},
		"NetID":    {Region: r, Table: &table{}, Radio: &air{}, NetID: 1 << 24},
		"settings": {Region: r, Table: &table{}, Radio: &air{}, Settings: Settings{DutyCycle: 16}},
	} {
		if _, err := New(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// unreadable is a table that cannot be read to its end until it is good.
type unreadable struct {
	*table
	good atomic.Bool
}

func (u *unreadable) Each(fn func(string, []byte) error) error {
	if err := u.table.Each(fn); err != nil || u.good.Load() {
		return err
	}
	return errTest
}

func TestUnreadable(t *testing.T) {
	bubble(t, "the server starts, and takes frames as soon as it knows their devices", func(t *testing.T) {
		r := newRig(t, nil, abpDevice(), otaaDevice())
		n := r.otaaNode()
		r.join(n)
		r.uplink(n, 1, "a", false)
		r.enqueue(Downlink{Device: "otaa", ID: "1", FPort: 1, Payload: []byte("on")})
		u := n.Replay()
		r.stop()
		c := r.cfg
		tab := &unreadable{table: r.table}
		c.Table, c.Radio = tab, r.air
		c.OnUplink = func(u *Uplink) { r.uplinks = append(r.uplinks, u) }
		s, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		r.run(s)
		time.Sleep(time.Minute)
		r.uplink(n, 1, "b", false)
		r.uplink(r.abpNode(), 1, "b", false)
		if err := s.Enqueue(t.Context(), Downlink{Device: "otaa", ID: "2", FPort: 1}); !errors.Is(err, ErrUnready) {
			t.Error(err)
		}
		r.wantRefused(Unready, 2)
		tab.good.Store(true)
		time.Sleep(time.Minute)
		r.send(u, nil)
		r.wantRefused(Replayed, 0) // the last one once more
		if q := s.Queue("otaa"); len(q) != 1 {
			t.Errorf("%+v", q)
		}
		r.uplink(n, 1, "c", false)
		if got := r.taken(); len(got) == 0 || string(got[len(got)-1].Payload) != "on" {
			t.Errorf("%+v", got)
		}
		r.stop()
		r.wantPayloads("a", "c")
	})
	bubble(t, "it ends", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		r.stop()
		c := r.cfg
		c.Table, c.Radio = &unreadable{table: r.table}, r.air
		s, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		r.run(s)
		time.Sleep(time.Minute)
		r.stop()
	})
}

func TestWords(t *testing.T) {
	for r := range reasons {
		if r.String() == "" || r.String() == "unknown" {
			t.Errorf("reason %d has no name", r)
		}
	}
	if reasons.String() != "unknown" || Refused.String() != "refused" || Queued.String() != "queued" {
		t.Error("words")
	}
}
