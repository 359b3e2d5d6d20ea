package node

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/region"
)

// Errors of what the device would not do, and of frames that it ignores.
var (
	ErrNotJoined = errors.New("has not joined")
	ErrABP       = errors.New("is activated by personalisation")
	ErrTooLong   = errors.New("too long for the data rate")
	ErrChannel   = errors.New("no channel for the data rate")
	ErrDeaf      = errors.New("no window is open for it")
	ErrStranger  = errors.New("for another device")
	ErrMIC       = errors.New("wrong message integrity code")
	ErrReplay    = errors.New("was used before")
	ErrGap       = errors.New("counter too far ahead")
	ErrKind      = errors.New("not for a device in this state")
	ErrCounter   = errors.New("the uplink counter is used up")
)

// Config is what a device is made with.
type Config struct {
	Region *region.Region // nil: EU868
	Seed   uint64         // of its choice of channels and nonces

	// Over the air activation.
	JoinEUI, DevEUI frame.EUI
	AppKey          frame.Key
	// RandomNonce has it choose DevNonces as devices before 1.0.4 do; otherwise
	// they count from DevNonce.
	RandomNonce bool
	DevNonce    uint16

	// ABP activates it by personalisation, with the session below.
	ABP              bool
	DevAddr          frame.DevAddr
	NwkSKey, AppSKey frame.Key
	FCntUp, FCntDown uint32 // the next ones

	ClassC   bool
	ADR      bool
	DataRate int               // to begin with
	Channels region.ChannelSet // of the default ones, those that it uses; none: all
	Tries    int               // of a confirmed uplink at most; 0: 8
	MaxGap   uint32            // of downlink counters; 0: 16384, as up to 1.0.3
	Battery  uint8             // as in DevStatusAns
	// Slack is by how much its windows are open before and after their time, as
	// those of a device with a poor clock; 0: as exact as they come.
	Slack time.Duration
}

// Uplink is a frame to be sent.
type Uplink struct {
	Frame     []byte
	Frequency uint32 // Hz
	Channel   int
	DataRate  int
	radio.Modulation
	Power     int8 // dBm EIRP
	Join      bool
	FCnt      uint32 // of a data frame
	Confirmed bool
}

// Window is when and how the device listens after an uplink.
type Window struct {
	Delay     time.Duration // from the end of the uplink
	Frequency uint32        // Hz
	DataRate  int
	radio.Modulation
}

// channel is one that the device knows; Frequency 0 is none.
type channel struct {
	region.Channel
	downlink uint32 // of RX1; 0: as the region has it
}

// params is what the network may change.
type params struct {
	channels  []channel
	enabled   region.ChannelSet
	dataRate  int
	txPower   int
	nbTrans   int
	rx1Offset int
	rx1Delay  time.Duration
	rx2       uint32
	rx2DR     int
	duty      uint8
	dwellUp   bool
	dwellDown bool
	eirp      int8 // dBm; 0: the region's
}

// Node is an end device. Its methods may be called from any goroutine.
type Node struct {
	c   Config
	reg *region.Region

	mu       sync.Mutex
	rng      *rand.Rand
	devNonce uint16 // the next one that is counted
	nonces   map[uint16]bool
	accepted map[uint32]bool // JoinNonces

	joined   bool
	addr     frame.DevAddr
	nwk, app frame.Key
	up       uint64 // the next counter
	down     uint64 // the next counter that is taken
	p        params

	last       Uplink // the one whose windows are open, or were
	windows    [2]Window
	open       bool // nothing came in its windows so far
	joining    bool // last asks to join
	left       int  // how often last may be sent again
	sent       int  // how often last was sent
	waitingAck bool // last is confirmed, and nobody said so

	ackDue  bool            // of a confirmed downlink
	sticky  []frame.Command // answers until a downlink comes
	answers []frame.Command
	asks    []frame.Command
	adrCnt  int
	snr     float64

	badMIC bool
}

// New makes a device. The error is for a data rate that the region has not.
func New(c Config) (*Node, error) {
	if c.Region == nil {
		r, err := region.Get("EU868")
		if err != nil {
			return nil, fmt.Errorf("node: %w", err)
		}
		c.Region = r
	}
	if !c.Region.Uplink(c.DataRate) {
		return nil, fmt.Errorf("node: %w: DR%d", region.ErrDataRate, c.DataRate)
	}
	if c.Tries == 0 {
		c.Tries = 8
	}
	if c.MaxGap == 0 {
		c.MaxGap = 16384
	}
	n := &Node{
		c: c, reg: c.Region, rng: rand.New(rand.NewPCG(c.Seed, 0)), devNonce: c.DevNonce,
		nonces: map[uint16]bool{}, accepted: map[uint32]bool{},
	}
	n.reset()
	if n.c.ABP {
		n.joined, n.addr, n.nwk, n.app = true, c.DevAddr, c.NwkSKey, c.AppSKey
		n.up, n.down = uint64(c.FCntUp), uint64(c.FCntDown)
	}
	return n, nil
}

// reset puts what the network may change to the region's defaults.
func (n *Node) reset() {
	n.p = params{enabled: n.c.Channels, dataRate: n.c.DataRate, nbTrans: 1, rx1Delay: region.RxDelay}
	if n.p.enabled.Len() == 0 {
		n.p.enabled = n.reg.DefaultChannels()
	}
	n.p.channels = make([]channel, n.reg.MaxChannels())
	for i, c := range n.reg.Channels() {
		n.p.channels[i].Channel = c
	}
	n.p.rx2, n.p.rx2DR = n.reg.RX2()
	n.p.dwellUp, n.p.dwellDown = n.reg.Dwell()
	n.dwell()
	n.sticky, n.answers, n.asks, n.ackDue, n.adrCnt = nil, nil, nil, false, 0
	n.open, n.joining, n.waitingAck, n.left = false, false, false, 0
}

// defined is the set of the channels that the device knows.
func (p *params) defined() (s region.ChannelSet) {
	for i, c := range p.channels {
		if c.Frequency != 0 {
			s.Add(i)
		}
	}
	return s
}

// Channel is a channel of State.
type Channel struct {
	Index        int
	Frequency    uint32 // Hz
	RX1          uint32 // Hz, of DlChannelReq; 0: as the region has it
	MinDR, MaxDR int
	Enabled      bool
}

// State is what the device knows, for tests to look at.
type State struct {
	Joined           bool
	DevAddr          frame.DevAddr
	NwkSKey, AppSKey frame.Key
	FCntUp, FCntDown uint32 // the next ones
	DataRate         int
	TXPower          int
	NbTrans          int
	RX1Offset        int
	RX1Delay         time.Duration
	RX2Frequency     uint32
	RX2DataRate      int
	MaxDutyCycle     uint8
	UplinkDwell      bool
	DownlinkDwell    bool
	MaxEIRP          int8      // dBm, of TxParamSetupReq; 0: never told
	Channels         []Channel // those that it knows
	AckDue           bool      // it owes an acknowledgement
	Unacknowledged   bool      // it waits for one
}

// State gives a copy.
func (n *Node) State() State {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := State{
		Joined: n.joined, DevAddr: n.addr, NwkSKey: n.nwk, AppSKey: n.app, FCntUp: uint32(n.up), FCntDown: uint32(n.down),
		DataRate: n.p.dataRate, TXPower: n.p.txPower, NbTrans: n.p.nbTrans, RX1Offset: n.p.rx1Offset, RX1Delay: n.p.rx1Delay,
		RX2Frequency: n.p.rx2, RX2DataRate: n.p.rx2DR, MaxDutyCycle: n.p.duty, UplinkDwell: n.p.dwellUp, DownlinkDwell: n.p.dwellDown,
		MaxEIRP: n.p.eirp, AckDue: n.ackDue, Unacknowledged: n.waitingAck,
	}
	for i, c := range n.p.channels {
		if c.Frequency != 0 {
			s.Channels = append(s.Channels, Channel{i, c.Frequency, c.downlink, c.MinDR, c.MaxDR, n.p.enabled.Has(i)})
		}
	}
	return s
}

// ClassC gives the window that a class C device has open whenever it does not
// send and no other is open. False: it is class A, or has not joined.
func (n *Node) ClassC() (Window, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.c.ClassC || !n.joined {
		return Window{}, false
	}
	m, _ := n.reg.DataRate(n.p.rx2DR)
	return Window{Frequency: n.p.rx2, DataRate: n.p.rx2DR, Modulation: m}, true
}

// Windows gives the windows behind the last uplink.
func (n *Node) Windows() (rx1, rx2 Window) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.windows[0], n.windows[1]
}
