package store

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// errReservation says that the table once held a reservation, perhaps.
var errReservation = errors.New("the reservation was lost with a damaged file")

const keyReserved = "sequence"

// tableReserver keeps the reservation in a table.
type tableReserver struct{ table *Table }

// NewReserver keeps the reservation of a log's sequences in t, which must lie
// in another file than the log.
func NewReserver(t *Table) Reserver { return tableReserver{t} }

// Reserved implements Reserver.
func (r tableReserver) Reserved() (uint64, error) {
	n, found := uint64(0), false
	err := r.table.Each(func(key string, value []byte) error {
		if key != keyReserved {
			return nil
		}
		if len(value) != 8 {
			return fmt.Errorf("reservation of %d bytes", len(value))
		}
		n, found = binary.BigEndian.Uint64(value), true
		return nil
	})
	if err == nil && !found && r.table.tables.SetAside() != "" {
		err = errReservation
	}
	return n, err
}

// Reserve implements Reserver.
func (r tableReserver) Reserve(upTo uint64) error {
	return r.table.Write(map[string][]byte{keyReserved: binary.BigEndian.AppendUint64(nil, upTo)})
}
