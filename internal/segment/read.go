package segment

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/journal"
)

// snapshot copies the list of segments as it is now.
func (l *Log) snapshot() []segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]segment, len(l.segments))
	for i, s := range l.segments {
		list[i] = *s
	}
	return list
}

// find is called with l.writing held.
func (l *Log) find(number uint64) *segment {
	i := slices.IndexFunc(l.segments, func(s *segment) bool { return s.number == number })
	return l.segments[i]
}

// Records yields the records that are durable when it starts, in order. A slice
// is valid until the next step. Damage that Open has reported is skipped; other
// damage is yielded as a [Damage] error, after which the loop may go on. After
// any other error the records of that segment are missing.
func (l *Log) Records() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var window []byte
		for _, s := range l.snapshot() {
			r := &reading{log: l, segment: s, window: window}
			if !r.run(yield) {
				return
			}
			window = r.window
		}
	}
}

// reading is the way through one segment.
type reading struct {
	log     *Log
	segment segment
	window  []byte
	path    string
	count   int64
	known   bool // some damage was yielded, which explains missing records
}

func (r *reading) run(yield func([]byte, error) bool) bool {
	f, err := r.open()
	if err != nil {
		return yield(nil, fmt.Errorf("reading records: %w", err))
	}
	defer f.Close()
	more, err := r.records(f, yield)
	if err != nil {
		return yield(nil, fmt.Errorf("reading records of %s: %w", r.path, err))
	}
	if !more {
		return false
	}
	if missing := r.segment.records - r.count; missing > 0 && !r.known {
		return yield(nil, Damage{File: r.path, Offset: r.segment.size, Records: missing})
	}
	return true
}

// open opens the file, which may have been sealed since the snapshot.
func (r *reading) open() (durable.File, error) {
	r.path = r.log.path(r.segment.number, r.segment.suffix())
	f, err := r.log.fs.OpenFile(r.path, os.O_RDONLY, 0)
	if !errors.Is(err, fs.ErrNotExist) || r.segment.sealed {
		return f, err
	}
	r.segment.sealed, r.segment.gaps = true, nil
	r.path = r.log.path(r.segment.number, segSuffix)
	return r.log.fs.OpenFile(r.path, os.O_RDONLY, 0)
}

func (r *reading) records(f durable.File, yield func([]byte, error) bool) (bool, error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	size := info.Size()
	if !r.segment.sealed {
		size = min(size, r.segment.size) // the rest is not durable yet
	}
	s, err := inspectHead(f, size, r.segment.sealed, r.log.maxRecord)
	if err != nil {
		return false, err
	}
	scan := newScanner(f, s.header, s.size, r.window)
	defer func() { r.window = scan.Window() }()
	for r.count < r.segment.records {
		record, g, err := scan.Next()
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if record != nil {
			r.count++
			if !yield(record, nil) {
				return false, nil
			}
			continue
		}
		if !r.expected(g) && !yield(nil, r.damage(g)) {
			return false, nil
		}
	}
	return true, nil
}

func (r *reading) expected(g journal.Gap) bool {
	return slices.ContainsFunc(r.segment.gaps, func(k journal.Gap) bool { return k.Start == g.Start && k.End == g.End })
}

func (r *reading) damage(g journal.Gap) Damage {
	r.known = true
	return Damage{File: r.path, Offset: g.Start, Bytes: g.End - g.Start, Records: g.Frames}
}
