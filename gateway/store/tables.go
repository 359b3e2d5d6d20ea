package store

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"

	"encoding/binary"

	"go.etcd.io/bbolt"

	"fieldgate/gateway"
)

// Tables is a file of small durable tables: the registry, sessions, counters.
// Its methods may be called from any goroutine.
//
// Each value carries a checksum, its table, its key and a version, so that it
// can be found again in a damaged file.
type Tables struct {
	path string
	log  *slog.Logger
	opt  TableOptions

	mu      sync.Mutex
	file    *file // nil: not open now
	reopen  bool  // before the next use
	id      uint32
	version uint64
	existed bool // before it was opened
	aside   string
	closed  bool
}

// Table is one table of a file. It implements gateway.Table.
type Table struct {
	tables *Tables
	name   string
}

const (
	tablePrefix = "t/"
	maxKey      = 1 << 10
)

// OpenTables opens the file path, or makes it. A damaged file is set aside
// beside it, and what can be read of it is saved. If the disk refuses (full,
// read-only, missing), that is returned by each Write until it does not, and
// by Each as long as nothing can be read. The error wraps ErrLocked: another
// process has the file open.
func OpenTables(path string, o TableOptions) (*Tables, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1}))
	}
	if o.Clock == nil {
		o.Clock = gateway.NewSystemClock()
	}
	t := &Tables{path: path, log: o.Logger.With("file", path), opt: o}
	if err := t.open(); errors.Is(err, ErrLocked) {
		return nil, fmt.Errorf("store: open tables: %w", err)
	} else if err != nil {
		t.log.Error("the disk refuses the tables; trying again with each use", "error", err)
	}
	return t, nil
}

// SetAside is the path of the damaged file that had to be set aside; empty if
// none had to.
func (t *Tables) SetAside() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.aside
}

// Close closes the file. What was written is on disk already.
func (t *Tables) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.drop()
	return nil
}

func (t *Tables) drop() {
	if t.file != nil {
		t.file.close()
		t.file = nil
	}
}

// Table gives the table of that name, 1 to 64 bytes. It need not exist.
func (t *Tables) Table(name string) (*Table, error) {
	if name == "" || len(name) > 64 {
		return nil, fmt.Errorf("store: table: a name of %d bytes, 1 to 64", len(name))
	}
	return &Table{t, name}, nil
}

// Each calls fn for each pair in the order of keys until fn returns an error,
// which it returns. Key and value are copies; fn may write to the table.
func (t *Table) Each(fn func(key string, value []byte) error) error {
	type pair struct {
		key   string
		value []byte
	}
	var pairs []pair
	err := t.tables.use(false, func(d *file) error {
		pairs = nil
		return d.view(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(tablePrefix + t.name))
			if b == nil {
				return nil
			}
			return b.ForEach(func(k, v []byte) error {
				p, err := readPair(k, v, t.name, t.tables.id)
				if err == nil {
					pairs = append(pairs, pair{string(k), p.value})
				}
				return err
			})
		})
	})
	if err != nil {
		return fmt.Errorf("store: table %s: %w", t.name, err)
	}
	for _, p := range pairs {
		if err := fn(p.key, p.value); err != nil {
			return err
		}
	}
	return nil
}

// Write stores all pairs in one transaction; a nil value deletes its key. They
// are on disk when it returns nil. A key has 1 to 1024 bytes.
func (t *Table) Write(pairs map[string][]byte) error {
	for k, v := range pairs {
		if k == "" || len(k) > maxKey || len(v) > MaxRecord-2*maxKey {
			return fmt.Errorf("store: table %s: %w: key of %d bytes, value of %d", t.name, gateway.ErrTooLarge, len(k), len(v))
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	err := t.tables.use(true, func(d *file) error {
		version := t.tables.version + 1
		_, err := d.update(func(tx *bbolt.Tx) error {
			return t.put(tx, version, pairs)
		})
		if err == nil {
			t.tables.version = version
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("store: table %s: %w", t.name, err)
	}
	return nil
}

func (t *Table) put(tx *bbolt.Tx, version uint64, pairs map[string][]byte) error {
	b, err := tx.CreateBucketIfNotExists([]byte(tablePrefix + t.name))
	if err != nil {
		return err
	}
	for _, k := range slices.Sorted(maps.Keys(pairs)) {
		v := pairs[k]
		if v == nil {
			err = b.Delete([]byte(k))
		} else {
			err = b.Put([]byte(k), appendPair(t.tables.id, &pair{version, t.name, k, v}))
		}
		if err != nil {
			return err
		}
	}
	return putTablesState(tx, t.tables.id, version)
}

// use runs fn on the open file. Damage that it meets is repaired, and fn
// called once more.
func (t *Tables) use(write bool, fn func(d *file) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for try := 0; ; try++ {
		if t.closed {
			return gateway.ErrClosed
		}
		if t.file == nil || t.reopen || write && t.file.readOnly {
			t.drop()
			if err := t.open(); err != nil {
				return err
			}
		}
		if write && t.file.readOnly {
			return syscall.EROFS
		}
		err := fn(t.file)
		if err == nil {
			return nil
		}
		t.reopen = true
		if !errors.Is(err, ErrDamaged) || try > 0 {
			return err
		}
	}
}

func (t *Tables) opening() opening {
	return opening{sizing: sizing{alloc: 64 << 10, mmap: 1 << 20}, create: true, all: true}
}

// open opens the file and looks at every pair. Damage is repaired.
func (t *Tables) open() error {
	if err := finishRename(t.path); err != nil {
		return err
	}
	err := t.openOnce()
	if errors.Is(err, ErrDamaged) {
		if err = t.repair(err); err == nil {
			err = t.openOnce()
		}
	}
	t.reopen = err != nil
	return err
}

func (t *Tables) openOnce() error {
	_, err := os.Lstat(t.path)
	t.existed = err == nil
	d, err := openFile(t.path, t.opening())
	if err != nil {
		return err
	}
	if err := t.load(d); err != nil {
		d.close()
		return err
	}
	t.file = d
	return nil
}

// load checks the content of the file and makes a new one fit for use.
func (t *Tables) load(d *file) error {
	known := false
	err := d.view(func(tx *bbolt.Tx) error {
		var err error
		known, err = t.check(tx)
		return err
	})
	if err != nil || known || d.readOnly {
		return err
	}
	if d.fresh && t.existed {
		t.log.Warn("the file of tables was empty; starting it anew")
	}
	t.id, t.version = newID(), 0
	_, err = d.update(func(tx *bbolt.Tx) error { return putTablesState(tx, t.id, 0) })
	return err
}

// check reports whether anything was ever written to the file.
func (t *Tables) check(tx *bbolt.Tx) (bool, error) {
	bad := func(err error) (bool, error) { return false, fmt.Errorf("%w: %w", ErrDamaged, err) }
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		if k, _ := tx.Cursor().First(); k != nil {
			return bad(errors.New("no state"))
		}
		return false, nil
	}
	o, err := parseBlob(meta.Get(keyState), 0, MaxRecord)
	if err != nil || o.typ != blobTables {
		return bad(fmt.Errorf("state: %w", errors.Join(err, errNoBlob)))
	}
	t.id = o.id
	f := fields{b: o.body}
	t.version = f.uint()
	return true, tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
		if string(name) == string(bucketMeta) {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			if len(name) <= len(tablePrefix) {
				return fmt.Errorf("%w: bucket %q", ErrDamaged, name)
			}
			_, err := readPair(k, v, string(name[len(tablePrefix):]), t.id)
			return err
		})
	})
}

func putTablesState(tx *bbolt.Tx, id uint32, version uint64) error {
	meta, err := tx.CreateBucketIfNotExists(bucketMeta)
	if err != nil {
		return err
	}
	return meta.Put(keyState, appendBlob(nil, blobTables, id, binary.AppendUvarint(nil, version)))
}

// pair is one entry of a table.
type pair struct {
	version uint64
	table   string
	key     string
	value   []byte
}

func appendPair(id uint32, p *pair) []byte {
	body := binary.AppendUvarint(nil, p.version)
	body = appendRaw(body, p.table)
	body = appendRaw(body, p.key)
	body = appendRaw(body, p.value)
	return appendBlob(nil, blobPair, id, body)
}

func decodePair(body []byte) (pair, error) {
	f := fields{b: body}
	p := pair{version: f.uint(), table: f.string(), key: f.string()}
	p.value = append([]byte{}, f.raw()...)
	return p, f.end()
}

// readPair decodes a pair as it lies in the bucket of a table.
func readPair(k, v []byte, table string, id uint32) (pair, error) {
	if len(k) > maxKey || len(v) > MaxRecord+blobHeader+8 {
		return pair{}, fmt.Errorf("%w: table %s: %w", ErrDamaged, table, errNoBlob)
	}
	body, err := exactBlob(v, blobPair, id)
	if err != nil {
		return pair{}, fmt.Errorf("%w: table %s: %w", ErrDamaged, table, err)
	}
	p, err := decodePair(body)
	if err == nil && (p.table != table || p.key != string(k)) {
		err = errors.New("a pair in the place of another")
	}
	if err != nil {
		return p, fmt.Errorf("%w: table %s: %w", ErrDamaged, table, err)
	}
	return p, nil
}
