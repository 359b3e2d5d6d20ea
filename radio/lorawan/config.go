package lorawan

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/region"
)

// Radio sends frames; radio.Radio is one, and so is what spreads them to several.
type Radio interface {
	// Send is that of radio.Radio.
	Send(ctx context.Context, t *radio.Transmission) error
}

// Gate keeps duty cycles; *radio.Ledger is one.
type Gate interface {
	// Reserve takes airtime of a sub-band for a transmission that begins at at. A
	// *radio.Busy says when there will be room.
	Reserve(name string, band radio.Band, airtime time.Duration, at time.Time) error
	// Release gives back what Reserve took with the same arguments.
	Release(name string, band radio.Band, airtime time.Duration, at time.Time)
}

// Config is what a Server is made of.
type Config struct {
	Region   *region.Region
	NetID    uint32   // 24 bits; the first bits of the addresses that devices get follow from it
	Settings Settings // of devices that have none of their own
	Devices  []Device
	Table    gateway.Table
	Radio    Radio
	Gate     Gate // nil: no duty cycle is kept

	// OnUplink gets what devices send, from one goroutine and in order for each
	// device. A confirmed uplink is acknowledged only after OnUplink has returned
	// for it: what it is to vouch for must be done by then, or Unkept be set, or Later
	// be called. There are RX1Delay less Lead for it, or 1 s more if the acknowledgement
	// goes by RX2.
	OnUplink func(*Uplink)
	// OnDownlink gets the states of what Enqueue took, from the same goroutine. A
	// last state may come twice if the process is killed.
	OnDownlink func(DownlinkState)
	// OnFrame is told once of each frame that Receive had room for, whatever became
	// of it, from one goroutine, before OnUplink gets what it carried. Device is whose
	// it is, as far as that is sure (an address alone says little, a DevEUI is taken at
	// its word); kind is what the frame's first byte says; refused is why it was not
	// taken, as Reason has it, "copy" for one of a frame that another radio or channel
	// has heard too, and "" for what was taken and for what a device has sent again. It
	// must not block. Nil: nobody is told.
	OnFrame func(f *radio.Frame, device string, kind frame.Kind, refused string)

	Log   *slog.Logger  // nil: nothing is logged
	Rand  io.Reader     // nil: crypto/rand
	Clock gateway.Clock // nil: devices that ask for the time get no answer

	// Lead is how long before RX1 a downlink is decided on, which leaves time for
	// the write and for the way to the radio. 0: 500 ms.
	Lead time.Duration
	// Gather is how far writes for uplinks are apart at least, so that many of them
	// share one. One that comes alone does not wait. 0: 4 ms.
	Gather time.Duration
	// Backlog is how many frames, and how many uplinks for OnUplink, may wait;
	// further ones are dropped and counted. 0: 4096.
	Backlog int
	// ADRMargin is kept above what a data rate needs, in dB. 0: 10.
	ADRMargin float32
	// StatusEvery is how often devices are asked for their battery. 0: once a day;
	// negative: never.
	StatusEvery time.Duration
}

// Class is when a device listens.
type Class byte

// The classes that there are; 0 is taken for ClassA.
const (
	ClassA Class = 'A' // twice after each uplink
	ClassC Class = 'C' // always
)

// MACVersion says which version of LoRaWAN a device follows, where they differ.
type MACVersion uint8

// The versions. Up to 1.0.3 a DevNonce is any that was not used, and an uplink's
// counter may not be more than 16384 ahead; with 1.0.4 a DevNonce is larger than
// the one before, and counters may be ahead as far as they like.
const (
	V103 MACVersion = iota // and before
	V104
)

// Device is a device that the server knows. With an AppKey it joins (OTAA), else
// it has its session from the factory (ABP).
type Device struct {
	Device  string // its name in the gateway, unique
	DevEUI  frame.EUI
	JoinEUI frame.EUI // zero: any
	AppKey  frame.Key

	DevAddr frame.DevAddr
	NwkSKey frame.Key
	AppSKey frame.Key
	// CounterReset lets an ABP device begin at 0 again. Whoever recorded its frames
	// can then play them back. Downlink counters go on as they were.
	CounterReset bool
	// NonceReset lets an OTAA device use its DevNonces again, as one must that loses
	// them with its power. Whoever recorded its join requests can then play them back:
	// that gives no access, but costs airtime, and a device that has just joined may
	// have to do so again.
	NonceReset bool
	// Preset is what an ABP device was programmed with. Nil: the region's defaults.
	Preset *Settings

	Class   Class
	Version MACVersion
	ADR     bool // the server chooses data rate and power
	// Settings are what the device is to have; it is told by MAC commands as far as
	// it has others. Nil: those of Config.
	Settings *Settings
	// Retries is how often a confirmed downlink is sent again when no
	// acknowledgement comes. 0: 3; negative: never.
	Retries int
}

// Settings are those of a device's radio. The zero value has the region's
// defaults.
type Settings struct {
	RX1Delay  uint8 // s, 1 to 15; 0: 1
	RX1Offset uint8 // 0 to 7
	RX2       *RX2  // nil: the region's
	// Channels are uplink frequencies in Hz: in regions with fixed channels those
	// that are used, none meaning all; in others those beside the default ones, at
	// most 13, of which the first five are told with the join accept.
	Channels []uint32
	// Downlinks has RX1's frequency for uplink channels where it is another.
	Downlinks map[uint32]uint32
	// DutyCycle limits the device's share of time on air to 1/2^DutyCycle, 0 to 15.
	DutyCycle uint8
	// TxParam sets dwell times and power in the regions that have it. Nil: it is
	// left alone.
	TxParam *frame.TxParamSetupReq
	// Single pins the device to one channel and data rate, RX2 included, for
	// radios that hear no other; ADR is off then.
	Single *Single
}

// RX2 is the second receive window.
type RX2 struct {
	Frequency uint32 // Hz
	DataRate  uint8
}

// Single is the one channel of a radio.
type Single struct {
	Frequency uint32 // Hz
	DataRate  uint8
}

// Uplink is what a device sent.
type Uplink struct {
	Device    string
	DevEUI    frame.EUI
	DevAddr   frame.DevAddr
	FCnt      uint32
	FPort     uint8  // 1 to 255
	Payload   []byte // decrypted
	Confirmed bool
	ADR       bool
	DataRate  int
	// Frame is the first copy that was heard; others may have been better.
	Frame *radio.Frame
	// Received is the end of the frame, by the clock of the packet forwarder if it
	// has one, else by this process'.
	Received time.Time
	// Again says that the process was killed before it was known whether OnUplink
	// had got it.
	Again bool
	// Unkept is for OnUplink to set if it cannot vouch for a confirmed uplink, which
	// is not acknowledged then.
	Unkept bool

	later func() func(kept bool)
}

// Later is for OnUplink to say that it returns before it knows whether it can vouch
// for the uplink, so that others need not wait. What it gives is to be called once,
// from any goroutine, as soon as that is known; until then a confirmed uplink is not
// acknowledged, and one whose process is killed is handed on again.
func (u *Uplink) Later() (settled func(kept bool)) {
	if u.later == nil { // not of a server
		return func(bool) {}
	}
	return u.later()
}

// Defaults and bounds.
const (
	defaultLead      = 500 * time.Millisecond
	defaultGather    = 4 * time.Millisecond
	defaultBacklog   = 4096
	defaultADRMargin = 10
	defaultStatus    = 24 * time.Hour
	defaultRetries   = 3

	folding    = 200 * time.Millisecond // copies of one uplink come within
	retransmit = time.Second            // a device sends no frame again sooner
	rx2Later   = time.Second            // RX2 behind RX1, section 3.3
)

// ErrConfig is wrapped by New for what cannot be served.
var ErrConfig = errors.New("wrong configuration")

func (c *Config) complete() error {
	if c.Region == nil || c.Table == nil || c.Radio == nil {
		return fmt.Errorf("lorawan: %w: region, table and radio are needed", ErrConfig)
	}
	if c.NetID >= 1<<24 {
		return fmt.Errorf("lorawan: %w: NetID %#x has more than 24 bits", ErrConfig, c.NetID)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.OnUplink == nil {
		c.OnUplink = func(*Uplink) {}
	}
	if c.OnDownlink == nil {
		c.OnDownlink = func(DownlinkState) {}
	}
	set(&c.Lead, defaultLead)
	set(&c.Gather, defaultGather)
	set(&c.Backlog, defaultBacklog)
	set(&c.ADRMargin, defaultADRMargin)
	set(&c.StatusEvery, defaultStatus)
	return nil
}

func set[T comparable](v *T, usual T) {
	var zero T
	if *v == zero {
		*v = usual
	}
}

// check says what is wrong with a device, without its keys.
func (d *Device) check() error {
	otaa, abp := !d.AppKey.Zero(), !d.NwkSKey.Zero() || !d.AppSKey.Zero()
	wrong := func(what string) error {
		return fmt.Errorf("lorawan: %w: device %.64q: %s", ErrConfig, d.Device, what)
	}
	switch {
	case d.Device == "":
		return wrong("it has no name")
	case otaa == abp:
		return wrong("either an AppKey or the two session keys are needed")
	case otaa && d.DevEUI == frame.EUI{}:
		return wrong("a device that joins needs a DevEUI")
	case otaa && d.Preset != nil:
		return wrong("a device that joins has no preset")
	case abp && (d.NwkSKey.Zero() || d.AppSKey.Zero()):
		return wrong("one of the session keys is missing")
	case d.Class != 0 && d.Class != ClassA && d.Class != ClassC:
		return wrong("its class is neither A nor C")
	}
	return nil
}
