package turboshake

import (
	"encoding/binary"

	"github.com/cloudflare/circl/simd/keccakf1600"
)

// Width is the number of messages that [Lanes] hashes at once.
const Width = 8

// Lanes hashes up to [Width] messages side by side. It is scratch space that
// may be used again without limit, but not from two goroutines at once.
// [NewLanes] makes it.
type Lanes struct {
	level  level
	domain byte
	wide   [25 * 8]uint64       // state of eight lanes: word i of lane j at 8*i+j
	quad   keccakf1600.StateX4  // state of four lanes: word i of lane j at 4*i+j
	one    [25]uint64           // state of one lane
	saved  [Width][25]uint64    // states of lanes whose message ended early
	last   [Width][rate128]byte // padded last block of each message
	tails  [Width][]byte        // the same as slices
}

// level is the set of instructions that may be used.
type level uint8

const (
	scalar level = iota // no vector instructions
	four                // AVX2, four lanes at a time
	eight               // AVX-512, eight lanes at a time
)

// NewLanes returns lanes with a domain separation byte of 0x01 to 0x7f.
func NewLanes(domain byte) (*Lanes, error) {
	if domain < 0x01 || domain > 0x7f {
		return nil, ErrDomain
	}
	return &Lanes{level: supported(), domain: domain}, nil
}

// Reset erases what earlier messages have left in l.
func (l *Lanes) Reset() { *l = Lanes{level: l.level, domain: l.domain} }

// Sum128 computes TurboSHAKE128 of every msgs[i] and writes its first
// len(out[i]) bytes to out[i]. Lanes with an empty output are left out. Lengths
// may differ between lanes; equal lengths are fastest. An out[i] must not
// overlap a message or another output.
func (l *Lanes) Sum128(out, msgs *[Width][]byte) {
	var o, m [Width][]byte
	n := 0
	for i := range out {
		if len(out[i]) > 0 {
			o[n], m[n] = out[i], msgs[i]
			n++
		}
	}
	l.sum(o[:n], m[:n])
}

func (l *Lanes) sum(out, msgs [][]byte) {
	switch n := len(out); {
	case n == 0:
	case n == 1 || l.level == scalar:
		for i := range out {
			l.sponge(sponge{a: l.one[:], stride: 1}, out[i:i+1], msgs[i:i+1])
		}
	case l.level == eight:
		l.sponge(sponge{a: l.wide[:], stride: 8}, out, msgs)
	default:
		for len(out) > 0 {
			c := min(4, len(out))
			l.sponge(sponge{a: l.quad.Initialize(true), stride: 4}, out[:c], msgs[:c])
			out, msgs = out[c:], msgs[c:]
		}
	}
}

// A sponge is stride interleaved states.
type sponge struct {
	a      []uint64
	stride int
}

func (l *Lanes) permute(s sponge) {
	switch s.stride {
	case 1:
		permute1(&l.one)
	case 4:
		l.quad.Permute()
	default:
		permute8(&l.wide)
	}
}

// sponge hashes at most s.stride messages.
func (l *Lanes) sponge(s sponge, out, msgs [][]byte) {
	clear(s.a)
	first, last := len(msgs[0])/rate128, 0
	shortest, longest := len(out[0]), 0
	for i, m := range msgs {
		full := len(m) / rate128
		first, last = min(first, full), max(last, full)
		shortest, longest = min(shortest, len(out[i])), max(longest, len(out[i]))
		tail := &l.last[i]
		c := copy(tail[:], m[full*rate128:])
		clear(tail[c:])
		tail[c] = l.domain
		tail[rate128-1] ^= 0x80
		l.tails[i] = tail[:]
	}

	all := s.stride == Width && len(msgs) == Width
	for b := range first {
		if all {
			add8(&l.wide, (*[Width][]byte)(msgs), b*rate128)
		} else {
			for i, m := range msgs {
				s.add(i, (*[rate128]byte)(m[b*rate128:]))
			}
		}
		l.permute(s)
	}
	for b := first; b <= last; b++ {
		if all && first == last {
			add8(&l.wide, &l.tails, 0)
			l.permute(s)
			break
		}
		for i, m := range msgs {
			switch full := len(m) / rate128; {
			case b < full:
				s.add(i, (*[rate128]byte)(m[b*rate128:]))
			case b == full:
				s.add(i, &l.last[i])
			}
		}
		l.permute(s)
		if first == last {
			break
		}
		for i, m := range msgs {
			if len(m)/rate128 == b {
				s.save(i, &l.saved[i])
			}
		}
	}
	if first != last {
		for i := range msgs {
			s.restore(i, &l.saved[i])
		}
	}

	for off := 0; ; off += rate128 {
		if all && off+rate128 <= shortest {
			extract8(&l.wide, (*[Width][]byte)(out), off)
		} else {
			for i, o := range out {
				if off < len(o) {
					s.extract(i, o[off:])
				}
			}
		}
		if off+rate128 >= longest {
			return
		}
		l.permute(s)
	}
}

// add xors a block into lane i.
func (s sponge) add(i int, block *[rate128]byte) {
	a := s.a[i:]
	for w := range rate128 / 8 {
		a[w*s.stride] ^= binary.LittleEndian.Uint64(block[8*w:])
	}
}

// extract writes the rate part of lane i, or as much of it as dst holds.
func (s sponge) extract(i int, dst []byte) {
	a := s.a[i:]
	if len(dst) >= rate128 {
		block := (*[rate128]byte)(dst)
		for w := range rate128 / 8 {
			binary.LittleEndian.PutUint64(block[8*w:], a[w*s.stride])
		}
		return
	}
	w := 0
	for ; len(dst) >= 8; w++ {
		binary.LittleEndian.PutUint64(dst, a[w*s.stride])
		dst = dst[8:]
	}
	if len(dst) > 0 {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], a[w*s.stride])
		copy(dst, b[:])
	}
}

func (s sponge) save(i int, dst *[25]uint64) {
	for w := range dst {
		dst[w] = s.a[w*s.stride+i]
	}
}

func (s sponge) restore(i int, src *[25]uint64) {
	for w, x := range src {
		s.a[w*s.stride+i] = x
	}
}
