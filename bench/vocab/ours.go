package vocab

import (
	"fmt"
	"io"
	"math"

	"github.com/shoal-project/shoal/dp"
)

// A NoisyCount is the release of a crowd's size with discrete Laplace noise, if
// that comes to a threshold: signed metadata, apart from a fixed number of
// records a crowd. With one record a crowd, which holds the word, the record
// reveals nothing that the release does not.
//
// For crowds of at least one report the released value is a function of the
// noisy count, which is (epsilon, 0) differentially private, one report more or
// less. A crowd that is not there cannot be released, so one that holds a
// single report must hardly ever be: see [NoisyCount.Delta].
type NoisyCount struct {
	num, den  uint32 // epsilon
	threshold int64
	noise     dp.DiscreteLaplace
}

// NewNoisyCount returns the mechanism with epsilon num/den and the least
// threshold for which its delta does not exceed delta.
func NewNoisyCount(num, den uint32, delta float64) (NoisyCount, error) {
	noise, err := dp.NewDiscreteLaplace(den, num)
	if err != nil {
		return NoisyCount{}, fmt.Errorf("noisy count of epsilon %d/%d: %w", num, den, err)
	}
	if !(delta > 0 && delta < 1) {
		return NoisyCount{}, fmt.Errorf("noisy count: delta %v: want a value between 0 and 1", delta)
	}
	m := NoisyCount{num, den, 1, noise}
	for m.Delta() > delta {
		m.threshold++
	}
	return m, nil
}

// Epsilon returns the epsilon.
func (m NoisyCount) Epsilon() float64 { return float64(m.num) / float64(m.den) }

// Threshold returns the least noisy count that is released.
func (m NoisyCount) Threshold() int64 { return m.threshold }

// Delta returns the exact delta: the probability that a crowd of one report is
// released, P(1 + noise >= threshold) = a^(threshold-1)/(1+a) with a =
// e^-epsilon. It is rounded up.
func (m NoisyCount) Delta() float64 {
	d := math.Exp(-m.Epsilon()*float64(m.threshold-1)) / (1 + math.Exp(-m.Epsilon()))
	return d * (1 + 1e-12) // far beyond the error of the line above
}

// Survival returns the probability that a crowd of n reports is released.
func (m NoisyCount) Survival(n uint64) float64 {
	if n == 0 {
		return 0
	}
	a := math.Exp(-m.Epsilon())
	// P(noise >= k) is a^k/(1+a) for k >= 1, and by symmetry 1 - P(noise >= 1-k) below.
	k := m.threshold - int64(n)
	if k >= 1 {
		return math.Pow(a, float64(k)) / (1 + a)
	}
	return 1 - math.Pow(a, float64(1-k))/(1+a)
}

// Release returns the noisy count of a crowd of n reports, and whether it is
// released. It fails only where r does.
func (m NoisyCount) Release(n uint64, r io.Reader) (int64, bool, error) {
	if n == 0 {
		return 0, false, nil
	}
	z, err := m.noise.Sample(r)
	if err != nil {
		return 0, false, fmt.Errorf("drawing the noise of a count: %w", err)
	}
	noisy := int64(n) + z
	return noisy, noisy >= m.threshold, nil
}

// String names the mechanism and its parameters.
func (m NoisyCount) String() string {
	return fmt.Sprintf("discrete Laplace of scale 1/%v, released from %d on", m.Epsilon(), m.threshold)
}
