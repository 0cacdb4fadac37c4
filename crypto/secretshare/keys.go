package secretshare

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"slices"
)

// keys are what a secret derives under one binding: a tag key, and an AES-128
// key whose counter blocks with a clear top bit give the polynomial, and those
// with the top bit set the keystream of the message. They hold scratch space, so
// that they can be used again without allocation.
type keys struct {
	s      element
	mac    [32]byte // s, then 16 derived bytes: a tag commits to s itself
	block  cipher.Block
	stream []byte
	buf    [aes.BlockSize]byte
	pad    [aes.BlockSize]byte
}

// wipe erases the secret, as far as Go allows.
func (k *keys) wipe() {
	clear(k.stream)
	*k = keys{stream: k.stream}
}

// expand derives the keys of s.
func (k *keys) expand(s element, b Binding) {
	k.s = s
	s.append(k.mac[:0])
	sum := hash("shoal secretshare keys v1", k.mac[:elementSize], b)
	copy(k.mac[elementSize:], sum[16:])
	copy(k.buf[:], sum[:16])
	block, err := aes.NewCipher(k.buf[:])
	if err != nil {
		panic("secretshare: AES-128 refused a 16-byte key: " + err.Error())
	}
	k.block = block
}

// coefficients returns t-1 blocks of 16 bytes: the polynomial of degree t-1 but
// for its constant term, which is s.
func (k *keys) coefficients(t int) []byte {
	n := (t - 1) * elementSize
	k.stream = slices.Grow(k.stream[:0], n)[:n]
	clear(k.stream)
	clear(k.buf[:])
	k.xor(k.stream)
	return k.stream
}

// fewBlocks is how many blocks are made one by one, at less cost than a cipher.Stream.
const fewBlocks = 32

// xor adds the keystream that begins at the counter k.buf, of which the last four bytes are
// zero.
func (k *keys) xor(b []byte) {
	if len(b) > fewBlocks*aes.BlockSize {
		cipher.NewCTR(k.block, k.buf[:]).XORKeyStream(b, b)
		return
	}
	for ; len(b) > 0; b = b[min(len(b), aes.BlockSize):] {
		k.block.Encrypt(k.pad[:], k.buf[:])
		subtle.XORBytes(b, b, k.pad[:])
		k.buf[aes.BlockSize-1]++
	}
}

// shareAt returns the value at x of the polynomial of degree t-1.
func (k *keys) shareAt(x element, t int) element {
	stream := k.coefficients(t)
	// Odd and even coefficients apart: two chains of half the length.
	xx := x.mul(x)
	var odd, even element
	i := t - 1
	if i%2 == 1 {
		odd = fromUniform(stream[(i-1)*elementSize:])
		i--
	}
	for ; i >= 2; i -= 2 {
		even = even.mul(xx).add(fromUniform(stream[(i-1)*elementSize:]))
		odd = odd.mul(xx).add(fromUniform(stream[(i-2)*elementSize:]))
	}
	return even.mul(xx).add(k.s).add(odd.mul(x))
}

// seal encrypts the message in the manner of SIV: the tag is a PRF of the
// message, the keystream depends on the tag.
func (k *keys) seal(message []byte) []byte {
	tag := k.tag(message)
	out := make([]byte, Overhead+len(message))
	copy(out[copy(out, tag[:]):], message)
	k.crypt(out[Overhead:], tag[:])
	return out
}

// open undoes seal and appends the message to dst, which is empty; ok is false unless the
// ciphertext was made under k.
func (k *keys) open(dst, ciphertext []byte) (message []byte, ok bool) {
	if len(ciphertext) < Overhead {
		return nil, false
	}
	message = append(dst, ciphertext[Overhead:]...)
	k.crypt(message, ciphertext[:Overhead])
	tag := k.tag(message)
	if subtle.ConstantTimeCompare(tag[:], ciphertext[:Overhead]) != 1 {
		return nil, false
	}
	return message, true
}

// crypt encrypts or decrypts in place, from a counter of 12 bytes of the tag,
// the top bit set, and 4 bytes of zero.
func (k *keys) crypt(message, tag []byte) {
	clear(k.buf[copy(k.buf[:], tag[:12]):])
	k.buf[0] |= 0x80
	k.xor(message)
}

// tag is NMAC with SHA-256: a keyed hash of a keyed hash. It is collision
// resistant over keys and messages together, which commits a ciphertext to both.
func (k *keys) tag(message []byte) [sha256.Size]byte {
	inner := hash("shoal secretshare inner v1", k.mac[:], message)
	return hash("shoal secretshare outer v1", k.mac[:], inner[:])
}

// hash is SHA-256 over the label and the two parts, of which the first carries
// its length.
func hash(label string, a, b []byte) [sha256.Size]byte {
	var buf [256]byte
	in := append(buf[:0], label...)
	in = binary.BigEndian.AppendUint32(append(in, 0), uint32(len(a)))
	in = append(append(in, a...), b...)
	return sha256.Sum256(in)
}
