package collector

import (
	"math"
	"strconv"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/kind"
)

// An item is one number of an answer.
type item struct {
	label string // "" if it needs none
	value float64
	// deviation is the standard deviation of the noise in value; low and high are
	// the ends of an interval that holds the exact value in 95 cases of 100.
	deviation, low, high float64
}

// open opens, unshards and decodes the answer to a request. It is pure.
func (q *Question) open(leader, helper *dapkey.PrivateKey, req *dap.CollectionJobReq, resp *dap.CollectionJobResp) ([]item, error) {
	shares, err := q.Task.OpenCollection(leader, helper, req, resp)
	if err != nil {
		return nil, err
	}
	if q.meaning != nil {
		result, err := q.meaning.Result(shares, resp.ReportCount)
		if err != nil {
			return nil, err
		}
		return q.items(result), nil
	}
	sums, err := q.Task.Instance().UnshardSigned(shares)
	if err != nil {
		return nil, err
	}
	var items []item
	noise := q.Task.Noise()
	wide, deviation := float64(noise.Within95()), math.Sqrt(noise.Variance(2))
	for i, s := range sums {
		x := float64(s)
		row := kind.Row{Estimate: x, StdDev: deviation, Low: x - wide, High: x + wide}
		if len(sums) > 1 {
			row.Label = strconv.Itoa(i)
		}
		items = append(items, q.item(row))
	}
	return items, nil
}

// Answered is the item that counts the clients that had a value, where the question
// reveals it.
const Answered = "answered"

// items are the rows of a result, and how many clients had a value.
func (q *Question) items(r *kind.Result) []item {
	var items []item
	for _, row := range r.Rows {
		items = append(items, q.item(row))
	}
	if r.Answered != nil {
		row := *r.Answered
		row.Label = Answered
		items = append(items, q.item(row))
	}
	return items
}

// item gives a number its error bars. Only the lower end is kept to what is
// possible: an estimate that was cut off would be too large on average.
func (q *Question) item(r kind.Row) item {
	it := item{label: r.Label, value: r.Estimate, deviation: r.StdDev, low: r.Low, high: r.High}
	least, most := 0.0, math.Inf(1)
	if q.Shoal != nil && r.Label != Answered {
		least, most = kind.Limits(q.Shoal.Aggregation.Kind)
	}
	it.low, it.high = max(least, it.low), max(least, it.high)
	it.low, it.high = min(it.low, most), min(it.high, most)
	return it
}

// ResultsTable is the one table of a batch: a row an item, in the order of the
// question. Its last columns are those of every estimate in a released table.
const ResultsTable = "results"

var resultColumns = []release.Column{
	{Name: "epoch", Type: release.Timestamp},
	{Name: "item", Type: release.Text},
	{Name: "reports", Type: release.Integer},
	{Name: "estimate", Type: release.Real},
	{Name: "stddev", Type: release.Real},
	{Name: "low", Type: release.Real},
	{Name: "high", Type: release.Real},
}

// row is an item as a row of the table. What is no number is absent.
func (it item) row(epoch int64, reports uint64) release.Row {
	row := release.Row{epoch, it.label, int64(min(reports, math.MaxInt64))}
	for _, v := range []float64{it.value, it.deviation, it.low, it.high} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			row = append(row, nil)
		} else {
			row = append(row, v)
		}
	}
	return row
}
