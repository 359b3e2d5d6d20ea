package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"fieldgate/gateway/xively"
)

// Server serves HTTP on TCP and, for the command line tools, on a Unix socket.
type Server struct {
	cfg     Config
	log     *slog.Logger
	handler http.Handler
	conns   *conns

	mu        sync.Mutex
	tcp, unix []net.Listener

	running sync.WaitGroup // handlers, without MQTT over WebSocket
	hashing sync.Mutex     // one new password at a time: each takes 19 MiB
	editing sync.Mutex     // devices are read, changed and put back
	stats   serverStats
}

type serverStats struct {
	byClass [6]atomic.Uint64 // answers by the first digit of the status
	panics  atomic.Uint64
}

// Stats counts what a Server did.
type Stats struct {
	Answers [6]uint64 // by the first digit of the status: Answers[2] were successes
	Panics  uint64    // in handlers; each ended its own request only
	Open    int       // connections now, without MQTT over WebSocket
	Evicted uint64    // connections closed because there were too many
}

// New makes a server without listeners.
func New(cfg Config) *Server {
	cfg.Limits.defaults()
	s := &Server{cfg: cfg, log: cfg.Logger, conns: newConns(cfg.Limits.Conns, cfg.Limits.ConnsPerAddress)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.handler = s.wrap(s.routes())
	return s
}

// ServeHTTP answers a request as one that came in by TCP.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Stats gives the counters.
func (s *Server) Stats() Stats {
	out := Stats{Panics: s.stats.panics.Load()}
	for i := range out.Answers {
		out.Answers[i] = s.stats.byClass[i].Load()
	}
	out.Open, out.Evicted = s.conns.count()
	return out
}

// Keys of a request's context.
type (
	connKey struct{} // *conn
	unixKey struct{} // true: came in by the Unix socket
)

// grace is how long running requests may take after Run was told to stop.
const grace = time.Second

// Run serves the listeners until ctx ends, then closes them, waits a second for
// requests that are being answered and ends the rest. It returns nil then, or
// the error of a listener that ended by itself. Connections of MQTT over
// WebSocket are left to their handler.
func (s *Server) Run(ctx context.Context) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	tcp := s.server(base)
	tcp.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	tcp.ConnState = func(c net.Conn, state http.ConnState) {
		if c, ok := c.(*conn); ok && state == http.StateHijacked {
			s.conns.remove(c)
		}
	}
	unix := s.server(context.WithValue(base, unixKey{}, true))

	s.mu.Lock()
	ended := make(chan error, len(s.tcp)+len(s.unix))
	for _, l := range s.tcp {
		go func() { ended <- tcp.Serve(l) }()
	}
	for _, l := range s.unix {
		go func() { ended <- unix.Serve(l) }()
	}
	left := cap(ended)
	s.mu.Unlock()

	var err error
	select {
	case <-ctx.Done():
	case err = <-ended:
		left--
		err = fmt.Errorf("web: serve: %w", err)
	}
	stop, cancelStop := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancelStop()
	for _, h := range []*http.Server{tcp, unix} {
		if h.Shutdown(stop) != nil {
			cancel() // handlers that wait for the disk give up
			_ = h.Close()
		}
	}
	for range left {
		<-ended
	}
	s.running.Wait()
	return err
}

// Close closes the listeners of a server that was never run.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, l := range append(s.tcp, s.unix...) {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s *Server) server(base context.Context) *http.Server {
	l := s.cfg.Limits
	return &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: l.Header,
		ReadTimeout:       l.Header + l.Body,
		WriteTimeout:      l.Disk + l.Write, // answers that stream go on as long as they are read
		IdleTimeout:       l.Idle,
		MaxHeaderBytes:    l.HeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return base },
	}
}

// wrap puts around all handlers what all have in common.
func (s *Server) wrap(mux http.Handler) http.Handler {
	// A page of another site must not be able to send changes with the password
	// that the browser remembers. Clients that are no browsers say nothing
	// about where they come from.
	guarded := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			c.serve(true)
			defer c.serve(false)
		}
		if r.URL.Path == mqttPath && s.cfg.MQTT != nil {
			defer s.recovered(w, r)
			s.cfg.MQTT.ServeHTTP(w, r)
			return
		}
		s.running.Add(1)
		defer s.running.Done()
		a := &answer{ResponseWriter: w}
		defer func() {
			orElse(&a.status, http.StatusOK) // nothing was written
			s.stats.byClass[min(a.status/100, 5)].Add(1)
		}()
		defer s.recovered(a, r)
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		if s.asksAPI(r) {
			s.askAPI(a, r) // which has an answer of its own to other sites' pages, and to long bodies
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, s.cfg.Limits.BodyBytes)
		guarded.ServeHTTP(a, r)
	})
}

// recovered ends a request that panicked, and nothing else.
func (s *Server) recovered(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	s.stats.panics.Add(1)
	s.log.Error("panic in a request", "method", r.Method, "path", shownPath(r), "panic", p, "stack", string(debug.Stack()))
	if a, ok := w.(*answer); ok && a.status == 0 {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	panic(http.ErrAbortHandler) // the answer has begun: cut it, so that it is not taken for whole
}

// answer remembers the status.
type answer struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController at the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// shownPath is the path of r as it may stand in logs: some of the API's have a
// key in them.
func shownPath(r *http.Request) string {
	return shorten(xively.MaskPath(r.URL.Path, func(string) string { return "***" }))
}

func shorten(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
