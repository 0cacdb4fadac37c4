package aggregate

import (
	"fmt"
	"math"

	"github.com/shoal-project/shoal/metric/task"
)

// A Row is one number of a result.
type Row struct {
	Label    string  // of the bucket, the category, the index
	Estimate float64 // may be below zero, or above what is possible, where there is noise
	Error    float64 // noise moves the estimate by no more than this in 95 cases of 100; 0 without noise
}

// A Result is the answer to a question for one batch.
type Result struct {
	Reports uint64 // in the batch: exact, whatever the noise
	// Answered is how many clients had a value, where the question tells: a mean,
	// or a histogram with presence hidden. Nil elsewhere.
	Answered *Row
	Rows     []Row
}

// Result reads the answer out of the aggregate shares of leader and helper, in
// this order, for a batch of this many reports. It fails with the errors of
// [vdaf.Instance.UnshardSigned].
//
// The error bars are about the noise that the task asks of both aggregators, and
// so about what was sent. They do not know how the clients of the batch were
// chosen; nor do they know of the quantisation of gradients, which is at most
// half a step (a step, for an L1 gradient) for each client and element.
func (q *Question) Result(shares [][]byte, reports uint64) (*Result, error) {
	out := &Result{Reports: reports}
	wide := float64(q.a.Noise.Within95()) * q.Step()
	if q.real != nil {
		reals, err := q.real(shares, reports)
		if err != nil {
			return nil, fmt.Errorf("result of a %s: %w", q.a.Kind, err)
		}
		if q.a.Kind == task.L1Gradient {
			wide *= math.Sqrt2 // an element is the difference of two
		}
		for i, x := range reals {
			out.Rows = append(out.Rows, Row{q.Label(i), x, wide})
		}
		return out, nil
	}
	ints, err := q.in.UnshardSigned(shares)
	if err != nil {
		return nil, fmt.Errorf("result of a %s: %w", q.a.Kind, err)
	}
	if q.a.Kind == task.Mean {
		q.meanResult(out, float64(ints[0]), float64(ints[1]), wide)
		return out, nil
	}
	for i, x := range ints {
		out.Rows = append(out.Rows, Row{q.Label(i), float64(x), wide})
	}
	if q.a.Presence == task.Hidden && (q.a.Kind == task.Histogram || q.a.Kind == task.Categories) {
		last := out.Rows[len(out.Rows)-1]
		out.Rows = out.Rows[:len(out.Rows)-1]
		out.Answered = &Row{"answered", float64(reports) - last.Estimate, wide}
	}
	return out, nil
}

// meanResult divides the sum of values by the number of clients that have one.
func (q *Question) meanResult(out *Result, sum, weight, wide float64) {
	top := float64(q.a.Max)
	clients := weight / top
	out.Answered = &Row{"answered", clients, wide / top}
	row := Row{Label: q.Label(0), Estimate: math.NaN(), Error: math.Inf(1)}
	if clients >= 1 {
		row.Estimate = sum / clients
		// To first order in the noise, which is independent in both sums.
		row.Error = wide / clients * math.Hypot(1, row.Estimate/top)
	}
	out.Rows = []Row{row}
}
