// Package segment is a durable log of records in one directory: the place where
// a report is put before its receipt is acknowledged.
//
// Records are appended by many goroutines at once and reach the disk together:
// one write and one fdatasync serve all that wait (group commit). The log is a
// row of files; the last one grows, the others are sealed and never change
// again. [Log.Seal] ends the log, after which it is an immutable set of
// segments with a [Log.Digest], and [Remove] destroys it.
//
//	log, recovery, err := segment.Open("intake/2026-11-23", segment.Options{FS: durable.OS()})
//	if err := log.Append(ctx, report); err != nil {
//		// not acknowledged; errors.Is(err, segment.ErrFull): try again later
//	}
//	for record, err := range log.Records() { … }
//
// # What is promised
//
// When Append has returned nil, the record is in the log once, and stays there
// whatever happens to the process or the power, until Remove. When Append has
// returned an error or never returned, the record may be in the log or not,
// at most once. Records keep the order in which their Append calls took place.
// After a failed write the file's tail is cut off before it is used again;
// after a failed sync the file is not written to again, and what was durable in
// it is copied to a new one.
//
// # Limits
//
// A log must be open in one process only; hold a [durable.Lock] around it.
// Damage that the disk does later costs the records it hits: they are
// reported in [Recovery] and by [Log.Records], and the others are kept. What is
// missing of a log that has not ended is found by a note of what was acknowledged,
// written with each group: after the end of the process it is complete, after a
// loss of power it may be behind. The checksums find accidents, not forgeries: anyone
// with write access to the directory can change the log. Records are stored as they
// are; give it ciphertext. Remove does not overwrite the blocks of the files.
package segment

import (
	"errors"
	"fmt"
	"io"

	"github.com/shoal-project/shoal/internal/durable"
)

var (
	// ErrFull means that the disk is full. Nothing acknowledged is lost, and
	// the log works again when there is space.
	ErrFull = errors.New("disk full")
	// ErrSealed means that the log takes no more records.
	ErrSealed = errors.New("log is sealed")
	// ErrClosed means that the log has been closed.
	ErrClosed = errors.New("log is closed")
	// ErrTooLarge means that a record is larger than Options.MaxRecord.
	ErrTooLarge = errors.New("record too large")
	// ErrNotSealed is what Digest returns for a log that may still grow.
	ErrNotSealed = errors.New("log is not sealed")
)

// Options configure a log. The zero value of each but FS has a good default.
type Options struct {
	// FS holds the files. It is required.
	FS durable.FS
	// MaxSegment is the size in bytes at which a segment is sealed and the
	// next one begun. A segment may be larger by one group of records.
	// Default 64 MiB.
	MaxSegment int64
	// MaxRecord is the size in bytes of the largest record. Default 1 MiB,
	// at most 1 GiB.
	MaxRecord int
	// MaxPending bounds the memory of the log: the bytes of records that wait
	// while the group before is being written. Append blocks beyond that.
	// Twice as much is allocated under load. Default 8 MiB.
	MaxPending int
	// Rand salts the checksums, which need not be repeatable. Default
	// crypto/rand.Reader.
	Rand io.Reader
}

// Recovery reports what Open found.
type Recovery struct {
	// Records is the number of records in the log.
	Records int64
	// Torn counts the bytes at the end of unsealed segments that are no
	// records: writes that a crash cut short. What of them was acknowledged is
	// in Damaged, too.
	Torn int64
	// Damaged lists what should have been readable and is not.
	Damaged []Damage
}

// Damage is a part of a segment that is no record although records or the
// seal follow it or records there were acknowledged, or a segment that is gone:
// the disk lost or changed it. Holes that a crash left in
// records that were never acknowledged look the same.
type Damage struct {
	File   string // path of the segment
	Offset int64  // of the first bad byte
	Bytes  int64  // that were skipped
	// Records is the number of records lost, or -1 if that is not known.
	Records int64
}

// Error makes a Damage the error that Log.Records reports.
func (d Damage) Error() string {
	lost := "an unknown number of records"
	if d.Records >= 0 {
		lost = fmt.Sprintf("%d records", d.Records)
	}
	return fmt.Sprintf("segment %s is damaged at offset %d: %d bytes with %s are lost", d.File, d.Offset, d.Bytes, lost)
}
