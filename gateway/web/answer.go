package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// statuses gives each error its status; what is not here is the gateway's fault.
var statuses = []struct {
	err    error
	status int
}{
	{access.ErrBadCredentials, http.StatusUnauthorized},
	{access.ErrThrottled, http.StatusTooManyRequests},
	{access.ErrBusy, http.StatusServiceUnavailable},
	{gateway.ErrDenied, http.StatusForbidden},
	{gateway.ErrUnknownDevice, http.StatusNotFound},
	{gateway.ErrUnknownSensor, http.StatusNotFound},
	{gateway.ErrUnknownUser, http.StatusNotFound},
	{gateway.ErrExists, http.StatusConflict},
	{gateway.ErrDeclared, http.StatusConflict},
	{gateway.ErrTooLarge, http.StatusRequestEntityTooLarge},
	{gateway.ErrBadNumber, http.StatusBadRequest},
	{gateway.ErrBadTime, http.StatusBadRequest},
	{gateway.ErrTooDeep, http.StatusBadRequest},
	{gateway.ErrBadTopic, http.StatusBadRequest},
	{gateway.ErrBadID, http.StatusBadRequest},
	{gateway.ErrBadPayload, http.StatusBadRequest},
	{gateway.ErrBadCommand, http.StatusBadRequest},
	{gateway.ErrNotKept, http.StatusServiceUnavailable},
	{gateway.ErrClosed, http.StatusServiceUnavailable},
	{context.DeadlineExceeded, http.StatusServiceUnavailable},
	{context.Canceled, http.StatusServiceUnavailable},
}

// errBadQuery is a mistake in the query of a URL or in a body that is no
// payload of a dialect.
var errBadQuery = errors.New("bad request")

// fail answers with the status that fits err, and its text.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, c caller, err error) {
	status := http.StatusInternalServerError
	if errors.Is(err, errBadQuery) {
		status = http.StatusBadRequest
	}
	for _, e := range statuses {
		if errors.Is(err, e.err) {
			status = e.status
			break
		}
	}
	if status == http.StatusForbidden && c.subject.Anonymous() {
		status = http.StatusUnauthorized // a name might help
	}
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", basicChallenge)
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "60")
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
	}
	text := err.Error()
	if status == http.StatusInternalServerError {
		s.log.Error("request failed", "method", r.Method, "path", shownPath(r), "source", c.source, "error", err)
		text = "internal error"
	}
	http.Error(w, text, status)
}

// sendJSON answers with v as JSON.
func (s *Server) sendJSON(w http.ResponseWriter, r *http.Request, v any) {
	raw, err := encode(v)
	if err != nil {
		s.fail(w, r, caller{}, fmt.Errorf("web: answer: %w", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(raw, '\n'))
}

// encode is json.Marshal that leaves '<', '>' and '&' as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// body reads the whole body.
func body(r *http.Request) ([]byte, error) {
	b, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, fmt.Errorf("%w: the body has more than %d bytes", gateway.ErrTooLarge, tooLarge.Limit)
	case err != nil:
		return nil, fmt.Errorf("%w: body: %w", errBadQuery, err)
	}
	return b, nil
}

// bodyJSON reads the body into v; members that v does not have are a mistake.
func bodyJSON(r *http.Request, v any) error {
	b, err := body(r)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("%w: %v", errBadQuery, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("%w: something follows the JSON", errBadQuery)
	}
	return nil
}

// patient gives a request d more to be answered; 0 is as long as it takes.
func (s *Server) patient(w http.ResponseWriter, d time.Duration) {
	until := time.Time{}
	if d > 0 {
		until = time.Now().Add(d)
	}
	_ = http.NewResponseController(w).SetWriteDeadline(until) // not supported by test recorders
}

// stream is an answer of any length. The time limit starts anew with each
// write.
type stream struct {
	w     http.ResponseWriter
	ctl   *http.ResponseController
	limit time.Duration
	begun bool
}

func (s *Server) stream(w http.ResponseWriter) *stream {
	s.patient(w, s.cfg.Limits.Write)
	return &stream{w: w, ctl: http.NewResponseController(w), limit: s.cfg.Limits.Write}
}

// Write implements io.Writer.
func (st *stream) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	st.begun = true
	_ = st.ctl.SetWriteDeadline(time.Now().Add(st.limit)) // not supported by test recorders
	return st.w.Write(b)
}

// end finishes the answer. After an error one that has begun is cut, so that
// nobody takes it for whole.
func (s *Server) end(st *stream, r *http.Request, c caller, err error) {
	switch {
	case err == nil:
	case !st.begun:
		st.w.Header().Del("Content-Disposition")
		s.fail(st.w, r, c, err)
	default:
		if r.Context().Err() == nil {
			s.log.Warn("answer cut", "path", shownPath(r), "source", c.source, "error", err)
		}
		panic(http.ErrAbortHandler)
	}
}
