package store

import (
	"errors"
	"log/slog"
	"time"

	"fieldgate/gateway"
)

// Errors of this package. Those of a full or failing disk are the system's
// own, wrapped.
var (
	// ErrLocked says that another process has the file open: a running gateway,
	// or a command that looks into the file of one.
	ErrLocked = errors.New("another process has the file open")
	// ErrDamaged says that the file's content is not what was written.
	ErrDamaged = errors.New("file is damaged")
	// ErrUnavailable says that the log's file is not open at the moment (the
	// disk refuses it, or it is being repaired). Ask again later, and read the
	// cursor afresh then.
	ErrUnavailable = errors.New("log is not readable now")
	// ErrSlow is in Health while the disk does not answer.
	ErrSlow = errors.New("the disk does not answer")
)

// Sizes of a log in bytes.
const (
	DefaultMaxSize = 256 << 20
	LargestMaxSize = 448 << 20 // so that no file passes 512 MiB on a 32-bit board
	LeastMaxSize   = 1 << 20
	MaxRecord      = 2 << 20 // one record as encoded
)

// Options of a log. The zero value of each field means its default.
type Options struct {
	// MaxSize is bytes of data in the file; default 256 MiB, 1 to 448 MiB. For
	// 30 s after the opening it may be passed by a tenth and a segment: so long
	// what an uplink may have acknowledged before a crash is not dropped.
	MaxSize      int64
	MaxAge       time.Duration // records older than this are dropped by segment; 0: never
	CommitEvery  time.Duration // longest time an entry that nobody waits for lies in memory; default 20 ms
	CursorEvery  time.Duration // longest time a moved cursor lies in memory; default 5 s
	SegmentBytes int64         // records are dropped in runs of this size; default MaxSize/64, 64 KiB to 4 MiB
	PendingBytes int64         // memory for entries while the disk refuses them; default 8 MiB
	Patience     time.Duration // after which a write that has not ended counts as refused for now; default 5 s

	Clock  gateway.Clock // stamps gap records, judges MaxAge; default the machine's
	Logger *slog.Logger  // default: silent

	// Reserve keeps sequences from being used twice when the log's file is
	// lost. May be nil.
	Reserve Reserver
	// Uplinks are the destinations whose cursors count: what one of them has
	// not acknowledged is not dropped without a gap record. A stored cursor of
	// another name is dropped.
	Uplinks []string
	// Filter says whether an uplink is sent r; used for backlogs and gaps
	// only. It is not asked about what came down from that uplink, messages and
	// gaps of others, which it is not sent, nor about its own gaps, which it
	// is. Nil: it is sent all the rest. It is called from several
	// goroutines, and must not block nor call the log.
	Filter func(uplink string, r *gateway.Record) bool
}

// Reserver remembers, outside of the log's file, below which sequence none may
// be given out again.
type Reserver interface {
	// Reserved returns the highest sequence ever reserved, 0 if none was. An
	// error says that it is not known.
	Reserved() (uint64, error)
	// Reserve makes durable that sequences up to upTo may be in use.
	Reserve(upTo uint64) error
}

// Backlog is what an uplink has not acknowledged yet.
type Backlog struct {
	Records uint64    // that the uplink is sent
	Bytes   uint64    // of those, about, as encoded
	Oldest  time.Time // best known time of the oldest of them; zero if there is none
}

// Health is the state of a log.
type Health struct {
	OK             bool
	Error          string    // why the disk does not take records; empty if OK
	Since          time.Time // wall clock of the last change of OK
	PendingRecords int       // records in memory
	PendingBytes   int64     // of those
	FileBytes      int64     // length of the file
	UsedBytes      int64     // of the file, without its free pages
	FreeDiskBytes  int64     // left for this user on the file's disk; -1 if unknown
	Records        uint64    // in the log
	First          uint64    // lowest sequence, 0 if empty
	Head           uint64    // highest durable sequence, 0 if none
	Segments       int
	Commits        uint64 // since the log was opened
	BytesWritten   uint64 // by those, pages as written
	Evicted        uint64 // records dropped since the log was opened
	Damaged        uint64 // records found whose checksum fails, since the log was opened
	SetAside       string // path of the damaged file that was set aside last; empty if none
	Salvaged       uint64 // records that were saved from it
}

// TableOptions of a file of tables.
type TableOptions struct {
	Logger *slog.Logger // default: silent
	Clock  gateway.Clock
}
