package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Radio is what administrators may do with the gateway's radios.
type Radio interface {
	// Radios tells how they are doing, as JSON.
	Radios() any
	// Listen calls fn with each frame that is heard or sent, one JSON object, until
	// ctx ends or fn returns an error, which it returns, or until the radios are
	// stopped.
	Listen(ctx context.Context, fn func(event []byte) error) error
	// Send has a frame sent and returns when it was. The error wraps ErrBadSend if
	// it is not one that can be, ErrNotSent if the radio did not send it.
	Send(ctx context.Context, f RadioSend) error
}

// RadioSend is the body of POST /admin/radio/send.
type RadioSend struct {
	Radio     string  `json:"radio"`     // its name; "": the only one
	Frequency float64 `json:"frequency"` // MHz
	DataRate  string  `json:"data_rate"` // such as "SF7BW125"
	Power     int8    `json:"power"`     // dBm
	InvertIQ  bool    `json:"invert_iq"` // as LoRaWAN's downlinks are
	CRC       bool    `json:"crc"`
	Payload   string  `json:"payload"` // in hex, up to 255 bytes
}

// Errors of Radio.Send.
var (
	ErrBadSend = errors.New("cannot be sent") // as it is
	ErrNotSent = errors.New("was not sent")
)

func (s *Server) getRadios(w http.ResponseWriter, r *http.Request, _ caller) {
	s.sendJSON(w, r, s.cfg.Radio.Radios())
}

// getFrames sends a line for each frame until the client goes or the server stops.
func (s *Server) getFrames(w http.ResponseWriter, r *http.Request, c caller) {
	w.Header().Set("Content-Type", "application/jsonl")
	st := s.stream(w)
	_ = st.ctl.SetReadDeadline(time.Time{}) // else its passing counts as the client's end
	w.WriteHeader(http.StatusOK)
	st.begun = true
	_ = st.ctl.Flush() // so that the client knows that it is being served
	err := s.cfg.Radio.Listen(r.Context(), func(event []byte) error {
		if _, err := st.Write(append(event, '\n')); err != nil {
			return err
		}
		return st.ctl.Flush()
	})
	if errors.Is(err, context.Canceled) {
		return
	}
	s.end(st, r, c, err)
}

func (s *Server) sendFrame(w http.ResponseWriter, r *http.Request, c caller) {
	var f RadioSend
	err := bodyJSON(r, &f)
	if err == nil {
		err = s.cfg.Radio.Send(r.Context(), f)
	}
	switch {
	case errors.Is(err, ErrBadSend):
		err = fmt.Errorf("%w: %w", errBadQuery, err)
	case errors.Is(err, ErrNotSent): // the administrator is to know why
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	s.done(w, r, c, err)
}
