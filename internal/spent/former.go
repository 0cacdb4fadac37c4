package spent

import (
	"errors"
	"fmt"

	"github.com/shoal-project/shoal/internal/journal"
)

// formerSize is the bytes of a row in the lists that issuers had before: what the gates
// know the client by (16), SHA-256 of the request (32), checksum.
const formerSize = 16 + 32 + 4

// isRows reports whether a file is in the form of before: it begins with no frame, and
// one of its rows is whole.
func isRows(b []byte) bool {
	if _, _, ok := frames.Decode(b); ok {
		return false
	}
	for ; len(b) >= formerSize; b = b[formerSize:] {
		if journal.HasSum(b[:formerSize], 0) {
			return true
		}
	}
	return false
}

// readRows reads a file in the form of before and writes it in that of today. A last row
// that is not whole was never acknowledged; any other is damage.
func (l *List) readRows(b []byte) error {
	for at := 0; len(b) >= formerSize; at += formerSize {
		row := b[:formerSize]
		if !journal.HasSum(row, 0) {
			if len(b) >= 2*formerSize {
				return fmt.Errorf("%w: at byte %d of %s", ErrDamaged, at, l.name)
			}
			l.cut = 1
			break
		}
		// The row holds the digest that RowOf cuts.
		l.by[[16]byte(row)] = entry{on: [16]byte(row[16:])}
		b = b[formerSize:]
	}
	f := l.file
	l.file = nil
	return errors.Join(f.Close(), l.rewrite())
}
