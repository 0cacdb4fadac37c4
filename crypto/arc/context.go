package arc

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"sync"

	"github.com/shoal-project/shoal/internal/p256"
)

// MaxLimit is the highest presentation limit that this package supports. A
// presentation has 129 bytes for each bit of it.
const MaxLimit = 1 << 16

// A Context is a presentation context with its limit: within it, each credential
// has as many tags as the limit allows. It holds what is computed once for all
// presentations in it, above all the hash to the curve, and is safe for use by
// several goroutines.
type Context struct {
	limit uint32
	suite string
	t     *element // generatorT of the draft
	bases []uint64 // none with a limit of one
	shape *shape
}

// NewContext returns the context of an application's public data and of a limit
// from 1 to [MaxLimit]. The data may have any length. A limit of one gives the
// profile that the package documentation describes, a higher one the draft's.
func NewContext(presentationContext []byte, limit uint32) (*Context, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	c := &Context{limit: limit, suite: suiteDraft, bases: computeBases(limit)}
	if limit == 1 {
		c.suite = suiteOne
	}
	c.shape = presentationShape(len(c.bases))
	p, err := hashToGroup(presentationContext, c.suite, "Tag")
	if err != nil {
		return nil, err
	}
	tables, ok := p256.NewTables(p256.WidthOften, p)
	if !ok {
		return nil, errors.New("arc: the context's generator is the identity")
	}
	point := tables[0].Point()
	c.t = &element{point: point, enc: point.Bytes(), table: &tables[0]}
	return c, nil
}

// checkLimit refuses a limit that is not supported.
func checkLimit(limit uint32) error {
	if limit < 1 || limit > MaxLimit {
		return fmt.Errorf("arc: %w: presentation limit %d is not in 1 to %d", ErrLimit, limit, MaxLimit)
	}
	return nil
}

// Limit returns the presentation limit.
func (c *Context) Limit() uint32 { return c.limit }

// session returns the parts of the session string of a presentation.
func (c *Context) session(binding []byte) [][]byte {
	return [][]byte{[]byte(c.suite + "CredentialPresentation"), binding}
}

// computeBases is ComputeBases of the draft, section "Range Proof for Arbitrary
// Values": the weights of the nonce's bits, in descending order, of which the
// last is 1. For a limit of one there are none.
func computeBases(limit uint32) []uint64 {
	k := rangeBits(limit)
	if k == 0 {
		return nil
	}
	rest := uint64(limit)
	bases := make([]uint64, 0, k)
	for i := range k - 1 {
		bases = append(bases, 1<<i)
		rest -= 1 << i
	}
	bases = append(bases, rest-1)
	slices.Sort(bases)
	slices.Reverse(bases)
	return bases
}

// rangeBits is ceil(log2(limit)).
func rangeBits(limit uint32) int { return bits.Len32(limit - 1) }

// Indices of a presentation's elements in its relation. The commitments to bits
// follow the commitment to the nonce, except that with one bit they are the same
// element: the draft's text has it twice, its vectors once, and a relation must
// not have an element twice.
const (
	atG, atH, atU, atUPrime, atM1, atV, atX1, atTag, atT = 0, 1, 2, 3, 4, 5, 6, 7, 8
	atNonce                                              = 9
)

// atBits is the index of the first of k commitments to bits.
func atBits(k int) int {
	if k == 1 {
		return atNonce
	}
	return atNonce + 1
}

// firstBit is the index of the first bit among the scalars.
const firstBit = 5

// proofScalars is the number of scalars of a presentation's relation.
func proofScalars(k int) int {
	if k == 0 {
		return 3
	}
	return firstBit + 3*k
}

// presentationShape is the relation of the draft's section "Presentation Proof"
// for a nonce of k bits. Scalars: m1, z, -r, nonce, nonceBlinding, then all b,
// all s and all s2. With k = 0 it is the relation of the profile for a limit of
// one: the scalars m1, z and -r, no nonce.
func presentationShape(k int) *shape {
	const m1, z, minusR, nonce, nonceBlinding, b = 0, 1, 2, 3, 4, firstBit
	equations := []equation{
		{atM1, []term{{m1, atU}, {z, atH}}},
		{atV, []term{{z, atX1}, {minusR, atG}}},
	}
	if k == 0 {
		return newShape(proofScalars(k), append(equations, equation{atT, []term{{m1, atTag}}})...)
	}
	equations = append(equations,
		equation{atNonce, []term{{nonce, atG}, {nonceBlinding, atH}}},
		equation{atT, []term{{m1, atTag}, {nonce, atTag}}})
	for i := range k {
		d := atBits(k) + i
		equations = append(equations,
			equation{d, []term{{b + i, atG}, {b + k + i, atH}}},
			equation{d, []term{{b + i, d}, {b + 2*k + i, atH}}})
	}
	return newShape(proofScalars(k), equations...)
}

// weigh returns the sum of the bases times the points.
func (c *Context) weigh(points []p256.Point) *p256.Point {
	sum := new(p256.Point)
	for bit := bits.Len64(c.bases[0]) - 1; bit >= 0; bit-- { // the first is the largest
		sum.Double(sum, 1)
		for i, base := range c.bases {
			if base>>bit&1 == 1 {
				sum.Add(sum, &points[i])
			}
		}
	}
	return sum
}

// Contexts keeps the contexts that were used last, so that a verifier hashes
// each to the curve once. It is safe for use by several goroutines.
type Contexts struct {
	mu    sync.Mutex
	byKey map[contextKey]*Context
	ring  []contextKey // in the order of arrival
	next  int          // the slot of ring to replace
}

type contextKey struct {
	data  string
	limit uint32
}

// NewContexts returns a cache of at most n contexts, of about 8 kB each; n is at
// least 1.
func NewContexts(n int) *Contexts {
	n = max(n, 1)
	return &Contexts{byKey: make(map[contextKey]*Context, n), ring: make([]contextKey, 0, n)}
}

// Get returns the context that [NewContext] would.
func (s *Contexts) Get(presentationContext []byte, limit uint32) (*Context, error) {
	key := contextKey{string(presentationContext), limit}
	s.mu.Lock()
	c := s.byKey[key]
	s.mu.Unlock()
	if c != nil {
		return c, nil
	}
	c, err := NewContext(presentationContext, limit)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if first := s.byKey[key]; first != nil {
		return first, nil
	}
	if len(s.ring) < cap(s.ring) {
		s.ring = append(s.ring, key)
	} else {
		delete(s.byKey, s.ring[s.next])
		s.ring[s.next] = key
		s.next = (s.next + 1) % len(s.ring)
	}
	s.byKey[key] = c
	return c, nil
}
