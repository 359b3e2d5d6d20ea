package feeds

import (
	"context"
	"net/http"
	"sync"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/xively"
)

// maxHeld bounds the bytes of all answers that wait for the start of their
// subscriptions. One packet may hold a thousand of them, each of megabytes.
const maxHeld = 8 << 20

// once is a subscription that gets one message. Once that is sent it does not
// hold on to it, although its client may stay subscribed for ever.
type once struct {
	api     *API
	subject access.Subject
	push    func([]byte)

	asked gateway.Request // what to ask again; without a path: nothing

	mu   sync.Mutex
	body []byte // nil: to be asked for
	over bool
}

// newOnce keeps the answer to c. If there is no room for it, or the start comes
// again, it is asked for again: but for an activation, which happens once, all
// that subscriptions ask for changes nothing.
func (a *API) newOnce(c *call, body []byte, push func([]byte)) *once {
	o := &once{api: a, subject: c.subject, push: push}
	if c.path.Resource != xively.ResourceActivation {
		o.asked = c.Request
	}
	if n := int64(len(body)); a.held.Add(n) > maxHeld && o.asked.Path != "" {
		a.held.Add(-n)
	} else {
		o.body = body
	}
	return o
}

// drop lets go of the answer and gives it. o.mu is held.
func (o *once) drop() []byte {
	body := o.body
	o.api.held.Add(-int64(len(body)))
	o.body = nil
	return body
}

func (o *once) start() {
	o.mu.Lock()
	over, body := o.over, o.drop()
	o.mu.Unlock()
	switch {
	case over:
		return
	case body != nil:
	case o.asked.Path == "":
		return
	default: // not under the lock: it may take long
		resp := o.api.askAgain(o.asked)
		if resp.Status != http.StatusOK {
			return
		}
		body = resp.Body
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over || !o.api.cfg.Registry.Live(o.subject) {
		return
	}
	o.api.pushed.Add(1)
	o.push(body)
}

// askAgain answers what was answered before, without noting it twice.
func (a *API) askAgain(r gateway.Request) gateway.Response {
	answer := make(chan gateway.Response, 1)
	c := a.newCall(context.Background(), r, func(resp gateway.Response) { answer <- resp })
	c.again = true
	a.handle(c, nil)
	return <-answer
}

func (o *once) cancel() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	o.drop()
}
