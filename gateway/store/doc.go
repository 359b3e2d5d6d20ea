// Package store keeps the gateway's data on disk: the log of records with a
// cursor for each uplink, and small tables of keyed values. It is the only
// package that knows bbolt.
//
// # The log
//
// Log is the outbox of all uplinks and the local history at once. One
// goroutine (Run) writes: everything that is waiting when a commit ends shares
// the next one. Records lie in segments, each a bucket of its own, which are
// dropped as a whole, oldest first, when the file would pass its size or when
// they are too old. What an uplink had not acknowledged by then is counted in
// a gap record, in the same transaction.
//
// The file of a log holds these buckets:
//
//	meta    s: the state (numbering, active segment); c/NAME: an uplink's cursor
//	segs    base sequence of a full segment: what is in it
//	boots   number of a kernel run: its id and what is known about its clock
//	bad     sequence of a record that is known to be damaged and announced
//	8 bytes base sequence of a segment, big-endian: its records by sequence
//
// All values but those of bad are blobs (blob.go) with a
// checksum, and can be found in the file whatever becomes of its pages.
//
// Beside the file lie NAME.spare, a few blocks that are given up when the disk
// is full, so that old records can be dropped; at most two NAME.damaged-TIME;
// and, while a damaged file is repaired, NAME.new.
//
// # When the disk fails
//
// A full, read-only or missing disk stops neither OpenLog nor Append: entries
// wait in memory (Options.PendingBytes), each is told so once (Stalled), and
// the log goes on by itself when the disk does. On a full disk it drops what
// every uplink has acknowledged, and nothing else.
//
// bbolt answers damage with a panic. So the structure of a file is checked
// before bbolt sees it (pages.go, tree.go), every call is guarded (bolt.go),
// and a damaged file, at the start or under way, is read for blobs from end to
// end (scan.go, salvage.go), what was found is written to a new one, and the
// old one is set aside (recover.go). Single damaged records are replaced by
// older copies of them if the file has any (heal.go).
//
// The numbers of records are the identity of readings at the cloud. None is
// given out twice, even if the file is lost: see Reserver.
package store
