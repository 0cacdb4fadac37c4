package dp

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"math/bits"
	"slices"
	"strconv"
	"sync"
)

// A Threshold is the rule by which a shuffler suppresses small crowds, together
// with what the rule costs in privacy and in accuracy. Thresholds are immutable
// and safe for concurrent use; the noise table is built on first use and kept
// in the value, so build a threshold once a task rather than once a crowd.
type Threshold interface {
	// Keep returns how many of a crowd's n reports go on; 0 means that the
	// crowd is suppressed. Which ones go on is the caller's to choose, uniformly.
	// It reads 16 bytes of r, or none if the rule has no noise. If r fails,
	// the crowd is suppressed; a [Stream] never does. Its time and the addresses that it
	// touches depend neither on n nor on what it reads.
	Keep(n uint64, r io.Reader) uint64

	// Curve is the privacy of a client that sends a crowd at most one report.
	Curve
	// Reports returns the privacy of a client that sends a crowd at most n.
	Reports(n uint64) Curve
	// Protects returns what the two cover.
	Protects() Protection

	// Least returns the fewest reports of a crowd that ever go on together.
	Least() uint64
	// Survival returns the probability that a crowd of n reports is released.
	Survival(n uint64) float64
	// Bias returns the mean number of reports that a large crowd loses.
	Bias() float64
	// StdDev returns the standard deviation of that number.
	StdDev() float64
	// Within95 returns the ends of an interval for how many reports there were of
	// a released crowd of which kept went on: of all crowds of one size that are
	// released, it holds that size for 95 % or more.
	Within95(kept uint64) (least, most uint64)

	// String names the rule and its parameters.
	String() string

	sealed() // the rules are a closed set: their privacy is proved one by one
}

// Protection is the part of a shuffler's output that a threshold's guarantee
// covers. The content of reports is never covered.
type Protection uint8

// The protections.
const (
	ProtectsNothing Protection = iota // no differential privacy
	ProtectsSet                       // which crowds are released, but not their counts
	ProtectsCounts                    // which crowds are released and the number of reports of each
)

// String describes the protection.
func (p Protection) String() string {
	switch p {
	case ProtectsNothing:
		return "nothing"
	case ProtectsSet:
		return "the set of released crowds"
	case ProtectsCounts:
		return "the multiset of released crowds"
	}
	return "Protection(" + strconv.Itoa(int(p)) + ")"
}

// MaxSigmaMilli is the largest standard deviation of threshold noise, in
// thousandths.
const MaxSigmaMilli = 1_000_000

// NewNaive returns the rule that forwards a crowd iff it has at least t
// reports, t >= 1 (Prochlo paper, section 3.5). It gives no differential
// privacy.
func NewNaive(t uint32) (Threshold, error) {
	if t == 0 {
		return nil, errors.New("naive threshold: T is 0, want at least 1")
	}
	return naive(t), nil
}

// NewNoisySet returns the rule that forwards a crowd of n reports whole iff
// n > t + round(N(0, sigma^2)), with sigma in thousandths, 1 to
// [MaxSigmaMilli] (Prochlo paper, section 3.5).
func NewNoisySet(t, sigmaMilli uint32) (Threshold, error) {
	if err := checkNoise("randomised threshold", t, sigmaMilli); err != nil {
		return nil, err
	}
	s := &noisySet{t: t, noisy: newNoisy(sigmaMilli)}
	s.Curve = s.Reports(1)
	return s, nil
}

// NewNoisyDrop returns the rule that drops d = max(0, round(N(drop, sigma^2)))
// reports of a crowd at random and forwards the others iff they are at least t,
// with sigma in thousandths, 1 to [MaxSigmaMilli] (Prochlo paper, section 3.5).
func NewNoisyDrop(t, drop, sigmaMilli uint32) (Threshold, error) {
	if err := checkNoise("noisy drop", t, sigmaMilli); err != nil {
		return nil, err
	}
	d := newDrop(t, drop, sigmaMilli)
	d.Curve = d.Reports(1)
	return d, nil
}

func checkNoise(rule string, t, sigmaMilli uint32) error {
	if t == 0 {
		return fmt.Errorf("%s: T is 0, want at least 1", rule)
	}
	if sigmaMilli == 0 || sigmaMilli > MaxSigmaMilli {
		return fmt.Errorf("%s: sigma is %s, want 0.001 to %d", rule, milli(sigmaMilli), MaxSigmaMilli/1000)
	}
	return nil
}

// milli writes a number of thousandths.
func milli(m uint32) string { return strconv.FormatFloat(float64(m)/1000, 'f', -1, 64) }

type naive uint32

func (t naive) Keep(n uint64, _ io.Reader) uint64 {
	_, few := bits.Sub64(n, uint64(t), 0)
	return n & (few - 1)
}

func (naive) Protects() Protection                   { return ProtectsNothing }
func (naive) Reports(uint64) Curve                   { return nothing{} }
func (naive) Delta(eps float64) float64              { return nothing{}.Delta(eps) }
func (naive) Floor() float64                         { return nothing{}.Floor() }
func (naive) Epsilon(delta float64) (float64, error) { return nothing{}.Epsilon(delta) }
func (naive) Bias() float64                          { return 0 }
func (naive) StdDev() float64                        { return 0 }
func (naive) sealed()                                {}
func (t naive) String() string                       { return fmt.Sprintf("naive threshold T=%d", uint32(t)) }

func (t naive) Least() uint64 { return uint64(t) }

func (t naive) Survival(n uint64) float64 {
	if n < uint64(t) {
		return 0
	}
	return 1
}

// A noisy is what the two rules with noise share: the noise's table and the
// curve for one report, each built on first use.
type noisy struct {
	sigmaMilli uint32
	noise      func() *normal
	Curve
}

func newNoisy(sigmaMilli uint32) noisy {
	return noisy{sigmaMilli: sigmaMilli, noise: sync.OnceValue(func() *normal { return newNormal(sigmaMilli) })}
}

func (noisy) sealed() {}

type noisySet struct {
	t uint32
	noisy
}

func (s *noisySet) Keep(n uint64, r io.Reader) uint64 {
	z, err := s.noise().sample(r)
	if err != nil {
		return 0
	}
	// n > t+z, that is (t+z) - n borrows; a t+z below 0 counts as 0, which
	// differs only for n = 0, where 0 is kept either way.
	bar := int64(s.t) + z
	_, keep := bits.Sub64(uint64(bar&^(bar>>63)), n, 0)
	negative := uint64(bar) >> 63
	return n & -(keep | negative)
}

func (*noisySet) Protects() Protection { return ProtectsSet }
func (*noisySet) Bias() float64        { return 0 }
func (*noisySet) StdDev() float64      { return 0 }
func (s *noisySet) String() string {
	return fmt.Sprintf("randomised threshold T=%d sigma=%s", s.t, milli(s.sigmaMilli))
}

type noisyDrop struct {
	t, drop uint32
	noisy
	radius func() []int64 // see newRadius
}

func newDrop(t, drop, sigmaMilli uint32) *noisyDrop {
	d := &noisyDrop{t: t, drop: drop, noisy: newNoisy(sigmaMilli)}
	d.radius = sync.OnceValue(d.newRadius)
	return d
}

func (d *noisyDrop) Keep(n uint64, r io.Reader) uint64 {
	z, err := d.noise().sample(r)
	if err != nil {
		return 0
	}
	drop := int64(d.drop) + z
	drop &^= drop >> 63 // max(0, drop)
	left, under := bits.Sub64(n, uint64(drop), 0)
	_, few := bits.Sub64(left, uint64(d.t), 0)
	return left & ((under | few) - 1)
}

func (*noisyDrop) Protects() Protection { return ProtectsCounts }
func (d *noisyDrop) String() string {
	return fmt.Sprintf("noisy drop T=%d D=%d sigma=%s", d.t, d.drop, milli(d.sigmaMilli))
}

// Reports enumerates every crowd size n whose release is in doubt. Released or
// not is all that is protected, so each size is a pair of coins.
func (s *noisySet) Reports(m uint64) Curve {
	return newCurve(func() []pair {
		z := s.noise()
		m := int64(min(m, uint64(len(z.cdf)+2))) // further apart than the noise is wide
		var all []pair
		for n := max(0, int64(s.t)+z.low-m); n <= int64(s.t)+z.high()+1; n++ {
			p, q := s.releases(n), s.releases(n+m)
			all = append(all, newPair([]*big.Int{p, complement(p)}, []*big.Int{q, complement(q)}))
		}
		return all
	})
}

// releases returns 2^128 times the probability that a crowd of n is released.
func (s *noisySet) releases(n int64) *big.Int {
	if n == 0 {
		return new(big.Int)
	}
	return s.noise().atMost(n - int64(s.t) - 1)
}

// Least is what the lowest value of the noise lets pass.
func (s *noisySet) Least() uint64 { return uint64(max(1, int64(s.t)+s.noise().low+1)) }

func (s *noisySet) Survival(n uint64) float64 {
	return probability(s.releases(int64(min(n, 1<<62))))
}

// Reports gives the one pair that is as bad as any crowd size and direction: a
// crowd so large that it is always released, of which the output shows -d
// beside m-d. For a smaller crowd the output is a function of that one (what
// falls below T becomes 0), and so reveals no more.
func (d *noisyDrop) Reports(m uint64) Curve {
	return newCurve(func() []pair {
		dropped := d.dropped()
		gap := make([]*big.Int, min(m, uint64(len(dropped))))
		for i := range gap {
			gap[i] = new(big.Int)
		}
		return []pair{newPair(append(slices.Clone(dropped), gap...), append(gap, dropped...))}
	})
}

// dropped returns 2^128 P(d = i) for i from d's smallest value to its largest.
func (d *noisyDrop) dropped() []*big.Int {
	z := d.noise()
	low := max(0, int64(d.drop)+z.low)
	all := []*big.Int{z.atMost(low - int64(d.drop))} // all that is cut off at 0 is 0
	for i := low + 1; i <= int64(d.drop)+z.high(); i++ {
		all = append(all, z.mass(i-int64(d.drop)))
	}
	return all
}

func (d *noisyDrop) Least() uint64 { return uint64(d.t) }

func (d *noisyDrop) Survival(n uint64) float64 {
	if n < uint64(d.t) {
		return 0
	}
	return probability(d.noise().atMost(int64(min(n, 1<<62)) - int64(d.t) - int64(d.drop)))
}

func (d *noisyDrop) Bias() float64 {
	mean, _ := d.moments()
	return mean
}

func (d *noisyDrop) StdDev() float64 {
	_, variance := d.moments()
	return math.Sqrt(variance)
}

// moments returns the mean and the variance of the number dropped.
func (d *noisyDrop) moments() (float64, float64) {
	low := max(0, int64(d.drop)+d.noise().low)
	sum, squares := new(big.Int), new(big.Int) // of d - D, which keeps them small
	for i, p := range d.dropped() {
		x := big.NewInt(low + int64(i) - int64(d.drop))
		sum.Add(sum, new(big.Int).Mul(p, x))
		squares.Add(squares, new(big.Int).Mul(p, x.Mul(x, x)))
	}
	mean := probability(sum)
	return float64(d.drop) + mean, probability(squares) - mean*mean
}
