package secretshare

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"slices"
)

// ErrTooFew means that there are fewer than t distinct shares: the message stays
// unreadable.
var ErrTooFew = errors.New("secret sharing: fewer distinct shares than the threshold")

// ErrNoKey means that there are enough shares, but that too many of them are
// wrong to find the key.
var ErrNoKey = errors.New("secret sharing: no honest key found among the shares")

// A Result is a recovered message and what became of its shares.
type Result struct {
	Message   []byte
	Valid     []bool // by input share: it lies on the message's polynomial, and is the first with its x
	Distinct  int    // how many are valid
	Forged    int    // malformed, or not on the polynomial
	Duplicate int    // repeat the x of an earlier valid share
}

// A Recoverer recovers messages from groups of shares. It keeps scratch space,
// and in it the last group's keys, between calls and is not safe for concurrent
// use: take one a goroutine.
type Recoverer struct {
	binding Binding
	t       int

	keys    keys
	points  []point  // well-formed, in the order of the shares
	order   []int32  // indexes, to find repeats in large groups
	low     []uint64 // bytes of x, likewise
	poly    []element
	den     []element
	scratch []element

	weights   []element // of the points, to decode
	syndromes []element
	good      []point
	plain     []byte // of the record that was opened last
}

type point struct{ x, y element }

// NewRecoverer returns a recoverer for encodings of the same binding and
// threshold.
func NewRecoverer(b Binding, t int) (*Recoverer, error) {
	if err := checkScheme(b, t); err != nil {
		return nil, err
	}
	return &Recoverer{binding: slices.Clone(b), t: t}, nil
}

// Recover returns the message of a group: the ciphertext that its members share
// and one share of each. It fails with [ErrTooFew] or [ErrNoKey]. Randomness
// picks subsets when shares have been forged; honest groups need none.
//
// The work is bounded: about t^2 + n t steps for an honest group of n, and
// besides, when shares have been forged, at most six times the square of
// min(n, [DecodeSize]), and t^2 a few dozen times.
func (r *Recoverer) Recover(ciphertext []byte, shares []Share, random io.Reader) (Result, error) {
	var message []byte
	opens := func() (ok bool) {
		message, ok = r.keys.open(nil, ciphertext)
		return ok
	}
	res, err := r.recoverBy(opens, shares, random)
	if err == nil {
		res.Message = message
	}
	return res, err
}

// recoverBy recovers the secret that is accepted, and judges the shares by it.
func (r *Recoverer) recoverBy(ok accept, shares []Share, random io.Reader) (Result, error) {
	if len(shares) < r.t {
		return Result{}, ErrTooFew
	}
	r.points = slices.Grow(r.points[:0], len(shares))
	for i := range shares {
		if p, ok := parseShare(&shares[i]); ok {
			r.points = append(r.points, p)
		}
	}
	if err := r.find(ok, random); err != nil {
		return Result{}, err
	}
	res := r.judge(shares)
	if res.Distinct < r.t {
		return Result{}, ErrTooFew
	}
	return res, nil
}

func parseShare(s *Share) (point, bool) {
	x, ok := fromBytes(s[:elementSize])
	y, ok2 := fromBytes(s[elementSize:])
	return point{x, y}, ok && ok2 && !x.isZero()
}

// judge checks each share against the polynomial of r.keys.
func (r *Recoverer) judge(shares []Share) Result {
	res := Result{Valid: make([]bool, len(shares))}
	r.expandPolynomial()
	var p [lanes]point
	var y [lanes]element
	for start := 0; start < len(shares); start += lanes {
		n := min(lanes, len(shares)-start)
		for i := range n {
			// A malformed share is refused whatever its point.
			p[i], res.Valid[start+i] = parseShare(&shares[start+i])
		}
		r.at(&p, &y)
		for i := range n {
			if ok := res.Valid[start+i] && y[i].equal(p[i].y); ok {
				res.Distinct++
			} else {
				res.Valid[start+i] = false
				res.Forged++
			}
		}
	}
	res.Duplicate = r.repeats(shares, func(i int) bool { return res.Valid[i] }, func(i int) { res.Valid[i] = false })
	res.Distinct -= res.Duplicate
	return res
}

// few is the size up to which a group is searched for repeats by comparing
// each share with each.
const few = 48

// repeats calls drop for each share, among those that count, that is equal to an
// earlier one, and returns how many there are.
func (r *Recoverer) repeats(shares []Share, counts func(int) bool, drop func(int)) int {
	n := 0
	if len(shares) <= few {
		var low [few]uint64 // bytes of x, of which hardly any two are equal
		for i := range shares {
			low[i] = binary.LittleEndian.Uint64(shares[i][:])
			for j := range low[:i] {
				if low[i] == low[j] && shares[i] == shares[j] && counts(i) && counts(j) {
					drop(i)
					n++
					break
				}
			}
		}
		return n
	}
	r.order, r.low = r.order[:0], r.low[:0]
	for i := range shares {
		if counts(i) {
			r.order = append(r.order, int32(i))
			r.low = append(r.low, binary.LittleEndian.Uint64(shares[i][:]))
		}
	}
	// Equal shares have equal low bytes of x, which no two of a group without repeats have.
	slices.Sort(r.low)
	if len(slices.Compact(r.low)) == len(r.order) {
		return 0
	}
	slices.SortFunc(r.order, func(a, b int32) int {
		return cmp.Or(bytes.Compare(shares[a][:], shares[b][:]), cmp.Compare(a, b))
	})
	for i := 1; i < len(r.order); i++ {
		if shares[r.order[i]] == shares[r.order[i-1]] {
			drop(int(r.order[i]))
			n++
		}
	}
	return n
}

// expandPolynomial sets r.poly to the coefficients that belong to r.keys.
func (r *Recoverer) expandPolynomial() {
	r.poly = append(slices.Grow(r.poly[:0], r.t), r.keys.s)
	for c := range slices.Chunk(r.keys.coefficients(r.t), elementSize) {
		r.poly = append(r.poly, fromUniform(c))
	}
}

// lanes is how many points are evaluated side by side: the steps of one do not
// wait for those of another.
const lanes = 4

// stride is how many coefficients are multiplied by powers of the point in one sum.
const stride = 32

// at sets y to the values of the polynomial at p: sums of stride coefficients times the first
// powers of x, which are reduced once, and Horner's rule over those.
func (r *Recoverer) at(p *[lanes]point, y *[lanes]element) {
	var powers [lanes][stride]element
	var big [lanes]element // x to the stride
	for k := range big {
		big[k] = element{lo: 1}
	}
	for i := range stride {
		for k := range big {
			powers[k][i] = big[k]
			big[k] = big[k].mul(p[k].x)
		}
	}
	*y = [lanes]element{}
	for start := (len(r.poly) - 1) / stride * stride; start >= 0; start -= stride {
		a := r.poly[start:min(start+stride, len(r.poly))]
		for k := range y {
			y[k] = y[k].mul(big[k]).add(dot(a, powers[k][:len(a)]))
		}
	}
}
