package oblivious

import (
	"fmt"
	"math"
)

// StashParameters are those of the Stash Shuffle (Bittau et al., "Prochlo", SOSP
// 2017, section 4.1.4).
type StashParameters struct {
	Rows    int // N: rows of the batch
	Buckets int // B: so many buckets the input, and the rows between, are divided into
	Chunk   int // C: slots that each input bucket has in each bucket between
	Drain   int // K: slots of each bucket between for what is left in the stash
	Stash   int // S: rows that the stash holds in private memory
	Window  int // W: buckets that are held in private memory while they are compressed
}

// bucket returns D, the number of rows of an input bucket; the last may have less.
func (p StashParameters) bucket() int { return (p.Rows + p.Buckets - 1) / p.Buckets }

// slots returns the number of slots of a bucket between.
func (p StashParameters) slots() int { return p.Buckets*p.Chunk + p.Drain }

// Slots returns the number of rows that are written between: every batch of this
// shape writes and reads as many.
func (p StashParameters) Slots() int { return p.Buckets * p.slots() }

// Overhead returns how many rows are processed for each row of the batch, as Table 1
// of the paper counts: the batch once, and each slot between.
func (p StashParameters) Overhead() float64 { return 1 + float64(p.Slots())/float64(p.Rows) }

// PrivateRows returns how many rows private memory holds at most at a time.
func (p StashParameters) PrivateRows() int {
	distribute := p.Buckets*p.Chunk + p.Stash
	compress := p.Window * p.slots()
	return max(distribute, compress)
}

// Validate fails for parameters that no batch can be shuffled with.
func (p StashParameters) Validate() error {
	switch {
	case p.Rows < 1 || p.Rows >= math.MaxInt32:
		return fmt.Errorf("oblivious: %d rows, want 1 to %d", p.Rows, math.MaxInt32-1)
	case p.Buckets < 1 || p.Buckets > p.Rows:
		return fmt.Errorf("oblivious: %d buckets for %d rows", p.Buckets, p.Rows)
	case p.Chunk < 1 || p.Drain < 0 || p.Stash < 0 || p.Window < 1:
		return fmt.Errorf("oblivious: chunk %d, drain %d, stash %d, window %d: want at least 1, 0, 0, 1", p.Chunk, p.Drain, p.Stash, p.Window)
	case float64(p.Buckets)*float64(p.slots()) >= math.MaxInt32:
		return fmt.Errorf("oblivious: %d buckets of %d slots are more than %d rows", p.Buckets, p.slots(), math.MaxInt32-1)
	}
	return nil
}

// Log2Failure returns an upper bound of the binary logarithm of the probability that
// a shuffle fails and starts again. The order of the rows is within twice that
// probability of uniform (total variation), and the trace is the same for all orders:
// so this is the security of the shuffle.
//
// The bound is the sum of those of four events. That rows are left in the stash after
// the drain: the stash of one bucket between is a queue, to which each of B input
// buckets adds Bin(D, 1/B) rows and which gives off C; its distribution after B steps
// is computed exactly, and multiplied by B. That the stash is full: by Chernoff, from
// the same distribution; the queues are functions of multinomial counts, which are
// negatively associated. That the window runs empty or full: by Chernoff for the
// number of rows in the first b buckets between, Bin(N, b/B), for each b.
func (p StashParameters) Log2Failure() (float64, error) {
	if err := p.Validate(); err != nil {
		return 0, err
	}
	left, full := p.stashFailures()
	return log2Sum(left, full, p.windowFailure()), nil
}

func log2Sum(logs ...float64) float64 {
	top := math.Inf(-1)
	for _, l := range logs {
		top = max(top, l)
	}
	if math.IsInf(top, -1) {
		return top
	}
	sum := 0.0
	for _, l := range logs {
		sum += math.Exp2(l - top)
	}
	return top + math.Log2(sum)
}

// queueStates is how far the distribution of a queue is followed: the mass that goes
// beyond counts as failure.
const queueStates = 600

// stashFailures returns the logarithms of the bounds of the first two events. A queue
// that begins empty grows, stochastically, so that the last step bounds each.
func (p StashParameters) stashFailures() (left, full float64) {
	arrivals := binomial(p.bucket(), 1/float64(p.Buckets), queueStates+p.Chunk)
	queue := make([]float64, queueStates)
	queue[0] = 1
	beyond := 0.0
	for range p.Buckets {
		queue, beyond = p.step(queue, beyond, arrivals)
	}
	tail := beyond
	for q := len(queue) - 1; q > p.Drain; q-- {
		tail += queue[q]
	}
	buckets := math.Log2(float64(p.Buckets))
	return math.Log2(tail) + buckets, p.fullAfter(queue, beyond) + buckets
}

// step returns the distribution of a queue one step later, and the mass beyond it.
func (p StashParameters) step(queue []float64, beyond float64, arrivals []float64) ([]float64, float64) {
	next := make([]float64, len(queue))
	some := len(arrivals) // without those that are too improbable for a number
	for some > 0 && arrivals[some-1] == 0 {
		some--
	}
	for q, pq := range queue {
		if pq == 0 {
			continue
		}
		for a, pa := range arrivals[:some] {
			if n := max(0, q+a-p.Chunk); n < len(next) {
				next[n] += pq * pa
			} else {
				beyond += pq * pa
			}
		}
	}
	return next, beyond
}

// fullAfter bounds the probability that queues of this distribution sum up to more
// than the stash, by the best of a few exponents.
func (p StashParameters) fullAfter(queue []float64, beyond float64) float64 {
	best := 0.0
	for _, theta := range []float64{0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5} {
		moment := 0.0
		for q, pq := range queue {
			moment += pq * math.Exp(theta*float64(q))
		}
		log := (float64(p.Buckets)*math.Log(moment) - theta*float64(p.Stash+1)) / math.Ln2
		best = min(best, log)
	}
	return log2Sum(best, math.Log2(beyond)+math.Log2(float64(p.Buckets)))
}

// binomial returns the probabilities of Bin(n, q) below size, in whose last entry is
// the mass of all from there on.
func binomial(n int, q float64, size int) []float64 {
	pmf := make([]float64, size)
	if q >= 1 {
		pmf[min(n, size-1)] = 1
		return pmf
	}
	logs, _ := math.Lgamma(float64(n) + 1)
	for k := 0; k < size-1 && k <= n; k++ {
		a, _ := math.Lgamma(float64(k) + 1)
		b, _ := math.Lgamma(float64(n-k) + 1)
		pmf[k] = math.Exp(logs - a - b + float64(k)*math.Log(q) + float64(n-k)*math.Log1p(-q))
	}
	if n >= size-1 { // by the ratio of neighbours, which falls
		k := float64(size - 1)
		a, _ := math.Lgamma(k + 1)
		b, _ := math.Lgamma(float64(n) - k + 1)
		first := math.Exp(logs - a - b + k*math.Log(q) + (float64(n)-k)*math.Log1p(-q))
		ratio := (float64(n) - k) / (k + 1) * q / (1 - q)
		pmf[size-1] = 1
		if ratio < 1 {
			pmf[size-1] = min(1, first/(1-ratio))
		}
	}
	return pmf
}

// windowFailure bounds the probability that the window runs empty or full: after b
// buckets are imported and b-L of them drained, it must hold D rows, and have room.
func (p StashParameters) windowFailure() float64 {
	d, l := float64(p.bucket()), min(p.Window, p.Buckets)
	room := float64(p.Window * p.slots())
	n, sum := float64(p.Rows), math.Inf(-1)
	for b := l; b < p.Buckets; b++ {
		share := float64(b) / float64(p.Buckets)
		drained := d * float64(b-l)
		sum = log2Sum(sum, lowerTail(n, share, drained+d-1), upperTail(n, share, drained+room+1))
	}
	return sum
}

// lowerTail bounds Pr[Bin(n, q) <= k], as a binary logarithm (Chernoff).
func lowerTail(n, q, k float64) float64 {
	if k >= n*q {
		return 0
	}
	if k < 0 {
		return math.Inf(-1)
	}
	return -n * divergence(k/n, q)
}

// upperTail bounds Pr[Bin(n, q) >= k].
func upperTail(n, q, k float64) float64 {
	if k <= n*q {
		return 0
	}
	if k > n {
		return math.Inf(-1)
	}
	return -n * divergence(k/n, q)
}

// divergence is the relative entropy of two Bernoulli distributions, in bits.
func divergence(a, q float64) float64 {
	term := func(x, y float64) float64 {
		if x == 0 {
			return 0
		}
		return x * math.Log2(x/y)
	}
	return term(a, q) + term(1-a, 1-q)
}
