package store

import (
	"context"
	"errors"
	"io"

	"fieldgate/gateway"
)

var errNotBuilt = errors.New("store: not built yet")

type Log struct{}

func OpenLog(path string, o Options) (*Log, error)          { return nil, errNotBuilt }
func (l *Log) Run(ctx context.Context) error                { return errNotBuilt }
func (l *Log) Append(e *gateway.Entry) error                { return errNotBuilt }
func (l *Log) Close() error                                 { return errNotBuilt }
func (l *Log) Head() uint64                                 { return 0 }
func (l *Log) First() uint64                                { return 0 }
func (l *Log) Wait(ctx context.Context, after uint64) error { return errNotBuilt }
func (l *Log) Read(from uint64, maxRecords, maxBytes int) ([]gateway.Record, error) {
	return nil, errNotBuilt
}
func (l *Log) Backward(fn func(gateway.Record) bool) error      { return errNotBuilt }
func (l *Log) Cursor(uplink string) gateway.Cursor              { return gateway.Cursor{} }
func (l *Log) SetCursor(uplink string, c gateway.Cursor)        {}
func (l *Log) Backlog(uplink string) Backlog                    { return Backlog{} }
func (l *Log) Health() Health                                   { return Health{} }
func (l *Log) OnHealth(fn func(Health))                         {}
func (l *Log) NoteClock(s gateway.Stamp)                        {}
func (l *Log) Inspect() (Inspection, error)                     { return Inspection{}, errNotBuilt }
func (l *Log) Verify(ctx context.Context) (Verification, error) { return Verification{}, errNotBuilt }
func (l *Log) Export() func() ([]gateway.Record, error)         { return nil }

type Inspection struct{}
type Verification struct{}

func Inspect(path string) (Inspection, error) { return Inspection{}, errNotBuilt }
func Verify(ctx context.Context, path string) (Verification, error) {
	return Verification{}, errNotBuilt
}

type Reader struct{}

func OpenReader(path string) (*Reader, error)     { return nil, errNotBuilt }
func (r *Reader) Next() ([]gateway.Record, error) { return nil, errNotBuilt }
func (r *Reader) Close() error                    { return nil }

func ExportCSV(w io.Writer, gatewayID string, next func() ([]gateway.Record, error)) error {
	return errNotBuilt
}
func ExportJSONLines(w io.Writer, gatewayID string, next func() ([]gateway.Record, error)) error {
	return errNotBuilt
}

type Tables struct{}
type Table struct{}

func OpenTables(path string, o TableOptions) (*Tables, error)       { return nil, errNotBuilt }
func (t *Tables) Table(name string) (*Table, error)                 { return nil, errNotBuilt }
func (t *Tables) Close() error                                      { return nil }
func (t *Tables) SetAside() string                                  { return "" }
func (t *Table) Each(fn func(key string, value []byte) error) error { return errNotBuilt }
func (t *Table) Write(pairs map[string][]byte) error                { return errNotBuilt }
func NewReserver(t *Table) Reserver                                 { return nil }
