package secretshare

import (
	"errors"
	"io"
)

// ErrTooFew says that fewer than t distinct shares are there: the message stays
// unreadable.
var ErrTooFew = errors.New("secret sharing: fewer distinct shares than the threshold")

// ErrNoKey says that there are enough shares, but that too many of them are
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

// A Recoverer recovers messages from groups of shares. It keeps scratch space
// between calls and is not safe for concurrent use: take one a goroutine.
type Recoverer struct {
	binding Binding
	t       int

	points  []point
	poly    polynomial
	den     []element
	scratch []element
	seen    map[point]bool
}

type point struct{ x, y element }

// NewRecoverer returns a recoverer for encodings of the same binding and
// threshold.
func NewRecoverer(b Binding, t int) (*Recoverer, error) {
	if err := checkScheme(b, t); err != nil {
		return nil, err
	}
	return &Recoverer{binding: b, t: t, seen: make(map[point]bool)}, nil
}

// Recover returns the message of a group: the ciphertext that its members share
// and one share of each. It fails with [ErrTooFew] or [ErrNoKey]. Randomness
// picks subsets when shares have been forged; honest groups need none.
func (r *Recoverer) Recover(ciphertext []byte, shares []Share, random io.Reader) (Result, error) {
	r.parse(shares)
	if len(r.points) < r.t {
		return Result{}, ErrTooFew
	}
	k, message, err := r.key(ciphertext, random)
	if err != nil {
		return Result{}, err
	}
	r.poly.derive(&k, r.t)
	res := r.judge(shares)
	res.Message = message
	if res.Distinct < r.t {
		return Result{}, ErrTooFew
	}
	return res, nil
}

// parse collects the well-formed points, each once.
func (r *Recoverer) parse(shares []Share) {
	r.points = r.points[:0]
	clear(r.seen)
	for i := range shares {
		p, ok := parseShare(&shares[i])
		if !ok {
			continue
		}
		// Shares of one x and different y may all be forged but one; telling
		// which is the decoder's work, so only exact repeats go here.
		if !r.seen[p] {
			r.seen[p] = true
			r.points = append(r.points, p)
		}
	}
}

func parseShare(s *Share) (point, bool) {
	x, ok := fromBytes(s[:elementSize])
	y, ok2 := fromBytes(s[elementSize:])
	return point{x, y}, ok && ok2 && !x.isZero()
}

// judge checks each share against the polynomial.
func (r *Recoverer) judge(shares []Share) Result {
	res := Result{Valid: make([]bool, len(shares))}
	clear(r.seen)
	for i := range shares {
		p, ok := parseShare(&shares[i])
		switch {
		case !ok || !r.poly.at(p.x).equal(p.y):
			res.Forged++
		case r.seen[p]:
			res.Duplicate++
		default:
			r.seen[p] = true
			res.Valid[i] = true
			res.Distinct++
		}
	}
	return res
}
