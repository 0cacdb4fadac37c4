package console

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/dap/collector"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/metric/cost"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/plan"
	"github.com/shoal-project/shoal/metric/task"
)

// maxPoints is how many epochs a line shows.
const maxPoints = 60

// aggregates returns the newest released batches of one task, the oldest first.
func (s *serverSource) aggregates(ctx context.Context, t server.Task) ([]collector.Entry, error) {
	tables := s.server.Aggregates()
	if tables == nil {
		return nil, nil
	}
	id, err := s.server.DAPTask(t)
	if err != nil {
		return nil, err
	}
	all, err := tables.Newest(ctx, id, math.MaxUint64, maxBatches)
	slices.SortStableFunc(all, func(a, b collector.Entry) int { return a.Manifest.Start.Compare(b.Manifest.Start) })
	return all, err
}

// summedUp sums up what has been collected of each DAP task.
func (s *serverSource) summedUp(ctx context.Context) (map[dap.TaskID]collector.Summary, error) {
	tables := s.server.Aggregates()
	if tables == nil {
		return nil, nil
	}
	all, err := tables.Summaries(ctx)
	byTask := make(map[dap.TaskID]collector.Summary, len(all))
	for _, one := range all {
		byTask[one.Task] = one
	}
	return byTask, err
}

// aggregateQuestion is an aggregate question as the list shows it.
func (s *serverSource) aggregateQuestion(t server.Task, sums map[dap.TaskID]collector.Summary) (Question, error) {
	id, err := s.server.DAPTask(t)
	if err != nil {
		return Question{}, err
	}
	sum := sums[id]
	q := Question{
		ID: t.ID, Metric: t.Task.Metric, Question: t.Task.Question, Owner: t.Task.OwnedBy,
		Expires: time.Unix(t.Task.Expires, 0).UTC(), Next: next(t.Task, s.server.Clock().Now()),
		Batches: sum.Batches, Released: sum.Reports,
	}
	if sum.End > 0 {
		q.Latest = time.Unix(sum.End, 0).UTC()
	}
	return q, nil
}

func (s *serverSource) aggregateAnswer(ctx context.Context, t server.Task) (Answer, error) {
	entries, err := s.aggregates(ctx, t)
	if err != nil {
		return Answer{}, err
	}
	sums, err := s.summedUp(ctx)
	if err != nil {
		return Answer{}, err
	}
	question, err := s.aggregateQuestion(t, sums)
	if err != nil {
		return Answer{}, err
	}
	pending, err := s.server.Pending(ctx, t)
	if err != nil {
		return Answer{}, err
	}
	g := t.Task.Aggregation
	a := Answer{
		Question: question, Consent: t.Task.Consent,
		EpochLength: time.Duration(t.Task.EpochSeconds) * time.Second, MinBatch: int64(t.Task.MinBatch),
		Privacy:   aggregatePrivacy(t),
		Aggregate: &Aggregate{Kind: g.Kind.String(), Exact: g.Noise.Mechanism == dp.NoNoise},
	}
	if state := s.server.TaskState(ctx, t); state != "served" {
		a.Aggregate.Waits = state
	}
	now := s.server.Clock().Now()
	for _, p := range slices.Backward(pending) {
		if v := pendingOf(t.Task, p, now); v.over() {
			a.Aggregate.Over = append(a.Aggregate.Over, v)
		} else {
			a.Aggregate.Pending = append(a.Aggregate.Pending, v)
		}
	}
	for _, e := range slices.Backward(entries) {
		m := e.Manifest
		a.Aggregate.Collected = append(a.Aggregate.Collected, Collected{m.Start, m.End, e.Status(), int64(min(m.Reports, math.MaxInt64))})
	}
	return a, s.aggregateCharts(t, entries, &a)
}

// pendingOf describes the state of a batch that is asked for.
func pendingOf(t *task.Task, p server.CollectionView, now time.Time) Pending {
	out := Pending{Start: p.Start, End: p.End, State: "waiting", Missing: p.Missing}
	closed := p.End.Add(time.Duration(t.MaxDelay+t.ClockSkew) * time.Second)
	switch {
	case p.State == "abandoned":
		out.State, out.Text = "given up", p.Reason
	case p.Failed != "":
		out.State, out.Text = "failing", "The last try failed and will be repeated; the server’s log says why."
	case p.Missing != "" && !p.End.IsZero() && now.After(closed.Add(collector.LateReports)):
		out.State = tooFew
		out.Text = fmt.Sprintf("Devices could send for this epoch until %s, and too few did: it will not be released, unless the leader still waits for an absent helper. "+
			"Ask more people, or ask again with a longer epoch or a lower min_batch; “shoal simulate” tries it.", closed.UTC().Format("2 January 2006, 15:04 UTC"))
	case p.Missing != "":
		out.State, out.Text = "not enough yet", "A batch with too few reports is not added up, so that no sum is one person’s value."
	default:
		out.Text = "The leader is adding up, or waits for enough reports."
	}
	return out
}

// tooFew is the state of a batch to which no report can come any more.
const tooFew = collector.EpochTooFew

// over reports whether a batch is not to be expected any more.
func (p Pending) over() bool { return p.State == tooFew || p.State == collector.EpochGivenUp }

// whole returns the batches whose files are what was released, and marks the others.
func (s *serverSource) whole(t server.Task, batches []release.Batch, a *Answer) []release.Batch {
	return slices.DeleteFunc(batches, func(b release.Batch) bool {
		for _, table := range b.Tables {
			if s.server.CheckTable(t, b, table) == nil {
				continue
			}
			for i := range a.Aggregate.Collected {
				if c := &a.Aggregate.Collected[i]; c.Start.Equal(b.Start) && c.End.Equal(b.End) {
					c.State = "damaged"
				}
			}
			return true
		}
		return false
	})
}

// aggregateCharts reads the tables: lines over the epochs for single numbers, bars
// of the newest batch for many.
func (s *serverSource) aggregateCharts(t server.Task, entries []collector.Entry, a *Answer) error {
	var batches []release.Batch
	for _, e := range entries {
		b, err := s.server.Aggregates().Batch(e)
		if err != nil {
			return err
		}
		if b.Kept {
			batches = append(batches, b)
		}
	}
	if len(batches) == 0 {
		return nil
	}
	batches = s.whole(t, batches[max(0, len(batches)-maxPoints):], a)
	if len(batches) == 0 {
		return nil
	}
	newest := batches[len(batches)-1]
	rows, err := s.results(newest)
	if err != nil {
		return err
	}
	words, err := plan.Of(t.Task.Aggregation.Kind)
	if err != nil {
		return err
	}
	unit := words.Unit()
	a.Table = resultTable(rows)
	if !a.Aggregate.Exact {
		a.Aggregate.Within = widest(rows)
	}
	if title := words.Title(); title != "" {
		line := Line{Title: title, Unit: unit, Note: "One point an epoch."}
		for _, b := range batches {
			rows, err := s.results(b)
			if err != nil {
				return err
			}
			if len(rows) > 0 {
				value, _, low, high := numbers(rows[0])
				line.Points = append(line.Points, Point{b.Start, b.End, value, low, high})
			}
		}
		if n := line.missing(); n > 0 {
			line.Note = fmt.Sprintf("One point an epoch; %s in between without an answer.", plural(n, "epoch", "epochs"))
		}
		a.Aggregate.Lines = []Line{line}
		return nil
	}
	if unit == "" {
		return nil // the elements have no meaning one by one
	}
	chart := Chart{Title: strings.ToUpper(unit[:1]) + unit[1:] + ", " + period(newest.Start, newest.End), Unit: unit}
	for _, row := range rows {
		label, _ := row[1].(string)
		if label == collector.Answered {
			value, _, low, high := numbers(row)
			chart.Note = fmt.Sprintf("Of %s, %s had an answer.", plural(reportsOf(row), "report", "reports"), interval(value, low, high))
			continue
		}
		if len(chart.Bars) == maxBars {
			chart.More++
			continue
		}
		value, _, low, high := numbers(row)
		chart.Bars = append(chart.Bars, Bar{label, value, low, high})
	}
	a.Charts = []Chart{chart}
	return nil
}

// widest is how far noise moves a number of an answer, at most, in 95 cases of 100:
// "" where it is unknown.
func widest(rows []release.Row) string {
	half := 0.0
	for _, row := range rows {
		if label, _ := row[1].(string); label == collector.Answered {
			continue
		}
		value, _, low, high := numbers(row)
		if math.IsNaN(value) {
			return ""
		}
		half = max(half, value-low, high-value) // an end may be cut at zero
	}
	return number(half)
}

// interval writes a number with its error bar.
func interval(value, low, high float64) string {
	if high > low {
		return number(low) + " to " + number(high)
	}
	return number(value)
}

func reportsOf(row release.Row) int64 {
	n, _ := row[2].(int64)
	return n
}

// results reads the table of a batch. Released tables do not change.
func (s *serverSource) results(b release.Batch) ([]release.Row, error) {
	key := resultKey{b.Task, b.Start.Unix(), b.End.Unix()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if rows, ok := s.sums[key]; ok {
		return rows, nil
	}
	var rows []release.Row
	for row, err := range b.Rows(collector.ResultsTable) {
		if err != nil {
			return nil, fmt.Errorf("reading the results of %q, epoch %d: %w", b.Metric, b.Epoch, err)
		}
		rows = append(rows, row)
		if len(rows) > maxResults {
			break
		}
	}
	if len(s.sums) > 100*maxPoints {
		clear(s.sums)
	}
	s.sums[key] = rows
	return rows, nil
}

// maxResults bounds how much of a table is kept for the pages.
const maxResults = 256

type resultKey struct {
	task       task.ID
	start, end int64
}

// resultTable is the head of a batch's table.
func resultTable(rows []release.Row) Table {
	t := Table{Total: int64(len(rows)), Columns: []Column{{"item", false}, {"estimate", true}, {"95 %", true}}}
	for _, row := range rows[:min(len(rows), maxRows)] {
		label, _ := row[1].(string)
		value, _, low, high := numbers(row)
		between := "exact"
		if high > low {
			between = number(low) + " – " + number(high)
		} else if math.IsNaN(low) {
			between = "–"
		}
		t.Rows = append(t.Rows, []string{label, number(value), between})
	}
	return t
}

// aggregatePrivacy is the privacy card of an aggregate question.
func aggregatePrivacy(t server.Task) Privacy {
	g := &t.Task.Aggregation
	p := Privacy{Facts: []Fact{
		{"Smallest batch", plural(int64(t.Task.MinBatch), "report", "reports"), "leader and helper add up no fewer, and none twice"},
		noiseFact(g),
		presenceFact(g),
		{"Limit for one client", "1 report an epoch", "its value is proved to be within bounds, without being shown"},
	}}
	p.Facts = append(p.Facts, noiseGuarantee(t.Task)...)
	if t.Task.RetentionDays > 0 {
		p.Facts = append(p.Facts, Fact{"Kept for", plural(int64(t.Task.RetentionDays), "day", "days"), "then tables are removed"})
	}
	p.Sees = sights(t)
	return p
}

func noiseFact(g *task.Aggregation) Fact {
	if g.Noise.Mechanism == dp.NoNoise {
		return Fact{"Noise", "none", "the sums are exact; two of them that differ by one person tell that person’s value"}
	}
	return Fact{"Noise", g.Noise.String(), "that leader and helper add, each on its own: the guarantee of one holds even if the other adds none"}
}

func presenceFact(g *task.Aggregation) Fact {
	if g.Presence == kind.Hidden {
		return Fact{"Presence", "hidden", "every device that takes part sends one report an epoch, whether or not it has anything to say"}
	}
	return Fact{"Presence", "revealed", "only devices that have something to say send a report: that one is sent tells the leader so"}
}

// noiseGuarantee describes what the noise gives one person, and what it does not.
func noiseGuarantee(t *task.Task) []Fact {
	spend, err := cost.SpendOf(t, statedDelta)
	if err != nil || math.IsInf(spend.Point.Epsilon, 1) {
		return nil
	}
	e := spend.Point
	all := []Fact{{
		"Epsilon, for one epoch", dp.Figure(e.Epsilon),
		"how much what one person’s report says can show in the released sums, by the noise of one aggregator alone, at delta " + dp.Figure(e.Delta) + "; " + dp.Assumption,
	}}
	return append(append(all, sumFacts(spend)...), Fact{"Taking part", "not protected", "how many reports a batch has is exact: one report more or less shows"})
}

// exportAggregates writes all results of an aggregate question.
func (s *serverSource) exportAggregates(ctx context.Context, t server.Task) (release.Catalogue, release.Query, error) {
	q := release.Query{Metric: t.Task.Metric, Task: &t.ID, Table: collector.ResultsTable}
	found, err := release.Select(ctx, s.server.Aggregates(), q)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	return s.server.Aggregates(), q, err
}
