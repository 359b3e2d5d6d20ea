package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// ledger keeps the books of one delivery test: what was sent, what the gateway
// acknowledged, what reached the cloud.
type ledger struct {
	t  testing.TB
	mu sync.Mutex

	sent     int
	acked    map[string]bool   // "sensor value"
	arrived  map[string]string // "sensor value" to record id
	ids      map[string]string // record id to "sensor value"
	last     map[string]int    // sensor to the newest value that arrived
	total    int
	dups     int
	problems []string
	gaps     []string
	more     chan struct{}
}

func newLedger(t testing.TB) *ledger {
	return &ledger{t: t, acked: map[string]bool{}, arrived: map[string]string{}, ids: map[string]string{}, last: map[string]int{}}
}

// arrive takes one message that reached the cloud.
func (l *ledger) arrive(topic string, payload []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() {
		if l.more != nil {
			close(l.more)
			l.more = nil
		}
	}()
	if strings.HasSuffix(topic, "/gaps") {
		l.gaps = append(l.gaps, string(payload))
		return
	}
	parts := strings.Split(topic, "/")
	if len(parts) != 5 {
		return
	}
	var m struct {
		Value     int       `json:"value"`
		Timestamp time.Time `json:"timestamp"`
		ID        string    `json:"id"`
	}
	if err := json.Unmarshal(payload, &m); err != nil || m.ID == "" || m.Timestamp.IsZero() {
		l.problem("bad payload on %s: %s (%v)", topic, payload, err)
		return
	}
	l.total++
	sensor := parts[1] + "/" + parts[3]
	key := fmt.Sprintf("%s %d", sensor, m.Value)
	if id, again := l.arrived[key]; again {
		l.dups++
		if id != m.ID {
			l.problem("%s came as %s and as %s", key, id, m.ID)
		}
		return
	}
	if other, taken := l.ids[m.ID]; taken {
		l.problem("%s is the id of %s and of %s", m.ID, other, key)
	}
	l.arrived[key], l.ids[m.ID] = m.ID, key
	if m.Value <= l.last[sensor] {
		l.problem("%s after %d: order is lost", key, l.last[sensor])
	}
	l.last[sensor] = m.Value
}

func (l *ledger) problem(format string, args ...any) {
	if len(l.problems) < 10 {
		l.problems = append(l.problems, fmt.Sprintf(format, args...))
	}
}

// await waits until ok, which is asked with the ledger locked after each arrival.
func (l *ledger) await(what string, ok func() bool) {
	l.t.Helper()
	deadline := time.After(2 * patience)
	for {
		l.mu.Lock()
		if ok() {
			l.mu.Unlock()
			return
		}
		if l.more == nil {
			l.more = make(chan struct{})
		}
		more := l.more
		l.mu.Unlock()
		select {
		case <-more:
		case <-deadline:
			l.t.Fatalf("no %s; %s", what, l.summary())
		}
	}
}

func (l *ledger) missing() int {
	n := 0
	for key := range l.acked {
		if _, ok := l.arrived[key]; !ok {
			n++
		}
	}
	return n
}

func (l *ledger) summary() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("sent %d, acknowledged %d, arrived %d, duplicates %d, lost %d, problems %d, gaps %d",
		l.sent, len(l.acked), len(l.arrived), l.dups, l.missing(), len(l.problems), len(l.gaps))
}

// settle waits until all that was acknowledged has arrived, prints the counts
// and fails the test for anything lost, unordered or doubled under another id.
func (l *ledger) settle() {
	l.t.Helper()
	l.await("arrival of everything acknowledged", func() bool { return l.missing() == 0 })
	l.t.Log(l.summary())
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.acked) == 0 {
		l.t.Error("nothing was acknowledged: the test shows nothing")
	}
	for _, p := range l.problems {
		l.t.Error(p)
	}
}

// watch subscribes to everything at the cloud in a session that survives the
// cloud's restarts, and books what arrives.
func (l *ledger) watch(addr string) mqtt.Client {
	l.t.Helper()
	c := dial(l.t, addr, "ledger", func(o *mqtt.ClientOptions) {
		o.SetCleanSession(false).SetAutoReconnect(true).SetMaxReconnectInterval(200 * time.Millisecond).
			SetConnectRetry(true).SetConnectRetryInterval(100 * time.Millisecond).SetResumeSubs(true).SetOrderMatters(true)
		o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { l.arrive(m.Topic(), m.Payload()) })
	})
	tok := c.SubscribeMultiple(map[string]byte{"devices/+/sensors/+/value": 1, "gateways/+/gaps": 1}, nil)
	if !tok.WaitTimeout(patience) || tok.Error() != nil {
		l.t.Fatal(tok.Error())
	}
	l.t.Cleanup(func() { c.Disconnect(0) })
	return c
}

// publisher publishes rising values for one sensor at QoS 1, many in flight,
// and books which were acknowledged. What was in flight when its connection
// broke is neither sent again nor counted on.
type publisher struct {
	l              *ledger
	device, sensor string
	value          int
}

// run publishes to addr until stop is closed or the connection breaks.
func (p *publisher) run(addr string, stop <-chan struct{}) {
	lost := make(chan struct{})
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("pub-" + p.device + "-" + p.sensor).
		SetProtocolVersion(4).SetAutoReconnect(false).SetConnectRetry(false).SetCleanSession(true).SetWriteTimeout(5 * time.Second).
		SetConnectionLostHandler(func(mqtt.Client, error) { close(lost) }))
	tok := c.Connect()
	tok.Wait()
	if tok.Error() != nil {
		return
	}
	defer c.Disconnect(0)
	type flying struct {
		key string
		tok mqtt.Token
	}
	window := make(chan flying, 50)
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for f := range window {
			select {
			case <-f.tok.Done():
			case <-lost: // the library now and then forgets a publish that came just then
				select {
				case <-f.tok.Done():
				case <-time.After(time.Second):
					continue
				}
			}
			if f.tok.Error() == nil {
				p.l.mu.Lock()
				p.l.acked[f.key] = true
				p.l.mu.Unlock()
				p.l.wake()
			}
		}
	}()
	pace := time.NewTicker(500 * time.Microsecond) // what the cloud's books can follow
	defer pace.Stop()
	for c.IsConnectionOpen() {
		select {
		case <-stop:
			close(window)
			wg.Wait()
			return
		case <-pace.C:
		}
		p.value++
		tok := c.Publish(fmt.Sprintf("devices/%s/sensors/%s/value", p.device, p.sensor), 1, false, fmt.Sprintf(`{"value":%d}`, p.value))
		p.l.mu.Lock()
		p.l.sent++
		p.l.mu.Unlock()
		window <- flying{fmt.Sprintf("%s/%s %d", p.device, p.sensor, p.value), tok}
	}
	close(window)
	wg.Wait()
}

func (l *ledger) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
}

// load runs publishers against addr until the returned function is called.
func (l *ledger) load(addr string, pubs []*publisher) (stop func()) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	for _, p := range pubs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			p.run(addr, quit)
		}()
	}
	return func() { close(quit); wg.Wait() }
}

// ackedNow is how many publishes were acknowledged so far.
func (l *ledger) ackedNow() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

func (l *ledger) arrivedNow() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.arrived)
}
