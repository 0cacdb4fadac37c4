package oblivious

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// StashFiles are what a [StashShuffle] reads and writes. The observer sees all of it.
type StashFiles struct {
	// Input returns the rows of the batch from the beginning: the same ones each time.
	Input func() (io.Reader, error)
	// Between holds sealed rows while the shuffle runs: [StashParameters.Slots] times
	// the size of a row and [SlotOverhead].
	Between interface {
		io.ReaderAt
		io.WriterAt
	}
	// Output returns where the rows go, and forgets what it was given before.
	Output func() (io.Writer, error)
}

// SlotOverhead is how many bytes a sealed row is longer than a row.
const SlotOverhead = 1 + tagSize

const tagSize = 16 // of AES-GCM

// stashAttempts bounds how often a shuffle starts again. With parameters that fail
// with a probability of 2^-64 the second attempt is never seen.
const stashAttempts = 8

// ErrStash means that the rows did not fit the parameters, in each of several
// attempts.
var ErrStash = errors.New("oblivious: the rows do not fit stash and window")

// ErrTampered means that what was read from Between is not what was written there.
var ErrTampered = errors.New("oblivious: a row between was changed, moved or replayed")

// StashShuffle brings the rows of a batch into a uniformly random order through
// external memory, by the Stash Shuffle: rows go sealed into random buckets, and each
// bucket is read, permuted in private memory and written out. Which addresses of the
// files are read and written is a function of the parameters alone. A failure, which
// depends on the order that is being drawn, is not written out: all starts again with
// fresh keys and choices.
//
// It is for machines whose private memory is smaller than the batch and is not watched
// itself; [Table.Shuffle] is for those where addresses within it are. A row that does
// not open must be made a row of the same shape by Input. All random choices follow
// from the seed. It fails with [ErrTampered] if a row between is not what was written
// at its place, with [ErrStash] if no attempt succeeds, and with the errors of the
// files.
func StashShuffle(p StashParameters, size int, seed [SeedSize]byte, files StashFiles) error {
	if err := p.Validate(); err != nil {
		return err
	}
	if size < 1 || size > 1<<20 {
		return fmt.Errorf("oblivious: rows of %d bytes, want 1 to %d", size, 1<<20)
	}
	seeds, err := newSource(seed)
	if err != nil {
		return err
	}
	for range stashAttempts {
		s := stashRun{StashParameters: p, size: size, files: files}
		if err := s.start(seeds); err != nil {
			return err
		}
		if err := s.run(); !errors.Is(err, ErrStash) {
			return err
		}
	}
	return fmt.Errorf("%w: %d attempts with %+v", ErrStash, stashAttempts, p)
}

// A stashRun is one attempt.
type stashRun struct {
	StashParameters
	size  int
	files StashFiles

	seal   cipher.AEAD
	random *randomNumbers

	plain  []byte // a flag and a row
	sealed []byte // chunks, on the way to the file
}

// start draws the key and the random numbers of an attempt.
func (s *stashRun) start(seeds cipher.Stream) error {
	var key, random [SeedSize]byte
	fill(seeds, key[:])
	fill(seeds, random[:])
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return fmt.Errorf("oblivious: keying the rows between: %w", err)
	}
	if s.seal, err = cipher.NewGCM(block); err != nil {
		return fmt.Errorf("oblivious: keying the rows between: %w", err)
	}
	source, err := newSource(random)
	if err != nil {
		return err
	}
	s.random = &randomNumbers{source: source}
	s.plain = make([]byte, 1+s.size)
	return nil
}

func (s *stashRun) run() error {
	if err := s.distribute(); err != nil {
		return err
	}
	return s.compress()
}

// A pile holds rows by the bucket that they go to: a list for each bucket.
type pile struct {
	rows  []byte
	next  []int32 // the row below, or -1
	tops  []int32 // of each bucket, or -1
	free  int32   // the first of the rows that are not used, or -1
	size  int
	count []int32 // of each bucket
}

func newPile(buckets, rows, size int) *pile {
	p := &pile{rows: make([]byte, rows*size), next: make([]int32, rows), tops: make([]int32, buckets), count: make([]int32, buckets), size: size, free: -1}
	for i := range p.tops {
		p.tops[i] = -1
	}
	for i := range p.next {
		p.next[i], p.free = p.free, int32(i)
	}
	return p
}

// push adds a row to a bucket and reports whether there was room.
func (p *pile) push(bucket int, row []byte) bool {
	i := p.free
	if i < 0 {
		return false
	}
	copy(p.rows[int(i)*p.size:], row)
	p.free, p.next[i], p.tops[bucket] = p.next[i], p.tops[bucket], i
	p.count[bucket]++
	return true
}

// pop takes a row from a bucket into dst and reports whether there was one.
func (p *pile) pop(bucket int, dst []byte) bool {
	i := p.tops[bucket]
	if i < 0 {
		return false
	}
	copy(dst, p.rows[int(i)*p.size:(int(i)+1)*p.size])
	p.tops[bucket], p.next[i], p.free = p.next[i], p.free, i
	p.count[bucket]--
	return true
}

// distribute is the first phase: it writes every slot between.
func (s *stashRun) distribute() error {
	input, err := s.files.Input()
	if err != nil {
		return fmt.Errorf("oblivious: reading the batch: %w", err)
	}
	stash := newPile(s.Buckets, s.Stash, s.size)
	output := newPile(s.Buckets, s.Buckets*s.Chunk, s.size)
	row := make([]byte, s.size)
	d := s.bucket()
	for b := range s.Buckets {
		for j := range s.Buckets { // what waits in the stash goes first
			for int(output.count[j]) < s.Chunk && stash.pop(j, row) {
				output.push(j, row)
			}
		}
		for range min(d, max(0, s.Rows-b*d)) {
			if _, err := io.ReadFull(input, row); err != nil {
				return fmt.Errorf("oblivious: reading the batch of %d rows: %w", s.Rows, err)
			}
			j := s.random.below(uint64(s.Buckets))
			if int(output.count[j]) < s.Chunk {
				output.push(int(j), row)
			} else if !stash.push(int(j), row) {
				return ErrStash
			}
		}
		for j := range s.Buckets {
			if err := s.write(output, j, b*s.Chunk, s.Chunk); err != nil {
				return err
			}
		}
	}
	for j := range s.Buckets {
		if err := s.write(stash, j, s.Buckets*s.Chunk, s.Drain); err != nil {
			return err
		}
		if stash.count[j] > 0 {
			return ErrStash
		}
	}
	return nil
}

// write seals so many slots of a bucket, with rows as long as there are some.
func (s *stashRun) write(from *pile, bucket, slot, n int) error {
	s.sealed = s.sealed[:0]
	for i := range n {
		clear(s.plain)
		if from.pop(bucket, s.plain[1:]) {
			s.plain[0] = 1
		}
		nonce := place(bucket, slot+i)
		s.sealed = s.seal.Seal(s.sealed, nonce[:], s.plain, nil)
	}
	if _, err := s.files.Between.WriteAt(s.sealed, s.offset(bucket, slot)); err != nil {
		return fmt.Errorf("oblivious: writing slot %d of bucket %d: %w", slot, bucket, err)
	}
	return nil
}

// place is the nonce of a slot: each is sealed once under a key, and opens at its
// place only.
func place(bucket, slot int) (nonce [12]byte) {
	binary.BigEndian.PutUint32(nonce[4:], uint32(bucket))
	binary.BigEndian.PutUint32(nonce[8:], uint32(slot))
	return nonce
}

func (s *stashRun) offset(bucket, slot int) int64 {
	return (int64(bucket)*int64(s.slots()) + int64(slot)) * int64(s.size+SlotOverhead)
}

// compress is the second phase: it reads every slot, and writes the rows.
func (s *stashRun) compress() error {
	output, err := s.files.Output()
	if err != nil {
		return fmt.Errorf("oblivious: writing the shuffled batch: %w", err)
	}
	q := &queue{rows: make([]byte, s.Window*s.slots()*s.size), size: s.size}
	window, d := min(s.Window, s.Buckets), s.bucket()
	for b := range window {
		if err := s.load(b, q); err != nil {
			return err
		}
	}
	written := 0
	for b := window; b < s.Buckets; b++ {
		if err := q.drain(output, d); err != nil {
			return err
		}
		written += d
		if err := s.load(b, q); err != nil {
			return err
		}
	}
	return q.drain(output, s.Rows-written)
}

// load reads a bucket and adds its rows to the queue, in random order.
func (s *stashRun) load(bucket int, q *queue) error {
	length := s.size + SlotOverhead
	s.sealed = append(s.sealed[:0], make([]byte, s.slots()*length)...)
	if n, err := s.files.Between.ReadAt(s.sealed, s.offset(bucket, 0)); n < len(s.sealed) {
		return fmt.Errorf("oblivious: reading bucket %d: %w", bucket, err)
	}
	first := q.used
	for slot := range s.slots() {
		nonce := place(bucket, slot)
		plain, err := s.seal.Open(s.plain[:0], nonce[:], s.sealed[slot*length:(slot+1)*length], nil)
		if err != nil {
			return fmt.Errorf("%w: slot %d of bucket %d", ErrTampered, slot, bucket)
		}
		if plain[0] == 1 && !q.push(plain[1:]) {
			return ErrStash
		}
	}
	for i := q.used - first; i > 1; i-- {
		q.swap(first+i-1, first+int(s.random.below(uint64(i))))
	}
	return nil
}

// A queue is a ring of rows.
type queue struct {
	rows []byte
	size int
	read int // rows that were drained, ever
	used int // rows that were added, ever
}

func (q *queue) at(i int) []byte {
	i %= len(q.rows) / q.size
	return q.rows[i*q.size : (i+1)*q.size]
}

func (q *queue) push(row []byte) bool {
	if (q.used-q.read+1)*q.size > len(q.rows) {
		return false
	}
	copy(q.at(q.used), row)
	q.used++
	return true
}

func (q *queue) swap(i, j int) {
	a, b := q.at(i), q.at(j)
	for k := range a {
		a[k], b[k] = b[k], a[k]
	}
}

// drain writes n rows. It writes none if there are fewer.
func (q *queue) drain(w io.Writer, n int) error {
	if q.used-q.read < n {
		return ErrStash
	}
	for range n {
		if _, err := w.Write(q.at(q.read)); err != nil {
			return fmt.Errorf("oblivious: writing the shuffled batch: %w", err)
		}
		q.read++
	}
	return nil
}

// randomNumbers are uniform numbers.
type randomNumbers struct {
	source cipher.Stream
	buffer [4096]byte
	rest   []byte
}

func (r *randomNumbers) uint64() uint64 {
	if len(r.rest) == 0 {
		fill(r.source, r.buffer[:])
		r.rest = r.buffer[:]
	}
	n := binary.LittleEndian.Uint64(r.rest)
	r.rest = r.rest[wordSize:]
	return n
}

// below returns a number below n, each with the same probability (Lemire, "Fast
// Random Integer Generation in an Interval", 2019).
func (r *randomNumbers) below(n uint64) uint64 {
	high, low := bits.Mul64(r.uint64(), n)
	if low < n {
		for least := -n % n; low < least; {
			high, low = bits.Mul64(r.uint64(), n)
		}
	}
	return high
}
