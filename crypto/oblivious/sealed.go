package oblivious

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/bits"
	"sync"
)

// Storage is memory that is larger than that of the machine, and that the observer
// reads and may change.
type Storage interface {
	io.ReaderAt
	io.WriterAt
}

// A SealedTable holds rows of one size in storage, in blocks that are sealed: each to
// its place and to the last time that it was written. Its operations are those of
// [Table], through memory that is bounded: which blocks are read and written, and when,
// is a function of the table's shape. It has rows beyond those that are asked for, so
// that its parts are whole blocks: they are empty, of no crowd, and not kept.
//
// It is not safe for concurrent use. After an error it cannot be used any more.
type SealedTable struct {
	trace   tracer
	storage Storage
	seal    cipher.AEAD
	shape   // of the blocks
	written []uint32
	memory  *Table // of inside rows
	buffers sync.Pool

	filled int // rows that were added
	err    error
}

// A shape is how rows are divided.
type shape struct {
	rows   int // a multiple of block
	size   int // of a row, in bytes
	width  int // of a row, in words
	block  int // rows of a block, a power of two
	inside int // at most so many rows are worked on in memory, a multiple of block
}

const (
	blockBytes = 128 << 10 // of a block, about
	leastPart  = 4         // blocks that memory must hold
)

// shapeOf returns the shape of a table of rows through memory of some bytes.
func shapeOf(rows, size int, memory int64) (shape, error) {
	if err := checkShape(rows, size); err != nil {
		return shape{}, err
	}
	s := shape{size: size, width: widthOf(size)}
	row := s.width * wordSize
	s.block = 1 << (bits.Len(uint(max(1, blockBytes/row))) - 1)
	for s.block > 1 && int64(s.block*row*leastPart) > memory {
		s.block /= 2
	}
	most := memory / int64(s.block*row)
	if most < leastPart {
		return shape{}, fmt.Errorf("oblivious: %d bytes of memory for rows of %d bytes, want at least %d", memory, size, s.block*row*leastPart)
	}
	// A power of two of blocks, as the parts of a compaction are.
	s.inside = s.block << (min(bits.Len64(uint64(most)), 31) - 1)
	s.rows = s.round(rows)
	if s.rows >= math.MaxInt32 {
		return shape{}, fmt.Errorf("oblivious: a table of %d rows, want 0 to %d", s.rows, math.MaxInt32-1)
	}
	return s, nil
}

// round returns the number of rows, n or more, whose parts are whole blocks: they are
// halved until they fit into memory.
func (s *shape) round(n int) int {
	unit := s.block
	for (n+unit-1)/unit*s.block > s.inside {
		unit *= 2
	}
	return (n + unit - 1) / unit * unit
}

// NewSealedTable returns a table of rows of a size in bytes, to be filled by Add. It
// works through memory of some bytes, for rows alone: 5 bytes a row are needed
// besides. The key is for one use. It fails for no or too many rows, for an empty row,
// and for too little memory.
func NewSealedTable(storage Storage, rows, size int, memory int64, key [SeedSize]byte) (*SealedTable, error) {
	s, err := shapeOf(rows, size, memory)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("oblivious: keying a sealed table: %w", err)
	}
	t := &SealedTable{storage: storage, shape: s, written: make([]uint32, s.rows/s.block)}
	if t.seal, err = cipher.NewGCM(block); err != nil {
		return nil, fmt.Errorf("oblivious: keying a sealed table: %w", err)
	}
	if t.memory, err = NewTable(min(s.inside, s.rows), size); err != nil {
		return nil, err
	}
	t.buffers.New = func() any { return new(make([]byte, 0, t.sealedSize())) }
	return t, nil
}

// sealedSize is how many bytes of storage a block takes.
func (t *SealedTable) sealedSize() int { return t.block*t.width*wordSize + tagSize }

// StorageSize returns how many bytes of storage the table takes.
func (t *SealedTable) StorageSize() int64 { return int64(len(t.written)) * int64(t.sealedSize()) }

// Rows returns the number of rows, with those that were added to make whole blocks.
func (t *SealedTable) Rows() int { return t.rows }

// Add adds a row. After the last one Fill must be called.
func (t *SealedTable) Add(row []byte) error {
	if len(row) != t.size || t.filled >= t.rows {
		return fmt.Errorf("oblivious: adding row %d of %d bytes to a table of %d rows of %d", t.filled, len(row), t.rows, t.size)
	}
	part := t.memory.rows
	at := t.filled % part
	words := t.memory.words[at*t.width : (at+1)*t.width]
	clear(words)
	setWords(words, row)
	if t.filled++; at == part-1 || t.filled == t.rows {
		t.store(t.filled-at-1, at+1, 1)
	}
	return t.err
}

// Fill adds empty rows until there are enough.
func (t *SealedTable) Fill() error {
	empty := make([]byte, t.size)
	for t.filled < t.rows {
		if err := t.Add(empty); err != nil {
			return err
		}
	}
	return t.err
}

// Shuffle brings the rows into the order into which [Table.Shuffle] would bring them.
func (t *SealedTable) Shuffle(seed [SeedSize]byte, workers int) error {
	_, err := t.shuffleFirst(t.rows, seed, workers)
	return err
}

// shuffleFirst shuffles the first n rows and as many empty ones as make whole parts,
// in the place of those that follow. It returns how many rows these are.
func (t *SealedTable) shuffleFirst(n int, seed [SeedSize]byte, workers int) (int, error) {
	first := t.round(n)
	for block := n / t.block; block < first/t.block && n < first && t.err == nil; block++ {
		words := t.memory.words[:t.block*t.width]
		if err := t.open(block, words); err != nil {
			t.fail(err)
			break
		}
		clear(words[max(0, n-block*t.block)*t.width:])
		if err := t.write(block, words); err != nil {
			t.fail(err)
		}
	}
	s, err := newShuffle(seed, first)
	if err != nil {
		return 0, err
	}
	s.sealed, s.trace = t, t.trace
	s.run(0, first, 0, max(1, workers))
	return first, t.err
}

// Compact is [Table.Compact], with a mark for each of [SealedTable.Rows].
func (t *SealedTable) Compact(marks []byte, workers int) (int, error) {
	counts, err := countMarks(t.trace, marks, t.rows)
	if err != nil {
		return 0, err
	}
	return lastOf(counts), t.compactBy(counts, workers)
}

func (t *SealedTable) compactBy(counts []uint32, workers int) error {
	c := compaction{sealed: t, trace: t.trace, counts: counts}
	c.compact(0, t.rows, max(1, workers))
	return t.err
}

// visit calls f for the words of each of the first n rows, in order. What f changes is
// kept if change is set.
func (t *SealedTable) visit(n, workers int, change bool, f func(i int, row []uint64) error) error {
	for lo := 0; lo < n; lo += t.memory.rows {
		part := min(t.memory.rows, t.rows-lo)
		t.load(lo, part, workers)
		for i := lo; i < min(lo+part, n) && t.err == nil; i++ {
			t.trace.at(traceRow, i)
			if err := f(i, t.memory.words[(i-lo)*t.width:(i-lo+1)*t.width]); err != nil {
				t.fail(err)
			}
		}
		if change {
			t.store(lo, part, workers)
		}
	}
	return t.err
}

// fail keeps the first error.
func (t *SealedTable) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

// with has f work on rows of the table in memory.
func (t *SealedTable) with(lo, n, workers int, f func(*Table)) {
	t.load(lo, n, workers)
	if t.err != nil {
		return
	}
	part := *t.memory
	part.first, part.rows, part.trace = lo, n, t.trace
	part.words = part.words[:n*t.width]
	f(&part)
	t.store(lo, n, workers)
}

// load reads n rows from lo into memory. Both are multiples of a block.
func (t *SealedTable) load(lo, n, workers int) {
	t.blocks(lo, n, workers, func(block int, words []uint64) error { return t.open(block, words) })
}

// store writes n rows from lo from memory.
func (t *SealedTable) store(lo, n, workers int) {
	t.blocks(lo, n, workers, func(block int, words []uint64) error { return t.write(block, words) })
}

// blocks calls f for each block of n rows from lo, with its place in memory.
func (t *SealedTable) blocks(lo, n, workers int, f func(block int, words []uint64) error) {
	if t.err != nil {
		return
	}
	length := t.block * t.width
	t.each(n/t.block, workers, func(i int) error {
		return f(lo/t.block+i, t.memory.words[i*length:(i+1)*length])
	})
}

// each calls f for numbers below n, on several workers, and keeps the first error.
func (t *SealedTable) each(n, workers int, f func(i int) error) {
	if workers > n || t.trace.on() {
		workers = 1
	}
	errs := make([]error, workers)
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			for i := w * n / workers; i < (w+1)*n/workers && errs[w] == nil; i++ {
				errs[w] = f(i)
			}
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			t.fail(err)
		}
	}
}

// nonce is that of a block: each place is sealed once at each time, and opens as what
// was written there last.
func (t *SealedTable) nonce(block int) (nonce [12]byte) {
	binary.BigEndian.PutUint32(nonce[:], uint32(block))
	binary.BigEndian.PutUint64(nonce[4:], uint64(t.written[block]))
	return nonce
}

// write seals a block.
func (t *SealedTable) write(block int, words []uint64) error {
	t.trace.at(traceBlock, block)
	if t.written[block] == math.MaxUint32 {
		return fmt.Errorf("oblivious: block %d was written too often", block)
	}
	t.written[block]++
	buffer := t.buffers.Get().(*[]byte)
	defer t.buffers.Put(buffer)
	nonce := t.nonce(block)
	plain := (*buffer)[:0]
	for _, w := range words {
		plain = binary.LittleEndian.AppendUint64(plain, w)
	}
	sealed := t.seal.Seal(plain[:0], nonce[:], plain, nil)
	if _, err := t.storage.WriteAt(sealed, int64(block)*int64(len(sealed))); err != nil {
		return fmt.Errorf("oblivious: writing block %d: %w", block, err)
	}
	return nil
}

// open reads a block.
func (t *SealedTable) open(block int, words []uint64) error {
	t.trace.at(traceBlock, block)
	buffer := t.buffers.Get().(*[]byte)
	defer t.buffers.Put(buffer)
	sealed := (*buffer)[:t.sealedSize()]
	if n, err := t.storage.ReadAt(sealed, int64(block)*int64(len(sealed))); n < len(sealed) {
		return fmt.Errorf("oblivious: reading block %d: %w", block, err)
	}
	nonce := t.nonce(block)
	plain, err := t.seal.Open(sealed[:0], nonce[:], sealed, nil)
	if err != nil {
		return fmt.Errorf("%w: block %d", ErrTampered, block)
	}
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(plain[i*wordSize:])
	}
	return nil
}

// exchange is [Table.exchange] for rows that are not in memory. The numbers are
// multiples of a block.
func (t *SealedTable) exchange(a, b, rows int, from, flip uint64, workers int) {
	if t.err != nil {
		return
	}
	length := t.block * t.width
	pairs := min(max(1, workers), t.memory.rows/(2*t.block), rows/t.block)
	if pairs == 0 {
		return
	}
	t.each(pairs, pairs, func(w int) error {
		first := t.memory.words[2*w*length : (2*w+1)*length]
		second := t.memory.words[(2*w+1)*length : (2*w+2)*length]
		for i := w * t.block; i < rows; i += pairs * t.block {
			x, y := (a+i)/t.block, (b+i)/t.block
			if err := t.open(x, first); err != nil {
				return err
			}
			if err := t.open(y, second); err != nil {
				return err
			}
			exchange(t.trace, (a+i)*t.width, (b+i)*t.width, first, second, t.width, after(from, i), flip)
			if err := t.write(x, first); err != nil {
				return err
			}
			if err := t.write(y, second); err != nil {
				return err
			}
		}
		return nil
	})
}
