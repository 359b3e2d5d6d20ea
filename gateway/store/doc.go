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
//	cols    base sequence of a full segment: what columns it has
//	8 bytes base sequence of a segment, big-endian: its records by sequence
//	h and 8 bytes: the columns of that segment
//
// All values but those of bad are blobs (blob.go) with a
// checksum, and can be found in the file whatever becomes of its pages.
//
// Small commits go to NAME.journal beside it first (journal.go), which costs one
// block and one wait for the disk instead of five pages and two; their records
// are in memory too until the next commit that goes into the file. After Close
// all is in the file alone. To copy the files of a running log is to copy both.
//
// Beside the file lie NAME.spare, a few blocks that are given up when the disk
// is full, so that old records can be dropped; at most two NAME.damaged-TIME;
// and, while a damaged file is repaired, NAME.new.
//
// # Histories
//
// Records lie in the order in which they came, those of one sensor among those
// of all others, and a page of records holds one of a sensor that is one of
// fifty: an index of sequences would still have a query read every page. So
// the values themselves are kept once more, by sensor. When a segment is full,
// Run writes its columns (column.go, shard.go): for each sensor and actuator
// blocks of about 90 values in the order of time, about 14 bytes each where
// the record takes 90, with a directory of the times between which each block
// lies. A query (History) looks into the directory of each segment, because a
// value may be of any time, and reads the blocks that the window touches, those
// that overlap in time together. Its cost grows with the window, and by one or
// two pages for each segment of the log.
//
// A value whose time depends on what is known about its boot's clock lies in a
// block of its boot, with the monotonic times between which it lies, so that
// columns need no change when the clock is set. Values above 512 bytes, and
// what came down from an uplink, are in the record alone, and the column says
// where. Erasures are in the columns too.
//
// The active segment has the same blocks in memory once somebody has asked for
// a history (tail.go). A segment that has no columns yet, as all of a file from
// before there were any, or whose columns are damaged, is read record by
// record, and they are made anew: the answers are the same.
//
// Columns can always be made again, so nothing waits for them, they are written
// by themselves after the commit that filled the segment, and they give way: on
// a full disk they are removed before a record has to wait, none are written
// when the disk is nearly full, and none for whose sake a record would be
// dropped that an uplink waits for. They count for MaxSize and go with their
// segment, in the same transaction. Salvage takes no notice of them.
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
