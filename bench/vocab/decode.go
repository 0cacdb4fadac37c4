package vocab

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"runtime"

	"golang.org/x/sync/errgroup"
)

const (
	// candidates is how many words the analysis of randomised responses looks
	// for: the most frequent ones of the language. RAPPOR's analyst brings such
	// a list (RAPPOR paper, section 4); the other words are noise to it.
	candidates = 1000
	// falseAlarm is the probability with which the analysis of one sample
	// reports any word at all that no client had, divided equally over all
	// candidates (Bonferroni), as the RAPPOR paper has it (section 4).
	falseAlarm = 0.05
)

// A Decoded is what the analysis of randomised responses reported, on average
// over several collections from the same clients.
type Decoded struct {
	Words     float64 `json:"words"`     // reported, and at least half as frequent as estimated
	Deviation float64 `json:"deviation"` // of Words, between collections
	False     float64 `json:"false"`     // reported, and less frequent than that, or no client's word
}

// average sums up what single collections gave.
func average(all []outcome) Decoded {
	var d Decoded
	n := float64(len(all))
	for _, o := range all {
		d.Words += float64(o.right) / n
		d.False += float64(o.wrong) / n
	}
	for _, o := range all {
		d.Deviation += (float64(o.right) - d.Words) * (float64(o.right) - d.Words) / max(1, n-1)
	}
	d.Deviation = math.Sqrt(d.Deviation)
	return d
}

// An outcome is what the analysis of one collection reported.
type outcome struct{ right, wrong int }

// A decoder analyses collections of one scheme.
type decoder struct {
	scheme  rapporScheme
	columns [][]uint16 // by rank
}

func newDecoder(epsilon float64) *decoder {
	d := &decoder{scheme: newRAPPOR(epsilon), columns: make([][]uint16, Words)}
	for rank := range d.columns {
		d.columns[rank] = d.scheme.column(rank)
	}
	return d
}

// partition returns which of a power of two of partitions a word belongs to: a
// few bits of its hash (Prochlo paper, section 5.2).
func partition(rank, partitions int) int {
	sum := sha256.Sum256([]byte(Word(rank)))
	return int(binary.BigEndian.Uint32(sum[:])) & (partitions - 1)
}

// partitionsOf returns the number of partitions of a sample of n words. The paper
// has "between 4 and 256 partitions for the sample sizes in the experiment" and
// shows Partition at three sizes: 4, 32 and 256.
func partitionsOf(n int) int {
	partitions := 4
	for at := 100_000; at*10 <= n && partitions < 256; at *= 10 {
		partitions *= 8
	}
	return partitions
}

// repeat decodes several collections of a sample, on all cores. Each has a
// source of its own.
func (d *decoder) repeat(ctx context.Context, repeats int, counts []uint32, partitions int, source func(i int) *rand.ChaCha8) (Decoded, error) {
	all := make([]outcome, repeats)
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range all {
		g.Go(func() error {
			all[i] = d.decode(ctx, counts, partitions, source(i))
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return Decoded{}, err
	}
	return average(all), nil
}

// decode simulates the reports of a sample, counts by rank, and analyses each
// partition by itself. One partition is plain RAPPOR. All words are reported, the
// candidates alone are looked for. When ctx is done, the outcome is incomplete.
func (d *decoder) decode(ctx context.Context, counts []uint32, partitions int, source *rand.ChaCha8) outcome {
	ranks := make([][]int, partitions)
	for rank := range counts {
		p := partition(rank, partitions)
		ranks[p] = append(ranks[p], rank)
	}
	var total outcome
	for _, words := range ranks {
		if ctx.Err() != nil {
			return total
		}
		columns, own := make([][]uint16, len(words)), make([]uint32, len(words))
		clients, known := 0, 0
		for i, rank := range words { // by rank: the candidates come first
			columns[i], own[i] = d.columns[rank], counts[rank]
			clients += int(counts[rank])
			if rank < candidates {
				known++
			}
		}
		y, sd := d.scheme.estimate(d.scheme.collect(columns, own, source))
		for _, f := range significant(columns[:known], y, sd, falseAlarm/candidates) {
			if float64(own[f.column]) >= f.part*float64(clients)/2 {
				total.right++
			} else {
				total.wrong++
			}
		}
	}
	return total
}

// A detected is a candidate that the analysis reports.
type detected struct {
	column int
	part   float64 // estimated part of all clients
}

// significant returns the columns whose coefficients are above zero at the
// given level. It is the published analysis of RAPPOR: the LASSO picks columns,
// least squares on these gives coefficients with standard errors, and a
// one-sided test decides.
func significant(columns [][]uint16, y, sd []float64, level float64) []detected {
	w := make([]float64, len(sd))
	for r, s := range sd {
		w[r] = 1 / (s * s)
	}
	picked := lasso(columns, y, w)
	if len(picked) == 0 {
		return nil
	}
	beta, se := leastSquares(columns, picked, y, w)
	var out []detected
	for i, column := range picked {
		if se[i] > 0 && math.Erfc(beta[i]/se[i]/math.Sqrt2)/2 <= level {
			out = append(out, detected{column, beta[i]})
		}
	}
	return out
}
