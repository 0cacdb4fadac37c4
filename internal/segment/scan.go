package segment

import (
	"io"

	"github.com/shoal-project/shoal/internal/journal"
)

// searchBudget bounds the bytes that are checksummed while looking for the next
// record behind damage: records are what senders wrote.
const searchBudget = 1 << 30

// newScanner reads the records in [headerSize, end) of r. window is a buffer to
// use, or nil.
func newScanner(r io.ReaderAt, h header, end int64, window []byte) *journal.Scanner {
	s := journal.NewScanner(frames(h.seed, h.maxRecord), r, headerSize, end, window)
	s.Budget = searchBudget
	return s
}
