package journal

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
)

// windowSize is what a scanner reads at once; larger frames make it grow.
const windowSize = 256 << 10

// A Gap is a range of bytes that are no frame. It is empty where whole frames are
// missing between numbered ones.
type Gap struct {
	Start, End int64
	// Torn means that no frame follows: a crash cut the last write short.
	Torn bool
	// Frames is how many frames are lost there, -1 if that is not known.
	Frames int64
}

// A Scanner reads the frames of a file and steps over damage.
type Scanner struct {
	// Open returns what a payload holds, which is not nil, or nil if it is not to
	// be taken for that of a frame. It must not keep the payload. Without it, the
	// checksum decides, and the payload is returned.
	Open func(number uint64, payload []byte) []byte
	// Number is the number that the next numbered frame must have, and has.
	Number uint64
	// Budget bounds the payload bytes that are checked while the next frame behind
	// damage is searched for: hostile bytes can make every position look like one.
	// Without it, the search ends at the end of the file.
	Budget int64

	format   Format
	r        io.ReaderAt
	off, end int64

	window   []byte
	windowAt int64 // offset of window[0]
}

// NewScanner returns a scanner of the frames in [start, end) of r. window is a buffer
// to use, or nil.
func NewScanner(f Format, r io.ReaderAt, start, end int64, window []byte) *Scanner {
	return &Scanner{Budget: math.MaxInt64, format: f, r: r, off: start, end: end, window: window[:0]}
}

// ScanBytes returns a scanner of the frames in b.
func ScanBytes(f Format, b []byte) *Scanner {
	return &Scanner{Budget: math.MaxInt64, format: f, end: int64(len(b)), window: b}
}

// Window returns the scanner's buffer, for another one to use.
func (s *Scanner) Window() []byte { return s.window }

// Offset returns where the next frame or gap begins.
func (s *Scanner) Offset() int64 { return s.off }

// Next returns what the next frame holds, valid until the next call, or the next gap
// (with nil, nil), or io.EOF at the end. Other errors are those of the reader.
func (s *Scanner) Next() ([]byte, Gap, error) {
	if s.off >= s.end {
		return nil, Gap{}, io.EOF
	}
	if payload := s.plain(); payload != nil {
		return payload, Gap{}, nil
	}
	f, err := s.at(s.off)
	if err != nil {
		return nil, Gap{}, err
	}
	switch {
	case f.holds == nil || s.format.Numbered && f.number < s.Number:
	case s.format.Numbered && f.number > s.Number:
		g := Gap{Start: s.off, End: s.off, Frames: int64(min(f.number-s.Number, math.MaxInt64))}
		s.Number = f.number
		return nil, g, nil
	default:
		s.off += int64(f.size)
		s.Number++
		return f.holds, Gap{}, nil
	}
	g, err := s.search(s.off)
	if err != nil {
		return nil, Gap{}, err
	}
	s.off = g.End
	return nil, g, nil
}

// plain returns the payload of the next frame where nothing but its checksum decides
// and the window holds it, as almost always in a log. Else it returns nil.
func (s *Scanner) plain() []byte {
	i := s.off - s.windowAt
	if s.Open != nil || s.format.Numbered || i < 0 || i+Head > int64(len(s.window)) {
		return nil
	}
	b := s.window[i:]
	n := int64(binary.BigEndian.Uint32(b))
	if n < int64(s.format.Min) || n > int64(s.format.Max) || n > min(int64(len(b)), s.end-s.off)-Head {
		return nil
	}
	b = b[:Head+n]
	if s.format.sum(b) != binary.BigEndian.Uint32(b[4:]) {
		return nil
	}
	s.off += int64(len(b))
	s.Number++
	return b[Head:]
}

// candidate is what a position has: a frame, or, if holds is nil, the length that a
// frame there would have.
type candidate struct {
	size   int // of the frame; 0 without one
	number uint64
	holds  []byte
}

// at returns the frame at off.
func (s *Scanner) at(off int64) (candidate, error) {
	size, number, err := s.size(off)
	if err != nil || size == 0 {
		return candidate{}, err
	}
	c := candidate{size: size, number: number}
	b, err := s.peek(off, size)
	if err != nil {
		return candidate{}, err
	}
	_, payload, ok := s.format.Decode(b)
	if ok && s.Open != nil {
		payload = s.Open(number, payload)
	}
	if ok {
		c.holds = payload
	}
	return c, nil
}

// size returns the size of the frame whose head is at off, 0 if no frame there can
// have it.
func (s *Scanner) size(off int64) (int, uint64, error) {
	head := s.format.head()
	if s.end-off < int64(head) {
		return 0, 0, nil
	}
	b, err := s.peek(off, head)
	if err != nil {
		return 0, 0, err
	}
	n, number, ok := s.format.length(b)
	if !ok || int64(n) > s.end-off-int64(head) {
		return 0, 0, nil
	}
	return head + n, number, nil
}

// search finds the end of the gap that begins at start: the next frame, or the end of
// the file. It does not trust the length at start, which may lead past frames.
func (s *Scanner) search(start int64) (Gap, error) {
	length, _, err := s.size(start)
	if err != nil {
		return Gap{}, err
	}
	for off := start + 1; off < s.end && s.Budget > 0; off++ {
		size, number, err := s.size(off)
		if err != nil {
			return Gap{}, err
		}
		if size == 0 || s.format.Numbered && number < s.Number {
			continue
		}
		s.Budget -= int64(size)
		f, err := s.at(off)
		if err != nil {
			return Gap{}, err
		}
		if f.holds != nil {
			s.Number = max(s.Number, f.number)
			return newGap(start, off, length), nil
		}
	}
	if s.Budget <= 0 {
		return s.unsearched(start, length)
	}
	g := newGap(start, s.end, length)
	g.Torn = true
	return g, nil
}

// unsearched ends a gap whose end was not found: then its length is better than
// nothing. Whether it is torn is not known.
func (s *Scanner) unsearched(start int64, length int) (Gap, error) {
	next := start + int64(length)
	if length == 0 || next == s.end {
		return newGap(start, s.end, length), nil
	}
	f, err := s.at(next)
	if err != nil || f.holds == nil || s.format.Numbered && f.number < s.Number {
		return newGap(start, s.end, length), err
	}
	s.Number = max(s.Number, f.number)
	return newGap(start, next, length), nil
}

// newGap returns a gap, which is one lost frame where it is as long as the length
// there gives.
func newGap(start, end int64, length int) Gap {
	if end == start+int64(length) {
		return Gap{Start: start, End: end, Frames: 1}
	}
	return Gap{Start: start, End: end, Frames: -1}
}

// peek returns n bytes at off, which lie before s.end.
func (s *Scanner) peek(off int64, n int) ([]byte, error) {
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
