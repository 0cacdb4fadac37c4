// Package turboshake implements TurboSHAKE128 and TurboSHAKE256, the
// extendable-output functions of RFC 9861: SHAKE with Keccak-p reduced to
// twelve rounds and a domain separation byte.
//
// [Hash] absorbs and squeezes one message as a stream. [Lanes] computes
// TurboSHAKE128 of up to [Width] independent messages at once, several times
// faster than one after another, on processors with wide vector registers. All
// forms give the same bytes on every processor.
//
// Time depends on the lengths of messages and outputs only. The package keeps
// the sponge state in memory and does not erase it; [Hash.Reset] and
// [Lanes.Reset] do.
//
// The build tag purego leaves out all assembly. On amd64 the vector code is
// also switched off by GODEBUG=cpu.avx512f=off and cpu.avx2=off.
package turboshake

import (
	"encoding/binary"
	"errors"
)

const (
	rate128 = 168 // bytes of a block of TurboSHAKE128
	rate256 = 136 // bytes of a block of TurboSHAKE256
)

// ErrSqueezed is what [Hash.Write] returns after the first [Hash.Read].
var ErrSqueezed = errors.New("turboshake: write after read")

// ErrDomain means that a domain separation byte is outside 0x01 to 0x7f, the
// range that RFC 9861, section 2.1 allows.
var ErrDomain = errors.New("turboshake: domain separation byte outside 0x01 to 0x7f")

// A Hash is one instance of TurboSHAKE: write the message in any number of
// pieces, then read any number of bytes. It is not safe for concurrent use.
type Hash struct {
	state     [25]uint64
	block     [rate128]byte // the block being filled or read; rate bytes of it
	pos       int           // bytes of block written or read
	rate      int
	domain    byte
	squeezing bool
}

// New128 returns TurboSHAKE128 with a domain separation byte of 0x01 to 0x7f.
func New128(domain byte) (*Hash, error) { return newHash(rate128, domain) }

// New256 returns TurboSHAKE256 with a domain separation byte of 0x01 to 0x7f.
func New256(domain byte) (*Hash, error) { return newHash(rate256, domain) }

func newHash(rate int, domain byte) (*Hash, error) {
	if domain < 0x01 || domain > 0x7f {
		return nil, ErrDomain
	}
	return &Hash{rate: rate, domain: domain}, nil
}

// BlockSize returns the rate: 168 bytes for TurboSHAKE128, 136 for
// TurboSHAKE256.
func (h *Hash) BlockSize() int { return h.rate }

// Reset erases the state, so that h is as new.
func (h *Hash) Reset() { *h = Hash{rate: h.rate, domain: h.domain} }

// Write absorbs p. It fails with [ErrSqueezed] once something has been read.
func (h *Hash) Write(p []byte) (int, error) {
	if h.squeezing {
		return 0, ErrSqueezed
	}
	n := len(p)
	for len(p) > 0 {
		c := copy(h.block[h.pos:h.rate], p)
		p = p[c:]
		h.pos += c
		if h.pos == h.rate {
			h.absorb()
		}
	}
	return n, nil
}

// absorb adds the full block to the state.
func (h *Hash) absorb() {
	for i := range h.rate / 8 {
		h.state[i] ^= binary.LittleEndian.Uint64(h.block[8*i:])
	}
	permute1(&h.state)
	h.pos = 0
}

// Read squeezes len(p) bytes. It never fails.
func (h *Hash) Read(p []byte) (int, error) {
	if !h.squeezing {
		clear(h.block[h.pos:h.rate])
		h.block[h.pos] = h.domain
		h.block[h.rate-1] ^= 0x80
		h.absorb()
		h.squeezing = true
		h.output()
	}
	n := len(p)
	for len(p) > 0 {
		if h.pos == h.rate {
			permute1(&h.state)
			h.output()
		}
		c := copy(p, h.block[h.pos:h.rate])
		p = p[c:]
		h.pos += c
	}
	return n, nil
}

// output makes the block the next bytes of the output.
func (h *Hash) output() {
	for i := range h.rate / 8 {
		binary.LittleEndian.PutUint64(h.block[8*i:], h.state[i])
	}
	h.pos = 0
}
