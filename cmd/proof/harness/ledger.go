package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// Ledger keeps the books of a delivery: what was sent, what the gateway
// acknowledged, what reached the cloud. Publishers send rising numbers from 1 on
// as values, so a sensor's books are a slice.
type Ledger struct {
	mu       sync.Mutex
	streams  map[string]*stream // by "device/sensor"
	ids      map[string]struct{}
	counts   Counts
	problems []string
	gaps     []string
	more     chan struct{}

	// Unordered is for modes of catching up that send old values beside new
	// ones. To be set before anything arrives.
	Unordered bool
}

type stream struct {
	acked []bool   // by value
	id    []string // of the record that arrived
	last  int      // newest value that arrived
}

// Counts is the sum of a ledger.
type Counts struct {
	Sent         int // publishes
	Acknowledged int // PUBACK or PUBCOMP received
	Arrived      int // different values that reached the cloud
	Duplicates   int // more copies of those
	Lost         int // acknowledged, not arrived
	Problems     int // lost order, one value under two ids, one id for two values
	Gaps         int // messages that announce a loss
}

func (c Counts) String() string {
	return fmt.Sprintf("sent %d, acknowledged %d, arrived %d, duplicates %d, lost %d, problems %d, gaps %d",
		c.Sent, c.Acknowledged, c.Arrived, c.Duplicates, c.Lost, c.Problems, c.Gaps)
}

// NewLedger has empty books.
func NewLedger() *Ledger {
	return &Ledger{streams: map[string]*stream{}, ids: map[string]struct{}{}}
}

func (l *Ledger) stream(name string, value int) *stream {
	s := l.streams[name]
	if s == nil {
		s = &stream{}
		l.streams[name] = s
	}
	for len(s.acked) <= value {
		s.acked = append(s.acked, false)
		s.id = append(s.id, "")
	}
	return s
}

// sent books a publish.
func (l *Ledger) sent() {
	l.mu.Lock()
	l.counts.Sent++
	l.mu.Unlock()
}

// acknowledge books what the gateway has answered for.
func (l *Ledger) acknowledge(name string, value int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stream(name, value)
	if s.acked[value] {
		return
	}
	s.acked[value] = true
	l.counts.Acknowledged++
	if s.id[value] == "" {
		l.counts.Lost++ // until it arrives
	}
	l.wake()
}

// sample is a value as it goes up.
type sample struct {
	Value     int       `json:"value"`
	Timestamp time.Time `json:"timestamp"`
	ID        string    `json:"id"`
}

// Arrive books a message that reached the cloud: a value of a sensor, an array
// of them, or the announcement of a gap; others are ignored.
func (l *Ledger) Arrive(topic string, payload []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.wake()
	if strings.HasSuffix(topic, "/gaps") {
		l.counts.Gaps++
		l.gaps = append(l.gaps, string(payload))
		return
	}
	parts := strings.Split(topic, "/")
	if len(parts) != 5 || parts[0] != "devices" || parts[2] != "sensors" || parts[4] != "value" && parts[4] != "values" {
		return
	}
	samples := make([]sample, 1)
	var err error
	if parts[4] == "value" {
		err = json.Unmarshal(payload, &samples[0])
	} else {
		err = json.Unmarshal(payload, &samples)
	}
	if err != nil {
		l.problem("bad payload on %s: %.200s (%v)", topic, payload, err)
		return
	}
	for _, m := range samples {
		l.book(parts[1]+"/"+parts[3], m)
	}
}

func (l *Ledger) book(name string, m sample) {
	if m.ID == "" || m.Timestamp.IsZero() || m.Value < 1 {
		l.problem("bad value of %s: %+v", name, m)
		return
	}
	s := l.stream(name, m.Value)
	if id := s.id[m.Value]; id != "" {
		l.counts.Duplicates++
		if id != m.ID {
			l.problem("%s %d came as %s and as %s", name, m.Value, id, m.ID)
		}
		return
	}
	if _, taken := l.ids[m.ID]; taken {
		l.problem("%s is the id of %s %d and of another", m.ID, name, m.Value)
	}
	s.id[m.Value] = m.ID
	l.ids[m.ID] = struct{}{}
	l.counts.Arrived++
	if s.acked[m.Value] {
		l.counts.Lost--
	}
	if m.Value <= s.last && !l.Unordered {
		l.problem("%s %d after %d: order is lost", name, m.Value, s.last)
	}
	s.last = max(s.last, m.Value)
}

func (l *Ledger) problem(format string, args ...any) {
	l.counts.Problems++
	if len(l.problems) < 10 {
		l.problems = append(l.problems, fmt.Sprintf(format, args...))
	}
}

func (l *Ledger) wake() {
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
}

// Counts is what the books say now.
func (l *Ledger) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

// Problems are the first ten things that must not be.
func (l *Ledger) Problems() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.problems...)
}

// Await waits until ok holds, which is asked after each change.
func (l *Ledger) Await(ctx context.Context, what string, ok func(Counts) bool) error {
	ctx, cancel := context.WithTimeout(ctx, 3*Patience)
	defer cancel()
	for {
		l.mu.Lock()
		c := l.counts
		if l.more == nil {
			l.more = make(chan struct{})
		}
		more := l.more
		l.mu.Unlock()
		if ok(c) {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("harness: no %s: %w; %s", what, ctx.Err(), l.Counts())
		}
	}
}

// Settle waits until everything acknowledged has arrived, and fails for what
// was lost, out of order, or doubled under another id.
func (l *Ledger) Settle(ctx context.Context) error {
	if err := l.Await(ctx, "arrival of everything acknowledged", func(c Counts) bool { return c.Lost == 0 }); err != nil {
		return err
	}
	if p := l.Problems(); len(p) > 0 {
		return fmt.Errorf("harness: %s", strings.Join(p, "; "))
	}
	if l.Counts().Acknowledged == 0 {
		return fmt.Errorf("harness: nothing was acknowledged, so nothing is shown")
	}
	return nil
}

// Watch subscribes to all values and gaps at a cloud's broker at QoS 1, in a
// session that survives the cloud's restarts, and books what arrives until the
// returned function is called. Edit changes the options before the connection
// is made; it may be nil.
func (l *Ledger) Watch(ctx context.Context, url string, edit func(*mqtt.ClientOptions)) (stop func(), err error) {
	o := mqtt.NewClientOptions().AddBroker(url).SetClientID("ledger").SetProtocolVersion(4).SetCleanSession(false).
		SetAutoReconnect(true).SetMaxReconnectInterval(200 * time.Millisecond).SetConnectTimeout(10 * time.Second).
		SetConnectRetry(true).SetConnectRetryInterval(100 * time.Millisecond).SetResumeSubs(true).SetOrderMatters(true)
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { l.Arrive(m.Topic(), m.Payload()) })
	if edit != nil {
		edit(o)
	}
	c := mqtt.NewClient(o)
	if err := done(ctx, c.Connect()); err != nil {
		return nil, fmt.Errorf("harness: connect to the cloud: %w", err)
	}
	if err := done(ctx, c.SubscribeMultiple(map[string]byte{"devices/+/sensors/+/value": 1, "devices/+/sensors/+/values": 1, "gateways/+/gaps": 1}, nil)); err != nil {
		c.Disconnect(0)
		return nil, fmt.Errorf("harness: subscribe at the cloud: %w", err)
	}
	return func() { c.Disconnect(100) }, nil
}

func done(ctx context.Context, t mqtt.Token) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	select {
	case <-t.Done():
		return t.Error()
	case <-ctx.Done():
		return ctx.Err()
	}
}
