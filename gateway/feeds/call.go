package feeds

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/xively"
)

// call is one request being answered. Its handler calls one of reply, written,
// created and fail, now or later, from any goroutine.
type call struct {
	gateway.Request
	api     *API
	ctx     context.Context
	path    xively.Path
	subject access.Subject // whose rights count: of the request's key, else of the connection
	began   time.Time
	done    func(gateway.Response)
	again   bool // it is in the request log already

	answered atomic.Bool
}

// reply answers 200, with body in the path's format.
func (c *call) reply(body []byte) {
	c.answer(gateway.Response{Status: http.StatusOK, ContentType: c.path.Format.ContentType(), Body: body})
}

// written answers what was changed or deleted: 200 and, as the original did, a
// space.
func (c *call) written() {
	c.answer(gateway.Response{Status: http.StatusOK, ContentType: c.path.Format.ContentType(), Body: []byte(" ")})
}

// created answers 201. Path is that of what was made, such as "/feeds/504".
func (c *call) created(path string) {
	c.answer(gateway.Response{Status: http.StatusCreated, ContentType: c.path.Format.ContentType(), Body: []byte(" "),
		Location: c.location(path)})
}

// location is the URL of what was made, as the client reaches it.
func (c *call) location(path string) string {
	base := c.Base
	if base == "" {
		base = c.api.cfg.BaseURL
	}
	return base + "/v2" + path
}

// fail answers err: an *xively.Error as it is, errors of package gateway and
// access in the API's words.
func (c *call) fail(err error) {
	said, cause := c.words(err)
	f := c.path.Format
	if f == xively.CSV || f == 0 {
		f = xively.JSON
	}
	c.answer(gateway.Response{Status: said.Status, ContentType: f.ContentType(), Err: cause,
		Body: xively.AppendError(nil, f, said)})
}

// words gives err in the words of the API, and an error that wraps one of
// package gateway or access.
func (c *call) words(err error) (said *xively.Error, cause error) {
	if errors.As(err, &said) {
		kind := gateway.ErrBadPayload
		switch said.Status {
		case http.StatusUnauthorized, http.StatusForbidden:
			kind = gateway.ErrDenied
		case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable:
			kind = gateway.ErrBadTopic
		case http.StatusRequestEntityTooLarge:
			kind = gateway.ErrTooLarge
		case http.StatusInternalServerError:
			return said, err // nobody's fault but ours
		}
		return said, refusal{kind, err}
	}
	switch {
	case errors.Is(err, access.ErrBadCredentials):
		said = xively.Unauthorized()
		err = plain("a good API key is needed", gateway.ErrDenied, err)
	case errors.Is(err, access.ErrThrottled), errors.Is(err, access.ErrBusy):
		text := "too many failed logins from this address"
		if errors.Is(err, access.ErrBusy) {
			text = "too many logins at once"
		}
		err = plain(text, gateway.ErrDenied, err)
		said = &xively.Error{Status: http.StatusForbidden, Title: "Forbidden", Text: text}
		if c.path.Version == xively.V1 {
			said.Status = http.StatusServiceUnavailable
		}
	case errors.Is(err, gateway.ErrDenied):
		said = xively.Forbidden()
	case errors.Is(err, gateway.ErrDeclared):
		err = gateway.ErrDeclared // without what the registry says before it
		said = &xively.Error{Status: http.StatusForbidden, Title: "Forbidden", Text: err.Error()}
	case errors.Is(err, gateway.ErrUnknownDevice) && c.path.Feed != 0:
		said = xively.NotFound()
		err = plain(fmt.Sprintf("there is no feed %d", c.path.Feed), err)
	case errors.Is(err, gateway.ErrUnknownSensor) && c.path.Datastream != "":
		said = xively.NotFound()
		err = plain(fmt.Sprintf("there is no datastream %q in feed %d", c.path.Datastream, c.path.Feed), err)
	case errors.Is(err, gateway.ErrUnknownDevice), errors.Is(err, gateway.ErrUnknownSensor), errors.Is(err, gateway.ErrUnknownUser):
		said = xively.NotFound()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		said = &xively.Error{Status: http.StatusServiceUnavailable, Title: "Service Unavailable",
			Text: "the disk does not take it now; it may be stored when it does"}
	case errors.Is(err, gateway.ErrNotKept), errors.Is(err, gateway.ErrClosed):
		said = &xively.Error{Status: http.StatusServiceUnavailable, Title: "Service Unavailable", Text: err.Error()}
	case gateway.Reason(err) != "other":
		said = &xively.Error{Status: http.StatusUnprocessableEntity, Title: "Unprocessable Entity", Text: err.Error()}
	default:
		c.api.log.Error("request failed", "method", c.Method, "path", c.api.shown(c.Path), "source", c.Source, "error", err)
		said = &xively.Error{Status: http.StatusInternalServerError, Title: "Internal Server Error", Text: "internal error"}
	}
	return said, err
}

// plain is an error with a text for people, which is of all the given ones.
func plain(text string, of ...error) error { return reason{text, of} }

type reason struct {
	text string
	of   []error
}

func (r reason) Error() string { return r.text }

func (r reason) Unwrap() []error { return r.of }

// refusal is an error of kind, one of package gateway, in the API's own words.
type refusal struct{ kind, said error }

func (r refusal) Error() string { return r.said.Error() }

func (r refusal) Unwrap() []error { return []error{r.kind, r.said} }

// answer gives the response to the request log and to whoever asked. Only the
// first one counts: a handler that fails, or a caller that waits no longer, may
// come after or before another answer.
func (c *call) answer(r gateway.Response) {
	if c.answered.Swap(true) {
		return
	}
	if c.again {
		c.done(r)
		return
	}
	if class := r.Status / 100; class >= 0 && class < len(c.api.statuses) {
		c.api.statuses[class].Add(1)
	}
	c.api.requests.note(c, &r)
	c.done(r)
}

// ask is what access decides about: the call's method with right on a feed and
// maybe a datastream of it.
func (c *call) ask(right access.Right, feed uint64, datastream string) access.Ask {
	return access.Ask{Method: strings.ToLower(c.Method), Right: right, Feed: feed, Datastream: datastream, Addr: c.Addr, Referer: c.Referer}
}

// may decides about the call with right on a feed (0: none) and maybe a
// datastream of it. The error is for fail.
func (c *call) may(right access.Right, feed uint64, datastream string) (access.Permission, error) {
	return c.api.cfg.Registry.Authorize(c.subject, c.ask(right, feed, datastream))
}

// mayAll decides whether the caller has a master key, or is an account itself.
func (c *call) mayAll() error {
	if _, err := c.may(0, 0, ""); err != nil {
		return err
	}
	if c.subject.Key == "" {
		return nil
	}
	if k, ok := c.api.cfg.Registry.Key(c.subject.Key); !ok || !k.Master() {
		return fmt.Errorf("%w: a master key is needed", gateway.ErrDenied)
	}
	return nil
}
