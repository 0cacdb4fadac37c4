// Package column writes values of the aggregators as columns of a database, and reads
// them: the rules that all stores share, so that a row means the same in each.
package column

import (
	"fmt"
	"math"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/ledger"
)

// Seconds is a time as it is stored, in Unix seconds: 0 is the zero time.
func Seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// Time is the counterpart of [Seconds], in UTC.
func Time(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// Blob is bytes as they are stored where they are never NULL.
func Blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Nullable is bytes as they are stored where none are NULL.
func Nullable(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

// Digest is a digest as it is stored: the zero one is empty.
func Digest(d [32]byte) []byte {
	if d == [32]byte{} {
		return []byte{}
	}
	return d[:]
}

// Batch is a batch as it is stored: the zero one is empty.
func Batch(id *dap.BatchID) []byte {
	if id == nil || *id == (dap.BatchID{}) {
		return []byte{}
	}
	return id[:]
}

// Span is an interval as it is stored. An end that a database cannot hold is an
// [dap.ErrTime].
func Span(i dap.Interval) (start, end int64, err error) {
	e, err := i.End()
	if err != nil || e > math.MaxInt64 {
		return 0, 0, fmt.Errorf("%w: %v", dap.ErrTime, i)
	}
	return int64(i.Start), int64(e), nil
}

// Parts is where the parts of a batch are: in the units from first to last, those
// included, under the batch's column.
func Parts(s dap.BatchSelector) (first, last int64, batch []byte, err error) {
	from, to, id, err := ledger.Range(s)
	if err != nil || id != nil {
		from, to = 0, 0
	}
	return int64(from), int64(to), Batch(id), err
}
