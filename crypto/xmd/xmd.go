// Package xmd expands a message to uniform bytes: expand_message_xmd of RFC 9380,
// section 5.3.1, which hashing to curves and to scalars starts with.
//
//	uniform := xmd.Expand(sha256.New, message, "APP-V01-CS02-with-P256_XMD:SHA-256_SSWU_RO_", 96)
//
// It runs in constant time in the message, its length aside, where the hash does.
package xmd

import (
	"encoding/binary"
	"hash"
)

// oversize is what a domain separation tag of more than 255 bytes is hashed with.
const oversize = "H2C-OVERSIZE-DST-"

// Expand returns n uniform bytes, n at most 255 times the size of the hash, and
// 65,535. dst is the domain separation tag of the use, not empty. It panics for
// another n: lengths are constants of suites.
func Expand(newHash func() hash.Hash, message []byte, dst string, n int) []byte {
	h := newHash()
	if n < 0 || n > 1<<16-1 || n > 255*h.Size() {
		panic("xmd: more bytes than the hash can expand to")
	}
	tag := []byte(dst)
	if len(tag) > 255 {
		h.Write([]byte(oversize))
		h.Write(tag)
		tag = h.Sum(nil)
		h.Reset()
	}
	tag = append(tag, byte(len(tag)))

	h.Write(make([]byte, h.BlockSize()))
	h.Write(message)
	h.Write(binary.BigEndian.AppendUint16(nil, uint16(n)))
	h.Write([]byte{0})
	h.Write(tag)
	first := h.Sum(nil)

	out := make([]byte, 0, n+h.Size())
	block := make([]byte, h.Size()) // the one before, at first zeros
	for i := byte(1); len(out) < n; i++ {
		for j := range block {
			block[j] ^= first[j]
		}
		h.Reset()
		h.Write(block)
		h.Write([]byte{i})
		h.Write(tag)
		block = h.Sum(block[:0])
		out = append(out, block...)
	}
	return out[:n]
}
