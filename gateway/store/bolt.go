package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// file is an open bbolt file. bbolt answers damage with a panic, or with a
// fault on its memory map; every call goes through guard, which makes errors
// that wrap ErrDamaged of them.
type file struct {
	db       *bbolt.DB
	f        *os.File
	path     string
	readOnly bool
	fresh    bool // was made by the opening
	pageSize int64
	// broken says that a panic left a lock of bbolt's held: any further call
	// would wait for ever.
	broken atomic.Bool
}

// panicError is what was recovered.
type panicError struct {
	what  any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("%v: %v", ErrDamaged, e.what) }
func (e *panicError) Unwrap() error { return ErrDamaged }

// guard runs fn and makes an error of a panic or of a fault on mapped memory.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{p, debug.Stack()}
		}
	}()
	return fn()
}

// sizing is how a file grows.
type sizing struct {
	alloc int // bytes at a time
	mmap  int // bytes mapped from the start, so that growing does not wait for readers
}

// errNotFile says that something else than a file is in the way.
var errNotFile = fmt.Errorf("%w: not a regular file", ErrDamaged)

const lockTimeout = time.Second

// opening says how a file is opened.
type opening struct {
	sizing
	create bool // a missing or empty file is made new
	read   bool // only to be read
	all    bool // every page is looked at instead of those that bbolt depends on
}

// openFile opens path and checks it before bbolt sees it. A file that may not
// be written is opened for reading. The error wraps ErrLocked, ErrDamaged, or
// is the system's.
func openFile(path string, o opening) (*file, error) {
	f, readOnly, fresh, err := lockFile(path, o)
	if err != nil {
		return nil, err
	}
	d := &file{f: f, path: path, readOnly: readOnly, fresh: fresh}
	if !fresh {
		if err := checkFile(f, o.all); err != nil {
			_ = f.Close()
			return nil, err
		}
	}
	err = guard(func() (err error) {
		d.db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:         lockTimeout,
			FreelistType:    bbolt.FreelistMapType,
			PageSize:        ourPageSize,
			InitialMmapSize: o.mmap,
			NoSync:          noSync,
			ReadOnly:        readOnly,
			OpenFile:        func(string, int, os.FileMode) (*os.File, error) { return f, nil },
		})
		return err
	})
	if err != nil {
		_ = f.Close()
		if errors.Is(err, berrors.ErrInvalid) || errors.Is(err, berrors.ErrChecksum) || errors.Is(err, berrors.ErrVersionMismatch) {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return nil, err
	}
	d.db.AllocSize = o.alloc
	d.pageSize = int64(d.db.Info().PageSize)
	if fresh {
		if err := syncDir(path); err != nil {
			d.close()
			return nil, err
		}
	}
	return d, nil
}

// lockFile opens path and takes the lock that bbolt takes. Fresh says that
// there is nothing in it.
func lockFile(path string, o opening) (f *os.File, readOnly, fresh bool, err error) {
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return nil, false, false, errNotFile
	}
	flag := os.O_RDWR
	if o.create {
		flag |= os.O_CREATE
	}
	if readOnly = o.read; readOnly {
		flag = os.O_RDONLY
	}
	f, err = os.OpenFile(path, flag, 0o600)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		cause := err
		if f, err = os.Open(path); err != nil {
			return nil, false, false, cause
		}
		readOnly = true
	}
	if err != nil {
		return nil, false, false, err
	}
	wait := lockTimeout
	if o.read {
		wait = 0 // a log in use lets go of its lock for a moment now and then
	}
	if err := flock(f, readOnly, wait); err != nil {
		_ = f.Close()
		return nil, false, false, err
	}
	st, err := f.Stat()
	if err == nil {
		now, e := os.Stat(path)
		if err = e; err == nil && !os.SameFile(st, now) {
			err = fmt.Errorf("%w: it was replaced meanwhile", ErrLocked)
		}
	}
	if err == nil && st.Size() == 0 && readOnly && !o.read {
		err = &fs.PathError{Op: "open", Path: path, Err: syscall.EROFS}
	}
	if err != nil {
		_ = f.Close()
		return nil, false, false, err
	}
	return f, readOnly, st.Size() == 0, nil
}

// flock takes bbolt's lock of the file, shared for readers. It waits for as
// long as said, then returns an error that wraps ErrLocked.
func flock(f *os.File, shared bool, wait time.Duration) error {
	how := syscall.LOCK_EX | syscall.LOCK_NB
	if shared {
		how = syscall.LOCK_SH | syscall.LOCK_NB
	}
	const pause = 20 * time.Millisecond
	for waited := time.Duration(0); ; waited += pause {
		err := syscall.Flock(int(f.Fd()), how)
		if err == nil || !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return err
		}
		if waited >= wait {
			return fmt.Errorf("%s: %w", f.Name(), ErrLocked)
		}
		time.Sleep(pause)
	}
}

// checkFile finds damage. One meta page that is invalid counts as such: bbolt
// would go on with the other one, which may lack the last commit.
func checkFile(f *os.File, all bool) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	p, err := openPages(f, st.Size())
	if err != nil {
		return err
	}
	if !p.ok[0] || !p.ok[1] {
		return fmt.Errorf("%w: only one of two meta pages is valid", ErrDamaged)
	}
	return p.checkTree(all, nil)
}

// syncDir makes a new or renamed entry of path's folder durable.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // some file systems refuse it
		return err
	}
	return nil
}

// begin starts a transaction. bbolt would keep locks if it met two invalid
// meta pages there, so they are looked at first.
func (d *file) begin(writable bool) (tx *bbolt.Tx, err error) {
	if d.broken.Load() {
		return nil, fmt.Errorf("%w: given up", ErrDamaged)
	}
	if err := d.checkMeta(); err != nil {
		return nil, err
	}
	err = guard(func() (err error) {
		tx, err = d.db.Begin(writable)
		return err
	})
	if errors.Is(err, ErrDamaged) {
		d.broken.Store(true)
	}
	return tx, err
}

func (d *file) checkMeta() error {
	var b [pageHead + metaSize]byte
	var last error
	for i := range int64(2) {
		_, err := d.f.ReadAt(b[:], i*d.pageSize)
		if err == nil {
			_, err = parseMeta(b[:])
		}
		if err == nil {
			return nil
		}
		last = err
	}
	return fmt.Errorf("%w: no valid meta page: %w", ErrDamaged, last)
}

// noSync is true in no build but that of a proof, see nosync.go.
var noSync bool

// update runs fn in a writing transaction and commits it. The bytes written
// are those of whole pages.
func (d *file) update(fn func(*bbolt.Tx) error) (written int64, err error) {
	tx, err := d.begin(true)
	if err != nil {
		return 0, err
	}
	err = guard(func() error {
		if err := fn(tx); err != nil {
			return err
		}
		return tx.Commit()
	})
	d.end(tx)
	stats := tx.Stats()
	if err == nil {
		written = stats.PageAlloc + ourPageSize
	}
	return written, err
}

// view runs fn in a reading transaction. What fn keeps it must copy.
func (d *file) view(fn func(*bbolt.Tx) error) error {
	tx, err := d.begin(false)
	if err != nil {
		return err
	}
	err = guard(func() error { return fn(tx) })
	d.end(tx)
	return err
}

// end rolls back what is still open.
func (d *file) end(tx *bbolt.Tx) {
	if tx.DB() == nil {
		return
	}
	if err := guard(tx.Rollback); err != nil || tx.DB() != nil {
		d.broken.Store(true)
	}
}

// close lets go of the file. A broken one stays mapped: there is no way to
// have bbolt unmap it.
func (d *file) close() {
	if !d.broken.Load() && guard(d.db.Close) == nil {
		return
	}
	_ = d.f.Close() // lets go of the lock
}

// space tells the length of the file and how much of it is in use, in bytes.
func (d *file) space() (length, used int64, err error) {
	st, err := d.f.Stat()
	if err != nil {
		return 0, 0, err
	}
	err = d.view(func(tx *bbolt.Tx) error {
		used = tx.Size()
		return nil
	})
	return st.Size(), used - int64(d.db.Stats().FreeAlloc), err
}
