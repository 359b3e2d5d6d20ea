package broker

import (
	"errors"
	"fmt"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/waziup"
)

// publication is a message from a client, or the will of one. What its way
// takes is one piece of memory: there is one for each publish.
type publication struct {
	ticket   // of a client's
	from     access.Subject
	clientID string
	addr     string // of the client
	source   string
	msg      gateway.Message
	batch    gateway.Batch
	one      [1]gateway.Reading // room for what most have
}

// publish handles a PUBLISH. An error ends the connection.
func (c *conn) publish(pk *packets.Packet) error {
	c.b.count.messagesIn.Add(1)
	topic, err := c.resolve(pk)
	if err != nil {
		return err
	}
	p := &publication{ticket: ticket{id: pk.PacketID, qos: pk.FixedHeader.Qos}}
	t := &p.ticket
	if t.qos == 2 {
		if repeated, pending := c.sess.begin2(t); repeated {
			if !pending {
				c.replyStored(packets.Pubrec, t.id, codeSuccess)
			}
			return nil
		}
	}
	if t.qos > 0 {
		if err := c.admit(t); err != nil {
			c.sess.received2(t, 0, true)
			return err
		}
	}
	p.from, p.clientID, p.addr, p.source = c.sess.subject, c.sess.clientID, c.remote, c.source
	p.msg = gateway.Message{Topic: topic, Payload: pk.Payload, QoS: t.qos,
		Retain: pk.FixedHeader.Retain, Client: c.sess.key}
	p.batch.Mark, p.batch.Recorded = t.mark, t.recorded
	if c.cut {
		p.msg.Payload = overlong(pk.Payload)
	}
	if c.version == 5 {
		p.msg.Props, p.msg.Expires = c.b.travelling(&pk.Properties), expiry(&pk.Properties)
	}
	c.b.accept(p, func(err error) { c.concluded(t, p.msg.Topic, err) })
	return nil
}

// concluded answers a publish whose outcome is known.
func (c *conn) concluded(t *ticket, topic string, err error) {
	code, reason, silent := verdict(err)
	if err == nil && t.qos > 0 && c.version == 5 && c.b.unheard(topic) {
		code = codeNoSubscribers
	}
	if silent && t.qos > 0 {
		c.unkept.Store(true) // before anybody hears of the refusal and mends its cause
	}
	if err != nil && !errors.Is(err, gateway.ErrClosed) {
		c.b.hub.Refused(c.source, c.b.masked(topic), err)
	}
	if t.qos == 0 {
		return
	}
	if !silent && t.qos == 2 && c.sess.taken2(t, code) {
		c.afterStored(func(err error) { c.finish(t, code, reason, err != nil) })
		return
	}
	c.finish(t, code, reason, silent)
}

// finish answers t. Unless it is silent, the session knows on disk what came of
// it, if it has to.
func (c *conn) finish(t *ticket, code byte, reason string, silent bool) {
	c.settle(t, code, reason, silent)
	if t.mark.Session != 0 && !silent {
		c.b.marks.ForgetMarks(t.mark.Session, t.mark.Count)
	}
}

// unheard says that nothing came of a message: nobody subscribes to its topic
// (MQTT 5.0 section 3.4.2.1), and it is no reading, change or request.
func (b *Broker) unheard(topic string) bool {
	if b.requests(topic) || b.index.some(topic) {
		return false
	}
	_, dialect, err := waziup.ParseTopic(topic)
	return !dialect && err == nil
}

// accept takes a message to the Hub with the rights its sender has now. Done
// is called exactly once with the outcome, by this goroutine or another; it
// must not block.
func (b *Broker) accept(p *publication, done func(error)) {
	b.under.add()
	finish := func(err error) {
		defer b.under.done()
		defer b.caught("acknowledge")
		done(err)
	}
	answered := false
	defer func() {
		if !answered { // a panic on its way
			b.under.done()
		}
	}()
	err := b.submit(p, finish)
	answered = true
	if err != nil {
		finish(err)
	}
}

// submit is accept up to the Hub's answer. With an error done is not called.
func (b *Broker) submit(p *publication, done func(error)) error {
	m := &p.msg
	if b.requests(m.Topic) {
		b.request(p, done)
		return nil
	}
	if !b.withinLimits(m.Topic) {
		return fmt.Errorf("%w: longer than %d bytes or deeper than %d levels", gateway.ErrBadTopic, b.limits.TopicBytes, b.limits.TopicLevels)
	}
	p.batch.From, p.batch.Source, p.batch.Carrier, p.batch.Wait, p.batch.Done = p.from, p.source, m, m.QoS > 0, done
	t, ok, err := waziup.ParseTopic(m.Topic)
	switch {
	case err != nil:
		return err
	case ok:
		return b.submitDialect(p, t)
	}
	switch r, _ := b.reachOf(m.Topic); r {
	case reachStatus, reachGateway, reachSystem:
		return fmt.Errorf("%w: only the gateway publishes there", gateway.ErrDenied)
	}
	if !b.access.TopicAllowed(p.from, p.clientID, m.Topic, true) {
		return fmt.Errorf("%w: %s may not publish there", gateway.ErrDenied, p.from)
	}
	if m.Retain && len(m.Payload) > 0 && !b.retained.hasRoom(m.Topic, len(m.Topic)+len(m.Payload)+messageOverhead) {
		return fmt.Errorf("%w: the store of retained messages is full", gateway.ErrTooLarge)
	}
	return b.hub.Submit(&p.batch)
}

// submitDialect takes a message on a topic of the Waziup dialect to the Hub.
func (b *Broker) submitDialect(p *publication, t waziup.Topic) error {
	batch, m := &p.batch, &p.msg
	kind, channel, values := t.Reading()
	if m.Retain && len(m.Payload) == 0 { // nobody deletes a device by clearing its topic
		return b.clear(p, t, batch)
	}
	if !values {
		req, err := waziup.DecodeChange(t, m.Payload)
		if err != nil {
			return err
		}
		return b.hub.Change(batch, req)
	}
	add := func(s waziup.Sample) {
		batch.Readings = append(batch.Readings, gateway.Reading{
			Kind: kind, Device: t.Device, Channel: channel, Value: s.Value, Time: s.Time})
	}
	if t.Kind == waziup.SensorValues || t.Kind == waziup.ActuatorValues {
		samples, err := waziup.DecodeValues(m.Payload)
		if err != nil {
			return err
		}
		batch.Readings = make([]gateway.Reading, 0, len(samples))
		for _, s := range samples {
			add(s)
		}
		return b.hub.Submit(batch)
	}
	s, err := waziup.DecodeValue(m.Payload)
	if err != nil {
		return err
	}
	batch.Readings = p.one[:0]
	add(s)
	return b.hub.Submit(batch)
}

// clear removes a retained message by an empty one (MQTT 5.0 section
// 3.3.1.3), which is no reading and asks for no deletion. Who may publish
// readings may do it; elsewhere it takes the right to manage the device.
func (b *Broker) clear(p *publication, t waziup.Topic, batch *gateway.Batch) error {
	need := access.Manage
	if _, _, values := t.Reading(); values {
		need = access.Publish
	}
	if !b.access.Can(p.from, need, t.Device) {
		return fmt.Errorf("%w: %s may not clear this topic", gateway.ErrDenied, p.from)
	}
	b.Deliver(batch, nil, batch.Done)
	return nil
}
