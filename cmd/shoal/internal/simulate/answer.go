package simulate

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/shoal-project/shoal/internal/dap/collector"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/cost"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

// An Answer is what was released about one question, beside the truth.
type Answer struct {
	Metric   string    `json:"metric"`
	Question string    `json:"question"`
	Method   string    `json:"method"`
	Kind     string    `json:"kind"` // crowd, or the type of an aggregate question
	People   int       `json:"people"`
	Epoch    time.Time `json:"epoch"`
	Reports  uint64    `json:"reports"` // that devices sent for the epoch

	Released bool   `json:"released"`
	Reason   string `json:"reason,omitempty"` // why nothing was released
	Rule     string `json:"rule,omitempty"`   // threshold or noise, in words

	Rows   []Row  `json:"rows,omitempty"`
	Inside int    `json:"inside_interval"`  // rows whose interval holds the truth
	Small  *Small `json:"small,omitempty"`  // crowds that were not released
	Cut    int    `json:"cut,omitempty"`    // people whose value went beyond the bounds
	Silent int    `json:"silent,omitempty"` // people without a value
}

// A Row is one number of an answer.
type Row struct {
	Label    string  `json:"label"`
	Estimate float64 `json:"estimate"`
	Low      float64 `json:"low"` // 95% interval
	High     float64 `json:"high"`
	True     float64 `json:"true"` // what the simulation knows
	Inside   bool    `json:"inside"`
	Shares   []Share `json:"shares,omitempty"` // of a crowd's reports that show a value
}

// A Share is the part of a crowd's reports that have a value.
type Share struct {
	Field    string  `json:"field"`
	Value    string  `json:"value"`
	Estimate float64 `json:"estimate"`
	True     float64 `json:"true"`
}

// Small are the crowds that were not released.
type Small struct {
	Crowds  int `json:"crowds"`
	Reports int `json:"reports"`
	Largest int `json:"largest"`
}

// released returns the batch of a question's epoch, nil if it was not released.
func (s *Simulation) released(ctx context.Context, q *question) (*release.Batch, error) {
	all, err := s.parties.Results().Released().Released(ctx)
	if err != nil {
		return nil, err
	}
	for _, b := range all {
		if b.Task == q.id && b.Kept && !b.Start.After(q.task.Start(q.epoch)) && b.End.After(q.task.Start(q.epoch)) {
			return &b, nil
		}
	}
	return nil, nil
}

// read puts what was released beside the truth.
func (s *Simulation) read(ctx context.Context, q *question) (*Answer, error) {
	a := &Answer{
		Metric: q.metric.Name, Question: q.task.Question, Method: "crowd", Kind: "crowd", People: s.config.People,
		Epoch: q.task.Start(q.epoch), Reports: uint64(q.sent),
	}
	if q.sums != nil {
		a.Method, a.Kind, a.Cut, a.Silent = "aggregate", q.task.Aggregation.Kind.String(), q.sums.clipped, a.People-q.sums.said
		a.Reports = uint64(a.People)
		if q.task.Aggregation.Presence == kind.Revealed {
			a.Reports = uint64(q.sums.said)
		}
	}
	b, err := s.released(ctx, q)
	if err != nil {
		return nil, err
	}
	if b == nil {
		if a.Reason = tooFew(q.task, a.Reports, a.People); a.Reason == "" {
			a.Reason = fmt.Sprintf("%d reports were sent and no answer came", a.Reports)
		}
		return a, nil
	}
	a.Released = true
	if q.sums != nil {
		a.Rule = "noise: " + q.task.Aggregation.Noise.String()
		return a, a.readSums(q, b)
	}
	rule, err := q.task.Threshold.Rule()
	if err != nil {
		return nil, err
	}
	a.Rule = fmt.Sprintf("threshold: %v", rule)
	return a, a.readCrowds(q, b)
}

// need is how many reports make it as good as certain that a batch is released,
// where it has a minimum of its own.
func need(t *task.Task) (reports float64, noised bool) {
	least := uint64(t.MinBatch)
	if t.Method == task.Aggregate {
		return float64(least), false
	}
	total, err := cost.Total(t)
	if err != nil || total == nil {
		return float64(least), false
	}
	low, high := least, 2*least
	for total.Survival(high) < certain && high < 1<<40 {
		high *= 2
	}
	for low < high {
		if mid := low + (high-low)/2; total.Survival(mid) < certain {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return float64(low), true
}

// certain is the probability with which enough people have an answer released.
const certain = 0.999

// tooFew explains that so many reports are fewer than are needed, and what to do;
// it returns "" if they are enough.
func tooFew(t *task.Task, reports uint64, people int) string {
	least, noised := need(t)
	if float64(reports) >= least {
		return ""
	}
	how := ""
	if noised {
		how = fmt.Sprintf(" (with noise, so that about %.0f are needed)", least)
	}
	more := math.Ceil(float64(people) * least / max(1, float64(reports)) * 1.02)
	return fmt.Sprintf("%d reports of %d people are too few for its min_batch of %d%s; simulate about %.0f people (--people %.0f), or lower min_batch",
		reports, people, t.MinBatch, how, more, more)
}

// Shortages reports, before anything is simulated, of which metrics there will be
// too few reports, by metric name.
func Shortages(f *metric.File, v Values, people int) map[string]string {
	short := map[string]string{}
	for _, m := range f.Metrics {
		t, mine := m.Task(), v[m.Name]
		reports := float64(people)
		if t.Method == task.Crowd {
			reports *= *mine.Share * float64(min(int(t.PerEpoch), mine.Records*parts(&t)))
		} else if t.Aggregation.Presence == kind.Revealed {
			reports *= *mine.Share
		}
		if text := tooFew(&t, uint64(reports), people); text != "" {
			short[m.Name] = text
		}
	}
	return short
}

func (a *Answer) add(r Row) {
	slack := 1e-9 * max(1, math.Abs(r.True))
	r.Inside = r.Low <= r.True+slack && r.True-slack <= r.High
	if r.Inside {
		a.Inside++
	}
	a.Rows = append(a.Rows, r)
}

// readSums reads the table of an aggregate question: epoch, item, reports,
// estimate, stddev, low, high.
func (a *Answer) readSums(q *question, b *release.Batch) error {
	for row, err := range b.Rows(collector.ResultsTable) {
		if err != nil {
			return err
		}
		label, _ := row[1].(string)
		if label == collector.Answered {
			continue
		}
		estimate, ok := row[3].(float64)
		if !ok { // a mean of no values
			a.Reason = "too few people had a value"
			continue
		}
		r := Row{Label: label, Estimate: estimate, True: q.sums.truth(len(a.Rows))}
		r.Low, r.High = number(row[5], math.Inf(-1)), number(row[6], math.Inf(1))
		a.add(r)
	}
	return nil
}

func number(v any, otherwise float64) float64 {
	if x, ok := v.(float64); ok {
		return x
	}
	return otherwise
}

// readCrowds reads the tables of a crowd question, largest crowd first.
func (a *Answer) readCrowds(q *question, b *release.Batch) error {
	scales := map[string]float64{}
	seen := map[string]bool{}
	for row, err := range b.Rows(analyzer.CountsTable) {
		if err != nil {
			return err
		}
		n := len(row) // its last columns are count, estimate, stddev, low and high
		label := crowdLabel(q.task, row[1:n-5])
		seen[label] = true
		r := Row{Label: label, Low: number(row[n-2], 0), High: number(row[n-1], math.Inf(1))}
		r.Estimate = number(row[n-4], 0)
		if count, _ := row[n-5].(int64); count > 0 {
			scales[label] = r.Estimate / float64(count)
		}
		if truth := q.crowds.all[label]; truth != nil {
			r.True = float64(truth.reports)
		}
		a.add(r)
	}
	shares, err := readShares(q, b, scales)
	if err != nil {
		return err
	}
	for i := range a.Rows {
		a.Rows[i].Shares = shares[a.Rows[i].Label]
	}
	slices.SortStableFunc(a.Rows, func(x, y Row) int { return cmp.Compare(y.Estimate, x.Estimate) })
	a.Small = &Small{}
	for label, truth := range q.crowds.all {
		if !seen[label] {
			a.Small.Crowds++
			a.Small.Reports += truth.reports
			a.Small.Largest = max(a.Small.Largest, truth.reports)
		}
	}
	return nil
}

// readShares reads the table of values by crowd: its last columns are field,
// value, reports, observed, estimate, stddev, low and high. The estimate is of the
// crowd before the threshold, which is scale times what was released.
func readShares(q *question, b *release.Batch, scales map[string]float64) (map[string][]Share, error) {
	out := map[string][]Share{}
	if _, ok := release.Find(b.Tables, analyzer.ValuesTable); !ok {
		return out, nil
	}
	for row, err := range b.Rows(analyzer.ValuesTable) {
		if err != nil {
			return nil, err
		}
		n := len(row)
		label := crowdLabel(q.task, row[1:n-8])
		reports, _ := row[n-6].(int64)
		s := Share{Estimate: number(row[n-4], 0) / max(1, float64(reports)*scales[label])}
		s.Field, _ = row[n-8].(string)
		s.Value, _ = row[n-7].(string)
		if truth := q.crowds.all[label]; truth != nil && truth.answers[s.Field] > 0 {
			s.True = float64(truth.shown[s.Field][s.Value]) / float64(truth.answers[s.Field])
		}
		out[label] = append(out[label], s)
	}
	return out, nil
}
