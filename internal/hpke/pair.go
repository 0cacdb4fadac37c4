package hpke

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// This file is the key schedule of two messages at once, on the two lanes of
// compressSHA. What does not depend on a message is laid out before: whole blocks of
// hash input. A pair takes 19 compressions of two lanes, where the standard library's
// hash takes 23 of one lane for each message: the state after a constant or repeated
// key of a MAC is not computed again.

// digests are the SHA-256 states of two lanes, or digests before their encoding.
type digests [2][8]uint32

var initial = [8]uint32{
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
}

// A block is one of a padded message.
type block = [sha256.BlockSize]byte

// encode writes the digest of a lane.
func (d *digests) encode(dst *[sha256.Size]byte, lane int) {
	for i, w := range d[lane] {
		binary.BigEndian.PutUint32(dst[4*i:], w)
	}
}

// A macKey is the two states of HMAC-SHA256 after its key, in each lane.
type macKey struct{ inner, outer digests }

// keyed returns the states after keys of 32 bytes.
func keyed(keys *digests) (k macKey) {
	k.inner, k.outer = padState(keys, innerPad), padState(keys, outerPad)
	return k
}

// padState returns the state after keys with a pad (RFC 2104, section 2).
func padState(keys *digests, pad uint32) digests {
	var pads [2]block
	pad *= 0x01010101
	for lane := range pads {
		b := pads[lane][:]
		for i, w := range keys[lane] {
			binary.BigEndian.PutUint32(b[4*i:], w^pad)
			binary.BigEndian.PutUint32(b[4*i+sha256.Size:], pad)
		}
	}
	d := digests{initial, initial}
	compressSHA((*[2][8]uint32)(&d), &pads[0], &pads[1])
	return d
}

// mac returns the MACs of messages of padded blocks, as many in each lane.
func (k *macKey) mac(first, second []block) digests {
	d := k.inner
	for i := range first {
		compressSHA((*[2][8]uint32)(&d), &first[i], &second[i])
	}
	var last [2]block
	for lane := range last {
		d.encode((*[sha256.Size]byte)(last[lane][:]), lane)
		last[lane][sha256.Size] = 0x80
		binary.BigEndian.PutUint16(last[lane][sha256.BlockSize-2:], 8*(sha256.BlockSize+sha256.Size))
	}
	d = k.outer
	compressSHA((*[2][8]uint32)(&d), &last[0], &last[1])
	return d
}

// padded returns the blocks of what follows a MAC's key in its inner hash.
func padded(message []byte) []block {
	m := append(slices.Clone(message), 0x80)
	for len(m)%sha256.BlockSize != sha256.BlockSize-8 {
		m = append(m, 0)
	}
	m = binary.BigEndian.AppendUint64(m, 8*uint64(sha256.BlockSize+len(message)))
	var blocks []block
	for b := range slices.Chunk(m, sha256.BlockSize) {
		blocks = append(blocks, block(b))
	}
	return blocks
}

// A pairSchedule is the parts of the key schedule that are the same for all messages
// to a key with one info, as padded blocks.
type pairSchedule struct {
	eae    []block // with room for the agreed secret
	shared []block // with room for the encapsulated key
	secret []block
	key    []block
	nonce  []block
	none   macKey // the key of a MAC that has none
}

// Where the parts that differ are in their blocks.
const (
	eaeAt    = len(hpkeVersion + kemSuite + "eae_prk")
	sharedAt = 2 + len(hpkeVersion+kemSuite+"shared_secret")
)

func newPairSchedule(r *Receiver) *pairSchedule {
	var context [kemContext]byte
	copy(context[Size:], r.public[:])
	return &pairSchedule{
		eae:    padded(appendExtract(nil, kemSuite, "eae_prk", make([]byte, Size))),
		shared: padded(appendExpand(nil, kemSuite, "shared_secret", context[:], sha256.Size)),
		secret: padded(appendExtract(nil, hpkeSuite, "secret", nil)),
		key:    padded(appendExpand(nil, hpkeSuite, "key", r.context[:], keySize)),
		nonce:  padded(appendExpand(nil, hpkeSuite, "base_nonce", r.context[:], nonceSize)),
		none:   keyed(&digests{}),
	}
}

// derive derives the keys of two messages.
func (s *pairSchedule) derive(keys [2]*MessageKey, agreed, encapsulated [2]*[Size]byte) {
	var eae [2]block
	var shared [2][2]block
	for lane := range 2 {
		eae[lane] = s.eae[0]
		copy(eae[lane][eaeAt:], agreed[lane][:])
		copy(shared[lane][:], s.shared)
		copy(shared[lane][0][sharedAt:], encapsulated[lane][:])
	}
	d := s.none.mac(eae[:1], eae[1:]) // eae_prk
	k := keyed(&d)
	d = k.mac(shared[0][:], shared[1][:]) // shared_secret
	k = keyed(&d)
	d = k.mac(s.secret, s.secret)
	k = keyed(&d)
	d = k.mac(s.key, s.key)
	nonce := k.mac(s.nonce, s.nonce)
	for lane := range 2 {
		d.encode(&keys[lane].key, lane)
		nonce.encode(&keys[lane].nonce, lane)
	}
}
