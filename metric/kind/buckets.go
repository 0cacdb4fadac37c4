package kind

import (
	"fmt"
	"io"
	"math"

	"github.com/shoal-project/shoal/vdaf"
)

// What histograms of numbers and of categories share: a client is in one of several
// buckets, or with presence hidden in one more, if it has no value.

const (
	noValue       = "no value"
	quotedNoValue = `"no value"`
)

func useBuckets(m *Measure, rows int, chunk uint32) error {
	empty := rows - 1 // with presence revealed an empty tally is not sent
	if m.presence == Hidden {
		empty, rows = rows, rows+1
	}
	bucket := func(t *Tally) int {
		if t.n == 0 {
			return empty
		}
		return int(t.ints[0])
	}
	return use[int, []uint64](m, bucket)(vdaf.Histogram(rows, int(chunk)))
}

func bucketText(t *Tally, k Kind) string {
	text := k.Label(int(t.ints[0]))
	if t.n > 1 {
		text += fmt.Sprintf(", one of %d values", t.n)
	}
	return text
}

// bucketResult takes the bucket of those without a value out of the rows.
func bucketResult(m *Measure, shares [][]byte, reports uint64) (*Result, error) {
	ints, err := m.integers(shares)
	if err != nil {
		return nil, err
	}
	out := m.rows(ints, reports)
	if m.presence == Hidden {
		last := out.Rows[len(out.Rows)-1]
		out.Rows = out.Rows[:len(out.Rows)-1]
		answered := m.spread().row("answered", float64(reports)-last.Estimate)
		out.Answered = &answered
	}
	return out, nil
}

// keep chooses between the bucket kept so far and another, so that after n
// values each has been kept with a chance of 1 in n.
func (t *Tally) keep(bucket int, rand io.Reader) error {
	if t.n < math.MaxUint32 { // later values practically never win
		x, err := below(rand, t.n+1)
		if err != nil {
			return fmt.Errorf("choosing one of the values: %w", err)
		}
		if x == 0 {
			t.ints[0] = uint64(bucket)
		}
	}
	t.noted(true)
	return nil
}
