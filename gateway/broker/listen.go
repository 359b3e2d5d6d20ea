package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// The kinds of connections.
const (
	kindTCP = "mqtt"
	kindTLS = "mqtts"
	kindWS  = "ws"
)

type listener struct {
	net.Listener
	kind string
}

// Listen opens an address for MQTT, with TLS if files is not nil, and gives the
// one that was taken. Connections are accepted when Run runs. An address in
// use or a certificate that cannot be read is an error at once.
func (b *Broker) Listen(addr string, files *TLS) (net.Addr, error) {
	kind := kindTCP
	var conf *tls.Config
	if files != nil {
		kind = kindTLS
		var err error
		if conf, err = b.tlsConfig(*files); err != nil {
			return nil, err
		}
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("broker: listen: %w", err)
	}
	if conf != nil {
		l = tls.NewListener(l, conf)
	}
	if err := b.attach(l, kind); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l.Addr(), nil
}

func (b *Broker) attach(l net.Listener, kind string) error {
	if b.ran.Load() {
		return errors.New("broker: listen after run")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listeners = append(b.listeners, &listener{Listener: l, kind: kind})
	return nil
}

// Close frees the addresses of a broker that will not run.
func (b *Broker) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	var errs []error
	for _, l := range b.listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// accepting accepts connections until the listener is closed. Other errors,
// such as too many open files, pass. Who connects again and again leaves the
// processor to those who are connected.
func (b *Broker) accepting(l *listener) {
	delay := time.Duration(0)
	paced := allowance{rate: b.limits.ConnectRate}
	for {
		if wait := paced.take(time.Now()); wait > 0 {
			select {
			case <-time.After(wait):
			case <-b.ctx.Done():
			}
		}
		raw, err := l.Accept()
		switch {
		case err == nil:
			delay = 0
			b.welcome(raw, l.kind)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			b.notice("accept", "a connection cannot be accepted", "address", l.Addr().String(), "error", err)
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(delay):
			case <-b.ctx.Done():
				return
			}
		}
	}
}

// pendingGrace is how long a connection may be silent before it has to make
// room for another; vacancyWait, how long another waits for room.
const (
	pendingGrace = 100 * time.Millisecond
	vacancyWait  = time.Second
)

// welcome serves a connection in a goroutine of its own. While there is no room
// for one more that has not been let in it waits, and with it those who come
// later.
func (b *Broker) welcome(raw net.Conn, kind string) {
	deadline := time.Now().Add(vacancyWait)
	for {
		c, again := b.enter(raw, kind)
		if c != nil {
			go b.serve(c)
			return
		}
		if again == 0 || time.Now().After(deadline) {
			b.count.refused.add("pending")
			_ = raw.Close()
			return
		}
		t := time.NewTimer(again)
		select {
		case <-b.vacancy:
		case <-t.C:
		case <-b.ctx.Done():
		}
		t.Stop()
	}
}

// enter registers a new connection; nil if there is no room, and after what
// time there may be some, 0 for never. If too many wait, the one that has been
// silent for longest goes: whoever connects and says nothing does not lock
// others out.
func (b *Broker) enter(raw net.Conn, kind string) (c *conn, again time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, 0
	}
	if b.waiting+b.loggingIn >= b.limits.Pending {
		var oldest *conn
		for c, silent := range b.conns {
			if silent && !c.since.IsZero() && (oldest == nil || c.since.Before(oldest.since)) {
				oldest = c
			}
		}
		if oldest == nil {
			return nil, pendingGrace // all of them are being looked at
		}
		if age := time.Since(oldest.since); age < pendingGrace {
			return nil, pendingGrace - age
		}
		b.count.refused.add("pending")
		b.conns[oldest] = false
		b.waiting--
		oldest.abort()
	}
	b.seq++
	c = newConn(b, raw, kind)
	c.seq = b.seq
	b.conns[c] = true
	b.waiting++
	b.wg.Add(1)
	return c, 0
}

// vacant tells welcome that there may be room.
func (b *Broker) vacant() {
	select {
	case b.vacancy <- struct{}{}:
	default:
	}
}

// heard notes that CONNECT came. False: the connection had to make room.
func (b *Broker) heard(c *conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.conns[c] {
		return false
	}
	b.conns[c] = false
	b.waiting--
	b.loggingIn++
	return true
}

// admitted notes that a client is let in, if there is room.
func (b *Broker) admitted() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.online >= b.limits.Clients || b.closed {
		return false
	}
	b.loggingIn--
	b.online++
	b.onlineMax = max(b.onlineMax, b.online)
	b.vacant()
	return true
}

// serve takes a connection from its first byte to its last.
func (b *Broker) serve(c *conn) {
	defer b.wg.Done()
	state := &serving{}
	defer func() {
		_ = c.Close()
		b.mu.Lock()
		switch {
		case state.online:
			b.online--
		case state.heard:
			b.loggingIn--
		case b.conns[c]:
			b.waiting--
		}
		delete(b.conns, c)
		b.vacant()
		b.mu.Unlock()
		<-c.flushed
	}()
	defer b.caught("connection")
	defer func() {
		if c.sess != nil {
			c.sess.leave(c)
			b.log.Debug("client gone", "source", c.source)
		}
		if state.key != "" {
			b.release(state.key)
		}
	}()
	// The handshake goes deep. In a goroutine of its own it leaves the stack of
	// this one small, which lasts as long as the connection.
	greeted := make(chan bool)
	go func() {
		ok := false
		defer func() { greeted <- ok }()
		defer b.caught("handshake")
		ok = b.greet(c, state)
	}()
	if <-greeted {
		c.loop()
	}
}

// serving is how far a connection has come.
type serving struct {
	heard, online bool
	key           string // of the session, while it is claimed
}

// greet says whether the client is connected; otherwise it has been refused.
func (b *Broker) greet(c *conn, state *serving) bool {
	b.mu.Lock()
	c.since = time.Now()
	b.mu.Unlock()
	_ = c.raw.SetDeadline(time.Now().Add(b.limits.ConnectTimeout))
	h, err := c.receiveConnect()
	if err == nil && !b.heard(c) {
		err = errNoWord
	}
	if err != nil {
		c.refuse(err)
		return false
	}
	state.heard = true
	c.source = fmt.Sprintf("mqtt %s (%s)", shown(h.clientID), c.remote)
	subject, err := c.login(b.ctx, h)
	if err != nil {
		c.refuse(err)
		return false
	}
	key := sessionKey(subject, h.clientID)
	if err := b.claim(c, key); err != nil {
		c.refuse(err)
		return false
	}
	state.key = key
	if !b.admitted() {
		c.refuse(errTooManyClients)
		return false
	}
	state.online = true
	s, present, err := b.open(c, h, subject)
	if err != nil {
		c.refuse(err)
		return false
	}
	c.sess, c.present, c.asked = s, present, *h
	c.asked.password = nil
	c.idle = time.Duration(h.keepAlive) * time.Second * 3 / 2 // MQTT 5.0 section 3.1.2.10
	_ = c.raw.SetDeadline(time.Time{})
	b.count.connections.Add(1)
	b.log.Debug("client connected", "source", c.source, "credential", subject.String(), "kind", c.kind, "version", c.version, "present", present)
	_ = b.server.EstablishConnection(c.kind, &greeting{c: c, rest: introduction(h)}) // ends with io.EOF
	return c.established.Load()
}
