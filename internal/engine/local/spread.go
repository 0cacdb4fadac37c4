package local

import (
	"bytes"
	"io"
	"sync"

	"github.com/shoal-project/shoal/internal/durable"
)

// A spread distributes rows to buckets by splitters, and writes the rows of each in
// extents to one file, beside what goes on.
type spread struct {
	file    durable.File
	width   int
	splits  splitters
	buckets []bucket
	open    [][]byte // of each bucket the rows that are not written yet
	row     []byte   // one, as it is sorted
	written int64    // bytes, with those that are being written

	full  chan extent
	free  chan []byte
	done  sync.WaitGroup
	ended bool

	mu  sync.Mutex // guards err
	err error
}

// A bucket is the rows of a range of the order.
type bucket struct {
	extents []run
	sorted  bool // then there is one extent
}

// An extent is rows on their way to the file.
type extent struct {
	off  int64
	rows []byte
}

// The buffers of a spread: at least the size of one write, and for so many buckets
// that each can be sorted in little memory.
const (
	extentSize = 128 << 10
	maxBuckets = 512
	maxSpare   = 16
)

// bucketsOf divides memory: it returns how many buckets there are at most, and the
// bytes of a buffer.
func bucketsOf(memory, width int) (buckets, buffer int) {
	buffer = bufferRows(min(extentSize, memory/16), width) * width
	n := min(maxBuckets+maxSpare, memory/buffer)
	return max(1, n-spare(n)), buffer
}

// spare is how many of n buffers belong to no bucket.
func spare(n int) int { return max(1, min(maxSpare, n/4)) }

// newSpread uses memory for buffers of so many bytes.
func newSpread(file durable.File, width int, splits splitters, memory []byte, buffer int) *spread {
	s := &spread{
		file: file, width: width, splits: splits, row: make([]byte, width),
		full: make(chan extent, maxSpare), free: make(chan []byte, maxSpare),
	}
	next := func() []byte {
		b := memory[:0:buffer]
		memory = memory[buffer:]
		return b
	}
	for range splits.n() + 1 {
		s.open = append(s.open, next())
	}
	s.buckets = make([]bucket, len(s.open))
	for len(s.free) < maxSpare && len(memory) >= buffer {
		s.free <- next()
	}
	s.done.Go(s.work)
	return s
}

// begin takes note of n rows that the file begins with, in order: those from which
// the splitters were chosen.
func (s *spread) begin(n int) {
	for i := range s.buckets {
		lo, hi := s.splits.at(i, n), s.splits.at(i+1, n)
		s.buckets[i].extents = append(s.buckets[i].extents, run{int64(lo * s.width), int64(hi * s.width)})
	}
	s.written = int64(n * s.width)
}

// work writes extents. After an error it writes no more.
func (s *spread) work() {
	for e := range s.full {
		if s.failed() == nil {
			if _, err := s.file.WriteAt(e.rows, e.off); err != nil {
				s.mu.Lock()
				s.err = err
				s.mu.Unlock()
			}
		}
		s.free <- e.rows[:0]
	}
}

func (s *spread) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// write distributes rows that are stored in a layout.
func (s *spread) write(rows []byte, l *layout) error {
	for ; len(rows) > 0; rows = rows[s.width:] {
		row := rows[:s.width]
		if !l.identity {
			l.toSorted(s.row, row)
			row = s.row
		}
		i := s.splits.of(row)
		buf := s.open[i]
		if len(buf)+s.width > cap(buf) {
			if err := s.failed(); err != nil {
				return err
			}
			s.flush(i)
			buf = <-s.free
		}
		n := len(buf)
		buf = buf[:n+s.width]
		copy(buf[n:], row)
		s.open[i] = buf
	}
	return nil
}

// flush writes the rows of a bucket, whose buffer it gives away.
func (s *spread) flush(i int) {
	rows := s.open[i]
	end := s.written + int64(len(rows))
	b := &s.buckets[i]
	b.extents = append(b.extents, run{s.written, end})
	s.full <- extent{s.written, rows}
	s.written = end
	s.open[i] = nil
}

// end writes what is left, and waits for it.
func (s *spread) end() error {
	if s.ended {
		return s.err
	}
	s.ended = true
	for i, rows := range s.open {
		if len(rows) > 0 {
			s.flush(i)
			<-s.free
		}
	}
	close(s.full)
	s.done.Wait()
	return s.err
}

func (b *bucket) rows(width int) int64 {
	n := int64(0)
	for _, e := range b.extents {
		n += e.end - e.off
	}
	return n / int64(width)
}

// in is a bucket's rows as one file.
func (b *bucket) in(file durable.File) io.ReaderAt { return extents{file, b.extents} }

type extents struct {
	file durable.File
	runs []run
}

// ReadAt implements [io.ReaderAt].
func (e extents) ReadAt(b []byte, off int64) (int, error) {
	done := 0
	for _, r := range e.runs {
		size := r.end - r.off
		if off >= size {
			off -= size
			continue
		}
		n := int(min(int64(len(b)-done), size-off))
		if err := readFull(e.file, b[done:done+n], r.off+off); err != nil {
			return done, err
		}
		off = 0
		if done += n; done == len(b) {
			return done, nil
		}
	}
	return done, io.EOF
}

// splitters divide the order of rows into ranges.
type splitters struct {
	width int
	rows  []byte   // in order
	keys  []uint64 // their beginnings
	first [1<<splitBits + 1]uint16
}

// splitBits is how many bits of a row's beginning a table is for: of each of their
// values first has how many splitters begin with a lower one.
const splitBits = 12

// newSplitters chooses splitters of sorted rows, n of them, for so many ranges.
func newSplitters(sorted *sorter, n, ranges int) splitters {
	s := splitters{width: sorted.width, keys: make([]uint64, ranges-1)}
	for i := range s.keys {
		row := sorted.row(s.at(i+1, n))
		s.rows = append(s.rows, row...)
		s.keys[i] = prefix(row)
	}
	for i := range s.first {
		for int(s.first[i]) < len(s.keys) && int(s.keys[s.first[i]]>>(64-splitBits)) < i {
			s.first[i]++
		}
		if i+1 < len(s.first) {
			s.first[i+1] = s.first[i]
		}
	}
	return s
}

func (s *splitters) n() int { return len(s.keys) }

// at is where, in n sorted rows, range i begins.
func (s *splitters) at(i, n int) int { return i * n / (len(s.keys) + 1) }

// of is the range of a row: how many splitters are not above it.
func (s *splitters) of(row []byte) int {
	key := prefix(row)
	lo, hi := int(s.first[key>>(64-splitBits)]), int(s.first[key>>(64-splitBits)+1])
	for lo < hi {
		m := (lo + hi) / 2
		if s.keys[m] < key || s.keys[m] == key && bytes.Compare(s.rows[m*s.width:(m+1)*s.width], row) <= 0 {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo
}
