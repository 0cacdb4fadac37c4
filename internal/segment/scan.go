package segment

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// searchBudget bounds the bytes that are checksummed while looking for the next
// record behind damage: hostile bytes can make every position look like one.
const searchBudget = 1 << 30

// windowSize is what a scanner reads at once; larger records make it grow.
const windowSize = 256 << 10

// gap is a range of bytes that are no record.
type gap struct {
	start, end int64
	records    int64 // lost there, or -1 if that is not known
}

// scanner reads the records of a segment and steps over damage.
type scanner struct {
	r      io.ReaderAt
	off    int64 // of the next record
	end    int64 // of the records
	max    int   // bytes of a record
	seed   uint32
	table  *crc32.Table
	budget int64

	window   []byte
	windowAt int64 // offset of window[0]
}

// newScanner reads the records in [headerSize, end) of r. window is a buffer to
// use, or nil.
func newScanner(r io.ReaderAt, h header, end int64, window []byte) *scanner {
	return &scanner{
		r: r, off: headerSize, end: end, max: h.maxRecord, seed: h.seed,
		table: castagnoli(), budget: searchBudget, window: window[:0],
	}
}

// next returns the next record, valid until the next call, or the next gap
// (with a nil record and err), or io.EOF at the end. Other errors are those of
// the reader.
func (s *scanner) next() ([]byte, gap, error) {
	if s.off >= s.end {
		return nil, gap{}, io.EOF
	}
	record, err := s.at(s.off)
	if err != nil {
		return nil, gap{}, err
	}
	if record != nil {
		s.off += int64(len(record))
		return record[frameSize:], gap{}, nil
	}
	g, err := s.search(s.off)
	if err != nil {
		return nil, gap{}, err
	}
	s.off = g.end
	return nil, g, nil
}

// at returns the framed record at off, or nil if there is no valid one.
func (s *scanner) at(off int64) ([]byte, error) {
	size, err := s.size(off)
	if err != nil || size == 0 {
		return nil, err
	}
	b, err := s.peek(off, size)
	if err != nil {
		return nil, err
	}
	if binary.BigEndian.Uint32(b[4:]) != checksum(b, s.seed, s.table) {
		return nil, nil
	}
	return b, nil
}

// size returns the framed size that the length at off gives, or 0 if no record
// there can have that length.
func (s *scanner) size(off int64) (int, error) {
	if s.end-off < frameSize {
		return 0, nil
	}
	b, err := s.peek(off, frameSize)
	if err != nil {
		return 0, err
	}
	n := int64(binary.BigEndian.Uint32(b))
	if n > int64(s.max) || n > s.end-off-frameSize {
		return 0, nil
	}
	return frameSize + int(n), nil
}

// search finds the end of the gap that begins at start: the next record, or the
// end of the segment. It does not trust the length at start, which may lead
// past records.
func (s *scanner) search(start int64) (gap, error) {
	told, err := s.size(start)
	if err != nil {
		return gap{}, err
	}
	for off := start + 1; off < s.end && s.budget > 0; off++ {
		size, err := s.size(off)
		if err != nil {
			return gap{}, err
		}
		if size == 0 {
			continue
		}
		s.budget -= int64(size)
		record, err := s.at(off)
		if err != nil {
			return gap{}, err
		}
		if record != nil {
			return s.gap(start, off, told), nil
		}
	}
	// Only if the search was given up the length is better than nothing.
	next := start + int64(told)
	if s.budget > 0 || told == 0 || next == s.end {
		return s.gap(start, s.end, told), nil
	}
	record, err := s.at(next)
	if err != nil || record == nil {
		return s.gap(start, s.end, told), err
	}
	return s.gap(start, next, told), nil
}

// gap is one lost record where it is as long as the length there gives.
func (s *scanner) gap(start, end int64, told int) gap {
	if end == start+int64(told) {
		return gap{start, end, 1}
	}
	return gap{start, end, -1}
}

// peek returns n bytes at off, which lie before s.end.
func (s *scanner) peek(off int64, n int) ([]byte, error) {
	i := off - s.windowAt
	if i >= 0 && i+int64(n) <= int64(len(s.window)) {
		return s.window[i : i+int64(n)], nil
	}
	if cap(s.window) < n {
		s.window = make([]byte, 0, max(n, windowSize))
	}
	want := int(min(int64(cap(s.window)), s.end-off))
	got, err := s.r.ReadAt(s.window[:want], off)
	s.window, s.windowAt = s.window[:got], off
	if got >= n {
		return s.window[:n], nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // shorter than Stat reported
	}
	return nil, err
}
