package witness

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Span bounds the periods of purposes whose statements themselves give the end of their
// period. Such a period starts at a multiple of its length, and is served from one length
// before its start on, so that what belongs to the next period can be fetched during the
// present one.
type Span struct{ Min, Max time.Duration }

// MaxSpanKeys bounds the bytes of keys in statements of purposes that have a [Span].
const MaxSpanKeys = 1 << 10

// Kept is for how long after its period a record is kept, KeptRefused that of a slot that
// was refused.
const (
	Kept        = 2 * 24 * time.Hour
	KeptRefused = 30 * 24 * time.Hour
)

var (
	// ErrForgotten is wrapped by errors about periods of which the store may have lost a
	// record.
	ErrForgotten = errors.New("the records were restored or given up since the period began: the witness signs again from a later period on")
	// ErrFull is wrapped by errors of stores that have as many records of a party as they
	// keep.
	ErrFull = errors.New("too many records of key statements of one party")
	// errBusy means that too many slots of one party are looked for.
	errBusy = errors.New("too many unknown slots of one party are asked for")
)

// lengthOf returns the length of a purpose's periods, or 0 and the bounds of it.
func (w *Witness) lengthOf(purpose string) (time.Duration, Span, bool) {
	if length, ok := w.config.Purposes[purpose]; ok {
		return length, Span{}, true
	}
	for prefix, span := range w.config.Spans {
		if strings.HasPrefix(purpose, prefix) {
			return 0, span, true
		}
	}
	return 0, Span{}, false
}

// check returns the end of the period of a signed statement, if that is for the slot and
// the period is served now.
func (w *Witness) check(signed []byte, s Slot) (int64, error) {
	length, span, _ := w.lengthOf(s.Purpose)
	if length != 0 {
		st, err := OpenStatement(signed, s, length)
		return st.End, err
	}
	st, err := openAny(signed, s)
	if err != nil {
		return 0, fmt.Errorf("key statement: %w", err)
	}
	seconds := st.End - s.Start
	length = time.Duration(seconds) * time.Second
	now := w.config.Clock.Now().Unix()
	switch {
	case seconds > int64(span.Max/time.Second) || length < span.Min:
		return 0, fmt.Errorf("key statement: a period of %d seconds, want %v to %v", seconds, span.Min, span.Max)
	case s.Start%seconds != 0:
		return 0, fmt.Errorf("key statement: a period of %v from %d, want a multiple of its length", length, s.Start)
	case len(st.Keys) > MaxSpanKeys:
		return 0, fmt.Errorf("key statement: %d bytes of keys, want at most %d", len(st.Keys), MaxSpanKeys)
	case now >= st.End || now < s.Start-seconds:
		return 0, ErrUnknown
	case w.forgotten(s, length):
		return 0, ErrForgotten
	}
	return st.End, nil
}

// forgotten reports whether the store may have lost a record of a slot that is served from
// so long before its start on.
func (w *Witness) forgotten(s Slot, early time.Duration) bool {
	return !w.config.Since.IsZero() && time.Unix(s.Start, 0).Add(-early).Before(w.config.Since)
}
