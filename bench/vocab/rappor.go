package vocab

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// A rapporScheme is how RAPPOR's clients encode a word: a client belongs to one
// of several cohorts, each with hash functions of its own that set bits of a
// Bloom filter, and flips each bit with a fixed probability.
type rapporScheme struct {
	bits, hashes, cohorts int
	flip                  uint32 // probability in units of 2^-flipDigits
}

// flipDigits is the number of binary digits of the probability of a flip.
const flipDigits = 16

// newRAPPOR returns the scheme that both baselines use: 128 bits, as in the
// experiments of the RAPPOR paper (Erlingsson, Pihur, Korolova, CCS 2014,
// sections 5 and 6), one hash function, and 128 cohorts, as in the tests of its
// reference implementation. A client reports once, so one randomised response
// is all there is. docs/evidence/vocab.md compares other settings.
//
// Epsilon counts as it does for the crowd threshold: a client's report against
// none, that is a word against an empty filter, in which h bits differ: epsilon
// = h ln((1-p)/p). Between two words up to 2h bits differ, and the guarantee
// is 2 epsilon.
func newRAPPOR(epsilon float64) rapporScheme {
	const hashes = 1
	// Rounded up: towards privacy.
	flip := math.Ceil(1 / (1 + math.Exp(epsilon/hashes)) * (1 << flipDigits))
	return rapporScheme{bits: 128, hashes: hashes, cohorts: 128, flip: uint32(flip)}
}

// p returns the probability of a flip.
func (s rapporScheme) p() float64 { return float64(s.flip) / (1 << flipDigits) }

// rows is the number of bits of all cohorts.
func (s rapporScheme) rows() int { return s.bits * s.cohorts }

// column returns which of the rows a word sets, cohort after cohort. One
// SHA-256 gives the hash functions of several cohorts, 16 bits each.
func (s rapporScheme) column(rank int) []uint16 {
	out := make([]uint16, 0, s.cohorts*s.hashes)
	atOnce := sha256.Size / (2 * s.hashes)
	var in [8]byte
	var sum [sha256.Size]byte
	binary.BigEndian.PutUint32(in[:], uint32(rank))
	for j := range s.cohorts {
		if j%atOnce == 0 {
			binary.BigEndian.PutUint32(in[4:], uint32(j))
			sum = sha256.Sum256(in[:])
		}
		first := len(out)
		for i := range s.hashes {
			value := binary.BigEndian.Uint16(sum[2*(j%atOnce*s.hashes+i):])
			if row := uint16(j*s.bits + int(value)%s.bits); !slices.Contains(out[first:], row) {
				out = append(out, row)
			}
		}
	}
	return out
}

// collect simulates the reports of clients that hold words of the given columns,
// counts[i] of them the i-th. It returns how many reports came from each cohort
// and how many of them had each bit set: all that the analysis uses.
//
// The bits of a report are flipped independently, so the sum of a row over n
// reports, c of them with a true 1, is exactly a draw of c bits that are
// flipped to 0 and n-c that are flipped to 1.
func (s rapporScheme) collect(columns [][]uint16, counts []uint32, source *rand.ChaCha8) ([]int, []int) {
	reports, truth := make([]int, s.cohorts), make([]int, s.rows())
	inCohort := make([]int, s.cohorts)
	for i, rows := range columns {
		clear(inCohort)
		for range counts[i] {
			inCohort[source.Uint64()%uint64(s.cohorts)]++ // the number of cohorts divides 2^64
		}
		for j, n := range inCohort {
			reports[j] += n
		}
		for _, r := range rows {
			truth[r] += inCohort[int(r)/s.bits]
		}
	}
	set := make([]int, s.rows())
	for r, ones := range truth {
		set[r] = ones - flips(ones, s.flip, source) + flips(reports[r/s.bits]-ones, s.flip, source)
	}
	return reports, set
}

// flips returns how many of n bits are set when each is set with probability
// p/2^flipDigits: 64 at a time, from the lowest digit of p on.
func flips(n int, p uint32, source *rand.ChaCha8) int {
	total := 0
	for ; n > 0; n -= 64 {
		var word uint64
		for d := bits.TrailingZeros32(p | 1<<flipDigits); d < flipDigits; d++ {
			if p>>d&1 == 1 {
				word |= source.Uint64()
			} else {
				word &= source.Uint64()
			}
		}
		if n < 64 {
			word &= 1<<n - 1
		}
		total += bits.OnesCount64(word)
	}
	return total
}

// estimate returns for each row the unbiased estimate of the fraction of its
// cohort that truly has the bit, and its standard deviation.
func (s rapporScheme) estimate(reports, set []int) ([]float64, []float64) {
	p := s.p()
	y, sd := make([]float64, len(set)), make([]float64, len(set))
	for r, v := range set {
		n := float64(max(1, reports[r/s.bits]))
		y[r] = (float64(v)/n - p) / (1 - 2*p)
		one := p + min(1, max(0, y[r]))*(1-2*p)
		sd[r] = math.Sqrt(one*(1-one)/n) / (1 - 2*p)
	}
	return y, sd
}
