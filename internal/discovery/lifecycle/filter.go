package lifecycle

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/bits"
)

// A filter is a Bloom filter of tags, cut into chunks that are stored one by
// one; a tag has all its bits in one chunk. It is filled with random bits when
// it is made, so that it answers yes to about a stated share of all tags that
// were never added: a tag found in it proves nothing.
type filter struct {
	shape  shape
	chunks [][]byte
	set    int // bits that are set
}

// A shape fixes the size of a filter.
type shape struct {
	chunks int
	hashes int
	noise  int // share of random bits, of 1024
}

const (
	chunkBytes = 4096
	chunkBits  = chunkBytes * 8
)

// privateShape is for what is private for ever: 128 KiB, false positives 1.0 %
// when it is new, 5 % with 68,000 pages. reportedShape is for what was reported
// on one day: 8 KiB, 0.03 % when new, 0.08 % with 700 tags; 30 of them are asked.
var (
	privateShape  = shape{chunks: 32, hashes: 4, noise: 324}
	reportedShape = shape{chunks: 2, hashes: 7, noise: 321}
)

// newFilter makes a filter of random noise. Each bit of noise is drawn with the
// exact probability shape.noise/1024, 64 bits at once: from the last binary
// digit of the probability to the first, OR with fair bits for a one, AND for a
// zero.
func newFilter(s shape, rand io.Reader) (*filter, error) {
	f := &filter{shape: s}
	fair := make([]byte, chunkBytes)
	for range s.chunks {
		chunk := make([]byte, chunkBytes)
		for digit := range 10 {
			if _, err := io.ReadFull(rand, fair); err != nil {
				return nil, fmt.Errorf("filling a filter with noise: %w", err)
			}
			for i := 0; i < chunkBytes; i += 8 {
				v, r := binary.LittleEndian.Uint64(chunk[i:]), binary.LittleEndian.Uint64(fair[i:])
				if s.noise>>digit&1 == 1 {
					v |= r
				} else {
					v &= r
				}
				binary.LittleEndian.PutUint64(chunk[i:], v)
			}
		}
		f.chunks = append(f.chunks, chunk)
		f.set += ones(chunk)
	}
	return f, nil
}

func ones(chunk []byte) int {
	n := 0
	for i := 0; i < len(chunk); i += 8 {
		n += bits.OnesCount64(binary.LittleEndian.Uint64(chunk[i:]))
	}
	return n
}

// place returns the chunk of a tag and a function that gives its bits.
func (f *filter) place(t tag) (int, func(i int) (int, byte)) {
	chunk := int(uint64(t) % uint64(f.shape.chunks))
	rest := uint64(t) / uint64(f.shape.chunks)
	a, b := rest%chunkBits, rest/chunkBits%chunkBits|1
	return chunk, func(i int) (int, byte) {
		bit := (a + uint64(i)*b) % chunkBits
		return int(bit / 8), 1 << (bit % 8)
	}
}

func (f *filter) has(t tag) bool {
	if f == nil {
		return false
	}
	chunk, bit := f.place(t)
	for i := range f.shape.hashes {
		if at, mask := bit(i); f.chunks[chunk][at]&mask == 0 {
			return false
		}
	}
	return true
}

// add returns the chunk that changed.
func (f *filter) add(t tag) int {
	chunk, bit := f.place(t)
	for i := range f.shape.hashes {
		at, mask := bit(i)
		if f.chunks[chunk][at]&mask == 0 {
			f.chunks[chunk][at] |= mask
			f.set++
		}
	}
	return chunk
}

// rate returns the current share of false positives.
func (f *filter) rate() float64 {
	if f == nil {
		return 0
	}
	density := float64(f.set) / float64(f.shape.chunks*chunkBits)
	return math.Pow(density, float64(f.shape.hashes))
}

// restore puts back a stored chunk.
func (f *filter) restore(i int, chunk []byte) bool {
	if i < 0 || i >= f.shape.chunks || len(chunk) != chunkBytes {
		return false
	}
	for len(f.chunks) < f.shape.chunks {
		f.chunks = append(f.chunks, nil)
	}
	f.chunks[i] = append([]byte(nil), chunk...)
	f.set += ones(chunk)
	return true
}

// whole reports whether all chunks were restored.
func (f *filter) whole() bool {
	for _, c := range f.chunks {
		if c == nil {
			return false
		}
	}
	return len(f.chunks) == f.shape.chunks
}
