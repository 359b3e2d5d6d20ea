package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// Hub is where publishes go (gateway.Hub).
type Hub interface {
	// Submit takes a batch. An error is a refusal: Done is not called then.
	Submit(b *gateway.Batch) error
	// Change asks for a registry change that came as b.Carrier. Errors and
	// Done as with Submit.
	Change(b *gateway.Batch, req gateway.ChangeRequest) error
	// Refused counts a message that was refused, and logs it now and then.
	// It is called once for each refusal, those by Submit and Change included.
	Refused(source, topic string, err error)
}

// Access decides who may connect and who may read and write what. All methods
// may be called from many goroutines; all but Login must not block.
type Access interface {
	// Login checks a name and a password that came from addr. Without a user
	// name and a password it decides on anonymous clients. Errors wrap
	// access.ErrBadCredentials, access.ErrThrottled or access.ErrBusy.
	Login(ctx context.Context, addr, user string, password []byte, passwordGiven bool) (access.Subject, error)
	// Live says whether the account or key behind s still exists.
	Live(s access.Subject) bool
	// Admin says whether s is an administrator now.
	Admin(s access.Subject) bool
	// Can decides on a device; false for an unknown one.
	Can(s access.Subject, r access.Right, device string) bool
	// TopicAllowed decides on a topic outside the dialects.
	TopicAllowed(s access.Subject, clientID, topic string, write bool) bool
	// FilterAllowed says whether a topic that matches filter could be readable.
	FilterAllowed(s access.Subject, clientID, filter string) bool
}

// Limits bounds what clients can make the broker spend. A zero field is set
// to its default.
type Limits struct {
	ConnectTimeout time.Duration // from accept until CONNECT is complete; 10 s
	ConnectSize    int           // bytes of CONNECT; 64 KiB
	PacketSize     int           // bytes of any other packet, header included; 2 MiB
	Clients        int           // connected at once; 1,000
	Pending        int           // connections that have not been let in yet; 100
	ConnectRate    int           // connections accepted a second by a listener, after twice as many at once; 500
	WriteBuffer    int           // bytes waiting for one connection's socket; 1 MiB
	WriteTotal     int           // bytes waiting for all sockets, about: the more wait, the less one connection may have; 32 MiB
	WriteTimeout   time.Duration // for 16 KiB to leave; 10 s

	TopicBytes     int // of a topic or filter; 256
	TopicLevels    int // of a topic or filter; 32
	UserProperties int // of one packet; 64
	ClientID       int // bytes of a client identifier; 256

	ReceiveMaximum  int           // unacknowledged publishes of one client; 1,024
	Window          int           // publishes in flight to one client; 100
	QueueMessages   int           // waiting for one session; 1,000
	QueueBytes      int           // waiting for one session; 4 MiB
	QueueTotal      int           // bytes waiting for all sessions; 128 MiB
	Sessions        int           // connected or kept; 2,000
	SessionExpiry   time.Duration // longest life of an absent session; 7 days
	Filters         int           // subscriptions of one session; 1,000
	FiltersTotal    int           // subscriptions of all sessions; 50,000
	Retained        int           // retained messages; 10,000
	RetainedBytes   int           // of all retained messages; 32 MiB
	FlushEvery      time.Duration // longest time a change of a session stays off the disk; 5 s
	ShutdownTimeout time.Duration // for publishes under way when the broker stops; 3 s
}

func (l *Limits) setDefaults() {
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	dur := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	dur(&l.ConnectTimeout, 10*time.Second)
	def(&l.ConnectSize, 64<<10)
	def(&l.PacketSize, 2<<20)
	def(&l.Clients, 1000)
	def(&l.Pending, 100)
	def(&l.ConnectRate, 500)
	def(&l.WriteBuffer, 1<<20)
	def(&l.WriteTotal, 32<<20)
	dur(&l.WriteTimeout, 10*time.Second)
	def(&l.TopicBytes, 256)
	def(&l.TopicLevels, 32)
	def(&l.UserProperties, 64)
	def(&l.ClientID, 256)
	def(&l.ReceiveMaximum, 1024)
	def(&l.Window, 100)
	def(&l.QueueMessages, 1000)
	def(&l.QueueBytes, 4<<20)
	def(&l.QueueTotal, 128<<20)
	def(&l.Sessions, 2000)
	dur(&l.SessionExpiry, 7*24*time.Hour)
	def(&l.Filters, 1000)
	def(&l.FiltersTotal, 50_000)
	def(&l.Retained, 10_000)
	def(&l.RetainedBytes, 32<<20)
	dur(&l.FlushEvery, 5*time.Second)
	dur(&l.ShutdownTimeout, 3*time.Second)
}

func (l *Limits) check() error {
	var errs []error
	within := func(name string, v, least, most int) {
		if v < least || v > most {
			errs = append(errs, fmt.Errorf("%s is %d, not %d to %d", name, v, least, most))
		}
	}
	for name, v := range map[string]int{"Clients": l.Clients, "Pending": l.Pending, "ConnectRate": l.ConnectRate, "Sessions": l.Sessions,
		"ConnectSize": l.ConnectSize, "WriteBuffer": l.WriteBuffer, "WriteTotal": l.WriteTotal, "QueueMessages": l.QueueMessages, "QueueBytes": l.QueueBytes,
		"QueueTotal": l.QueueTotal, "Filters": l.Filters, "FiltersTotal": l.FiltersTotal, "TopicBytes": l.TopicBytes,
		"TopicLevels": l.TopicLevels, "ClientID": l.ClientID} {
		within(name, v, 1, math.MaxInt)
	}
	for name, d := range map[string]time.Duration{"ConnectTimeout": l.ConnectTimeout, "WriteTimeout": l.WriteTimeout,
		"SessionExpiry": l.SessionExpiry, "FlushEvery": l.FlushEvery, "ShutdownTimeout": l.ShutdownTimeout} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("%s is %v", name, d))
		}
	}
	within("ReceiveMaximum", l.ReceiveMaximum, 1, 65535)
	within("Window", l.Window, 1, 65535)
	within("PacketSize", l.PacketSize, 1024, 256<<20)
	return errors.Join(errs...)
}

// Config is what a Broker needs.
type Config struct {
	ID     string        // of the gateway, for the topics gateways/{id}/...
	Hub    Hub           // where publishes go
	Access Access        // who may do what
	API    API           // answers the topics that are requests; nil: there are none
	Table  gateway.Table // keeps sessions and retained messages; nil: they end with the process
	Marks  Marks         // knows publishes at QoS 2 over a crash; nil: nobody does
	Clock  gateway.Clock // nil: the system's
	Logger *slog.Logger  // nil: silence
	Limits Limits
	// Origins are web origins ("https://dash.example") whose pages may connect
	// over WebSocket besides those of the very host that is asked.
	Origins []string
}
