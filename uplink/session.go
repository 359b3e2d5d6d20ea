package uplink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// Why a connection ended, beside what the network says.
var (
	errAckTimeout = errors.New("no acknowledgement in time")
	errStopped    = errors.New("stopped")
	errUnreached  = errors.New("cloud not reached")
)

const (
	// handTimeout is how long the client library may take to hand a packet to
	// its writing goroutine. That goroutine never waits for the network (see
	// conn), so only a client that has just died makes it wait this long, and
	// nobody but a goroutine of that client waits with it.
	handTimeout = 2 * time.Second
	// lostGrace is how long the client library gets to report that the
	// connection it reads from is gone, before it is taken for gone.
	lostGrace = time.Second
	pingWait  = 10 * time.Second
	quiesce   = 250 * time.Millisecond
)

// session is one connection to the cloud, from CONNECT to its end, with a
// client of its own: a client that is used for a second connection completes
// publishes of the first without error although nobody acknowledged them.
type session struct {
	client  mqtt.Client
	conn    *conn
	started time.Time
	present bool          // the cloud remembered the session
	dead    chan struct{} // closed by fail
	once    sync.Once
	err     error          // why; read it after dead is closed
	lost    chan struct{}  // closed when the library has finished with a lost connection
	wg      sync.WaitGroup // goroutines that use client
}

// dialOptions is what differs between the two connections.
type dialOptions struct {
	clientID string
	clean    bool
	manual   bool // messages are acknowledged by hand
	will     *will
	receive  func(mqtt.Message) // must not block
}

type will struct {
	topic   string
	payload []byte
	qos     byte
	retain  bool
}

// connect opens a session.
func (u *Uplink) connect(ctx context.Context, o dialOptions) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, u.cfg.ConnectWait)
	defer cancel()
	s := &session{dead: make(chan struct{}), lost: make(chan struct{})}
	password := ""
	if u.cfg.Password != nil {
		var err error
		if password, err = u.cfg.Password(); err != nil {
			return nil, fmt.Errorf("password: %w", err)
		}
	}
	opts := mqtt.NewClientOptions().
		AddBroker("tcp://" + u.endpoint.address). // its name only, opener makes the stream
		SetClientID(o.clientID).
		SetUsername(u.cfg.Username).
		SetPassword(password).
		SetProtocolVersion(4).
		SetCleanSession(o.clean).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetConnectTimeout(u.cfg.ConnectWait).
		SetKeepAlive(u.cfg.KeepAlive).
		SetPingTimeout(24 * time.Hour). // conn judges that, see silent
		SetWriteTimeout(handTimeout).
		SetOrderMatters(true).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { o.receive(m) }).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) {
			s.fail(err)
			close(s.lost)
		})
	opts.SetAutoAckDisabled(o.manual)
	if o.will != nil {
		opts.SetBinaryWill(o.will.topic, o.will.payload, o.will.qos, o.will.retain)
	}
	var handshake func() bool // ends the watch over it
	opts.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
		raw, err := u.endpoint.dial(ctx, u.cfg.TLS)
		if err != nil {
			return nil, err
		}
		c := newConn(raw, u.mark, min(pingWait, u.cfg.AckTimeout), func(cause error) {
			time.AfterFunc(lostGrace, func() { s.fail(cause) })
		})
		s.conn = c
		handshake = context.AfterFunc(ctx, func() { c.abort(ctx.Err()) })
		return c, nil
	})
	s.client = mqtt.NewClient(opts)
	token := s.client.Connect().(*mqtt.ConnectToken)
	<-token.Done() // the dial and the handshake both know ctx
	if handshake != nil {
		handshake()
	}
	if err := token.Error(); err != nil {
		if s.conn == nil {
			return nil, fmt.Errorf("connect: %w: %w", errUnreached, err)
		}
		s.conn.abort(errDiscarded)
		return nil, fmt.Errorf("connect: %w", err)
	}
	s.present, s.started = token.SessionPresent(), time.Now()
	return s, nil
}

// fail ends the session for the given cause, unless it has ended. It does not
// wait.
func (s *session) fail(cause error) {
	s.once.Do(func() {
		if c := s.conn.cause(); c != nil && !errors.Is(c, errDiscarded) {
			cause = c // the library may only say that something went wrong
		}
		s.err = cause
		close(s.dead)
	})
	s.conn.abort(errDiscarded)
}

// disconnect ends the session politely: the cloud then drops the will.
func (s *session) disconnect() {
	s.client.Disconnect(uint(quiesce / time.Millisecond))
	s.fail(errStopped)
	s.wg.Wait()
}

// reap waits until nothing of a failed session is left, for a few seconds at
// most.
func (s *session) reap() {
	timer := time.NewTimer(handTimeout + lostGrace)
	defer timer.Stop()
	select {
	case <-s.lost:
	case <-timer.C:
	}
	s.wg.Wait()
}

// do sends something by the library and waits until the cloud has answered: nil
// then. The session stays as it is on an error.
func (s *session) do(ctx context.Context, timeout time.Duration, send func() mqtt.Token) (mqtt.Token, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	handed := make(chan mqtt.Token, 1)
	s.wg.Add(1)
	go func() { // the library may hang for handTimeout
		defer s.wg.Done()
		handed <- send()
	}()
	select {
	case token := <-handed:
		return token, s.outcome(ctx, timer, token)
	case <-s.dead:
		return nil, s.err
	case <-timer.C:
		return nil, errAckTimeout
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// outcome waits for that of r.
func (s *session) outcome(ctx context.Context, timer *time.Timer, r receipt) error {
	select {
	case <-r.Done():
		return s.reason(r)
	case <-s.dead:
		return s.err
	case <-timer.C:
		return errAckTimeout
	case <-ctx.Done():
		return ctx.Err()
	}
}

// await waits until the cloud has answered what was sent with receipt r: nil
// then. The session stays as it is on an error.
func (s *session) await(ctx context.Context, timeout time.Duration, r receipt) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	return s.outcome(ctx, timer, r)
}

// publish sends one message and waits for its acknowledgement, or for that of
// the round trip behind it.
func (s *session) publish(ctx context.Context, timeout time.Duration, m message) error {
	r := s.conn.publish(&m)
	if m.asked && r.err == nil {
		r = s.conn.ask()
	}
	return s.await(ctx, timeout, r)
}

// trip makes a round trip to the cloud.
func (s *session) trip(ctx context.Context, timeout time.Duration) error {
	return s.await(ctx, timeout, s.conn.ask())
}

// subscribe asks for one filter; the answer must be for one (see frames).
func (s *session) subscribe(ctx context.Context, timeout time.Duration, filter string) error {
	token, err := s.do(ctx, timeout, func() mqtt.Token { return s.client.Subscribe(filter, 1, nil) })
	if err != nil {
		return err
	}
	if !granted(token.(*mqtt.SubscribeToken), filter) {
		return fmt.Errorf("%w: %s", errRefused, filter)
	}
	return nil
}

// granted reports whether the cloud took the subscription of a completed token:
// a refusal is no error to the library (MQTT 3.1.1 section 3.9.3: 0x80).
func granted(t *mqtt.SubscribeToken, filter string) bool {
	code, ok := t.Result()[filter]
	return ok && code <= 2
}

// errRefused is a subscription that the cloud did not grant.
var errRefused = errors.New("the cloud refuses the subscription")

// reason is why what r stands for failed, nil if it did not. The library may
// only know that the connection is gone; the socket knows how.
func (s *session) reason(r receipt) error {
	err := r.Error()
	if c := s.conn.cause(); err != nil && c != nil && !errors.Is(c, errDiscarded) {
		return c
	}
	return err
}
