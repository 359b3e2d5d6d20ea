package broker

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// WebSocket gives the handler for MQTT over WebSocket (MQTT 5.0 chapter 6), to
// be mounted at /mqtt. Pages of other origins than the host they ask and those
// of Config.Origins are refused; programs send no origin. It answers 503 while
// the broker does not run.
func (b *Broker) WebSocket() http.Handler {
	up := websocket.Upgrader{
		Subprotocols:    []string{"mqtt", "mqttv3.1"},
		ReadBufferSize:  1024,
		WriteBufferSize: 1024,
		CheckOrigin:     b.originAllowed,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !b.ran.Load() || b.stopping.Load() {
			http.Error(w, "the broker is not running", http.StatusServiceUnavailable)
			return
		}
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			b.count.refused.add("websocket")
			return // Upgrade has answered
		}
		b.welcome(&wsConn{Conn: ws.NetConn(), ws: ws, remote: wsAddr(r.RemoteAddr)}, kindWS)
	})
}

func (b *Broker) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.ContainsFunc(b.cfg.Origins, func(o string) bool { return strings.EqualFold(o, origin) }) {
		return true
	}
	_, host, ok := strings.Cut(origin, "://")
	return ok && strings.EqualFold(host, r.Host)
}

type wsAddr string

func (a wsAddr) Network() string { return "tcp" }
func (a wsAddr) String() string  { return string(a) }

// wsConn reads and writes the bytes in binary frames. Frames need not hold
// whole packets (MQTT 5.0 section 6.0).
type wsConn struct {
	net.Conn // for deadlines and closing
	ws       *websocket.Conn
	frame    io.Reader
	remote   wsAddr
	deadline atomic.Pointer[time.Time] // for writing
}

var errTextFrame = errors.New("websocket: not a binary frame")

// Read implements net.Conn.
func (w *wsConn) Read(p []byte) (int, error) {
	for {
		if w.frame == nil {
			kind, r, err := w.ws.NextReader()
			if err != nil {
				return 0, err
			}
			if kind != websocket.BinaryMessage {
				return 0, errTextFrame
			}
			w.frame = r
		}
		n, err := w.frame.Read(p)
		if err == io.EOF {
			w.frame = nil
			if n == 0 {
				continue
			}
			err = nil
		}
		return n, err
	}
}

// Write implements net.Conn: one binary frame.
func (w *wsConn) Write(p []byte) (int, error) {
	if t := w.deadline.Load(); t != nil {
		_ = w.ws.SetWriteDeadline(*t) // has no error to return
	}
	if err := w.ws.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetWriteDeadline implements net.Conn. The websocket sets a deadline of its
// own before each frame, which is for the goroutine that writes to change.
func (w *wsConn) SetWriteDeadline(t time.Time) error {
	w.deadline.Store(&t)
	return w.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (w *wsConn) SetDeadline(t time.Time) error {
	return errors.Join(w.SetReadDeadline(t), w.SetWriteDeadline(t))
}

// Close implements net.Conn and says goodbye to the browser.
func (w *wsConn) Close() error {
	_ = w.ws.WriteControl(websocket.CloseMessage,
		websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	return w.Conn.Close()
}

// RemoteAddr implements net.Conn.
func (w *wsConn) RemoteAddr() net.Addr { return w.remote }
