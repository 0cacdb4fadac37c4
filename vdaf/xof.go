package vdaf

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/shoal-project/shoal/crypto/turboshake"
)

const (
	version   = 18 // VERSION of the VDAF drafts 18 to 22
	classVDAF = 0
	domain    = 1 // domain separation byte of XofTurboShake128
	lanes     = turboshake.Width
)

// The usages of the XOF in Prio3 (VDAF draft, table of section "Prio3",
// "Specification").
const (
	usageMeasShare = iota + 1
	usageProofShare
	usageJointRand
	usageProveRand
	usageQueryRand
	usageJointRandSeed
	usageJointRandPart
	usages
)

// An xofKind is an extendable-output function. Its input is one message, the
// head, a seed of 32 bytes, and a binder, in this order. The head holds the
// domain separation tag; [xofKind.head] makes it.
type xofKind uint8

const (
	turboShake xofKind = iota // XofTurboShake128, VDAF draft
	hmacAES                   // XofHmacSha256Aes128, which Janus uses for multiple proofs
)

// head returns what comes before the seed, for one usage.
func (x xofKind) head(id uint32, usage uint16, ctx []byte) ([]byte, error) {
	limit := 65535
	if x == hmacAES {
		limit = 255
	}
	size := 8 + len(ctx)
	if size > limit {
		return nil, fmt.Errorf("vdaf: application context of %d bytes, at most %d are possible", len(ctx), limit-8)
	}
	var h []byte
	if x == turboShake {
		h = binary.LittleEndian.AppendUint16(h, uint16(size))
	} else {
		h = append(h, byte(size))
	}
	h = append(h, version, classVDAF)
	h = binary.BigEndian.AppendUint32(h, id)
	h = binary.BigEndian.AppendUint16(h, usage)
	h = append(h, ctx...)
	if x == turboShake {
		h = append(h, seedSize)
	}
	return h, nil
}

// An xofRunner runs an XOF on many messages.
type xofRunner struct {
	kind  xofKind
	lanes *turboshake.Lanes
	out   [lanes][]byte
	msg   [lanes][]byte
	head  [lanes]int // length of the head of each message
	n     int
}

func newXOFRunner(kind xofKind) (*xofRunner, error) {
	l, err := turboshake.NewLanes(domain)
	if err != nil {
		return nil, err
	}
	return &xofRunner{kind: kind, lanes: l}, nil
}

// add queues one message; flush runs what is queued. Messages and outputs must
// not change in between.
func (x *xofRunner) add(out, msg []byte, head int) {
	if x.n == lanes {
		x.flush()
	}
	x.out[x.n], x.msg[x.n], x.head[x.n] = out, msg, head
	x.n++
}

func (x *xofRunner) flush() {
	if x.kind == turboShake {
		clear(x.out[x.n:])
		x.lanes.Sum128(&x.out, &x.msg)
	} else {
		for i := range x.n {
			s := newHMACStream(x.msg[i], x.head[i])
			s.read(x.out[i])
		}
	}
	x.n = 0
}

// erase forgets the last messages.
func (x *xofRunner) erase() {
	x.lanes.Reset()
	*x = xofRunner{kind: x.kind, lanes: x.lanes}
}

// stream returns the output for one message as a stream.
func (x xofKind) stream(msg []byte, head int) (io.Reader, error) {
	if x == hmacAES {
		return newHMACStream(msg, head), nil
	}
	h, err := turboshake.New128(domain)
	if err != nil {
		return nil, err
	}
	if _, err := h.Write(msg); err != nil {
		return nil, err
	}
	return h, nil
}

// An hmacStream is XofHmacSha256Aes128: AES-128 in counter mode under a key and
// first counter block that HMAC-SHA-256 gives. The counter is the last eight
// bytes of the block alone.
type hmacStream struct {
	block  cipher.Block
	iv     [aes.BlockSize]byte
	buf    [aes.BlockSize]byte
	unread int // bytes at the end of buf that have not been read
}

func newHMACStream(msg []byte, head int) *hmacStream {
	mac := hmac.New(sha256.New, msg[head:head+seedSize])
	mac.Write(msg[:head])
	mac.Write(msg[head+seedSize:])
	tag := mac.Sum(nil)
	s := &hmacStream{}
	copy(s.iv[:], tag[aes.BlockSize:])
	s.block, _ = aes.NewCipher(tag[:aes.BlockSize]) // fails for other key lengths only
	return s
}

// Read fills p. It never fails.
func (s *hmacStream) Read(p []byte) (int, error) {
	s.read(p)
	return len(p), nil
}

func (s *hmacStream) read(p []byte) {
	for len(p) > 0 {
		if s.unread == 0 {
			s.refill(p)
		}
		if n := len(p) / aes.BlockSize; s.unread == 0 && n > 0 {
			p = p[s.bulk(p, n):]
			continue
		}
		c := copy(p, s.buf[aes.BlockSize-s.unread:])
		s.unread -= c
		p = p[c:]
	}
}

// refill reads one block ahead if p needs less than one.
func (s *hmacStream) refill(p []byte) {
	if len(p) < aes.BlockSize {
		s.block.Encrypt(s.buf[:], s.iv[:])
		s.advance(1)
		s.unread = aes.BlockSize
	}
}

// bulk writes n blocks, or as many as there are before the counter wraps, and
// returns the number of bytes. The standard library's counter is wider than
// ours and must not carry into the first half of the block.
func (s *hmacStream) bulk(p []byte, n int) int {
	if left := -binary.BigEndian.Uint64(s.iv[8:]); left != 0 && uint64(n) > left {
		n = int(left)
	}
	p = p[:n*aes.BlockSize]
	clear(p)
	cipher.NewCTR(s.block, s.iv[:]).XORKeyStream(p, p)
	s.advance(n)
	return len(p)
}

func (s *hmacStream) advance(n int) {
	binary.BigEndian.PutUint64(s.iv[8:], binary.BigEndian.Uint64(s.iv[8:])+uint64(n))
}
