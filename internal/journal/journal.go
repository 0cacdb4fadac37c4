// Package journal is the codec of files to which frames are appended: the head of a
// frame, its checksum, and the rule that distinguishes a torn tail from damage.
// What a file begins and ends with, when it is synced, sealed or rewritten, and what
// frames hold is its owner's: internal/segment, internal/outbox and
// internal/discovery/lifecycle.
//
// Integers are big endian, checksums CRC-32C. There are two layouts ([Format]):
//
//	plain     length u32, checksum of length and payload u32, payload
//	numbered  length u32, number u64, checksum of these two u32, payload
//
// The checksum of a plain frame continues from the format's seed. A file that draws
// its seed at random does not take blocks of a deleted file that show through after
// a crash, or frames that a sender has forged inside a payload, for its own. The
// payload of a numbered frame authenticates itself and its number, by encryption: the
// head only has to be found.
//
// # Torn or damaged
//
// Owners sync a frame before they append the next one. So bytes behind the last
// frame, with no frame behind them, are what a crash left of the last write: torn,
// and no loss. Bytes with a frame behind them were once durable: damage. A [Scanner]
// yields both as a [Gap], and goes on behind damage.
//
// # Security
//
// Checksums find accidents. Plain frames are no protection against a party that
// writes to the file, nor is a seed a secret.
package journal

import (
	"encoding/binary"
	"hash/crc32"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	// Head is the size in bytes of a plain frame's head.
	Head = 4 + 4
	// NumberedHead is the size in bytes of a numbered frame's head.
	NumberedHead = 4 + 8 + 4
)

// A Format defines the frames of a file.
type Format struct {
	// Numbered selects the layout with numbers.
	Numbered bool
	// Min and Max bound the bytes of a payload. Max is at most 1 GiB.
	Min, Max int
	// Seed is where checksums of plain frames continue. 0 is that of no bytes.
	Seed uint32
}

func (f Format) head() int {
	if f.Numbered {
		return NumberedHead
	}
	return Head
}

// Sum continues the checksum seed over b.
func Sum(seed uint32, b []byte) uint32 { return crc32.Update(seed, castagnoli, b) }

// AppendSum appends the checksum of b[start:] to b.
func AppendSum(b []byte, start int, seed uint32) []byte {
	return binary.BigEndian.AppendUint32(b, Sum(seed, b[start:]))
}

// HasSum reports whether the last four bytes of b are the checksum of those before.
func HasSum(b []byte, seed uint32) bool {
	end := len(b) - 4
	return end >= 0 && Sum(seed, b[:end]) == binary.BigEndian.Uint32(b[end:])
}

// Begin appends the head of a plain frame, without its checksum: the n bytes of the
// payload follow, and [Format.Finish] completes the frame.
func Begin(dst []byte, n int) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	return append(dst, 0, 0, 0, 0)
}

// Finish fills in the checksums of the plain frames in b.
func (f Format) Finish(b []byte) {
	for len(b) > 0 {
		end := Head + int(binary.BigEndian.Uint32(b))
		binary.BigEndian.PutUint32(b[4:], f.sum(b[:end]))
		b = b[end:]
	}
}

// Append appends a plain frame.
func (f Format) Append(dst, payload []byte) []byte {
	start := len(dst)
	dst = append(Begin(dst, len(payload)), payload...)
	f.Finish(dst[start:])
	return dst
}

// BeginNumbered appends the head of a numbered frame. The n bytes of its payload
// follow.
func BeginNumbered(dst []byte, n int, number uint64) []byte {
	start := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	dst = binary.BigEndian.AppendUint64(dst, number)
	return AppendSum(dst, start, 0)
}

// Decode decodes the frame that b begins with. It returns the number, 0 in a plain
// frame, and the payload, which is part of b and not nil.
func (f Format) Decode(b []byte) (number uint64, payload []byte, ok bool) {
	n, number, ok := f.length(b)
	if !ok || n > len(b)-f.head() {
		return 0, nil, false
	}
	b = b[:f.head()+n]
	if !f.Numbered && f.sum(b) != binary.BigEndian.Uint32(b[4:]) {
		return 0, nil, false
	}
	return number, b[f.head():], true
}

// length decodes the head that b begins with. It returns false if no frame has it.
func (f Format) length(b []byte) (n int, number uint64, ok bool) {
	if len(b) < f.head() {
		return 0, 0, false
	}
	if f.Numbered {
		if !HasSum(b[:NumberedHead], 0) {
			return 0, 0, false
		}
		number = binary.BigEndian.Uint64(b[4:])
	}
	size := int64(binary.BigEndian.Uint32(b))
	if size < int64(f.Min) || size > int64(f.Max) {
		return 0, 0, false
	}
	return int(size), number, true
}

// sum is the checksum of a plain frame.
func (f Format) sum(frame []byte) uint32 { return Sum(Sum(f.Seed, frame[:4]), frame[Head:]) }
