package chip

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"fieldgate/radio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a chip that a test leads.
type fake struct {
	lead time.Duration
	slow time.Duration // Prepare takes so long

	mu      sync.Mutex
	opens   []time.Time
	fail    map[string]error // by the method's name
	event   Event
	line    *line
	fired   []time.Time
	sending *radio.Transmission
	end     time.Time
	open    bool
	mode    string
	misuse  []string
	stuck   bool   // something comes at each poll
	looked  int    // calls of Health
	last    string // a frame that comes right before Standby
}

// step checks that the chip is open, and gives the error that the test wants.
func (c *fake) step(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open && name != "Open" {
		c.misuse = append(c.misuse, name+" of a closed chip")
	}
	return c.fail[name]
}

func (c *fake) set(name string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail == nil {
		c.fail = map[string]error{}
	}
	c.fail[name] = err
}

func (c *fake) Open(context.Context) (string, error) {
	c.mu.Lock()
	c.opens = append(c.opens, time.Now())
	if c.open {
		c.misuse = append(c.misuse, "Open of an open chip")
	}
	c.open = true
	c.mu.Unlock()
	return "a fake", c.step("Open")
}

func (c *fake) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = false
	return nil
}

func (c *fake) Receive(context.Context) error {
	c.mu.Lock()
	c.mode = "RX"
	c.mu.Unlock()
	return c.step("Receive")
}

func (c *fake) Standby(context.Context) error {
	c.mu.Lock()
	c.mode = "standby"
	if c.last != "" {
		c.event = Event{Frame: &radio.Frame{Payload: []byte(c.last), CRC: radio.CRCOK}}
		c.last = ""
	}
	c.mu.Unlock()
	return c.step("Standby")
}

func (c *fake) Poll(context.Context) (Event, error) {
	err := c.step("Poll")
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.event
	if c.stuck {
		e.Void = true
	}
	c.event = Event{Arriving: e.Arriving && e.Frame == nil}
	if c.mode == "TX" && !time.Now().Before(c.end) {
		c.mode, e.Sent = "standby", c.fail["TxDone"] == nil
	}
	return e, err
}

func (c *fake) Interrupt() radio.Input {
	if c.line == nil {
		return nil
	}
	return c.line
}

func (c *fake) Health(context.Context) error {
	c.mu.Lock()
	c.looked++
	c.mu.Unlock()
	return c.step("Health")
}

func (c *fake) Check(t *radio.Transmission) error {
	if t.Frequency == 0 {
		return radio.ErrFrequency
	}
	return nil
}

func (c *fake) Prepare(_ context.Context, t *radio.Transmission) error {
	if c.slow > 0 {
		time.Sleep(c.slow)
	}
	c.mu.Lock()
	if c.mode != "standby" {
		c.misuse = append(c.misuse, "Prepare without Standby")
	}
	c.sending, c.mode = t, "ready"
	c.mu.Unlock()
	return c.step("Prepare")
}

func (c *fake) Lead() time.Duration { return c.lead }

func (c *fake) Fire(context.Context) error {
	now := time.Now()
	err := c.step("Fire")
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mode != "ready" {
		c.misuse = append(c.misuse, "Fire without Prepare")
	}
	c.fired = append(c.fired, now.Add(c.lead))
	c.mode = "TX"
	c.end = now.Add(c.lead + radio.Airtime(c.sending.Modulation, len(c.sending.Payload), radio.AirtimeOptions{NoCRC: !c.sending.CRC}))
	return err
}

// frame has the chip hear a frame.
func (c *fake) frame(payload string) {
	c.mu.Lock()
	c.event = Event{Frame: &radio.Frame{Payload: []byte(payload), CRC: radio.CRCOK}}
	c.mu.Unlock()
	if c.line != nil {
		c.line.edges <- time.Now()
	}
}

// opened are the times of Open.
func (c *fake) opened() []time.Time {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.opens)
}

// starts are the times at which the first symbols left.
func (c *fake) starts() []time.Time {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.fired)
}

// line is an interrupt line.
type line struct {
	edges chan time.Time
	gone  chan struct{}
}

func newLine() *line { return &line{make(chan time.Time, 100), make(chan struct{})} }

func (l *line) Level() (bool, error) { return false, nil }
func (l *line) Close() error         { return nil }
func (l *line) Next(ctx context.Context) (time.Time, error) {
	select {
	case at := <-l.edges:
		return at, nil
	case <-l.gone:
		return time.Time{}, errors.New("the line is gone")
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
}

// sf7 is the modulation of the tests.
var sf7 = radio.Modulation{SF: 7, Bandwidth: 125000, CodingRate: 5}

// rig is a radio with a fake.
type rig struct {
	t     *testing.T
	chip  *fake
	radio *Radio

	mu     sync.Mutex
	frames []*radio.Frame
	block  chan struct{} // receive waits for it
	stop   func()
}

func newRig(t *testing.T, c *fake) *rig {
	r := &rig{t: t, chip: c, radio: New(Config{Name: "r", Chip: c, Tuning: radio.Tuning{Modulation: sf7}})}
	return r
}

// run runs the radio until stop or the end of the test, and lets it settle.
func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := r.radio.Run(ctx, func(f *radio.Frame) {
			if r.block != nil {
				<-r.block
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.frames = append(r.frames, f)
		}); err != nil {
			r.t.Error(err)
		}
	})
	r.stop = sync.OnceFunc(func() {
		cancel()
		done.Wait()
		r.chip.mu.Lock()
		defer r.chip.mu.Unlock()
		for _, m := range r.chip.misuse {
			r.t.Error(m)
		}
		if r.chip.open {
			r.t.Error("the chip was left open")
		}
	})
	r.t.Cleanup(r.stop)
	synctest.Wait()
}

func (r *rig) heard() []*radio.Frame {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.frames
	r.frames = nil
	return out
}

// at is a transmission in d.
func (r *rig) at(d time.Duration) *radio.Transmission {
	return &radio.Transmission{Payload: []byte("down"), Frequency: 868100000, Modulation: sf7, Counter: r.radio.Counter(time.Now().Add(d))}
}

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}
