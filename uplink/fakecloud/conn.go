package fakecloud

import (
	"bufio"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"fieldgate/gateway/access"
)

// conn is one connection of a client.
type conn struct {
	cloud *Cloud
	nc    net.Conn
	dead  chan struct{} // closed by kill
	once  sync.Once
	ended chan struct{} // the client's leaving has been dealt with

	// Under cloud.mu:
	session *session
	will    *Message
	held    []packets.ControlPacket // acknowledgements held back

	out  sync.Mutex // of buf
	buf  []packets.ControlPacket
	wake chan struct{}
}

// maxQueued is how many packets may wait for a client that does not read.
const maxQueued = 100_000

// writeTimeout is how long one write to a client may take.
const writeTimeout = 10 * time.Second

var errProtocol = errors.New("protocol violation")

func newConn(c *Cloud, nc net.Conn) *conn {
	return &conn{cloud: c, nc: nc, dead: make(chan struct{}), ended: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// kill closes the connection abruptly.
func (cn *conn) kill() {
	cn.once.Do(func() {
		close(cn.dead)
		reset(cn.nc)
	})
}

// send queues a packet. It does not block.
func (cn *conn) send(p packets.ControlPacket) {
	cn.out.Lock()
	cn.buf = append(cn.buf, p)
	full := len(cn.buf) > maxQueued
	cn.out.Unlock()
	if full {
		cn.kill()
	}
	select {
	case cn.wake <- struct{}{}:
	default:
	}
}

// write writes what is queued until the connection ends.
func (cn *conn) write() {
	w := bufio.NewWriter(cn.nc)
	for {
		select {
		case <-cn.wake:
		case <-cn.dead:
			return
		}
		cn.out.Lock()
		batch := cn.buf
		cn.buf = nil
		cn.out.Unlock()
		_ = cn.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
		for _, p := range batch {
			if p.Write(w) != nil {
				cn.kill()
				return
			}
		}
		if w.Flush() != nil {
			cn.kill()
			return
		}
	}
}

// run reads from the client until the connection ends.
func (cn *conn) run() {
	defer close(cn.ended)
	polite := cn.read()
	cn.kill()
	c := cn.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, cn)
	cn.leave(polite)
	c.event()
}

// read handles packets. It reports whether the client said goodbye.
func (cn *conn) read() (polite bool) {
	r := bufio.NewReader(cn.nc)
	_ = cn.nc.SetReadDeadline(time.Now().Add(connectTimeout))
	first, err := packets.ReadPacket(r)
	if err != nil {
		return false
	}
	connect, ok := first.(*packets.ConnectPacket)
	if !ok || !cn.connect(connect) {
		return false
	}
	patience := time.Duration(connect.Keepalive) * time.Second * 3 / 2
	for {
		cn.cloud.mu.Lock()
		deaf := cn.cloud.deaf
		cn.cloud.mu.Unlock()
		if deaf != nil {
			select {
			case <-deaf:
			case <-cn.dead:
				return false
			}
		}
		deadline := time.Time{}
		if patience > 0 {
			deadline = time.Now().Add(patience)
		}
		_ = cn.nc.SetReadDeadline(deadline)
		p, err := packets.ReadPacket(r)
		if err != nil {
			return false
		}
		if _, bye := p.(*packets.DisconnectPacket); bye {
			return true
		}
		if cn.handle(p) != nil {
			return false
		}
	}
}

// connect begins or resumes a session.
func (cn *conn) connect(p *packets.ConnectPacket) bool {
	ack := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
	if ack.ReturnCode = p.Validate(); ack.ReturnCode != packets.Accepted {
		_ = cn.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
		_ = ack.Write(cn.nc) // nothing else writes yet
		return false
	}
	c := cn.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.sessions[p.ClientIdentifier]
	if old != nil && old.conn != nil { // takeover (MQTT 3.1.1 section 3.1.4)
		taken := old.conn
		taken.leave(false)
		taken.kill()
	}
	s := c.sessions[p.ClientIdentifier]
	ack.SessionPresent = s != nil && !p.CleanSession
	if !ack.SessionPresent {
		s = newSession(p.ClientIdentifier, p.CleanSession)
		c.sessions[p.ClientIdentifier] = s
	}
	s.clean, s.conn, cn.session = p.CleanSession, cn, s
	if p.WillFlag {
		cn.will = &Message{Client: s.client, Topic: p.WillTopic, Payload: p.WillMessage, QoS: p.WillQos, Retain: p.WillRetain, Will: true}
	}
	c.connects[s.client]++
	cn.send(ack)
	s.resend()
	c.event()
	return true
}

// leave ends the client's presence, once. It is called with cloud.mu held.
func (cn *conn) leave(polite bool) {
	s := cn.session
	if s == nil {
		return
	}
	cn.session, s.conn = nil, nil
	if s.clean {
		delete(cn.cloud.sessions, s.client)
	}
	if cn.will != nil && !polite {
		cn.cloud.take(*cn.will)
	}
	cn.will = nil
}

// handle deals with one packet of a connected client.
func (cn *conn) handle(p packets.ControlPacket) error {
	c := cn.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	s := cn.session
	if s == nil { // another connection took over
		return errProtocol
	}
	switch p := p.(type) {
	case *packets.PublishPacket:
		return cn.published(p)
	case *packets.PubrelPacket:
		delete(s.received, p.MessageID)
		ack := packets.NewControlPacket(packets.Pubcomp).(*packets.PubcompPacket)
		ack.MessageID = p.MessageID
		cn.acknowledge(ack)
	case *packets.PubackPacket:
		s.settled(p.MessageID)
		c.event()
	case *packets.SubscribePacket:
		cn.subscribe(p)
	case *packets.UnsubscribePacket:
		for _, f := range p.Topics {
			delete(s.filters, f)
		}
		ack := packets.NewControlPacket(packets.Unsuback).(*packets.UnsubackPacket)
		ack.MessageID = p.MessageID
		cn.send(ack)
		c.event()
	case *packets.PingreqPacket:
		cn.send(packets.NewControlPacket(packets.Pingresp))
	default:
		return errProtocol
	}
	return nil
}

// published takes a message as the script wants it.
func (cn *conn) published(p *packets.PublishPacket) error {
	m := Message{Client: cn.session.client, Topic: p.TopicName, Payload: p.Payload, QoS: p.Qos, Retain: p.Retain, Dup: p.Dup}
	if !access.ValidTopic(m.Topic) || p.Qos > 2 {
		return errProtocol
	}
	verdict := cn.cloud.judge(m)
	switch verdict {
	case Close:
		return errProtocol
	case Ignore:
		return nil
	}
	switch {
	case p.Qos < 2:
		cn.cloud.take(m)
	case !cn.session.received[p.MessageID]:
		cn.session.received[p.MessageID] = true
		cn.cloud.take(m)
	}
	switch {
	case verdict == CloseAfter:
		return errProtocol
	case verdict == Silence, p.Qos == 0:
	case p.Qos == 1:
		ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
		ack.MessageID = p.MessageID
		cn.acknowledge(ack)
	case p.Qos == 2:
		ack := packets.NewControlPacket(packets.Pubrec).(*packets.PubrecPacket)
		ack.MessageID = p.MessageID
		cn.acknowledge(ack)
	}
	return nil
}

// acknowledge sends an acknowledgement, or holds it back.
func (cn *conn) acknowledge(p packets.ControlPacket) {
	if cn.cloud.holding {
		cn.held = append(cn.held, p)
		return
	}
	cn.send(p)
}

// release sends what was held back.
func (cn *conn) release() {
	for _, p := range cn.held {
		cn.send(p)
	}
	cn.held = nil
}

// subscribe grants all valid filters, then sends what is retained for them
// (MQTT 3.1.1 section 3.8.4).
func (cn *conn) subscribe(p *packets.SubscribePacket) {
	s := cn.session
	ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
	ack.MessageID = p.MessageID
	for i, f := range p.Topics {
		if !access.ValidFilter(f) || p.Qoss[i] > 2 || cn.cloud.denied(f) {
			ack.ReturnCodes = append(ack.ReturnCodes, 0x80)
			continue
		}
		qos := min(p.Qoss[i], 1)
		s.filters[f] = qos
		ack.ReturnCodes = append(ack.ReturnCodes, qos)
	}
	cn.send(ack)
	for i, f := range p.Topics {
		if ack.ReturnCodes[i] > 1 {
			continue
		}
		for _, m := range cn.cloud.retained {
			if access.MatchTopic(f, m.Topic) {
				m.QoS = min(m.QoS, ack.ReturnCodes[i])
				s.deliver(m)
			}
		}
	}
	cn.cloud.event()
}
